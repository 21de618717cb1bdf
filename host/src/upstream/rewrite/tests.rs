//! What names a gateway, and what is put in its place.

use super::*;

const SHOP: Requested<'static> = Requested {
    scheme: "https",
    authority: "shop.example",
    prefix: None,
};

const PLAIN: Requested<'static> = Requested { scheme: "http", ..SHOP };

const ODD_PORT: Requested<'static> = Requested {
    authority: "shop.example:8443",
    ..SHOP
};

const PLAIN_ODD_PORT: Requested<'static> = Requested {
    authority: "shop.example:8000",
    ..PLAIN
};

const NO_HOST: Requested<'static> = Requested { authority: "", ..PLAIN };

fn own(host: &str, port: u16) -> OwnName {
    let scheme = match port {
        443 | 8443 => Scheme::Https,
        _ => Scheme::Http,
    };
    let host = match host.parse() {
        Ok(ip) => GatewayHost::Ip(ip),
        Err(_) => GatewayHost::Name(host.into()),
    };
    OwnName::of(&GatewayAddress { scheme, host, port })
}

/// What becomes of a field of a gateway's response.
#[track_caller]
fn replaced(gateway: (&str, u16), requested: Requested<'_>, name: &'static str, value: &str) -> String {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
    headers.append(name, value);
    own(gateway.0, gateway.1).replace(&mut headers, requested);
    let values: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    String::from_utf8(values.concat()).expect("text")
}

#[test]
fn a_redirect_to_the_gateway_becomes_one_to_what_was_requested() {
    let (named, ported) = (("gw-weu.example.net", 80), ("gw-weu.example.net", 8080));
    for (gateway, requested, location, expected) in [
        (
            named,
            SHOP,
            "http://gw-weu.example.net/a?b#c",
            "https://shop.example/a?b#c",
        ),
        (named, SHOP, "HTTP://GW-weu.example.net", "https://shop.example"),
        (named, SHOP, "http://gw-weu.example.net?b", "https://shop.example?b"),
        (named, SHOP, "http://gw-weu.example.net:80/", "https://shop.example/"),
        (named, SHOP, "http://gw-weu.example.net:/", "https://shop.example/"),
        (named, SHOP, "http://gw-weu.example.net./", "https://shop.example/"),
        (
            ("gw-weu.example.net.", 80),
            SHOP,
            "http://gw-weu.example.net/",
            "https://shop.example/",
        ),
        (
            named,
            ODD_PORT,
            "http://gw-weu.example.net/",
            "https://shop.example:8443/",
        ),
        (
            ported,
            SHOP,
            "http://gw-weu.example.net:8080/a",
            "https://shop.example/a",
        ),
        (("10.0.0.4", 80), PLAIN, "http://10.0.0.4/a", "http://shop.example/a"),
        (
            ("fd00::1", 8080),
            PLAIN,
            "http://[fd00::1]:8080/a",
            "http://shop.example/a",
        ),
        (("fd00::1", 80), PLAIN, "http://[FD00::1]/a", "http://shop.example/a"),
        // It believed X-Forwarded-Proto.
        (named, SHOP, "https://gw-weu.example.net/a", "https://shop.example/a"),
        (
            named,
            ODD_PORT,
            "https://gw-weu.example.net/a",
            "https://shop.example:8443/a",
        ),
        (
            ported,
            SHOP,
            "https://gw-weu.example.net:8080/a",
            "https://shop.example/a",
        ),
        // To https.
        (named, PLAIN, "https://gw-weu.example.net/a", "https://shop.example/a"),
        // To the scheme of the request.
        (named, SHOP, "//gw-weu.example.net/a", "//shop.example/a"),
        (ported, SHOP, "//gw-weu.example.net:8080", "//shop.example"),
        // Without a host, the path is enough.
        (named, NO_HOST, "http://gw-weu.example.net/a", "/a"),
        (named, NO_HOST, "http://gw-weu.example.net", "/"),
        (named, NO_HOST, "http://gw-weu.example.net?a", "/?a"),
    ] {
        for name in ["location", "content-location"] {
            assert_eq!(replaced(gateway, requested, name, location), expected, "{location}");
        }
        let refresh = replaced(gateway, requested, "refresh", &format!("5; url={location}"));
        assert_eq!(refresh, format!("5; url={expected}"));
    }
}

#[test]
fn a_gateway_over_tls_names_itself_with_https() {
    let (named, ported) = (("gw-weu.example.net", 443), ("gw-weu.example.net", 8443));
    for (gateway, requested, location, expected) in [
        (named, SHOP, "https://gw-weu.example.net/a", "https://shop.example/a"),
        (
            named,
            SHOP,
            "https://gw-weu.example.net:443/a",
            "https://shop.example/a",
        ),
        (named, PLAIN, "https://gw-weu.example.net/a", "http://shop.example/a"),
        (
            named,
            PLAIN_ODD_PORT,
            "https://gw-weu.example.net/a",
            "http://shop.example:8000/a",
        ),
        (
            ported,
            PLAIN,
            "https://gw-weu.example.net:8443/a",
            "http://shop.example/a",
        ),
        // It believed X-Forwarded-Proto.
        (named, PLAIN, "http://gw-weu.example.net/a", "http://shop.example/a"),
        // To http, from https.
        (named, SHOP, "http://gw-weu.example.net/a", "http://shop.example/a"),
        // Another server.
        (
            named,
            SHOP,
            "https://gw-weu.example.net:8443/",
            "https://gw-weu.example.net:8443/",
        ),
        (
            ported,
            SHOP,
            "https://gw-weu.example.net/",
            "https://gw-weu.example.net/",
        ),
        (
            named,
            SHOP,
            "http://gw-weu.example.net:80/",
            "http://gw-weu.example.net:80/",
        ),
    ] {
        assert_eq!(
            replaced(gateway, requested, "location", location),
            expected,
            "{location}"
        );
    }
}

#[test]
fn what_names_anything_else_stays() {
    let (named, ported) = (("gw-weu.example.net", 80), ("gw-weu.example.net", 8080));
    for (gateway, requested, location) in [
        (named, SHOP, "/a"),
        (named, SHOP, "a"),
        (named, SHOP, ""),
        (named, SHOP, "http://shop.example/"),
        (named, SHOP, "http://gw-eus2.example.net/"),
        (named, SHOP, "http://gw-weu.example.net.evil.example/"),
        (named, SHOP, "http://a.gw-weu.example.net/"),
        (named, SHOP, "http://gw-weu.example.net:8080/"),
        (named, SHOP, "http://gw-weu.example.net:080x/"),
        (named, SHOP, "http://gw-weu.example.net:99999/"),
        (named, SHOP, "http://user@gw-weu.example.net/"),
        (named, SHOP, "https://gw-weu.example.net:443/"),
        (named, SHOP, "ftp://gw-weu.example.net/"),
        (named, SHOP, "http:/gw-weu.example.net/"),
        (named, SHOP, "/login?next=http://gw-weu.example.net/"),
        (ported, SHOP, "http://gw-weu.example.net/"),
        (ported, SHOP, "http://gw-weu.example.net:80/"),
        (ported, SHOP, "https://gw-weu.example.net/"),
        // The port for https is not known.
        (named, PLAIN_ODD_PORT, "https://gw-weu.example.net/"),
        // Alone, this path would be another host.
        (named, NO_HOST, "http://gw-weu.example.net//evil.example/"),
        (named, NO_HOST, "http://gw-weu.example.net/\\evil.example/"),
        (named, NO_HOST, "http://gw-weu.example.net\\evil.example/"),
    ] {
        assert_eq!(
            replaced(gateway, requested, "location", location),
            location,
            "{location}"
        );
    }
    assert_eq!(
        replaced(named, SHOP, "link", "<http://gw-weu.example.net/>"),
        "<http://gw-weu.example.net/>"
    );
}

#[test]
fn a_refresh_is_read_as_browsers_read_it() {
    let gateway = ("gw.example", 80);
    for (value, expected) in [
        ("0;URL=http://gw.example/a", "0;URL=https://shop.example/a"),
        ("3; url = http://gw.example/a", "3; url = http://gw.example/a"),
        ("3, url='http://gw.example/a'", "3, url='https://shop.example/a'"),
        ("3; url=\"http://gw.example/a\"", "3; url=\"https://shop.example/a\""),
        ("3; url= http://gw.example/a", "3; url= https://shop.example/a"),
        ("3; url=/a", "3; url=/a"),
        ("3; url=", "3; url="),
        ("3", "3"),
    ] {
        assert_eq!(replaced(gateway, SHOP, "refresh", value), expected);
    }
}

#[test]
fn a_cookie_for_the_gateway_becomes_one_for_what_was_requested() {
    let gateway = ("gw-weu.example.net", 8080);
    let address = Requested {
        authority: "192.0.2.1:8080",
        ..PLAIN
    };
    for (requested, cookie, expected) in [
        (
            SHOP,
            "a=1; Domain=gw-weu.example.net; Path=/; Secure",
            "a=1; Domain=shop.example; Path=/; Secure",
        ),
        (ODD_PORT, "a=1;domain=.GW-weu.example.net", "a=1; Domain=shop.example"),
        (
            SHOP,
            "a=1; Path=/; DOMAIN = gw-weu.example.net",
            "a=1; Path=/; Domain=shop.example",
        ),
        // For the host that is requested.
        (NO_HOST, "a=1; Domain=gw-weu.example.net; Path=/", "a=1; Path=/"),
        (address, "a=1; Domain=gw-weu.example.net; Path=/", "a=1; Path=/"),
        // Others.
        (SHOP, "a=1; Path=/", "a=1; Path=/"),
        (SHOP, "a=1; Domain=example.net", "a=1; Domain=example.net"),
        (
            SHOP,
            "a=1; Domain=a.gw-weu.example.net",
            "a=1; Domain=a.gw-weu.example.net",
        ),
        (
            SHOP,
            "domain=gw-weu.example.net; Path=/",
            "domain=gw-weu.example.net; Path=/",
        ),
        (SHOP, "a=1; Domain", "a=1; Domain"),
        (SHOP, "", ""),
    ] {
        assert_eq!(replaced(gateway, requested, "set-cookie", cookie), expected, "{cookie}");
    }
}

#[test]
fn each_line_of_a_field_is_read_for_itself() {
    let mut headers = HeaderMap::new();
    for cookie in ["a=1; Domain=gw.example", "b=2", "c=\u{e4}; Domain=gw.example"] {
        let value = HeaderValue::from_bytes(cookie.as_bytes()).expect("a value");
        headers.append(header::SET_COOKIE, value);
    }
    own("gw.example", 80).replace(&mut headers, SHOP);
    let cookies: Vec<_> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    assert_eq!(
        cookies,
        ["a=1; Domain=shop.example", "b=2", "c=\u{e4}; Domain=shop.example"].map(str::as_bytes)
    );
}

/// Behind a route for `/api` whose gateways see another prefix.
fn behind(to: &str) -> Requested<'_> {
    Requested {
        prefix: Some(PrefixRewrite { from: "/api", to }),
        ..SHOP
    }
}

#[test]
fn a_path_below_the_prefix_that_gateways_see_becomes_one_below_that_of_the_route() {
    let gateway = ("gw.example", 80);
    for (to, location, expected) in [
        ("/v2", "/v2/a?b#c", "/api/a?b#c"),
        ("/v2", "http://gw.example/v2/a", "https://shop.example/api/a"),
        ("/v2", "//gw.example/v2", "//shop.example/api"),
        // As it was told that the client sees it.
        ("/v2", "https://shop.example/v2/a", "https://shop.example/api/a"),
        ("/v2", "//SHOP.example/v2/a", "//SHOP.example/api/a"),
        ("/", "/login", "/api/login"),
        ("/", "http://gw.example", "https://shop.example/api/"),
        ("/", "http://gw.example?a", "https://shop.example/api/?a"),
        ("/", "http://gw.example//a", "https://shop.example/api//a"),
        // Only the name is the gateway's.
        ("/v2", "http://gw.example/v1/a", "https://shop.example/v1/a"),
        ("/", "http://gw.example/api/a", "https://shop.example/api/a"),
        ("/", "http://gw.example\\a", "https://shop.example\\a"),
        // Not the gateway's, or not below its prefix.
        ("/v2", "/v1/a", "/v1/a"),
        ("/v2", "/v2a", "/v2a"),
        ("/", "a", "a"),
        ("/", "?a", "?a"),
        ("/", "../a", "../a"),
        ("/", "", ""),
        ("/", "/api/a", "/api/a"),
        ("/", "/\\evil.example/", "/\\evil.example/"),
        ("/", "//evil.example/", "//evil.example/"),
        ("/", "http://other.example/a", "http://other.example/a"),
        ("/", "http://shop.example/a", "http://shop.example/a"),
        ("/", "https://shop.example:8443/a", "https://shop.example:8443/a"),
        ("/", "mailto:/a", "mailto:/a"),
    ] {
        for name in ["location", "content-location"] {
            let replaced = replaced(gateway, behind(to), name, location);
            assert_eq!(replaced, expected, "{location} from {to}");
        }
        for quote in ["", "'", "\""] {
            let refresh = replaced(
                gateway,
                behind(to),
                "refresh",
                &format!("5; url={quote}{location}{quote}"),
            );
            assert_eq!(refresh, format!("5; url={quote}{expected}{quote}"), "from {to}");
        }
    }
    let no_host = Requested {
        authority: "",
        ..behind("/")
    };
    assert_eq!(replaced(gateway, no_host, "location", "http://gw.example/a"), "/api/a");
    assert_eq!(replaced(gateway, no_host, "location", "/a"), "/api/a");
}

#[test]
fn the_path_of_a_cookie_becomes_one_below_that_of_the_route() {
    let gateway = ("gw.example", 80);
    for (to, cookie, expected) in [
        ("/v2", "a=1; Path=/v2", "a=1; Path=/api"),
        ("/v2", "a=1;path = /v2/b ;Secure", "a=1; Path=/api/b;Secure"),
        ("/", "a=1; Path=/admin", "a=1; Path=/api/admin"),
        (
            "/v2",
            "a=1; Domain=gw.example; Path=/v2; Secure",
            "a=1; Domain=shop.example; Path=/api; Secure",
        ),
        // It is sent to the whole route already.
        ("/", "a=1; Path=/", "a=1; Path=/"),
        ("/v2", "a=1; Path=/", "a=1; Path=/"),
        ("/v2", "a=1; Path=/v1", "a=1; Path=/v1"),
        ("/v2", "Path=/v2; Secure", "Path=/v2; Secure"),
        ("/v2", "a=1; Path", "a=1; Path"),
        ("/v2", "a=1; Path=", "a=1; Path="),
    ] {
        let replaced = replaced(gateway, behind(to), "set-cookie", cookie);
        assert_eq!(replaced, expected, "{cookie} from {to}");
    }
}
