//! What is wanted for a region. Pure.

use serde::{Deserialize, Serialize};

/// What is wanted for a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// As configured.
    #[default]
    Baseline,
    /// Tried last.
    Demoted,
    /// Taken out by an operator.
    Drained,
}

impl Intent {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Demoted => "demoted",
            Self::Drained => "drained",
        }
    }
}
