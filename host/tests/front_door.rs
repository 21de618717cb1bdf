//! `portolan front-door`, the program itself, before a fake of Azure.

use portolan::app::App;
use portolan::control::start::Start;
use portolan::demo::gateway::{Behaviour, Gateway};
use portolan_azure_fakes::arm::{Behaviour as Arm, Ending, Origin, OriginGroup, Profile};
use portolan_azure_fakes::{Clock, Cloud, Fault, Requests, entra};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];
const PATIENCE: Duration = Duration::from_secs(60);

/// A Front Door, the regions, an instance in dry-run mode.
struct World {
    cloud: Cloud,
    gateways: Vec<Gateway>,
    app: App,
    folder: tempfile::TempDir,
}

/// What a command printed, and its exit code.
struct Output {
    code: i32,
    out: String,
    errors: String,
}

impl World {
    async fn start() -> Self {
        let cloud = Cloud::start(&Clock::running()).await.expect("a fake Azure");
        let origin = |region: &str| Origin {
            name: format!("gw-{region}"),
            host_name: format!("gw-{region}.example.net"),
            priority: Some(1),
            weight: Some(50),
            enabled: true,
        };
        cloud.arm.seed(&Profile {
            subscription: "sub".into(),
            resource_group: "edge".into(),
            name: "shop".into(),
            front_door_id: "3b4682da-b3e2-47a1-96ca-08ab3cb7294e".into(),
            groups: vec![OriginGroup {
                name: "storefront".into(),
                routed: true,
                origins: REGIONS.map(origin).to_vec(),
            }],
        });
        cloud.blob.create_container("portolan");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let gateways: Vec<_> = REGIONS
            .map(|region| Gateway::start(region, any).expect("a port"))
            .into();
        let folder = tempfile::tempdir().expect("a folder");
        let path = configure(folder.path(), &cloud, &gateways);
        let app = App::begin(Start::read(&path, None).unwrap_or_else(|errors| panic!("{errors}")));
        Self {
            cloud,
            gateways,
            app: app.unwrap_or_else(|error| panic!("{error}")),
            folder,
        }
    }

    /// Runs the program. The fake answers meanwhile: it shares this test's thread.
    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command
            .arg("front-door")
            .args(arguments)
            .current_dir(self.folder.path());
        command.env("PORTOLAN_LOG", "error");
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the program runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output {
            code: output.status.code().expect("it ends by itself"),
            out: text(&output.stdout),
            errors: text(&output.stderr),
        }
    }

    /// Runs the program until it prints something with this in it.
    async fn until(&self, arguments: &[&str], part: &str) -> String {
        self.until_like(arguments, |output| output.out.contains(part)).await.out
    }

    /// Runs the program until it ends with this code. What one process has seen for long enough the next may not have yet:
    /// the store's clock counts whole seconds, and each process estimates the age of a vote for itself.
    async fn until_code(&self, arguments: &[&str], code: i32) -> Output {
        self.until_like(arguments, |output| output.code == code).await
    }

    async fn until_like(&self, arguments: &[&str], like: impl Fn(&Output) -> bool) -> Output {
        let ends = Instant::now() + PATIENCE;
        loop {
            let output = self.run(arguments).await;
            if like(&output) {
                return output;
            }
            let shown = format!("{arguments:?}: {}\n{}{}", output.code, output.out, output.errors);
            assert!([0, 10, 11].contains(&output.code), "{shown}");
            assert!(Instant::now() < ends, "not within {PATIENCE:?}: {shown}");
        }
    }

    /// Writes the configuration under another name, with one text replaced.
    fn copy_config(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.folder.path().join("portolan.yaml")).expect("read");
        assert!(text.contains(from), "{from} is not in {text}");
        std::fs::write(self.folder.path().join(name), text.replace(from, to)).expect("written");
    }

    fn admin(&self) -> String {
        format!("http://{}", self.app.admin())
    }

    fn priority(&self, region: &str) -> Option<u64> {
        self.cloud.arm.origin(&format!("gw-{region}"))?.priority
    }
}

fn configure(folder: &Path, cloud: &Cloud, gateways: &[Gateway]) -> PathBuf {
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    let mut container = cloud.blob.container_url("portolan");
    write("signature", container.query().unwrap_or_default());
    container.set_query(None);
    write("ca.pem", cloud.authority.pem());
    write("secret", entra::CLIENT_SECRET);
    let (mut regions, mut origins) = (String::new(), String::new());
    for gateway in gateways {
        let (region, address) = (gateway.region(), gateway.address());
        let _ = writeln!(regions, "      - {{ region: {region}, gateway: \"http://{address}\" }}");
        let _ = writeln!(origins, "    - {{ region: {region}, origin: gw-{region} }}");
    }
    let text = format!(
        r#"
listeners: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
access_log: off
workers: 1
here: westeurope
services:
  shop:
    regions:
{regions}    health_check: {{ path: /healthz, interval: 100ms, timeout: 100ms }}
routes: [{{ service: shop }}]
front_door:
  profile: {{ subscription: sub, resource_group: edge, name: shop, origin_group: storefront }}
  origins:
{origins}  store: {{ container: "{container}", signature_file: signature }}
  credential: {{ client_secret: {{ tenant: {tenant}, client: {client}, secret_file: secret }} }}
  cloud: {{ arm: "{arm}", scope: https://management.azure.com/.default, authority: "{authority}", ca_file: ca.pem }}
  timing: {{ sustain: 300ms, restore: 600ms, spacing: 1h, window: 0s, reconcile: 300ms, poll_least: 50ms, poll_default: 50ms }}
  votes: {{ write: 300ms, read: 100ms, valid_for: 10s }}
  lease: {{ duration: 15s, renew: 400ms }}
"#,
        tenant = entra::TENANT,
        client = entra::CLIENT_ID,
        arm = cloud.arm.url(),
        authority = cloud.entra.url(),
    );
    write("portolan.yaml", &text)
}

#[tokio::test]
async fn plan_apply_status() {
    let world = World::start().await;
    let plan = ["plan", "--config", "portolan.yaml"];
    let calm = world.until(&plan, "nothing to change").await;
    assert_eq!(world.run(&plan).await.code, 0);
    let once = ["apply", "--config", "portolan.yaml", "--once"];
    let nothing = world.run(&once).await;
    assert_eq!(nothing.code, 0, "{}{}", nothing.out, nothing.errors);
    assert!(
        calm.starts_with("front door shop/storefront\nvotes      1 of 1 count"),
        "{calm}"
    );
    assert!(!calm.contains('\x1b'), "colour is for terminals");

    world.gateways[0].behave(Behaviour::Dead).expect("its port is free");
    let planned = world.until(&plan, "1 change\n").await;
    assert!(
        planned.contains("  ~ westeurope  gw-westeurope  demote\n      priority  1 -> 5\n"),
        "{planned}"
    );
    let writes = |world: &World| {
        world
            .cloud
            .arm
            .log()
            .iter()
            .filter(|request| request.method != "GET")
            .count()
    };
    assert_eq!((writes(&world), world.priority("westeurope")), (0, Some(1)));
    world.until_code(&plan, 10).await;

    let rejected = world.run(&["apply", "--config", "portolan.yaml"]).await;
    assert!(
        rejected.code == 2 && rejected.errors.contains("--once"),
        "{}",
        rejected.errors
    );
    assert_eq!(writes(&world), 0);
    let applied = world.until_code(&once, 10).await;
    assert!(applied.out.starts_with("1 change set is done"), "{}", applied.out);
    assert!(applied.out.contains("nothing to change"), "{}", applied.out);
    assert_eq!((writes(&world), world.priority("westeurope")), (1, Some(5)));

    // Spacing holds the way back up, unless an operator says now.
    world.gateways[0].behave(Behaviour::Serve).expect("its port is free");
    let waiting = world.until(&plan, "1 change, waiting").await;
    assert!(waiting.contains("priority  5 -> 1"), "{waiting}");
    let again = world.until_code(&once, 11).await;
    assert!(again.out.starts_with("nothing was changed"), "{}", again.out);
    let now = ["apply", "--config", "portolan.yaml", "--once", "--now"];
    world.until_code(&now, 10).await;
    assert_eq!((writes(&world), world.priority("westeurope")), (2, Some(1)));

    let admin = world.admin();
    let status = world.until(&["status", "--admin", &admin], "nothing to change").await;
    for part in [
        "front door shop/storefront  (dry-run)",
        "its own quorum of one",
        "probes     /.portolan/probe",
    ] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let json = world.run(&["status", "--admin", &admin, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!((&json["mode"], &json["service"]), (&"dry-run".into(), &"shop".into()));
}

#[tokio::test]
async fn a_failed_command_reports_why() {
    let world = World::start().await;
    let text = std::fs::read_to_string(world.folder.path().join("portolan.yaml")).expect("read");
    let (rest, _) = text.split_once("front_door:").expect("a section");
    let write = |name: &str, content: &str| std::fs::write(world.folder.path().join(name), content).expect("written");
    write("none.yaml", rest);
    write("off.yaml", &format!("{rest}front_door: {{ mode: off }}\n"));
    write("ca.yaml", &text.replace("ca_file: ca.pem", "ca_file: lost.pem"));
    write("bad.yaml", &text.replace("sustain: 300ms", "sustain: 300"));
    for (file, part) in [
        ("none.yaml", "none.yaml has no section front_door"),
        ("off.yaml", "off.yaml: front_door describes no Front Door"),
        ("ca.yaml", "lost.pem"),
        ("bad.yaml", "front_door.timing.sustain: wanted a duration"),
    ] {
        let output = world.run(&["plan", "--config", file]).await;
        assert!(
            output.code == 1 && output.errors.contains(part),
            "{file}: {}{}",
            output.out,
            output.errors
        );
    }
    // While an instance leads there is no other leader.
    let path = world.folder.path().join("portolan.yaml");
    std::fs::write(&path, text.replace("front_door:\n", "front_door:\n  mode: apply\n")).expect("written");
    let admin = world.admin();
    world
        .until(&["status", "--admin", &admin], "this instance, westeurope")
        .await;
    world.cloud.blob.lease_second(Duration::from_millis(100));
    let rejected = world.run(&["apply", "--config", "portolan.yaml", "--once"]).await;
    assert_eq!(rejected.code, 11, "{}", rejected.out);
    assert!(
        rejected.errors.contains("did not become the leader"),
        "{}",
        rejected.errors
    );
    assert!(rejected.errors.contains("westeurope leads"), "{}", rejected.errors);
}

/// What the service rejects, and what it accepts and then fails, end with codes of their own.
#[tokio::test]
async fn exit_codes_tell_rejected_from_failed() {
    let world = World::start().await;
    let plan = ["plan", "--config", "portolan.yaml"];
    let now = ["apply", "--config", "portolan.yaml", "--once", "--now"];
    world.until(&plan, "nothing to change").await;
    world.gateways[0].behave(Behaviour::Dead).expect("its port is free");
    world.until(&plan, "1 change\n").await;

    let changes = || Requests::all().with_method(http::Method::PATCH);
    let denied = Fault::Reject {
        status: 403,
        code: "AuthorizationFailed".to_owned(),
    };
    world.cloud.arm.fault(changes(), denied);
    let rejected = world.until_code(&now, 11).await;
    assert!(rejected.out.starts_with("the change set failed"), "{}", rejected.out);
    assert!(rejected.out.contains("! change-failed"), "{}", rejected.out);
    world.cloud.arm.clear_faults(None);

    world.cloud.arm.set_behaviour(Arm::Operations {
        last: Some(Duration::from_millis(100)),
        ending: Ending::Failed {
            code: "InternalError".to_owned(),
            message: "it failed".to_owned(),
        },
    });
    let failed = world.until_code(&now, 12).await;
    assert!(failed.out.contains("InternalError it failed"), "{}", failed.out);
}

/// Trying again is of no use: one request, one line.
#[tokio::test]
async fn a_denied_read_is_sent_once_and_printed_once() {
    let world = World::start().await;
    // The instance that serves reads as well: the command gets a port of its own.
    let arm = &world.cloud.arm;
    let port = arm.open_listener("command").await.expect("a port");
    world.copy_config("denied.yaml", arm.url().as_str(), port.as_str());
    let denied = Fault::Reject {
        status: 403,
        code: "AuthorizationFailed".to_owned(),
    };
    arm.fault(Requests::all().by_listener("command"), denied);
    let output = world.run(&["plan", "--config", "denied.yaml"]).await;
    assert_eq!(output.code, 11, "{}{}", output.out, output.errors);
    let lines: Vec<_> = output.errors.lines().collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].matches("AuthorizationFailed").count(), 1, "{lines:?}");
    let sent = arm.log().into_iter().filter(|request| request.listener == "command");
    let sent: Vec<_> = sent.map(|request| (request.method, request.status)).collect();
    assert_eq!(sent, [(http::Method::GET, Some(403))]);
}

#[tokio::test]
async fn the_status_of_a_dry_run_says_would_be_until_it_is_true() {
    let world = World::start().await;
    let admin = world.admin();
    let status = ["status", "--admin", &admin];
    world.until(&status, "nothing to change").await;
    world.gateways[0].behave(Behaviour::Dead).expect("its port is free");
    let dry_run = world.until(&status, "gw-westeurope  would be demoted").await;
    assert!(dry_run.contains("gw-eastus2  baseline"), "{dry_run}");
    assert_eq!(world.priority("westeurope"), Some(1));
    // Another makes it true.
    world
        .until_code(&["apply", "--config", "portolan.yaml", "--once"], 10)
        .await;
    let done = world.until(&status, "gw-westeurope  demoted").await;
    assert!(!done.contains("would be"), "{done}");
}

/// What the Azure libraries log at INFO for each failed request is in the log only when `PORTOLAN_LOG` asks for it.
#[tokio::test]
async fn the_azure_libraries_are_not_in_the_log_by_default() {
    const NOISE: &str = "typespec_client_core";
    let world = World::start().await;
    let blob = &world.cloud.blob;
    let port = blob.open_listener("away").await.expect("a port");
    world.copy_config("away.yaml", blob.url().as_str(), port.as_str());
    blob.fault(Requests::all().by_listener("away"), Fault::Reset);
    let sent = || blob.log().iter().filter(|request| request.listener == "away").count();
    for (filter, is_noisy) in [(None, false), (Some("info,typespec_client_core=info"), true)] {
        let before = sent();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portolan"));
        command
            .args(["serve", "--config", "away.yaml"])
            .current_dir(world.folder.path())
            .env_remove("PORTOLAN_LOG")
            .envs(filter.map(|filter| ("PORTOLAN_LOG", filter)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut serving = command.spawn().expect("the program runs");
        let tried = blob.until(PATIENCE, |_| sent() >= before + 10).await;
        serving.kill().expect("it runs");
        let output = tokio::task::spawn_blocking(move || serving.wait_with_output()).await;
        let output = output.expect("no panic").expect("its log");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(tried.is_ok(), "it never asked the store: {log}");
        assert!(log.contains("the Front Door publisher runs"), "{log}");
        assert_eq!(log.contains(NOISE), is_noisy, "{filter:?}: {log}");
    }
}

/// There is no metadata service, or it does not answer: the credential's error comes first, and soon.
#[tokio::test]
async fn a_credential_that_does_not_work_is_named_soon() {
    let world = World::start().await;
    let text = std::fs::read_to_string(world.folder.path().join("portolan.yaml")).expect("read");
    let (before, rest) = text.split_once("  credential:").expect("a credential");
    let (_, after) = rest.split_once('\n').expect("a line");
    let text = format!("{before}  credential: managed-identity\n{after}");
    std::fs::write(world.folder.path().join("machine.yaml"), text).expect("written");
    let began = Instant::now();
    let output = world.run(&["plan", "--config", "machine.yaml"]).await;
    assert_eq!(output.code, 1, "{}{}", output.out, output.errors);
    assert!(
        output
            .errors
            .starts_with("portolan: failed to get a token by managed-identity: "),
        "{}",
        output.errors
    );
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
