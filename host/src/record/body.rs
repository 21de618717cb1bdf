//! The response's body, watched to its end.

use super::{RequestData, RequestRecord, TableView};
use crate::vitals::RequestOutcome;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use portolan_core::grpc::GrpcStatus;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A response's body with the record of its request, which is written when the body is dropped.
#[derive(Debug)]
pub struct Recorded<B, L: TableView> {
    body: B,
    record: Option<RequestRecord<L>>,
}

/// A body that belongs to no request that was recorded.
impl<B: Default, L: TableView> Default for Recorded<B, L> {
    fn default() -> Self {
        Self {
            body: B::default(),
            record: None,
        }
    }
}

impl<B: Default, L: TableView> Recorded<B, L> {
    /// The body and its record, which are left without.
    pub fn take(&mut self) -> (B, Option<RequestRecord<L>>) {
        (std::mem::take(&mut self.body), self.record.take())
    }

    /// The body.
    pub fn body(&self) -> &B {
        &self.body
    }

    /// The body.
    pub fn body_mut(&mut self) -> &mut B {
        &mut self.body
    }
}

impl<L: TableView> RequestRecord<L> {
    /// The response goes to the client. A body that ends as it should ends the request as [`RequestRecord::ended`] was given,
    /// or by the response's status; one that breaks off is [`RequestOutcome::CutShort`]; one that is not read to its end is
    /// [`RequestOutcome::ClientGone`].
    pub fn deliver<B: Body>(mut self, response: Response<B>) -> Response<Recorded<B, L>> {
        let status = response.status();
        self.data.status = Some(status);
        self.data.call_says(response.headers());
        if let Some(template) = self.recorder.log.as_ref().and_then(|log| log.template())
            && let Some(asked) = &mut self.data.asked
        {
            let fields = template.response_fields.iter();
            asked.response_fields = fields.map(|name| response.headers().get(name).cloned()).collect();
        }
        let has_body = !self.data.is_head
            && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            && !response.body().is_end_stream();
        if !has_body {
            self.finish();
        }
        response.map(|body| Recorded {
            body,
            record: Some(self),
        })
    }

    /// The whole response was handed over.
    fn finish(&mut self) {
        let status = self.data.status;
        let by_status = || status.map_or(RequestOutcome::Internal, RequestOutcome::of_status);
        self.data.outcome.get_or_insert_with(by_status);
    }
}

impl RequestData {
    /// What a head or trailers say of the end of a call of gRPC.
    fn call_says(&mut self, fields: &HeaderMap) {
        if let Some(call) = &mut self.call
            && let Some(status) = fields.get("grpc-status")
        {
            call.status = Some(GrpcStatus::of_value(status.as_bytes()));
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin, L: TableView + Unpin> Body for Recorded<B, L> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(record) = &mut self.record {
            record.data.waits.end();
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let is_end = self.body.is_end_stream();
        if let Some(record) = &mut self.record {
            match &polled {
                // For the gateway.
                Poll::Pending => record.data.waits.begin(),
                Poll::Ready(Some(Ok(frame))) => {
                    match frame.data_ref() {
                        Some(data) => record.data.sent += data.len() as u64,
                        None => frame
                            .trailers_ref()
                            .into_iter()
                            .for_each(|trailers| record.data.call_says(trailers)),
                    }
                    if is_end {
                        record.finish();
                    } else {
                        // For the client, which has to take this first.
                        record.data.waits.begin();
                    }
                }
                Poll::Ready(Some(Err(_))) => record.ended(RequestOutcome::CutShort),
                Poll::Ready(None) => record.finish(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
