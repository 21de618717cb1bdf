//! The provider of cryptography, chosen here for the whole program.

use rustls::crypto::{CryptoProvider, ring as chosen};
use std::sync::{Arc, LazyLock};

/// The same library, for what rustls leaves to us.
pub(super) use ring;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(chosen::default_provider()));

/// The provider, to be given to every `builder_with_provider`: the default of rustls depends on the features of the whole
/// dependency tree.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
