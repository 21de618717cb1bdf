//! The head of a response in HTTP/2, and its trailers.
//!
//! h2 has checked what RFC 9113 says of their form (section 8.2).

use crate::fields::{self, ResponseField};
use crate::upstream::head::{Ends, Head, MAX_HEAD};
use crate::upstream::malformed::Malformed;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

/// Most fields of a head, as in HTTP/1.1.
const MAX_FIELDS: usize = 256;

/// The head of a response to a request of this method, and the length of its body where it says so.
pub(super) fn head(response: Response<()>, method: &Method) -> Result<(Head, Option<u64>), Malformed> {
    let (parts, ()) = response.into_parts();
    let (status, mut headers) = (parts.status, parts.headers);
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + ": \r\n".len();
    if headers.len() > MAX_FIELDS || headers.iter().map(size).sum::<usize>() > MAX_HEAD {
        return Err(Malformed::TooLarge);
    }
    let mut is_rewritable = false;
    for name in headers.keys() {
        match fields::of_response(name.as_str()) {
            ResponseField::Rewritable => is_rewritable = true,
            // An error, of which h2 has told.
            ResponseField::Hop | ResponseField::Other => {}
        }
    }
    let length = one_length(&mut headers)?;
    let is_bodiless = method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    // Optional in a 304 (RFC 9110, section 8.6), and some clients wait for such a body or fail (undici 7).
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let head = Head {
        status,
        reason: None,
        headers,
        lines: None,
        ends: match is_bodiless {
            true => Ends::Length(0),
            false => Ends::Chunked,
        },
        keeps_open: true,
        is_bodiless,
        idle_timeout: None,
        is_rewritable,
    };
    Ok((head, length.filter(|_| !is_bodiless)))
}

/// The length, of which one line is left.
fn one_length(headers: &mut HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lines.next() else { return Ok(None) };
    let length = first.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    let length = length.ok_or(Malformed::Length)?;
    if lines.next().is_some() {
        // All the same, as h2 has checked.
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    Ok(Some(length))
}

/// What may be passed on of trailers.
pub(super) fn trailers(mut trailers: HeaderMap) -> HeaderMap {
    let unfit: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| !fields::may_trail(name.as_str()))
        .cloned()
        .collect();
    for name in unfit {
        trailers.remove(name);
    }
    trailers
}
