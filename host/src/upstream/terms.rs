//! The terms of an exchange.

use super::progress::AttemptProgress;
use std::time::{Duration, Instant};

/// The terms of an exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    /// When the attempt began.
    pub(super) began: Instant,
    /// The deadline for connecting.
    pub(super) deadline: Instant,
    /// Time for each address to accept a connection, and again for the TLS handshake.
    pub(super) connect: Duration,
    /// Time without a byte of the response's body.
    pub(super) idle: Duration,
    /// Whether the request may be sent again although it may have arrived.
    pub(super) may_repeat: bool,
    /// How far the attempt is.
    pub(super) progress: AttemptProgress<'a>,
}
