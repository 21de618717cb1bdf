//! One question put to the name servers in turn, until one of them has answered it.

use super::reply::{Absence, Failure, Reply};
use std::net::IpAddr;
use std::time::Duration;

/// A question on its way through the servers. Servers are numbered in configured order.
#[derive(Debug)]
pub(super) struct Question {
    /// The servers still to be asked, the next one last.
    queue: Vec<usize>,
    /// How often those that stay silent are asked again.
    rounds: u8,
    /// Whether a server's "no" counts only when those before it have had their say.
    cautious: bool,
    silent: Vec<usize>,
    failures: Vec<(usize, Failure)>,
    absent: Option<(usize, Absence, Option<Duration>)>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The addresses.
    Addresses { addresses: Vec<IpAddr>, ttl: Duration },
    /// There are none, says this server.
    Absent {
        absence: Absence,
        ttl: Option<Duration>,
        server: usize,
        /// Whether no server before that one could know better: it may be one that knows less.
        sure: bool,
    },
    /// No server answered it.
    Failed,
}

impl Question {
    /// A question for servers in this order. Those that stay silent are asked up to `attempts` times.
    pub(super) fn new(order: &[usize], attempts: u8, cautious: bool) -> Self {
        Self {
            queue: order.iter().rev().copied().collect(),
            rounds: attempts.saturating_sub(1),
            cautious,
            silent: Vec::new(),
            failures: Vec::new(),
            absent: None,
        }
    }

    /// The server to ask. `None` when there are no servers.
    pub(super) fn server(&self) -> Option<usize> {
        self.queue.last().copied()
    }

    /// What each server said that did not answer.
    pub(super) fn failures(&self) -> &[(usize, Failure)] {
        &self.failures
    }

    /// Takes the reply of the server that was asked. `None` when another is to be asked.
    pub(super) fn heard(&mut self, reply: Reply) -> Option<Verdict> {
        let server = self.queue.pop()?;
        self.failures.retain(|(failed, _)| *failed != server);
        match reply {
            Reply::Addresses { addresses, ttl } => return Some(Verdict::Addresses { addresses, ttl }),
            Reply::Absent { absence, ttl } => {
                let sure = (0..server).all(|before| self.has_declined(before));
                if sure || !self.cautious {
                    return Some(Verdict::Absent {
                        absence,
                        ttl,
                        server,
                        sure,
                    });
                }
                self.absent = Some((server, absence, ttl));
                self.queue.retain(|other| *other < server);
                self.silent.retain(|other| *other < server);
            }
            Reply::Failed(failure) => {
                if failure.is_silence() {
                    self.silent.push(server);
                }
                self.failures.push((server, failure));
            }
            // Whoever asks follows aliases.
            Reply::Alias { .. } => self.failures.push((server, Failure::TooManyAliases)),
        }
        if self.queue.is_empty() && self.rounds > 0 {
            self.rounds -= 1;
            self.queue = std::mem::take(&mut self.silent);
            self.queue.sort_unstable_by(|one, other| other.cmp(one));
        }
        if !self.queue.is_empty() {
            return None;
        }
        Some(match self.absent {
            Some((server, absence, ttl)) => Verdict::Absent {
                absence,
                ttl,
                server,
                sure: false,
            },
            None => Verdict::Failed,
        })
    }

    /// Whether a server has left the question to the others.
    fn has_declined(&self, server: usize) -> bool {
        let mut failures = self.failures.iter();
        failures.any(|(failed, failure)| *failed == server && !failure.is_passing())
    }
}

#[cfg(test)]
mod tests;
