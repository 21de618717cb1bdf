//! What only the fake can do: fail on demand, be cut off for one client, shorten leases, take tokens.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::super::*;
use super::client::{A, B, Hand, Subject, VERSION, blob, blob_by_token, rejected, rejection};
use crate::testing::send;

const SOON: Duration = Duration::from_secs(5);

async fn start() -> (Clock, FakeBlob, Hand) {
    let (clock, store) = Subject::fake().await.fake.unwrap();
    store.create_container("portolan");
    assert!(store.put("portolan", "leader", "1"));
    let hand = Hand(blob(&store.container_url("portolan"), "leader", VERSION));
    (clock, store, hand)
}

#[tokio::test]
async fn faults_are_injected_and_cleared() {
    let (_, store, hand) = start().await;
    store.fault_times(1, Requests::all().with_method(Method::GET), Fault::Reset);
    assert_eq!(rejection(hand.get().await).0, 0);
    let busy = Fault::Reject {
        status: 503,
        code: "ServerBusy".to_owned(),
    };
    store.fault_times(1, Requests::all().with_path("/portolan/leader"), busy);
    assert_eq!(rejection(hand.get().await), rejected(503, "ServerBusy"));
    store.fault_times(1, Requests::all(), Fault::Garbage);
    assert!(hand.get().await.unwrap().contains("not what you asked for"));
    store.fault_times(1, Requests::all(), Fault::Cut);
    assert!(hand.put("2").await.is_err());
    assert_eq!(hand.get().await.unwrap(), "2");
    store.fault_times(1, Requests::all(), Fault::Cut);
    assert!(hand.get().await.is_err());
    assert_eq!(hand.get().await.unwrap(), "2");
}

#[tokio::test]
async fn one_client_can_be_cut_off_and_let_in_again() {
    let (_, store, hand) = start().await;
    store.open_listener("a").await.unwrap();
    let other = Hand(blob(&store.container_url_by("a", "portolan"), "leader", VERSION));
    store.fault(Requests::all().by_listener("a"), Fault::Hang);
    let hung = tokio::select! {
        _ = other.get() => false,
        seen = store.until(SOON, |store| store.log().iter().any(|r| r.listener == "a" && r.status.is_none())) => seen.is_ok(),
    };
    assert!(hung);
    assert_eq!(hand.get().await.unwrap(), "1");
    store.clear_faults(Some("a"));
    assert_eq!(other.get().await.unwrap(), "1");
}

#[tokio::test]
async fn lease_seconds_can_be_short_and_waiting_sees_the_end() {
    let clock = Clock::running();
    let store = FakeBlob::start(&clock, &Tokens::new(&clock)).await.unwrap();
    store.lease_second(Duration::from_millis(10));
    store.create_container("portolan");
    store.put("portolan", "leader", "1");
    let hand = Hand(blob(&store.container_url("portolan"), "leader", VERSION));
    hand.acquire(15, A).await.unwrap();
    let state = |store: &FakeBlob| store.blob("portolan", "leader").unwrap();
    assert_eq!(state(&store).lease_id.as_deref(), Some(A));
    store
        .until(SOON, |store| state(store).lease == LeaseState::Expired)
        .await
        .unwrap();
    hand.acquire(15, B).await.unwrap();
}

#[tokio::test]
async fn the_state_can_be_looked_at_and_set_past_leases() {
    let (clock, store, hand) = start().await;
    hand.acquire(60, A).await.unwrap();
    clock.advance(Duration::from_secs(10));
    assert!(store.put("portolan", "leader", "by hand"));
    assert!(!store.put("nowhere", "leader", "x"));
    let state = store.blob("portolan", "leader").unwrap();
    assert_eq!(
        (state.content.as_ref(), state.lease),
        (b"by hand".as_slice(), LeaseState::Leased)
    );
    assert_eq!(state.lease_ends, Some(clock.now() + Duration::from_secs(50)));
    assert_eq!(state.last_modified, clock.now());
    assert_eq!(store.names("portolan"), ["leader"]);
    let recorded = store.log().pop().unwrap();
    assert_eq!((recorded.method, recorded.status), (Method::PUT, Some(201)));
    assert_eq!(recorded.api_version.as_deref(), Some(VERSION));
    assert!(!recorded.path.contains("sig="), "{}", recorded.path);
}

#[tokio::test]
async fn tokens_are_accepted_for_storage_only_until_they_expire() {
    let clock = Clock::stopped();
    let tokens = Tokens::new(&clock);
    let authority = Arc::new(CertificateAuthority::new().unwrap());
    let store = FakeBlob::start_tls(&clock, &tokens, &authority).await.unwrap();
    store.create_container("portolan");
    let hour = Duration::from_secs(3600);
    let hand = |audience| {
        let token = tokens.mint("tester", audience, hour);
        Hand(blob_by_token(
            store.url().join("portolan/leader").unwrap(),
            token,
            authority.clone(),
        ))
    };
    let good = hand("https://storage.azure.com");
    good.put("1").await.unwrap();
    good.acquire(15, A).await.unwrap();
    assert_eq!(good.get().await.unwrap(), "1");
    let unwelcome = rejected(401, "InvalidAuthenticationInfo");
    assert_eq!(rejection(hand("https://management.azure.com").get().await), unwelcome);
    clock.advance(hour);
    assert_eq!(rejection(good.get().await), unwelcome);
}

#[tokio::test]
async fn tokens_are_not_accepted_without_tls() {
    let clock = Clock::stopped();
    let tokens = Tokens::new(&clock);
    let store = FakeBlob::start(&clock, &tokens).await.unwrap();
    let token = tokens.mint("tester", "https://storage.azure.com", SOON);
    let url = store.url().join("portolan/leader").unwrap();
    let bearer = format!("Bearer {token}");
    let reply = send(Method::GET, &url, &[("authorization", &bearer)], "", None)
        .await
        .unwrap();
    assert_eq!(reply.status, 401);
}
