//! The SDK clients of a realm: one line per AWS service. Each acts as an action's role in the action's Region. Ask again
//! for every call: it is cheap, and the credentials of the last client may have ended.

use towpath_model::action::ActionInvocation;

use crate::limits;
use crate::problem::Problem;
use crate::realm::{Acting, Realm, RealmKind};

/// The settings every service's config builder takes alike.
macro_rules! config {
    ($sdk:ident, $realm:expr, $region:expr, $credentials:expr, $service:literal, $read_timeout:expr) => {{
        let settings = &$realm.settings;
        let mut builder = $sdk::Config::builder()
            .behavior_version(aws_smithy_runtime_api::client::behavior_version::BehaviorVersion::latest())
            .http_client(settings.http.clone())
            .region($sdk::config::Region::new($realm.region_at($service, $region).to_owned()))
            .credentials_provider($credentials.clone())
            .identity_cache($sdk::config::IdentityCache::no_cache())
            .retry_config($realm.retries())
            .timeout_config(
                aws_smithy_types::timeout::TimeoutConfig::builder()
                    .connect_timeout($crate::limits::CONNECT_TIMEOUT)
                    .read_timeout($read_timeout)
                    .build(),
            );
        if let Some(url) = settings.endpoints.of($service) {
            builder = builder.endpoint_url(url);
        }
        builder
    }};
}
pub(crate) use config;

/// `method: crate, "service id"`: a client with nothing special to it.
macro_rules! plain_clients {
    ($($method:ident: $sdk:ident, $service:literal;)*) => {
        impl Realm {
            $(
                pub async fn $method(&self, action: &ActionInvocation) -> Result<$sdk::Client, Problem> {
                    self.client(self.acting(action), &action.region, |realm, credentials| {
                        let region = action.region.as_str();
                        let builder = config!($sdk, realm, region, credentials, $service, limits::READ_TIMEOUT);
                        $sdk::Client::from_conf(builder.build())
                    })
                    .await
                }
            )*
        }
    };
}

plain_clients! {
    appconfig: aws_sdk_appconfig, "appconfig";
    cloudformation: aws_sdk_cloudformation, "cloudformation";
    cloudwatch: aws_sdk_cloudwatch, "cloudwatch";
    codecommit: aws_sdk_codecommit, "codecommit";
    codeconnections: aws_sdk_codeconnections, "codeconnections";
    codedeploy: aws_sdk_codedeploy, "codedeploy";
    codepipeline: aws_sdk_codepipeline, "codepipeline";
    device_farm: aws_sdk_devicefarm, "device_farm";
    ecr: aws_sdk_ecr, "ecr";
    ecr_public: aws_sdk_ecrpublic, "ecr_public";
    ecs: aws_sdk_ecs, "ecs";
    eks: aws_sdk_eks, "eks";
    elastic_beanstalk: aws_sdk_elasticbeanstalk, "elastic_beanstalk";
    inspector_scan: aws_sdk_inspectorscan, "inspector_scan";
    lambda: aws_sdk_lambda, "lambda";
    load_balancing: aws_sdk_elasticloadbalancingv2, "elastic_load_balancing_v2";
    logs: aws_sdk_cloudwatchlogs, "cloudwatch_logs";
    service_catalog: aws_sdk_servicecatalog, "service_catalog";
    sfn: aws_sdk_sfn, "sfn";
    sns: aws_sdk_sns, "sns";
    ssm: aws_sdk_ssm, "ssm";
}

impl Realm {
    /// An S3 client for what `action` may do, in `region`.
    pub async fn s3(&self, action: &ActionInvocation, region: &str) -> Result<aws_sdk_s3::Client, Problem> {
        self.client(self.acting(action), region, |realm, credentials| {
            let mut builder = config!(aws_sdk_s3, realm, region, credentials, "s3", limits::S3_READ_TIMEOUT);
            if realm.kind() != RealmKind::Aws {
                // What is no AWS seldom has wildcard names, and need not know the newest checksum trailers.
                builder = builder
                    .force_path_style(true)
                    .request_checksum_calculation(aws_sdk_s3::config::RequestChecksumCalculation::WhenRequired)
                    .response_checksum_validation(aws_sdk_s3::config::ResponseChecksumValidation::WhenRequired);
            }
            aws_sdk_s3::Client::from_conf(builder.build())
        })
        .await
    }

    /// A CodeBuild client for what `action` may do, in the action's Region.
    pub async fn codebuild(&self, action: &ActionInvocation) -> Result<aws_sdk_codebuild::Client, Problem> {
        self.codebuild_as(self.acting(action), &action.region).await
    }

    /// A CodeBuild client that is CodePipeline itself: for what the service runs for a pipeline whose role need not be
    /// allowed to use CodeBuild. Fails as `action` would if its roles cannot be assumed.
    pub async fn codebuild_of_service(&self, action: &ActionInvocation) -> Result<aws_sdk_codebuild::Client, Problem> {
        self.session(&(self.acting(action), action.region.clone())).await?;
        self.codebuild_as(Acting::Itself, &action.region).await
    }

    async fn codebuild_as(&self, acting: Acting, region: &str) -> Result<aws_sdk_codebuild::Client, Problem> {
        self.client(acting, region, |realm, credentials| {
            let builder = config!(aws_sdk_codebuild, realm, region, credentials, "codebuild", limits::READ_TIMEOUT);
            aws_sdk_codebuild::Client::from_conf(builder.build())
        })
        .await
    }
}
