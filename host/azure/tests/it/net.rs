//! The transport's limits.

use crate::cloud::Azure;
use bytes::Bytes;
use portolan_azure::net::{Net, NetError, TrustError};
use portolan_azure_fakes::{CertificateAuthority, Fault, Requests};
use std::time::Duration;
use url::Url;

fn net(pem: &str) -> Net {
    Net::new(Some(pem.as_bytes()), Duration::from_secs(1)).unwrap()
}

async fn get(net: &Net, url: &Url) -> Result<Bytes, NetError> {
    let request = http::Request::get(url.as_str()).body(Bytes::new()).unwrap();
    net.call(url, request).await.map(http::Response::into_body)
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let azure = Azure::plain().await;
    let (net, blob) = (net(azure.cloud.authority.pem()), &azure.cloud.blob);
    let mut url = blob.container_url("portolan");
    url.set_path(&format!("{}/large", url.path()));
    assert!(blob.put("portolan", "large", vec![0_u8; 4 << 20]));
    assert_eq!(get(&net, &url).await.map(|body| body.len()), Ok(4 << 20));
    assert!(blob.put("portolan", "large", vec![0_u8; (4 << 20) + 1]));
    assert!(matches!(get(&net, &url).await, Err(NetError::TooLarge(_))));
    blob.fault(Requests::all(), Fault::Hang);
    assert!(matches!(get(&net, &url).await, Err(NetError::Timeout(..))));
    blob.clear_faults(None);
    blob.fault(Requests::all(), Fault::Cut);
    let broken = get(&net, &url).await.unwrap_err();
    assert!(matches!(broken, NetError::Broken(..)));
    assert!(!broken.to_string().contains("sig="), "{broken}");
}

#[tokio::test]
async fn only_trusted_hosts_are_called() {
    let azure = Azure::tls().await;
    let url = azure.cloud.arm.url();
    assert!(get(&net(azure.cloud.authority.pem()), &url).await.is_ok());
    let stranger = CertificateAuthority::new().unwrap();
    let rejected = get(&net(stranger.pem()), &url).await.unwrap_err();
    assert!(matches!(rejected, NetError::Connect(..)), "{rejected}");
    assert_eq!(
        azure.cloud.arm.log().len(),
        1,
        "nothing was sent to a host that is not trusted"
    );
    assert!(matches!(
        Net::new(Some(b"no certificate"), Duration::from_secs(1)),
        Err(TrustError::Nothing)
    ));
    let away = Url::parse("http://192.0.2.1/").unwrap();
    let rejected = get(&net(azure.cloud.authority.pem()), &away).await;
    assert_eq!(rejected, Err(NetError::Plain("192.0.2.1".to_owned())));
}
