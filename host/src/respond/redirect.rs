//! The redirect that a route answers with.

use super::{Body, plain};
use crate::message;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use portolan_core::route::RouteEntry;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The redirect of a route that has one, and 400 where it leads nowhere: nobody has named a host. `authority` and `scheme` are
/// those of the request; a trusted proxy may say how the client made it.
pub fn by_route(
    route: &RouteEntry,
    parts: &Parts,
    authority: &str,
    scheme: &'static str,
    is_trusted: bool,
) -> Response<Body> {
    let by_proxy = |name| only(&parts.headers, name).filter(|_| is_trusted);
    let scheme = match by_proxy(X_FORWARDED_PROTO) {
        Some(proxied) if proxied.eq_ignore_ascii_case("https") => "https",
        Some(proxied) if proxied.eq_ignore_ascii_case("http") => "http",
        _ => scheme,
    };
    let host = by_proxy(X_FORWARDED_HOST).filter(|host| message::is_authority(host));
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let location = route.redirected(scheme, host.unwrap_or(authority), target);
    match location.and_then(|(status, location)| Some((status, HeaderValue::try_from(location).ok()?))) {
        Some((status, location)) => {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = status;
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        None => plain(StatusCode::BAD_REQUEST, "This redirect needs a host.\n"),
    }
}

/// The value of a field that has one line.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok()
}
