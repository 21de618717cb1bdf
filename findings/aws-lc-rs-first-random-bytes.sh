#!/usr/bin/env bash
# aws-lc-rs 1.19.0: the first random bytes of a process cost tens of milliseconds of CPU.
#
# Guess: they cost a getrandom system call, some microseconds, as with other providers of rustls; seeding a generator of one's own costs a
#        few of them. A command that shakes one hand, or a server that draws a secret at its start, does not notice.
# Behaviour: before the first byte, the library measures a source of entropy of its own (the jitter of the processor's clock): 44 to 79 ms
#        of CPU here, once for each process, in the thread that asks first; others wait. Later bytes cost a microsecond, those of a new
#        thread up to ten. Built with AWS_LC_SYS_NO_JITTER_ENTROPY=1, an environment variable of its build script, the first bytes cost
#        26 microseconds.
# Output seen (aws-lc-rs 1.19.0, aws-lc-sys 0.47.0, getrandom 0.4.3, rustc 1.95.0): see the comparison at the end.
#
# Needs cargo, a C compiler and the package registry; compiles for some minutes. Runs in a temporary folder.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
mkdir src
cat >Cargo.toml <<'T'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
aws-lc-rs = { version = "=1.19.0", default-features = false, features = ["aws-lc-sys"] }
aws-lc-sys = "=0.47.0"
getrandom = "=0.4.3"
T
cat >src/main.rs <<'R'
use std::time::{Duration, Instant};

fn timed(fill: impl Fn(&mut [u8])) -> Duration {
    let begun = Instant::now();
    fill(&mut [0; 32]);
    begun.elapsed()
}

fn about(time: Duration) -> &'static str {
    match time.as_micros() {
        0..1_000 => "less than a millisecond",
        1_000..5_000 => "some milliseconds",
        _ => "more than 5 milliseconds",
    }
}

fn main() {
    let of_system = timed(|bytes| getrandom::fill(bytes).expect("random bytes"));
    let library = || timed(|bytes| aws_lc_rs::rand::fill(bytes).expect("random bytes"));
    let (first, second) = (library(), library());
    eprintln!("system {of_system:?}, library first {first:?}, second {second:?}");
    println!("system: {}; library: first {}, second {}", about(of_system), about(first), about(second));
}
R
seen="$(cargo run --quiet --release)
$(AWS_LC_SYS_NO_JITTER_ENTROPY=1 cargo run --quiet --release --target-dir without)"
echo "$seen"
wanted='system: less than a millisecond; library: first more than 5 milliseconds, second less than a millisecond
system: less than a millisecond; library: first less than a millisecond, second less than a millisecond'
[ "$seen" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
