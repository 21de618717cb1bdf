//! What heads of responses become, and which are none.

use super::*;
use crate::upstream::interim::InterimSink;
use proptest::prelude::*;
use std::rc::Rc;

fn parse_all(text: &str, method: &Method) -> Result<Option<Head>, Malformed> {
    parse(&mut BytesMut::from(text), method, &mut Expected::default())
}

#[track_caller]
fn head(text: &str) -> Head {
    parse_all(text, &Method::GET).expect("sound").expect("whole")
}

#[track_caller]
fn assert_malformed(text: &str) {
    let parsed = parse_all(text, &Method::GET);
    assert!(parsed.is_err(), "{text:?} became {parsed:?}");
}

fn names(head: &Head) -> Vec<&str> {
    let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_response_keeps_what_is_for_the_client() {
    let head = head(
        "HTTP/1.1 404 Nothing Here\r\nServer: x\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         Upgrade: h2c\r\nProxy-Connection: a\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(head.status, StatusCode::NOT_FOUND);
    assert_eq!(names(&head), ["content-length", "server", "set-cookie"]);
    assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
    assert_eq!((head.ends, head.keeps_open), (Ends::Length(5), true));
}

#[test]
fn a_reason_is_kept_where_it_is_not_the_usual_one() {
    for (line, reason) in [
        ("HTTP/1.1 200 OK", None),
        ("HTTP/1.1 200 ", None),
        ("HTTP/1.1 200", None),
        ("HTTP/1.0 404 Not Found", None),
        ("HTTP/1.1 404 No Such Order", Some("No Such Order")),
        ("HTTP/1.1 404 Not Found!", Some("Not Found!")),
        ("HTTP/1.1 404 not found", Some("not found")),
        ("HTTP/1.1 520 Origin Said So", Some("Origin Said So")),
        ("HTTP/1.1 520 ", Some("")),
        ("HTTP/1.1 520", Some("")),
        ("HTTP/1.1 999 \u{e4}\t\u{f6}", Some("\u{e4}\t\u{f6}")),
    ] {
        let head = head(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        let kept = head.reason.as_ref().map(|it| String::from_utf8_lossy(it.as_bytes()));
        assert_eq!(kept.as_deref(), reason, "{line}");
    }
}

#[test]
fn the_end_of_a_body_is_where_its_head_says() {
    let ends = |text: &str| head(text).ends;
    assert_eq!(ends("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ends::Length(0));
    assert_eq!(
        ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED \r\n\r\n"),
        Ends::Chunked
    );
    assert_eq!(ends("HTTP/1.1 200 OK\r\n\r\n"), Ends::Closed);
    for none in ["204 No Content", "304 Not Modified"] {
        assert_eq!(
            ends(&format!("HTTP/1.1 {none}\r\nContent-Length: 7\r\n\r\n")),
            Ends::Length(0)
        );
    }
    let to_head = parse_all("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", &Method::HEAD);
    let to_head = to_head.expect("sound").expect("whole");
    assert_eq!(to_head.ends, Ends::Length(0));
    assert_eq!(to_head.headers["content-length"], "7", "HEAD has the length of GET");
}

#[test]
fn a_length_that_was_said_twice_goes_on_as_one() {
    let head = head("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(head.ends, Ends::Length(3));
    assert_eq!(head.headers.get_all("content-length").iter().collect::<Vec<_>>(), ["3"]);
}

#[test]
fn a_connection_stays_open_as_its_version_and_fields_say() {
    let keeps_open = |text: &str| head(text).keeps_open;
    assert!(keeps_open("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(!keeps_open(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(!keeps_open(
        "HTTP/1.1 200 OK\r\nConnection: close, keep-alive\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(!keeps_open("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(keeps_open(
        "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n"
    ));
    assert!(!keeps_open("HTTP/1.1 200 OK\r\n\r\n"), "its body ends with it");
}

#[test]
fn doubt_about_the_end_of_a_body_is_no_response() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:",
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: +3",
        "Content-Length: -3",
        "Content-Length: 0x3",
        "Content-Length: 3 3",
        "Content-Length:",
        "Content-Length: 3,",
        "Content-Length: 9223372036854775808",
        "Content-Length: 18446744073709551616",
    ] {
        assert_malformed(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"));
    }
    assert_malformed("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

#[test]
fn what_is_no_http_is_no_response() {
    for text in [
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 Odd\r\n\r\n",
        "HTTQ/1.1 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSpace : before\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: nul\0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 1000 Unheard Of\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        " HTTP/1.1 200 OK\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
    ] {
        assert_malformed(text);
    }
}

/// Every line end in turn is a bare LF.
#[test]
fn a_line_that_ends_otherwise_leaves_doubt() {
    let text = "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nEmpty:\r\nC: d \r\n\r\n";
    head(text);
    for (at, _) in text.match_indices("\r\n") {
        assert_malformed(&format!("{}{}", &text[..at], &text[at + 1..]));
    }
}

#[test]
fn what_connection_names_is_removed_wherever_close_stands() {
    let head = head(
        "HTTP/1.1 200 OK\r\nConnection: close, X-A\r\nConnection: x-b, keep-alive, x-\u{e4}\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n\
         Content-Length: 0\r\n\r\n",
    );
    assert_eq!((names(&head), head.keeps_open), (vec!["content-length", "x-c"], false));
}

#[test]
fn what_is_for_everybody_cannot_be_named() {
    let head = head(
        "HTTP/1.1 200 OK\r\nConnection: Set-Cookie, cache-control, content-length\r\nSet-Cookie: a=1\r\n\
         Cache-Control: private\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(names(&head), ["cache-control", "content-length", "set-cookie"]);
}

#[test]
fn a_body_where_none_may_be_costs_the_connection() {
    for field in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let head = head(&format!("HTTP/1.1 204 No Content\r\n{field}\r\n\r\n"));
        assert_eq!(
            (names(&head), head.ends, head.keeps_open),
            (vec![], Ends::Length(0), false),
            "{field}"
        );
    }
}

#[test]
fn interim_responses_are_passed_over() {
    let head = head(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n",
    );
    assert_eq!((head.status, names(&head)), (StatusCode::OK, vec!["content-length"]));
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(usize::from(MAX_INTERIM) + 1);
    assert_malformed(&format!("{hints}HTTP/1.1 200 OK\r\n\r\n"));
}

#[test]
fn interim_responses_pass_while_their_exchange_lives() {
    let queue = Rc::new(crate::arrival::InterimQueue::default());
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nConnection: y\r\nY: 1\r\nContent-Length: 0\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let interim: Rc<dyn InterimSink> = crate::arrival::Interim::new(&queue);
    let mut interims = Expected::new(Some(&interim), None, false);
    let mut read = BytesMut::from(text);
    parse(&mut read, &Method::GET, &mut interims)
        .expect("sound")
        .expect("whole");
    let passed = queue.take();
    assert_eq!(
        passed.escape_ascii().to_string(),
        r"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    );
    drop(interim);
    let mut read = BytesMut::from(text);
    parse(&mut read, &Method::GET, &mut interims)
        .expect("sound")
        .expect("whole");
    assert!(queue.is_empty(), "it would answer another request");
}

/// A head whose fields nobody looks at, and the lines that are passed on of it, where they are.
#[track_caller]
fn passed(text: &str) -> (Head, Option<String>) {
    let mut expected = Expected::new(None, None, true);
    let head = parse(&mut BytesMut::from(text), &Method::GET, &mut expected);
    let head = head.expect("sound").expect("whole");
    let lines = head.lines.as_ref().map(|lines| {
        let mut text = Vec::new();
        lines.write(&mut text);
        String::from_utf8(text).expect("text")
    });
    (head, lines)
}

#[test]
fn fields_that_nobody_looks_at_are_passed_on_as_they_came() {
    let (head, lines) = passed(
        "HTTP/1.1 404 Nothing Here\r\nServer:x\r\nKEEP-ALIVE: timeout=5\r\nConnection: Keep-Alive\r\nX-Own:  1 \r\nX-OWN: 2\r\n\
         Upgrade: h2c\r\nProxy-Connection: a\r\nDate: now\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_eq!(
        lines.as_deref(),
        Some("Server:x\r\nX-Own:  1 \r\nX-OWN: 2\r\nDate: now\r\n")
    );
    assert_eq!(
        (head.status, head.ends, head.keeps_open),
        (StatusCode::NOT_FOUND, Ends::Length(5), true)
    );
    assert_eq!(head.idle_timeout, Some(Duration::from_secs(5)));
    assert!(head.headers.is_empty() && head.reason.is_some());
    assert!(head.lines.is_some_and(|lines| lines.has_date()));

    let (head, lines) = passed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nconnection: close\r\n\r\n");
    assert_eq!(
        (lines.as_deref(), head.ends, head.keeps_open),
        (Some(""), Ends::Chunked, false)
    );
    assert!(head.lines.is_some_and(|lines| !lines.has_date()));

    let (head, lines) = passed("HTTP/1.0 200 OK\r\nA: b\r\n\r\n");
    assert_eq!(
        (lines.as_deref(), head.ends, head.keeps_open),
        (Some("A: b\r\n"), Ends::Closed, false)
    );
}

#[test]
fn a_head_that_has_to_be_looked_into_is() {
    let broken = "a: b\r\nconnection: close\r\n".repeat(7);
    for fields in [
        "Connection: X-Own\r\n",
        "Connection: keep-alive, close\r\n",
        "Location: http://gateway/\r\n",
        "content-location: /\r\n",
        "Refresh: 5; url=/\r\n",
        "Set-Cookie: a=b\r\n",
        "Trailer: Digest\r\n",
        &broken,
    ] {
        let (head, lines) = passed(&format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 0\r\n\r\n"));
        assert_eq!(
            (lines, head.headers.contains_key("content-length")),
            (None, true),
            "{fields}"
        );
    }
    for status in ["204 No Content", "304 Not Modified"] {
        let (head, lines) = passed(&format!("HTTP/1.1 {status}\r\nServer: x\r\nContent-Length: 5\r\n\r\n"));
        assert_eq!((lines, names(&head)), (None, vec!["server"]), "{status}");
    }
}

#[test]
fn a_head_is_as_strict_where_nobody_looks_at_its_fields() {
    for fields in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 1\r\ncontent-length: 2\r\n",
        "Content-Length: +1\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "A: b\n",
        "A : b\r\n",
        "A: b\r\n c\r\n",
    ] {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let mut expected = Expected::new(None, None, true);
        let parsed = parse(&mut BytesMut::from(&*text), &Method::GET, &mut expected);
        assert!(parsed.is_err(), "{text:?} became {parsed:?}");
    }
}

#[test]
fn a_head_has_limits() {
    let many = "a: b\r\n".repeat(MAX_FIELDS + 1);
    assert_malformed(&format!("HTTP/1.1 200 OK\r\n{many}\r\n"));
    let long = "b".repeat(MAX_HEAD);
    assert_malformed(&format!("HTTP/1.1 200 OK\r\na: {long}"));
    assert_malformed(&format!("HTTP/1.1 200 OK\r\na: {long}\r\n\r\n"));
}

#[test]
fn what_follows_the_head_stays() {
    let mut read = BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    parse(&mut read, &Method::GET, &mut Expected::default())
        .expect("sound")
        .expect("whole");
    assert_eq!(&*read, b"hello");
}

proptest! {
    /// However the bytes arrive, and whatever they are: no panic, and a head only when it is whole.
    #[test]
    fn a_head_in_pieces_is_the_same_head(cut in 0usize..80) {
        let text = "HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\nA: bcdefgh\r\n\r\n5\r\nhello";
        let cut = cut.min(text.len());
        let whole = text.find("\r\n\r\n").expect("an end") + 4;
        let mut read = BytesMut::from(&text[..cut]);
        let first = parse(&mut read, &Method::GET, &mut Expected::default()).expect("sound");
        prop_assert_eq!(first.is_some(), cut >= whole);
        read.extend_from_slice(&text.as_bytes()[cut..]);
        let head = match first {
            Some(head) => head,
            None => parse(&mut read, &Method::GET, &mut Expected::default()).expect("sound").expect("whole"),
        };
        prop_assert_eq!(names(&head), ["a", "server"]);
        prop_assert_eq!(&*read, b"5\r\nhello");
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), start in 0usize..40) {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let mut read = BytesMut::from(&text[..start.min(text.len())]);
        read.extend_from_slice(&bytes);
        let _ = parse(&mut read, &Method::GET, &mut Expected::default());
    }
}

/// The client learns only that no region answered: the log says which of our rules a gateway broke.
#[test]
fn what_is_malformed_is_said() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
    for (text, words) in [
        ("HTTP/1.1 200 OK\nA: b\n\n", "CR LF"),
        ("HTTP/1.1 200 OK\r\nA: b\x01c\r\n\r\n", "invalid header value"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "transfer-encoding",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "transfer-encoding",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", "content-length"),
        (&many, "too many headers"),
    ] {
        let error = parse_all(text, &Method::GET).expect_err(text);
        assert!(error.to_string().contains(words), "{text:?}: {error}");
    }
}
