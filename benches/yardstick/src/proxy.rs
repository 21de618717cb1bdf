//! A Portolan to be measured: its configuration and its command line.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

/// A forwarding field with a client's address in London, as a trusted proxy sends it.
pub const CLIENT: &str = "X-Forwarded-For: 81.2.69.142";

/// The path of gRPC's calls.
pub const GRPC: &str = "/bench.Echo";

/// Regions in the order in which gateways are given to them.
const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];

/// What a Portolan is configured with: one listener that trusts loopback, and what is asked for.
#[derive(Clone, Debug)]
pub struct Proxy<'a> {
    /// Where it listens.
    pub listener: SocketAddr,
    /// Where it listens for TLS, if it does, with the files of a certificate and its key.
    pub tls: Option<(SocketAddr, &'a Path, &'a Path)>,
    /// Its administration.
    pub admin: SocketAddr,
    /// One gateway for each region; one to 64. Regions beyond the third are made up, all over the world.
    pub gateways: &'a [SocketAddr],
    /// Its workers.
    pub workers: usize,
    /// Whether the plugin `nearest` orders the regions, instead of the policy `latency`.
    pub has_plugin: bool,
    /// The file of the access log; `None`: it is off.
    pub access_log: Option<&'a Path>,
    /// How many more paths have a route of their own.
    pub paths: usize,
    /// How often gateways are probed, as text; `None`: never.
    pub probe_interval: Option<&'a str>,
    /// A path, and the gateway of a service of its own that it goes to.
    pub tunnel: Option<(&'a str, SocketAddr)>,
    /// Where it listens for HTTP/2 without TLS, and a gateway that all its requests go to by HTTP/2.
    pub grpc: Option<(SocketAddr, SocketAddr)>,
    /// Where it sends metrics, and spans of every hundredth request, whatever answers there. `None`: nowhere.
    pub collector: Option<SocketAddr>,
}

impl Proxy<'_> {
    /// The configuration file.
    pub fn config(&self) -> String {
        let (policy, plugins) = if self.has_plugin {
            (
                "{ plugin: nearest }",
                "plugins: { nearest: { source: \"embedded:nearest\" } }\n",
            )
        } else {
            ("latency", "")
        };
        let probe = match self.probe_interval {
            Some(interval) => format!("{{ path: /, interval: {interval} }}"),
            None => "off".to_owned(),
        };
        const TRUST: &str = "client_address: { trusted_proxies: [127.0.0.0/8], header: x-forwarded-for }";
        let tls = self.tls.map_or_else(String::new, |(address, certificate, key)| {
            format!(
                "  - address: {address}\n    {TRUST}\n    tls: {{ certificate: {}, private_key: {} }}\n",
                certificate.display(),
                key.display()
            )
        });
        let grpc = self.grpc.map_or_else(String::new, |(address, _)| {
            format!("  - {{ address: {address}, http2: prior-knowledge }}\n")
        });
        let telemetry = self.collector.map_or_else(String::new, |collector| {
            format!("telemetry: {{ otlp: {{ endpoint: \"http://{collector}\" }}, traces: {{ sample: 1% }} }}\n")
        });
        let mut text = format!(
            "listeners:\n  - address: {}\n    {TRUST}\n{tls}{grpc}admin: {{ address: {} }}\nworkers: {}\naccess_log: {}\n{telemetry}lame_duck: 0s\ndrain_time: 1s\nservices:\n  bench:\n    policy: {policy}\n    \
             health_check: {probe}\n    regions:\n",
            self.listener,
            self.admin,
            self.workers,
            self.access_log
                .map_or_else(|| "off".to_owned(), |file| format!("{{ file: {} }}", file.display())),
        );
        for (index, gateway) in self.gateways.iter().enumerate() {
            let region = REGIONS
                .get(index)
                .map_or_else(|| elsewhere(index), |name| (*name).to_owned());
            // Writing to memory cannot fail.
            let _ = writeln!(text, "      - {{ region: {region}, gateway: \"http://{gateway}\" }}");
        }
        let mut routes = "routes:\n  - { host: \"*\", path: /, service: bench }\n".to_owned();
        for number in 0..self.paths {
            let team = number % 100;
            let _ = writeln!(
                routes,
                "  - {{ host: shop.example.net, path: /catalogue/team-{team}/{number}, service: bench }}"
            );
        }
        let others = [
            self.tunnel.map(|(path, gateway)| ("tunnel", path, gateway, "")),
            self.grpc
                .map(|(_, gateway)| ("grpc", GRPC, gateway, ", upstream: { protocol: h2 }")),
        ];
        for (name, path, gateway, more) in others.into_iter().flatten() {
            let region = REGIONS[0];
            let _ = writeln!(
                text,
                "  {name}: {{ health_check: off, regions: [{{ region: {region}, gateway: \"http://{gateway}\" }}]{more} }}"
            );
            let _ = writeln!(routes, "  - {{ host: \"*\", path: {path}, service: {name} }}");
        }
        text.push_str(&routes);
        text.push_str(plugins);
        text
    }

    /// Writes the configuration to a file, and gives the arguments of `portolan` that serve it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn serve<'c>(&self, command: &'c mut Command, file: &Path) -> io::Result<&'c mut Command> {
        std::fs::write(file, self.config())?;
        Ok(command.arg("serve").arg("--config").arg(file))
    }
}

/// A region that is none of Azure's, with its location. They are spread evenly by longitude, between 60 degrees south and north.
fn elsewhere(index: usize) -> String {
    let (latitude, longitude) = ((index * 37 % 120) as f64 - 60.0, (index * 53 % 360) as f64 - 180.0);
    format!("made-up-{index}, location: {{ latitude: {latitude}, longitude: {longitude} }}")
}
