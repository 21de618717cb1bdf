use super::*;
use crate::settings::{Cloud as Settings, Credential};
use portolan_azure_fakes::{Clock, Cloud};

/// For a URL on another host, such as a link to the next page, no token is requested.
#[tokio::test]
async fn our_token_goes_nowhere_but_to_the_management_api() {
    let cloud = Cloud::start_tls(&Clock::running()).await.unwrap();
    let net = Net::new(Some(cloud.authority.pem().as_bytes()), Duration::from_secs(1)).unwrap();
    let credential = Credential::WorkloadIdentity {
        tenant: Some("t".to_owned()),
        client: Some("c".to_owned()),
        token_file: Some("/nowhere/at/all".into()),
    };
    let identity = Arc::new(Identity::new(credential, &Settings::public(), net.clone()));
    let arm = Arm::new(net, identity, cloud.arm.url(), "scope".to_owned());
    let rejected = arm.get(&cloud.blob.url()).await;
    assert!(matches!(rejected, Err(ArmError::Foreign(_))), "{rejected:?}");
    assert_eq!(cloud.entra.log().len() + cloud.blob.log().len(), 0);
}
