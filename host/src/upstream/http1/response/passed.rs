//! A head whose fields are passed on as they came, in nearly all responses that nobody looks into.

use super::{Framing, announced, unusual_reason};
use crate::fields::{self, ResponseLine};
use crate::lines::{Kept, Lines};
use crate::upstream::head::{Ends, Head};
use crate::upstream::malformed::Malformed;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// What the fields of such a head say.
pub(super) struct Passed {
    kept: Kept,
    has_date: bool,
    ends: Ends,
    keeps_open: bool,
    idle_timeout: Option<Duration>,
}

impl Passed {
    /// Of the fields of a head. `None` where one of them may have to be changed, or names others that end here.
    pub(super) fn of(fields: &[httparse::Header<'_>], head: &[u8], version: u8) -> Result<Option<Self>, Malformed> {
        let (mut kept, mut has_date) = (Kept::default(), false);
        let (mut framing, mut idle_timeout) = (Framing::default(), None);
        let (mut keeps_open, mut closes) = (version == 1, false);
        for (field, next) in fields.iter().zip(ends_of(fields, head)) {
            match fields::of_line(field.name.as_bytes()) {
                ResponseLine::Copied => {}
                ResponseLine::Date => has_date = true,
                ResponseLine::ContentLength => {
                    framing.length(field.value)?;
                    continue;
                }
                ResponseLine::TransferEncoding => {
                    framing.coding(field.value)?;
                    continue;
                }
                ResponseLine::Connection if fields::is_usual_connection(field.value) => {
                    let is_close = field.value.eq_ignore_ascii_case(b"close");
                    closes |= is_close;
                    keeps_open |= !is_close;
                    continue;
                }
                ResponseLine::KeepAlive => {
                    idle_timeout = idle_timeout.or_else(|| announced(field.value));
                    continue;
                }
                ResponseLine::Hop => continue,
                ResponseLine::Connection | ResponseLine::Rewritable => return Ok(None),
            }
            if !kept.add(fields::place(head, field.name.as_bytes()).0, next) {
                return Ok(None);
            }
        }
        let ends = framing.ends(version)?;
        Ok(Some(Self {
            kept,
            has_date,
            ends,
            keeps_open: keeps_open && !closes && ends != Ends::Closed,
            idle_timeout,
        }))
    }

    /// The head with these fields.
    pub(super) fn head(self, status: StatusCode, head: Bytes) -> Head {
        Head {
            status,
            reason: unusual_reason(status, &head),
            headers: HeaderMap::new(),
            lines: Some(Lines::new(head, self.kept, self.has_date)),
            ends: self.ends,
            keeps_open: self.keeps_open,
            is_bodiless: false,
            idle_timeout: self.idle_timeout,
            is_rewritable: false,
        }
    }
}

/// Where the line of each field ends: where the next one begins, and before the empty line.
fn ends_of(fields: &[httparse::Header<'_>], head: &[u8]) -> impl Iterator<Item = usize> {
    let begins = fields
        .iter()
        .skip(1)
        .map(|field| fields::place(head, field.name.as_bytes()).0);
    begins.chain([head.len() - b"\r\n".len()])
}
