//! The status as people read it.

use super::View;
use crate::desired::Short;
use crate::plan::All;
use std::fmt;
use std::time::Duration;

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |seconds: f64| Short(Duration::from_secs_f64(seconds.max(0.0).round()));
        writeln!(f, "front door {}  ({})", self.front_door, self.mode)?;
        match (&self.leader, self.leads) {
            (_, true) => writeln!(f, "leader     this instance, {}, epoch {}", self.vantage, self.epoch)?,
            (Some(leader), _) => writeln!(f, "leader     {leader}, epoch {}", self.epoch)?,
            (None, _) => match &self.led_last {
                Some(last) => writeln!(f, "leader     none ({last} led last, epoch {})", self.epoch)?,
                None => writeln!(f, "leader     none yet")?,
            },
        }
        let alone = if self.alone {
            ", alone: its own quorum of one"
        } else {
            ""
        };
        writeln!(
            f,
            "votes      {} of {} count, {} are needed{alone}",
            self.votes_live,
            self.vantages.len(),
            self.votes_needed
        )?;
        for vote in &self.vantages {
            let age = vote
                .age_s
                .map_or("no vote".to_owned(), |age| format!("{} old", short(age)));
            let note = match (&vote.invalid, vote.doubted, vote.live) {
                (Some(why), ..) => why,
                (None, true, _) => "abstains: it doubts its own view",
                (None, _, false) => "does not count",
                (None, _, true) => "",
            };
            writeln!(f, "{}", format!("  {}  {age}  {note}", vote.vantage).trim_end())?;
        }
        for region in &self.regions {
            // A dry run changes nothing: what it wants is only true where another has made it so.
            let would = if self.mode == "dry-run" && region.observed != region.desired {
                "would be "
            } else {
                ""
            };
            write!(f, "  {}  {}  {would}{}", region.region, region.origin, region.intent)?;
            if let Some(observed) = &region.observed {
                write!(f, "  (now {})", All(observed))?;
            }
            writeln!(
                f,
                "  votes: {} unhealthy, {} healthy",
                region.unhealthy.votes, region.healthy.votes
            )?;
        }
        if let Some(pending) = &self.pending {
            writeln!(
                f,
                "pending    {} for {}",
                pending.changes.join(", "),
                short(pending.age_s)
            )?;
        }
        if let Some(plan) = &self.plan {
            write!(f, "plan       {plan}")?;
        }
        for alert in &self.alerts {
            writeln!(f, "! {}: {}", alert.code, alert.text)?;
        }
        if let Some(error) = &self.last_error {
            writeln!(f, "last error {} ago: {}", short(error.age_s), error.text)?;
        }
        Ok(())
    }
}
