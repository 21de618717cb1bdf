//! The harness itself.

use portolan_tests::World;
use std::process::Command;

#[test]
fn a_test_that_fails_shows_what_its_instance_logged() {
    let output = Command::new(std::env::current_exe().expect("this program has a file"))
        .args(["--exact", "harness::fails", "--ignored"])
        .env_remove("PORTOLAN_LOG")
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("INFO portolan"), "{text}");
}

#[test]
#[ignore = "it fails, for the test above"]
fn fails() {
    let _world = World::start();
    panic!("on purpose");
}
