//! gRPC as a proxy meets it: which requests are calls, how they end, and the time that a client gives one.
//!
//! Of the protocol over HTTP/2 (`PROTOCOL-HTTP2.md`) only heads and trailers matter here; messages pass as bytes.

use std::time::Duration;

/// How a call ended: `grpc-status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum GrpcStatus {
    /// It succeeded.
    Ok = 0,
    /// It was cancelled, usually by its client.
    Cancelled,
    /// The application failed in an unknown way; also what is no status.
    Unknown,
    /// The client sent something wrong.
    InvalidArgument,
    /// The client's deadline passed.
    DeadlineExceeded,
    /// There is no such thing.
    NotFound,
    /// There is such a thing already.
    AlreadyExists,
    /// The client may not do this.
    PermissionDenied,
    /// A quota is used up.
    ResourceExhausted,
    /// Something has to be done before.
    FailedPrecondition,
    /// It conflicted with another call.
    Aborted,
    /// Beyond the end of something.
    OutOfRange,
    /// There is no such method.
    Unimplemented,
    /// Something broke in the server, or the message of one side.
    Internal,
    /// The server cannot serve now.
    Unavailable,
    /// Data is lost.
    DataLoss,
    /// The client has not said who it is.
    Unauthenticated,
}

impl GrpcStatus {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The status that a value of `grpc-status` means. What is no number from 0 to 16 is [`GrpcStatus::Unknown`], as clients
    /// read it.
    pub fn of_value(value: &[u8]) -> Self {
        let number = match value {
            [digit @ b'0'..=b'9'] => digit - b'0',
            [b'1', digit @ b'0'..=b'6'] => 10 + digit - b'0',
            _ => Self::Unknown.code(),
        };
        Self::ALL[usize::from(number)]
    }

    /// Its number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
            Self::InvalidArgument => "invalid_argument",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::PermissionDenied => "permission_denied",
            Self::ResourceExhausted => "resource_exhausted",
            Self::FailedPrecondition => "failed_precondition",
            Self::Aborted => "aborted",
            Self::OutOfRange => "out_of_range",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::DataLoss => "data_loss",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

/// Whether a value of `content-type` is that of a call: `application/grpc`, with a message format or parameters or without.
/// `application/grpc-web` is another protocol, whose status is in the body.
pub fn is_content_type(value: &[u8]) -> bool {
    const NAME: &[u8] = b"application/grpc";
    match value.split_at_checked(NAME.len()) {
        Some((name, rest)) => {
            name.eq_ignore_ascii_case(NAME) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
        }
        None => false,
    }
}

/// The time that a client gives a call from when it sends it: a value of `grpc-timeout`, at most eight digits and a unit (`H`,
/// `M`, `S`, `m`, `u`, `n`). `None` for what is none.
pub fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let amount = digits.iter().try_fold(0_u64, |amount, digit| {
        digit.is_ascii_digit().then(|| 10 * amount + u64::from(digit - b'0'))
    })?;
    Some(match unit {
        b'H' => Duration::from_secs(3600 * amount),
        b'M' => Duration::from_secs(60 * amount),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_status_has_its_number_and_its_word() {
        let mut words = HashSet::new();
        for (number, status) in (0..).zip(GrpcStatus::ALL) {
            assert_eq!(status.code(), number);
            assert_eq!(GrpcStatus::of_value(number.to_string().as_bytes()), status);
            assert!(words.insert(status.as_str()), "{status:?}");
        }
        for value in ["", "17", "99", "00", "014", "-1", "1 ", "OK", "256"] {
            assert_eq!(GrpcStatus::of_value(value.as_bytes()), GrpcStatus::Unknown, "{value:?}");
        }
    }

    #[test]
    fn calls_are_told_by_their_content_type() {
        for value in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;charset=utf-8",
            "application/grpc ; a=b",
            "Application/gRPC+json",
        ] {
            assert!(is_content_type(value.as_bytes()), "{value}");
        }
        for value in [
            "",
            "application/grp",
            "application/grpc-web",
            "application/grpc-web+proto",
            "application/grpcx",
            "application/json",
        ] {
            assert!(!is_content_type(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn a_timeout_is_eight_digits_and_a_unit() {
        for (value, time) in [
            ("5S", Duration::from_secs(5)),
            ("4954m", Duration::from_millis(4954)),
            ("5000000u", Duration::from_secs(5)),
            ("7n", Duration::from_nanos(7)),
            ("2M", Duration::from_secs(120)),
            ("0S", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(timeout(value.as_bytes()), Some(time), "{value}");
        }
        for value in [
            "",
            "S",
            "5",
            "5s",
            "5 S",
            "-5S",
            "+5S",
            "123456789S",
            "1.5S",
            "5SS",
            "5\u{b5}",
        ] {
            assert_eq!(timeout(value.as_bytes()), None, "{value:?}");
        }
    }
}
