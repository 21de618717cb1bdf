//! `portolan demo`.

use crate::app::Signals;
#[cfg(feature = "fake-azure")]
use crate::demo::Pace;
use crate::demo::{Demo, DemoError, Ports, REGIONS};
use crate::telemetry::logging::{self, Format};
use anyhow::Context;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;

/// Where the demo listens.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Port of the proxy
    #[arg(long, default_value_t = Ports::default().proxy, value_name = "PORT")]
    port: u16,
    /// Port of the administration
    #[arg(long, default_value_t = Ports::default().admin, value_name = "PORT")]
    admin_port: u16,
    /// Port of the switches that kill and heal regions
    #[arg(long, default_value_t = Ports::default().control, value_name = "PORT")]
    control_port: u16,
    /// Port of the first demo gateway; the two others follow
    #[arg(long, default_value_t = Ports::default().gateways, value_name = "PORT")]
    gateway_port: u16,
    /// With a Front Door in a stand-in for Azure, three instances that vote, and a narrator
    #[cfg(feature = "fake-azure")]
    #[arg(long)]
    front_door: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        let Ports {
            proxy,
            admin,
            control,
            gateways,
        } = Ports::default();
        Self {
            port: proxy,
            admin_port: admin,
            control_port: control,
            gateway_port: gateways,
            #[cfg(feature = "fake-azure")]
            front_door: false,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let _log = logging::init(Format::Human)?;
    let mut signals = Signals::new().context("failed to wait for signals")?;
    let ports = Ports {
        proxy: arguments.port,
        admin: arguments.admin_port,
        control: arguments.control_port,
        gateways: arguments.gateway_port,
    };
    let folder = std::env::temp_dir().join(format!("portolan-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let demo = start(arguments, ports, &folder);
    if let Ok(demo) = &demo {
        let mut out = std::io::stdout();
        let colours = out.is_terminal();
        // A closed output is not an error here.
        let _ = write!(out, "{}", welcome(demo, colours));
        #[cfg(feature = "fake-azure")]
        if arguments.front_door {
            let _ = write!(out, "{}", front_door(demo, colours));
        }
    }
    let result = demo.map_err(anyhow::Error::from).and_then(|demo| {
        demo.run_until_signalled(&mut signals)
            .context("failed to wait for signals")
    });
    // The system cleans its folder for temporary files up where we cannot.
    let _ = std::fs::remove_dir_all(&folder);
    result
}

#[cfg(feature = "fake-azure")]
fn start(arguments: &Arguments, ports: Ports, folder: &Path) -> Result<Demo, DemoError> {
    if !arguments.front_door {
        return Demo::start(ports, folder);
    }
    Demo::start_with_front_door(ports, folder, Pace::default(), |line| {
        let _ = writeln!(std::io::stdout(), "{line}");
    })
}

#[cfg(not(feature = "fake-azure"))]
fn start(_: &Arguments, ports: Ports, folder: &Path) -> Result<Demo, DemoError> {
    Demo::start(ports, folder)
}

/// What there is to try with a Front Door.
#[cfg(feature = "fake-azure")]
fn front_door(demo: &Demo, colours: bool) -> String {
    let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let (admin, control) = (demo.admin().port(), demo.control().port());
    let config = demo.stage().config_path();
    let Pace {
        sustain,
        restore,
        operation,
        edges,
        ..
    } = Pace::default();
    let [nearest, other, ..] = REGIONS;
    format!(
        "{bold}Front Door{plain}: token service, management API and blob store are stand-ins in this process; three instances vote.\n\
         Times are shortened: bad for {sustain:?} (5 min), well for {restore:?} (15 min), an operation of {operation:?} (minutes), \
         edges after {edges:?} (20 min).\n\
         \n  portolan front-door status --admin http://localhost:{admin}\
         \n  portolan front-door plan --config {}\
         \n  curl -i localhost:{}/.portolan/probe/storefront/{nearest}     # what Front Door's own probes see\
         \n  curl -X POST localhost:{control}/{nearest}/kill                    # … and watch this terminal; then heal\
         \n  curl -X POST localhost:{control}/vantage/{other}/cut                # one of three is cut off: nothing changes\
         \n  curl -X POST localhost:{control}/azure/hang                         # or reset, garbage, heal\
         \n  curl localhost:{control}/azure/changes                              # the requests that change something\
         \n\nWhat happens, as it happens:\n\n",
        config.display(),
        demo.app().listeners().first().map_or(0, |address| address.port()),
    )
}

fn welcome(demo: &Demo, colours: bool) -> String {
    let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let proxy = demo.app().listeners().first().copied();
    let port = proxy.map_or(0, |address| address.port());
    let (admin, control) = (demo.admin().port(), demo.control().port());
    let mut text = format!(
        "\n{bold}Portolan demo{plain}\n\n  proxy     http://localhost:{port}/\n  dashboard http://localhost:{admin}/\n"
    );
    for gateway in demo.stage().gateways() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<9} http://{}/", "gateway", gateway.address());
    }
    let _ = writeln!(text, "  config    {}", demo.stage().config_path().display());
    let [nearest, ..] = REGIONS;
    let _ = write!(
        text,
        "\n{bold}Clients in three places{plain}\n\
         \n  curl -i -H 'X-Forwarded-For: 81.2.69.142' localhost:{port}/      # London\
         \n  curl -i -H 'X-Forwarded-For: 23.128.64.1' localhost:{port}/      # United States\
         \n  curl -i -H 'X-Forwarded-For: 203.116.0.1' localhost:{port}/      # Singapore\
         \n\n{bold}Why?{plain}\n\
         \n  portolan explain --ip 81.2.69.142 --admin http://localhost:{admin}\
         \n\n{bold}Kill a region, heal it{plain}\n\
         \n  curl -X POST localhost:{control}/{nearest}/kill\
         \n  curl -X POST localhost:{control}/{nearest}/heal\
         \n\n{bold}Swap the routing plugin while traffic flows{plain}\n\
         \n  curl -X POST localhost:{control}/plugin/canary\
         \n  curl -X POST localhost:{control}/plugin/nearest\
         \n\nEverything that can be switched: curl localhost:{control}/        Ctrl-C ends the demo.\n\n"
    );
    text
}
