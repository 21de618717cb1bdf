//! Bodies sent, and sent again.

use super::*;
use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use tokio::io::{AsyncWriteExt, DuplexStream};

const IDLE: Duration = Duration::from_secs(5);

/// Runs a test on the body of a request that came over a connection. The rest of the connection is at the other end.
async fn with_body<T>(
    request: &str,
    max_bytes: usize,
    test: impl AsyncFn(ReplayBody, &Cell<Option<DuplexStream>>) -> T,
) -> T {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    client.write_all(request.as_bytes()).await.expect("written");
    let client = Cell::new(Some(client));
    let result = RefCell::new(None);
    let service = service_fn(async |request: Request<Incoming>| {
        let body = ReplayBody::new(
            ClientBody::of_hyper(request.into_body(), &Rc::default()),
            max_bytes,
            IDLE,
            1024,
        );
        *result.borrow_mut() = Some(test(body, &client).await);
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(server), service);
    // What becomes of the connection afterwards is not the matter here.
    let _ = connection.await;
    result.into_inner().expect("the test was run")
}

/// Reads a body to its end, or to what is wrong with it.
async fn read(body: &mut RequestBody) -> Result<(String, Option<HeaderMap>), ClientBodyError> {
    let (mut text, mut trailers) = (String::new(), None);
    while let Some(frame) = poll_fn(|context| body.poll_frame(context)).await {
        match frame?.into_data() {
            Ok(data) => text.push_str(&String::from_utf8_lossy(&data)),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((text, trailers))
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn what_was_read_is_read_again_with_its_trailers() {
    let request = format!("{CHUNKED}5\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: 7\r\n\r\n");
    with_body(&request, 11, async |body, _| {
        assert_eq!(
            (body.upload(), body.framing(&HeaderMap::new())),
            (Upload::Waiting, Framing::Chunked)
        );
        for _ in 0..3 {
            let (text, trailers) = read(&mut body.reader()).await.expect("whole");
            assert_eq!((&*text, trailers.expect("trailers").len()), ("hello world", 1));
            assert!(body.is_complete() && matches!(body.upload(), Upload::Ended(_)));
        }
        assert_eq!(body.bytes_read(), 11, "it was read from the client once");
    })
    .await;
}

#[tokio::test]
async fn a_second_reading_goes_on_where_the_first_one_stopped() {
    let request = format!("{CHUNKED}5\r\nhello\r\n");
    with_body(&request, 100, async |body, client| {
        let mut first = body.reader();
        let frame = poll_fn(|context| first.poll_frame(context))
            .await
            .expect("a piece")
            .expect("sound");
        assert_eq!(frame.into_data().expect("data"), "hello");
        drop(first);
        assert_eq!(
            (body.upload(), body.is_replayable(), body.is_complete()),
            (Upload::Waiting, true, false)
        );
        let mut second = body.reader();
        assert!(matches!(body.upload(), Upload::Running(_)));
        let (whole, ()) = tokio::join!(read(&mut second), async {
            let rest = b"6\r\n world\r\n0\r\n\r\n";
            let mut stream = client.take().expect("the client");
            stream.write_all(rest).await.expect("written");
            client.set(Some(stream));
        });
        assert_eq!(whole.expect("whole").0, "hello world");
    })
    .await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_sent_once() {
    let request = format!("{CHUNKED}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    with_body(&request, 10, async |body, _| {
        assert_eq!(read(&mut body.reader()).await.expect("whole").0, "hello world");
        assert!(!body.is_replayable() && !body.is_complete());
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_gives_no_more_than_it_may() {
    let request = format!("{CHUNKED}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    with_body(&request, 100, async |body, _| {
        let body = body.at_most(10);
        let mut reader = body.reader();
        let frame = poll_fn(|context| reader.poll_frame(context)).await;
        assert_eq!(
            frame.expect("a piece").expect("sound").into_data().expect("data"),
            "hello"
        );
        assert_eq!(read(&mut reader).await, Err(ClientBodyError::TooLarge));
        drop(reader);
        // Nor when it is sent again.
        assert_eq!(read(&mut body.reader()).await, Err(ClientBodyError::TooLarge));
        assert_eq!(
            (body.failure(), body.bytes_read()),
            (Some(ClientBodyError::TooLarge), 5)
        );
    })
    .await;
    with_body(&request, 100, async |body, _| {
        let whole = read(&mut body.at_most(11).reader()).await.expect("whole");
        assert_eq!(whole.0, "hello world");
    })
    .await;
}

#[tokio::test]
async fn a_body_that_breaks_stays_broken() {
    let request = format!("{CHUNKED}5\r\nhello\r\nx\r\n");
    with_body(&request, 100, async |body, _| {
        for _ in 0..2 {
            assert_eq!(read(&mut body.reader()).await, Err(ClientBodyError::Broken));
        }
        assert_eq!(body.failure(), Some(ClientBodyError::Broken));
    })
    .await;
}

/// Time passes only while the client is asked.
#[tokio::test(start_paused = true)]
async fn a_client_that_stops_sending_times_out() {
    let request = format!("{CHUNKED}5\r\nhello\r\n");
    with_body(&request, 100, async |body, _| {
        tokio::time::advance(10 * IDLE).await;
        let asked = tokio::time::Instant::now();
        assert_eq!(read(&mut body.reader()).await, Err(ClientBodyError::TooSlow));
        assert_eq!(asked.elapsed(), IDLE);
    })
    .await;
}

#[tokio::test]
async fn no_body_is_no_body() {
    with_body("GET / HTTP/1.1\r\nhost: a\r\n\r\n", 0, async |body, _| {
        assert!(body.is_complete() && body.reader().is_end_stream());
        assert_eq!(
            (body.upload(), body.framing(&HeaderMap::new())),
            (Upload::None, Framing::None)
        );
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, 0.into())]);
        assert_eq!(body.framing(&headers), Framing::Length(0));
    })
    .await;
}

#[tokio::test]
async fn a_body_stays_replayable_when_it_is_known_to_fit() {
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello".to_owned();
    let chunked = format!("{CHUNKED}5\r\nhello\r\n0\r\n\r\n");
    for (request, max_bytes, before, after) in [
        (&post, 5, true, true),
        (&post, 4, false, false),
        (&chunked, 5, false, true),
        (&chunked, 4, false, false),
    ] {
        with_body(request, max_bytes, async |body, _| {
            assert_eq!(body.stays_replayable(), before, "{request}, {max_bytes}");
            read(&mut body.reader()).await.expect("a whole body");
            assert_eq!(body.stays_replayable(), after, "{request}, {max_bytes}");
        })
        .await;
    }
}
