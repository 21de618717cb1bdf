//! Leases by the real client, on the fake and, if `PORTOLAN_AZURITE` names one, on the Azurite emulator.

use std::collections::HashMap;
use std::time::Duration;

use azure_storage_blob::models::{
    BlobClientBreakLeaseOptions, BlobClientDeleteOptions, BlobClientDownloadOptions, BlobClientSetMetadataOptions,
};

use super::client::*;

suite![
    a_lease_excludes_others_until_it_is_released,
    an_unrenewed_lease_can_be_taken_over,
    a_lease_can_be_changed_and_broken,
    a_leased_blob_needs_the_lease_for_every_change,
    rejections_to_lease,
];

async fn a_lease_excludes_others_until_it_is_released(subject: Subject) {
    let url = subject.new_container("lease").await;
    let leader = hand(&url, "leader");
    leader.put("1").await.unwrap();
    leader.acquire(30, A).await.unwrap();
    assert_eq!(
        rejection(leader.acquire(30, B).await),
        rejected(409, "LeaseAlreadyPresent")
    );
    leader.acquire(30, A).await.unwrap();
    leader.renew(A).await.unwrap();
    assert_eq!(
        rejection(leader.renew(B).await),
        rejected(409, "LeaseIdMismatchWithLeaseOperation")
    );
    assert_eq!(leader.head("x-ms-lease-state").await.as_deref(), Some("leased"));
    assert_eq!(leader.head("x-ms-lease-status").await.as_deref(), Some("locked"));
    assert_eq!(leader.head("x-ms-lease-duration").await.as_deref(), Some("fixed"));
    assert_eq!(
        rejection(leader.release(B).await),
        rejected(409, "LeaseIdMismatchWithLeaseOperation")
    );
    let etag = leader.head("etag").await;
    leader.release(A).await.unwrap();
    assert_eq!(leader.head("x-ms-lease-state").await.as_deref(), Some("available"));
    assert_eq!(leader.head("etag").await, etag);
    leader.acquire(-1, B).await.unwrap();
    assert_eq!(leader.head("x-ms-lease-duration").await.as_deref(), Some("infinite"));
}

async fn an_unrenewed_lease_can_be_taken_over(subject: Subject) {
    let url = subject.new_container("takeover").await;
    let leader = hand(&url, "leader");
    leader.put("1").await.unwrap();
    leader.acquire(15, A).await.unwrap();
    subject.pass(Duration::from_secs(10)).await;
    leader.renew(A).await.unwrap();
    subject.pass(Duration::from_secs(14)).await;
    assert_eq!(
        rejection(leader.acquire(15, B).await),
        rejected(409, "LeaseAlreadyPresent")
    );
    subject.pass(Duration::from_millis(1200)).await;
    assert_eq!(leader.head("x-ms-lease-state").await.as_deref(), Some("expired"));
    // Nobody took it in the meantime, so its holder still may.
    leader.renew(A).await.unwrap();
    subject.pass(Duration::from_millis(15_200)).await;
    leader.acquire(15, B).await.unwrap();
    assert_eq!(
        rejection(leader.renew(A).await),
        rejected(409, "LeaseIdMismatchWithLeaseOperation")
    );
    assert_eq!(
        rejection(leader.put_leased("2", A).await),
        rejected(412, "LeaseIdMismatchWithBlobOperation")
    );
    leader.put_leased("2", B).await.unwrap();
}

async fn a_lease_can_be_changed_and_broken(subject: Subject) {
    let url = subject.new_container("change").await;
    let leader = hand(&url, "leader");
    leader.put("1").await.unwrap();
    leader.acquire(15, A).await.unwrap();
    leader.0.change_lease(A.to_owned(), B.to_owned(), None).await.unwrap();
    assert_eq!(
        rejection(leader.renew(A).await),
        rejected(409, "LeaseIdMismatchWithLeaseOperation")
    );
    leader.renew(B).await.unwrap();
    let breaking = |seconds| BlobClientBreakLeaseOptions {
        break_period: Some(seconds),
        ..Default::default()
    };
    let answer = leader.0.break_lease(Some(breaking(60))).await.unwrap();
    let left: u64 = answer
        .headers()
        .get_optional_str(&"x-ms-lease-time".into())
        .unwrap()
        .parse()
        .unwrap();
    assert!((14..=15).contains(&left), "{left}");
    assert_eq!(leader.head("x-ms-lease-state").await.as_deref(), Some("breaking"));
    assert_eq!(
        rejection(leader.renew(B).await),
        rejected(409, "LeaseIsBrokenAndCannotBeRenewed")
    );
    assert_eq!(
        rejection(leader.acquire(15, B).await),
        rejected(409, "LeaseIsBreakingAndCannotBeAcquired")
    );
    assert_eq!(
        rejection(leader.acquire(15, A).await),
        rejected(409, "LeaseAlreadyPresent")
    );
    leader.0.break_lease(Some(breaking(0))).await.unwrap();
    assert_eq!(leader.head("x-ms-lease-state").await.as_deref(), Some("broken"));
    leader.acquire(15, A).await.unwrap();
}

async fn a_leased_blob_needs_the_lease_for_every_change(subject: Subject) {
    let url = subject.new_container("writes").await;
    let leader = hand(&url, "leader");
    leader.put("1").await.unwrap();
    assert_eq!(
        rejection(leader.put_leased("2", A).await),
        rejected(412, "LeaseNotPresentWithBlobOperation")
    );
    leader.acquire(15, A).await.unwrap();
    assert_eq!(rejection(leader.put("2").await), rejected(412, "LeaseIdMissing"));
    assert_eq!(
        rejection(leader.put_leased("2", B).await),
        rejected(412, "LeaseIdMismatchWithBlobOperation")
    );
    assert_eq!(rejection(leader.0.delete(None).await), rejected(412, "LeaseIdMissing"));
    let metadata = HashMap::from([("epoch".to_owned(), "7".to_owned())]);
    assert_eq!(
        rejection(leader.0.set_metadata(&metadata, None).await),
        rejected(412, "LeaseIdMissing")
    );
    leader.put_leased("2", A).await.unwrap();
    let options = BlobClientSetMetadataOptions {
        lease_id: Some(A.to_owned()),
        ..Default::default()
    };
    leader.0.set_metadata(&metadata, Some(options)).await.unwrap();
    assert_eq!(leader.get().await.unwrap(), "2");
    // Writing under a lease keeps it.
    leader.renew(A).await.unwrap();
    let options = BlobClientDownloadOptions {
        lease_id: Some(B.to_owned()),
        ..Default::default()
    };
    assert_eq!(
        rejection(leader.get_if(options).await),
        rejected(412, "LeaseIdMismatchWithBlobOperation")
    );
    let options = BlobClientDeleteOptions {
        lease_id: Some(A.to_owned()),
        ..Default::default()
    };
    leader.0.delete(Some(options)).await.unwrap();
}

async fn rejections_to_lease(subject: Subject) {
    let url = subject.new_container("rejections").await;
    let leader = hand(&url, "leader");
    assert_eq!(rejection(leader.acquire(15, A).await), rejected(404, "BlobNotFound"));
    leader.put("1").await.unwrap();
    for seconds in [14, 61, 0, -2] {
        assert_eq!(
            rejection(leader.acquire(seconds, A).await),
            rejected(400, "InvalidHeaderValue"),
            "{seconds}"
        );
    }
    assert_eq!(
        rejection(leader.renew(A).await),
        rejected(409, "LeaseIdMismatchWithLeaseOperation")
    );
    assert_eq!(
        rejection(leader.release(A).await),
        rejected(409, "LeaseIdMismatchWithLeaseOperation")
    );
    let none = rejected(409, "LeaseNotPresentWithLeaseOperation");
    assert_eq!(rejection(leader.0.break_lease(None).await), none);
    assert_eq!(
        rejection(leader.0.change_lease(A.to_owned(), B.to_owned(), None).await),
        none
    );
}
