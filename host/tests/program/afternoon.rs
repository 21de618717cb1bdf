//! An afternoon with Portolan, by the commands as they are typed: the demo, a configuration of one's own with three gateways, a drain, a
//! gateway that dies, a drill, another plugin replayed and deployed, and the way back.

use crate::PROGRAM;
use crate::serving::{Addresses, Serving, wait_until};
use portolan::demo::gateway::{Behaviour, Gateway};
use portolan::plugin::embedded;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];
const LATENCY: &str = "latency";
const PLUGIN: &str = "{ plugin: routing }";
const LONDON: &str = "81.2.69.142";
const AMERICA: &str = "23.128.64.1";

/// A terminal in a folder, with the administration of one instance.
struct Terminal<'a> {
    folder: &'a Path,
    admin: String,
}

impl Terminal<'_> {
    /// The exit code of a command, and what it prints.
    fn runs(&self, line: &str) -> (i32, String) {
        let mut command = Command::new(PROGRAM);
        command.args(words(line)).current_dir(self.folder);
        let output = command
            .env("PORTOLAN_ADMIN", &self.admin)
            .env_remove("PORTOLAN_LOG")
            .output()
            .expect("a process");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).expect("text");
        (output.status.code().expect("an exit code"), text)
    }

    /// What a command prints that must succeed, and has to print all these words.
    fn prints(&self, line: &str, all: &[&str]) -> String {
        let (code, text) = self.runs(line);
        assert_eq!(code, 0, "portolan {line}: {text}");
        for words in all {
            assert!(text.contains(words), "portolan {line} does not print {words:?}: {text}");
        }
        text
    }

    /// Waits until a command prints these words.
    fn until(&self, line: &str, words: &str) {
        wait_until(&format!("portolan {line} prints {words}"), || {
            self.runs(line).1.contains(words)
        });
    }
}

/// The words of a line, some of them in single quotes.
fn words(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    let words = parts.flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().collect(),
        _ => vec![part],
    });
    words.collect()
}

/// The status of an answer, and its region as the gateway says.
fn ask(proxy: SocketAddr, client: &str) -> (String, String) {
    let mut stream = TcpStream::connect(proxy).expect("connected");
    write!(
        stream,
        "GET /cart HTTP/1.1\r\nhost: shop.example.net\r\nx-forwarded-for: {client}\r\nconnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let said = |region: &&str| text.contains(&format!("\"region\": \"{region}\""));
    let region = REGIONS.into_iter().find(said);
    (status, region.unwrap_or_default().to_owned())
}

fn region(proxy: SocketAddr, client: &str) -> String {
    let (status, region) = ask(proxy, client);
    assert_eq!(status, "200", "{client} from {region}");
    region
}

/// The demo, killed when it is dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the demo. Gives its proxy, its administration and its switches.
fn demo() -> (Demo, [SocketAddr; 3]) {
    let mut command = Command::new(PROGRAM);
    command.args(words("demo --port 0 --admin-port 0 --control-port 0 --gateway-port 0"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut demo = Demo(child.expect("a process"));
    let out = BufReader::new(demo.0.stdout.take().expect("a pipe"));
    let (mut text, mut lines) = (String::new(), out.lines());
    while !text.contains("Ctrl-C ends the demo") {
        text.push_str(&lines.next().expect("it goes on").expect("text"));
        text.push('\n');
    }
    let port = |before: &str| {
        let rest = text
            .split(before)
            .nth(1)
            .unwrap_or_else(|| panic!("{before:?} in {text}"));
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        SocketAddr::from((Ipv4Addr::LOCALHOST, digits.parse().expect("a port")))
    };
    let addresses = [
        "proxy     http://localhost:",
        "dashboard http://localhost:",
        "-X POST localhost:",
    ]
    .map(port);
    (demo, addresses)
}

fn post(address: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(address).expect("connected");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    assert!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
}

fn config(gateways: &[Gateway], policy: &str) -> String {
    let regions = gateways.iter().map(|gateway| {
        let (region, address) = (gateway.region(), gateway.address());
        format!("      - {{ region: {region}, gateway: \"http://{address}\" }}\n")
    });
    format!(
        "listeners:\n  - address: 127.0.0.1:0\n    client_address: {{ header: x-forwarded-for, trusted_proxies: [127.0.0.0/8] }}\n\
         admin: {{ address: \"127.0.0.1:0\" }}\naccess_log: {{ file: access.log }}\nlame_duck: 0s\nmax_shift: 10%\n\
         services:\n  shop:\n    policy: {policy}\n    slow_start: 0s\n    \
         health_check: {{ path: /healthz, interval: 100ms, timeout: 100ms }}\n    regions:\n{}\
         routes: [ {{ host: \"*\", path: /, service: shop }} ]\n\
         plugins:\n  routing: {{ source: ./routing.wasm, config: {{ percent: 100, region: eastus2 }} }}\n",
        regions.collect::<String>()
    )
}

/// Requests from London and America until it is dropped; what failed.
struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<(String, String)>>>,
}

impl Load {
    fn on(proxy: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut failed = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                failed.extend([LONDON, AMERICA].map(|client| ask(proxy, client)));
                failed.retain(|(status, _)| status != "200");
            }
            failed
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    fn failed(mut self) -> Vec<(String, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it runs").join().expect("no panic")
    }
}

#[test]
fn an_afternoon() {
    let folder = tempfile::tempdir().expect("a folder");

    // The demo: where London goes, and why; and where it goes when that region dies.
    let (running, [proxy, admin, switches]) = demo();
    let terminal = Terminal {
        folder: folder.path(),
        admin: format!("http://{admin}"),
    };
    terminal.until("regions", "westeurope           healthy");
    assert_eq!(region(proxy, LONDON), "westeurope");
    terminal.prints(
        &format!("explain --ip {LONDON}"),
        &["client    81.2.69.142 (GB,", "chosen    westeurope"],
    );
    terminal.prints(
        &format!("explain --client {LONDON} --why-not eastus2"),
        &[
            "Plugin routing put eastus2 in place 2, behind westeurope, because of \"distance\".",
            "  eastus2: place 2, healthy, ",
        ],
    );
    post(switches, "/westeurope/kill");
    terminal.until("regions", "westeurope           unhealthy");
    assert_ne!(region(proxy, LONDON), "westeurope");
    terminal.prints(
        &format!("explain --client {LONDON} --why-not westeurope"),
        &["westeurope has been unhealthy for "],
    );
    drop(running);

    // A configuration of one's own.
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let gateways = REGIONS.map(|region| Gateway::start(region, any).expect("a gateway"));
    let path = folder.path().join("portolan.yaml");
    fs::write(&path, config(&gateways, LATENCY)).expect("written");
    fs::write(folder.path().join("routing.wasm"), embedded::NEAREST).expect("written");
    fs::write(folder.path().join("canary.wasm"), embedded::CANARY).expect("written");
    terminal.prints("check portolan.yaml", &[]);
    let mut serving = Serving::start(folder.path());
    let Addresses { proxy, admin, .. } = serving.until_serving();
    let terminal = Terminal {
        admin: format!("http://{admin}"),
        ..terminal
    };
    for region in REGIONS {
        terminal.until("regions", &format!("{region:<20} healthy"));
    }
    for _ in 0..60 {
        assert_eq!(region(proxy, LONDON), "westeurope");
        assert_eq!(region(proxy, AMERICA), "eastus2");
    }

    terminal.prints(
        &format!("explain --client {LONDON} --why-not eastus2"),
        &[
            "eastus2 is ",
            " km farther than westeurope, with an estimated round trip of ",
        ],
    );

    // Another configuration that would move too much is held back, and forced.
    let moved = config(&gateways, LATENCY).replace(
        "region: westeurope, gateway",
        "region: westeurope, priority: 1, gateway",
    );
    fs::write(&path, &moved).expect("written");
    terminal.until("events", "it would move ");
    let (code, text) = terminal.runs("reload");
    assert_eq!(code, 1, "{text}");
    let words = [
        "it would move ",
        " % from westeurope to eastus2",
        "; max_shift is 10 %: accept it with `portolan reload --force`",
    ];
    assert!(words.iter().all(|words| text.contains(words)), "{text}");
    assert_eq!(region(proxy, LONDON), "westeurope");
    terminal.prints(
        "reload --force --reason 'a new order'",
        &["reloaded: the configuration is active"],
    );
    assert_eq!(region(proxy, LONDON), "eastus2");
    terminal.prints("events", &["reload --force", "a new order"]);
    terminal.prints(
        &format!("explain --client {LONDON} --why-not westeurope"),
        &["westeurope has failover level 1, and eastus2 with level 0 may answer."],
    );
    fs::write(&path, config(&gateways, LATENCY)).expect("written");
    terminal.prints("reload --force", &["reloaded"]);
    assert_eq!(region(proxy, LONDON), "westeurope");

    // So is one whose route leads to another service.
    let (_, address) = moved.split_once("region: eastus2, gateway: ").expect("a gateway");
    let address = address.split(" }").next().unwrap_or_default();
    let rerouted = config(&gateways, LATENCY)
        .replace(
            "services:\n",
            &format!("services:\n  other:\n    regions: [{{ region: eastus2, gateway: {address} }}]\n"),
        )
        .replace("service: shop", "service: other");
    fs::write(&path, &rerouted).expect("written");
    let (code, text) = terminal.runs("reload");
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(" % from westeurope to eastus2"), "{text}");
    assert_eq!(region(proxy, LONDON), "westeurope");
    fs::write(&path, config(&gateways, LATENCY)).expect("written");
    terminal.prints("reload", &["reloaded"]);

    // A drain, and back.
    terminal.prints(
        "drain westeurope --wait",
        &["westeurope: drain done", "no request runs any more"],
    );
    assert_eq!(region(proxy, LONDON), "eastus2");
    terminal.prints("regions", &["westeurope           draining", "drained since "]);
    terminal.prints(
        &format!("explain --client {LONDON} --why-not westeurope"),
        &["westeurope has been drained since ", " by 127.0.0.1"],
    );
    terminal.prints("undrain westeurope", &["westeurope: undrain done"]);
    wait_until("westeurope has its traffic again", || {
        region(proxy, LONDON) == "westeurope"
    });

    // A gateway dies: nobody notices, and one sees which requests met it.
    gateways[0].behave(Behaviour::Dead).expect("it dies");
    for _ in 0..20 {
        assert_ne!(region(proxy, LONDON), "westeurope");
    }
    terminal.until("regions", "westeurope           unhealthy");
    terminal.until(
        "explain --recent --failed",
        "westeurope connect_failed, then eastus2 success",
    );
    let list = terminal.prints("explain --recent --failed", &[]);
    let line = list
        .lines()
        .find(|line| line.contains("westeurope connect_failed, then eastus2 success"));
    let id = line.and_then(|line| line.split_whitespace().nth(1)).expect("an id");
    terminal.prints(
        &format!("explain --request {id} --why-not westeurope"),
        &[
            "westeurope was tried, and that attempt ended with connect_failed.",
            &format!("request   {id}"),
            "kept as failed",
            "attempts  westeurope connect_failed, then eastus2 success",
            "client    81.2.69.142 (GB, ",
            "answer    200 2xx",
        ],
    );
    let (code, text) = terminal.runs("explain --request 0123456789abcdef0123456789abcdef");
    assert_eq!(code, 1, "{text}");
    assert!(
        text.contains("is not in the decision log") && text.contains("access log"),
        "{text}"
    );
    let (code, text) = terminal.runs(&format!("explain --request {id} --why-not atlantis"));
    assert!(
        code == 1 && text.contains("has no region atlantis") && text.contains("eastus2"),
        "{text}"
    );
    gateways[0].behave(Behaviour::Serve).expect("it returns");
    terminal.until("regions", "westeurope           healthy");
    wait_until("westeurope has its traffic again", || {
        region(proxy, LONDON) == "westeurope"
    });

    // A drill under load: no request fails.
    let load = Load::on(proxy);
    terminal.prints(
        "drill --lose westeurope --share 100% --for 2s --baseline 500ms --abort-if 'error_rate > 1%' --reason exercise",
        &["completed"],
    );
    assert_eq!(load.failed(), []);

    // Another plugin: what would move, by the log; then for all; and back.
    fs::write(&path, config(&gateways, PLUGIN)).expect("written");
    terminal.prints("reload", &["reloaded"]);
    assert_eq!(region(proxy, LONDON), "westeurope");
    let replay = "replay access.log --config portolan.yaml --plugin routing=canary.wasm";
    terminal.prints(replay, &["would move", "westeurope           eastus2"]);
    assert_eq!(terminal.runs(&format!("{replay} --max-shift 1%")).0, 3);
    terminal.prints("plugin deploy routing canary.wasm --active --reason 'to America'", &[]);
    assert_eq!(region(proxy, LONDON), "eastus2");
    terminal.prints(
        &format!("explain --client {LONDON} --why-not westeurope"),
        &["Plugin routing put westeurope in place 2, behind eastus2"],
    );
    terminal.prints("rollback routing", &[]);
    assert_eq!(region(proxy, LONDON), "westeurope");
    terminal.prints(
        "events",
        &[
            "drain westeurope",
            "undrain westeurope",
            "drill westeurope",
            "deploy routing",
            "rollback routing",
        ],
    );
}
