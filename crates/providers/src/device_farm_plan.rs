//! The configuration of a Device Farm test, read: which files are uploaded as what, and what the run is told. Pure; the calls
//! are in `device_farm.rs`.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_devicefarm::types::{
    BillingMethod, CustomerArtifactPaths, ExecutionConfiguration, Location, Radios, ScheduleRunConfiguration,
    ScheduleRunTest, TestType, UploadType,
};
use towpath_model::action::ActionInvocation;
use towpath_model::catalogue::{Property, ValidValues};

use crate::deploys::{given, needed};

const ANDROID: &str = "Android";
const IOS: &str = "iOS";
const WEB: &str = "Web";
const FUZZ: &str = "BUILTIN_FUZZ";
/// The one type of test with a package and no specification.
const XCTEST: &str = "XCTEST";
const TEST_TYPES: [&str; 14] = [
    "APPIUM_JAVA_JUNIT",
    "APPIUM_JAVA_TESTNG",
    "APPIUM_NODE",
    "APPIUM_RUBY",
    "APPIUM_PYTHON",
    "APPIUM_WEB_JAVA_JUNIT",
    "APPIUM_WEB_JAVA_TESTNG",
    "APPIUM_WEB_NODE",
    "APPIUM_WEB_RUBY",
    "APPIUM_WEB_PYTHON",
    FUZZ,
    "INSTRUMENTATION",
    XCTEST,
    "XCTEST_UI",
];

/// The keys of the action.
pub fn properties() -> Vec<Property> {
    let whole = |key: &str, text: &str, min: i64, max: i64| Property {
        valid: ValidValues::Integer(min, max),
        ..Property::optional(key, text)
    };
    let number = |key: &str, text: &str| Property { valid: ValidValues::Number, ..Property::optional(key, text) };
    let switch = |key: &str, text: &str| Property::optional(key, text).boolean();
    vec![
        Property::required("AppType", "What is tested.").one_of(&[IOS, ANDROID, WEB]),
        Property::required("ProjectId", "Id of the Device Farm project."),
        Property::optional("App", "Path of the app in the input artifact; required unless `AppType` is `Web`."),
        Property::required("DevicePoolArn", "ARN of the device pool."),
        Property::required("TestType", "Type of the test.").one_of(&TEST_TYPES),
        Property::optional("Test", "Path of the test package in the input artifact; required unless the test is fuzz."),
        Property::optional("TestSpec", "Path of the test specification in the input artifact."),
        switch("RadioBluetoothEnabled", "Whether Bluetooth is on."),
        switch("RadioWifiEnabled", "Whether Wi-Fi is on."),
        switch("RadioNfcEnabled", "Whether NFC is on."),
        switch("RadioGpsEnabled", "Whether GPS is on."),
        switch("RecordAppPerformanceData", "Record CPU, frames per second and memory."),
        switch("RecordVideo", "Record a video."),
        whole("FuzzEventCount", "Events of a fuzz test.", 1, 10_000),
        whole("FuzzEventThrottle", "Milliseconds between two events of a fuzz test.", 1, 1000),
        whole("FuzzRandomizerSeed", "Seed of a fuzz test.", i64::from(i32::MIN), i64::from(i32::MAX)),
        Property::optional("CustomHostMachineArtifacts", "Path on the host of a file to keep, or several with commas."),
        Property::optional("CustomDeviceArtifacts", "Path on the device of a file to keep, or several with commas."),
        switch("UnmeteredDevicesOnly", "Use the account's device slots instead of paying by the minute."),
        whole("JobTimeoutMinutes", "How long the test of one device may take.", 1, i64::from(i32::MAX)),
        number("Latitude", "Where the devices think they are, with `Longitude`."),
        number("Longitude", "Where the devices think they are, with `Latitude`."),
    ]
}

/// A file of the artifact that Device Farm gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File<'a> {
    pub path: &'a str,
    pub kind: UploadType,
}

/// What is run, with what.
pub struct Plan<'a> {
    pub project: &'a str,
    pub pool: &'a str,
    pub app: Option<File<'a>>,
    pub test: Option<File<'a>>,
    pub spec: Option<File<'a>>,
    pub configuration: ScheduleRunConfiguration,
    pub execution: ExecutionConfiguration,
    kind: &'a str,
    parameters: HashMap<String, String>,
}

impl<'a> Plan<'a> {
    pub fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let app_type = one_of(action, "AppType", &[IOS, ANDROID, WEB])?;
        let kind = one_of(action, "TestType", &TEST_TYPES)?;
        let app = match (app_type, given(action, "App")) {
            (WEB, _) => None,
            (_, None) => return Err(format!("The AppType {app_type} needs App, the path of the app in the artifact.")),
            (_, Some(path)) => {
                Some(File { path, kind: UploadType::from(if app_type == IOS { "IOS_APP" } else { "ANDROID_APP" }) })
            }
        };
        let test = match (kind, given(action, "Test")) {
            (FUZZ, None) => None,
            (FUZZ, Some(_)) => return Err(format!("A {FUZZ} test brings its own events; remove Test.")),
            (_, None) => {
                return Err(format!("The TestType {kind} needs Test, the path of the test package in the artifact."));
            }
            (_, Some(path)) => Some(File { path, kind: UploadType::from(format!("{kind}_TEST_PACKAGE").as_str()) }),
        };
        let spec = match given(action, "TestSpec") {
            None => None,
            Some(_) if [FUZZ, XCTEST].contains(&kind) => {
                return Err(format!("The TestType {kind} takes no test specification; remove TestSpec."));
            }
            Some(path) => Some(File { path, kind: UploadType::from(format!("{kind}_TEST_SPEC").as_str()) }),
        };
        let execution = ExecutionConfiguration::builder()
            .set_job_timeout_minutes(parsed(action, "JobTimeoutMinutes")?)
            .set_video_capture(switch(action, "RecordVideo")?);
        Ok(Self {
            project: needed(action, "ProjectId")?,
            pool: needed(action, "DevicePoolArn")?,
            app,
            test,
            spec,
            configuration: configuration(action, app_type)?,
            execution: execution.build(),
            kind,
            parameters: parameters(action, kind)?,
        })
    }

    /// The files, in the order in which they are uploaded.
    pub fn files(&self) -> Vec<&File<'a>> {
        [&self.app, &self.test, &self.spec].into_iter().flatten().collect()
    }

    /// What runs, with the uploaded test.
    pub fn test_of(&self, package: Option<String>, spec: Option<String>) -> Result<ScheduleRunTest, String> {
        ScheduleRunTest::builder()
            .r#type(TestType::from(self.kind))
            .set_test_package_arn(package)
            .set_test_spec_arn(spec)
            .set_parameters(Some(self.parameters.clone()).filter(|parameters| !parameters.is_empty()))
            .build()
            .map_err(|error| error.to_string())
    }
}

fn one_of<'a>(action: &'a ActionInvocation, key: &str, known: &[&str]) -> Result<&'a str, String> {
    let value = needed(action, key)?;
    if known.contains(&value) {
        return Ok(value);
    }
    Err(format!("The value of {key} is '{value}'; it must be one of {}.", known.join(", ")))
}

fn parsed<T: FromStr>(action: &ActionInvocation, key: &str) -> Result<Option<T>, String> {
    let read =
        |value: &str| value.trim().parse().map_err(|_| format!("The value of {key} is '{value}', which is no number."));
    given(action, key).map(read).transpose()
}

fn switch(action: &ActionInvocation, key: &str) -> Result<Option<bool>, String> {
    let Some(value) = given(action, key) else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(format!("The value of {key} is '{value}'; it must be true or false.")),
    }
}

fn paths(action: &ActionInvocation, key: &str) -> Option<Vec<String>> {
    let list = given(action, key)?.split(',').map(str::trim).filter(|path| !path.is_empty());
    Some(list.map(ToOwned::to_owned).collect())
}

fn configuration(action: &ActionInvocation, app_type: &str) -> Result<ScheduleRunConfiguration, String> {
    let location = match (parsed::<f64>(action, "Latitude")?, parsed::<f64>(action, "Longitude")?) {
        (None, None) => None,
        (Some(latitude), Some(longitude)) => {
            let place = Location::builder().latitude(latitude).longitude(longitude);
            Some(place.build().map_err(|error| error.to_string())?)
        }
        _ => return Err("Latitude and Longitude belong together: give both, or neither.".to_owned()),
    };
    let radios = Radios::builder()
        .set_wifi(switch(action, "RadioWifiEnabled")?)
        .set_bluetooth(switch(action, "RadioBluetoothEnabled")?)
        .set_nfc(switch(action, "RadioNfcEnabled")?)
        .set_gps(switch(action, "RadioGpsEnabled")?)
        .build();
    let any = [radios.wifi, radios.bluetooth, radios.nfc, radios.gps].iter().any(Option::is_some);
    let (host, device) = (paths(action, "CustomHostMachineArtifacts"), paths(action, "CustomDeviceArtifacts"));
    if device.is_some() && app_type == WEB {
        return Err("CustomDeviceArtifacts are of an app; with the AppType Web there is none.".to_owned());
    }
    let kept = (host.is_some() || device.is_some()).then(|| {
        let (android, ios) = if app_type == IOS { (None, device) } else { (device, None) };
        CustomerArtifactPaths::builder()
            .set_device_host_paths(host)
            .set_android_paths(android)
            .set_ios_paths(ios)
            .build()
    });
    let unmetered = switch(action, "UnmeteredDevicesOnly")?;
    let billing = unmetered.map(|only| if only { BillingMethod::Unmetered } else { BillingMethod::Metered });
    Ok(ScheduleRunConfiguration::builder()
        .set_location(location)
        .set_radios(any.then_some(radios))
        .set_customer_artifact_paths(kept)
        .set_billing_method(billing)
        .build())
}

fn parameters(action: &ActionInvocation, kind: &str) -> Result<HashMap<String, String>, String> {
    let fuzz = [("FuzzEventCount", "event_count"), ("FuzzEventThrottle", "throttle"), ("FuzzRandomizerSeed", "seed")];
    let mut parameters = HashMap::new();
    for (key, name) in fuzz {
        match parsed::<i32>(action, key)? {
            Some(_) if kind != FUZZ => return Err(format!("{key} is of {FUZZ} tests; the TestType is {kind}.")),
            Some(value) => parameters.insert(name.to_owned(), value.to_string()),
            None => None,
        };
    }
    if let Some(record) = switch(action, "RecordAppPerformanceData")? {
        parameters.insert("app_performance_monitoring".to_owned(), record.to_string());
    }
    Ok(parameters)
}
