//! Responses as clients read them.

use super::*;
use crate::lines::Kept;
use http::HeaderValue;
use http::Response;

const ASKED: Asked = Asked {
    is_head: false,
    is_http_10: false,
    keeps_open: true,
    accepts_trailers: true,
};

/// A response with these fields, and a body of this size, written without its date.
fn written(
    status: u16,
    fields: &[(&'static str, &'static str)],
    size: Option<u64>,
    asked: Asked,
) -> (String, Ends, bool) {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let (parts, ()) = response.body(()).expect("a response").into_parts();
    let size = size.map_or_else(SizeHint::default, SizeHint::with_exact);
    let mut text = Vec::new();
    let (ends, keeps_open) = head((&parts, None), Some(&size), asked, &mut text);
    let text = String::from_utf8(text).expect("text");
    let (before, date) = text.split_once("date: ").expect("a date");
    assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n".len());
    (before.to_owned(), ends, keeps_open)
}

#[test]
fn fields_are_written_as_they_came() {
    let mut kept = Kept::default();
    let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\nServer: x\r\nDate: then\r\n\r\n");
    assert!(kept.add(17, head.len() - 2));
    let lines = Lines::new(head, kept, true);
    let response = Response::builder().header("set-cookie", "a=b").body(());
    let (parts, ()) = response.expect("a response").into_parts();
    let mut text = Vec::new();
    let size = SizeHint::with_exact(2);
    let (ends, keeps_open) = super::head((&parts, Some(&lines)), Some(&size), ASKED, &mut text);
    assert_eq!(
        String::from_utf8_lossy(&text),
        "HTTP/1.1 200 OK\r\nServer: x\r\nDate: then\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\n"
    );
    assert!(keeps_open && matches!(ends, Ends::Length(2)));
}

#[test]
fn a_body_ends_as_its_head_says() {
    let http_10 = Asked {
        is_http_10: true,
        ..ASKED
    };
    let head = Asked { is_head: true, ..ASKED };
    for (status, fields, size, asked, text, stays) in [
        (
            200,
            &[][..],
            Some(2),
            ASKED,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
            true,
        ),
        (
            200,
            &[],
            Some(0),
            ASKED,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
            true,
        ),
        (
            200,
            &[("content-length", "2")],
            Some(2),
            ASKED,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
            true,
        ),
        (
            404,
            &[],
            None,
            ASKED,
            "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n",
            true,
        ),
        (
            200,
            &[],
            None,
            http_10,
            "HTTP/1.0 200 OK\r\nconnection: close\r\n",
            false,
        ),
        (
            200,
            &[],
            Some(2),
            http_10,
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n",
            true,
        ),
        (
            200,
            &[("connection", "close")],
            Some(2),
            http_10,
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n",
            false,
        ),
        (
            200,
            &[("connection", "close")],
            Some(2),
            ASKED,
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n",
            false,
        ),
        (
            200,
            &[("content-length", "7")],
            Some(0),
            head,
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n",
            true,
        ),
        (200, &[], Some(0), head, "HTTP/1.1 200 OK\r\n", true),
        (
            200,
            &[],
            Some(5),
            head,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
            true,
        ),
        (
            204,
            &[("content-length", "0")],
            Some(0),
            ASKED,
            "HTTP/1.1 204 No Content\r\n",
            true,
        ),
        (
            304,
            &[("etag", "x")],
            Some(0),
            ASKED,
            "HTTP/1.1 304 Not Modified\r\netag: x\r\n",
            true,
        ),
        // A client would wait for what never comes.
        (
            200,
            &[("content-length", "5")],
            Some(0),
            ASKED,
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n",
            true,
        ),
        (
            200,
            &[("content-length", "5")],
            None,
            ASKED,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n",
            true,
        ),
        (
            599,
            &[],
            Some(0),
            ASKED,
            "HTTP/1.1 599 <none>\r\ncontent-length: 0\r\n",
            true,
        ),
    ] {
        let (written, _, keeps_open) = written(status, fields, size, asked);
        assert_eq!(
            (&*written, keeps_open),
            (text, stays),
            "{status} {fields:?} {size:?} {asked:?}"
        );
    }
}

fn body(mut ends: Ends, frames: Vec<Frame<Bytes>>) -> Result<String, Short> {
    let mut output = Output::default();
    for frame in frames {
        ends.add(frame, &mut output);
    }
    ends.end(&mut output)?;
    Ok(String::from_utf8_lossy(&output.into_bytes()).into_owned())
}

#[test]
fn a_body_is_written_as_it_ends() {
    let data = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
    let trailers = || {
        let names = [("x-sum", "7"), ("x-other", "8"), ("content-length", "9")];
        let names = names.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Frame::trailers(HeaderMap::from_iter(names))
    };
    let announced = || Ends::Chunked(vec![HeaderName::from_static("x-sum"), header::CONTENT_LENGTH]);
    for (ends, frames, text) in [
        (Ends::Length(5), vec![data("hel"), data("lo")], Some("hello")),
        (Ends::Length(3), vec![data("hello")], Some("hel")),
        (Ends::Length(5), vec![data("hel")], None),
        (Ends::Closed, vec![data("hel"), data(""), data("lo")], Some("hello")),
        (
            announced(),
            vec![data("hel"), data(""), data("lo")],
            Some("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
        ),
        (
            announced(),
            vec![data("a"), trailers()],
            Some("1\r\na\r\n0\r\nx-sum: 7\r\n\r\n"),
        ),
        (
            Ends::Chunked(Vec::new()),
            vec![data("a"), trailers()],
            Some("1\r\na\r\n0\r\n\r\n"),
        ),
        (Ends::Length(1), vec![data("a"), trailers()], Some("a")),
    ] {
        let case = format!("{ends:?} {frames:?}");
        assert_eq!(body(ends, frames).ok().as_deref(), text, "{case}");
    }
}

#[test]
fn large_parts_come_in_order_among_small_ones() {
    let large = "x".repeat(5000);
    let mut output = Output::default();
    let mut ends = Ends::Chunked(Vec::new());
    for part in ["a", &large, "b", &large] {
        ends.add(Frame::data(Bytes::from(part.to_owned())), &mut output);
    }
    assert!(ends.end(&mut output).is_ok());
    let text = String::from_utf8(output.into_bytes().to_vec()).expect("text");
    assert_eq!(
        text,
        format!("1\r\na\r\n1388\r\n{large}\r\n1\r\nb\r\n1388\r\n{large}\r\n0\r\n\r\n")
    );
}
