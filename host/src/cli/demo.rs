//! `portolan demo`.

use crate::demo::{Demo, Ports, REGIONS};
use crate::telemetry::logging::{self, Format};
use anyhow::Context;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

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
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    logging::init(Format::Human)?;
    let ports = Ports {
        proxy: arguments.port,
        admin: arguments.admin_port,
        control: arguments.control_port,
        gateways: arguments.gateway_port,
    };
    let folder = std::env::temp_dir().join(format!("portolan-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
    let demo = Demo::start(ports, &folder);
    if let Ok(demo) = &demo {
        let mut out = std::io::stdout();
        // Whoever closed the output does not want to read it.
        let _ = write!(out, "{}", welcome(demo, out.is_terminal()));
    }
    let result = demo.map_err(anyhow::Error::from).and_then(|demo| {
        demo.app().wait_for_signal()?;
        demo.stop();
        Ok(())
    });
    // The system cleans its folder for temporary files up where we cannot.
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn welcome(demo: &Demo, colours: bool) -> String {
    let (bold, plain) = if colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let proxy = demo.app().listeners().first().copied();
    let port = proxy.map_or(0, |address| address.port());
    let (admin, control) = (demo.app().admin().port(), demo.control().port());
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
