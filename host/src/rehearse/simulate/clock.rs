//! What happens when, in order.

use crate::config::{Happening, Scenario};
use std::time::Duration;

/// What begins and ends, by its moment.
#[derive(Debug)]
pub(super) struct Agenda {
    /// The next one last.
    rest: Vec<(Duration, Happening, bool)>,
}

impl Agenda {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut rest: Vec<_> = scenario
            .events
            .iter()
            .flat_map(|event| {
                let begin = (event.from, event.what.clone(), true);
                let end = event.until.map(|until| (until, event.what.clone(), false));
                std::iter::once(begin).chain(end)
            })
            .collect();
        // What ends at a moment ends before what begins then.
        rest.sort_by_key(|(at, _, begins)| (*at, *begins));
        rest.reverse();
        Self { rest }
    }

    /// What begins (true) and ends by now, each once.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(Happening, bool)> {
        let mut due = Vec::new();
        while let Some((_, what, begins)) = self.rest.pop_if(|(at, ..)| *at <= now) {
            due.push((what, begins));
        }
        due
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.rest.last().map(|(at, ..)| *at)
    }
}
