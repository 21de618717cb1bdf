use super::*;
use portolan_plugin::Region;
use portolan_plugin::host::{Recorded, record};

const HEADER: usize = 0;
const COOKIE: usize = 1;

/// A canary with header `x-canary` and cookie `uid`, its region being the second of three; the two headers, in order.
fn canary(percent: f64, exclusive: bool) -> (Canary, [Field; 2], Regions) {
    let config = format!(
        r#"{{"region":"eastus2","percent":{percent},"header":"X-Canary","cookie":"uid","exclusive":{exclusive}}}"#
    );
    let mut canary = Canary::configure(&config, &mut Setup::default()).unwrap();
    let regions = Regions::of(["westeurope", "eastus2", "southeastasia"].map(Region::named));
    canary.update(&regions);
    let headers = [canary.header.unwrap(), canary.cookie.as_ref().unwrap().0];
    (canary, headers, regions)
}

fn request() -> Request {
    Request::default().with_eligible([0, 1, 2].map(Slot))
}

#[test]
fn the_header_decides_at_once() {
    let (canary, headers, regions) = canary(50.0, false);
    let with = |value| canary.route(&request().with_field(headers[HEADER], value), &regions);
    assert_eq!(with("always"), Decision::first(Slot(1)).because(canary.chosen));
    assert_eq!(with("never"), Decision::no_opinion());
}

#[test]
fn clients_keep_their_region_by_header_then_cookie_then_network() {
    let (canary, headers, regions) = canary(50.0, false);
    let chosen = |request: Request| canary.route(&request, &regions) == Decision::first(Slot(1)).because(canary.chosen);
    let mut moved = [0; 3];
    for client in 0..400_u32 {
        let mut bare = request();
        bare.net = u64::from(client) << 8;
        let cookie = bare
            .clone()
            .with_field(headers[COOKIE], &format!("lang=en; uid={client}; x=y"));
        let header = cookie.clone().with_field(headers[HEADER], &client.to_string());
        for (request, moved) in [bare, cookie, header].into_iter().zip(&mut moved) {
            assert_eq!(
                chosen(request.clone()),
                chosen(request.clone()),
                "the same answer twice"
            );
            *moved += u32::from(chosen(request));
        }
        // The cookie wins over the network: another network changes nothing.
        let mut roaming = request().with_field(headers[COOKIE], &format!("uid={client}"));
        let at_home = chosen(roaming.clone());
        roaming.net = 77;
        assert_eq!(chosen(roaming), at_home);
    }
    for moved in moved {
        assert!((150..250).contains(&moved), "about half of 400: {moved}");
    }
}

#[test]
fn everybody_and_nobody() {
    for (percent, expected) in [(0.0, false), (100.0, true)] {
        let (canary, _, regions) = canary(percent, false);
        for client in 0..100 {
            let mut request = request();
            request.net = client;
            let moved = canary.route(&request, &regions).slots().next() == Some(Slot(1));
            assert_eq!(moved, expected, "{percent} %, client {client}");
        }
    }
}

#[test]
fn an_exclusive_region_is_the_last_for_the_others() {
    let (canary, headers, regions) = canary(5.0, true);
    let request = Request::default()
        .with_eligible([1, 2, 0].map(Slot))
        .with_field(headers[HEADER], "never");
    assert_eq!(
        canary.route(&request, &regions),
        Decision::order([2, 0, 1].map(Slot)).because(canary.spared)
    );
}

#[test]
fn a_region_that_may_not_answer_is_not_forced() {
    let (canary, headers, regions) = canary(100.0, true);
    let request = Request::default()
        .with_eligible([0, 2].map(Slot))
        .with_field(headers[HEADER], "always");
    assert_eq!(canary.route(&request, &regions), Decision::no_opinion());
}

#[test]
fn a_region_the_service_does_not_have_is_counted() {
    let (mut canary, _, _) = canary(100.0, false);
    record(Recorded::default());
    canary.update(&Regions::of([Region::named("westeurope")]));
    assert_eq!(record(Recorded::default()).counts.values().sum::<u64>(), 1);
    assert_eq!(canary.route(&request(), &Regions::default()), Decision::no_opinion());
}

#[test]
fn cookies_are_found_by_their_whole_name() {
    for (header, expected) in [
        ("uid=7", Some("7")),
        ("a=b; uid=7; c=d", Some("7")),
        ("a=b, uid=7", Some("7")),
        ("uid=", None),
        ("xuid=7; uidx=8", None),
        ("uid", None),
        ("uid=a=b", Some("a=b")),
        ("", None),
    ] {
        assert_eq!(cookie(header, "uid"), expected, "{header}");
    }
}

#[test]
fn mistakes_in_the_configuration_are_named() {
    for (config, mistake) in [
        ("{}", "region"),
        (r#"{"region":"a"}"#, "percent"),
        (r#"{"region":"a","percent":101}"#, "101"),
        (r#"{"region":"a","percent":5,"percentage":5}"#, "percentage"),
        ("[", "EOF"),
    ] {
        match Canary::configure(config, &mut Setup::default()) {
            Err(error) => assert!(error.contains(mistake), "{config}: {error}"),
            Ok(_) => panic!("{config} was taken"),
        }
    }
}
