//! A gateway that leads back to the proxy.

use super::{GET, PLAIN, Scene};
use crate::listeners::rejected;
use portolan_tests::Setup;
use portolan_tests::raw::Wire;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Passes all bytes between its clients and a server that is known later.
fn relay() -> (SocketAddr, impl FnOnce(SocketAddr)) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let lead = move |server: SocketAddr| {
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(server) else { return };
                let pipe = |from: &TcpStream, to: &TcpStream| {
                    let (mut from, mut to) = (from.try_clone().expect("a copy"), to.try_clone().expect("a copy"));
                    thread::spawn(move || {
                        // Ends with either side.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                };
                pipe(&client, &server);
                pipe(&server, &client);
            }
        });
    };
    (address, lead)
}

#[tokio::test]
async fn a_request_that_comes_back_is_answered_with_508_at_the_second_pass() {
    let (gateway, lead) = relay();
    let setup = Setup::regions(&[]).other("westeurope", gateway).service(PLAIN);
    let world = setup.logging().start();
    lead(world.proxy());
    let mut client = Wire::open(world.proxy());
    client.write(GET);
    let answer = client.response("GET").expect("an answer");
    assert_eq!(answer.status(), 508, "{}", answer.head);
    let lines = world.until_logged(2).await;
    assert_eq!(lines.len(), 2, "two passes: {lines:?}");
    assert!(lines.iter().all(|line| line["status"] == 508), "{lines:?}");
    let of_ours = lines.iter().filter(|line| line.get("error").is_some());
    assert_eq!(of_ours.map(|line| &line["error"]).collect::<Vec<_>>(), ["loop"]);
    assert_eq!(rejected(&world, "loop").await, 1);
}

#[test]
fn a_request_of_another_instance_is_served() {
    // As many instances behind one another as there are entries, none of which is this one.
    let via = "via: 1.1 portolan-0123456789abcdef, 1.1 portolan";
    let scene = Scene::new();
    let request = format!("GET / HTTP/1.1\r\nhost: a\r\n{via}\r\n\r\n");
    assert_eq!(scene.ask(request).status(), 200);
    let seen = scene.seen();
    let own = seen
        .fields("via")
        .last()
        .and_then(|it| it.strip_prefix("1.1 portolan-"));
    let digits = own.unwrap_or_else(|| panic!("{}", seen.head));
    assert!(
        digits.len() == 16 && digits.bytes().all(|it| it.is_ascii_hexdigit()),
        "{}",
        seen.head
    );
    assert_eq!(
        scene
            .ask(format!(
                "GET / HTTP/1.1\r\nhost: a\r\nvia: 1.1 portolan-{digits}\r\n\r\n"
            ))
            .status(),
        508
    );
    assert!(scene.gateway.seen().is_empty());
}

/// Instances that share a name notice a request that comes back to another of them.
#[test]
fn a_name_in_via_can_be_configured() {
    let scene = Scene::with("via: edge");
    assert_eq!(
        scene
            .ask("GET / HTTP/1.0\r\nhost: a\r\nvia: 1.1 edge.example\r\n\r\n")
            .status(),
        200
    );
    assert_eq!(
        scene.seen().fields("via").collect::<Vec<_>>(),
        ["1.1 edge.example", "1.0 edge"]
    );
    let back = scene.ask("GET / HTTP/1.1\r\nhost: a\r\nvia: 1.0 fred, 1.1 EDGE (Portolan)\r\n\r\n");
    assert_eq!(back.status(), 508, "{}", back.head);
}
