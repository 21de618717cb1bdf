//! Two ends in memory, in paused time.

use super::*;
use crate::server::Limits;
use crate::server::registry::ConnectionRegistry;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const LIMITS: TunnelLimits = TunnelLimits {
    idle: Duration::from_secs(3600),
    half_closed: Duration::from_secs(60),
};

/// Runs a tunnel between two streams of this many bytes.
async fn relay(
    bytes: usize,
    is_websocket: bool,
    test: impl AsyncFnOnce(DuplexStream, DuplexStream, &ConnectionRegistry),
) -> TunnelEnd {
    let registry = ConnectionRegistry::new(Limits::default());
    let entry = registry.enter();
    let place = entry.activity.begin_tunnel();
    let ((client, ours), (gateway, theirs)) = (duplex(bytes), duplex(bytes));
    let mut relay = Relay::new(
        (ours, Bytes::from_static(b"")),
        (theirs, Bytes::from_static(b"")),
        Bytes::from_static(b"head"),
        is_websocket,
        LIMITS,
    );
    let scratch = entry.scratch();
    let carry = poll_fn(|context| {
        loop {
            let ended = relay.poll(&mut scratch.borrow_mut(), context);
            if ended.is_ready() || !relay.leaves(place.phase(context), context) {
                relay.up.take_carried();
                relay.down.take_carried();
                return ended;
            }
        }
    });
    let (end, ()) = tokio::join!(carry, test(client, gateway, &registry));
    end
}

async fn read(stream: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.expect("read");
    bytes
}

/// Whatever fits into a stream at a time, and whichever end ends first.
#[tokio::test(start_paused = true)]
async fn everything_arrives_in_order_and_so_do_the_ends() {
    for bytes in [1, 7, 4096, 1 << 20] {
        let end = relay(bytes, false, async |mut client, mut gateway, _| {
            let (up, down) = (vec![b'u'; 5000], vec![b'd'; 7000]);
            let ((), ()) = tokio::join!(
                async {
                    assert_eq!(read(&mut client, 4).await, b"head");
                    client.write_all(&up).await.expect("written");
                    client.shutdown().await.expect("open");
                    assert_eq!(read(&mut client, down.len()).await, down);
                },
                async {
                    let mut got = Vec::new();
                    gateway.read_to_end(&mut got).await.expect("read");
                    assert!(got == up);
                    gateway.write_all(&down).await.expect("written");
                }
            );
        });
        assert_eq!(end.await, TunnelEnd::ClientClosed, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_for_an_hour_ends_it_and_a_byte_begins_the_hour_anew() {
    let begun = Instant::now();
    let end = relay(100, false, async |mut client, mut gateway, _| {
        for minutes in [59, 59, 40] {
            tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
            gateway.write_all(b"x").await.expect("open");
            // Read late: that the other end does not take it is quiet as well.
            read(&mut client, 1).await;
        }
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("closed");
    });
    assert_eq!(end.await, TunnelEnd::IdleTimeout);
    let minutes = begun.elapsed().as_secs() / 60;
    assert_eq!(minutes, 59 + 59 + 40 + 60);
}

/// From whichever state of its frames: a goodbye comes between two of them, once, and nothing after it.
#[tokio::test(start_paused = true)]
async fn a_goodbye_comes_between_two_frames() {
    let frame = [&[0x82, 126, 1, 0][..], &[5; 256]].concat();
    for cut in [0, 1, 3, 4, 100, frame.len()] {
        let end = relay(1 << 16, true, async |mut client, mut gateway, registry| {
            gateway.write_all(&frame[..cut]).await.expect("open");
            assert_eq!(read(&mut client, 4 + cut).await, [b"head", &frame[..cut]].concat());
            registry.leave_tunnels(1);
            // Paused time passes when the tunnel has nothing left to do.
            tokio::time::sleep(Duration::from_millis(1)).await;
            // The rest of the frame and another one, which is not passed on.
            gateway
                .write_all(&[&frame[cut..], &frame].concat())
                .await
                .expect("open");
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.expect("closed");
            let is_cut_off = cut == 0 || cut == frame.len();
            let expected = if is_cut_off { &[][..] } else { &frame[cut..] };
            assert_eq!(rest, [expected, &going_away(None)].concat(), "{cut}");
            let mut last = Vec::new();
            gateway.read_to_end(&mut last).await.expect("closed");
            assert_eq!((last.len(), &last[..2]), (8, &[0x88, 0x82][..]));
        });
        assert_eq!(end.await, TunnelEnd::Draining, "{cut}");
    }
}

/// Two frames would be one too many (RFC 6455, section 5.5.1).
#[tokio::test(start_paused = true)]
async fn after_a_close_frame_of_an_end_there_is_no_other_goodbye() {
    let end = relay(1 << 16, true, async |mut client, mut gateway, registry| {
        gateway.write_all(&[0x88, 0]).await.expect("open");
        assert_eq!(read(&mut client, 6).await, b"head\x88\0");
        registry.leave_tunnels(1);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.expect("closed");
        assert_eq!(rest, b"");
    });
    assert_eq!(end.await, TunnelEnd::UpstreamClosed);
}

#[tokio::test(start_paused = true)]
async fn ends_that_never_answer_a_goodbye_have_a_second() {
    let begun = Instant::now();
    let end = relay(1 << 16, true, async |_client, _gateway, registry| {
        registry.leave_tunnels(1);
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    assert_eq!(end.await, TunnelEnd::Draining);
    assert_eq!(begun.elapsed().as_secs(), 5);
}
