//! A plugin that does what a plugin must not do: found out when it is tried, and harmless when it waits until later.

use super::*;
use crate::cpu_time;
use portolan_core::id::{Generation, ServiceName};

fn hostile(config: &str, settings_of: PluginSettings) -> Arc<PluginVersion> {
    let settings = PluginSettings {
        config: config.to_owned(),
        ..settings_of
    };
    load("hostile", HOSTILE, &settings).unwrap_or_else(|problem| panic!("{config}: {problem}"))
}

/// One that passes its trial and misbehaves at `/boom`.
fn sleeper(fault: &str) -> Arc<PluginVersion> {
    hostile(&format!(r#"{{"fault":"{fault}","path":"/boom"}}"#), settings(""))
}

/// With the last of the sample's regions first, which is what it answers when it behaves.
fn polite() -> Ranking {
    ranking([2, 0, 1])
}

#[test]
fn found_out_when_it_is_tried() {
    for (fault, expected) in [
        ("loop", PluginFault::Deadline),
        ("trap", PluginFault::Trap),
        ("memory", PluginFault::Memory),
        ("stack", PluginFault::Stack),
        ("nonsense", PluginFault::Nonsense),
        ("nobody", PluginFault::Nonsense),
        ("unreasonable", PluginFault::Nonsense),
        ("smuggle", PluginFault::Nonsense),
        ("slow-start", PluginFault::Deadline),
        ("loop-in-update", PluginFault::Deadline),
    ] {
        let config = format!(r#"{{"fault":"{fault}"}}"#);
        let problem = load("tried", HOSTILE, &settings(&config)).unwrap_err();
        assert!(
            matches!(problem, Problem::Trial { fault, .. } if fault == expected),
            "{fault}: {problem}"
        );
    }
}

#[test]
fn what_takes_too_long_names_the_key_that_allows_more() {
    for (fault, key) in [
        ("slow-start", "limits.start_time"),
        ("loop", "deadline"),
        ("loop-in-update", "deadline"),
    ] {
        let config = format!(r#"{{"fault":"{fault}"}}"#);
        let problem = load("slow", HOSTILE, &settings(&config)).unwrap_err().to_string();
        let expected = format!("of CPU time, which {key} may raise");
        assert!(problem.contains(&expected), "{fault}: {problem}");
    }
}

#[test]
fn a_panic_says_what_it_was_about() {
    let problem = load("panics", HOSTILE, &settings(r#"{"fault":"trap"}"#))
        .unwrap_err()
        .to_string();
    assert!(
        problem.contains("sample request 1") && problem.contains("on purpose"),
        "{problem}"
    );
}

#[test]
fn refusals_are_handed_on() {
    for (config, said) in [
        (r#"{"fault":"refuse"}"#, "not with me"),
        (r#"{"fault":"greedy"}"#, "102 fields"),
        ("{}", "fault"),
        ("", "EOF"),
    ] {
        let problem = load("refuses", HOSTILE, &settings(config)).unwrap_err();
        assert!(
            matches!(problem, Problem::Rejected(_) | Problem::Setup(_)),
            "{config}: {problem}"
        );
        assert!(problem.to_string().contains(said), "{config}: {problem}");
    }
}

#[test]
fn a_fault_costs_one_answer_and_no_more() {
    for (fault, expected) in [
        ("loop", PluginFault::Deadline),
        ("trap", PluginFault::Trap),
        ("memory", PluginFault::Memory),
        ("stack", PluginFault::Stack),
        ("nonsense", PluginFault::Nonsense),
        ("nobody", PluginFault::Nonsense),
        ("smuggle", PluginFault::Nonsense),
        ("reject", PluginFault::Status),
    ] {
        let (version, mut worker) = (sleeper(fault), worker());
        for round in 0..2 {
            assert_eq!(
                Client::at("/").ask(&mut worker, &version).unwrap().ranking,
                polite(),
                "{fault} {round}"
            );
            assert_eq!(
                Client::at("/boom").ask(&mut worker, &version),
                Err(expected),
                "{fault} {round}"
            );
        }
        assert!(Client::at("/").ask(&mut worker, &version).is_ok(), "{fault}");
    }
}

#[test]
fn what_can_be_repaired_is_used() {
    let mut worker = worker();
    for (fault, reason) in [("duplicates", 0), ("unreasonable", 0)] {
        let version = sleeper(fault);
        let answer = Client::at("/boom").ask(&mut worker, &version).unwrap();
        assert_eq!(
            (answer.ranking, answer.repaired, answer.reason),
            (polite(), true, reason),
            "{fault}"
        );
        let answer = Client::at("/").ask(&mut worker, &version).unwrap();
        assert_eq!(
            (answer.repaired, version.reason(answer.reason)),
            (false, Some("polite")),
            "{fault}"
        );
    }
}

#[test]
fn regions_that_may_not_answer_are_dropped_without_blame() {
    let (version, mut worker) = (sleeper("none"), worker());
    for _ in 0..10 {
        // It names the third region and no other.
        let client = Client {
            native: ranking([1, 0]),
            ..Client::default()
        };
        let answer = client.ask(&mut worker, &version).unwrap();
        assert_eq!(
            (answer.opinion, answer.repaired, answer.ranking),
            (false, true, ranking([1, 0]))
        );
    }
}

#[test]
fn an_endless_loop_is_ended_within_its_deadline_and_a_tick() {
    for milliseconds in [1, 5] {
        let deadline = Duration::from_millis(milliseconds);
        let version = hostile(
            r#"{"fault":"loop","path":"/boom"}"#,
            PluginSettings {
                deadline,
                ..PluginSettings::default()
            },
        );
        // CPU time of this thread, the best of a few: how late the ticks are is up to the machine.
        let took = (0..4).map(|_| {
            let (mut worker, client) = (worker(), Client::at("/boom"));
            let start = cpu_time::of_thread();
            assert_eq!(client.ask(&mut worker, &version), Err(PluginFault::Deadline));
            cpu_time::of_thread() - start
        });
        let took = took.min().unwrap();
        let slack = Duration::from_micros(500);
        assert!(
            took < deadline + Duration::from_millis(1) + slack,
            "{deadline:?}: {took:?}"
        );
        assert!(took > deadline / 2, "{deadline:?}: not before its time: {took:?}");
    }
}

#[test]
fn new_regions_are_a_fault_of_their_own() {
    let (mut worker, client) = (worker(), Client::default());
    let version = hostile(r#"{"fault":"loop-in-update","generation":2}"#, settings(""));
    let table = |generation| {
        let service = ServiceName::from("late");
        let regions = [(52.0, 4.0), (36.0, -78.0)].map(|(latitude, longitude)| entry(latitude, longitude));
        RegionTable::new(Generation(generation), service, regions.to_vec())
    };
    let mut ask = |generation| worker.route(&version, ServiceId(0), &table(generation), &client.request());
    assert!(ask(1).is_ok());
    assert_eq!(ask(2), Err(PluginFault::Deadline));
    assert!(ask(1).is_ok(), "a request that still holds the table before");
}

/// A region somewhere.
fn entry(latitude: f32, longitude: f32) -> RegionEntry {
    use portolan_core::config::{Gateway, GatewayAddress};
    let gateway = Gateway::new(
        format!("at-{latitude}").as_str().into(),
        Point::new(latitude, longitude).unwrap(),
        GatewayAddress::http(std::net::Ipv4Addr::LOCALHOST, 1),
    );
    RegionEntry::new(
        &gateway,
        Country::UNKNOWN,
        portolan_core::health::GatewayHealth::default(),
    )
}

#[test]
fn memory_is_bounded_and_taken_back() {
    // Every call keeps 64 KiB: without new instances the limit would be reached at the sixteenth.
    let settings_of = PluginSettings {
        memory: 1 << 20,
        ..settings("")
    };
    let (version, mut worker) = (hostile(r#"{"fault":"grow","path":"/boom"}"#, settings_of), worker());
    for call in 0..200 {
        assert!(Client::at("/boom").ask(&mut worker, &version).is_ok(), "call {call}");
    }
}

#[test]
fn a_plugin_that_keeps_failing_is_left_alone_for_a_while() {
    let (version, mut worker) = (sleeper("trap"), worker());
    let start = Instant::now();
    let mut at = |path, seconds| {
        let now = start + Duration::from_secs(seconds);
        Client {
            now,
            ..Client::at(path)
        }
        .ask(&mut worker, &version)
    };
    for _ in 0..5 {
        assert_eq!(at("/boom", 0), Err(PluginFault::Trap));
    }
    assert_eq!(at("/", 0), Err(PluginFault::Quarantined));
    assert!(at("/", 1).is_ok(), "asked again after a second");
    assert_eq!(at("/boom", 1), Err(PluginFault::Trap));
    assert_eq!(at("/", 2), Err(PluginFault::Quarantined), "for two seconds now");
    assert!(at("/", 3).is_ok());
}

#[test]
fn one_plugin_in_quarantine_does_not_hinder_another() {
    let (bad, good, mut worker) = (sleeper("trap"), sleeper("none"), worker());
    let mut ask = |version, service, path| {
        worker.route(
            version,
            ServiceId(service),
            &RegionTable::sample(),
            &Client::at(path).request(),
        )
    };
    for _ in 0..5 {
        assert!(ask(&bad, 0, "/boom").is_err());
    }
    assert_eq!(ask(&bad, 0, "/"), Err(PluginFault::Quarantined));
    assert!(ask(&bad, 1, "/").is_ok(), "the same version for another service");
    assert!(ask(&good, 2, "/boom").is_ok());
}

#[test]
fn a_flood_of_lines_is_no_fault() {
    let (version, mut worker) = (sleeper("chatty"), worker());
    for _ in 0..10 {
        assert!(Client::at("/boom").ask(&mut worker, &version).is_ok());
    }
}
