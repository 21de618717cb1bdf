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

/// A section of these frames.
fn section_of(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut compressor = compressor(1).unwrap();
    frames
        .iter()
        .flat_map(|frame| compressor.compress(frame).unwrap())
        .collect()
}

/// What is read of a section, where there are three places; `None` if it makes no sense.
fn runs_of(section: &[u8], bits: u32) -> Option<Vec<Run<PlaceId>>> {
    let mut runs = PackedRuns::new(Frames::new(section).ok()?, 3, bits).ok()?;
    let list = runs.by_ref().collect();
    runs.finish().ok().map(|()| list)
}

fn unpacked(runs: &[Run<PlaceId>], bits: u32) -> Option<Vec<Run<PlaceId>>> {
    runs_of(&section_of(&pack_runs(runs)), bits)
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
        // Nothing so short is a list of runs, but one of none with no distances.
        let mut rest = Column(&content);
        let none = (rest.varint(), rest.varint()) == (Some(0), Some(0)) && rest.0.is_empty();
        prop_assert_eq!(unpack_v4(&section, 1).is_ok(), none);
        prop_assert_eq!(unpack_v6(&section, &[], 1).is_ok(), none);
    }

    #[test]
    fn runs_of_many_frames_are_read(distances in prop::collection::vec(1_u64..1 << 40, 1..64), many in 60_000_usize..200_000) {
        let mut start = 0;
        let runs: Vec<_> = (0..many)
            .map(|run| {
                start += distances[run % distances.len()];
                Run { start, value: PlaceId((run % 3) as u16) }
            })
            .collect();
        prop_assert_eq!(unpacked(&runs, u64::BITS), Some(runs));
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
    assert!(error.contains("version 77") && error.contains("version 03"), "{error}");
}

#[test]
fn runs_that_make_no_sense_are_refused() {
    let run = |start, place| Run {
        start,
        value: PlaceId(place),
    };
    let sound = [run(0, 1), run(256, 2), run(513, 1), run(528, 2)];
    assert_eq!(unpacked(&sound, u32::BITS), Some(sound.to_vec()));
    assert_eq!(unpacked(&[run(256, 3)], u32::BITS), None, "no such place");
    assert_eq!(
        unpacked(&[run(256, 1), run(256, 2)], u32::BITS),
        None,
        "two at one address"
    );
    assert_eq!(
        unpacked(&[run(u32::MAX.into(), 1), run(1 << 32, 1)], u32::BITS),
        None,
        "beyond the last address"
    );
    let several = [run(256, PlaceId::SEVERAL.0)];
    assert_eq!(
        unpacked(&several, u32::BITS),
        None,
        "several places are apart only in v6"
    );
    let far = [several[0], run(1 << 63 | 1, 2), run(u64::MAX, 1)];
    assert_eq!(unpacked(&far, u64::BITS), Some(far.to_vec()), "up to the last address");
}

#[test]
fn distances_without_a_code_are_written_out() {
    // More different ones than there are codes, the last ones over the whole address space.
    let mut start = 0;
    let near = (1..70_000_u64).map(|distance| {
        start += distance;
        start
    });
    let far = [1 << 40, 1 << 63, u64::MAX];
    let runs: Vec<_> = (near.chain(far).zip((1..3).cycle()))
        .map(|(start, place)| Run {
            start,
            value: PlaceId(place),
        })
        .collect();
    assert_eq!(unpacked(&runs, u64::BITS), Some(runs));
}

#[test]
fn frames_that_do_not_fit_each_other_are_refused() {
    let runs: Vec<_> = (1..100_000_u64)
        .map(|run| Run {
            start: run * 3,
            value: PlaceId((run % 3) as u16),
        })
        .collect();
    let frames = pack_runs(&runs);
    assert_eq!(frames.len(), 3, "a head, a full frame, and the rest");
    let read = |frames: &[Vec<u8>]| runs_of(&section_of(frames), u32::BITS);
    assert_eq!(read(&frames), Some(runs.clone()));
    assert_eq!(read(&frames[..2]), None, "cut short");
    assert_eq!(read(&frames[..1]), None, "no runs");
    assert_eq!(read(&[]), None, "nothing");
    assert_eq!(read(&[&frames[..], &frames[2..]].concat()), None, "too many");
    assert_eq!(read(&[&frames[..], &[vec![]]].concat()), None, "an empty one more");
    let changed = |frame: usize, change: &dyn Fn(&mut Vec<u8>)| {
        let mut frames = frames.clone();
        change(&mut frames[frame]);
        read(&frames)
    };
    assert_eq!(changed(1, &|frame| frame.truncate(100)), None, "a frame cut short");
    assert_eq!(changed(1, &|frame| frame.push(0)), None, "a byte more");
    assert_eq!(changed(1, &|frame| frame[7] = 9), None, "a code without a distance");
    let literal = |frame: &mut Vec<u8>| (frame[0], frame[1 << 16]) = (0xff, 0xff);
    assert_eq!(changed(1, &literal), None, "a literal that is not there");
    let same = [3_u64.to_le_bytes()].concat();
    let written_out = |frame: &mut Vec<u8>| {
        literal(frame);
        frame.extend(&same);
    };
    assert_eq!(changed(1, &written_out), Some(runs), "another way to say the same");
    let endless = |frame: &mut Vec<u8>| *frame = [0xff; 9].into_iter().chain([1, 1, 3]).collect();
    assert_eq!(changed(0, &endless), None, "more runs than memory holds");
}

#[test]
fn a_frame_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() {
    let huge = zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap();
    let section = huge.repeat(513);
    assert_eq!(Frames::new(&section).err(), Some(Damage::COMPRESSION));
    assert!(Frames::new(&huge).is_ok());
}
