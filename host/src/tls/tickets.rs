//! Session tickets (RFC 5077, RFC 8446 section 4.6.1): what a client brings to resume a session.
//!
//! A ticket is encrypted with a key that is made for it alone from a secret and a random salt, so that any number of
//! instances may share a secret. It is bound to what its listener asks of clients: a resumed session is not checked for a
//! client certificate again, so a ticket of a listener that asks less must not open a session where more is asked.
//!
//! ```text
//! secret's identifier (8) | salt (16) | AES-256-GCM of { seconds since 1970 (8) | session } | tag (16)
//! ```

use super::pem::FileError;
use super::provider::aws_lc_rs;
use super::secrets::{self, random_secret};
use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How long a session can be resumed. Random secrets are replaced as often, and keep for as long again.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

const ID: usize = 8;
const SALT: usize = 16;
const TIME: usize = 8;
const TAG: usize = 16;

/// A secret that tickets are encrypted with.
#[derive(Clone)]
struct Secret {
    id: [u8; ID],
    bytes: secrets::Secret,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Secret {
    fn new(bytes: secrets::Secret) -> Self {
        let digest = Sha256::new()
            .chain_update(b"portolan ticket id")
            .chain_update(bytes)
            .finalize();
        let mut id = [0; ID];
        id.copy_from_slice(&digest[..ID]);
        Self { id, bytes }
    }

    fn random() -> Option<Self> {
        random_secret().map(Self::new)
    }

    /// The key of one ticket.
    fn key(&self, salt: &[u8], binding: &[u8]) -> Option<LessSafeKey> {
        let info = [&b"portolan ticket"[..], binding];
        let secret = Salt::new(HKDF_SHA256, salt).extract(&self.bytes);
        let key: UnboundKey = secret.expand(&info, &AES_256_GCM).ok()?.into();
        Some(LessSafeKey::new(key))
    }
}

/// Secrets for tickets: the first one encrypts, all decrypt.
#[derive(Debug)]
pub struct TicketSecrets {
    current: ArcSwap<Vec<Secret>>,
    /// When the first one was made, of random ones.
    renewed: Option<Mutex<Instant>>,
}

impl TicketSecrets {
    /// Random ones, renewed from time to time. They end with the process.
    pub fn random() -> Arc<Self> {
        Arc::new(Self {
            // Without randomness there is no TLS either; then no tickets are made.
            current: ArcSwap::from_pointee(Secret::random().into_iter().collect()),
            renewed: Some(Mutex::new(Instant::now())),
        })
    }

    /// Those of a file: a line of base64 for each, of 32 bytes. Empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// When there is none, or a line is something else.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Arc<Self>, FileError> {
        let secrets: Vec<_> = secrets::secrets(file, bytes)?.into_iter().map(Secret::new).collect();
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(secrets),
            renewed: None,
        }))
    }

    /// Replaces the first of random secrets when it is old, and keeps it for a while.
    fn renew(&self, now: Instant) {
        let Some(renewed) = &self.renewed else { return };
        let mut renewed = renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(*renewed) < LIFETIME {
            return;
        }
        if let Some(secret) = Secret::random() {
            let before = self.current.load();
            let next = std::iter::once(secret).chain(before.first().cloned());
            self.current.store(Arc::new(next.collect()));
            *renewed = now;
        }
    }
}

/// The tickets of a listener.
#[derive(Debug)]
pub(super) struct Tickets {
    secrets: Arc<TicketSecrets>,
    /// What the listener asks of clients.
    binding: [u8; 32],
}

impl Tickets {
    pub(super) fn new(secrets: Arc<TicketSecrets>, binding: [u8; 32]) -> Self {
        Self { secrets, binding }
    }

    fn seal(&self, plain: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        self.secrets.renew(Instant::now());
        let secrets = self.secrets.current.load();
        let secret = secrets.first()?;
        let mut salt = [0; SALT];
        SystemRandom::new().fill(&mut salt).ok()?;
        let key = secret.key(&salt, &self.binding)?;
        let mut ticket = Vec::with_capacity(ID + SALT + TIME + plain.len() + TAG);
        ticket.extend_from_slice(&secret.id);
        ticket.extend_from_slice(&salt);
        ticket.extend_from_slice(&seconds(now).to_be_bytes());
        ticket.extend_from_slice(plain);
        let (_, sealed) = ticket.split_at_mut(ID + SALT);
        // The key is used once.
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), sealed)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], now: SystemTime) -> Option<Vec<u8>> {
        let (id, rest) = ticket.split_at_checked(ID)?;
        let (salt, sealed) = rest.split_at_checked(SALT)?;
        let secrets = self.secrets.current.load();
        let secret = secrets.iter().find(|secret| secret.id == id)?;
        let key = secret.key(salt, &self.binding)?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let length = key.open_in_place(nonce, Aad::empty(), &mut opened).ok()?.len();
        opened.truncate(length);
        let (made, session) = opened.split_at_checked(TIME)?;
        let made = u64::from_be_bytes(made.try_into().ok()?);
        // Another instance's clock may be ahead.
        (seconds(now).saturating_sub(made) < LIFETIME.as_secs()).then(|| session.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, SystemTime::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, SystemTime::now())
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);
    const ONE: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    const TWO: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

    fn secrets(text: &str) -> Arc<TicketSecrets> {
        TicketSecrets::parse(Path::new("tickets"), text.as_bytes()).expect("secrets")
    }

    fn tickets(text: &str) -> Tickets {
        Tickets::new(secrets(text), [0; 32])
    }

    #[test]
    fn every_instance_with_the_secret_opens_a_ticket_until_it_is_old() {
        let now = SystemTime::now();
        let ticket = tickets(ONE).seal(b"session", now).expect("sealed");
        for other in [
            ONE.to_owned(),
            format!("# new\n{TWO}\n\n{ONE}\n"),
            format!("{ONE}\r\n{TWO}"),
        ] {
            assert_eq!(
                tickets(&other).open(&ticket, now + 11 * HOUR).as_deref(),
                Some(&b"session"[..])
            );
        }
        assert_eq!(tickets(ONE).open(&ticket, now + 12 * HOUR), None);
        assert_eq!(tickets(TWO).open(&ticket, now), None);
        // The first one encrypts.
        let rotated = tickets(&format!("{TWO}\n{ONE}")).seal(b"session", now).expect("sealed");
        assert!(tickets(ONE).open(&rotated, now).is_none() && tickets(TWO).open(&rotated, now).is_some());
    }

    #[test]
    fn a_ticket_that_was_changed_or_cut_off_opens_nothing() {
        let (tickets, now) = (tickets(ONE), SystemTime::now());
        let ticket = tickets.seal(b"session", now).expect("sealed");
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert_eq!(tickets.open(&changed, now), None, "{index}");
            assert_eq!(tickets.open(&ticket[..index], now), None, "{index}");
        }
        assert_ne!(
            tickets.seal(b"session", now).expect("sealed"),
            ticket,
            "a salt of its own"
        );
    }

    #[test]
    fn a_ticket_opens_nothing_where_other_client_certificates_are_asked_for() {
        let (secrets, now) = (secrets(ONE), SystemTime::now());
        let open = Tickets::new(Arc::clone(&secrets), [0; 32]);
        let asks = Tickets::new(secrets, [1; 32]);
        assert_eq!(asks.open(&open.seal(b"session", now).expect("sealed"), now), None);
    }

    #[test]
    fn random_secrets_are_renewed_and_the_last_one_still_decrypts() {
        let secrets = TicketSecrets::random();
        let tickets = Tickets::new(Arc::clone(&secrets), [0; 32]);
        let (start, now) = (Instant::now(), SystemTime::now());
        let ticket = tickets.seal(b"session", now).expect("sealed");
        secrets.renew(start + HOUR);
        assert_eq!(secrets.current.load().len(), 1);
        secrets.renew(start + 13 * HOUR);
        assert!(tickets.open(&ticket, now).is_some());
        secrets.renew(start + 26 * HOUR);
        assert!(tickets.open(&ticket, now).is_none());
        assert_eq!(secrets.current.load().len(), 2);
    }

    #[test]
    fn a_file_with_anything_else_is_rejected_and_nothing_of_it_is_repeated() {
        let short = &ONE[..40];
        for (text, expected) in [
            ("", "0 keys"),
            ("# only a comment\n", "0 keys"),
            (short, "line 1"),
            (&format!("{ONE}\n{short}"), "line 2"),
            (&format!("{ONE} {TWO}"), "line 1"),
            ("-----BEGIN PRIVATE KEY-----\n", "line 1"),
            (&format!("{ONE}\n").repeat(17), "17 keys"),
        ] {
            let error = TicketSecrets::parse(Path::new("tickets"), text.as_bytes()).expect_err(text);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!format!("{error} {error:?}").contains(&ONE[..20]), "{error:?}");
        }
    }
}
