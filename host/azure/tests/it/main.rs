//! The publisher as a whole: `cloud` with the real clients against the fakes of Azure, over sockets; `sim` for hours of it
//! in milliseconds, on a paused clock, against a model of Front Door.

mod cloud;
mod cloud_classic;
mod cloud_failures;
mod cloud_scenarios;
mod cloud_store;
mod net;
mod roles;
mod sim;
mod sim_clocks;
mod sim_doubt;
mod sim_failures;
mod sim_scenarios;
