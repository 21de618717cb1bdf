//! The demo: three regions, the proxy, administration and a plugin on loopback.

mod control;
pub mod gateway;

use crate::app::{App, AppError};
use crate::config::{self, ConfigErrors};
use crate::plugin::embedded;
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
    /// A port is taken.
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
    /// Its own configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The proxy cannot start.
    #[error(transparent)]
    App(#[from] AppError),
}

/// The running demo.
#[derive(Debug)]
pub struct Demo {
    app: App,
    stage: Arc<Stage>,
    control: control::Control,
}

/// What the demo's switches switch: the gateways, and the folder with its configuration and plugin.
#[derive(Debug)]
pub struct Stage {
    gateways: Vec<Gateway>,
    folder: PathBuf,
}

impl Demo {
    /// Starts everything. `folder` holds the demo's configuration and plugin; both may be changed while it runs.
    ///
    /// # Errors
    /// When a port is taken or a file cannot be written.
    pub fn start(ports: Ports, folder: &Path) -> Result<Self, DemoError> {
        let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let gateways = (0..).zip(REGIONS).map(|(index, region)| {
            let port = if ports.gateways == 0 { 0 } else { ports.gateways + index };
            let what = format!("the gateway of {region}");
            Gateway::start(region, address(port)).map_err(|error| DemoError::Port {
                what,
                address: address(port),
                error,
            })
        });
        let stage = Arc::new(Stage {
            gateways: gateways.collect::<Result<_, _>>()?,
            folder: folder.to_owned(),
        });
        stage.play_plugin("nearest")?;
        let path = stage.config_path();
        stage.write(
            &path,
            stage.config(address(ports.proxy), address(ports.admin)).as_bytes(),
        )?;
        let app = App::start(config::load(&path)?, Some(path))?;
        let control =
            control::Control::start(address(ports.control), Arc::clone(&stage)).map_err(|error| DemoError::Port {
                what: "the demo's switches".into(),
                address: address(ports.control),
                error,
            })?;
        Ok(Self { app, stage, control })
    }

    /// The proxy.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// What the switches switch.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Where the switches are.
    pub fn control(&self) -> SocketAddr {
        self.control.address()
    }

    /// Ends the demo: requests that have begun are answered.
    pub fn stop(self) {
        self.app.stop();
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
        let regions = self.gateways.iter().map(|gateway| {
            let (region, address) = (gateway.region(), gateway.address());
            format!("      - {{ region: {region}, gateway: \"http://{address}\" }}\n")
        });
        include_str!("portolan.yaml")
            .replace("PROXY", &proxy.to_string())
            .replace("ADMIN", &admin.to_string())
            .replace("      REGIONS\n", &regions.collect::<String>())
    }
}
