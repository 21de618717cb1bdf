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

/// Any bytes as the content of a compiled table: two bytes say how long the next of its three sections is, and the last one is
/// what is left. They are compressed here, since no fuzzer finds its way through a checksum.
pub fn location_table(data: &[u8]) {
    let mut file = LINE.to_vec();
    let mut rest = data;
    for section in 0..3 {
        let (length, following) = match (section, rest) {
            (0 | 1, [lower, upper, following @ ..]) => (usize::from(u16::from_le_bytes([*lower, *upper])), following),
            _ => (rest.len(), rest),
        };
        let (content, following) = following.split_at(length.min(following.len()));
        let frame = zstd::bulk::compress(content, 1).expect("memory takes everything");
        file.extend(u32::try_from(frame.len()).expect("a small frame").to_le_bytes());
        file.extend(frame);
        rest = following;
    }
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
