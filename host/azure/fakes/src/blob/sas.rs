//! Account SAS: a signature in the query, in place of a token.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use url::{Url, form_urlencoded};

use super::errors::{
    AUTHENTICATION_FAILED, AUTHORIZATION_FAILURE, PERMISSION_MISMATCH, RESOURCE_TYPE_MISMATCH, StorageError,
};

/// The account that exists, the same as in every storage emulator.
pub const ACCOUNT: &str = "devstoreaccount1";

/// The key of [`ACCOUNT`]. It is no secret: every storage emulator has it, and its documentation prints it.
const ACCOUNT_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The service version that signatures are made for.
const SIGNED_VERSION: &str = "2021-12-02";

/// Read, add, create, write, delete, list: what a publisher and its votes need.
const PERMISSIONS: &str = "rwdlac";

/// Adds a signature to a URL of the account: all operations on containers and blobs, for `lifetime` from `now` on.
pub fn sign(url: &Url, now: SystemTime, lifetime: Duration) -> Url {
    sign_for(url, PERMISSIONS, now, lifetime)
}

/// As [`sign`], for these permissions.
pub fn sign_for(url: &Url, permissions: &str, now: SystemTime, lifetime: Duration) -> Url {
    let expiry = rfc_3339(now + lifetime);
    let fields = [
        ("sv", SIGNED_VERSION),
        ("ss", "b"),
        ("srt", "sco"),
        ("sp", permissions),
        ("se", &expiry),
        ("spr", "https,http"),
    ];
    let signature = signature(|name| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| *value));
    let mut signed = url.clone();
    signed
        .query_pairs_mut()
        .extend_pairs(fields)
        .append_pair("sig", &signature);
    signed
}

/// Checks the signature in a query. `permission` is one of those that would do, `object` whether a blob is meant.
pub(super) fn check(query: &str, permission: &str, object: bool, now: SystemTime) -> Result<(), StorageError> {
    let fields: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    if field("sig") != Some(&signature(field)) {
        return Err(AUTHENTICATION_FAILED);
    }
    let time = |name: &str| field(name).and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
    let now = OffsetDateTime::from(now);
    if time("se").is_none_or(|expiry| expiry <= now) || time("st").is_some_and(|start| start > now) {
        return Err(AUTHORIZATION_FAILURE);
    }
    if !field("srt")
        .unwrap_or_default()
        .contains(if object { 'o' } else { 'c' })
    {
        return Err(RESOURCE_TYPE_MISMATCH);
    }
    if !field("sp")
        .unwrap_or_default()
        .contains(|letter| permission.contains(letter))
    {
        return Err(PERMISSION_MISMATCH);
    }
    Ok(())
}

/// The string to sign of version 2020-12-06 and later: account, then nine fields, each ended by a line feed.
fn signature<'f>(field: impl Fn(&str) -> Option<&'f str>) -> String {
    let names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses"];
    let mut text = format!("{ACCOUNT}\n");
    for name in names {
        text.push_str(field(name).unwrap_or_default());
        text.push('\n');
    }
    // The key is a constant, so it always decodes.
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(ACCOUNT_KEY).unwrap_or_default());
    STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

/// To the second, such as `2026-11-23T07:08:09Z`.
fn rfc_3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    // Fails for years beyond 9999 alone; then the signature is for no time at all.
    time.replace_nanosecond(0)
        .unwrap_or(time)
        .format(&Rfc3339)
        .unwrap_or_default()
}
