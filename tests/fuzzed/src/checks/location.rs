//! Location databases: no file takes the reader down, and a table that is accepted can be asked anything.

use portolan_geo::{DatabaseFile, GeoTable};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// The first line of a compiled table.
static LINE: LazyLock<&[u8]> = LazyLock::new(|| {
    let table = include_bytes!("../../../../geo-data/data/locations.geo");
    let end = table.iter().position(|byte| *byte == b'\n');
    &table[..=end.expect("a line")]
});

/// Any bytes as the content of a compiled table: of each of its frames, two bytes say how long it is, the lowest first, and by
/// the highest bit that it is the last one of its section. What follows the third section is appended as it is. Frames are compressed here, since
/// no fuzzer finds its way through a checksum.
pub fn location_table(data: &[u8]) {
    let mut file = LINE.to_vec();
    let mut rest = data;
    for _ in 0..3 {
        let mut section = Vec::new();
        while let [lower, upper, following @ ..] = rest {
            let length = usize::from(u16::from_le_bytes([*lower, *upper & 0x7f]));
            let (content, following) = following.split_at(length.min(following.len()));
            section.extend(zstd::bulk::compress(content, 1).expect("memory takes everything"));
            rest = following;
            if *upper & 0x80 != 0 {
                break;
            }
        }
        file.extend(u32::try_from(section.len()).expect("a small section").to_le_bytes());
        file.extend(section);
    }
    file.extend(rest);
    let Ok(table) = GeoTable::read(file.as_slice()) else {
        return;
    };
    check(&table);
    let mut again = Vec::new();
    table.write(&mut again).expect("memory takes everything");
    let second = GeoTable::read(again.as_slice()).expect("what was written can be read");
    let mut third = Vec::new();
    second.write(&mut third).expect("memory takes everything");
    assert_eq!(again, third, "a table changes when it is written and read");
}

/// Any bytes as a MaxMind database.
pub fn maxmind(data: &[u8]) {
    let file = DatabaseFile {
        name: "fuzzed.mmdb".to_owned(),
        bytes: data.to_vec().into(),
    };
    if let Ok(table) = GeoTable::of_files(&[file]) {
        check(&table);
    }
}

/// Everything that can be asked has an answer.
fn check(table: &GeoTable) {
    assert!(!table.places().is_empty());
    for step in 0..=1024_u32 {
        let v4 = Ipv4Addr::from_bits(step.wrapping_mul(0x003f_ffff));
        let v6 = Ipv6Addr::from_bits(u128::from(step) << 118 | u128::from(step));
        for address in [IpAddr::V4(v4), IpAddr::V6(v6)] {
            assert!(table.locate(address).id.index() < table.places().len());
        }
    }
}
