//! A realm that is asked in a Region of its own (`region` of its table): where calls and links go.

use towpath_model::action::{ActionInvocation, Outcome};
use towpath_providers::{Abroad, Call, RealmKind};

use crate::appconfig::{appconfig, with_flags};
use crate::appconfig_peer::AppConfigPeer;
use crate::beanstalk_peer::BeanstalkPeer;
use crate::device_farm::{device_farm, with_an_app};
use crate::device_farm_peer::DeviceFarmPeer;
use crate::elastic_beanstalk::elastic_beanstalk;
use crate::stage::{Stage, pending, realm, s3_deploy, success, zip_of};

/// Starts an action in a realm that is asked in eu-north-1; artifacts are at home.
async fn started_in_the_north(stage: &Stage, action: &ActionInvocation) -> Outcome {
    let there = Abroad { region: Some("eu-north-1".to_owned()), ..Abroad::default() };
    let there = realm(&stage.aws, RealmKind::Other, &stage.clock).abroad(there);
    let call = Call { realm: &there, ..stage.call() };
    stage.provider(action).start(&call, action).await
}

#[tokio::test]
async fn links_lead_to_the_region_that_is_asked() {
    let stage = Stage::new();
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", b"zip", [].into());
    BeanstalkPeer::install(&stage);
    let bean = pending(started_in_the_north(&stage, &elastic_beanstalk()).await);
    let stage = Stage::new();
    with_flags(&stage);
    AppConfigPeer::install(&stage);
    let flags = pending(started_in_the_north(&stage, &appconfig()).await);
    for progress in [bean, flags] {
        let link = progress.external_url.unwrap();
        assert!(link.contains("region=eu-north-1"), "{link}");
    }
}

#[tokio::test]
async fn a_service_of_one_region_is_asked_there() {
    let stage = Stage::new();
    with_an_app(&stage);
    DeviceFarmPeer::install(&stage);
    pending(started_in_the_north(&stage, &device_farm()).await);
    let world = stage.aws.world();
    let regions: Vec<&str> =
        world.requests.iter().filter(|r| r.service == "devicefarm").map(|r| r.region.as_str()).collect();
    assert!(!regions.is_empty() && regions.iter().all(|region| *region == "us-west-2"), "{regions:?}");
}

#[tokio::test]
async fn a_bucket_is_written_to_where_it_is() {
    for (at, asked) in [("ap-south-1", "ap-south-1"), ("eu-west-1", "eu-west-1"), ("", "eu-north-1")] {
        let stage = Stage::new();
        stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip_of(&[("a.txt", b"1")]), [].into());
        at.clone_into(&mut stage.aws.world().s3.buckets.get_mut("site").unwrap().region);
        let (progress, ..) = success(started_in_the_north(&stage, &s3_deploy(&[("Extract", "true")])).await);
        let link = progress.external_url.unwrap();
        assert_eq!(link, format!("https://console.aws.amazon.com/s3/buckets/site?region={asked}"));
        let world = stage.aws.world();
        assert_eq!(world.requests.iter().rfind(|request| request.method == "PUT").unwrap().region, asked);
    }
}
