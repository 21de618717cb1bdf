//! The demo: three regions, the proxy, administration and a plugin on loopback.

#[cfg(feature = "fake-azure")]
mod azure;
mod control;
#[cfg(feature = "fake-azure")]
mod front_door;
pub mod gateway;
#[cfg(feature = "fake-azure")]
mod narrator;

use crate::app::{App, AppError, Signals};
use crate::config::ConfigErrors;
use crate::control::start::Start;
use crate::plugin::embedded;
#[cfg(feature = "fake-azure")]
pub use azure::Pace;
use gateway::Gateway;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Where the demo's parts listen: all on loopback. Port 0 lets the system choose.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// The proxy.
    pub proxy: u16,
    /// Administration.
    pub admin: u16,
    /// The switches of the demo: killing and healing regions, swapping the plugin.
    pub control: u16,
    /// The first of the three gateways; the others follow.
    pub gateways: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            proxy: 8080,
            admin: 9900,
            control: 9000,
            gateways: 9001,
        }
    }
}

/// The demo's regions.
pub const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];

/// Why the demo cannot start.
#[derive(Debug, Error)]
pub enum DemoError {
    /// A port is in use.
    #[error(
        "failed to listen on {address} for {what}: {error}; is another demo running? other ports: portolan demo --help"
    )]
    Port {
        /// What would have listened.
        what: String,
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// Its files cannot be written.
    #[error("failed to write {path}: {error}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Its own configuration is rejected.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The proxy cannot start.
    #[error(transparent)]
    App(#[from] AppError),
    /// The stand-in for Azure cannot start.
    #[cfg(feature = "fake-azure")]
    #[error("failed to start the stand-in for Azure: {0}")]
    Azure(#[from] portolan_azure_fakes::FakeError),
}

/// The running demo.
#[derive(Debug)]
pub struct Demo {
    app: App,
    /// Ends before the stage: it has Azure.
    #[cfg(feature = "fake-azure")]
    front_door: Option<front_door::FrontDoorDemo>,
    control: control::Control,
    stage: Arc<Stage>,
}

/// What the demo's switches switch: the gateways, and the folder with its configuration and plugin.
#[derive(Debug)]
pub struct Stage {
    gateways: Vec<Gateway>,
    folder: PathBuf,
    #[cfg(feature = "fake-azure")]
    azure: Option<azure::Azure>,
}

impl Demo {
    /// Starts everything. `folder` holds the demo's configuration and plugin; both may be changed while it runs.
    ///
    /// # Errors
    /// When a port is in use or a file cannot be written.
    pub fn start(ports: Ports, folder: &Path) -> Result<Self, DemoError> {
        let stage = Stage {
            gateways: gateways(ports)?,
            folder: folder.to_owned(),
            #[cfg(feature = "fake-azure")]
            azure: None,
        };
        Self::play(ports, stage)
    }

    /// As [`Demo::start`], with a stand-in for Azure, a Front Door in it, and an instance for every other region that votes.
    /// `tell` is called with every event, a line at a time.
    ///
    /// # Errors
    /// As [`Demo::start`], and when the stand-in cannot start.
    #[cfg(feature = "fake-azure")]
    pub fn start_with_front_door(
        ports: Ports,
        folder: &Path,
        pace: Pace,
        tell: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, DemoError> {
        let stage = Stage {
            gateways: gateways(ports)?,
            folder: folder.to_owned(),
            azure: Some(azure::Azure::start(folder, pace)?),
        };
        let mut demo = Self::play(ports, stage)?;
        demo.front_door = Some(front_door::FrontDoorDemo::start(&demo.stage, &demo.app, tell)?);
        Ok(demo)
    }

    fn play(ports: Ports, stage: Stage) -> Result<Self, DemoError> {
        let stage = Arc::new(stage);
        stage.play_plugin("nearest")?;
        let path = stage.config_path();
        let config = stage.config(on(ports.proxy), on(ports.admin));
        stage.write(&path, config.as_bytes())?;
        let app = App::begin(Start::read(&path, None)?)?;
        let control =
            control::Control::start(on(ports.control), Arc::clone(&stage)).map_err(|error| DemoError::Port {
                what: "the demo's switches".into(),
                address: on(ports.control),
                error,
            })?;
        Ok(Self {
            app,
            #[cfg(feature = "fake-azure")]
            front_door: None,
            control,
            stage,
        })
    }

    /// The proxy.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Where the administration is.
    pub fn admin(&self) -> SocketAddr {
        // The demo's configuration has no Unix socket.
        self.app.admin().tcp().unwrap_or(on(0))
    }

    /// What the switches switch.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Where the switches are.
    pub fn control(&self) -> SocketAddr {
        self.control.address()
    }

    /// Runs until SIGTERM or SIGINT, and ends as [`App::run_until_signalled`] does.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn run_until_signalled(self, signals: &mut Signals) -> io::Result<()> {
        let ended = self.app.run_until_signalled(signals);
        #[cfg(feature = "fake-azure")]
        if let Some(front_door) = self.front_door {
            front_door.stop();
        }
        ended
    }

    /// Ends the demo: requests that have begun are answered.
    pub fn stop(self) {
        self.app.stop();
        #[cfg(feature = "fake-azure")]
        if let Some(front_door) = self.front_door {
            front_door.stop();
        }
    }
}

impl Stage {
    /// The gateways.
    pub fn gateways(&self) -> &[Gateway] {
        &self.gateways
    }

    /// The configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.join("portolan.yaml")
    }

    /// Puts one of the embedded plugins in place of the current one, as a deployment would: written aside, renamed.
    ///
    /// # Errors
    /// When it cannot be written. An unknown name is `NotFound`.
    pub fn play_plugin(&self, name: &str) -> Result<(), DemoError> {
        let path = self.folder.join("routing.wasm");
        match embedded::find(name) {
            Some(bytes) => self.write(&path, bytes),
            None => Err(DemoError::Write {
                path,
                error: io::Error::new(io::ErrorKind::NotFound, format!("no plugin {name}")),
            }),
        }
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), DemoError> {
        let aside = path.with_extension("new");
        let written = std::fs::write(&aside, content).and_then(|()| std::fs::rename(&aside, path));
        written.map_err(|error| DemoError::Write {
            path: path.to_owned(),
            error,
        })
    }

    fn config(&self, proxy: SocketAddr, admin: SocketAddr) -> String {
        let config = include_str!("portolan.yaml")
            .replace("PROXY", &proxy.to_string())
            .replace("ADMIN", &admin.to_string());
        #[cfg(feature = "fake-azure")]
        if let Some(azure) = &self.azure {
            let [here, ..] = REGIONS;
            return self.with_regions(&config) + &azure.section(here);
        }
        self.with_regions(&config)
    }

    fn with_regions(&self, config: &str) -> String {
        let regions = self.gateways.iter().map(|gateway| {
            let (region, address) = (gateway.region(), gateway.address());
            format!("      - {{ region: {region}, gateway: \"http://{address}\" }}\n")
        });
        config.replace("      REGIONS\n", &regions.collect::<String>())
    }
}

fn on(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn gateways(ports: Ports) -> Result<Vec<Gateway>, DemoError> {
    let gateways = (0..).zip(REGIONS).map(|(index, region)| {
        let port = if ports.gateways == 0 { 0 } else { ports.gateways + index };
        Gateway::start(region, on(port)).map_err(|error| DemoError::Port {
            what: format!("the gateway of {region}"),
            address: on(port),
            error,
        })
    });
    gateways.collect()
}
