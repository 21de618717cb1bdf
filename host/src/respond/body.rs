//! The body of a response.

use crate::lines::Lines;
use crate::upstream::body::UpstreamBodyError;
use crate::upstream::{Tunnel, UpstreamBody};
use bytes::Bytes;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a response to a client.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Something of our own.
    Full(Bytes),
    /// What a gateway sends, where its response was put when it came: this body is moved several times on its way to the client.
    Upstream(Box<Response<UpstreamBody>>),
    /// None: what follows the response is another protocol. Boxed: it is rare, and large.
    Tunnel(Box<Tunnel>),
}

impl Body {
    /// A gateway's response for the client.
    pub fn upstream(mut response: Box<Response<UpstreamBody>>) -> Response<Self> {
        let mut delivered = Response::new(Self::Empty);
        *delivered.status_mut() = response.status();
        *delivered.headers_mut() = mem::take(response.headers_mut());
        *delivered.extensions_mut() = mem::take(response.extensions_mut());
        *delivered.body_mut() = Self::Upstream(response);
        delivered
    }

    /// Takes the fields of its response's head that are written as they came.
    pub fn take_lines(&mut self) -> Option<Lines> {
        match self {
            Self::Upstream(response) => response.body_mut().take_lines(),
            _ => None,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = UpstreamBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamBodyError>>> {
        match &mut *self {
            Self::Empty | Self::Tunnel(_) => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Upstream(response) => Pin::new(response.body_mut()).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Tunnel(_) => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Upstream(response) => response.body().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Tunnel(_) => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(response) => response.body().size_hint(),
        }
    }
}
