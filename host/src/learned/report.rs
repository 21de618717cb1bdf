//! Reports of round trips: what gateways or other servers in a region measured of their clients.

use super::Sample;
use ipnet::IpNet;
use portolan_core::id::RegionName;
use portolan_core::learned::{Estimate, Prefix};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use thiserror::Error;

/// The most round trips in one report.
pub const MAX_REPORTED: usize = 5000;

/// `POST /api/v1/round-trips`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What was measured.
    pub round_trips: Vec<RoundTrip>,
}

/// A measured round trip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundTrip {
    /// A client's address, or a network of at least /24 or /48.
    pub client: String,
    /// The region that the client was connected to.
    pub region: String,
    /// The round trip in milliseconds: of connections, the kernel's smallest (`tcpi_min_rtt`).
    pub ms: f64,
    /// How many connections measured it. Default: one.
    #[serde(default = "one")]
    pub connections: u32,
}

fn one() -> u32 {
    1
}

/// The answer to a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// How many round trips count. Others are of excluded networks.
    pub accepted: u64,
}

/// Why a report is rejected, all of it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReportError {
    /// Nothing is learned.
    #[error("round trips are not learned: add geo.learned to the configuration")]
    Off,
    /// There are too many at once.
    #[error("{0} round trips are more than the {MAX_REPORTED} that are read at once")]
    Many(usize),
    /// One of them is wrong.
    #[error("round_trips[{index}]: {why}")]
    Wrong {
        /// Which one.
        index: usize,
        /// Why.
        why: String,
    },
}

impl Report {
    /// The samples by region, checked. `is_known`: whether any service has a region.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub fn samples(&self, is_known: impl Fn(&RegionName) -> bool) -> Result<Vec<(RegionName, Sample)>, ReportError> {
        if self.round_trips.len() > MAX_REPORTED {
            return Err(ReportError::Many(self.round_trips.len()));
        }
        let samples = self.round_trips.iter().enumerate().map(|(index, it)| {
            let region = RegionName::new(it.region.as_str());
            let sample = it.sample().and_then(|sample| match is_known(&region) {
                true => Ok((region, sample)),
                false => Err(format!("no service has a region {:?}", it.region)),
            });
            sample.map_err(|why| ReportError::Wrong { index, why })
        });
        samples.collect()
    }
}

impl RoundTrip {
    fn sample(&self) -> Result<Sample, String> {
        let client = &self.client;
        let network: IpNet = match client.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().into(),
            Err(_) => client
                .parse()
                .map_err(|_| format!("client {client:?} is neither an address nor a network"))?,
        };
        let least = if network.addr().is_ipv4() { 24 } else { 48 };
        if network.prefix_len() < least {
            return Err(format!("client {client} is a larger network than a /{least}"));
        }
        let prefix = Prefix::of(network.addr());
        let prefix = prefix.ok_or_else(|| format!("client {client} is not globally unique"))?;
        if !(self.ms > 0.0 && self.ms <= 60_000.0) {
            return Err(format!(
                "ms {} is not a round trip: from 0 to 60000 is possible",
                self.ms
            ));
        }
        // More than the heaviest evidence is not needed.
        let connections = self.connections.min(Estimate::MAX_WEIGHT as u32);
        let estimate = Estimate::of(self.ms).times(connections);
        let estimate = estimate.ok_or_else(|| "connections is 0".to_owned())?;
        Ok(Sample { prefix, estimate })
    }
}
