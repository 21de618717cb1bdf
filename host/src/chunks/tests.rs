//! The chunked coding, read and written.

use super::*;
use proptest::prelude::*;

/// A body's content, its trailers, and what is left.
type Read = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

/// Reads a body that arrives in these pieces.
fn read(pieces: &[&[u8]]) -> Result<Read, Malformed> {
    let (mut chunks, mut buffer, mut content) = (Chunks::default(), BytesMut::new(), Vec::new());
    let mut pieces = pieces.iter();
    loop {
        match chunks.next(&mut buffer)? {
            Some(Piece::Data(data)) => content.extend_from_slice(&data),
            Some(Piece::End(trailers)) => {
                pieces.for_each(|piece| buffer.extend_from_slice(piece));
                return Ok((content, trailers, buffer.to_vec()));
            }
            None => buffer.extend_from_slice(pieces.next().expect("it ends")),
        }
    }
}

#[test]
fn content_comes_out_of_its_chunks() {
    let (content, trailers, left) = read(&[b"5\r\nhello\r\n6;a=b;c\r\n world\r\n0\r\n\r\nnext"]).expect("sound");
    assert_eq!((&*content, trailers, &*left), (&b"hello world"[..], None, &b"next"[..]));
}

#[test]
fn trailers_come_with_the_end_but_for_those_that_say_how_to_read() {
    let (_, trailers, _) =
        read(&[b"0\r\nX-Sum: 1\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nConnection: y\r\n\r\n"]).expect("sound");
    let trailers = trailers.expect("trailers");
    assert_eq!(trailers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
}

#[test]
fn ambiguous_chunks_are_rejected() {
    for text in [
        &b"5\nhello\r\n0\r\n\r\n"[..],
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"\r\n",
        b" 5\r\nhello",
        b"-5\r\nhello",
        b"+5\r\nhello",
        b"0x5\r\nhello",
        b"5 5\r\nhello",
        b"g\r\n",
        b"10000000000000000\r\n",
        b"5\rx\r\nhello",
        b"5;a\rb\r\nhello",
        b"5;a\0\r\nhello",
        b"5\x0c\r\nhello",
        b"5\x0b;a\r\nhello",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\r\nC: d\n\r\n",
        b"0\r\nA: b\r\n\n",
        b"0\r\n\n",
        b"0\r\nA: b\r\n c\r\n\r\n",
        b"0\r\nA : b\r\n\r\n",
    ] {
        assert!(read(&[text, b""]).is_err(), "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn lines_extensions_and_trailers_have_limits() {
    let long_line = [b"5;".to_vec(), vec![b'a'; MAX_LINE]].concat();
    assert_eq!(read(&[&long_line]), Err(Malformed::Chunks));
    let line = format!("1;{}\r\nx\r\n", "a".repeat(1000));
    assert_eq!(
        read(&[line.repeat(MAX_EXTENSIONS / 1000 + 1).as_bytes()]),
        Err(Malformed::Chunks)
    );
    let trailers = format!("0\r\na: {}", "b".repeat(MAX_TRAILERS));
    assert_eq!(read(&[trailers.as_bytes()]), Err(Malformed::TooLarge));
    assert!(read(&[format!("0\r\n{}\r\n", "a: b\r\n".repeat(MAX_TRAILER_FIELDS + 1)).as_bytes()]).is_err());
}

proptest! {
    /// What is written is read again, however it arrives.
    #[test]
    fn what_is_written_is_read(
        parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
        trailing in any::<bool>(),
        step in 1usize..64,
    ) {
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))]);
        let mut text = Vec::new();
        for part in &parts {
            write_size(&mut text, part.len());
            text.extend_from_slice(part);
            text.extend_from_slice(b"\r\n");
        }
        write_end(&mut text, trailing.then_some(&trailers));
        let pieces: Vec<&[u8]> = text.chunks(step).collect();
        let (content, read_trailers, left) = read(&pieces).expect("sound");
        prop_assert_eq!(content, parts.concat());
        prop_assert_eq!(read_trailers, trailing.then_some(trailers));
        prop_assert!(left.is_empty());
    }

    #[test]
    fn bytes_of_any_kind_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (mut chunks, mut buffer) = (Chunks::default(), BytesMut::from(&bytes[..]));
        while let Ok(Some(Piece::Data(data))) = chunks.next(&mut buffer) {
            prop_assert!(!data.is_empty());
        }
    }
}
