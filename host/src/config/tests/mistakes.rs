use super::SMALL;
use crate::config::parse;
use std::path::Path;
fn told(text: &str) -> Vec<String> {
    match parse(text.as_bytes(), Path::new("x.yaml")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(|line| line.strip_prefix("x.yaml:").unwrap_or(line).to_owned()).collect(),
    }
}
#[test]
fn show() {
    let un = |s: &str| s.replace("\\n", "\n");
    for line in include_str!("/tmp/cfgprobe/cases.txt").lines() {
        if line.starts_with("##") { println!("{line}"); continue; }
        let (a, b) = line.split_once(" ||| ").unwrap_or_else(|| panic!("{line}"));
        assert!(SMALL.contains(&un(a)), "{a}");
        println!("@@ {a} ||| {b}");
        for l in told(&SMALL.replacen(&un(a), &un(b), 1)) { println!("    {l}"); }
    }
    println!("## service");
    for line in include_str!("/tmp/cfgprobe/svc.txt").lines() {
        println!("@@ {line}");
        for l in told(&SMALL.replacen("    regions:", &format!("    {line}\n    regions:"), 1)) { println!("    {l}"); }
    }
}
