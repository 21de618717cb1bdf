//! Which requests are forwarded, and how the others are answered.

use super::{PLAIN, Scene};

/// More than hyper has room for on its stack, in one piece or in several, after others and before others.
#[test]
fn as_many_fields_pass_as_clients_send() {
    let scene = Scene::new();
    let few = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for (count, status) in [(98, 200), (99, 200), (100, 200), (101, 200), (255, 200), (256, 431)] {
        for pieces in [1, 2, 7] {
            let fields: String = (0..count).map(|n| format!("x-{n}: {n}\r\n")).collect();
            let many = format!("GET /many HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
            let mut client = scene.client();
            client.write(few);
            assert_eq!(client.response("GET").expect("an answer").status(), 200);
            for piece in many.as_bytes().chunks(many.len().div_ceil(pieces)) {
                client.write(piece);
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
            let answer = client.response("GET").expect("an answer");
            assert_eq!(answer.status(), status, "{count} in {pieces}: {}", answer.head);
            if status == 200 {
                client.write(format!("{few}{many}"));
                assert_eq!(client.response("GET").expect("an answer").status(), 200);
                assert_eq!(client.response("GET").expect("an answer").status(), 200);
                let seen = scene.gateway.seen();
                assert_eq!(seen.len(), 4, "{seen:#?}");
                for request in seen.iter().filter(|it| it.line().contains("many")) {
                    assert_eq!(
                        request.field(&format!("x-{}", count - 1)),
                        Some(&*(count - 1).to_string())
                    );
                }
            } else {
                assert!(client.is_closed());
                scene.gateway.seen();
            }
        }
    }
}

#[test]
fn a_gateway_gets_a_host_even_when_the_client_sent_none() {
    for preserves in ["true", "false"] {
        let scene = Scene::of(&format!("{}\npreserve_host: {preserves}", PLAIN));
        let answer = scene.ask("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(answer.status(), 200, "{}", answer.head);
        let seen = scene.seen();
        let own = scene.gateway.address().to_string();
        assert_eq!(seen.fields("host").collect::<Vec<_>>(), [own], "{}", seen.head);
        assert_eq!(seen.field("x-forwarded-host"), None);
    }
}

#[test]
fn options_for_the_proxy_itself_are_answered_by_it() {
    let scene = Scene::new();
    for request in [
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n",
    ] {
        let answer = scene.ask(request);
        assert_eq!(answer.status(), 200, "{request}");
        assert!(
            answer.field("allow").is_some_and(|it| it.contains("GET")),
            "{}",
            answer.head
        );
        assert!(scene.gateway.seen().is_empty(), "{request}");
    }
    scene.ask("OPTIONS / HTTP/1.1\r\nhost: a\r\nmax-forwards: 1\r\n\r\n");
    assert_eq!(scene.seen().fields("max-forwards").collect::<Vec<_>>(), ["0"]);
    scene.ask("GET / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\n\r\n");
    assert_eq!(
        scene.seen().line(),
        "GET / HTTP/1.1",
        "it means nothing for other methods"
    );
}
