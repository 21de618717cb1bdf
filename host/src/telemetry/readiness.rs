//! Whether this instance should get traffic: it should when nothing is missing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is missing, by name. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    missing: Arc<Mutex<Vec<&'static str>>>,
}

/// Something that is missing until this is dropped.
#[must_use = "what is missing is there as soon as this is dropped"]
#[derive(Debug)]
pub struct Missing {
    what: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Names something without which there should be no traffic, until the guard is dropped.
    pub fn wait_for(&self, what: &'static str) -> Missing {
        self.lock().push(what);
        Missing {
            what,
            readiness: self.clone(),
        }
    }

    /// What is still missing, in the order in which it was named.
    pub fn missing(&self) -> Vec<&'static str> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<&'static str>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Missing {
    fn drop(&mut self) {
        let mut missing = self.readiness.lock();
        if let Some(index) = missing.iter().position(|what| *what == self.what) {
            missing.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_the_last_missing_thing_is_there() {
        let readiness = Readiness::default();
        assert!(readiness.missing().is_empty());
        let config = readiness.wait_for("configuration");
        let (one, other) = (readiness.wait_for("listener"), readiness.wait_for("listener"));
        assert_eq!(readiness.missing(), ["configuration", "listener", "listener"]);
        drop((config, one));
        assert_eq!(readiness.clone().missing(), ["listener"]);
        drop(other);
        assert!(readiness.missing().is_empty());
    }
}
