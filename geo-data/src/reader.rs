//! Walking over all networks of a MaxMind DB file, valid or not.

pub(crate) use crate::family::Family;
use crate::input::METADATA;
pub use crate::input::{DatabaseError, DatabaseFile};
use crate::record::Record;
use crate::special;
use ipnet::IpNet;
use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use memchr::memmem;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

/// An open database.
pub(crate) struct Database<'a> {
    name: &'a str,
    reader: Reader<&'a [u8]>,
}

/// What was made of records, by where they are in the file.
pub(crate) type Known<T> = HashMap<usize, T, Spread>;

/// Spreads positions over a hash table, by a random multiplier (M. Dietzfelbinger et al., "A Reliable Randomized Algorithm
/// for the Closest-Pair Problem", 1997): millions of networks are looked up.
#[derive(Clone)]
pub(crate) struct Spread(u64);

impl Default for Spread {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish() | 1)
    }
}

impl BuildHasher for Spread {
    type Hasher = Position;

    fn build_hasher(&self) -> Position {
        Position(self.0)
    }
}

/// The hash of one position.
pub(crate) struct Position(u64);

impl Hasher for Position {
    fn write_usize(&mut self, position: usize) {
        // The upper bits of the product depend on all bits of the position; the table looks at the lower ones first.
        self.0 = self.0.wrapping_mul(position as u64).rotate_left(32);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_usize(usize::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The addresses of one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: u128,
    pub(crate) last: u128,
}

impl Span {
    pub(crate) fn of(network: IpNet) -> Self {
        let bits = |ip| match ip {
            IpAddr::V4(v4) => v4.to_bits().into(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        Self {
            first: bits(network.network()),
            last: bits(network.broadcast()),
        }
    }
}

impl<'a> Database<'a> {
    pub(crate) fn open(file: &'a DatabaseFile) -> Result<Self, DatabaseError> {
        let name = file.name.as_str();
        // Each ends with its metadata; the reader would take the last ones with the first tree.
        let count = memmem::find_iter(&file.bytes, METADATA).count();
        if count > 1 {
            return Err(DatabaseError::Repeated {
                name: name.to_owned(),
                count,
            });
        }
        match Reader::from_source(&file.bytes[..]) {
            Ok(reader) => Ok(Self { name, reader }),
            Err(error) => Err(file.not_a_database(error)),
        }
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// What it calls itself, such as `GeoLite2-City`.
    pub(crate) fn database_type(&self) -> &str {
        &self.reader.metadata().database_type
    }

    /// When it was built, in seconds since 1970.
    pub(crate) fn build_epoch(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// Visits every network with data that can have a place, in ascending order, with what `read` makes of its record.
    /// A record that many networks share is read once; `known` has what was made of those that were read before.
    pub(crate) fn walk<T: Copy>(
        &self,
        family: Family,
        known: &mut Known<T>,
        mut read: impl FnMut(&Record) -> T,
        mut visit: impl FnMut(Span, T),
    ) -> Result<(), DatabaseError> {
        let networks = match family {
            Family::V4 => special::v4_networks(),
            Family::V6 if self.reader.metadata().ip_version == 4 => return Ok(()),
            Family::V6 => special::v6_networks(),
        };
        // A tree of n nodes has at most n + 1 leaves. A corrupt one may share branches and have 2^128; so leaves are
        // counted, the empty ones and the aliases too. A leaf above one of the networks is met once for each.
        let nodes = self.reader.metadata().node_count;
        let mut leaves_left = nodes as usize + 1 + networks.len();
        let options = WithinOptions::default()
            .include_aliased_networks()
            .include_networks_without_data();
        for network in networks {
            // The reader has a type of its own for networks, which it shares only by way of text.
            let Ok(wanted) = network.to_string().parse() else {
                continue;
            };
            for leaf in self
                .reader
                .within(wanted, options)
                .map_err(|error| self.corrupt(error))?
            {
                let leaf = leaf.map_err(|error| self.corrupt(error))?;
                leaves_left = leaves_left.checked_sub(1).ok_or_else(|| DatabaseError::Tangled {
                    name: self.name.to_owned(),
                    nodes,
                })?;
                let Some(offset) = leaf.offset() else { continue };
                let found = leaf.network().map_err(|error| self.corrupt(error))?;
                let Some(span) = span(network, found.network(), found.prefix()) else {
                    continue;
                };
                let value = match known.get(&offset) {
                    Some(value) => *value,
                    None => {
                        let record = leaf.decode::<Record>().map_err(|error| self.corrupt(error))?;
                        let value = read(&record.unwrap_or(Record::Other));
                        known.insert(offset, value);
                        value
                    }
                };
                visit(span, value);
            }
        }
        Ok(())
    }

    fn corrupt(&self, error: MaxMindDbError) -> DatabaseError {
        DatabaseError::Corrupt {
            name: self.name.to_owned(),
            error,
        }
    }
}

/// The part of a found network that lies in the wanted one; `None` if it is of the other family.
fn span(wanted: IpNet, address: IpAddr, prefix: u8) -> Option<Span> {
    let found = IpNet::new(address, prefix).ok()?;
    let smaller = if found.prefix_len() < wanted.prefix_len() {
        wanted
    } else {
        found
    };
    (matches!(found, IpNet::V4(_)) == matches!(wanted, IpNet::V4(_))).then(|| Span::of(smaller))
}
