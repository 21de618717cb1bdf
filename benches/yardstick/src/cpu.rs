//! CPU time and memory of processes, from `/proc`.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// What user space sees of the clock: Linux reports in 100ths of a second on all platforms that Rust's standard library has.
const TICK: Duration = Duration::from_millis(10);

/// CPU time (user and system) of a process and its children so far.
///
/// The scheduler's own account in nanoseconds (`schedstat`) of the threads that live, where the kernel keeps one; else the
/// clock ticks of `stat`.
///
/// # Errors
/// When the process is gone.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let folder = format!("/proc/{pid}");
    let mut sum = match threads(Path::new(&folder)) {
        Ok(time) => time,
        Err(_) => ticks(&fs::read_to_string(format!("{folder}/stat"))?)?,
    };
    for child in children(pid)? {
        sum += cpu_time(child)?;
    }
    Ok(sum)
}

/// The processes that it started and that run. Without `children` (an option of the kernel) none are known.
fn children(pid: u32) -> io::Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let of_task = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(of_task.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    Ok(children)
}

fn threads(folder: &Path) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for task in fs::read_dir(folder.join("task"))? {
        let text = match fs::read_to_string(task?.path().join("schedstat")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && sum > Duration::ZERO => continue,
            Err(error) => return Err(error),
        };
        let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
        sum += Duration::from_nanos(nanos.ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(sum)
}

/// Fields 14 and 15 of `/proc/PID/stat`, utime and stime, see proc(5). The second field may hold spaces.
fn ticks(stat: &str) -> io::Result<Duration> {
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    let mut ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let (Some(Ok(user)), Some(Ok(system))) = (ticks.next(), ticks.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    Ok(TICK.saturating_mul(u32::try_from(user + system).unwrap_or(u32::MAX)))
}

/// Resident memory of a process and its children in bytes.
///
/// # Errors
/// When the process is gone.
pub fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut fields = status.lines().filter_map(|line| line.strip_prefix("VmRSS:"));
    let kib = fields
        .next()
        .and_then(|kib| kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    let own = kib.ok_or(io::ErrorKind::InvalidData)? * 1024;
    children(pid)?
        .into_iter()
        .try_fold(own, |sum, child| Ok(sum + resident(child)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_time() {
        let pid = std::process::id();
        let before = cpu_time(pid).expect("this process is there");
        let mut sum = 0_u64;
        while cpu_time(pid).expect("this process is there") == before {
            sum = (0..100_000_u64).fold(sum, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
        }
        assert_ne!(sum, 1);
    }

    #[test]
    fn ticks_are_found_behind_a_name_with_spaces() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 5 1000 10";
        assert_eq!(ticks(stat).expect("two numbers"), Duration::from_secs(2));
    }
}
