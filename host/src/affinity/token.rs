//! The value of an affinity cookie, as it comes and as it goes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// The bytes that name a region.
pub(crate) const TAG: usize = 4;
const ID: usize = 8;
const SIGNATURE: usize = 32;
const BYTES: usize = ID + TAG + SIGNATURE;
/// The characters of so many bytes.
const CHARACTERS: usize = (BYTES * 4).div_ceil(3);

/// How many values of one name are looked at: a client has one for each path it was set for.
const MOST: usize = 4;

/// What a cookie says, whether or not it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) tag: [u8; TAG],
    pub(crate) signature: [u8; SIGNATURE],
}

/// How cookies name a region. Two regions may have the same: the signature tells them apart.
pub(crate) fn tag(region: &str) -> [u8; TAG] {
    let hash = region.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash.to_be_bytes()
}

/// The cookies of this name in `Cookie` fields (RFC 6265, section 4.2.1), as far as they look like one of ours.
pub(crate) fn all<'a>(fields: impl Iterator<Item = &'a [u8]>, name: &'a str) -> impl Iterator<Item = Token> {
    let pairs = fields.flat_map(|field| field.split(|byte| *byte == b';'));
    let values = pairs.filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        // Quotes are part of the value by the letter of the RFC, and some clients add them.
        Some(
            value
                .strip_prefix(b"\"")
                .and_then(|value| value.strip_suffix(b"\""))
                .unwrap_or(value),
        )
    });
    values
        .filter(|value| value.len() == CHARACTERS)
        .take(MOST)
        .filter_map(Token::decode)
}

impl Token {
    fn decode(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; BYTES];
        if BASE64.decode_slice(value, &mut bytes).ok()? != BYTES {
            return None;
        }
        let (id, rest) = bytes.split_first_chunk::<ID>()?;
        let (tag, signature) = rest.split_first_chunk::<TAG>()?;
        Some(Self {
            id: u64::from_be_bytes(*id),
            tag: *tag,
            signature: signature.try_into().ok()?,
        })
    }

    /// The value of its cookie.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(&self.tag);
        bytes.extend_from_slice(&self.signature);
        BASE64.encode(bytes)
    }
}
