//! Interim responses, to clients that get them and to those that do not.

use super::{GET, OK, PLAIN, Scene};
use portolan_tests::raw::Reply;

const HINTS: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\
                     connection: x-hop\r\nx-hop: 1\r\n\r\n";

fn passing() -> Scene {
    Scene::of(&format!(
        "{PLAIN}\npass_interim_responses: true\nretry: {{ hedge_after: off }}"
    ))
}

#[test]
fn interim_answers_pass_where_they_are_wanted() {
    let scene = passing();
    scene.gateway.says(format!("{HINTS}{OK}"));
    let mut client = scene.client();
    for _ in 0..3 {
        client.write(GET);
        assert_eq!(client.head().as_deref(), Some("HTTP/1.1 102 Processing\r\n"));
        assert_eq!(
            client.head().as_deref(),
            Some("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n")
        );
        let answer = client.response("GET").expect("an answer");
        assert_eq!((answer.status(), &*answer.body), (200, &b"ok"[..]));
    }
    // There are none in HTTP/1.0.
    let mut client = scene.client();
    client.write("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert!(client.head().is_some_and(|head| head.starts_with("HTTP/1.0 200")));
}

/// They are for the time until the response is there.
#[test]
fn interim_answers_pass_before_the_answer_is_there() {
    let scene = passing();
    scene.gateway.replies([Reply::SayEarly(HINTS.into())]);
    let mut client = scene.client();
    client.write(GET);
    assert_eq!(client.head().as_deref(), Some("HTTP/1.1 102 Processing\r\n"));
    assert!(client.head().is_some_and(|head| head.starts_with("HTTP/1.1 103")));
    drop(client);
    scene.gateway.until_closed(1);
}

/// The first region gives hints and breaks, the second answers.
#[test]
fn interim_answers_of_a_failed_attempt_do_no_harm() {
    let scene = passing();
    scene
        .gateway
        .replies([Reply::SayAndClose(HINTS.into()), Reply::Say(OK.into())]);
    let mut client = scene.client();
    client.write(GET);
    assert_eq!(client.response("GET").expect("an answer").status(), 502);
    client.write(GET);
    assert!(client.head().is_some_and(|head| head.starts_with("HTTP/1.1 200")));
}
