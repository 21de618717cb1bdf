//! How much of a service's traffic its regions can take: which are full for a request, and where requests go whose region is not
//! available or full.
//!
//! A capacity is a number of concurrent requests, as [`max_requests`](crate::config::Gateway::max_requests) is: it bounds a region that
//! becomes slow, too, and needs no clock. Where the region says how busy it is, the higher of the two counts.

use crate::admission::{Overload, Priority};
use crate::candidates::Candidates;
use crate::chance::spread;
use crate::config::{Config, Policy, Service, Spillover};
use crate::health::{GatewayHealth, ServiceHealth};
use crate::id::{ServiceId, Slot};
use crate::rank::Ranking;
use crate::slots::Slots;

/// The stream of a request's chance that decides where it goes instead. Slots and the weighted draw use those up to 255.
const STREAM: u64 = 1 << 32;

/// The capacities of a service's regions, prepared when the routing table is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// By slot; `None` for regions without a limit.
    limits: Box<[Option<Limits>]>,
    spillover: Spillover,
}

/// The limit of a region, and the part of it that each priority may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    max: u32,
    parts: [u32; Priority::ALL.len()],
}

/// The load of a region at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests in flight from this instance.
    pub in_flight: u32,
    /// How busy the region says it is, in thousandths of its capacity; 0 where it does not say.
    pub reported: u16,
}

impl Limits {
    /// What is used of the limit, by this instance's own count or by what the region reports.
    fn used(self, load: Load) -> u32 {
        let reported = u64::from(self.max) * u64::from(load.reported) / 1000;
        load.in_flight.max(u32::try_from(reported).unwrap_or(u32::MAX))
    }

    /// What is left of a region that may have this share of its limit, in thousandths.
    fn headroom(self, priority: Priority, share: u16, load: Load) -> u32 {
        let part = u64::from(self.parts[priority as usize]) * u64::from(share) / u64::from(GatewayHealth::FULL_SHARE);
        u32::try_from(part.max(1))
            .unwrap_or(u32::MAX)
            .saturating_sub(self.used(load))
    }
}

impl Capacity {
    /// The capacities of a service; `None` when none of its regions has a limit.
    ///
    /// Where its routes have several priorities, the lower ones may use a part of each limit only, as [`Overload`] has it. The
    /// highest of them may use all of it.
    pub fn of(config: &Config, id: ServiceId) -> Option<Self> {
        let service = config.service(id)?;
        let routes = config.routes().entries().map(|(_, route)| route);
        let routes = routes.filter(|route| route.service() == id && !route.is_redirect());
        let priority = |policies| {
            config
                .policies(policies)
                .map_or(Priority::default(), |own| own.priority)
        };
        let highest = routes
            .map(|route| route.policies().map_or(Priority::default(), priority))
            .max();
        Self::new(service, highest.unwrap_or_default())
    }

    /// The same for a service whose routes have this priority or lower ones.
    pub fn new(service: &Service, highest: Priority) -> Option<Self> {
        let limits = service.gateways().iter().map(|gateway| {
            let max = gateway.max_requests?;
            let shared = Overload::new(max);
            let part = |priority| {
                if priority < highest {
                    shared.limit(priority)
                } else {
                    max
                }
            };
            Some(Limits {
                max,
                parts: Priority::ALL.map(part),
            })
        });
        let limits: Box<[_]> = limits.collect();
        limits.iter().any(Option::is_some).then_some(Self {
            limits,
            spillover: service.spillover,
        })
    }

    /// The regions that are full for requests of this priority. One in slow start has its share of its limit: what others have no room
    /// for does not come all at once either.
    pub fn full(&self, priority: Priority, health: &ServiceHealth, load: impl Fn(Slot) -> Load) -> Slots {
        let limited = self.limits.iter().enumerate();
        let full = limited.filter_map(|(index, limits)| {
            let slot = Slot(index as u8);
            let headroom = (*limits)?.headroom(priority, share(health, slot), load(slot));
            (headroom == 0).then_some(slot)
        });
        full.collect()
    }

    /// Puts another region first for a request whose preferred region is not available, full, or held back in slow start: one of the
    /// same failover level, by chance in proportion to the headroom of each. `row` is the service's order for the client, and `roll`
    /// the request's chance.
    ///
    /// The order stays as it is where the next region has no limit, and under [`Policy::Weighted`]: there the weights decide.
    pub fn spill(
        &self,
        (service, row, candidates): (&Service, &[Slot], &Candidates),
        health: &ServiceHealth,
        ranking: &mut Ranking,
        priority: Priority,
        load: impl Fn(Slot) -> Load,
        roll: u64,
    ) {
        let wished = row.iter().find(|slot| !candidates.forbidden.contains(**slot));
        let next = ranking.first().filter(|next| Some(next) != wished);
        let (Some(next), Spillover::Headroom) = (next, self.spillover) else {
            return;
        };
        if service.policy == Policy::Weighted || self.limits_of(next).is_none() {
            return;
        }
        let level = |slot| service.gateway(slot).map(|gateway| gateway.priority);
        let open = candidates.eligible - ranking.held_back();
        let beside = open.iter().filter(|slot| level(*slot) == level(next));
        let headroom = |slot| {
            let limits = self.limits_of(slot)?;
            Some((
                slot,
                u64::from(limits.headroom(priority, share(health, slot), load(slot))),
            ))
        };
        let beside = beside.filter_map(headroom);
        let total: u64 = beside.clone().map(|(_, headroom)| headroom).sum();
        let mut at = ((u128::from(spread(roll, STREAM)) * u128::from(total)) >> u64::BITS) as u64;
        for (slot, headroom) in beside {
            if at < headroom {
                ranking.prefer(slot);
                return;
            }
            at -= headroom;
        }
    }

    fn limits_of(&self, slot: Slot) -> Option<Limits> {
        self.limits.get(slot.index()).copied().flatten()
    }
}

/// What an unhealthy region that is a last resort may have of its limit beside others that are well: as in the first step of slow start.
const LAST_RESORT_SHARE: u16 = GatewayHealth::FULL_SHARE / 10;

/// The part of its limit that a region may have, in thousandths: all of it, unless it is unhealthy or in slow start beside others that
/// are not.
fn share(health: &ServiceHealth, slot: Slot) -> u16 {
    let all = Slots::first(health.gateways().len());
    let steady = all - health.unhealthy() - health.draining() - health.warming();
    match steady.is_empty() {
        true => GatewayHealth::FULL_SHARE,
        false if health.unhealthy().contains(slot) => LAST_RESORT_SHARE,
        false => health.gateway(slot).share,
    }
}

#[cfg(test)]
mod tests;
