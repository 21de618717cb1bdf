//! Several addresses, in paused time.

use super::*;

/// What happens at an address, by its last part: a time until it accepts or refuses, or nothing at all.
#[derive(Debug)]
struct Network(Vec<Host>);

#[derive(Clone, Copy, Debug)]
enum Host {
    Accepts(u64),
    Refuses(u64),
    BlackHole,
}

use Host::*;

impl Connect for Network {
    fn connect(&self, address: SocketAddr) -> Connecting<'_> {
        let host = self.0[usize::from(address.port())];
        Box::pin(async move {
            match host {
                Accepts(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Ok(Transport::Memory(tokio::io::duplex(1).0))
                }
                Refuses(after) => {
                    sleep(Duration::from_millis(after)).await;
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
                BlackHole => std::future::pending().await,
            }
        })
    }
}

/// The address that accepted, those that failed, and after how many milliseconds.
async fn dial(hosts: &[Host]) -> (Result<(usize, Vec<usize>), DialError>, u128) {
    let addresses = (0..hosts.len()).map(|port| SocketAddr::from(([192, 0, 2, 1], port as u16)));
    let begun = Instant::now();
    let dialer = Dialer::new(Arc::new(Network(hosts.to_vec())));
    let dialed = dialer
        .dial_any(
            &addresses.collect::<Vec<_>>(),
            Opening::default(),
            Duration::from_millis(400),
        )
        .await;
    (dialed.map(|it| (it.index, it.failed)), begun.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn a_slow_address_is_not_waited_for() {
    for (hosts, accepted, failed, millis) in [
        (vec![Accepts(10)], 0, vec![], 10),
        (vec![Accepts(240), Accepts(1)], 0, vec![], 240),
        (vec![BlackHole, Accepts(10)], 1, vec![0], 260),
        // The first one's time is over.
        (vec![BlackHole, BlackHole, Accepts(10)], 2, vec![0, 1], 410),
        // It was slow, but still the first.
        (vec![Accepts(300), Accepts(100)], 0, vec![], 300),
        // The next one need not wait when one has failed.
        (vec![Refuses(10), Accepts(10)], 1, vec![0], 21),
        (vec![BlackHole, Refuses(10), Accepts(10)], 2, vec![1, 0], 271),
    ] {
        let (dialed, took) = dial(&hosts).await;
        let (index, lost) = dialed.unwrap_or_else(|error| panic!("{hosts:?}: {error}"));
        assert_eq!((index, lost), (accepted, failed), "{hosts:?}");
        // The runtime's timers are good to a millisecond.
        assert!(took.abs_diff(millis) <= 2, "{hosts:?}: {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn when_no_address_accepts_the_last_error_is_given() {
    let (failed, took) = dial(&[BlackHole, BlackHole]).await;
    assert!(
        matches!(failed, Err(DialError::TimedOut(address)) if address.port() == 1),
        "{failed:?}"
    );
    assert_eq!(took, 650);
    let (failed, took) = dial(&[BlackHole, Refuses(1)]).await;
    assert!(
        matches!(failed, Err(DialError::TimedOut(address)) if address.port() == 0),
        "{failed:?}"
    );
    assert_eq!(took, 400);
    assert!(matches!(dial(&[]).await.0, Err(DialError::NoAddress)));
}
