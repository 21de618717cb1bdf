//! The plan as people read it.

use super::{Drift, Plan};
use crate::diff::Change;
use crate::intent::Intent;
use crate::origin::Members;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.changes.len(), &self.wait, &self.decision.suspended) {
            (_, _, Some(why)) => writeln!(f, "nothing may be changed: {why}")?,
            (0, ..) => writeln!(f, "nothing to change")?,
            (1, None, _) => writeln!(f, "1 change")?,
            (n, None, _) => writeln!(f, "{n} changes")?,
            (1, Some(wait), _) => writeln!(f, "1 change, waiting {wait}")?,
            (n, Some(wait), _) => writeln!(f, "{n} changes, waiting {wait}")?,
        }
        for wanted in &self.wanted {
            let (region, origin) = (&wanted.region, &wanted.origin);
            match self.changes.iter().find(|change| &change.region == region) {
                Some(change) => {
                    writeln!(f, "  ~ {region}  {origin}  {}", change.why())?;
                    write!(f, "{}", Lines(change))?;
                }
                None if self.missing.contains(origin) => writeln!(f, "  ? {region}  {origin}  is not in the group")?,
                None if wanted.intent == Intent::Baseline => writeln!(f, "  = {region}  {origin}  as configured")?,
                None => writeln!(f, "  = {region}  {origin}  {}", wanted.intent.as_str())?,
            }
            for hold in self.decision.holds.iter().filter(|hold| &hold.region == region) {
                let wish = match hold.wish {
                    Intent::Baseline => "healthy",
                    Intent::Demoted => "unhealthy",
                    Intent::Drained => "draining",
                };
                writeln!(f, "      held: {wish} {}", hold.why)?;
            }
            for drift in self.drift.iter().filter(|drift| &drift.region == region) {
                let (left, found) = (All(&drift.left), All(&drift.found));
                writeln!(f, "      drift: left as {left}, found as {found}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, found) = (All(&self.left), All(&self.found));
        write!(f, "origin {}: left as {left}, found as {found}", self.origin)
    }
}

struct Lines<'a>(&'a Change);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { from, set, .. } = self.0;
        if let Some(priority) = set.priority {
            writeln!(f, "      priority  {} -> {priority}", Or(from.priority))?;
        }
        if let Some(weight) = set.weight {
            writeln!(f, "      weight    {} -> {weight}", Or(from.weight))?;
        }
        if let Some(enabled) = set.enabled {
            writeln!(f, "      enabled   {} -> {enabled}", Or(from.enabled))?;
        }
        Ok(())
    }
}

/// All three members on one line.
pub(crate) struct All<'a>(pub(crate) &'a Members);

impl fmt::Display for All<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Members {
            priority,
            weight,
            enabled,
        } = self.0;
        write!(
            f,
            "priority {} weight {} enabled {}",
            Or(*priority),
            Or(*weight),
            Or(*enabled)
        )
    }
}

struct Or<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Or<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("unset"),
        }
    }
}
