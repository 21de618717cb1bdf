//! The intended state of a region. Pure.

use serde::{Deserialize, Serialize};

/// The intended state of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// As configured.
    #[default]
    Baseline,
    /// The last priority.
    Demoted,
    /// Drained by an operator.
    Drained,
}

impl Intent {
    /// Its name in JSON, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Demoted => "demoted",
            Self::Drained => "drained",
        }
    }
}
