//! How a case is written: lines up to an empty one. The first line is its name, in each other one the first character says what it is.
//!
//! | line | meaning |
//! |---|---|
//! | `> BYTES` | what the client sends |
//! | `end` | then it closes its side |
//! | `< STATUS` | a response; on the last line followed by `open` or `closed`, which is what becomes of the connection |
//! | `= METHOD TARGET` | a request that the gateway gets |
//! | `? METHOD TARGET` | one of which it may get the beginning, and never the end |
//! | `@ HOST` | the host that the client asked for, `a` unless it says otherwise |
//! | `+ NAME: VALUE` | a field of it, besides those that Portolan writes |
//! | `~ BYTES` | its content |
//! | `^ NAME: VALUE` | a trailer |
//!
//! In bytes, `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN` are as in Rust, and `\{BYTES*COUNT}` repeats.

use portolan_tests::raw::Message;
use std::net::IpAddr;

const FILES: &[(&str, &str)] = &[
    ("framing", include_str!("framing.txt")),
    ("lengths", include_str!("lengths.txt")),
    ("chunks", include_str!("chunks.txt")),
    ("targets", include_str!("targets.txt")),
    ("urls", include_str!("urls.txt")),
    ("hosts", include_str!("hosts.txt")),
    ("methods", include_str!("methods.txt")),
    ("versions", include_str!("versions.txt")),
    ("fields", include_str!("fields.txt")),
    ("hops", include_str!("hops.txt")),
    ("connections", include_str!("connections.txt")),
];

/// A connection, and what comes of it.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) sent: Vec<u8>,
    /// Whether the client closes its side after that.
    pub(super) half_closes: bool,
    pub(super) statuses: Vec<u16>,
    /// Whether the connection can be used for another request.
    pub(super) stays: bool,
    pub(super) requests: Vec<Expected>,
}

/// A request as the gateway gets it.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) line: String,
    pub(super) is_cut: bool,
    host: String,
    fields: Vec<String>,
    body: Vec<u8>,
    trailers: String,
}

impl Case {
    pub(super) fn all() -> Vec<Self> {
        let cases = FILES.iter().flat_map(|(file, text)| {
            let cases = text.split("\n\n").filter(|case| !case.trim().is_empty());
            cases.map(move |case| Self::read(file, case))
        });
        cases.collect()
    }

    fn read(file: &str, text: &str) -> Self {
        let mut lines = text.lines().skip_while(|line| line.is_empty());
        let mut case = Self {
            name: format!("{file}: {}", lines.next().expect("a name")),
            ..Self::default()
        };
        for line in lines {
            let (kind, rest) = line.split_at(1);
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            let text = || String::from_utf8_lossy(&unescaped(rest)).into_owned();
            match kind {
                ">" => case.sent.extend(unescaped(rest)),
                "e" => case.half_closes = true,
                "<" => {
                    let mut words = rest.split(' ').peekable();
                    let status = words.next_if(|word| !matches!(*word, "open" | "closed"));
                    case.statuses
                        .extend(status.map(|it| it.parse::<u16>().expect("a status")));
                    case.stays = words.next() == Some("open");
                }
                "=" | "?" => case.requests.push(Expected {
                    line: format!("{} HTTP/1.1", text()),
                    is_cut: kind == "?",
                    host: "a".into(),
                    ..Expected::default()
                }),
                kind => {
                    let request = case.requests.last_mut().expect("a request before");
                    match kind {
                        "@" => request.host = text(),
                        "+" => request.fields.push(text().trim_end().to_owned()),
                        "~" => request.body = unescaped(rest),
                        "^" => request.trailers.push_str(&format!("{}\r\n", text().trim_end())),
                        kind => panic!("{kind} in {}", case.name),
                    }
                }
            }
        }
        case
    }
}

impl Expected {
    /// The request that shows that a connection can be used.
    pub(super) fn next() -> Self {
        Self {
            line: "GET /next HTTP/1.1".into(),
            host: "a".into(),
            ..Self::default()
        }
    }

    /// What differs.
    pub(super) fn check(&self, seen: &Message, scheme: &str, source: IpAddr) -> Result<(), String> {
        let differs = |what: &str| Err(format!("the gateway got another {what}: {seen:#?}"));
        if seen.line() != self.line {
            return differs("request");
        }
        if seen.is_whole == self.is_cut {
            return differs("end");
        }
        if self.is_cut {
            return Ok(());
        }
        let host = (!self.host.is_empty()).then_some(&*self.host);
        if seen.fields("x-forwarded-host").ne(host) || seen.fields("host").count() != 1 {
            return differs("host");
        }
        if seen.fields("x-forwarded-proto").ne([scheme]) {
            return differs("scheme");
        }
        for own in ["x-forwarded-for", "x-request-id", "traceparent"] {
            if seen.fields(own).count() != 1 {
                return differs(own);
            }
        }
        if !seen.fields("via").last().is_some_and(is_own_via) {
            return differs("via");
        }
        if clients(seen, source) != self.fields {
            return differs("field");
        }
        let trailers: String = seen
            .trailers
            .lines()
            .map(|line| format!("{}\r\n", line.trim_end()))
            .collect();
        if seen.body != self.body || trailers != self.trailers {
            return differs("content");
        }
        Ok(())
    }
}

/// The client's fields, sorted by name, without what Portolan adds.
fn clients(seen: &Message, source: IpAddr) -> Vec<String> {
    let lines = seen.head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let fields = lines.filter_map(|(name, value)| {
        let value = value.trim();
        let (value, is_own) = match name {
            "host" | "x-forwarded-host" | "x-forwarded-proto" | "x-request-id" | "traceparent" => ("", true),
            "x-forwarded-for" => before(value, |last| last == source.to_string()),
            "via" => {
                if is_own_via(value) {
                    ("", true)
                } else {
                    (value, false)
                }
            }

            // Of a new connection.
            "connection" => (value.trim_start_matches("keep-alive").trim_start_matches(", "), true),
            "keep-alive" => ("", true),
            _ => (value, false),
        };
        (!is_own || !value.is_empty()).then(|| format!("{name}: {value}").trim_end().to_owned())
    });
    let mut fields: Vec<_> = fields.collect();
    // Several lines of a name keep their order.
    fields.sort_by(|one, other| name(one).cmp(name(other)));
    fields
}

fn is_own_via(entry: &str) -> bool {
    let versions = ["1.0 portolan-", "1.1 portolan-"];
    versions.iter().any(|version| entry.starts_with(version))
}

fn name(field: &str) -> &str {
    field.split(':').next().unwrap_or_default()
}

/// A list without its last element, if that is Portolan's own.
fn before(list: &str, is_own: impl Fn(&str) -> bool) -> (&str, bool) {
    let (rest, last) = list.rsplit_once(", ").unwrap_or(("", list));
    if is_own(last) { (rest, true) } else { (list, false) }
}

/// Where a request came from.
pub(super) fn source(request: &Message) -> IpAddr {
    let addresses = request.field("x-forwarded-for").unwrap_or_default();
    let last = addresses.rsplit(", ").next().unwrap_or_default();
    last.parse()
        .unwrap_or_else(|_| panic!("from nowhere: {}", request.head))
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (kind, behind) = escape.split_at(1);
        rest = behind;
        match kind {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "t" => bytes.push(b'\t'),
            "0" => bytes.push(0),
            "\\" => bytes.push(b'\\'),
            "x" => {
                let (digits, behind) = rest.split_at(2);
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                rest = behind;
            }
            "{" => {
                let (repeated, behind) = rest.split_once('}').expect("an end");
                let (repeated, count) = repeated.rsplit_once('*').expect("a count");
                bytes.extend(unescaped(repeated).repeat(count.parse().expect("a number")));
                rest = behind;
            }
            kind => panic!("{kind} in {text}"),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
