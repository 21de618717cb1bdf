//! hosts(5): names with fixed addresses.

use std::collections::HashMap;
use std::net::IpAddr;

/// Addresses by name, in lower case, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads a hosts file. Lines that cannot be read are skipped, as glibc does.
    pub(super) fn parse(text: &[u8]) -> Self {
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in String::from_utf8_lossy(text).lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
                continue;
            };
            for name in words {
                let addresses = hosts.entry(name.to_ascii_lowercase()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(hosts)
    }

    /// The addresses of a name, of both families. `None` when it is not in the file.
    pub(super) fn find(&self, name: &str) -> Option<&[IpAddr]> {
        let name = name.strip_suffix('.').unwrap_or(name);
        self.0.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_found_in_either_case() {
        let hosts = Hosts::parse(
            b"127.0.0.1\tlocalhost # this machine\n192.0.2.1 GW.example gw\n2001:db8::1 gw.example\n192.0.2.1 gw\n\
              nonsense gw\n# 192.0.2.9 gw\n192.0.2.2\n\xff\xfe\n",
        );
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.1".parse().expect("v4"), "2001:db8::1".parse().expect("v6"));
        assert_eq!(hosts.find("gw.EXAMPLE"), Some(&[v4, v6][..]));
        assert_eq!(hosts.find("gw."), Some(&[v4][..]), "a final dot is no part of the name");
        assert_eq!(hosts.find("other"), None);
    }
}
