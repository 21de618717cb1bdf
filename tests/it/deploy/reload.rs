//! A ConfigMap that changes, as the kubelet does it: the files lead through a link `..data`, which is renamed over.

use portolan_tests::{Setup, from};
use std::fs;
use std::os::unix::fs::symlink;

#[tokio::test]
async fn a_config_map_that_changes_is_loaded_without_a_restart() {
    let setup = Setup::three_regions();
    let folder = setup.folder().to_owned();
    let text = setup.config();
    let versions = [
        text.clone(),
        text.replace("region: westeurope,", "region: westeurope, priority: 1,"),
    ];
    assert_ne!(versions[0], versions[1]);
    for (index, text) in versions.iter().enumerate() {
        let version = folder.join(format!("..{index}"));
        fs::create_dir(&version).expect("made");
        fs::write(version.join("portolan.yaml"), text).expect("written");
    }
    symlink("..0", folder.join("..data")).expect("linked");
    symlink("..data/portolan.yaml", folder.join("portolan.yaml")).expect("linked");
    let world = setup.try_start().expect("started");
    world.until_healthy().await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    symlink("..1", folder.join("..next")).expect("linked");
    fs::rename(folder.join("..next"), folder.join("..data")).expect("renamed");
    // The kubelet then removes the old version.
    fs::remove_dir_all(folder.join("..0")).expect("removed");
    world
        .until("westeurope is a fallback", |table| {
            table.config().services()[0].gateways()[0].priority == 1
        })
        .await;
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
}
