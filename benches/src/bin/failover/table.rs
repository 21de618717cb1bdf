//! Prints the results as a table.

use crate::course::{Pace, Seen};
use crate::fault::{Bar, Fault};
use crate::figures::{Figures, millis};
use crate::noise::load_average;
use std::process::ExitCode;
use std::time::Duration;

/// The totals over all faults.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    faults: usize,
    passed: usize,
    /// `GET`s and lost ones, for faults that leave a region up.
    gets: usize,
    lost: usize,
    /// Of those lost: answers that broke off after part had been delivered, which only holding back avoids.
    begun: usize,
}

/// How a fault compares with its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Miss,
    /// The machine was too noisy to decide.
    Noise,
}

pub(crate) fn print_head(pace: &Pace) {
    println!(
        "{} requests/s, 10 % POST{}, {} s of fault after {} s of calm; times in ms; load average {}",
        pace.rate,
        if pace.tls { ", TLS" } else { "" },
        pace.fault.as_secs(),
        pace.calm.as_secs(),
        load_average()
    );
    println!(
        "{:<26} {:>5} {:>5} {:>5} {:>6} {:>6} {:>7} {:>6} {:>6} {:>5} {:>5}  {:<34} verdict",
        "fault", "GETs", "POSTs", "POSTs", "stall", "stall", "avoided", "good", "first", "noise", "load", "limits"
    );
    println!(
        "{:<26} {:>5} {:>5} {:>5} {:>6} {:>6} {:>7} {:>6} {:>6} {:>5} {:>5}",
        "", "lost", "lost", "twice", "GET", "POST", "after", "after", "back", "", ""
    );
}

impl Sum {
    /// Prints a row, and counts it unless it is to be repeated.
    pub(crate) fn add(&mut self, fault: &Fault, seen: &Seen, repeats: bool) -> Verdict {
        let figures = Figures::of(fault, seen);
        let misses = figures.misses(&fault.bar);
        let verdict = match misses[..] {
            [] => Verdict::Pass,
            _ if figures.is_noise(&fault.bar) => Verdict::Noise,
            _ => Verdict::Miss,
        };
        print_row(fault, seen, &figures, verdict, &misses);
        if !fault.is_total() {
            self.gets += seen.sent.iter().filter(|it| !it.is_post).count();
            self.lost += figures.lost_gets;
            self.begun += if fault.holds_back { 0 } else { begun(&figures) };
        }
        if verdict != Verdict::Noise || !repeats {
            self.faults += 1;
            self.passed += usize::from(verdict == Verdict::Pass);
        }
        verdict
    }

    /// Prints the totals. Fails when a limit was exceeded.
    pub(crate) fn conclude(&self) -> ExitCode {
        self.print();
        if self.passed == self.faults {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn print(&self) {
        let share = |lost: usize| 100.0 * (1.0 - lost as f64 / self.gets.max(1) as f64);
        println!(
            "\n{} of {} pass; load average {}",
            self.passed,
            self.faults,
            load_average()
        );
        println!(
            "availability while a region is up: {:.4} % of {} GETs; {:.4} % but for answers that had begun \
             (limit 99.999 %)",
            share(self.lost),
            self.gets,
            share(self.lost - self.begun)
        );
    }
}

/// `GET`s whose answers broke off after they had begun.
fn begun(figures: &Figures) -> usize {
    let losses = figures.losses.iter().filter(|(word, _)| word.starts_with("GET body"));
    losses.map(|(_, count)| count).sum()
}

fn print_row(fault: &Fault, seen: &Seen, figures: &Figures, verdict: Verdict, misses: &[String]) {
    let optional = |time: Option<Duration>| time.map_or_else(|| "-".into(), millis);
    println!(
        "{:<26} {:>5} {:>5} {:>5} {:>6} {:>6} {:>7} {:>6} {:>6} {:>5} {:>5}  {:<34} {}",
        fault.name,
        figures.lost_gets,
        figures.lost_posts,
        figures.twice,
        millis(figures.stall),
        millis(figures.post_stall),
        optional(figures.avoided),
        millis(figures.good),
        optional(figures.down.and_then(|down| down.back)),
        millis(figures.noise),
        load_average(),
        describe(&fault.bar),
        match verdict {
            Verdict::Pass => "pass".to_owned(),
            Verdict::Noise => format!("noise: {}", misses.join(", ")),
            Verdict::Miss => format!("MISS: {}", misses.join(", ")),
        }
    );
    if seen.regions != fault.nearest() {
        println!("{:<26} in {}", "", seen.regions.join(", "));
    }
    if let Some(down) = &figures.down {
        println!("{:<26} meanwhile answered within {} ms", "", millis(down.wait));
    }
    if !figures.losses.is_empty() {
        let losses = figures.losses.iter().map(|(word, count)| format!("{count} {word}"));
        println!("{:<26} lost: {}", "", losses.collect::<Vec<_>>().join(", "));
    }
}

/// The limits in words.
fn describe(bar: &Bar) -> String {
    let mut parts = Vec::new();
    parts.extend(bar.lost_gets.map(|most| format!("{most} GETs")));
    parts.extend(bar.lost_posts.map(|most| format!("{most} POSTs")));
    parts.extend(bar.stall.map(|most| format!("stall {}", millis(most))));
    parts.extend(bar.impact.map(|most| format!("impact {}", millis(most))));
    parts.extend(bar.unavailable.map(|most| format!("503 in {}", millis(most))));
    parts.extend(bar.back.map(|most| format!("back in {}", millis(most))));
    parts.join(", ")
}
