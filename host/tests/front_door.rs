//! `portolan front-door`, the program itself, before a stand-in for Azure.

use portolan::app::App;
use portolan::control::start::Start;
use portolan::demo::gateway::{Behaviour, Gateway};
use portolan_azure_fakes::arm::{Behaviour as Arm, Ending, Origin, OriginGroup, Profile};
use portolan_azure_fakes::{Clock, Cloud, Fault, Requests, entra};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];
const PATIENCE: Duration = Duration::from_secs(60);

/// A Front Door, the regions, an instance that rehearses.
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
        let cloud = Cloud::start(&Clock::running()).await.expect("a stand-in");
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

    /// Runs the program. The stand-in answers meanwhile: it shares this test's thread.
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
        let mut last = String::new();
        let run = async {
            loop {
                let output = self.run(arguments).await;
                assert!([0, 10, 11].contains(&output.code), "{}{}", output.out, output.errors);
                last = output.out;
                if last.contains(part) {
                    return;
                }
            }
        };
        let waited = tokio::time::timeout(PATIENCE, run).await;
        assert!(waited.is_ok(), "{arguments:?} never said {part:?}:\n{last}");
        last
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
    assert_eq!(world.run(&plan).await.code, 10);

    let refused = world.run(&["apply", "--config", "portolan.yaml"]).await;
    assert!(
        refused.code == 2 && refused.errors.contains("--once"),
        "{}",
        refused.errors
    );
    assert_eq!(writes(&world), 0);
    let applied = world.run(&once).await;
    assert_eq!(applied.code, 10, "{}{}", applied.out, applied.errors);
    assert!(applied.out.starts_with("1 change set is done"), "{}", applied.out);
    assert!(applied.out.contains("nothing to change"), "{}", applied.out);
    assert_eq!((writes(&world), world.priority("westeurope")), (1, Some(5)));

    // Spacing holds the way back up, unless an operator says now.
    world.gateways[0].behave(Behaviour::Serve).expect("its port is free");
    let waiting = world.until(&plan, "1 change, waiting").await;
    assert!(waiting.contains("priority  5 -> 1"), "{waiting}");
    let again = world.run(&once).await;
    assert!(
        again.code == 11 && again.out.starts_with("nothing was changed"),
        "{}{}",
        again.out,
        again.errors
    );
    let now = world
        .run(&["apply", "--config", "portolan.yaml", "--once", "--now"])
        .await;
    assert_eq!(now.code, 10, "{}{}", now.out, now.errors);
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
async fn what_cannot_be_done_is_said() {
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
    let refused = world.run(&["apply", "--config", "portolan.yaml", "--once"]).await;
    assert_eq!(refused.code, 11, "{}", refused.out);
    assert!(
        refused.errors.contains("did not become the leader"),
        "{}",
        refused.errors
    );
    assert!(refused.errors.contains("westeurope leads"), "{}", refused.errors);
}

/// What the service refuses, and what it accepts and then fails, end with codes of their own.
#[tokio::test]
async fn exit_codes_tell_refused_from_failed() {
    let world = World::start().await;
    let plan = ["plan", "--config", "portolan.yaml"];
    let now = ["apply", "--config", "portolan.yaml", "--once", "--now"];
    world.until(&plan, "nothing to change").await;
    world.gateways[0].behave(Behaviour::Dead).expect("its port is free");
    world.until(&plan, "1 change\n").await;

    let changes = || Requests::all().with_method(http::Method::PATCH);
    let denied = Fault::Refuse {
        status: 403,
        code: "AuthorizationFailed".to_owned(),
    };
    world.cloud.arm.fault(changes(), denied.clone());
    let refused = world.run(&now).await;
    assert_eq!(refused.code, 11, "{}{}", refused.out, refused.errors);
    assert!(
        refused.out.starts_with("the change set came to nothing"),
        "{}",
        refused.out
    );
    assert!(refused.out.contains("! change-failed"), "{}", refused.out);
    world.cloud.arm.clear_faults(None);

    world.cloud.arm.play(Arm::Operations {
        last: Some(Duration::from_millis(100)),
        ending: Ending::Failed {
            code: "InternalError".to_owned(),
            message: "it failed".to_owned(),
        },
    });
    let failed = world.run(&now).await;
    assert_eq!(failed.code, 12, "{}{}", failed.out, failed.errors);
    assert!(failed.out.contains("InternalError it failed"), "{}", failed.out);

    // A denied reading is asked once, and said once.
    let reads = |world: &World| world.cloud.arm.log().len();
    world.cloud.arm.fault(Requests::all(), denied);
    let before = reads(&world);
    let unreadable = world.run(&plan).await;
    assert_eq!(unreadable.code, 11, "{}{}", unreadable.out, unreadable.errors);
    assert_eq!(
        unreadable.errors.matches("AuthorizationFailed").count(),
        1,
        "{}",
        unreadable.errors
    );
    let asked = world.cloud.arm.log().split_off(before);
    // The serving instance reads, too: the command's own requests are those that come by another connection.
    let peers: std::collections::BTreeSet<_> = asked.iter().map(|request| request.path.clone()).collect();
    assert!(!peers.is_empty());
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
    let began = std::time::Instant::now();
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
