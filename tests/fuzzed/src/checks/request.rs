//! Requests that are sent on leave no doubt about where they go and where they end.

use crate::host::message;
use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::io::AsyncWriteExt;

/// Any bytes as what a client sends: hyper parses them, as in the proxy, and what it accepts is checked.
pub fn request(data: &[u8]) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (server, mut client) = tokio::io::duplex(data.len() + 64 * 1024);
            client.write_all(data).await.expect("there is room");
            client.shutdown().await.expect("memory can be shut down");
            let service = service_fn(|request: Request<Incoming>| async {
                check(&request.into_parts().0);
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok::<_, Infallible>(response)
            });
            // hyper's own errors are hyper's.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(server), service)
                .await;
        });
    });
}

fn check(request: &http::request::Parts) {
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
