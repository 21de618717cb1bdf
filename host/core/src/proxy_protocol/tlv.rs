//! The extensions of version 2: type, length, value (section 2.2.1 and following).

use super::HeaderError;
use super::crc32c::crc32c;

const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_COMMON_NAME: u8 = 0x22;
/// Azure's, in the range for applications.
const AZURE: u8 = 0xEE;
const AZURE_PRIVATE_ENDPOINT: u8 = 0x01;

/// The client used TLS.
const CLIENT_SSL: u8 = 0x01;
/// The client presented a certificate, on this connection or when its session began.
const CLIENT_CERTIFICATE: u8 = 0x06;

/// The longest authority and common name in bytes, the longest identifier (section 2.2.5).
const MAX_TEXT: usize = 255;
const MAX_ID: usize = 128;

/// Further properties of a connection that a proxy passes on. Those that are not known are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The host that the client asked for (SNI).
    pub authority: Option<Box<str>>,
    /// The identifier that the proxy gave the connection, up to 128 bytes.
    pub unique_id: Option<Box<[u8]>>,
    /// The client's TLS, as the proxy saw it. `None`: the client used none, or the proxy says nothing of it.
    pub tls: Option<Box<Tls>>,
    /// Azure Private Link: the identifier of the private endpoint that the client came through.
    pub private_link: Option<u32>,
}

/// The client's TLS, as the proxy saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Its version, such as `TLSv1.3`.
    pub version: Option<Box<str>>,
    /// The common name in the client's certificate.
    pub common_name: Option<Box<str>>,
    /// Whether the client presented a certificate and the proxy verified it.
    pub is_verified: bool,
}

/// Reads all extensions of a header. `header` is the whole of it, for its checksum.
pub(super) fn parse(extensions: &[u8], header: &[u8]) -> Result<Extensions, HeaderError> {
    let mut found = Extensions::default();
    each(extensions, |kind, value, behind| match kind {
        AUTHORITY => once(&mut found.authority, text(value)?),
        UNIQUE_ID if value.len() > MAX_ID => Err(HeaderError::Invalid("the unique identifier is too long")),
        UNIQUE_ID => once(&mut found.unique_id, value.into()),
        SSL => match tls(value)? {
            Some(tls) => once(&mut found.tls, Box::new(tls)),
            None => Ok(()),
        },
        // Others of Azure's may come.
        AZURE => match value.split_first() {
            Some((&AZURE_PRIVATE_ENDPOINT, id)) => {
                let id = id.try_into().map(u32::from_le_bytes);
                let id = id.map_err(|_| HeaderError::Invalid("the private link is not four bytes"));
                once(&mut found.private_link, id?)
            }
            _ => Ok(()),
        },
        CRC32C => check(value, header, behind),
        _ => Ok(()),
    })?;
    Ok(found)
}

/// Goes through extensions: the type and the value of each, and how many bytes come behind it.
fn each(mut rest: &[u8], mut with: impl FnMut(u8, &[u8], usize) -> Result<(), HeaderError>) -> Result<(), HeaderError> {
    const CUT: HeaderError = HeaderError::Invalid("an extension is cut short");
    while !rest.is_empty() {
        let ([kind, high, low], behind) = rest.split_first_chunk().ok_or(CUT)?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, behind) = behind.split_at_checked(length).ok_or(CUT)?;
        with(*kind, value, behind.len())?;
        rest = behind;
    }
    Ok(())
}

/// Of two that differ, nobody knows which is right.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), HeaderError> {
    match place.replace(value) {
        Some(_) => Err(HeaderError::Invalid("an extension comes twice")),
        None => Ok(()),
    }
}

fn text(value: &[u8]) -> Result<Box<str>, HeaderError> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_TEXT);
    let text = text.filter(|text| !text.chars().any(char::is_control));
    text.map(Into::into)
        .ok_or(HeaderError::Invalid("a text is too long or not UTF-8"))
}

/// `client`, `verify` and further extensions. `None` when the client did not use TLS.
fn tls(value: &[u8]) -> Result<Option<Tls>, HeaderError> {
    let fixed = value.split_first_chunk::<5>();
    let ([client, verify @ ..], rest) = fixed.ok_or(HeaderError::Invalid("the TLS extension is cut short"))?;
    let mut found = Tls {
        // 0 is success.
        is_verified: client & CLIENT_CERTIFICATE != 0 && *verify == [0; 4],
        ..Tls::default()
    };
    each(rest, |kind, value, _| match kind {
        SSL_VERSION => once(&mut found.version, text(value)?),
        SSL_COMMON_NAME => once(&mut found.common_name, text(value)?),
        _ => Ok(()),
    })?;
    Ok((client & CLIENT_SSL != 0).then_some(found))
}

/// The checksum of the whole header with zeros in place of the checksum, which `behind` bytes follow. A receiver that can check
/// it must (section 2.2.3).
fn check(value: &[u8], header: &[u8], behind: usize) -> Result<(), HeaderError> {
    let sum = value
        .first_chunk()
        .filter(|_| value.len() == 4)
        .map(|sum| u32::from_be_bytes(*sum));
    let end = header.len() - behind;
    let parts = [&header[..end - value.len()], &[0; 4], &header[end..]];
    match sum == Some(crc32c(parts)) {
        true => Ok(()),
        false => Err(HeaderError::Invalid("the checksum is wrong")),
    }
}
