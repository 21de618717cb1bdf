//! Learned round trips: what the connections of a client prefix measured to regions, and what follows for the order of
//! regions where geography is wrong.
//!
//! Evidence is kept per prefix and region ([`table`]), of this instance and of others ([`evidence`]), within a bounded
//! memory, and fades with a half-life. It is joined with the estimate from geography by confidence, and changes an order
//! only between regions that both have evidence ([`order`]). Orders are prepared ([`orders`]); a request looks its
//! prefix up.

pub mod estimate;
pub mod evidence;
pub mod order;
pub mod orders;
pub mod prefix;
pub mod table;

pub use estimate::Estimate;
pub use evidence::{Evidence, Known};
pub use order::{Comparison, Terms};
pub use orders::{Orders, PrefixOrder};
pub use prefix::Prefix;
pub use table::{Added, EvidenceTable, Record, RegionId};

#[cfg(test)]
mod tests;
