//! Responses: the same however they arrive, and the same as hyper's client reads them.

use crate::upstream::messages::{Message, Outcome, read_body, read_response, write_body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

/// Any bytes as a response. The first byte tells how they are read: its lowest bit whether the request was `HEAD`, the others in
/// parts of how many bytes.
pub fn response(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let method = if how & 1 == 0 { Method::GET } else { Method::HEAD };
    let step = usize::from(how >> 1) + 1;
    let whole = read_response(data, &method, usize::MAX, false);
    let parts = read_response(data, &method, step, false);
    assert_eq!(whole, parts, "it depends on how a response arrives");
    let lines = read_response(data, &method, step, true);
    assert_eq!(
        undelimited(lines),
        undelimited(parts),
        "it depends on whether anybody looks at the fields"
    );
    if let Outcome::Whole(ours, _) = whole {
        check_headers(&ours.headers);
        if let Some(theirs) = with_hyper(data, &method) {
            check_same(&ours, &theirs);
        }
    }
}

/// The same without the field that is written as the body is delimited, whatever came.
fn undelimited(mut outcome: Outcome) -> Outcome {
    if let Outcome::Whole(message, _) = &mut outcome {
        message.headers.remove(header::CONTENT_LENGTH);
    }
    outcome
}

/// Any bytes as a chunked body, and as content that is written as one. The first byte tells how they are read.
pub fn chunks(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let step = usize::from(*how) + 1;
    let whole = read_body(data, usize::MAX);
    assert_eq!(whole, read_body(data, step), "it depends on how a body arrives");
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    if let Outcome::Whole(ours, _) = whole
        && let Some(theirs) = with_hyper(&[head, data].concat(), &Method::GET)
    {
        check_same(&ours, &theirs);
    }

    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", http::HeaderValue::from(data.len()));
    let parts: Vec<&[u8]> = data.chunks(step).collect();
    let written = write_body(&parts, Some(&trailers));
    let Outcome::Whole(read, 0) = read_body(&written, step) else {
        panic!("a body that was written cannot be read: {written:?}");
    };
    assert_eq!((read.body.as_slice(), &read.trailers), (data, &trailers));
}

/// What ends at a proxy is not in the headers of a response, and nothing that could split a message.
fn check_headers(headers: &HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        assert!(!headers.contains_key(&name), "{name}");
    }
    for value in headers.values() {
        let splits = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        assert!(!value.as_bytes().iter().any(splits), "{value:?}");
    }
    assert!(headers.get_all(header::CONTENT_LENGTH).iter().count() <= 1);
}

/// What both read must be the same. hyper reads more: it keeps fields that end here, and accepts what leaves doubt.
fn check_same(ours: &Message, theirs: &Message) {
    assert_eq!(ours.status, theirs.status);
    assert_eq!(ours.body, theirs.body);
    for (own, other) in [(&ours.headers, &theirs.headers), (&ours.trailers, &theirs.trailers)] {
        for name in own.keys() {
            let is_list = *name == header::CONTENT_LENGTH && own.get(name) != other.get(name);
            let (own, other) = (own.get_all(name), other.get_all(name));
            assert!(is_list || own.iter().eq(other.iter()), "{name}: {own:?} {other:?}");
        }
    }
}

/// What hyper's client makes of a response; `None` when it refuses it.
fn with_hyper(data: &[u8], method: &Method) -> Option<Message> {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(data.len() + 4096);
            let (mut sender, connection) = handshake(TokioIo::new(ours)).await.ok()?;
            let exchange = async {
                let request = Request::builder().method(method).uri("/").header("host", "a");
                let request = request.body(Empty::<Bytes>::new()).expect("a request");
                let sent = sender.send_request(request);
                let written = async {
                    theirs.write_all(data).await?;
                    theirs.shutdown().await
                };
                let (response, _) = tokio::join!(sent, written);
                let (head, body) = response.ok()?.into_parts();
                let collected = body.collect().await.ok()?;
                let trailers = collected.trailers().cloned().unwrap_or_default();
                Some(Message {
                    status: head.status,
                    headers: head.headers,
                    body: collected.to_bytes().to_vec(),
                    trailers,
                    keeps_open: true,
                })
            };
            let mut connection = std::pin::pin!(connection);
            let mut exchange = std::pin::pin!(exchange);
            let mut is_over = false;
            loop {
                tokio::select! {
                    biased;
                    message = &mut exchange => return message.filter(|it| it.status != StatusCode::SWITCHING_PROTOCOLS),
                    _ = &mut connection, if !is_over => is_over = true,
                }
            }
        })
    })
}
