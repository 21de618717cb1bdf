//! Scenarios: gateways with a fate, requests and probes in simulated time, and what the tracker makes of them.

mod ceiling;
mod disputed;
mod failback;
mod faults;
mod life;
mod sim;
