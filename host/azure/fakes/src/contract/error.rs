//! What can be wrong with the embedded documents.

/// Why the embedded documents could not be used; a test shows that this does not happen with the ones in the tree.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A document is not JSON.
    #[error("{document} is not JSON: {source}")]
    Json {
        /// The document.
        document: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A `$ref` leads nowhere.
    #[error("{document} refers to {reference}, which is not there")]
    Reference {
        /// The document.
        document: String,
        /// The reference.
        reference: String,
    },
    /// A `pattern` is not a regular expression.
    #[error("{document} has a pattern that cannot be used: {source}")]
    Pattern {
        /// The document.
        document: &'static str,
        /// The compiler's error.
        source: regex::Error,
    },
}
