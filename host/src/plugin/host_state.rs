//! The host's functions for guests: log lines, undeclared headers, counters.

use super::contract::{Level, Minor};
use super::fields::{VisibleFields, join_values};
use super::limits::{Budget, MemoryLimit};
use super::meters::Meter;
use http::{HeaderMap, HeaderName};
use portolan_core::id::PluginName;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, WasmStr};

/// The store data of one instance.
#[derive(Debug)]
pub(super) struct InstanceState {
    pub(super) memory: MemoryLimit,
    pub(super) budget: Budget,
    pub(super) plugin: Rc<RefCell<PluginState>>,
}

/// Per plugin and worker: shared by the instances that follow each other.
#[derive(Debug)]
pub(super) struct PluginState {
    plugin: PluginName,
    /// The time of the current request.
    pub(super) now: Instant,
    lines: Lines,
    /// The last error that the guest logged: the message of a panic.
    last_error: Option<String>,
    headers: Headers,
    counters: Option<Counters>,
}

/// Where a worker counts for a plugin.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) meter: Arc<Meter>,
    pub(super) worker: usize,
    pub(super) places: Vec<Option<usize>>,
}

impl PluginState {
    pub(super) fn new(plugin: PluginName, counters: Option<Counters>, now: Instant) -> Self {
        Self {
            plugin,
            now,
            lines: Lines::new(now),
            last_error: None,
            headers: Headers::default(),
            counters,
        }
    }

    /// Makes the headers of the current request available to `host.header`.
    pub(super) fn lend(&mut self, fields: VisibleFields<'_>) {
        self.headers.copy(fields);
    }

    /// Drops the headers: they keep the buffers alive that the request was read into.
    pub(super) fn take_back(&mut self) {
        self.headers.map.clear();
    }

    /// Takes the guest's last error line.
    pub(super) fn last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Whether another line about this plugin may be logged, with the number of lines lost since the one before.
    pub(super) fn may_log(&mut self) -> Option<u32> {
        self.lines.take(self.now)
    }

    fn log(&mut self, level: Level, message: &str) {
        let text = printable(message);
        if level == Level::Error {
            self.last_error = Some(text.clone());
        }
        let Some(lost) = self.may_log() else { return };
        let plugin = self.plugin.as_str();
        match level {
            Level::Trace => tracing::trace!(target: "portolan::plugin", plugin, lost, "{text}"),
            Level::Debug => tracing::debug!(target: "portolan::plugin", plugin, lost, "{text}"),
            Level::Info => tracing::info!(target: "portolan::plugin", plugin, lost, "{text}"),
            Level::Warn => tracing::warn!(target: "portolan::plugin", plugin, lost, "{text}"),
            Level::Error => tracing::error!(target: "portolan::plugin", plugin, lost, "{text}"),
        }
    }

    fn count(&self, counter: u32, delta: u32) {
        let Some(counters) = &self.counters else { return };
        let place = usize::try_from(counter)
            .ok()
            .and_then(|counter| counters.places.get(counter).copied().flatten());
        if let Some(place) = place {
            counters.meter.add(counters.worker, place, delta);
        }
    }
}

/// Offers the host's functions to guests: the same in each version of the contract.
pub(super) fn offer(linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    Minor::ALL.into_iter().try_for_each(|minor| offer_as(minor, linker))
}

fn offer_as(minor: Minor, linker: &mut Linker<InstanceState>) -> wasmtime::Result<()> {
    let mut host = linker.instance(minor.host())?;
    host.func_wrap(
        "log",
        |store: StoreContextMut<'_, InstanceState>, (level, message): (Level, WasmStr)| {
            let message = message.to_str(&store)?;
            store.data().plugin.borrow_mut().log(level, &message);
            Ok(())
        },
    )?;
    host.func_wrap(
        "header",
        |store: StoreContextMut<'_, InstanceState>, (name,): (WasmStr,)| {
            let name = name.to_str(&store)?;
            let value = store.data().plugin.borrow().headers.get(&name);
            Ok((value,))
        },
    )?;
    host.func_wrap(
        "count",
        |store: StoreContextMut<'_, InstanceState>, (counter, delta): (u32, u32)| {
            store.data().plugin.borrow().count(counter, delta);
            Ok(())
        },
    )
}

/// The longest line a guest may write, in bytes.
const LINE: usize = 1024;

/// A guest's text on one line of bounded length.
fn printable(message: &str) -> String {
    let end = message.floor_char_boundary(LINE);
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    message[..end].chars().map(one_line).collect()
}

/// How many lines may be written: [`BURST`](Self::BURST) at once, one per [`PACE`](Self::PACE) on average.
#[derive(Debug)]
struct Lines {
    left: u32,
    since: Instant,
    lost: u32,
}

impl Lines {
    const BURST: u32 = 20;
    const PACE: Duration = Duration::from_millis(500);

    fn new(now: Instant) -> Self {
        Self {
            left: Self::BURST,
            since: now,
            lost: 0,
        }
    }

    fn take(&mut self, now: Instant) -> Option<u32> {
        let earned = now.saturating_duration_since(self.since).as_millis() / Self::PACE.as_millis();
        if earned > 0 {
            self.left = u32::try_from(earned)
                .unwrap_or(u32::MAX)
                .saturating_add(self.left)
                .min(Self::BURST);
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.lost))
            }
            None => {
                self.lost = self.lost.saturating_add(1);
                None
            }
        }
    }
}

/// The headers of a request, for as long as a guest may ask. A guest's store cannot borrow from the request; this copy is
/// made, into memory that is kept, only for plugins that import `host.header`.
#[derive(Debug, Default)]
struct Headers {
    map: HeaderMap,
}

impl Headers {
    fn copy(&mut self, fields: VisibleFields<'_>) {
        self.map.clear();
        for (name, value) in fields.iter() {
            // Values are counted references; only names that are not standard are copied.
            self.map.append(name, value.clone());
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        if !self.map.contains_key(&name) {
            return None;
        }
        let mut joined = String::new();
        join_values(self.map.get_all(&name), &mut joined);
        Some(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_writes_a_burst_then_a_trickle() {
        let start = Instant::now();
        let mut lines = Lines::new(start);
        assert_eq!((0..100).filter(|_| lines.take(start).is_some()).count(), 20);
        let later = start + Duration::from_secs(1);
        assert_eq!(lines.take(later), Some(80), "the number of lost lines is reported");
        assert_eq!(lines.take(later), Some(0));
        assert_eq!(lines.take(later), None);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| lines.take(much_later).is_some()).count(), 20);
    }

    #[test]
    fn lines_are_lines_and_short() {
        assert_eq!(printable("a\nb\x1b[31m\r"), "a b [31m ");
        assert_eq!(printable(&"ö".repeat(2_000)).len(), LINE);
        assert_eq!(printable(&format!("a{}", "ö".repeat(2_000))).len(), LINE - 1);
    }

    #[test]
    fn headers_are_found_joined() {
        let mut headers = Headers::default();
        let mut map = HeaderMap::new();
        map.append("x-a", "1".parse().unwrap());
        map.append("x-a", "2".parse().unwrap());
        map.append("x-b", "".parse().unwrap());
        headers.copy(VisibleFields::all(&map));
        let get = |name| headers.get(name);
        assert_eq!((get("X-A").as_deref(), get("x-b").as_deref()), (Some("1, 2"), Some("")));
        assert_eq!((get("x-c"), get("not a name")), (None, None));
        headers.copy(VisibleFields::all(&HeaderMap::new()));
        assert_eq!(headers.get("x-a"), None);
    }
}
