//! A probe of gRPC: a call of `grpc.health.v1.Health/Check`, and what the health service answers.
//!
//! The two messages have one field each (`grpc/health/v1/health.proto`), so they are written and read here by hand.

use super::request::USER_AGENT;
use crate::tls::failure;
use crate::upstream::dial::Transport;
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{self, SendRequest};
use http::header::{self, HeaderMap};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use portolan_core::config::{GatewayAddress, GrpcProbe};
use portolan_core::grpc::GrpcStatus;
use portolan_core::health::probing::{ProbeFailure, Serving};
use std::pin::pin;
use std::time::Duration;

/// The method that is called.
const METHOD: &str = "/grpc.health.v1.Health/Check";

/// A message begins with a byte that says whether it is compressed, and its length in four.
const PREFIX: usize = 5;

/// Most bytes of an answer. `HealthCheckResponse` has two.
const MAX_ANSWER: usize = 1024;

/// Field 1, a length and as many bytes (`string service = 1`).
const SERVICE: u8 = 1 << 3 | 2;

/// Field 1, a number (`ServingStatus status = 1`).
const STATUS: u64 = 1 << 3;

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// Calls the health service over a fresh connection, and checks what it answers. `limit`: how long it has.
pub(super) async fn check(
    transport: Transport,
    address: &GatewayAddress,
    probe: &GrpcProbe,
    limit: Duration,
) -> Result<(), ProbeFailure> {
    let request = request(address, probe, limit)?;
    let (sender, connection) = client::handshake(transport).await.map_err(unanswered)?;
    let mut exchange = pin!(exchange(sender, request, message(&probe.service)));
    tokio::select! {
        biased;
        result = &mut exchange => result,
        // The connection may be over with the answer.
        ended = connection => match exchange.await {
            Err(ProbeFailure::Broken) => Err(ended.err().map_or(ProbeFailure::Broken, unanswered)),
            result => result,
        },
    }
}

fn request(address: &GatewayAddress, probe: &GrpcProbe, limit: Duration) -> Result<Request<()>, ProbeFailure> {
    let authority = match &probe.host {
        Some(host) => host.to_str().map_err(broken)?.to_owned(),
        None => address.authority(),
    };
    let uri = Uri::builder()
        .scheme(address.scheme.as_str())
        .authority(authority)
        .path_and_query(METHOD);
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.build().map_err(broken)?;
    let fields = request.headers_mut();
    fields.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    fields.extend(probe.fields.clone());
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    let timeout = format!("{}m", limit.as_millis().clamp(1, 99_999_999));
    fields.insert("grpc-timeout", HeaderValue::try_from(timeout).map_err(broken)?);
    Ok(request)
}

async fn exchange(sender: SendRequest<Bytes>, request: Request<()>, message: Bytes) -> Result<(), ProbeFailure> {
    let mut sender = sender.ready().await.map_err(unanswered)?;
    let (response, mut body) = sender.send_request(request, false).map_err(unanswered)?;
    body.send_data(message, true).map_err(unanswered)?;
    let (head, body) = response.await.map_err(unanswered)?.into_parts();
    if head.status != StatusCode::OK {
        return Err(ProbeFailure::Status(head.status.as_u16()));
    }
    // Trailers-Only: the call failed, and there is no message.
    if let Some(status) = status(&head.headers).filter(|status| *status != GrpcStatus::Ok) {
        return Err(ProbeFailure::Grpc(status));
    }
    let (answer, trailers) = read(body).await?;
    match trailers.as_ref().and_then(status) {
        Some(GrpcStatus::Ok) => judge(&answer),
        Some(status) => Err(ProbeFailure::Grpc(status)),
        None => Err(ProbeFailure::Broken),
    }
}

/// A body to its end, and its trailers.
async fn read(mut body: RecvStream) -> Result<(BytesMut, Option<HeaderMap>), ProbeFailure> {
    let mut read = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(unanswered)?;
        read.extend_from_slice(&data);
        if read.len() > MAX_ANSWER {
            return Err(ProbeFailure::Broken);
        }
        // It cannot fail for what was just received.
        body.flow_control().release_capacity(data.len()).map_err(broken)?;
    }
    let trailers = body.trailers().await.map_err(unanswered)?;
    Ok((read, trailers))
}

fn status(fields: &HeaderMap) -> Option<GrpcStatus> {
    let status = fields.get("grpc-status")?;
    Some(GrpcStatus::of_value(status.as_bytes()))
}

/// A `HealthCheckRequest` with its prefix. The default, no name, is left out.
fn message(service: &str) -> Bytes {
    let mut message = vec![0; PREFIX];
    if !service.is_empty() {
        message.push(SERVICE);
        put_number(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    // A name has up to 255 bytes.
    let length = (message.len() - PREFIX) as u32;
    message[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    message.into()
}

/// What a `HealthCheckResponse` with its prefix says. Fields that are not known are skipped, as the format wants it.
fn judge(answer: &[u8]) -> Result<(), ProbeFailure> {
    let (prefix, mut fields) = answer.split_at_checked(PREFIX).ok_or(ProbeFailure::Broken)?;
    let [compressed, length @ ..] = prefix else {
        return Err(ProbeFailure::Broken);
    };
    // Nothing that is compressed was asked for.
    if *compressed != 0 || u32::try_from(fields.len()).ok() != length.try_into().ok().map(u32::from_be_bytes) {
        return Err(ProbeFailure::Broken);
    }
    let mut serving = 0;
    while !fields.is_empty() {
        let key = number(&mut fields).ok_or(ProbeFailure::Broken)?;
        match number_or_skip(key, &mut fields).ok_or(ProbeFailure::Broken)? {
            Some(number) if key == STATUS => serving = number,
            _ => {}
        }
    }
    Err(ProbeFailure::NotServing(match serving {
        SERVING => return Ok(()),
        0 => Serving::Unknown,
        2 => Serving::NotServing,
        3 => Serving::ServiceUnknown,
        other => Serving::Other(other),
    }))
}

/// The value of a field with this key, where it is a number; others are skipped. `None` for what is malformed.
fn number_or_skip(key: u64, fields: &mut &[u8]) -> Option<Option<u64>> {
    let length = match key & 7 {
        0 => return number(fields).map(Some),
        1 => 8,
        2 => number(fields)?,
        5 => 4,
        _ => return None,
    };
    *fields = fields.get(usize::try_from(length).ok()?..)?;
    Some(None)
}

/// The next number: seven bits a byte, the lowest first. `None` for one that does not end within 64 bits.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put_number(message: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// There is no answer. In TLS 1.3 a gateway rejects a client certificate only now.
fn unanswered(error: h2::Error) -> ProbeFailure {
    error
        .get_io()
        .and_then(failure::of)
        .map_or(ProbeFailure::Broken, ProbeFailure::Tls)
}

fn broken<E>(_: E) -> ProbeFailure {
    ProbeFailure::Broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_service_or_nothing() {
        assert_eq!(&*message(""), [0; 5]);
        assert_eq!(&*message("shop"), b"\0\0\0\0\x06\x0a\x04shop");
        let long = "a".repeat(200);
        let message = message(&long);
        assert_eq!(message[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
        assert_eq!(&message[8..], long.as_bytes());
    }

    #[test]
    fn only_serving_is_healthy() {
        for (answer, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Ok(())),
            (b"\0\0\0\0\0", Err(ProbeFailure::NotServing(Serving::Unknown))),
            (
                b"\0\0\0\0\x02\x08\x02",
                Err(ProbeFailure::NotServing(Serving::NotServing)),
            ),
            (
                b"\0\0\0\0\x02\x08\x03",
                Err(ProbeFailure::NotServing(Serving::ServiceUnknown)),
            ),
            (
                b"\0\0\0\0\x03\x08\x80\x01",
                Err(ProbeFailure::NotServing(Serving::Other(128))),
            ),
            // Fields that may come one day: a text, a number, eight and four bytes.
            (b"\0\0\0\0\x08\x12\x02hi\x18\x07\x08\x01", Ok(())),
            (b"\0\0\0\0\x10\x21\0\0\0\0\0\0\0\0\x2d\0\0\0\0\x08\x01", Ok(())),
            // The last of several counts.
            (b"\0\0\0\0\x04\x08\x02\x08\x01", Ok(())),
            (b"", Err(ProbeFailure::Broken)),
            (b"\0\0\0\0", Err(ProbeFailure::Broken)),
            (b"\x01\0\0\0\x02\x08\x01", Err(ProbeFailure::Broken)),
            (b"\0\0\0\0\x03\x08\x01", Err(ProbeFailure::Broken)),
            (b"\0\0\0\0\x01\x08", Err(ProbeFailure::Broken)),
            (b"\0\0\0\0\x02\x12\x05", Err(ProbeFailure::Broken)),
            (b"\0\0\0\0\x02\x0b\x01", Err(ProbeFailure::Broken)),
            (
                b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                Err(ProbeFailure::Broken),
            ),
        ] {
            assert_eq!(judge(answer), expected, "{answer:?}");
        }
    }
}
