//! Routing plugins for Portolan, in Rust.
//!
//! A routing plugin decides in which order the regions of a service are tried for a request. Portolan has already left out
//! the regions that may not answer, and has ranked the rest: a plugin changes that order, or has no opinion.
//!
//! ```
//! use portolan_plugin::{Decision, Plugin, Regions, Request, Setup, Slot, export_plugin};
//!
//! /// Sends British clients to one region first.
//! struct British {
//!     home: Option<Slot>,
//! }
//!
//! impl Plugin for British {
//!     fn configure(_config: &str, setup: &mut Setup) -> Result<Self, String> {
//!         setup.needs(portolan_plugin::Inputs::COUNTRY);
//!         Ok(Self { home: None })
//!     }
//!
//!     fn update(&mut self, regions: &Regions) {
//!         self.home = regions.named("uksouth");
//!     }
//!
//!     fn route(&self, request: &Request, _regions: &Regions) -> Decision {
//!         match self.home {
//!             Some(home) if request.country.as_str() == Some("GB") => Decision::first(home),
//!             _ => Decision::no_opinion(),
//!         }
//!     }
//! }
//!
//! export_plugin!(British);
//!
//! let mut plugin = British::configure("{}", &mut Setup::default()).unwrap();
//! let regions = Regions::of([portolan_plugin::Region::named("uksouth")]);
//! plugin.update(&regions);
//! let mut request = Request::default();
//! request.country = "GB".parse().unwrap();
//! assert_eq!(plugin.route(&request, &regions), Decision::first(Slot(0)));
//! ```
//!
//! As above, a plugin is tested like any other code: nothing but [`export_plugin!`] has to do with WebAssembly.
//! Built for the target `wasm32-unknown-unknown` and made a component (`plugins/build.sh` in the repository shows how),
//! it is what Portolan loads. A panic becomes a trap: Portolan answers that request by itself, counts the fault and starts
//! a new instance.
//!
//! # From SDK 0.1
//!
//! | 0.1 | now |
//! |---|---|
//! | `setup.header("x-a")`, `Header`, `request.header(h)`, `with_header` | `setup.field("x-a")`, `Field`, `request.field(f)`, `with_field` |
//! | `Inputs::HOST`, `request.host`; `PATH`, `request.path`; `request.protocol` | `setup.field(field::HOST)` and so on, `request.field(f)` |
//! | `Inputs::HEADERS` | `Inputs::FIELDS` |
//! | `request.offered()`, `offering`: eight regions at most | `request.eligible()`, `with_eligible`: all |
//! | `State::Degraded` | `State::Warming` |
//! | `Decision` is `Copy` | `Clone` |
//!
//! Plugins that were built for 0.1 go on running beside others.
//!
//! | module | what it holds |
//! |---|---|
//! | [`region`] | the regions of the service |
//! | [`request`] | the request, and building one for tests |
//! | [`setup`] | what the plugin wants to know, and names for what it says |
//! | [`decision`] | the answer |
//! | [`geo`] | points on the globe and distances |
//! | [`host`] | the log, undeclared headers, counters |

pub mod decision;
pub mod geo;
pub mod host;
pub mod region;
pub mod request;
pub mod setup;

#[cfg(any(target_arch = "wasm32", test))]
mod arena;
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod instance;

pub use decision::{Affinity, Decision};
pub use geo::Point;
pub use region::{Country, Region, Regions, Slot, State};
pub use request::{Estimate, Method, Request};
pub use setup::{Counter, Field, Inputs, Reason, RequestHeader, Setup, field};

/// A routing plugin. Its value is built from the configuration and lives as long as the instance that holds it; instances
/// come and go at any time.
pub trait Plugin: Sized + 'static {
    /// Reads the deployment's configuration, a JSON text (`{}` when there is none), and says in `setup` what the plugin
    /// needs.
    ///
    /// # Errors
    /// What is wrong with the configuration, for its author. The deployment then fails and what ran before keeps running.
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String>;

    /// Prepares what can be known before a request comes. Called before the first [`route`](Self::route) and whenever
    /// the regions or their states have changed.
    fn update(&mut self, _regions: &Regions) {}

    /// Orders the regions for one request. Called for every request that no remembered answer fits, so it should cost
    /// little: much less than the deployment's deadline, 1 ms unless configured.
    fn route(&self, request: &Request, regions: &Regions) -> Decision;
}

/// Makes a type that implements [`Plugin`] the plugin of this crate.
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        const _: () = {
            use $crate::bindings::exports::portolan::routing::plugin as contract;

            struct Exported;

            std::thread_local! {
                static INSTANCE: $crate::instance::Instance<$plugin> = const { $crate::instance::Instance::new() };
            }

            impl contract::Guest for Exported {
                fn configure(config: String) -> Result<contract::Setup, String> {
                    INSTANCE.with(|instance| instance.configure(&config))
                }
                fn update(snapshot: contract::Snapshot) {
                    INSTANCE.with(|instance| instance.update(snapshot));
                }
                fn route(request: contract::Request) -> contract::Decision {
                    INSTANCE.with(|instance| instance.route(request))
                }
            }

            // The exported names hold colons, which linkers of native libraries refuse.
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::export!(Exported with_types_in $crate::bindings);
            #[cfg(not(target_arch = "wasm32"))]
            const _: fn() = $crate::instance::keeps_contract::<Exported>;
        };
    };
}
