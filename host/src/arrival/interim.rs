//! Interim responses (RFC 9110, section 15.2) on their way to a client of HTTP/1.1.
//!
//! The server side writes one response for each request; what comes before it is written before it. In HTTP/2 a stream
//! would have a queue of its own.

use crate::fields;
use http::{HeaderMap, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;

/// The interim responses of one connection that wait to be written.
#[derive(Debug, Default)]
pub struct InterimQueue {
    bytes: RefCell<Vec<u8>>,
}

/// Passes the interim responses of one exchange on, for as long as it lives.
#[derive(Debug)]
pub struct Interim(Rc<InterimQueue>);

impl InterimQueue {
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Those that wait, one after the other.
    pub fn take(&self) -> Vec<u8> {
        self.bytes.take()
    }
}

impl Interim {
    /// Of an exchange on this connection.
    pub fn new(queue: &Rc<InterimQueue>) -> Rc<Self> {
        Rc::new(Self(Rc::clone(queue)))
    }

    /// Queues a response.
    pub fn pass(&self, status: StatusCode, headers: &HeaderMap) {
        let Self(queue) = self;
        let mut bytes = queue.bytes.borrow_mut();
        for part in [
            "HTTP/1.1 ",
            status.as_str(),
            " ",
            status.canonical_reason().unwrap_or_default(),
            "\r\n",
        ] {
            bytes.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            fields::write(&mut bytes, name.as_str().as_bytes(), value.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn they_are_written_one_after_the_other() {
        let queue = Rc::new(InterimQueue::default());
        let interim = Interim::new(&queue);
        let headers = HeaderMap::from_iter([(http::header::LINK, HeaderValue::from_static("</a>"))]);
        assert!(queue.is_empty());
        interim.pass(StatusCode::EARLY_HINTS, &headers);
        interim.pass(StatusCode::from_u16(199).expect("a status"), &HeaderMap::new());
        assert_eq!(
            queue.take().escape_ascii().to_string(),
            r"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 199 \r\n\r\n"
        );
        assert!(queue.is_empty());
    }
}
