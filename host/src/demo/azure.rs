//! An Azure of the demo's own: token service, management API and blob store in this process, on ports of the system's
//! choice, over TLS. Every vantage uses listeners of its own, so that it can be cut off alone.

use super::{DemoError, REGIONS};
use portolan_azure_fakes::arm::{Behaviour, Ending, Origin, OriginGroup, Profile};
use portolan_azure_fakes::{Clock, Cloud, Endpoints, FakeError, Fault, Requests, entra};
use std::fmt::Write;
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// The demo's times. In production all are minutes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a region must look unhealthy before its origin is demoted.
    pub sustain: Duration,
    /// How long it must look healthy before it is restored; not less than `sustain`.
    pub restore: Duration,
    /// From one change to the next.
    pub spacing: Duration,
    /// How long an operation of Front Door lasts.
    pub operation: Duration,
    /// How long its edges take to follow.
    pub edges: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            sustain: Duration::from_secs(10),
            restore: Duration::from_secs(20),
            spacing: Duration::from_secs(10),
            operation: Duration::from_secs(4),
            edges: Duration::from_secs(8),
        }
    }
}

/// The faults that can be injected, by name.
pub(super) const TROUBLES: [(&str, Fault); 3] = [
    ("hang", Fault::Hang),
    ("reset", Fault::Reset),
    ("garbage", Fault::Garbage),
];

/// The running fake Azure.
pub(super) struct Azure {
    cloud: Arc<Cloud>,
    listeners: Vec<Endpoints>,
    pace: Pace,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), FakeError>>>,
}

impl Azure {
    /// Starts it, with a Front Door before the demo's regions, and puts the files that its clients need into `folder`.
    pub(super) fn start(folder: &Path, pace: Pace) -> Result<Self, DemoError> {
        let (opened, is_open) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        // Its servers are tasks of this thread's runtime.
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            opened.send(runtime.block_on(open(&pace))?).ok();
            runtime.block_on(stopped).ok();
            Ok(())
        };
        let thread = std::thread::Builder::new().name("demo-azure".into()).spawn(serve);
        let thread: JoinHandle<Result<(), FakeError>> = thread.map_err(FakeError::Port)?;
        let Ok((cloud, listeners)) = is_open.recv() else {
            return Err(match thread.join() {
                Ok(Err(error)) => error.into(),
                _ => FakeError::Port(io::ErrorKind::Other.into()).into(),
            });
        };
        let files = [
            ("azure.pem", cloud.authority.pem()),
            ("client-secret", entra::CLIENT_SECRET),
        ];
        for (name, content) in files {
            let path = folder.join(name);
            std::fs::write(&path, content).map_err(|error| DemoError::Write { path, error })?;
        }
        Ok(Self {
            cloud: Arc::new(cloud),
            listeners,
            pace,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The section of a vantage's configuration.
    pub(super) fn section(&self, vantage: &str) -> String {
        let origins = REGIONS.map(|region| format!("    - {{ region: {region}, origin: {} }}\n", origin(region)));
        let listener = self.listeners.iter().find(|listener| listener.label == vantage);
        let listener = listener.or(self.listeners.first());
        let text = |url: fn(&Endpoints) -> String| listener.map(url).unwrap_or_default();
        include_str!("front-door.yaml")
            .replace("    ORIGINS\n", &origins.concat())
            .replace("VANTAGES", &REGIONS.join(", "))
            .replace("VANTAGE", vantage)
            .replace("CONTAINER", &text(|listener| format!("{}demo", listener.blob)))
            .replace("TENANT", entra::TENANT)
            .replace("CLIENT", entra::CLIENT_ID)
            .replace("ARM", &text(|listener| listener.arm.to_string()))
            .replace("AUTHORITY", &text(|listener| listener.entra.to_string()))
            .replace("SUSTAIN", &millis(self.pace.sustain))
            .replace("RESTORE", &millis(self.pace.restore))
            .replace("SPACING", &millis(self.pace.spacing))
            .replace("WINDOW", &millis(self.pace.spacing * 2))
            .replace("WRITE", &millis(self.pace.sustain / 2))
            .replace("VALID", &millis(self.pace.sustain * 3 / 2))
    }

    /// The addresses of the fake services.
    pub(super) fn cloud(&self) -> &Arc<Cloud> {
        &self.cloud
    }

    /// Injects a fault into all three services, or ends it. False when there is none of this name.
    pub(super) fn behave(&self, word: &str) -> bool {
        let fault = TROUBLES.iter().find(|(name, _)| *name == word).map(|(_, fault)| fault);
        if fault.is_none() && word != "heal" {
            return false;
        }
        let Cloud { arm, entra, blob, .. } = &*self.cloud;
        arm.clear_faults(None);
        entra.clear_faults(None);
        blob.clear_faults(None);
        if let Some(fault) = fault {
            arm.fault(Requests::all(), fault.clone());
            entra.fault(Requests::all(), fault.clone());
            blob.fault(Requests::all(), fault.clone());
        }
        true
    }

    /// Cuts a vantage off from all of Azure, or lets it in again. False when there is none of this name.
    pub(super) fn cut(&self, vantage: &str, cut: bool) -> bool {
        let known = REGIONS.contains(&vantage);
        match cut {
            _ if !known => {}
            true => self.cloud.partition(vantage),
            false => self.cloud.heal(vantage),
        }
        known
    }

    /// The last requests to the management API and their answers; or only those that change something.
    pub(super) fn requests(&self, changes_only: bool) -> String {
        const MOST: usize = 200;
        let log = self.cloud.arm.log();
        let wanted = log
            .iter()
            .filter(|request| !changes_only || request.method != http::Method::GET);
        let wanted: Vec<_> = wanted.collect();
        let mut text = String::new();
        for request in wanted.iter().skip(wanted.len().saturating_sub(MOST)) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{request}");
        }
        text
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It only ends early by a panic, which was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Azure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Azure")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// As durations are written in a configuration.
fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

/// The origin that stands for a region.
pub(super) fn origin(region: &str) -> String {
    format!("gw-{region}")
}

async fn open(pace: &Pace) -> Result<(Cloud, Vec<Endpoints>), FakeError> {
    let cloud = Cloud::start_tls(&Clock::running()).await?;
    let origins = REGIONS.map(|region| Origin {
        name: origin(region),
        host_name: format!("{}.example.net", origin(region)),
        priority: Some(1),
        weight: Some(50),
        enabled: true,
    });
    cloud.arm.seed(&Profile {
        subscription: "00000000-0000-0000-0000-000000000000".to_owned(),
        resource_group: "demo".to_owned(),
        name: "demo".to_owned(),
        front_door_id: "00000000-0000-0000-0000-0000000000fd".to_owned(),
        groups: vec![OriginGroup {
            name: "storefront".to_owned(),
            routed: true,
            origins: origins.to_vec(),
        }],
    });
    cloud.arm.set_behaviour(Behaviour::Operations {
        last: Some(pace.operation),
        ending: Ending::Succeeded,
    });
    cloud.arm.set_behaviour(Behaviour::Propagation(pace.edges));
    cloud.blob.create_container("demo");
    let mut listeners = Vec::new();
    for vantage in REGIONS {
        listeners.push(cloud.open_listener(vantage).await?);
    }
    Ok((cloud, listeners))
}
