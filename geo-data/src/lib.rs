//! Where addresses are, where Azure's regions are, and how long the way between them takes.
//!
//! A [`GeoTable`] is compiled: of the database an operator gives, or before, of the one that Portolan ships. A look-up
//! then costs a few nanoseconds, and a database that is corrupt is found out before it is used.
//!
//! In reading order:
//!
//! | module | what it holds |
//! |---|---|
//! | [`table`] | the location table and its look-up |
//! | `v4`, `v6`, `runs` | its two halves, exact to the address, and the sorted runs they are made of |
//! | [`special`] | addresses that have no place, or carry another address |
//! | [`open`] | the embedded table, and tables from files |
//! | [`compile`] | from databases to a table |
//! | [`input`], [`reader`], [`family`] | files as operators have them, and their networks of either family |
//! | `record`, `schema` | records of MaxMind DB files, and what they mean in any schema |
//! | `layers`, `places` | runs of networks laid over each other, and the cells that become places |
//! | [`overlay`], `fill` | networks that the configuration places; a family that the databases lack |
//! | [`mod@file`], `packed`, `frames` | compiled tables on disk |
//! | [`cache`] | a compiled table that is kept, so that large databases are compiled once |
//! | [`info`] | what a table was made of |
//! | [`asn`] | autonomous systems by address |
//! | [`countries`] | countries, their continents and where their people are |
//! | [`azure`], [`prefixes`] | Azure's regions, round trips and address ranges |

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod asn;
pub mod azure;
pub mod cache;
pub mod compile;
pub mod countries;
pub mod family;
pub mod file;
mod fill;
mod frames;
pub mod info;
pub mod input;
mod layers;
pub mod open;
pub mod overlay;
mod packed;
mod places;
pub mod prefixes;
pub mod reader;
mod record;
mod runs;
mod schema;
pub mod special;
pub mod table;
mod v4;
mod v6;

pub use asn::AsnTable;
pub use compile::CompileOptions;
pub use info::{Coverage, FileInfo, GeoInfo};
pub use input::DatabaseFile;
pub use overlay::ConfiguredNetwork;
pub use places::TooManyPlaces;
pub use table::GeoTable;
