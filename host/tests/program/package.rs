//! What somebody does with an installed package, from its configuration to an upgrade and a stop. It is the package that
//! `PORTOLAN_PACKAGE` names, a Debian package, or without one the program of this build with the files that packages contain.

use crate::PROGRAM;
use crate::serving::{Gateway, Serving, get, wait_until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where the parts of a package are.
struct Package {
    program: PathBuf,
    config: PathBuf,
    smoke: PathBuf,
}

impl Package {
    /// Unpacked into this folder, if it has to be.
    fn installed(folder: &Path) -> Self {
        let Some(file) = std::env::var_os("PORTOLAN_PACKAGE") else {
            let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
            return Self {
                program: PROGRAM.into(),
                config: deploy.join("package/portolan.yaml"),
                smoke: deploy.join("smoke.sh"),
            };
        };
        let root = folder.join("root");
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(file).arg(&root);
        assert!(unpack.status().expect("dpkg-deb").success());
        Self {
            program: root.join("usr/bin/portolan"),
            config: root.join("etc/portolan/portolan.yaml"),
            smoke: root.join("usr/share/portolan/smoke.sh"),
        }
    }
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address")
}

#[test]
fn a_newcomer_gets_from_a_package_to_a_checked_upgrade_and_a_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = Package::installed(folder.path());
    let portolan = |arguments: &[&str]| {
        let mut command = Command::new(&package.program);
        command.args(arguments).current_dir(folder.path());
        command.env_remove("PORTOLAN_LOG");
        command
    };
    let run = |arguments: &[&str]| {
        let output = portolan(arguments).output().expect("a process");
        (output.status.success(), text(&output))
    };

    // What is installed is valid, and is edited.
    let installed = fs::read_to_string(&package.config).expect("a configuration");
    let config = folder.path().join("portolan.yaml");
    fs::write(&config, &installed).expect("written");
    let (fine, said) = run(&["check", "--config", "portolan.yaml", "--offline"]);
    assert!(fine, "{said}");
    let (proxy, admin) = (free_port(), free_port());
    let [proxy_url, admin_url] = [proxy, admin].map(|it| format!("http://{it}"));
    let gateways = [Gateway::start(), Gateway::start()].map(|it| it.address.to_string());
    let mut own = installed;
    for (theirs, ours) in [
        ("127.0.0.1:8080", &proxy.to_string()),
        ("127.0.0.1:9900", &admin.to_string()),
        ("gateway-westeurope.example.invalid", &gateways[0]),
        ("gateway-eastus2.example.invalid", &gateways[1]),
    ] {
        assert!(own.contains(theirs), "{theirs} is to be edited:\n{own}");
        own = own.replace(theirs, ours);
    }
    own.push_str("lame_duck: 0s\n");
    fs::write(&config, own.replace("listeners:", "listenres:")).expect("written");
    let (fine, said) = run(&["check", "--config", "portolan.yaml"]);
    assert!(!fine && said.contains("listeners"), "{said}");
    fs::write(&config, &own).expect("written");
    let (fine, said) = run(&["check", "--config", "portolan.yaml"]);
    assert!(fine, "{said}");

    // Before it runs, each check says what it could not reach.
    let smoke = || {
        let mut smoke = Command::new("sh");
        smoke.arg(&package.smoke).args([&proxy_url, &admin_url]);
        let output = smoke.output().expect("a shell");
        (output.status.success(), text(&output))
    };
    let (fine, said) = smoke();
    assert!(!fine && said.contains("FAILED"), "{said}");
    let mut serve = portolan(&["serve", "--config", "portolan.yaml", "--state-dir", "state"]);
    serve.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut serving = Serving::run(serve);
    serving.until_logged("\"serving\"");
    let (fine, said) = smoke();
    assert!(fine && !said.contains("FAILED"), "{said}");

    // Reloaded.
    let generation = || {
        let ready = get(admin, "/readyz").1;
        let body = ready.split_once("\r\n\r\n").expect("a body").1.to_owned();
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        body["generation"].as_u64().expect("a number")
    };
    let before = generation();
    own.push_str("drain_time: 2s\n");
    fs::write(&config, &own).expect("written");
    serving.signal(Signal::HUP);
    wait_until("the change is active", || generation() > before);

    // Both regions are taken out and brought back.
    for order in ["drain", "undrain"] {
        for region in ["westeurope", "eastus2"] {
            let (fine, said) = run(&[order, region, "--admin", &admin_url]);
            assert!(fine, "{said}");
        }
        let (fine, said) = smoke();
        assert_eq!(
            fine,
            order == "undrain",
            "with all regions drained nothing is answered: {said}"
        );
    }

    // Upgraded, and stopped.
    serving.signal(Signal::USR2);
    let started = serving.until_logged("started a new process");
    serving.until_logged("the other process serves");
    serving.until_ended();
    let (fine, said) = smoke();
    assert!(fine, "{said}");
    let line: serde_json::Value = serde_json::from_str(&started).expect("JSON");
    let process = line["process"].as_i64().and_then(|it| i32::try_from(it).ok());
    let process = process.and_then(Pid::from_raw).expect("a process");
    kill_process(process, Signal::TERM).expect("it runs");
    wait_until("it has ended", || test_kill_process(process).is_err());
    assert!(!smoke().0);
}
