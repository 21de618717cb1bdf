use super::*;
use crate::info::FileInfo;
use crate::layers::{Layer, overlay};
use crate::overlay::v4_table;
use crate::runs::Value;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

prop_compose! {
    /// Runs of the given distances and places.
    fn runs(grain: u32, limit: u128)(parts in prop::collection::vec((1_u128..limit, 0_u16..6), 0..40)) -> Layer<PlaceId> {
        let mut start = 0;
        let mut before = PlaceId::UNKNOWN;
        let mut runs = Vec::new();
        for (distance, place) in parts {
            start += distance << grain;
            if PlaceId(place) != before {
                before = PlaceId(place);
                runs.push(Run { start, value: before });
            }
        }
        runs
    }
}

prop_compose! {
    fn tables()(
        v4 in runs(8, 400_000),
        addresses in runs(0, 400),
        coarse in runs(96, 1 << 26),
        fine in runs(64, 1 << 34),
        exact in runs(0, 1 << 66),
    ) -> GeoTable {
        table(overlay(v4, addresses), &overlay(overlay(coarse, fine), exact))
    }
}

fn table(v4: Layer<PlaceId>, v6: &[Run<PlaceId, u128>]) -> GeoTable {
    let place = |number: u8| Place {
        point: Point::new(f32::from(number), -f32::from(number)).ok(),
        country: Country::parse("GB").unwrap(),
        precision: Precision::from_code(number % 5),
    };
    let places = std::iter::once(Place::default()).chain((1..6).map(place)).collect();
    let info = GeoInfo {
        database: "Test".to_owned(),
        files: vec![FileInfo {
            name: "test.mmdb".to_owned(),
            ..FileInfo::default()
        }],
        built: 1,
        attribution: None,
        filled: None,
    };
    GeoTable::new(places, v4_table(v4), V6Table::new(v6), info)
}

fn written(table: &GeoTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.write(&mut bytes).unwrap();
    bytes
}

/// The place of an address, by walking the runs.
fn naive(runs: &[Run<PlaceId, u128>], address: u128) -> PlaceId {
    runs.iter()
        .take_while(|run| run.start <= address)
        .last()
        .map_or(PlaceId::UNKNOWN, |run| run.value)
}

proptest! {
    // Every case builds tables of a quarter of a megabyte, which takes a while in an unoptimised build.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_written_is_read(table in tables()) {
        let bytes = written(&table);
        let read = GeoTable::read(bytes.as_slice()).unwrap();
        prop_assert_eq!(read.places(), table.places());
        prop_assert_eq!(read.info(), table.info());
        prop_assert_eq!(read.v4().runs(), table.v4().runs());
        prop_assert_eq!(read.v6().parts(), table.v6().parts());
        prop_assert_eq!(written(&read), bytes);
    }

    #[test]
    fn look_ups_agree_with_walking_the_runs(
        coarse in runs(8, 400_000),
        fine in runs(0, 60),
        v6 in runs(53, 1 << 68),
        probes: Vec<u128>,
    ) {
        let v4 = overlay(coarse, fine);
        let table = table(v4.clone(), &v6);
        let near = |runs: &[Run<PlaceId, u128>]| runs.iter().flat_map(|r| [r.start.wrapping_sub(1), r.start, r.start + 1]).collect::<Vec<_>>();
        for probe in near(&v4).into_iter().chain(probes.iter().copied()) {
            let ip = Ipv4Addr::from_bits(probe as u32);
            let expected = naive(&v4, ip.to_bits().into());
            prop_assert_eq!(table.locate(ip.into()).id, expected);
            prop_assert_eq!(table.locate(ip.to_ipv6_mapped().into()).id, expected);
        }
        for probe in near(&v6).into_iter().chain(probes) {
            let ip = Ipv6Addr::from_bits(probe);
            if crate::special::unwrap(ip) == IpAddr::V6(ip) {
                prop_assert_eq!(table.locate(ip.into()).id, naive(&v6, probe));
            }
        }
    }

    #[test]
    fn a_damaged_file_is_refused(table in tables(), at: prop::sample::Index, bit in 0_u32..8) {
        let mut bytes = written(&table);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // A change that goes unnoticed must change nothing.
        if let Ok(read) = GeoTable::read(bytes.as_slice()) {
            prop_assert_eq!(read.v4().runs(), table.v4().runs());
        prop_assert_eq!(read.v6().parts(), table.v6().parts());
            prop_assert_eq!(read.places(), table.places());
        }
    }

    #[test]
    fn a_file_cut_short_is_refused(table in tables(), at: prop::sample::Index) {
        let bytes = written(&table);
        prop_assert!(GeoTable::read(&bytes[..at.index(bytes.len())]).is_err());
    }
}

proptest! {
    #[test]
    fn content_that_makes_no_sense_is_refused(content in prop::collection::vec(any::<u8>(), 0..6)) {
        prop_assert!(unpack_head(&mut Column(&content)).is_none());
        let section = zstd::bulk::compress(&content, 1).unwrap();
        // Nothing so short but a count of none is a list of runs.
        let mut rest = Column(&content);
        let none = rest.varint() == Some(0) && rest.0.is_empty();
        prop_assert_eq!(unpack_v4(&section, 1).is_ok(), none);
        prop_assert_eq!(unpack_v6(&section, &[], 1).is_ok(), none);
    }

    #[test]
    fn numbers_of_any_size_survive(numbers: Vec<u64>) {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|number| put(&mut bytes, *number));
        let mut column = Column(&bytes);
        for number in numbers {
            prop_assert_eq!(column.varint(), Some(number));
        }
        prop_assert_eq!(column.varint(), None);
    }
}

#[test]
fn other_files_and_versions_are_told_apart() {
    let mut bytes = written(&table(Vec::new(), &[]));
    assert!(GeoTable::is_compiled(&bytes));
    assert!(matches!(
        GeoTable::read(&b"PK\x03\x04 a longer file of another kind"[..]),
        Err(FileError::NotATable)
    ));
    assert!(matches!(GeoTable::read(&b""[..]), Err(FileError::NotATable)));
    bytes[MAGIC.len()..][..2].copy_from_slice(b"77");
    let error = GeoTable::read(bytes.as_slice()).unwrap_err().to_string();
    assert!(error.contains("version 77") && error.contains("version 02"), "{error}");
}

#[test]
fn runs_that_make_no_sense_are_refused() {
    let run = |start, place| Run {
        start,
        value: PlaceId(place),
    };
    fn read<const WIDTH: usize>(runs: &[Run<PlaceId>]) -> Option<Vec<Run<PlaceId>>> {
        let mut bytes = Vec::new();
        pack_runs::<WIDTH>(&mut bytes, runs);
        let mut runs = PackedRuns::<WIDTH>::take(&mut Column(&bytes), 3)?;
        let list: Vec<_> = runs.by_ref().collect();
        runs.is_sound().then_some(list)
    }
    let sound = [run(0, 1), run(256, 2), run(513, 1), run(528, 2)];
    assert_eq!(read::<4>(&sound), Some(sound.to_vec()));
    assert_eq!(read::<4>(&[run(256, 3)]), None, "no such place");
    assert_eq!(read::<4>(&[run(256, 1), run(256, 2)]), None, "two at one address");
    assert_eq!(
        read::<4>(&[run(u32::MAX.into(), 1), run(1 << 32, 1)]),
        None,
        "beyond the last address"
    );
    assert!(
        PackedRuns::<4>::take(&mut Column(&[1, 2, 0x80]), 3).is_none(),
        "cut short"
    );
    let several = [run(256, PlaceId::SEVERAL.0)];
    assert_eq!(read::<4>(&several), None, "several places are apart only in v6");
    let far = [several[0], run(1 << 63 | 1, 2), run(u64::MAX, 1)];
    assert_eq!(read::<8>(&far), Some(far.to_vec()), "up to the last address");
}
