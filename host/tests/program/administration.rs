//! The administration on a Unix socket and over TLS, and the command line in front of it.

use crate::PROGRAM;
use crate::serving::{Gateway, Serving, config, folder, wait_until};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// A configuration with this administration, and a listener on a port that the system chooses.
fn with_admin(admin: &str) -> String {
    config(&Gateway::start(), "off", &format!("admin: {admin}"))
}

/// Runs a command. Whether it succeeded, and what it printed.
fn run(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(PROGRAM);
    let output = command.args(arguments).current_dir(folder).output().expect("a process");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let (fine, said) = run(folder, arguments);
    assert!(fine, "{arguments:?}: {said}");
    said
}

#[track_caller]
fn fails(folder: &Path, arguments: &[&str], expected: &str) {
    let (fine, said) = run(folder, arguments);
    assert!(
        !fine && said.contains(expected),
        "{arguments:?}: {expected:?} in {said}"
    );
}

/// Sends one request to a Unix socket. The whole answer.
fn ask(socket: &Path, head: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("connected");
    write!(stream, "{head}connection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

#[test]
fn a_unix_socket_is_for_its_owner_and_is_removed_at_the_end() {
    let folder = folder(&with_admin("{ address: \"unix:./admin.sock\" }"));
    let socket = folder.path().join("admin.sock");
    let mut serving = Serving::start(folder.path());
    serving.until_logged("\"serving\"");
    let file = fs::metadata(&socket).expect("a socket");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);

    let shown = succeeds(folder.path(), &["regions", "--admin", "unix:admin.sock"]);
    assert!(shown.contains("westeurope"), "{shown}");
    let url = format!("unix://{}", socket.display());
    succeeds(folder.path(), &["drain", "westeurope", "--admin", &url]);
    let shown = succeeds(folder.path(), &["regions", "--admin", &url]);
    let user = format!("from uid {}", rustix::process::geteuid().as_raw());
    assert!(shown.contains("drained since") && shown.contains(&user), "{shown}");

    // Whatever a program calls it; but not for a page of another site, behind whatever proxy.
    for host in ["localhost", "admin", "portolan.example.net"] {
        let answer = ask(&socket, &format!("GET /api/v1/regions HTTP/1.1\r\nhost: {host}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let order = format!("POST /api/v1/regions/westeurope/undrain HTTP/1.1\r\nhost: {host}\r\n");
        let answer = ask(&socket, &format!("{order}origin: http://evil.example\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let answer = ask(&socket, &order);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    let mut other = Serving::start_as(folder.path(), &["--state-dir", "other"]);
    let line = other.until_logged("failed to listen");
    assert!(line.contains("admin.sock") && line.contains("in use"), "{line}");
    assert!(!other.until_ended().0.success());
    succeeds(folder.path(), &["regions", "--admin", "unix:admin.sock"]);

    // Killed, it cannot remove its file: the next one replaces it.
    drop(serving);
    assert!(socket.exists());
    let mut serving = Serving::start(folder.path());
    serving.until_logged("\"serving\"");
    succeeds(folder.path(), &["regions", "--admin", "unix:admin.sock"]);
    for _ in 0..2 {
        serving.signal(Signal::TERM);
        serving.until_logged("stopping");
    }
    assert!(serving.until_ended().0.success());
    assert!(!socket.exists());
}

#[test]
fn a_unix_socket_goes_on_to_the_process_that_takes_over() {
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .expect("a port")
        .port();
    let text = with_admin("{ address: \"unix:./admin.sock\", socket_mode: \"0660\" }");
    let text = text.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    let folder = folder(&format!("{text}lame_duck: 0s\n"));
    let socket = folder.path().join("admin.sock");
    let ask = || succeeds(folder.path(), &["regions", "--admin", "unix:admin.sock"]);
    let mut first = Serving::start_as(folder.path(), &[]);
    first.until_logged("\"serving\"");

    // One that fails after it got the sockets takes nothing away.
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let probes = format!("probes: \"{}\", socket_mode", busy.local_addr().expect("an address"));
    let own = fs::read_to_string(folder.path().join("portolan.yaml")).expect("read");
    fs::write(folder.path().join("other.yaml"), own.replace("socket_mode", &probes)).expect("written");
    let (fine, said) = run(folder.path(), &["serve", "--config", "other.yaml", "--takeover"]);
    assert!(!fine && said.contains("in use"), "{said}");
    ask();

    let mut second = Serving::start_as(folder.path(), &["--takeover"]);
    second.until_logged("\"serving\"");
    assert!(first.until_ended().0.success());
    ask();
    assert_eq!(
        fs::metadata(&socket).expect("a socket").permissions().mode() & 0o777,
        0o660
    );

    // One that listens elsewhere: nobody has the socket any more.
    let own = own.replace("unix:./admin.sock", "unix:./moved.sock");
    fs::write(folder.path().join("portolan.yaml"), own).expect("written");
    let mut third = Serving::start_as(folder.path(), &["--takeover"]);
    third.until_logged("\"serving\"");
    assert!(second.until_ended().0.success());
    assert!(!socket.exists());
    succeeds(folder.path(), &["regions", "--admin", "unix:moved.sock"]);
    third.signal(Signal::TERM);
    assert!(third.until_ended().0.success());
    assert!(!folder.path().join("moved.sock").exists());
}

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("signed"))
    }

    /// Writes its own certificate.
    fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(name), self.0.pem()).expect("written");
    }

    /// Writes a certificate for 127.0.0.1 with this common name, and its key: `NAME.crt` and `NAME.key`.
    fn issue(&self, folder: &Path, name: &str) {
        self.issue_until(folder, name, 365);
    }

    /// The same for so many days.
    fn issue_until(&self, folder: &Path, name: &str, days: u64) {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = (SystemTime::now() + Duration::from_secs(days * 86_400)).into();
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("signed");
        fs::write(folder.join(format!("{name}.key.new")), key.serialize_pem()).expect("written");
        fs::write(folder.join(format!("{name}.crt.new")), certificate.pem()).expect("written");
        for file in ["key", "crt"] {
            let path = folder.join(format!("{name}.{file}"));
            fs::rename(path.with_extension(format!("{file}.new")), path).expect("renamed");
        }
    }
}

/// A folder with the files of an administration over TLS: its own pair, a client's, that of a stranger, and a token.
fn tls_folder(more: &str) -> (tempfile::TempDir, Authority) {
    let (servers, clients, strangers) = (
        Authority::new("Servers"),
        Authority::new("Clients"),
        Authority::new("Strangers"),
    );
    let folder = folder(&with_admin(&format!(
        "{{ address: \"127.0.0.1:0\", tls: {{ certificate: admin.crt, private_key: admin.key, client_ca: clients.pem{more}"
    )));
    servers.write(folder.path(), "servers.pem");
    clients.write(folder.path(), "clients.pem");
    servers.issue(folder.path(), "admin");
    clients.issue(folder.path(), "ops");
    strangers.issue(folder.path(), "stranger");
    fs::write(folder.path().join("token"), "a-token-of-the-test\n").expect("written");
    (folder, servers)
}

const OPS: [&str; 4] = ["--client-certificate", "ops.crt", "--client-private-key", "ops.key"];
const STRANGER: [&str; 4] = [
    "--client-certificate",
    "stranger.crt",
    "--client-private-key",
    "stranger.key",
];

#[test]
fn a_client_certificate_or_a_token_opens_an_administration_over_tls() {
    let (folder, _) = tls_folder(", client_certificate: optional }, token_file: token }");
    let folder = folder.path();
    let mut serving = Serving::start(folder);
    let port = serving.until_serving().admin.port();
    let (url, plain) = (format!("https://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}"));
    let by_name = format!("https://localhost:{port}");
    let regions = ["regions", "--admin", &url];
    let drain = ["drain", "westeurope", "--admin", &url, "--ca", "servers.pem"];
    let trusting = [&regions[..], &["--ca", "servers.pem"]].concat();

    // Verification is never off.
    fails(folder, &regions, "--ca FILE");
    fails(folder, &[&regions[..], &["--ca", "clients.pem"]].concat(), "--ca FILE");
    let named = ["regions", "--admin", &by_name, "--ca", "servers.pem"];
    fails(folder, &named, "its certificate is for other names");
    fails(folder, &["regions", "--admin", &plain], "this port expects HTTPS");

    fails(folder, &trusting, "a token is needed");
    fails(folder, &drain, "a token is needed");
    succeeds(folder, &[&trusting[..], &["--token-file", "token"]].concat());
    fails(
        folder,
        &[&trusting[..], &STRANGER].concat(),
        "--client-certificate FILE",
    );
    succeeds(folder, &[&drain[..], &OPS].concat());
    let shown = succeeds(folder, &[&trusting[..], &OPS].concat());
    assert!(
        shown.contains("from 127.0.0.1, ") && shown.contains("CN=ops"),
        "{shown}"
    );
    let explain = ["explain", "--ip", "192.0.2.1", "--admin", &url, "--ca", "servers.pem"];
    succeeds(folder, &[&explain[..], &OPS].concat());
}

#[test]
fn required_client_certificates_open_an_address_that_others_reach() {
    let (folder, _) = tls_folder(" } }");
    let text = fs::read_to_string(folder.path().join("portolan.yaml")).expect("read");
    let (head, admin) = text.split_once("admin: ").expect("an administration");
    let text = format!("{head}admin: {}", admin.replace("127.0.0.1:0", "0.0.0.0:0"));
    fs::write(folder.path().join("portolan.yaml"), text).expect("written");
    let mut serving = Serving::start(folder.path());
    let port = serving.until_serving().admin.port();
    let url = format!("https://127.0.0.1:{port}");
    let regions = ["regions", "--admin", &url, "--ca", "servers.pem"];
    fails(folder.path(), &regions, "--client-certificate FILE");
    fails(
        folder.path(),
        &[&regions[..], &STRANGER].concat(),
        "--client-certificate FILE",
    );
    succeeds(folder.path(), &[&regions[..], &OPS].concat());
}

#[test]
fn certificates_of_the_administration_are_replaced_while_it_runs() {
    let (folder, _) = tls_folder(" } }");
    let mut serving = Serving::start(folder.path());
    let port = serving.until_serving().admin.port();
    let url = format!("https://127.0.0.1:{port}");
    let succeeds_by = |ca: &str| {
        let regions = ["regions", "--admin", &url, "--ca", ca];
        run(folder.path(), &[&regions[..], &OPS].concat()).0
    };
    let (second, third) = (Authority::new("Second"), Authority::new("Third"));
    second.write(folder.path(), "second.pem");
    third.write(folder.path(), "third.pem");
    assert!(succeeds_by("servers.pem"));

    second.issue(folder.path(), "admin");
    wait_until("the new certificate is served", || succeeds_by("second.pem"));
    // A key of another pair leaves what there is.
    fs::copy(folder.path().join("ops.key"), folder.path().join("admin.key")).expect("copied");
    let line = serving.until_logged("rejected, the last good one remains active");
    assert!(line.contains("admin.tls: "), "{line}");
    assert!(succeeds_by("second.pem"));

    // A configuration without TLS is for the next start: until then the files of this one are followed.
    let path = folder.path().join("portolan.yaml");
    let text = fs::read_to_string(&path).expect("read");
    let (head, _) = text.split_once("admin: ").expect("an administration");
    fs::write(&path, format!("{head}admin: {{ address: \"127.0.0.1:0\" }}\n")).expect("written");
    serving.until_logged("takes effect at the next start");
    assert!(succeeds_by("second.pem"));
    third.issue(folder.path(), "admin");
    wait_until("the next certificate is served", || succeeds_by("third.pem"));
}

#[test]
fn check_reads_the_files_of_the_administration() {
    let (folder, servers) = tls_folder(" } }");
    let check = ["check", "--config", "portolan.yaml", "--offline"];
    succeeds(folder.path(), &check);
    // What is valid and will soon not be is warned of, at its place.
    servers.issue_until(folder.path(), "admin", 20);
    let said = succeeds(folder.path(), &check);
    assert!(
        said.contains("portolan.yaml:9:39: admin.tls: admin.crt: the certificate expires in"),
        "{said}"
    );
    let mut serving = Serving::start(folder.path());
    let line = serving.until_logged("the certificate expires in");
    assert!(line.contains("9:39: admin.tls: "), "{line}");
    fs::copy(folder.path().join("ops.key"), folder.path().join("admin.key")).expect("copied");
    fails(
        folder.path(),
        &check,
        ": admin.tls: admin.key: the private key is not that",
    );
    fs::remove_file(folder.path().join("clients.pem")).expect("removed");
    fails(folder.path(), &check, "failed to read clients.pem");
}
