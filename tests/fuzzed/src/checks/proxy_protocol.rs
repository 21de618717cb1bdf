//! PROXY protocol headers: any bytes are a header, the beginning of one, or neither, however they arrive.

use portolan_core::proxy_protocol::{MAX_HEADER, Origin, encode, parse};

/// Any bytes as the beginning of a connection.
pub fn proxy_protocol(data: &[u8]) {
    let whole = parse(data);
    for length in 0..data.len().min(MAX_HEADER + 1) {
        match (parse(&data[..length]), &whole) {
            // More is needed.
            (Ok(None), _) => {}
            // What follows changes nothing.
            (parsed, whole) => assert_eq!(&parsed, whole, "after {length} bytes"),
        }
    }
    let Ok(Some((header, length))) = whole else {
        assert!(data.len() < MAX_HEADER || whole.is_err(), "it waits for ever");
        return;
    };
    assert!((15..=MAX_HEADER).contains(&length), "{length}");
    if let Origin::Tcp { source, destination } = header.origin {
        let written = encode(source, destination);
        let (read, count) = parse(&written).expect("it is valid").expect("it is whole");
        assert_eq!((count, read.origin), (written.len(), header.origin));
    }
    let texts = header
        .extensions
        .tls
        .into_iter()
        .flat_map(|tls| [tls.version, tls.common_name]);
    for text in texts.chain([header.extensions.authority]).flatten() {
        assert!(text.len() <= 255 && !text.contains(char::is_control), "{text:?}");
    }
}
