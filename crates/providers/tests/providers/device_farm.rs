//! Test / DeviceFarm: uploads, runs found again, what the run is told, how it ends, and what is refused.

use serde_json::json;
use towpath_model::action::{ActionInvocation, Progress};
use towpath_model::catalogue::{Category, Owner};

use crate::device_farm_peer::{DeviceFarmPeer, PROJECT};
use crate::stage::{Stage, artifact, failure, invocation, pending, success, zip_of};

const POOL: &str = "arn:aws:devicefarm:us-west-2::devicepool:082d10e5-d7d7-48a5-ba5c-b33d66efa1f5";

fn with(configuration: &[(&str, &str)]) -> ActionInvocation {
    let base = [("ProjectId", "a1b2c3d4-0000-4000-8000-abcdefabcdef"), ("DevicePoolArn", POOL)];
    let mut action = invocation(Category::Test, Owner::Aws, "DeviceFarm", &base);
    action.configuration.extend(configuration.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    ActionInvocation { input_artifacts: vec![artifact("bundle", "ferry/bundle/a1B2c3D")], ..action }
}

/// A fuzz test of an Android app.
pub fn device_farm() -> ActionInvocation {
    with(&[("AppType", "Android"), ("App", "out/app.apk"), ("TestType", "BUILTIN_FUZZ"), ("FuzzEventCount", "6000")])
}

pub fn with_an_app(stage: &Stage) {
    let zip = zip_of(&[("out/app.apk", b"apk"), ("tests/tests.zip", b"tests"), ("tests/spec.yml", b"version: 0.1")]);
    stage.aws.world().s3.put("artifacts", "ferry/bundle/a1B2c3D", &zip, [].into());
}

fn prepared() -> (Stage, DeviceFarmPeer) {
    let stage = Stage::new();
    with_an_app(&stage);
    let peer = DeviceFarmPeer::install(&stage);
    (stage, peer)
}

#[tokio::test]
async fn a_fuzz_test_of_an_app() {
    let (stage, peer) = prepared();
    let action = device_farm();
    let progress = pending(stage.start(&action).await);
    let run = "arn:aws:devicefarm:us-west-2:111122223333:run:a1b2c3d4-0000-4000-8000-abcdefabcdef/1";
    assert_eq!(progress.external_id.as_deref(), Some(run));
    assert_eq!(
        progress.external_url.as_deref(),
        Some(
            "https://us-west-2.console.aws.amazon.com/devicefarm/home?region=us-west-2#/mobile/projects/a1b2c3d4-0000-4000-8000-abcdefabcdef/runs/1"
        )
    );
    {
        let farm = peer.farm();
        assert_eq!(
            farm.uploads,
            [json!({"projectArn": PROJECT, "name": "app.apk", "type": "ANDROID_APP",
                    "contentType": "application/octet-stream"})]
        );
        assert_eq!(farm.put["1"], ("application/octet-stream".to_owned(), b"apk".to_vec()));
        assert_eq!(
            farm.scheduled,
            [
                json!({"projectArn": PROJECT, "devicePoolArn": POOL, "appArn": "arn:aws:devicefarm:us-west-2:111122223333:upload:1",
                    "name": "ferry-22222222-2222-4222-8222-222222222222",
                    "test": {"type": "BUILTIN_FUZZ", "parameters": {"event_count": "6000"}},
                    "configuration": {}, "executionConfiguration": {}})
            ]
        );
    }
    {
        let mut farm = peer.farm();
        farm.runs[0]["status"] = json!("RUNNING");
        farm.runs[0]["totalJobs"] = json!(8);
        farm.runs[0]["completedJobs"] = json!(3);
        farm.runs[0]["counters"] = json!({"total": 20, "passed": 6, "failed": 0});
    }
    let progress = pending(stage.poll(&action, &progress).await);
    assert_eq!(
        (progress.summary.as_deref(), progress.percent),
        (Some("The run is RUNNING: passed 6 of 20."), Some(37))
    );
    peer.farm().runs[0]["status"] = json!("COMPLETED");
    peer.farm().runs[0]["result"] = json!("WARNED");
    let (progress, variables, _) = success(stage.poll(&action, &progress).await);
    assert_eq!(progress.summary.as_deref(), Some("The run is WARNED: passed 6 of 20."));
    assert!(variables.is_empty());
}

#[tokio::test]
async fn a_test_package_with_everything_that_can_be_said() {
    let (stage, peer) = prepared();
    peer.farm().processing = 1;
    let action = with(&[
        ("AppType", "iOS"),
        ("App", "out/app.apk"),
        ("TestType", "XCTEST_UI"),
        ("Test", "tests/tests.zip"),
        ("TestSpec", "tests/spec.yml"),
        ("RadioWifiEnabled", "true"),
        ("RadioGpsEnabled", "False"),
        ("RecordAppPerformanceData", "true"),
        ("RecordVideo", "false"),
        ("CustomHostMachineArtifacts", "$DEVICEFARM_LOG_DIR"),
        ("CustomDeviceArtifacts", "a.log, b.log"),
        ("UnmeteredDevicesOnly", "true"),
        ("JobTimeoutMinutes", "30"),
        ("Latitude", "53.55"),
        ("Longitude", "-9.9"),
    ]);
    let progress = pending(stage.start(&action).await);
    assert_eq!(progress.summary.as_deref(), Some("Device Farm is taking the uploads in."));
    assert!(peer.farm().scheduled.is_empty());
    pending(stage.poll(&action, &progress).await);
    let farm = peer.farm();
    let kinds: Vec<&str> = farm.uploads.iter().filter_map(|upload| upload["type"].as_str()).collect();
    assert_eq!(kinds, ["IOS_APP", "XCTEST_UI_TEST_PACKAGE", "XCTEST_UI_TEST_SPEC"]);
    assert_eq!(farm.put["3"].1, b"version: 0.1");
    let upload = |number: usize| format!("arn:aws:devicefarm:us-west-2:111122223333:upload:{number}");
    let run = &farm.scheduled[0];
    assert_eq!(run["appArn"], upload(1));
    assert_eq!(
        run["test"],
        json!({"type": "XCTEST_UI", "testPackageArn": upload(2), "testSpecArn": upload(3),
               "parameters": {"app_performance_monitoring": "true"}})
    );
    assert_eq!(
        run["configuration"],
        json!({"radios": {"wifi": true, "gps": false}, "location": {"latitude": 53.55, "longitude": -9.9},
               "customerArtifactPaths": {"deviceHostPaths": ["$DEVICEFARM_LOG_DIR"], "iosPaths": ["a.log", "b.log"]},
               "billingMethod": "UNMETERED"})
    );
    assert_eq!(run["executionConfiguration"], json!({"jobTimeoutMinutes": 30, "videoCapture": false}));
}

#[tokio::test]
async fn a_run_whose_start_was_lost_is_found() {
    let (stage, peer) = prepared();
    let action = device_farm();
    pending(stage.start(&action).await);
    let progress = pending(stage.poll(&action, &Progress::default()).await);
    assert_eq!(progress.summary.as_deref(), Some("The run is SCHEDULING."));
    assert_eq!(peer.farm().uploads.len(), 1);
    assert_eq!(peer.farm().scheduled.len(), 1);
    assert_eq!(stage.stop(&action, &Progress::default()).await, Ok(()));
    assert_eq!(peer.farm().stopped.len(), 1, "by its name");
}

#[tokio::test]
async fn runs_and_uploads_that_fail() {
    let (stage, peer) = prepared();
    let action = device_farm();
    let progress = pending(stage.start(&action).await);
    {
        let mut farm = peer.farm();
        farm.runs[0]["status"] = json!("COMPLETED");
        farm.runs[0]["result"] = json!("ERRORED");
        farm.runs[0]["resultCode"] = json!("PARSING_FAILED");
        farm.runs[0]["message"] = json!("The test package is not valid.");
        farm.runs[0]["counters"] = json!({"total": 10, "failed": 2, "errored": 1});
    }
    let (code, message) = failure(stage.poll(&action, &progress).await);
    assert_eq!(code, "JobFailed");
    assert_eq!(
        message,
        "The run ferry-22222222-2222-4222-8222-222222222222 is ERRORED: failed 2, errored 1 of 10. PARSING_FAILED. The test \
         package is not valid."
    );

    let (stage, peer) = prepared();
    peer.farm().refused = Some("We could not open the file as an APK.".to_owned());
    let (code, message) = failure(stage.start(&action).await);
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("JobFailed", "Device Farm does not take out/app.apk as ANDROID_APP: We could not open the file as an APK.")
    );
}

#[tokio::test]
async fn what_cannot_be_run() {
    let (stage, _) = prepared();
    let changed = |key: &str, value: &str| {
        let mut action = device_farm();
        action.configuration.insert(key.to_owned(), value.to_owned());
        action
    };
    for (action, text) in [
        (changed("ProjectId", "gone"), "There is no Device Farm project gone. Check ProjectId."),
        (changed("AppType", "Windows"), "The value of AppType is 'Windows'; it must be one of iOS, Android, Web."),
        (
            changed("TestType", "REMOTE_ACCESS_RECORD"),
            "The value of TestType is 'REMOTE_ACCESS_RECORD'; it must be one of",
        ),
        (changed("App", ""), "The AppType Android needs App, the path of the app in the artifact."),
        (changed("App", "none.apk"), "The artifact bundle has no file none.apk."),
        (changed("Test", "tests/tests.zip"), "A BUILTIN_FUZZ test brings its own events; remove Test."),
        (
            changed("TestSpec", "tests/spec.yml"),
            "The TestType BUILTIN_FUZZ takes no test specification; remove TestSpec.",
        ),
        (changed("TestType", "INSTRUMENTATION"), "The TestType INSTRUMENTATION needs Test"),
        (changed("RecordVideo", "yes"), "The value of RecordVideo is 'yes'; it must be true or false."),
        (changed("JobTimeoutMinutes", "long"), "The value of JobTimeoutMinutes is 'long', which is no number."),
        (changed("Latitude", "53.55"), "Latitude and Longitude belong together"),
        (
            with(&[
                ("AppType", "Web"),
                ("TestType", "APPIUM_WEB_NODE"),
                ("Test", "tests/tests.zip"),
                ("CustomDeviceArtifacts", "a"),
            ]),
            "CustomDeviceArtifacts are of an app",
        ),
        (
            with(&[
                ("AppType", "Web"),
                ("TestType", "APPIUM_WEB_NODE"),
                ("Test", "tests/tests.zip"),
                ("FuzzRandomizerSeed", "4"),
            ]),
            "FuzzRandomizerSeed is of BUILTIN_FUZZ tests; the TestType is APPIUM_WEB_NODE.",
        ),
    ] {
        let (code, message) = failure(stage.start(&action).await);
        assert!(code == "ConfigurationError" && message.starts_with(text), "{code} {message}");
    }
}
