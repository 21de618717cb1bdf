//! Bearer tokens of the administration (RFC 6750, section 2.1), from files.

use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use thiserror::Error;

/// Shortest token: 16 characters of base64 are 96 bits.
const SHORTEST: usize = 16;

/// Longest token.
const LONGEST: usize = 4096;

/// The tokens that the administration asks for.
#[derive(Debug)]
pub struct Tokens {
    /// Allows everything.
    all: TokenFile,
    /// Allows reading.
    read: Option<TokenFile>,
}

/// Why a file holds no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("failed to read the token file {file}: {error}")]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Its content is no token.
    #[error(
        "the token file {0} must hold {SHORTEST} to {LONGEST} visible ASCII characters on one line; make one with: openssl rand -base64 32"
    )]
    Unfit(PathBuf),
}

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grant {
    /// Everything that it asks for.
    Allowed,
    /// Nothing: it has no token, or a wrong one.
    Unauthorized,
    /// Reading, and it asks for more.
    ReadOnly,
}

/// A file with a token. It is read for each request, so that a new token counts at once; while it cannot be read, the last one counts.
#[derive(Debug)]
struct TokenFile {
    file: PathBuf,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    /// Of the token: what is compared must not be longer for one guess than for another.
    digest: [u8; 32],
    is_failing: bool,
}

impl Tokens {
    /// Reads the files. The token of `all` allows everything, that of `read` reading.
    ///
    /// # Errors
    /// When a file holds no token.
    pub fn read(all: &Path, read: Option<&Path>) -> Result<Self, TokenError> {
        Ok(Self {
            all: TokenFile::read(all)?,
            read: read.map(TokenFile::read).transpose()?,
        })
    }

    /// What a request with this `Authorization` may do. `orders`: whether it asks for more than reading.
    pub(super) fn grant(&self, authorization: Option<&[u8]>, orders: bool) -> Grant {
        let Some(digest) = authorization.and_then(token).map(digest) else {
            return Grant::Unauthorized;
        };
        if self.all.current() == digest {
            return Grant::Allowed;
        }
        match &self.read {
            Some(read) if read.current() == digest && orders => Grant::ReadOnly,
            Some(read) if read.current() == digest => Grant::Allowed,
            _ => Grant::Unauthorized,
        }
    }
}

impl TokenFile {
    fn read(file: &Path) -> Result<Self, TokenError> {
        let digest = read(file)?;
        Ok(Self {
            file: file.to_owned(),
            last: Mutex::new(Last {
                digest,
                is_failing: false,
            }),
        })
    }

    /// The digest of the token that counts now.
    fn current(&self) -> [u8; 32] {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match read(&self.file) {
            Ok(digest) => {
                last.digest = digest;
                last.is_failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut last.is_failing, true) {
                    tracing::warn!(%error, "the last token of the administration stays valid");
                }
            }
        }
        last.digest
    }
}

/// The digest of the token in a file.
fn read(file: &Path) -> Result<[u8; 32], TokenError> {
    let unreadable = |error| TokenError::Unreadable {
        file: file.to_owned(),
        error,
    };
    let text = std::fs::read(file).map_err(unreadable)?;
    let token = text.trim_ascii();
    let fits = (SHORTEST..=LONGEST).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    if !fits {
        return Err(TokenError::Unfit(file.to_owned()));
    }
    Ok(digest(token))
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110, section 11.1).
fn token(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ALL: &str = "all-of-it-0123456789";
    const READ: &str = "read-only-0123456789";

    #[test]
    fn a_token_allows_what_it_is_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let (all, read) = (folder.path().join("all"), folder.path().join("read"));
        fs::write(&all, format!("{ALL}\n")).expect("written");
        fs::write(&read, READ).expect("written");
        let tokens = Tokens::read(&all, Some(&read)).expect("tokens");
        let grant = |text: &str, orders| tokens.grant(Some(text.as_bytes()), orders);
        for orders in [true, false] {
            assert_eq!(tokens.grant(None, orders), Grant::Unauthorized);
            for wrong in [
                "",
                "Bearer",
                "Bearer ",
                "Basic all-of-it-0123456789",
                "Bearer all-of-it-012345678",
            ] {
                assert_eq!(grant(wrong, orders), Grant::Unauthorized, "{wrong}");
            }
            assert_eq!(grant(&format!("Bearer {ALL}"), orders), Grant::Allowed);
            assert_eq!(grant(&format!("bearer  {ALL} "), orders), Grant::Allowed);
        }
        assert_eq!(grant(&format!("Bearer {READ}"), false), Grant::Allowed);
        assert_eq!(grant(&format!("Bearer {READ}"), true), Grant::ReadOnly);

        // A new token counts at once; a file that is no token, or gone, changes nothing.
        fs::write(&all, "another-0123456789").expect("written");
        assert_eq!(grant(&format!("Bearer {ALL}"), true), Grant::Unauthorized);
        assert_eq!(grant("Bearer another-0123456789", true), Grant::Allowed);
        fs::write(&all, "").expect("written");
        assert_eq!(grant("Bearer another-0123456789", true), Grant::Allowed);
        assert_eq!(grant("Bearer ", true), Grant::Unauthorized);
        fs::remove_file(&all).expect("removed");
        assert_eq!(grant("Bearer another-0123456789", true), Grant::Allowed);
    }

    #[test]
    fn what_is_no_token_is_rejected_and_not_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        assert!(matches!(Tokens::read(&file, None), Err(TokenError::Unreadable { .. })));
        for bad in [
            "",
            "short",
            "two words of some length",
            "two-lines-0123456789\ntwo-lines-0123456789",
            &"x".repeat(5000),
        ] {
            fs::write(&file, bad).expect("written");
            let error = Tokens::read(&file, None).expect_err(bad);
            assert!(matches!(error, TokenError::Unfit(_)), "{error}");
            assert!(bad.is_empty() || !error.to_string().contains(bad));
        }
    }
}
