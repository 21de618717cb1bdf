//! What is still to come of a request's body.

use crate::chunks::{self, Chunks, Piece};
use bytes::BytesMut;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remaining {
    Length(u64),
    Chunked(Chunks),
}

impl Default for Remaining {
    fn default() -> Self {
        Self::Length(0)
    }
}

impl Remaining {
    /// Whether there is none.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::Length(0))
    }

    /// The next piece in what was read, if there is one.
    pub(crate) fn next(&mut self, read: &mut BytesMut) -> Result<Option<Piece>, chunks::Malformed> {
        match self {
            Self::Length(0) => Ok(Some(Piece::End(None))),
            Self::Length(_) if read.is_empty() => Ok(None),
            Self::Length(left) => {
                let length = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                Ok(Some(Piece::Data(read.split_to(length).freeze())))
            }
            Self::Chunked(chunks) => {
                let piece = chunks.next(read)?;
                if let Some(Piece::End(_)) = &piece {
                    *self = Self::Length(0);
                }
                Ok(piece)
            }
        }
    }
}
