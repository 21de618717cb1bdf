//! The faults, and the limits for each.

use portolan_tests::Behaviour;
use std::time::Duration;

/// The regions by nearness to the clients: the first carries the traffic.
pub(crate) const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];

/// A fault and its limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Its name.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) script: Script,
    /// Whether probes still pass.
    pub(crate) passes_probes: bool,
    /// Whether the proxy holds bodies back until they are complete.
    pub(crate) holds_back: bool,
    /// The limits.
    pub(crate) bar: Bar,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// This many of the nearest regions behave like this until the fault ends.
    Break(usize, Behaviour),
    /// The nearest region behaves like this and recovers, again and again.
    Alternate(Behaviour),
    /// All is well.
    Nothing,
}

/// What a fault may cost. No `POST` may be processed twice, and no incomplete answer may look complete.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bar {
    /// `GET`s without a good answer.
    pub(crate) lost_gets: Option<usize>,
    /// `POST`s without a good answer.
    pub(crate) lost_posts: Option<usize>,
    /// The longest time a `GET` waits for its answer.
    pub(crate) stall: Option<Duration>,
    /// The time until no new request goes to the region, and until answers are good again.
    pub(crate) impact: Option<Duration>,
    /// During the fault every `GET` is answered with 503 and `Retry-After`, and every request within this time...
    pub(crate) unavailable: Option<Duration>,
    /// ... from this time after the start of the fault. `None`: from the start.
    pub(crate) known: Option<Duration>,
    /// The time from the end of the fault to the first good answer.
    pub(crate) back: Option<Duration>,
}

const fn ms(millis: u64) -> Option<Duration> {
    Some(Duration::from_millis(millis))
}

const NONE: Bar = Bar {
    lost_gets: None,
    lost_posts: None,
    stall: None,
    impact: None,
    unavailable: None,
    known: None,
    back: None,
};
/// No `GET` is lost.
const NO_GET_LOST: Bar = Bar {
    lost_gets: Some(0),
    ..NONE
};
const DEAD: Bar = Bar {
    stall: ms(20),
    ..NO_GET_LOST
};
/// Also, no `GET` waits longer than it takes to eject the region.
const HANGS: Bar = Bar {
    impact: ms(500),
    stall: ms(500),
    ..NO_GET_LOST
};
const ERRORS: Bar = Bar {
    lost_posts: Some(2),
    impact: ms(500),
    ..NO_GET_LOST
};
/// Two regions have to be ejected, one after the other. Until then most requests need two extra attempts, more than the
/// retry budget allows.
const TWO_HANG: Bar = Bar {
    stall: ms(2500),
    ..NO_GET_LOST
};
const PARTIAL: Bar = Bar {
    impact: ms(2000),
    ..NO_GET_LOST
};
/// Requests on connections that are cut get 502.
const ALL_DOWN: Bar = Bar {
    known: ms(50),
    unavailable: ms(1000),
    back: ms(300),
    ..NONE
};

/// Requests in flight when connections are closed may have arrived.
const STALE: Bar = Bar {
    lost_posts: Some(2),
    stall: ms(50),
    ..NO_GET_LOST
};
const WELL: Bar = Bar {
    lost_posts: Some(0),
    stall: ms(50),
    ..NO_GET_LOST
};

/// The regions become unresponsive when their probes have failed.
const ALL_HANG: Bar = Bar {
    known: ms(2500),
    ..ALL_DOWN
};

const fn nearest(name: &'static str, behaviour: Behaviour, bar: Bar) -> Fault {
    Fault {
        name,
        script: Script::Break(1, behaviour),
        passes_probes: false,
        holds_back: false,
        bar,
    }
}

/// The faults of the table.
pub(crate) const TABLE: [Fault; 14] = [
    nearest("killed", Behaviour::Dead, DEAD),
    nearest("stopped", Behaviour::Stop, DEAD),
    Fault {
        script: Script::Alternate(Behaviour::Dead),
        ..nearest("flapping", Behaviour::Dead, DEAD)
    },
    nearest("hangs", Behaviour::Hang, HANGS),
    nearest(
        "black-holed",
        Behaviour::Swallow,
        Bar {
            stall: ms(500),
            ..NO_GET_LOST
        },
    ),
    nearest("answers 503", Behaviour::Fail, ERRORS),
    nearest("resets", Behaviour::Reset, ERRORS),
    nearest("slow", Behaviour::Slow, HANGS),
    nearest(
        "cuts bodies",
        Behaviour::Cut,
        Bar {
            impact: ms(1000),
            ..NONE
        },
    ),
    Fault {
        holds_back: true,
        ..nearest(
            "cuts bodies, held back",
            Behaviour::Cut,
            Bar {
                impact: ms(1000),
                ..NO_GET_LOST
            },
        )
    },
    nearest("10 % are 503", Behaviour::Flaky, PARTIAL),
    nearest("10 % never come", Behaviour::Lose, PARTIAL),
    Fault {
        script: Script::Break(2, Behaviour::Dead),
        ..nearest("two of three", Behaviour::Dead, NO_GET_LOST)
    },
    Fault {
        script: Script::Break(3, Behaviour::Dead),
        ..nearest("all, then back", Behaviour::Dead, ALL_DOWN)
    },
];

/// Faults of the application, during which probes still pass; and faults of several regions at once.
pub(crate) const BEYOND: [Fault; 10] = [
    Fault {
        passes_probes: true,
        ..nearest("hangs, probes well", Behaviour::Hang, HANGS)
    },
    Fault {
        passes_probes: true,
        ..nearest("503, probes well", Behaviour::Fail, ERRORS)
    },
    Fault {
        passes_probes: true,
        ..nearest("resets, probes well", Behaviour::Reset, ERRORS)
    },
    nearest("closes, probes too", Behaviour::Drop, ERRORS),
    Fault {
        passes_probes: true,
        ..nearest("slow, probes well", Behaviour::Slow, HANGS)
    },
    Fault {
        passes_probes: true,
        ..nearest("10 % lost, probes well", Behaviour::Lose, PARTIAL)
    },
    Fault {
        script: Script::Break(2, Behaviour::Hang),
        ..nearest("two of three hang", Behaviour::Hang, TWO_HANG)
    },
    Fault {
        script: Script::Break(2, Behaviour::Swallow),
        ..nearest("two of three black-holed", Behaviour::Swallow, TWO_HANG)
    },
    Fault {
        script: Script::Break(3, Behaviour::Hang),
        ..nearest("all hang, then back", Behaviour::Hang, ALL_HANG)
    },
    Fault {
        script: Script::Break(3, Behaviour::Swallow),
        ..nearest("all black-holed, then back", Behaviour::Swallow, ALL_HANG)
    },
];

/// Faults for one proxy, one after the other: what is left of one must not make the next one worse.
pub(crate) const SEQUENCE: [Fault; 14] = [
    TABLE[0],
    TABLE[1],
    TABLE[3],
    TABLE[5],
    TABLE[7],
    TABLE[6],
    TABLE[8],
    Fault {
        script: Script::Alternate(Behaviour::Disconnect),
        ..nearest("stale connections", Behaviour::Disconnect, STALE)
    },
    TABLE[10],
    TABLE[11],
    TABLE[2],
    TABLE[12],
    TABLE[13],
    Fault {
        script: Script::Nothing,
        ..nearest("none", Behaviour::Serve, WELL)
    },
];

impl Fault {
    /// As many of the nearest regions as it affects.
    pub(crate) fn nearest(&self) -> &'static [&'static str] {
        match self.script {
            Script::Break(count, _) => &REGIONS[..count],
            Script::Alternate(_) => &REGIONS[..1],
            Script::Nothing => &[],
        }
    }

    /// Whether it affects all regions.
    pub(crate) fn is_total(&self) -> bool {
        self.nearest().len() == REGIONS.len()
    }
}
