//! Whole look-ups before made-up servers.

use super::*;
use hickory_proto::op::ResponseCode;
use std::net::Ipv4Addr;

const NO_NAME: Reply = Reply::Absent {
    absence: Absence::NoName,
    ttl: Some(Duration::from_secs(5)),
};
const NO_DATA: Reply = Reply::Absent {
    absence: Absence::NoData,
    ttl: Some(Duration::from_secs(9)),
};
const SERVFAIL: Reply = Reply::Failed(Failure::Code(ResponseCode::ServFail));

fn yes() -> Reply {
    Reply::Addresses {
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        ttl: Duration::from_secs(60),
    }
}

/// Looks `gw.test` and then `gw.test.corp` up at two servers that reply as `reply` says to a server, name and family. Gives what was asked, too.
fn walk(family: Family, cautious: bool, reply: impl Fn(usize, &str, Family) -> Reply) -> (Vec<String>, Outcome) {
    let servers: Arc<[SocketAddr]> = ["192.0.2.1:53", "192.0.2.2:5353"]
        .map(|text| text.parse().expect("an address"))
        .into();
    let names = ["gw.test.", "gw.test.corp."].map(|name| Name::from_ascii(name).expect("a name"));
    let plan = Plan {
        servers: Arc::clone(&servers),
        order: vec![0, 1],
        attempts: 1,
        cautious,
    };
    let mut walk = Walk::new(family, names.to_vec(), plan);
    let mut asked = Vec::new();
    while let Some(ask) = walk.ask() {
        let server = servers
            .iter()
            .position(|server| *server == ask.server)
            .expect("a server");
        let name = ask.name.to_ascii();
        asked.push(format!("{server} {name} {}", ask.family.as_str()));
        let reply = reply(server, &name, ask.family);
        if let Some(outcome) = walk.heard(reply) {
            return (asked, outcome);
        }
    }
    panic!("{asked:?}: no outcome")
}

fn error(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(problem) => format!("failed {}: {}", problem.reason, problem.text),
        Outcome::Absent { problem, .. } => format!("absent {}: {}", problem.reason, problem.text),
        Outcome::Addresses { .. } => "addresses".to_owned(),
    }
}

#[test]
fn the_search_list_is_gone_through_when_there_is_no_such_name() {
    let (asked, outcome) = walk(
        Family::V4,
        false,
        |_, name, _| if name == "gw.test." { NO_NAME } else { yes() },
    );
    assert_eq!(asked, ["0 gw.test. ipv4", "0 gw.test.corp. ipv4"]);
    let Outcome::Addresses { source, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(source, Source::Dns(Name::from_ascii("gw.test.corp.").expect("a name")));
}

#[test]
fn the_search_list_is_not_gone_through_after_a_failure() {
    for cautious in [false, true] {
        let (asked, outcome) = walk(
            Family::V4,
            cautious,
            |_, name, _| {
                if name == "gw.test." { SERVFAIL } else { yes() }
            },
        );
        assert_eq!(asked, ["0 gw.test. ipv4", "1 gw.test. ipv4"]);
        assert_eq!(
            error(&outcome),
            "failed servfail: 192.0.2.1: SERVFAIL; 192.0.2.2:5353: SERVFAIL"
        );
    }
}

#[test]
fn a_name_with_addresses_of_the_other_family_is_the_one_that_is_meant() {
    let (asked, outcome) = walk(Family::V6, false, |_, name, family| match (name, family) {
        ("gw.test.", Family::V4) => yes(),
        ("gw.test.", Family::V6) => NO_DATA,
        _ => yes(),
    });
    assert_eq!(asked, ["0 gw.test. ipv6", "0 gw.test. ipv4"]);
    assert!(error(&outcome).starts_with("absent nodata: 192.0.2.1: "), "{outcome:?}");
    // Of neither family: it is not meant.
    let (asked, outcome) = walk(
        Family::V6,
        false,
        |_, name, _| if name == "gw.test." { NO_DATA } else { yes() },
    );
    assert_eq!(asked.last().map(String::as_str), Some("0 gw.test.corp. ipv6"));
    assert_eq!(error(&outcome), "addresses");
}

#[test]
fn when_the_other_family_cannot_be_checked_no_stranger_is_asked() {
    for cautious in [false, true] {
        let (asked, _) = walk(Family::V6, cautious, |_, name, family| match (name, family) {
            ("gw.test.", Family::V4) => SERVFAIL,
            ("gw.test.", Family::V6) => NO_DATA,
            _ => yes(),
        });
        assert!(!asked.iter().any(|asked| asked.contains("corp")), "{asked:?}");
    }
}

#[test]
fn a_no_everywhere_is_a_no() {
    let (asked, outcome) = walk(
        Family::V4,
        true,
        |_, name, _| if name == "gw.test." { NO_NAME } else { NO_DATA },
    );
    assert_eq!(asked, ["0 gw.test. ipv4", "0 gw.test.corp. ipv4"]);
    let Outcome::Absent { ttl, problem } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((ttl, problem.reason), (Some(Duration::from_secs(5)), "nodata"));
}

#[test]
fn with_something_to_lose_a_doubtful_no_is_a_failure() {
    let first_fails = |server, _: &str, _| if server == 0 { SERVFAIL } else { NO_NAME };
    let (asked, outcome) = walk(Family::V4, true, first_fails);
    assert_eq!(
        asked,
        ["0 gw.test. ipv4", "1 gw.test. ipv4"],
        "the search list is not for failures"
    );
    assert_eq!(
        error(&outcome),
        "failed nxdomain: 192.0.2.2:5353: there is no such name (NXDOMAIN); 192.0.2.1: SERVFAIL"
    );
    let (asked, outcome) = walk(Family::V4, false, first_fails);
    assert_eq!(asked.len(), 4, "nothing is known that could be lost");
    assert!(error(&outcome).starts_with("absent nxdomain"), "{outcome:?}");
}

#[test]
fn without_servers_or_names_it_fails() {
    let plan = Plan {
        servers: Arc::new([]),
        order: vec![],
        attempts: 2,
        cautious: false,
    };
    let walk = Walk::new(Family::V4, vec![Name::root()], plan);
    assert_eq!(walk.ask(), None);
    assert!(error(&walk.nobody()).contains("no name servers"));
}
