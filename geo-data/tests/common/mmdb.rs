//! Writes MaxMind DB files, format 2.0: as much of it as location databases need.

use ipnet::IpNet;
use std::net::IpAddr;

/// A value of a record.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(&'static str),
    Double(f64),
    Map(Vec<(&'static str, Value)>),
}

/// A database of networks, of which the smaller ones lie over the larger ones, in a tree for both families.
pub(crate) fn write(database_type: &'static str, networks: &[(IpNet, Value)]) -> Vec<u8> {
    let mut networks: Vec<_> = networks.iter().collect();
    networks.sort_by_key(|(network, _)| path(*network).1);
    let mut nodes = vec![[Child::Empty; 2]];
    let mut data = Vec::new();
    for (network, value) in networks {
        let (bits, length) = path(*network);
        insert(&mut nodes, bits, length, Child::Data(data.len()));
        put(&mut data, value);
    }
    let count = nodes.len();
    let mut bytes = Vec::new();
    for child in nodes.iter().flatten() {
        let number = match child {
            Child::Empty => count,
            Child::Node(node) => *node,
            Child::Data(at) => count + 16 + at,
        };
        bytes.extend(&u32::try_from(number).unwrap().to_be_bytes());
    }
    bytes.extend([0; 16]);
    bytes.extend(data);
    bytes.extend(b"\xab\xcd\xefMaxMind.com");
    put_metadata(&mut bytes, database_type, u32::try_from(count).unwrap());
    bytes
}

#[derive(Clone, Copy)]
enum Child {
    Empty,
    Node(usize),
    Data(usize),
}

/// The upper bits of a network in a tree for both families, where v4 is ::/96.
fn path(network: IpNet) -> (u128, u8) {
    match network.network() {
        IpAddr::V4(v4) => (v4.to_bits().into(), 96 + network.prefix_len()),
        IpAddr::V6(v6) => (v6.to_bits(), network.prefix_len()),
    }
}

fn insert(nodes: &mut Vec<[Child; 2]>, bits: u128, length: u8, leaf: Child) {
    let side = |depth: u8| (bits >> (127 - depth) & 1) as usize;
    let mut node = 0;
    for depth in 0..length - 1 {
        node = match nodes[node][side(depth)] {
            Child::Node(next) => next,
            larger => {
                // What the larger network has, both halves have.
                nodes.push([larger; 2]);
                let next = nodes.len() - 1;
                nodes[node][side(depth)] = Child::Node(next);
                next
            }
        };
    }
    nodes[node][side(length - 1)] = leaf;
}

fn put(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Text(text) => put_text(out, text),
        Value::Double(number) => {
            out.push(3 << 5 | 8);
            out.extend(number.to_be_bytes());
        }
        Value::Map(entries) => {
            out.push(7 << 5 | u8::try_from(entries.len()).unwrap());
            for (key, value) in entries {
                put_text(out, key);
                put(out, value);
            }
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 29, "a longer text has its length in another byte");
    out.push(2 << 5 | text.len() as u8);
    out.extend(text.as_bytes());
}

fn put_metadata(out: &mut Vec<u8>, database_type: &str, node_count: u32) {
    let number = |out: &mut Vec<u8>, key: &str, number: u16| {
        put_text(out, key);
        out.push(5 << 5 | 2);
        out.extend(number.to_be_bytes());
    };
    out.push(7 << 5 | 9);
    number(out, "binary_format_major_version", 2);
    number(out, "binary_format_minor_version", 0);
    number(out, "ip_version", 6);
    number(out, "record_size", 32);
    put_text(out, "node_count");
    out.push(6 << 5 | 4);
    out.extend(node_count.to_be_bytes());
    put_text(out, "build_epoch");
    out.extend([8, 2]);
    out.extend(1_780_000_000_u64.to_be_bytes());
    put_text(out, "database_type");
    put_text(out, database_type);
    put_text(out, "description");
    out.push(7 << 5);
    put_text(out, "languages");
    out.extend([0, 4]);
}
