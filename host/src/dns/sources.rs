//! Where name servers and fixed addresses come from: the configuration, or files of the system that may change.

use super::conf::Conf;
use super::hosts::Hosts;
use std::fs::{self, Metadata};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where name servers and fixed addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The file that names servers and the search list: resolv.conf(5).
    pub resolv_conf: PathBuf,
    /// The port of the servers that it names.
    pub port: u16,
    /// The file with fixed addresses: hosts(5). Its names are not looked up in DNS, for neither family.
    pub hosts: PathBuf,
    /// These name servers instead of both files; names are then looked up as they are written.
    pub servers: Option<Arc<[SocketAddr]>>,
}

impl Default for Sources {
    /// Those of the system.
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            port: 53,
            hosts: "/etc/hosts".into(),
            servers: None,
        }
    }
}

/// What the sources said when they were last looked at.
#[derive(Debug)]
pub(super) struct Current {
    sources: Sources,
    /// The files as they were read. `None`: not yet.
    read: [Option<Stamp>; 2],
    pub(super) conf: Arc<Conf>,
    pub(super) hosts: Arc<Hosts>,
}

impl Current {
    /// Looks at the sources for the first time.
    pub(super) fn new(sources: Sources) -> Self {
        let mut current = Self {
            conf: Arc::new(Conf::of(sources.servers.clone().unwrap_or_default())),
            hosts: Arc::default(),
            sources,
            read: [None, None],
        };
        current.look();
        current
    }

    /// Takes these name servers from now on, or the system's files. Returns whether that is a change.
    pub(super) fn configure(&mut self, servers: Option<Arc<[SocketAddr]>>) -> bool {
        if servers == self.sources.servers {
            return false;
        }
        let sources = Sources {
            servers,
            ..self.sources.clone()
        };
        *self = Self::new(sources);
        true
    }

    /// Looks whether the files have changed, and reads those that have. Returns whether there was any.
    pub(super) fn look(&mut self) -> bool {
        if self.sources.servers.is_some() {
            return false;
        }
        let resolv_conf = changed(&self.sources.resolv_conf, &mut self.read[0]);
        let hosts = changed(&self.sources.hosts, &mut self.read[1]);
        let any = resolv_conf.is_some() || hosts.is_some();
        if let Some(text) = resolv_conf {
            let (conf, skipped) = Conf::parse(&text, self.sources.port, index_of_interface);
            let (file, servers) = (self.sources.resolv_conf.display(), &conf.servers);
            tracing::debug!(%file, ?servers, "name servers");
            if !skipped.is_empty() {
                tracing::warn!(%file, ?skipped, "parts of the file cannot be read");
            }
            self.conf = Arc::new(conf);
        }
        if let Some(text) = hosts {
            self.hosts = Arc::new(Hosts::parse(&text));
        }
        any
    }
}

/// By what a changed file is known, replaced or written in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Missing,
    File {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
        changed: (i64, i64),
    },
}

impl Stamp {
    fn of(metadata: io::Result<Metadata>) -> Self {
        let Ok(metadata) = metadata else { return Self::Missing };
        Self::File {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The content of a file that is not as it was; a missing file is empty. A file that cannot be read is left as it was.
fn changed(path: &Path, read: &mut Option<Stamp>) -> Option<Vec<u8>> {
    let stamp = Stamp::of(fs::metadata(path));
    if *read == Some(stamp) {
        return None;
    }
    *read = Some(stamp);
    if stamp == Stamp::Missing {
        return Some(Vec::new());
    }
    fs::read(path)
        .inspect_err(|error| tracing::warn!(file = %path.display(), %error, "failed to read the file"))
        .ok()
}

/// The number of a network interface, as IPv6 addresses of a link need it.
fn index_of_interface(name: &str) -> Option<u32> {
    if name.contains('/') {
        return None;
    }
    let index = fs::read_to_string(format!("/sys/class/net/{name}/ifindex")).ok()?;
    index.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_again_when_they_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let sources = Sources {
            resolv_conf: folder.path().join("resolv.conf"),
            hosts: folder.path().join("hosts"),
            ..Sources::default()
        };
        let mut current = Current::new(sources.clone());
        let servers = |current: &Current| current.conf.servers.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(servers(&current), ["127.0.0.1:53"], "there is no file yet");
        assert!(!current.look());
        fs::write(&sources.resolv_conf, "nameserver 192.0.2.1\n").expect("written");
        assert!(current.look() && !current.look());
        assert_eq!(servers(&current), ["192.0.2.1:53"]);
        fs::write(folder.path().join("new"), "192.0.2.7 gw\n").expect("written");
        fs::rename(folder.path().join("new"), &sources.hosts).expect("renamed");
        assert!(current.look());
        assert!(current.hosts.find("gw").is_some());
        fs::remove_file(&sources.hosts).expect("removed");
        assert!(current.look() && current.hosts.find("gw").is_none());
        assert_eq!(servers(&current), ["192.0.2.1:53"], "the other file is as it was");
    }

    #[test]
    fn servers_of_the_configuration_stand_instead_of_the_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let sources = Sources {
            resolv_conf: folder.path().join("resolv.conf"),
            hosts: folder.path().join("hosts"),
            ..Sources::default()
        };
        fs::write(&sources.resolv_conf, "nameserver 192.0.2.1\nsearch example\n").expect("written");
        fs::write(&sources.hosts, "192.0.2.7 gw\n").expect("written");
        let mut current = Current::new(sources);
        let server: SocketAddr = "192.0.2.53:5353".parse().expect("an address");
        let servers: Option<Arc<[SocketAddr]>> = Some([server].into());
        assert!(current.configure(servers.clone()) && !current.configure(servers));
        assert_eq!(*current.conf.servers, [server]);
        assert!(current.conf.search.is_empty() && current.hosts.find("gw").is_none() && !current.look());
        assert!(current.configure(None));
        assert!(current.conf.search.len() == 1 && current.hosts.find("gw").is_some());
    }
}
