//! The kernel's figures about this process, read on demand.

use crate::cpu_time;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::time::Duration;

/// The process at one moment. What cannot be read is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Processor time used by all threads.
    pub cpu: Duration,
    /// Memory that is resident, in bytes.
    pub resident_bytes: Option<u64>,
    /// Memory that is mapped, in bytes.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// How many may be open; `None` also when there is no limit.
    pub max_files: Option<u64>,
}

impl Process {
    /// Reads `/proc/self` and the clocks.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kibibytes = |key| number(&status, key).map(|count| count * 1024);
        Self {
            cpu: cpu_time::of_process(),
            resident_bytes: kibibytes("VmRSS:"),
            virtual_bytes: kibibytes("VmSize:"),
            threads: number(&status, "Threads:"),
            // The folder itself is open while it is being listed.
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|files| files.count().saturating_sub(1) as u64),
            max_files: getrlimit(Resource::Nofile).current,
        }
    }
}

/// The first number on the line that begins with `key`.
fn number(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let before = Process::read();
        let files: Vec<_> = (0..10).map(|_| fs::File::open("/dev/null").expect("opened")).collect();
        let after = Process::read();
        assert!(after.cpu >= before.cpu && !after.cpu.is_zero());
        assert!(after.resident_bytes > Some(1 << 20), "{after:?}");
        assert!(after.virtual_bytes >= after.resident_bytes, "{after:?}");
        assert!(after.threads >= Some(1), "{after:?}");
        // Other tests open and close files meanwhile; these ten remain open.
        assert!(after.open_files >= Some(files.len() as u64), "{after:?}");
    }

    #[test]
    fn a_line_that_is_not_there_is_not_a_number() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\nThreads:\tmany\n";
        assert_eq!(number(status, "VmRSS:"), Some(1234));
        assert_eq!(number(status, "Threads:"), None);
        assert_eq!(number(status, "VmSize:"), None);
    }
}
