use super::*;
use crate::runs::Run;
use proptest::prelude::*;
use std::net::IpAddr;

fn parsed(lines: &[&str]) -> Vec<AzurePrefix> {
    parse(&format!("prefix,region\n{}", lines.join("\n"))).unwrap()
}

/// The region of an address as text, by walking the runs.
fn region_at(runs: &[Run<u8, u128>], address: u128) -> &'static str {
    let run = runs.iter().take_while(|run| run.start <= address).last();
    match run.map_or(0, |run| run.value) {
        0 => "none",
        region => azure::regions()[usize::from(region) - 1].name.as_str(),
    }
}

fn v4(text: &str) -> u128 {
    text.parse::<std::net::Ipv4Addr>().unwrap().to_bits().into()
}

#[test]
fn the_innermost_prefix_counts() {
    let prefixes = parsed(&[
        "20.0.0.0/16,eastus",
        "20.0.4.0/22,westus",
        "20.0.5.0/24,westeurope",
        "20.1.0.0/24,uksouth",
    ]);
    let runs = layer(&prefixes, Family::V4, |region| region + 1);
    for (address, region) in [
        ("19.255.255.255", "none"),
        ("20.0.0.0", "eastus"),
        ("20.0.3.255", "eastus"),
        ("20.0.4.0", "westus"),
        ("20.0.5.7", "westeurope"),
        ("20.0.7.255", "westus"),
        ("20.0.8.0", "eastus"),
        ("20.0.255.255", "eastus"),
        ("20.1.0.255", "uksouth"),
        ("20.1.1.0", "none"),
    ] {
        assert_eq!(region_at(&runs, v4(address)), region, "{address}");
    }
}

#[test]
fn regions_may_be_named_as_in_service_tags() {
    assert_eq!(
        parsed(&["20.0.0.0/16,germanywc"]),
        parsed(&["20.0.0.0/16,germanywestcentral"])
    );
}

#[test]
fn families_are_kept_apart() {
    let prefixes = parsed(&["20.0.0.0/16,eastus", "2603:1000::/48,westus"]);
    assert_eq!(layer(&prefixes, Family::V4, |region| region + 1).len(), 2);
    let v6 = layer(&prefixes, Family::V6, |region| region + 1);
    assert_eq!(
        v6.iter().map(|run| run.start).collect::<Vec<_>>(),
        [0x2603_1000_0000_u128 << 80, 0x2603_1000_0001_u128 << 80]
    );
}

#[test]
fn lines_that_are_no_prefix_are_named() {
    for (line, text) in [(2, "20.0.0.0/16"), (3, "20.0.0.0/33,eastus"), (2, "20.0.0.0/16,moon")] {
        let lines: Vec<_> = (2..line).map(|_| "20.0.0.0/16,eastus").chain([text]).collect();
        let error = parse(&format!("prefix,region\n{}", lines.join("\n"))).unwrap_err();
        assert_eq!(
            error,
            InvalidPrefix {
                line,
                text: text.to_owned()
            }
        );
    }
}

proptest! {
    /// Nested or not, an address belongs to the longest prefix that contains it.
    #[test]
    fn runs_agree_with_the_longest_match(parts in prop::collection::btree_map((0_u32..32, 22_u8..=32), 0_u8..50, 0..30), probes in prop::collection::vec(0_u32..2048, 50)) {
        let prefixes: Vec<_> = parts.iter().map(|(&(block, length), &region)| AzurePrefix {
            network: ipnet::Ipv4Net::new_assert((0x1400_0000 + block * 53).into(), length).trunc().into(),
            region,
        }).collect();
        let runs = layer(&prefixes, Family::V4, |region| region + 1);
        for probe in probes {
            let address = 0x1400_0000 + probe;
            let ip: IpAddr = std::net::Ipv4Addr::from_bits(address).into();
            let around = prefixes.iter().filter(|prefix| prefix.network.contains(&ip));
            let longest = around.clone().map(|prefix| prefix.network.prefix_len()).max();
            let named: Vec<_> = around.filter(|prefix| Some(prefix.network.prefix_len()) == longest).map(|prefix| prefix.region).collect();
            let found = runs.iter().take_while(|run| run.start <= address.into()).last().map_or(0, |run| run.value);
            // Two regions may claim the same prefix; then either is right.
            let expected = if named.is_empty() { found == 0 } else { found > 0 && named.contains(&(found - 1)) };
            prop_assert!(expected);
        }
    }
}
