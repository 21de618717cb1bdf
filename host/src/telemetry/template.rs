//! Templates of access log lines, in Envoy's command operators:
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage>. Parsed once; a line is written from
//! the parts.

use http::HeaderName;
use std::num::NonZeroUsize;
use thiserror::Error;

/// Most different fields of requests that a template has, and of responses: they are kept for each request.
pub const MAX_FIELDS: usize = 16;

/// A template.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    /// What lines consist of.
    pub parts: Vec<Part>,
    /// Fields of requests that it has.
    pub request_fields: Vec<HeaderName>,
    /// Fields of responses that it has.
    pub response_fields: Vec<HeaderName>,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Template {}

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text.
    Literal(Box<str>),
    /// A value, of which at most so many bytes are written.
    Value(Value, Option<NonZeroUsize>),
}

/// A value of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// When it came.
    StartTime,
    /// Its method.
    Method,
    /// Its host.
    Authority,
    /// Its path.
    Path {
        /// With its query.
        query: bool,
    },
    /// The version of HTTP.
    Protocol,
    /// One of its fields, or else another, by their places in [`Template::request_fields`].
    Request(usize, Option<usize>),
    /// The same of the response.
    Response(usize, Option<usize>),
    /// The status of the response; 0 without one, as in Envoy.
    Status,
    /// The error that Portolan answered with, or else the outcome.
    Details,
    /// Bytes of its body.
    Received,
    /// Bytes of the response's body.
    Sent,
    /// Milliseconds to its end.
    Duration,
    /// Milliseconds to the head of the response.
    FirstByte,
    /// Its service.
    Service,
    /// How many attempts there were.
    Attempts,
    /// The address of its client.
    Client,
    /// Its trace.
    Trace,
    /// The status of a call of gRPC.
    Grpc,
    /// A field of the JSON line.
    Own(Own),
}

macro_rules! own {
    ($($word:literal $name:ident,)*) => {
        /// A field of the JSON line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Own {
            $(#[doc = concat!("`", $word, "`")] $name,)*
        }

        impl Own {
            const WORDS: &[(&str, Self)] = &[$(($word, Self::$name),)*];
        }
    };
}

own! {
    "request_id" RequestId,
    "client_from" ClientFrom,
    "country" Country,
    "outcome" Outcome,
    "error" Error,
    "service" Service,
    "region" Region,
    "attempts" Attempts,
    "no_retry" NoRetry,
    "by" By,
    "reason" Reason,
    "plugin_reason" PluginReason,
    "generation" Generation,
    "identify_ms" IdentifyMs,
    "decide_ms" DecideMs,
    "plugin_ms" PluginMs,
    "first_byte_ms" FirstByteMs,
    "total_ms" TotalMs,
    "plugin_fault" PluginFault,
    "upgrade" Upgrade,
    "tunnel_end" TunnelEnd,
}

/// The commands that take no argument.
const COMMANDS: &[(&str, Value)] = &[
    ("START_TIME", Value::StartTime),
    ("PROTOCOL", Value::Protocol),
    ("RESPONSE_CODE", Value::Status),
    ("RESPONSE_CODE_DETAILS", Value::Details),
    ("BYTES_RECEIVED", Value::Received),
    ("BYTES_SENT", Value::Sent),
    ("DURATION", Value::Duration),
    ("RESPONSE_DURATION", Value::FirstByte),
    ("UPSTREAM_CLUSTER", Value::Service),
    ("UPSTREAM_REQUEST_ATTEMPT_COUNT", Value::Attempts),
    ("DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Value::Client),
    ("TRACE_ID", Value::Trace),
    ("GRPC_STATUS", Value::Grpc),
];

/// Those that take one.
const WITH_ARGUMENT: &[&str] = &["REQ", "RESP", "PATH", "PORTOLAN"];

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("character {at}: {message}")]
pub struct TemplateError {
    /// The place of the character, from 1.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut template = Self {
            text: text.to_owned(),
            parts: Vec::new(),
            request_fields: Vec::new(),
            response_fields: Vec::new(),
        };
        let mut literal = String::new();
        let mut rest = text;
        let place = |rest: &str| text[..text.len() - rest.len()].chars().count() + 1;
        while let Some(start) = rest.find('%') {
            literal.push_str(&rest[..start]);
            let at = place(&rest[start..]);
            let error = |message: String| TemplateError { at, message };
            rest = &rest[start + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                literal.push('%');
                rest = after;
                continue;
            }
            let end = rest
                .find('%')
                .ok_or_else(|| error("this command has no % at its end; write %% for a percent sign".into()))?;
            let value = template.command(&rest[..end]).map_err(error)?;
            if !literal.is_empty() {
                template.parts.push(Part::Literal(std::mem::take(&mut literal).into()));
            }
            template.parts.push(value);
            rest = &rest[end + 1..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            template.parts.push(Part::Literal(literal.into()));
        }
        Ok(template)
    }

    /// Whether lines differ.
    pub fn has_values(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Value(..)))
    }

    /// A command without its percent signs: a name, an argument in parentheses, and a length after a colon.
    fn command(&mut self, text: &str) -> Result<Part, String> {
        let name_end = text.find(['(', ':']).unwrap_or(text.len());
        let (name, rest) = text.split_at(name_end);
        let (argument, rest) = match rest.strip_prefix('(') {
            None => (None, rest),
            Some(inner) => {
                let close = inner
                    .find(')')
                    .ok_or_else(|| format!("%{text}% lacks a closing parenthesis"))?;
                (Some(&inner[..close]), &inner[close + 1..])
            }
        };
        let most =
            match rest.strip_prefix(':') {
                None if rest.is_empty() => None,
                None => return Err(format!("%{text}%: {rest:?} is not expected after the command")),
                Some(digits) => Some(digits.parse::<NonZeroUsize>().map_err(|_| {
                    format!("%{text}%: {digits:?} is not a length; a length is a number of bytes from 1")
                })?),
            };
        let value = match (name, argument) {
            ("REQ", Some(argument)) => self.request(argument)?,
            ("RESP", Some(argument)) => {
                let (first, other) = names(argument)?;
                let mut place = |name: &str| field(&mut self.response_fields, name);
                Value::Response(place(first)?, other.map(place).transpose()?)
            }
            ("PATH", Some("NQ")) => Value::Path { query: false },
            ("PATH", Some("WQ")) => Value::Path { query: true },
            ("PATH", Some(other)) => {
                return Err(format!("%PATH({other})% is not known: NQ is without query, WQ with it"));
            }
            ("PORTOLAN", Some(key)) => {
                let known = Own::WORDS.iter().find(|(word, _)| *word == key);
                let words = || Own::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
                Value::Own(
                    known
                        .ok_or_else(|| format!("%PORTOLAN({key})% is not known — possible: {}", words()))?
                        .1,
                )
            }
            (name, None) if WITH_ARGUMENT.contains(&name) => {
                return Err(format!(
                    "%{name}% needs an argument in parentheses, such as %{}%",
                    example(name)
                ));
            }
            (name, argument) => match (COMMANDS.iter().find(|(known, _)| *known == name), argument) {
                (Some((_, value)), None) => *value,
                (Some(_), Some(_)) => return Err(format!("%{name}% takes no argument here")),
                (None, _) => return Err(unknown(name)),
            },
        };
        Ok(Part::Value(value, most))
    }

    fn request(&mut self, argument: &str) -> Result<Value, String> {
        let (first, other) = names(argument)?;
        let pseudo = match first.to_ascii_uppercase().as_str() {
            ":METHOD" => Some(Value::Method),
            ":AUTHORITY" | "HOST" => Some(Value::Authority),
            ":PATH" => Some(Value::Path { query: true }),
            // The field is what Envoy's examples have: here the path is never rewritten before it is logged.
            "X-ENVOY-ORIGINAL-PATH" => Some(Value::Path { query: true }),
            _ => None,
        };
        if let Some(value) = pseudo {
            return Ok(value);
        }
        let mut place = |name: &str| field(&mut self.request_fields, name);
        Ok(Value::Request(place(first)?, other.map(place).transpose()?))
    }
}

/// `X` or `X?Y`.
fn names(argument: &str) -> Result<(&str, Option<&str>), String> {
    match argument.split_once('?') {
        _ if argument.is_empty() => Err("the name of a field is missing in the parentheses".into()),
        None => Ok((argument, None)),
        Some((first, other)) => Ok((first, Some(other))),
    }
}

/// The place of a field, which is added if it is a new one.
fn field(fields: &mut Vec<HeaderName>, name: &str) -> Result<usize, String> {
    if name.starts_with(':') {
        return Err(format!("{name} is not known — possible: :METHOD, :AUTHORITY, :PATH"));
    }
    let parsed = name.parse::<HeaderName>();
    let name = parsed.map_err(|_| format!("{name:?} is not the name of a field"))?;
    if let Some(place) = fields.iter().position(|known| *known == name) {
        return Ok(place);
    }
    if fields.len() == MAX_FIELDS {
        return Err(format!("more than {MAX_FIELDS} different fields are not possible"));
    }
    fields.push(name);
    Ok(fields.len() - 1)
}

fn example(name: &str) -> &'static str {
    match name {
        "REQ" => "REQ(USER-AGENT)",
        "RESP" => "RESP(CONTENT-TYPE)",
        "PATH" => "PATH(NQ)",
        _ => "PORTOLAN(region)",
    }
}

fn unknown(name: &str) -> String {
    let known = COMMANDS
        .iter()
        .map(|(known, _)| *known)
        .chain(WITH_ARGUMENT.iter().copied());
    let close = known
        .clone()
        .find(|known| strsim::damerau_levenshtein(known, name) <= 2);
    match close {
        Some(close) => format!("%{name}% is not a command — did you mean {close}?"),
        None => format!(
            "%{name}% is not a command — possible: {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_commands_are_understood() {
        let text = r#"[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% 100%% "%REQ(User-Agent):20%" "%REQ(X-A?user-agent)%" %RESP(SERVER)% %PORTOLAN(region)%"#;
        let template = Template::parse(text).expect("a template");
        let values: Vec<_> = template
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Value(value, most) => Some((*value, most.map_or(0, NonZeroUsize::get))),
                Part::Literal(_) => None,
            })
            .collect();
        let expected = [
            (Value::StartTime, 0),
            (Value::Method, 0),
            (Value::Path { query: true }, 0),
            (Value::Protocol, 0),
            (Value::Status, 0),
            (Value::Request(0, None), 20),
            (Value::Request(1, Some(0)), 0),
            (Value::Response(0, None), 0),
            (Value::Own(Own::Region), 0),
        ];
        assert_eq!(values, expected);
        assert_eq!(template.request_fields, ["user-agent", "x-a"]);
        assert_eq!(template.response_fields, ["server"]);
        assert!(template.parts.contains(&Part::Literal(" 100% \"".into())));
        assert_eq!(
            Template::parse("plain").expect("a template").parts,
            [Part::Literal("plain".into())]
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, at, message) in [
            ("é %PROTOCOL", 3, "this command has no % at its end"),
            ("%FOO%", 1, "%FOO% is not a command — possible: START_TIME"),
            ("%PROTOCOLL%", 1, "did you mean PROTOCOL?"),
            (
                "a%REQ%",
                2,
                "needs an argument in parentheses, such as %REQ(USER-AGENT)%",
            ),
            ("%REQ(A%", 1, "lacks a closing parenthesis"),
            ("%REQ(A):0%", 1, "is not a length"),
            ("%REQ(A)x%", 1, "\"x\" is not expected"),
            ("%REQ()%", 1, "the name of a field is missing"),
            ("%REQ(a b)%", 1, "\"a b\" is not the name of a field"),
            ("%REQ(:SCHEME)%", 1, ":SCHEME is not known"),
            ("%DURATION(x)%", 1, "takes no argument"),
            ("%PATH(X)%", 1, "NQ is without query"),
            ("%PORTOLAN(x)%", 1, "possible: request_id, client_from"),
        ] {
            let error = Template::parse(text).expect_err(text);
            assert!(error.at == at && error.message.contains(message), "{text}: {error}");
        }
        let many: String = (0..=MAX_FIELDS).map(|n| format!("%REQ(x-{n})%")).collect();
        let error = Template::parse(&many).expect_err("too many");
        assert!(error.message.contains("more than 16"), "{error}");
    }
}
