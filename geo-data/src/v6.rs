//! The v6 half of a table, exact to the address.

use crate::runs::{Run, Runs, Value};
use std::net::Ipv6Addr;

/// Runs over the upper 64 bits. The few /64s that hold several values are beside them, as runs over all 128 bits.
#[derive(Clone, Debug)]
pub(crate) struct V6Table<V> {
    upper: Runs<V>,
    /// First addresses, of which each of those /64s has one.
    starts: Box<[u128]>,
    values: Box<[V]>,
}

/// Runs over whole addresses, apart as [`V6Table`] holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V6Runs<V> {
    /// Over the upper 64 bits; where a /64 has several values it is [`Value::SEVERAL`].
    pub(crate) upper: Vec<Run<V>>,
    /// The values of those /64s.
    pub(crate) whole: Vec<Run<V, u128>>,
}

impl<V: Value> V6Table<V> {
    /// The table of runs over whole addresses.
    pub(crate) fn new(runs: &[Run<V, u128>]) -> Self {
        let V6Runs { upper, whole } = V6Runs::new(runs);
        Self::of_parts(Runs::new(upper, u64::BITS), whole)
    }

    /// The table of ascending runs, as [`V6Runs`] has them.
    pub(crate) fn of_parts(upper: Runs<V>, whole: impl IntoIterator<Item = Run<V, u128>>) -> Self {
        let (starts, values): (Vec<_>, Vec<_>) = whole.into_iter().map(|run| (run.start, run.value)).unzip();
        Self {
            upper,
            starts: starts.into(),
            values: values.into(),
        }
    }

    /// What holds at an address.
    pub(crate) fn at(&self, ip: Ipv6Addr) -> V {
        let value = self.upper.at((ip.to_bits() >> 64) as u64);
        if value != V::SEVERAL {
            return value;
        }
        let run = self
            .starts
            .partition_point(|start| *start <= ip.to_bits())
            .checked_sub(1);
        run.and_then(|run| self.values.get(run).copied()).unwrap_or_default()
    }

    pub(crate) fn memory(&self) -> usize {
        self.upper.memory() + size_of_val(&self.starts[..]) + size_of_val(&self.values[..])
    }

    /// The runs in ascending order.
    pub(crate) fn parts(&self) -> V6Runs<V> {
        let whole = self.starts.iter().zip(&self.values);
        V6Runs {
            upper: self.upper.iter().collect(),
            whole: whole.map(|(&start, &value)| Run { start, value }).collect(),
        }
    }
}

impl<V: Value> V6Runs<V> {
    /// Takes runs over whole addresses apart.
    pub(crate) fn new(runs: &[Run<V, u128>]) -> Self {
        let (mut upper, mut whole) = (Vec::new(), Vec::new());
        let mut put = |start, value| {
            upper.pop_if(|run: &mut Run<V>| run.start == start);
            if upper.last().map_or(V::default(), |run| run.value) != value {
                upper.push(Run { start, value });
            }
        };
        let mut before = V::default();
        for runs in runs.chunk_by(|a, b| a.start >> 64 == b.start >> 64) {
            let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
                continue;
            };
            let network = (first.start >> 64) as u64;
            let begin = u128::from(network) << 64;
            if runs.len() == 1 && first.start == begin {
                put(network, first.value);
            } else {
                put(network, V::SEVERAL);
                if first.start != begin {
                    let (start, value) = (begin, before);
                    whole.push(Run { start, value });
                }
                whole.extend(runs);
                if let Some(next) = network.checked_add(1) {
                    put(next, last.value);
                }
            }
            before = last.value;
        }
        Self { upper, whole }
    }

    /// The runs over whole addresses.
    pub(crate) fn join(&self) -> Vec<Run<V, u128>> {
        let mut runs = Vec::with_capacity(self.upper.len() + self.whole.len());
        let mut put = |start, value| {
            if runs.last().map_or(V::default(), |run: &Run<V, u128>| run.value) != value {
                runs.push(Run { start, value });
            }
        };
        let mut whole = self.whole.iter().peekable();
        for (at, run) in self.upper.iter().enumerate() {
            if run.value != V::SEVERAL {
                put(u128::from(run.start) << 64, run.value);
                continue;
            }
            let next = self.upper.get(at + 1).map(|next| u128::from(next.start) << 64);
            while let Some(run) = whole.next_if(|run| next.is_none_or(|next| run.start < next)) {
                put(run.start, run.value);
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests;
