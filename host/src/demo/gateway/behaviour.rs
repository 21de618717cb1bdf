//! The ways in which a demo gateway can fail.

/// How a demo gateway behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers at once.
    Serve,
    /// Answers after 1.5 s.
    Slow,
    /// Answers 503.
    Fail,
    /// Answers every tenth request with 503.
    Flaky,
    /// Never answers every tenth request.
    Lose,
    /// Accepts and never answers.
    Hang,
    /// Closes the connection instead of answering.
    Drop,
    /// Closes the connection instead of answering a request with more than 4 KiB of fields, as servers with small buffers do.
    SmallHeads,
    /// Resets the connection instead of answering.
    Reset,
    /// Sends half of an answer and closes the connection.
    Cut,
    /// Closes the connections that are open, also those with requests in flight, and serves new ones.
    Disconnect,
    /// Drops all packets: new connections are not established, open ones get no data.
    Swallow,
    /// Stops gracefully: no listener, running requests are answered, idle connections are closed.
    Stop,
    /// Down: no listener, and open connections are cut.
    Dead,
}

impl Behaviour {
    /// Every behaviour with the word that asks for it.
    pub const ALL: [(&'static str, Self); 14] = [
        ("heal", Self::Serve),
        ("slow", Self::Slow),
        ("fail", Self::Fail),
        ("flaky", Self::Flaky),
        ("lose", Self::Lose),
        ("hang", Self::Hang),
        ("drop", Self::Drop),
        ("smallheads", Self::SmallHeads),
        ("reset", Self::Reset),
        ("cut", Self::Cut),
        ("disconnect", Self::Disconnect),
        ("swallow", Self::Swallow),
        ("stop", Self::Stop),
        ("kill", Self::Dead),
    ];

    /// The behaviour a word asks for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|(name, _)| *name == word)
            .map(|(_, behaviour)| behaviour)
    }

    /// Its description.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serve => "answering",
            Self::Slow => "slow",
            Self::Fail => "failing",
            Self::Flaky => "flaky",
            Self::Lose => "losing requests",
            Self::Hang => "hanging",
            Self::Drop => "dropping connections",
            Self::SmallHeads => "closing connections with large heads",
            Self::Reset => "resetting connections",
            Self::Cut => "cutting answers short",
            Self::Disconnect => "serving new connections only",
            Self::Swallow => "swallowing everything",
            Self::Stop => "stopped",
            Self::Dead => "dead",
        }
    }

    /// Whether there is no listener.
    pub(super) fn is_down(self) -> bool {
        matches!(self, Self::Stop | Self::Dead)
    }
}
