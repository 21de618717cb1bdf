//! The same requests by the real client, to the fake and, if `PORTOLAN_AZURITE` names one, to the Azurite emulator.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::time::Duration;

use azure_core::http::Etag;
use azure_storage_blob::models::{
    BlobClientDeleteOptions, BlobClientDownloadOptions, BlobContainerClientListBlobsOptions,
    BlockBlobClientUploadOptions,
};
use futures::TryStreamExt;

use super::super::*;
use super::client::*;

suite![
    blobs_are_written_read_listed_and_deleted,
    containers_are_created_once_and_have_names_of_a_form,
    conditions_by_etag,
    create_only_if_absent,
    conditions_by_time,
    a_blob_is_read_in_parts,
    metadata_and_times,
    signatures_are_checked,
    versions_that_are_too_new_are_rejected,
];

async fn blobs_are_written_read_listed_and_deleted(subject: Subject) {
    let url = subject.new_container("crud").await;
    let vote = hand(&url, "votes/west");
    assert_eq!(rejection(vote.get().await), rejected(404, "BlobNotFound"));
    vote.put("{\"seq\":1}").await.unwrap();
    vote.put("{\"seq\":2}").await.unwrap();
    hand(&url, "leader").put("").await.unwrap();
    hand(&url, "votes/öst & süd").put("x").await.unwrap();
    assert_eq!(vote.get().await.unwrap(), "{\"seq\":2}");
    assert_eq!(vote.head("content-length").await.as_deref(), Some("9"));
    // The client's own way of naming a blob of a container encodes the slash.
    let properties = container(&url)
        .blob_client("votes/west")
        .get_properties(None)
        .await
        .unwrap();
    assert_eq!(
        properties.headers().get_optional_str(&"x-ms-blob-type".into()),
        Some("BlockBlob")
    );
    let options = BlobContainerClientListBlobsOptions {
        prefix: Some("votes/".to_owned()),
        ..Default::default()
    };
    let listed = container(&url)
        .list_blobs(Some(options))
        .unwrap()
        .try_collect::<Vec<_>>()
        .await
        .unwrap();
    let names: Vec<_> = listed.into_iter().map(|item| item.name.unwrap()).collect();
    assert_eq!(names, ["votes/west", "votes/öst & süd"]);
    vote.0.delete(None).await.unwrap();
    assert_eq!(rejection(vote.0.delete(None).await), rejected(404, "BlobNotFound"));
    assert_eq!(rejection(vote.get().await), rejected(404, "BlobNotFound"));
}

async fn containers_are_created_once_and_have_names_of_a_form(subject: Subject) {
    let missing = subject.container("missing");
    assert_eq!(
        rejection(hand(&missing, "leader").get().await),
        rejected(404, "ContainerNotFound")
    );
    assert_eq!(
        rejection(hand(&missing, "leader").put("x").await),
        rejected(404, "ContainerNotFound")
    );
    let url = subject.new_container("once").await;
    assert_eq!(
        rejection(container(&url).create(None).await),
        rejected(409, "ContainerAlreadyExists")
    );
    container(&url).get_properties(None).await.unwrap();
    container(&url).delete(None).await.unwrap();
    assert_eq!(
        rejection(container(&url).get_properties(None).await),
        rejected(404, "ContainerNotFound")
    );
    for (name, code) in [
        ("ab", "OutOfRangeInput"),
        ("Upper", "InvalidResourceName"),
        ("a--b", "InvalidResourceName"),
    ] {
        assert_eq!(
            rejection(container(&subject.container(name)).create(None).await),
            rejected(400, code),
            "{name}"
        );
    }
}

async fn conditions_by_etag(subject: Subject) {
    let url = subject.new_container("etags").await;
    let leader = hand(&url, "leader");
    leader.put("1").await.unwrap();
    let first = leader.head("etag").await.unwrap();
    leader.put("2").await.unwrap();
    let second = leader.head("etag").await.unwrap();
    assert_ne!(first, second);
    let matching = |etag: &str| BlockBlobClientUploadOptions {
        if_match: Some(Etag::from(etag)),
        ..Default::default()
    };
    assert_eq!(
        rejection(leader.put_if("3", matching(&first)).await),
        rejected(412, "ConditionNotMet")
    );
    leader.put_if("3", matching(&second)).await.unwrap();
    leader.put_if("4", matching("*")).await.unwrap();
    assert_eq!(
        rejection(hand(&url, "none").put_if("x", matching(&first)).await),
        rejected(412, "ConditionNotMet")
    );
    let delete = BlobClientDeleteOptions {
        if_match: Some(Etag::from(first.as_str())),
        ..Default::default()
    };
    assert_eq!(
        rejection(leader.0.delete(Some(delete)).await),
        rejected(412, "ConditionNotMet")
    );

    let current = leader.head("etag").await.unwrap();
    let read = |matching: Option<&str>, other: Option<&str>| BlobClientDownloadOptions {
        if_match: matching.map(Etag::from),
        if_none_match: other.map(Etag::from),
        ..Default::default()
    };
    assert_eq!(
        rejection(leader.get_if(read(Some(&first), None)).await),
        rejected(412, "ConditionNotMet")
    );
    assert_eq!(leader.get_if(read(Some(&current), None)).await.unwrap().1, "4");
    assert_eq!(leader.get_if(read(None, Some(&first))).await.unwrap().1, "4");
    assert_eq!(rejection(leader.get_if(read(None, Some(&current))).await).0, 304);
}

async fn create_only_if_absent(subject: Subject) {
    let url = subject.new_container("absent").await;
    let leader = hand(&url, "leader");
    let absent = || BlockBlobClientUploadOptions {
        if_none_match: Some(Etag::from("*")),
        ..Default::default()
    };
    leader.put_if("1", absent()).await.unwrap();
    assert_eq!(
        rejection(leader.put_if("2", absent()).await),
        rejected(409, "BlobAlreadyExists")
    );
    // Being there is found before being leased.
    leader.acquire(15, A).await.unwrap();
    assert_eq!(
        rejection(leader.put_if("2", absent()).await),
        rejected(409, "BlobAlreadyExists")
    );
    assert_eq!(leader.get().await.unwrap(), "1");
}

async fn conditions_by_time(subject: Subject) {
    let url = subject.new_container("times").await;
    let vote = hand(&url, "vote");
    vote.put("1").await.unwrap();
    let hour = Duration::from_secs(3600);
    let (past, future) = ((subject.now() - hour).into(), (subject.now() + hour).into());
    let since = |modified, unmodified| BlobClientDownloadOptions {
        if_modified_since: modified,
        if_unmodified_since: unmodified,
        ..Default::default()
    };
    assert_eq!(vote.get_if(since(Some(past), None)).await.unwrap().1, "1");
    assert_eq!(rejection(vote.get_if(since(Some(future), None)).await).0, 304);
    assert_eq!(vote.get_if(since(None, Some(future))).await.unwrap().1, "1");
    assert_eq!(
        rejection(vote.get_if(since(None, Some(past))).await),
        rejected(412, "ConditionNotMet")
    );
    let write = BlockBlobClientUploadOptions {
        if_unmodified_since: Some(past),
        ..Default::default()
    };
    assert_eq!(
        rejection(vote.put_if("2", write).await),
        rejected(412, "ConditionNotMet")
    );
    let write = BlockBlobClientUploadOptions {
        if_modified_since: Some(future),
        ..Default::default()
    };
    assert_eq!(
        rejection(vote.put_if("2", write).await),
        rejected(412, "ConditionNotMet")
    );
}

async fn a_blob_is_read_in_parts(subject: Subject) {
    let url = subject.new_container("parts").await;
    let big = hand(&url, "big");
    let content: String = (0..2000).map(|n| format!("{n:05}")).collect();
    big.put(&content).await.unwrap();
    for (partition, parallel) in [(1_000, 1), (999, 4), (100_000, 1)] {
        let options = BlobClientDownloadOptions {
            partition_size: NonZero::new(partition),
            parallel: NonZero::new(parallel),
            ..Default::default()
        };
        assert!(big.get_if(options).await.unwrap().1 == content, "{partition}");
    }
    let empty = hand(&url, "empty");
    empty.put("").await.unwrap();
    assert_eq!(empty.get().await.unwrap(), "");
}

async fn metadata_and_times(subject: Subject) {
    let url = subject.new_container("metadata").await;
    let vote = hand(&url, "vote");
    vote.put("1").await.unwrap();
    let metadata = HashMap::from([("vantage".to_owned(), "west".to_owned())]);
    vote.0.set_metadata(&metadata, None).await.unwrap();
    assert_eq!(vote.head("x-ms-meta-vantage").await.as_deref(), Some("west"));
    let time = |text: Option<String>| httpdate::parse_http_date(&text.unwrap()).unwrap();
    let age = async || {
        let headers = vote.get_if(BlobClientDownloadOptions::default()).await.unwrap().0;
        let read = |name: &'static str| time(headers.get_optional_string(&name.into()));
        read("date").duration_since(read("last-modified")).unwrap()
    };
    assert!(age().await <= Duration::from_secs(1));
    subject.pass(Duration::from_secs(3)).await;
    let aged = age().await;
    assert!(
        (Duration::from_secs(3)..=Duration::from_secs(5)).contains(&aged),
        "{aged:?}"
    );
    vote.put("2").await.unwrap();
    assert!(age().await <= Duration::from_secs(1));
}

async fn signatures_are_checked(subject: Subject) {
    let good = subject.new_container("signed").await;
    hand(&good, "vote").put("1").await.unwrap();
    let hour = Duration::from_secs(3600);
    let mut unsigned = good.clone();
    unsigned.set_query(None);
    let signed = |permissions: &str, from| sign_for(&unsigned, permissions, from, hour);
    let attempts = |url: Url| async move {
        let vote = hand(&url, "vote");
        (rejection(vote.get().await), rejection(vote.put("2").await))
    };
    let wrong = rejected(403, "AuthorizationPermissionMismatch");
    let fine = rejected(0, "not rejected");
    assert_eq!(
        attempts(signed("r", subject.now())).await,
        (fine.clone(), wrong.clone())
    );
    assert_eq!(attempts(signed("w", subject.now())).await, (wrong, fine));
    let expired = attempts(signed("rw", subject.now() - 2 * hour)).await.0;
    assert_eq!(expired, rejected(403, "AuthorizationFailure"));
    let mut forged: BTreeMap<_, _> = good.query_pairs().into_owned().collect();
    forged.insert("sig".to_owned(), "AAAA".to_owned());
    let mut url = unsigned.clone();
    url.query_pairs_mut().extend_pairs(forged);
    assert_eq!(attempts(url).await.0.0, 403);
    let nobody = attempts(unsigned.clone()).await.0.0;
    assert!((401..=404).contains(&nobody), "{nobody}");
}

async fn versions_that_are_too_new_are_rejected(subject: Subject) {
    let url = subject.new_container("versions").await;
    let new = Hand(blob(&url, "vote", "2026-04-06"));
    assert_eq!(rejection(new.put("1").await), rejected(400, "InvalidHeaderValue"));
}
