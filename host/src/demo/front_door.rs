//! The demo's Front Door: a fake Azure, the other vantages, and a narrator that prints what happens.

use super::azure::{Azure, TROUBLES, origin};
use super::narrator::{Look, Narrator, clock};
use super::{DemoError, REGIONS, Stage};
use crate::app::App;
use crate::control::start::Start;
use crate::front_door::SnapshotCell;
use http::{Method, StatusCode};
use portolan_azure_fakes::arm::EDGES;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the narrator looks.
const LOOK: Duration = Duration::from_millis(100);
/// A request is printed this long after it was sent: the instances' snapshots may be that old.
const LAG: Duration = Duration::from_millis(500);

/// The other vantages and the narrator.
#[derive(Debug)]
pub(super) struct FrontDoorDemo {
    narrator: Option<(Sender<()>, JoinHandle<()>)>,
    vantages: Vec<App>,
}

impl FrontDoorDemo {
    /// Starts an instance for every region but the first, whose instance is the demo's proxy, and the narrator.
    pub(super) fn start(
        stage: &Arc<Stage>,
        proxy: &App,
        print: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, DemoError> {
        let mut vantages = Vec::new();
        for vantage in REGIONS.into_iter().skip(1) {
            let path = stage.folder.join(format!("{vantage}.yaml"));
            stage.write(&path, stage.vantage(vantage).as_bytes())?;
            vantages.push(App::begin(Start::read(&path, None)?)?);
        }
        let instances = std::iter::once(proxy).chain(&vantages);
        let cells: Vec<_> = instances.map(|app| Arc::clone(app.front_door())).collect();
        let (stop, stopped) = channel();
        let stage = Arc::clone(stage);
        let thread = std::thread::Builder::new()
            .name("demo-narrator".into())
            .spawn(move || narrate(&stage, &cells, print, || stopped.recv_timeout(LOOK)));
        Ok(Self {
            narrator: Some((stop, thread.map_err(|error| DemoError::Azure(error.into()))?)),
            vantages,
        })
    }

    /// Stops it: the vantages release their lease.
    pub(super) fn stop(mut self) {
        for vantage in self.vantages.drain(..) {
            vantage.stop();
        }
    }
}

impl Drop for FrontDoorDemo {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.narrator.take() {
            drop(stop);
            // It only ends early by a panic, which was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Stage {
    /// Whether a fake Azure runs.
    pub(super) fn has_azure(&self) -> bool {
        self.azure.is_some()
    }

    /// The configuration of another vantage.
    fn vantage(&self, vantage: &str) -> String {
        let section = self.azure.as_ref().map(|azure| azure.section(vantage));
        let config = include_str!("vantage.yaml").replace("HERE", vantage);
        self.with_regions(&config) + &section.unwrap_or_default()
    }
}

/// The switch of the fake Azure that a path names. `None` for other paths.
pub(super) fn switch(stage: &Stage, method: &Method, path: &str) -> Option<(StatusCode, String)> {
    let azure = stage.azure.as_ref()?;
    let parts: Vec<&str> = path.split('/').collect();
    let done = |known: bool, text: String| {
        if known {
            (StatusCode::OK, text)
        } else {
            (StatusCode::NOT_FOUND, help())
        }
    };
    match (method, &*parts) {
        (&Method::GET, ["azure"]) => Some((StatusCode::OK, help())),
        (&Method::GET, ["azure", "requests"]) => Some((StatusCode::OK, azure.requests(false))),
        (&Method::GET, ["azure", "changes"]) => Some((StatusCode::OK, azure.requests(true))),
        (&Method::POST, ["azure", word]) => Some(done(azure.behave(word), format!("Azure: {word}\n"))),
        (&Method::POST, ["vantage", vantage, word @ ("cut" | "mend")]) => {
            let known = azure.cut(vantage, *word == "cut");
            Some(done(known, format!("{vantage} and Azure: {word}\n")))
        }
        _ => None,
    }
}

/// The switches of the fake Azure.
pub(super) fn help() -> String {
    let words: Vec<&str> = TROUBLES.iter().map(|(word, _)| *word).collect();
    format!(
        "GET  /azure/requests     what its management API was asked; /azure/changes: only what changes something\n\
         POST /azure/WORD         with one of: {}, heal: for token service, management API and store together\n\
         POST /vantage/NAME/WORD  with one of: cut, mend: one instance's way to Azure\n",
        words.join(", ")
    )
}

fn narrate(
    stage: &Stage,
    cells: &[Arc<SnapshotCell>],
    mut print: impl FnMut(&str),
    pause: impl Fn() -> Result<(), RecvTimeoutError>,
) {
    let (mut narrator, began) = (Narrator::default(), Instant::now());
    while let (Err(RecvTimeoutError::Timeout), Some(azure)) = (pause(), &stage.azure) {
        for line in narrator.news(&look(stage, azure, cells)) {
            print(&format!("  {}  {line}", clock(began.elapsed())));
        }
    }
}

fn look(stage: &Stage, azure: &Azure, cells: &[Arc<SnapshotCell>]) -> Look {
    let arm = &azure.cloud().arm;
    let snapshots: Vec<_> = cells.iter().filter_map(|cell| cell.load()).collect();
    let probes = snapshots.first().map(|snapshot| snapshot.view().probes.services);
    let regions = probes.into_iter().flatten().flat_map(|service| service.regions);
    let edges_know = |region: &&str| {
        let name = origin(region);
        let shown = arm.origin(&name);
        (0..EDGES).all(|edge| {
            let known = arm.edge(edge).origin(&name);
            known.zip(shown.as_ref()).is_some_and(|(known, shown)| {
                (known.priority, known.weight, known.enabled) == (shown.priority, shown.weight, shown.enabled)
            })
        })
    };
    let mut changes = arm.log();
    changes.retain(|request| request.method != Method::GET && request.at.elapsed().is_ok_and(|age| age >= LAG));
    Look {
        gateways: stage
            .gateways()
            .iter()
            .map(|gateway| (gateway.region().to_owned(), gateway.behaviour().as_str()))
            .collect(),
        statuses: snapshots
            .iter()
            .filter_map(|snapshot| snapshot.status.clone())
            .collect(),
        probes: regions.map(|region| (region.region, region.answer.status)).collect(),
        changes,
        operations: arm.operations(),
        followed: REGIONS
            .iter()
            .filter(|region| edges_know(region))
            .map(|region| (*region).to_owned())
            .collect(),
    }
}
