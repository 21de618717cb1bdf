//! The redirect that a route answers with.

use super::{Body, plain};
use crate::upstream::requested;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use portolan_core::route::RouteEntry;

/// The redirect of a route that has one, and 400 where it leads nowhere: nobody has named a host. `authority` and `scheme` are
/// those of the request; a trusted proxy may say how the client made it.
pub fn by_route(
    route: &RouteEntry,
    parts: &Parts,
    authority: &str,
    scheme: &'static str,
    is_trusted: bool,
) -> Response<Body> {
    let (scheme, authority) = requested(&parts.headers, (scheme, authority), is_trusted);
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let location = route.redirected(scheme, authority, target);
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
