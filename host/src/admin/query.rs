//! The parameters of a request.

use std::borrow::Cow;

/// The parameters of a query, in their order.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}
