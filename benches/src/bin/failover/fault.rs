//! The faults that are tried, and the bar for each.

use portolan_tests::Behaviour;
use std::time::Duration;

/// The regions by nearness to the clients: the first carries the traffic.
pub(crate) const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];

/// A fault and what may come of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What happens.
    pub(crate) script: Script,
    /// Whether the regions' health endpoints stay well.
    pub(crate) spares_probes: bool,
    /// Whether the proxy holds bodies back until they are whole.
    pub(crate) holds_back: bool,
    /// The bar.
    pub(crate) bar: Bar,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// So many regions, the nearest ones, behave like this until they are healed.
    Break(usize, Behaviour),
    /// The nearest region dies and comes back, over and over.
    Flap,
}

/// What a fault may cost. Nothing is ever carried out twice, and no half answer is ever shown as whole.
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
    /// Meanwhile every `GET` is answered by 503 with `Retry-After`, and everything within this time...
    pub(crate) refusal: Option<Duration>,
    /// ... once so much time has passed; at once when there is none.
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
    refusal: None,
    known: None,
    back: None,
};
/// No `GET` is lost.
const KEPT: Bar = Bar {
    lost_gets: Some(0),
    ..NONE
};
const DEAD: Bar = Bar { stall: ms(20), ..KEPT };
/// Nor does one wait longer than others are kept from the region.
const SILENT: Bar = Bar {
    impact: ms(500),
    stall: ms(500),
    ..KEPT
};
const REFUSING: Bar = Bar {
    lost_posts: Some(2),
    impact: ms(500),
    ..KEPT
};
/// Two regions have to be found out, one after the other; meanwhile most requests need two extra attempts, which the retry
/// budget does not allow all of them at once.
const PATIENT: Bar = Bar {
    stall: ms(2500),
    ..KEPT
};
const PARTIAL: Bar = Bar {
    impact: ms(2000),
    ..KEPT
};
const ALL_DOWN: Bar = Bar {
    refusal: ms(1000),
    back: ms(300),
    ..NONE
};

/// That nobody answers any more is known when probes have failed.
const ALL_SILENT: Bar = Bar {
    known: ms(2500),
    ..ALL_DOWN
};

const fn nearest(name: &'static str, behaviour: Behaviour, bar: Bar) -> Fault {
    Fault {
        name,
        script: Script::Break(1, behaviour),
        spares_probes: false,
        holds_back: false,
        bar,
    }
}

/// The faults of the table.
pub(crate) const TABLE: [Fault; 14] = [
    nearest("killed", Behaviour::Dead, DEAD),
    nearest("stopped", Behaviour::Stop, DEAD),
    Fault {
        script: Script::Flap,
        ..nearest("flapping", Behaviour::Dead, DEAD)
    },
    nearest("hangs", Behaviour::Hang, SILENT),
    nearest("black-holed", Behaviour::Swallow, Bar { stall: ms(500), ..KEPT }),
    nearest("answers 503", Behaviour::Fail, REFUSING),
    nearest("resets", Behaviour::Reset, REFUSING),
    nearest("slow", Behaviour::Slow, SILENT),
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
                ..KEPT
            },
        )
    },
    nearest("10 % are 503", Behaviour::Flaky, PARTIAL),
    nearest("10 % never come", Behaviour::Lose, PARTIAL),
    Fault {
        script: Script::Break(2, Behaviour::Dead),
        ..nearest("two of three", Behaviour::Dead, KEPT)
    },
    Fault {
        script: Script::Break(3, Behaviour::Dead),
        ..nearest("all, then back", Behaviour::Dead, ALL_DOWN)
    },
];

/// The same with health endpoints that stay well, as they do when the fault is the application's; and more at once.
pub(crate) const BEYOND: [Fault; 10] = [
    Fault {
        spares_probes: true,
        ..nearest("hangs, probes well", Behaviour::Hang, SILENT)
    },
    Fault {
        spares_probes: true,
        ..nearest("503, probes well", Behaviour::Fail, REFUSING)
    },
    Fault {
        spares_probes: true,
        ..nearest("resets, probes well", Behaviour::Reset, REFUSING)
    },
    nearest("closes, probes too", Behaviour::Drop, REFUSING),
    Fault {
        spares_probes: true,
        ..nearest("slow, probes well", Behaviour::Slow, SILENT)
    },
    Fault {
        spares_probes: true,
        ..nearest("10 % lost, probes well", Behaviour::Lose, PARTIAL)
    },
    Fault {
        script: Script::Break(2, Behaviour::Hang),
        ..nearest("two of three hang", Behaviour::Hang, PATIENT)
    },
    Fault {
        script: Script::Break(2, Behaviour::Swallow),
        ..nearest("two of three black-holed", Behaviour::Swallow, PATIENT)
    },
    Fault {
        script: Script::Break(3, Behaviour::Hang),
        ..nearest("all hang, then back", Behaviour::Hang, ALL_SILENT)
    },
    Fault {
        script: Script::Break(3, Behaviour::Swallow),
        ..nearest("all black-holed, then back", Behaviour::Swallow, ALL_SILENT)
    },
];

impl Fault {
    /// The regions it strikes.
    pub(crate) fn regions(&self) -> &'static [&'static str] {
        match self.script {
            Script::Break(count, _) => &REGIONS[..count],
            Script::Flap => &REGIONS[..1],
        }
    }

    /// Whether nobody is left to answer.
    pub(crate) fn is_total(&self) -> bool {
        self.regions().len() == REGIONS.len()
    }
}
