//! Traces across programs (W3C Trace Context), and which requests spans are recorded of.

use crate::chance::spread;
use crate::id::Slot;

/// A valid `traceparent` has so many bytes; later versions may have more.
pub const TRACEPARENT: usize = 55;

/// The flag that says that the caller has recorded a span (W3C Trace Context, section 3.2.2.5.1).
const SAMPLED: u8 = 1;

/// The span that a request comes from, as its `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    /// Whether that is recorded.
    pub is_sampled: bool,
}

impl Parent {
    /// `version-trace-parent-flags` in lower-case hexadecimal digits, neither id all zeros (W3C Trace Context, section 3.2.2). `None` for
    /// anything else.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(TRACEPARENT)?;
        let text = std::str::from_utf8(head).ok()?;
        let has_form = text.bytes().enumerate().all(|(index, byte)| match index {
            2 | 35 | 52 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
        let is_version = match text.get(..2)? {
            "00" => rest.is_empty(),
            "ff" => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        if !has_form || !is_version {
            return None;
        }
        let trace = u128::from_str_radix(text.get(3..35)?, 16).ok()?;
        let span = u64::from_str_radix(text.get(36..52)?, 16).ok()?;
        let flags = u8::from_str_radix(text.get(53..55)?, 16).ok()?;
        (trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            is_sampled: flags & SAMPLED != 0,
        })
    }
}

/// A span of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Its trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
}

impl SpanContext {
    /// A span of a trace, by a random number.
    pub fn of(trace: u128, roll: u64) -> Self {
        Self {
            trace: trace.max(1),
            span: roll.max(1),
        }
    }

    /// The span of the request's attempt in a region: there is at most one of each.
    pub fn attempt(self, slot: Slot) -> u64 {
        spread(self.span, slot.index() as u64 + 1).max(1)
    }
}

/// Whether spans of a request are recorded, with a random number: the decision of the parent where the one who sent it is trusted, else
/// by chance, for the share that `bound` is of all numbers (OpenTelemetry's `ParentBased` sampler with a remote parent that is believed
/// or not).
pub fn is_recorded(parent: Option<Parent>, is_trusted: bool, bound: u64, roll: u64) -> bool {
    match parent {
        Some(parent) if is_trusted => parent.is_sampled,
        _ => roll <= bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: &[u8] = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_parent_is_read_as_the_specification_has_it() {
        let parent = Parent::parse(USUAL).expect("a parent");
        assert_eq!(parent.trace, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!((parent.span, parent.is_sampled), (0xb7ad_6b71_6920_3331, true));
        let with = |from: usize, text: &str| {
            let mut value = USUAL.to_vec();
            value.splice(from..(from + text.len()).min(value.len()), text.bytes());
            Parent::parse(&value)
        };
        assert_eq!(with(53, "00").map(|it| it.is_sampled), Some(false));
        assert_eq!(
            with(53, "03").map(|it| it.is_sampled),
            Some(true),
            "flags of later levels"
        );
        assert!(
            with(0, "cc").is_some() && with(55, "-more").is_none(),
            "version 00 has no more"
        );
        for (from, bad) in [
            (0, "ff"),
            (3, "00000000000000000000000000000000"),
            (36, "0000000000000000"),
            (4, "A"),
            (35, "_"),
            (53, "0"),
        ] {
            let value = if bad == "0" {
                Parent::parse(&USUAL[..54])
            } else {
                with(from, bad)
            };
            assert_eq!(value, None, "{bad}");
        }
    }

    #[test]
    fn a_trusted_parent_decides_and_chance_else() {
        let parent = |is_sampled| Parent::parse(USUAL).map(|parent| Parent { is_sampled, ..parent });
        let one_percent = u64::MAX / 100;
        assert!(is_recorded(parent(true), true, 0, u64::MAX));
        assert!(!is_recorded(parent(false), true, u64::MAX, 0));
        for untrusted in [parent(true), parent(false)] {
            assert!(is_recorded(untrusted, false, one_percent, 5));
            assert!(!is_recorded(untrusted, false, one_percent, u64::MAX / 2));
        }
        assert!(is_recorded(None, true, one_percent, 5) && !is_recorded(None, true, one_percent, u64::MAX));
    }

    #[test]
    fn attempts_have_spans_of_their_own() {
        let context = SpanContext::of(7, 9);
        let spans = [Slot(0), Slot(1), Slot(2)].map(|slot| context.attempt(slot));
        assert!(
            spans[0] != spans[1] && spans[1] != spans[2] && !spans.contains(&9),
            "{spans:?}"
        );
        assert_eq!(spans[1], context.attempt(Slot(1)));
        assert_eq!(SpanContext::of(0, 0), SpanContext { trace: 1, span: 1 });
    }
}
