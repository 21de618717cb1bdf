//! The publisher as a whole. `sim` runs hours of it in milliseconds on a paused clock, against a model of Front Door.

mod sim;
mod sim_failures;
mod sim_scenarios;
