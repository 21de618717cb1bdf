//! All fakes together, on one clock and with one certificate authority.

use url::Url;

use super::FakeError;
use super::arm::FakeArm;
use super::authority::CertificateAuthority;
use super::blob::FakeBlob;
use super::clock::Clock;
use super::entra::FakeEntra;
use super::faults::{Fault, Requests};

/// Token service, resource manager and blob store.
pub struct Cloud {
    /// The time that they go by.
    pub clock: Clock,
    /// Whom clients must trust to speak TLS with them.
    pub authority: CertificateAuthority,
    /// The token service; it always speaks TLS.
    pub entra: FakeEntra,
    /// The resource manager; it accepts the tokens of `entra`.
    pub arm: FakeArm,
    /// The blob store; it accepts the tokens of `entra` over TLS, and signed URLs.
    pub blob: FakeBlob,
}

/// Ports of one client's own, by which it can be cut off alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Its label, as in the logs.
    pub label: String,
    /// The authority host.
    pub entra: Url,
    /// The root of the resource manager.
    pub arm: Url,
    /// The account of the blob store.
    pub blob: Url,
}

impl Cloud {
    /// Starts all three; resource manager and blob store without TLS.
    ///
    /// # Errors
    /// [`FakeError`] if one of them does not start.
    pub async fn start(clock: &Clock) -> Result<Cloud, FakeError> {
        let authority = CertificateAuthority::new()?;
        let entra = FakeEntra::start(clock, &authority).await?;
        let arm = FakeArm::start(clock, entra.tokens()).await?;
        let blob = FakeBlob::start(clock, entra.tokens()).await?;
        Ok(Cloud {
            clock: clock.clone(),
            authority,
            entra,
            arm,
            blob,
        })
    }

    /// Starts all three with TLS.
    ///
    /// # Errors
    /// [`FakeError`] if one of them does not start.
    pub async fn start_tls(clock: &Clock) -> Result<Cloud, FakeError> {
        let authority = CertificateAuthority::new()?;
        let entra = FakeEntra::start(clock, &authority).await?;
        let arm = FakeArm::start_tls(clock, entra.tokens(), &authority).await?;
        let blob = FakeBlob::start_tls(clock, entra.tokens(), &authority).await?;
        Ok(Cloud {
            clock: clock.clone(),
            authority,
            entra,
            arm,
            blob,
        })
    }

    /// Opens ports for one client; the same label gives the same ports.
    ///
    /// # Errors
    /// [`FakeError::Port`] if there are none.
    pub async fn open_listener(&self, label: &str) -> Result<Endpoints, FakeError> {
        Ok(Endpoints {
            label: label.to_owned(),
            entra: self.entra.open_listener(label).await?,
            arm: self.arm.open_listener(label).await?,
            blob: self.blob.open_listener(label).await?,
        })
    }

    /// Cuts a listener off from everything: requests by it are never answered.
    pub fn partition(&self, label: &str) {
        let all = || Requests::all().by_listener(label);
        self.entra.fault(all(), Fault::Hang);
        self.arm.fault(all(), Fault::Hang);
        self.blob.fault(all(), Fault::Hang);
    }

    /// Ends what [`Cloud::partition`] began. Requests that hang stay so.
    pub fn heal(&self, label: &str) {
        self.entra.clear_faults(Some(label));
        self.arm.clear_faults(Some(label));
        self.blob.clear_faults(Some(label));
    }
}

#[cfg(test)]
mod tests;
