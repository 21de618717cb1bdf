//! Requests that are sent on leave no doubt about where they go and where they end.

use crate::host::server::connection::head::Limits;
use crate::message;
use crate::upstream::messages::{read_content, read_request};
use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::convert::Infallible;
use tokio::io::AsyncWriteExt;

/// As many fields as hyper accepts.
const LIMITS: Limits = Limits {
    bytes: 64 * 1024,
    fields: 100,
};

/// Any bytes as what a client sends: it is read the same however it arrives, and as hyper reads it.
pub fn request(data: &[u8]) {
    let whole = read_request(data, LIMITS, usize::MAX);
    let parts = read_request(data, LIMITS, 1 + data.len() / 7);
    // What is wrong with a head that comes in parts may be seen when it ends only.
    let described = |read: &Result<Option<_>, _>| match read {
        Ok(Some((head, rest))) => Some(format!("{head:?} {rest:?}")),
        Ok(None) | Err(_) => None,
    };
    assert_eq!(
        described(&whole),
        described(&parts),
        "it depends on how a request arrives"
    );
    let Ok(Some((head, rest))) = whole else { return };
    let ours = head.request.clone().into_parts().0;
    check(&ours);
    let content = read_content(head, &rest);
    let Some((theirs, their_content)) = with_hyper(data) else {
        let length = ours
            .headers
            .get(header::CONTENT_LENGTH)
            .map(|length| length.as_bytes().len());
        assert!(
            length.is_some_and(|digits| digits > 19),
            "hyper does not read it: {ours:?}"
        );
        return;
    };
    assert_eq!(
        (&ours.method, &ours.uri, ours.version, &ours.headers),
        (&theirs.method, &theirs.uri, theirs.version, &theirs.headers)
    );
    if let (Some(ours), Some(theirs)) = (content, their_content) {
        assert_eq!(ours, theirs);
    }
}

/// The first request as hyper reads it, with its content if all of that is there.
fn with_hyper(data: &[u8]) -> Option<(Parts, Option<Vec<u8>>)> {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    }
    let first = RefCell::new(None);
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (server, mut client) = tokio::io::duplex(data.len() + 64 * 1024);
            client.write_all(data).await.expect("there is room");
            client.shutdown().await.expect("memory can be shut down");
            let service = service_fn(|request: Request<Incoming>| async {
                let (parts, body) = request.into_parts();
                let is_first = first.borrow().is_none();
                first.borrow_mut().get_or_insert((parts, None));
                // A body that breaks off ends this as well.
                let content = body.collect().await.ok();
                if let Some((_, first)) = first.borrow_mut().as_mut().filter(|_| is_first) {
                    *first = content.map(|body| body.to_bytes().to_vec());
                }
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok::<_, Infallible>(response)
            });
            // hyper's own errors are hyper's.
            let _ = http1::Builder::new()
                .keep_alive(false)
                .half_close(true)
                .serve_connection(TokioIo::new(server), service)
                .await;
        });
    });
    first.into_inner()
}

fn check(request: &Parts) {
    let Ok(head) = message::check(request, 16 * 1024) else {
        return;
    };
    assert!(head.path.starts_with('/'), "{}", head.path);
    let is_bad = |letter: char| letter.is_ascii_control() || " @,%/?#\\\"<>".contains(letter) || !letter.is_ascii();
    assert!(!head.authority.contains(is_bad), "{}", head.authority);
    let hosts = request.headers.get_all(header::HOST).iter().count();
    if head.authority.is_empty() {
        assert_eq!((request.version, hosts), (http::Version::HTTP_10, 0));
    } else {
        let authority: Authority = head
            .authority
            .parse()
            .unwrap_or_else(|error| panic!("{}: {error}", head.authority));
        assert_eq!(authority.as_str(), head.authority);
        assert!(!authority.host().is_empty());
    }
    assert!(hosts <= 1);
    let lengths = request.headers.get_all(header::CONTENT_LENGTH).iter().count();
    let codings = request.headers.get_all(header::TRANSFER_ENCODING).iter().count();
    assert!(lengths + codings <= 1, "{lengths} lengths and {codings} codings");
}
