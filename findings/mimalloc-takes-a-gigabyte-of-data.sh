#!/usr/bin/env bash
# mimalloc 0.1.52 (version 3 of the allocator): a program that limits its own data after its start can start no thread.
#
# Guess: the allocator reserves address space in advance without access to it (PROT_NONE), which no limit but that on address space counts;
#        what RLIMIT_DATA counts is what the program has allocated, as with the C library's allocator. A process that does untrusted work
#        sets that limit first, 256 MiB, and has about 250 of them.
# Behaviour: where the system overcommits memory (the default of Linux), the first arena of a gigabyte is mapped readable and writable at
#        once. The kernel counts private writable mappings as data, used or not: VmData is more than a gigabyte with the first allocation,
#        resident are a few megabytes. Under a limit of 256 MiB that is set afterwards, mapping the stack of a thread fails with EAGAIN
#        ("Resource temporarily unavailable"), while small allocations go on. MIMALLOC_ARENA_EAGER_COMMIT=0 in the environment maps the
#        arena without access, and counts what is used; it is read at the start, so that the program cannot set it for itself.
# Output seen (mimalloc 0.1.52, libmimalloc-sys 0.1.49, rustc 1.95.0, Linux 6.18): see the comparison at the end.
#
# Needs cargo, a C compiler, prlimit (util-linux) and the package registry; compiles for a minute. Runs in a temporary folder.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cd "$dir"
[ "$(cat /proc/sys/vm/overcommit_memory)" != 2 ] || { echo "skipped: this system does not overcommit"; exit 0; }
mkdir src
cat >Cargo.toml <<'T'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[features]
mimalloc = ["dep:mimalloc"]
[dependencies]
mimalloc = { version = "=0.1.52", default-features = false, optional = true }
libmimalloc-sys = { version = "=0.1.49", default-features = false }
T
cat >src/main.rs <<'R'
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn megabytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
    line.split_whitespace().nth(1).and_then(|it| it.parse::<u64>().ok()).expect("a number") >> 10
}

fn main() {
    let (data, resident) = (megabytes("VmData"), megabytes("VmRSS"));
    eprintln!("data {data} MB, resident {resident} MB");
    let data = if data >= 1024 { "a gigabyte of data" } else { "little data" };
    let resident = if resident < 32 { "little resident" } else { "much resident" };
    let pid = std::process::id().to_string();
    let limited = std::process::Command::new("prlimit").args(["--data=268435456", "--pid", &pid]).status();
    assert!(limited.expect("prlimit").success());
    let thread = match std::thread::Builder::new().spawn(|| {}) {
        Ok(thread) => thread.join().map_or("a thread that panics", |()| "a thread"),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => "no thread: EAGAIN",
        Err(_) => "no thread",
    };
    println!("{data}, {resident}, {thread}");
}
R
cargo build --quiet --release
cargo build --quiet --release --features mimalloc --target-dir with
seen="C library: $(target/release/finding)
mimalloc: $(with/release/finding)
mimalloc, on demand: $(MIMALLOC_ARENA_EAGER_COMMIT=0 with/release/finding)"
echo "$seen"
wanted='C library: little data, little resident, a thread
mimalloc: a gigabyte of data, little resident, no thread: EAGAIN
mimalloc, on demand: little data, little resident, a thread'
[ "$seen" = "$wanted" ] || { echo "the behaviour has changed"; exit 1; }
