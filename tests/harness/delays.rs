//! Addresses that are far away: a network namespace in which connections to them lead back after a delay.

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where connections to all other addresses lead to.
pub const HERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The variable with the file of delays, in the network namespace.
const VARIABLE: &str = "PORTOLAN_TEST_DELAYS";

/// The status with which the program that makes the namespace says that there can be none.
const SKIPPED: i32 = 77;

/// The delays of the namespace that this process is in.
#[derive(Debug)]
pub struct Delays {
    file: PathBuf,
}

impl Delays {
    /// In the namespace, its delays. Outside it, runs this program again for one test in a namespace with these round trips in
    /// milliseconds, and returns `None`. Where there can be no namespace, the test is skipped and says so.
    ///
    /// # Panics
    /// When the test fails in its namespace.
    pub fn of(test: &str, round_trips: &[(Ipv4Addr, u32)]) -> Option<Self> {
        if let Some(file) = env::var_os(VARIABLE) {
            return Some(Self { file: file.into() });
        }
        match run(test, round_trips) {
            Ok(passed) => assert!(passed, "the test failed in its network namespace"),
            Err(reason) => println!("skipped, for there can be no delays here: {reason}"),
        }
        None
    }

    /// Other round trips, as a whole: they are read all the time.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn set(&self, round_trips: &[(Ipv4Addr, u32)]) {
        let new = self.file.with_extension("new");
        write(&new, round_trips);
        fs::rename(new, &self.file).expect("renamed");
    }
}

fn write(file: &Path, round_trips: &[(Ipv4Addr, u32)]) {
    let lines: String = round_trips
        .iter()
        .map(|(address, ms)| format!("{address} {ms}\n"))
        .collect();
    fs::write(file, lines).expect("written");
}

/// Whether the test passed in a namespace; the reason where there can be none.
fn run(test: &str, round_trips: &[(Ipv4Addr, u32)]) -> Result<bool, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let delays = folder.path().join("delays");
    write(&delays, round_trips);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/delay.py");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "python3"])
        .args([&script, &delays])
        .arg(env::current_exe().expect("a program"))
        .args([test, "--exact", "--nocapture"])
        .env(VARIABLE, &delays)
        .output();
    let output = output.map_err(|error| format!("unshare: {error}"))?;
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    print!("{text}");
    eprint!("{errors}");
    match output.status.code() {
        Some(SKIPPED) => Err(text.trim().to_owned()),
        // It ran.
        code if text.contains("running 1 test") => Ok(code == Some(0)),
        _ => Err(errors.trim().to_owned()),
    }
}
