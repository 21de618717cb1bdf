//! What a 401 asks for (RFC 9110, section 11.6.1): any number of challenges, in any number of lines.

use http::{HeaderMap, header};

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme, in lower case.
    pub(super) scheme: String,
    /// Its parameters, names in lower case.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter, which is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// All challenges of a response.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let lines = headers.get_all(header::WWW_AUTHENTICATE).iter();
    lines
        .flat_map(|line| parse(&String::from_utf8_lossy(line.as_bytes())))
        .collect()
}

fn parse(line: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return found;
        }
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        if end == 0 {
            // A stray sign of equality.
            rest = &rest[1..];
            continue;
        }
        let (word, behind) = rest.split_at(end);
        let value = behind.trim_start_matches([' ', '\t']).strip_prefix('=');
        match (value, found.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, behind) = self::value(value.trim_start_matches([' ', '\t']));
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                rest = behind;
            }
            (Some(value), None) => rest = value,
            (None, _) => {
                found.push(Challenge {
                    scheme: word.to_ascii_lowercase(),
                    parameters: Vec::new(),
                });
                rest = behind;
            }
        }
    }
}

/// A value, in quotes or not, and what is behind it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn parsed(lines: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(line).expect("a value"));
        }
        challenges(&headers)
    }

    #[test]
    fn both_schemes_are_found_in_one_line_and_in_two() {
        let one = r#"Basic realm="r", Bearer realm="https://a.example/token?x=1",service="svc, a",scope="repository:x:pull,push""#;
        for lines in [
            &[one][..],
            &[
                r#"Basic realm="r""#,
                r#"Bearer realm="https://a.example/token?x=1",service="svc, a",scope="repository:x:pull,push""#,
            ],
        ] {
            let [basic, bearer] = &parsed(lines)[..] else {
                panic!("{lines:?}")
            };
            assert_eq!((basic.scheme.as_str(), basic.get("realm")), ("basic", Some("r")));
            assert_eq!(bearer.scheme, "bearer");
            assert_eq!(bearer.get("realm"), Some("https://a.example/token?x=1"));
            assert_eq!(bearer.get("service"), Some("svc, a"));
            assert_eq!(bearer.get("scope"), Some("repository:x:pull,push"));
        }
    }

    #[test]
    fn values_without_quotes_escapes_and_tokens_are_read() {
        let [challenge] = &parsed(&["bearer realm=http://127.0.0.1:5/t , Service = a"])[..] else {
            panic!()
        };
        assert_eq!(challenge.get("realm"), Some("http://127.0.0.1:5/t"));
        assert_eq!(challenge.get("service"), Some("a"));
        let [challenge] = &parsed(&[r#"Basic realm="test, with \"comma\"""#])[..] else {
            panic!()
        };
        assert_eq!(challenge.get("realm"), Some("test, with \"comma\""));
        let all = parsed(&["Negotiate, Basic realm=\"cut off", "=,= ="]);
        assert_eq!(
            all.iter().map(|it| it.scheme.as_str()).collect::<Vec<_>>(),
            ["negotiate", "basic"]
        );
        assert_eq!(all[1].get("realm"), Some("cut off"));
        assert!(parsed(&["", " , "]).is_empty());
    }
}
