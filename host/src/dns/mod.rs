//! Names resolved, and kept up to date in the background: a stub resolver above hickory's DNS messages.
//!
//! Data flows down this table and back up as outcomes. What decides has neither clock nor sockets; `task`, `lookup` and
//! `client` have.
//!
//! | module | what it does |
//! |---|---|
//! | [`resolver`], [`name`] | what the rest of the program uses: names, and the addresses they have now |
//! | `task` | one task per name: starts the look-ups that are due, publishes what changed |
//! | `state` | what is known of a name: per address family an answer, its expiry, its last error |
//! | `lookup` | one look-up of one family: hosts file, then name servers |
//! | `walk`, `question` | which server is asked which name next, and what the replies mean together |
//! | `search` | the names that are tried for a name (search list, final dot) |
//! | `servers` | the order of the name servers: those that do not answer go last |
//! | `shared` | what all look-ups share |
//! | `sources`, `conf`, `hosts` | name servers and hosts, from the configuration or from the system's files |
//! | `client`, `reply` | one question to one server; what its response means |
//! | `route` | whether this machine has a route to an address |

mod client;
mod conf;
mod family;
mod hosts;
mod lookup;
pub mod name;
mod question;
mod reply;
pub mod resolver;
mod route;
mod search;
mod servers;
mod shared;
mod sources;
mod state;
mod task;
mod walk;

pub use family::Family;
pub use name::Name;
pub use resolver::Resolver;
pub use sources::Sources;
pub use state::{FamilyStatus, Problem};
