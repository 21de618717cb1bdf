use super::report::{Report, ReportError, RoundTrip};
use super::*;
use portolan_core::networks::Networks;
use std::time::Duration;

fn settings(max_prefixes: usize, exclude: &str) -> Arc<LearnedSettings> {
    Arc::new(LearnedSettings {
        max_prefixes,
        half_life: Duration::from_secs(86_400),
        explore: 0.0,
        exclude: exclude
            .split_whitespace()
            .map(|text| text.parse().expect("a network"))
            .collect::<Networks>(),
    })
}

fn learned() -> Learned {
    let learned = Learned::default();
    learned.configure(Some(&settings(64, "198.51.100.0/24")), 1);
    learned
}

fn sample(addr: &str, ms: f64) -> Sample {
    Sample {
        prefix: Prefix::of(addr.parse().expect("an address")).expect("global"),
        estimate: Estimate::of(ms),
    }
}

fn round_trip(client: &str, ms: f64) -> RoundTrip {
    RoundTrip {
        client: client.into(),
        region: "westeurope".into(),
        ms,
        connections: 1,
    }
}

#[test]
fn what_is_exported_is_what_another_instance_reads() {
    let learned = learned();
    learned.add(
        &"westeurope".into(),
        [sample("203.0.113.1", 20.0), sample("203.0.113.2", 40.0)],
        Source::Connection,
    );
    learned.add(&"eastus2".into(), [sample("2001:db8::1", 90.0)], Source::Report);
    let foreign = stored::read(&learned.export().expect("on"), now()).expect("valid");
    assert_eq!(foreign.regions, ["westeurope".into(), "eastus2".into()]);
    let [first, second] = foreign.records() else {
        panic!("{foreign:?}");
    };
    assert!(
        (first.estimate.ms() - 28.28).abs() < 0.02 && first.estimate.weight() > 1.99,
        "{first:?}"
    );
    assert!((second.estimate.ms() - 90.0).abs() < 0.02);
    let status = learned.status().expect("on");
    assert_eq!((status.prefixes, status.samples, status.max_prefixes), (2, [2, 1], 64));

    let other = Learned::default();
    other.configure(Some(&settings(64, "")), 2);
    other.replace(&"first".into(), Some(foreign));
    assert_eq!(other.of("203.0.113.77".parse().expect("an address")).len(), 1);
    assert_eq!(other.status().expect("on").others, [("first".to_owned(), 2)]);
    // What is another's is not passed on.
    assert!(
        stored::read(&other.export().expect("on"), now())
            .expect("valid")
            .records()
            .is_empty()
    );
}

#[test]
fn what_is_corrupt_or_out_of_range_is_ignored_as_a_whole() {
    let good = r#"{"version":1,"regions":["westeurope"],"records":[[13303921,0,2.0,20.0,0.1,1000]]}"#;
    assert_eq!(stored::read(good.as_bytes(), 2000).expect("valid").records().len(), 1);
    for (bad, why) in [
        ("", "EOF"),
        ("{}", "missing field"),
        (&good[..good.len() - 3], "EOF"),
        (&good.replace("\"version\":1", "\"version\":2"), "version 2"),
        (&good.replace("[13303921,0", "[13303921,1"), "record 0"),
        (&good.replace("13303921", "0"), "record 0"),
        (&good.replace("2.0,20.0", "-1.0,20.0"), "record 0"),
        (&good.replace("2.0,20.0", "1e9,20.0"), "record 0"),
        (&good.replace("2.0,20.0", "2.0,1e300"), "record 0"),
        (&good.replace("2.0,20.0", "2.0,null"), "invalid type"),
        (&good.replace("westeurope", ""), "usable name"),
    ] {
        let error = stored::read(bad.as_bytes(), 2000).expect_err(bad);
        assert!(error.to_string().contains(why), "{bad}: {error}");
    }
    assert!(stored::read(&vec![b' '; stored::MAX_BYTES + 1], 0).is_err());
    // A clock that is ahead does not keep evidence from fading.
    assert_eq!(
        stored::read(good.as_bytes(), 500).expect("valid").records()[0].seen,
        500
    );
}

#[test]
fn all_that_can_be_held_can_be_stored() {
    let regions: Vec<_> = (0..MAX)
        .map(|index| RegionName::new(format!("region-{index}")))
        .collect();
    const MAX: usize = portolan_core::learned::table::MAX_REGIONS;
    let records: Vec<_> = (0..stored::MAX_RECORDS)
        .map(|index| Record {
            prefix: Prefix::from_bits((1 << 48) + 0x2001_0000_0000 + index as u64).expect("global"),
            region: portolan_core::learned::RegionId((index % MAX) as u16),
            estimate: Estimate::from_parts(127.987_65, 9_999.99, 1.234_567_8).expect("in range"),
            seen: u64::from(u32::MAX),
        })
        .collect();
    let bytes = stored::written(&regions, &records);
    assert!(bytes.len() < stored::MAX_BYTES, "{}", bytes.len());
    assert_eq!(
        stored::read(&bytes, u64::MAX).expect("valid").records().len(),
        stored::MAX_RECORDS
    );
}

#[test]
fn excluded_networks_are_not_learned() {
    let learned = learned();
    let samples = [sample("198.51.100.7", 20.0), sample("203.0.113.1", 20.0)];
    assert_eq!(learned.add(&"westeurope".into(), samples, Source::Connection), 1);
    assert!(learned.of("198.51.100.7".parse().expect("an address")).is_empty());
}

#[test]
fn another_size_keeps_what_fits_and_off_forgets() {
    let learned = learned();
    let addr = "203.0.113.1".parse().expect("an address");
    learned.add(&"westeurope".into(), [sample("203.0.113.1", 20.0)], Source::Connection);
    learned.configure(Some(&settings(8, "")), 3);
    assert_eq!(learned.of(addr).len(), 1);
    assert_eq!(learned.status().expect("on").max_prefixes, 8);
    learned.configure(None, 3);
    assert!(!learned.is_on() && learned.of(addr).is_empty() && learned.export().is_none());
    assert_eq!(
        learned.add(&"westeurope".into(), [sample("203.0.113.1", 20.0)], Source::Connection),
        0
    );
}

#[test]
fn a_report_is_checked_as_a_whole() {
    let report = |round_trips| Report { round_trips };
    let is_known = |region: &RegionName| region.as_str() == "westeurope";
    let good = [
        round_trip("203.0.113.9", 12.5),
        round_trip("203.0.113.0/24", 12.5),
        round_trip("2001:db8:7::/48", 0.3),
        round_trip("::ffff:203.0.113.1", 1.0),
    ];
    let samples = report(good.to_vec()).samples(is_known).expect("valid");
    assert_eq!(samples.len(), 4);
    assert_eq!(samples[0].1.prefix, samples[3].1.prefix);
    let elsewhere = RoundTrip {
        region: "mars".into(),
        ..round_trip("203.0.113.9", 1.0)
    };
    let none = RoundTrip {
        connections: 0,
        ..round_trip("203.0.113.9", 1.0)
    };
    for (bad, why) in [
        (round_trip("nobody", 1.0), "neither"),
        (round_trip("203.0.112.0/20", 1.0), "larger network than a /24"),
        (round_trip("2001:db8::/32", 1.0), "larger network than a /48"),
        (round_trip("10.0.0.1", 1.0), "not globally unique"),
        (round_trip("203.0.113.9", 0.0), "ms 0"),
        (round_trip("203.0.113.9", -1.0), "ms -1"),
        (round_trip("203.0.113.9", f64::NAN), "ms NaN"),
        (elsewhere, "mars"),
        (none, "connections is 0"),
    ] {
        let round_trips = vec![round_trip("203.0.113.9", 12.5), bad];
        let error = report(round_trips).samples(is_known).expect_err(why).to_string();
        assert!(error.starts_with("round_trips[1]: ") && error.contains(why), "{error}");
    }
    let many = report(vec![round_trip("203.0.113.9", 1.0); report::MAX_REPORTED + 1]);
    assert_eq!(many.samples(is_known), Err(ReportError::Many(report::MAX_REPORTED + 1)));
}
