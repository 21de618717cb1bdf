//! One look-up: which server is asked for which name next, and what came of it all.

use super::family::Family;
use super::question::{Question, Verdict};
use super::reply::{Absence, Failure, Reply};
use super::state::{Outcome, Problem, Source};
use hickory_proto::rr::Name;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a look-up is made with.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The name servers in configured order.
    pub(super) servers: Arc<[SocketAddr]>,
    /// The order in which they are asked, by their numbers.
    pub(super) order: Vec<usize>,
    /// How often those that stay silent are asked, at least once.
    pub(super) attempts: u8,
    /// Whether there are addresses of the family to lose: then the "no" of a server counts only when those before it have had their say.
    pub(super) cautious: bool,
}

/// A look-up of one family's addresses under the names of a search list.
///
/// The next name is tried when this one is known to have no address of either family, and never after a failure: with
/// the list's domains in the hands of others, a failure would send traffic to a stranger.
#[derive(Debug)]
pub(super) struct Walk {
    family: Family,
    plan: Plan,
    /// The names still to be tried, the current one last.
    names: Vec<Name>,
    question: Question,
    /// While the other family is asked for: what was said of this one.
    checking: Option<Absent>,
    /// The least negative TTL so far.
    ttl: Option<Duration>,
}

/// A question to be put to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask<'a> {
    pub(super) server: SocketAddr,
    pub(super) name: &'a Name,
    pub(super) family: Family,
}

#[derive(Clone, Copy, Debug)]
struct Absent {
    absence: Absence,
    server: usize,
    sure: bool,
}

impl Walk {
    /// A look-up of these names, the first one first.
    pub(super) fn new(family: Family, mut names: Vec<Name>, plan: Plan) -> Self {
        names.reverse();
        Self {
            family,
            question: plan.question(),
            plan,
            names,
            checking: None,
            ttl: None,
        }
    }

    /// What to ask. `None` when there is nobody to ask, or nothing to ask for.
    pub(super) fn ask(&self) -> Option<Ask<'_>> {
        Some(Ask {
            server: *self.plan.servers.get(self.question.server()?)?,
            name: self.names.last()?,
            family: match self.checking {
                Some(_) => self.family.other(),
                None => self.family,
            },
        })
    }

    /// Takes the reply to what was asked. `None` when there is more to ask.
    pub(super) fn heard(&mut self, reply: Reply) -> Option<Outcome> {
        let verdict = self.question.heard(reply)?;
        match (verdict, self.checking.take()) {
            (Verdict::Addresses { addresses, ttl }, None) => Some(Outcome::Addresses {
                addresses,
                ttl,
                source: Source::Dns(self.names.last()?.clone()),
            }),
            // The name is there, with addresses of the other family: it is the one that is meant.
            (Verdict::Addresses { .. }, Some(absent)) => Some(self.absent(absent)),
            (Verdict::Failed, None) => Some(Outcome::Failed(self.failed())),
            (Verdict::Failed, Some(absent)) if self.plan.cautious => {
                let mut problem = self.failed();
                problem.text = format!("{}; {}", self.text(absent), problem.text);
                Some(Outcome::Failed(problem))
            }
            // Nothing was ever found here, of neither family, and this family is not here.
            (Verdict::Failed, Some(absent)) => Some(self.absent(absent)),
            (
                Verdict::Absent {
                    absence,
                    ttl,
                    server,
                    sure,
                },
                checked,
            ) => {
                let absent = checked.unwrap_or(Absent { absence, server, sure });
                self.ttl = match (self.ttl, ttl) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                if self.names.len() <= 1 || !sure && self.plan.cautious {
                    return Some(self.absent(absent));
                }
                match absence {
                    Absence::NoData if checked.is_none() => self.checking = Some(absent),
                    _ => drop(self.names.pop()),
                }
                self.question = self.plan.question();
                None
            }
        }
    }

    /// What it comes to when nobody can be asked.
    pub(super) fn nobody(&self) -> Outcome {
        let (reason, text) = match self.names.is_empty() {
            true => ("other", "a name that cannot be asked for"),
            false => ("unreachable", "no name servers are configured"),
        };
        Outcome::Failed(Problem {
            reason,
            text: text.into(),
        })
    }

    fn absent(&self, absent: Absent) -> Outcome {
        let problem = Problem {
            reason: absent.absence.reason(),
            text: self.text(absent),
        };
        if absent.sure || !self.plan.cautious {
            return Outcome::Absent { ttl: self.ttl, problem };
        }
        let before = self.failed().text;
        Outcome::Failed(Problem {
            text: format!("{}; {before}", problem.text),
            ..problem
        })
    }

    fn text(&self, absent: Absent) -> String {
        format!("{}: {}", self.shown(absent.server), absent.absence)
    }

    /// What the servers said, and the reason of the first.
    fn failed(&self) -> Problem {
        let failures = self.question.failures();
        let said: Vec<_> = failures
            .iter()
            .map(|(server, failure)| format!("{}: {failure}", self.shown(*server)))
            .collect();
        Problem {
            reason: failures
                .first()
                .map_or("other", |(_, failure)| Failure::reason(failure)),
            text: said.join("; "),
        }
    }

    fn shown(&self, server: usize) -> String {
        match self.plan.servers.get(server) {
            Some(server) if server.port() == 53 => server.ip().to_string(),
            Some(server) => server.to_string(),
            None => String::new(),
        }
    }
}

impl Plan {
    fn question(&self) -> Question {
        Question::new(&self.order, self.attempts, self.cautious)
    }
}

#[cfg(test)]
mod tests;
