//! Secrets that several instances may share: lines of a file.

use super::pem::{FileError, Problem};
use super::provider::aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::path::Path;

/// A secret.
pub type Secret = [u8; 32];

/// Most secrets of a file.
const MOST: usize = 16;

/// A random one, of the kernel, which costs less than a microsecond. The library's own generator (see
/// [`super::prepare_randomness`]) is only waited for where there is TLS. `None` without randomness, and then there is no TLS either.
pub fn random_secret() -> Option<Secret> {
    let mut secret = Secret::default();
    getrandom::fill(&mut secret).ok()?;
    Some(secret)
}

/// Waits until the library's generator is ready: before its first bytes it measures a source of entropy of its own, which takes
/// tens of milliseconds of CPU, once for each process (decision 178). The first handshake would wait for it.
pub fn prepare_randomness() {
    // Without it, handshakes fail by themselves.
    let _ = rand::fill(&mut [0]);
}

/// Those of a file: a line of base64 for each, of 32 bytes. Empty lines and lines that begin with `#` are left out.
///
/// # Errors
/// When there is none, or a line is something else.
pub fn secrets(file: &Path, bytes: &[u8]) -> Result<Vec<Secret>, FileError> {
    let failed = |problem| FileError {
        file: file.to_owned(),
        problem,
    };
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"));
    let secrets = lines.map(|(index, line)| decode(line).ok_or_else(|| failed(Problem::Secret(index + 1))));
    let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
    if secrets.is_empty() || secrets.len() > MOST {
        return Err(failed(Problem::Secrets(secrets.len(), MOST)));
    }
    Ok(secrets)
}

fn decode(line: &[u8]) -> Option<Secret> {
    BASE64.decode(line).ok()?.try_into().ok()
}
