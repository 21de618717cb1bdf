//! Azure's service tags: which addresses belong to which of its services, as Microsoft publishes them weekly in a JSON file
//! (`ServiceTags_Public_….json`: `values[].name`, `values[].properties.addressPrefixes[]`).

use ipnet::IpNet;
use serde::Deserialize;
use std::borrow::Cow;
use thiserror::Error;

/// The tag of the addresses from which Front Door connects to origins.
pub(crate) const FRONT_DOOR: &str = "AzureFrontDoor.Backend";

/// The largest file, in bytes. Microsoft's have some four million.
pub(crate) const MAX_FILE: u64 = 64 << 20;

/// The shortest prefixes that are believed, of IPv4 and IPv6: no service has more of all addresses than that.
const SHORTEST: (u8, u8) = (8, 16);

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It has another form.
    #[error("not a file of service tags: {0}")]
    Form(#[from] serde_json::Error),
    /// The tag is missing.
    #[error("the tag {0} is not in it")]
    Missing(&'static str),
    /// The tag has more than one entry.
    #[error("the tag {0} is in it more than once")]
    Repeated(&'static str),
    /// The tag has no addresses.
    #[error("the tag {0} has no addresses")]
    Empty(&'static str),
    /// A prefix is not a network.
    #[error("{0:?} is not a network")]
    Prefix(String),
    /// A prefix is too short.
    #[error("{0} are more addresses than any service has")]
    TooLarge(IpNet),
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    values: Vec<Tag<'a>>,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    properties: Properties<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow)]
    address_prefixes: Vec<Cow<'a, str>>,
}

/// The networks of a tag in a file.
///
/// # Errors
/// When the file is not one of service tags, or does not have the tag exactly once with at least one network, or one of
/// its networks is malformed or implausibly large.
pub(crate) fn networks(file: &[u8], tag: &'static str) -> Result<Vec<IpNet>, FileError> {
    let file: File<'_> = serde_json::from_slice(file)?;
    let mut tags = file.values.iter().filter(|it| it.name == tag);
    let found = tags.next().ok_or(FileError::Missing(tag))?;
    if tags.next().is_some() {
        return Err(FileError::Repeated(tag));
    }
    let prefixes = &found.properties.address_prefixes;
    if prefixes.is_empty() {
        return Err(FileError::Empty(tag));
    }
    prefixes.iter().map(|prefix| network(prefix)).collect()
}

fn network(prefix: &str) -> Result<IpNet, FileError> {
    let network: Option<IpNet> = prefix.parse().ok();
    // Addresses of a network that are not its first are a mistake, or made to be read in two ways.
    let network = network.filter(|network| network.addr() == network.network());
    let network = network.ok_or_else(|| FileError::Prefix(prefix.chars().take(64).collect()))?;
    let shortest = match network {
        IpNet::V4(_) => SHORTEST.0,
        IpNet::V6(_) => SHORTEST.1,
    };
    match network.prefix_len() < shortest {
        true => Err(FileError::TooLarge(network)),
        false => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Microsoft's file is, with one more tag before.
    fn file(prefixes: &str) -> String {
        format!(
            r#"{{ "changeNumber": 334, "cloud": "Public", "values": [
                {{ "name": "ActionGroup", "id": "ActionGroup", "properties": {{ "changeNumber": 1, "region": "",
                   "platform": "Azure", "systemService": "ActionGroup", "addressPrefixes": ["4.232.106.88/30"] }} }},
                {{ "name": "AzureFrontDoor.Backend", "id": "AzureFrontDoor.Backend", "properties": {{ "changeNumber": 17,
                   "region": "", "regionId": 0, "platform": "Azure", "systemService": "AzureFrontDoor",
                   "addressPrefixes": {prefixes}, "networkFeatures": ["API", "NSG", "UDR", "FW"] }} }} ] }}"#
        )
    }

    #[test]
    fn a_tag_has_its_networks() {
        let found = networks(
            file(r#"["4.150.192.0/29", "2a01:111:2050::/44"]"#).as_bytes(),
            FRONT_DOOR,
        );
        let expected = ["4.150.192.0/29", "2a01:111:2050::/44"].map(|it| it.parse::<IpNet>().expect("a network"));
        assert_eq!(found.expect("fine"), expected);
    }

    #[test]
    fn other_files_are_rejected_with_the_reason() {
        let twice = file(r#"["4.150.192.0/29"]"#).replace("ActionGroup", FRONT_DOOR);
        let cut = file(r#"["4.150.192.0/29"]"#).replace("] }", "");
        for (text, message) in [
            ("", "not a file of service tags"),
            ("{}", "missing field `values`"),
            (r#"{ "values": [] }"#, "the tag AzureFrontDoor.Backend is not in it"),
            (&*cut, "not a file of service tags"),
            (&*twice, "more than once"),
            (&*file("[]"), "has no addresses"),
            (&*file(r#"["4.150.192.1/29"]"#), "\"4.150.192.1/29\" is not a network"),
            (&*file(r#"["4.150.192.0"]"#), "is not a network"),
            (&*file(r#"["4.150.192.0/33"]"#), "is not a network"),
            (&*file("[7]"), "expected a string"),
            (
                &*file(r#"["0.0.0.0/0"]"#),
                "0.0.0.0/0 are more addresses than any service has",
            ),
            (&*file(r#"["::/0"]"#), "more addresses"),
        ] {
            let error = networks(text.as_bytes(), FRONT_DOOR).expect_err(text).to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
