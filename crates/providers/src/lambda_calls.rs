//! The calls of a Lambda deployment: each asks Lambda, or CloudWatch beside it, one thing. Where a change was made already
//! it is found made. Decides nothing about the order: that is `lambda_deploy.rs`.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use aws_sdk_lambda::operation::get_alias::GetAliasOutput;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{AliasRoutingConfiguration, ProvisionedConcurrencyStatusEnum};
use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};

use crate::deploys::{self, misconfigured};
use crate::inputs;
use crate::lambda_shift::{Shift, Strategy};
use crate::limits::LAMBDA_ZIP_BYTES_MAX;
use crate::objects::{S3, StoreError};
use crate::problem::{Kind, Problem};
use crate::provider::Call;
use crate::staging::copied;

const SERVICE: &str = "AWSLambda";
const CLOUDWATCH: &str = "AmazonCloudWatch";
const LATEST: &str = "$LATEST";

/// Why a call ended nothing.
pub enum Stuck {
    /// Lambda is at work on the function; it may be asked again.
    Busy,
    /// The alias is as nobody here has set it.
    Changed {
        now: String,
    },
    Refused(&'static str, Problem),
    /// The outcome of something else than a call to Lambda.
    Ended(Box<Outcome>),
}

/// One action at its function.
#[derive(Clone, Copy)]
pub struct At<'a> {
    pub cx: &'a Call<'a>,
    pub action: &'a ActionInvocation,
    pub function: &'a str,
}

/// Sends a request and tells a busy Lambda from a refusal.
macro_rules! ask {
    ($self:expr, $call:literal, $request:expr) => {
        $request.send().await.map_err(|error| {
            let problem = $self.cx.realm.note($self.action, Problem::of(SERVICE, &error));
            if problem.code.ends_with("ResourceConflictException") {
                Stuck::Busy
            } else {
                Stuck::Refused($call, problem)
            }
        })
    };
}

impl At<'_> {
    async fn client(&self, call: &'static str) -> Result<aws_sdk_lambda::Client, Stuck> {
        self.cx.realm.lambda(self.action).await.map_err(|problem| Stuck::Refused(call, problem))
    }

    async fn alias(&self, shift: &Shift<'_>) -> Result<GetAliasOutput, Stuck> {
        let client = self.client("getAlias").await?;
        ask!(self, "getAlias", client.get_alias().function_name(self.function).name(shift.alias))
    }

    /// What the alias names, if its traffic may be moved at all.
    pub async fn named(&self, shift: &Shift<'_>) -> Result<String, Stuck> {
        let found = self.alias(shift).await?;
        let version = found.function_version().unwrap_or_default().to_owned();
        let wrong = |message: String| Stuck::Ended(Box::new(misconfigured(message)));
        if !weights(&found).is_empty() {
            return Err(wrong(format!(
                "The alias {} of function {} divides its traffic between versions already. It must name one version before \
                 an action can move it: set its routing configuration back first.",
                shift.alias, self.function
            )));
        }
        if version == LATEST && shift.strategy != Strategy::AllAtOnce {
            return Err(wrong(format!(
                "The alias {} of function {} names $LATEST, whose traffic cannot be divided. Point it to a published \
                 version, or use AllAtOnce.",
                shift.alias, self.function
            )));
        }
        Ok(version)
    }

    /// Hands the code over; Lambda's digest of it.
    pub async fn upload(&self, artifact: &ArtifactLocation) -> Result<String, Stuck> {
        const CALL: &str = "updateFunctionCode";
        let request = self.client(CALL).await?.update_function_code().function_name(self.function);
        let request = if std::ptr::eq(self.cx.realm, self.cx.artifacts) {
            request.s3_bucket(&artifact.bucket).s3_key(&artifact.key)
        } else if let Some(bucket) = self.cx.realm.staging().bucket(self.cx.realm.region(&self.action.region)) {
            let copied = Box::pin(copied(self.cx, self.action, artifact, bucket)).await;
            request.s3_bucket(bucket).s3_key(copied.map_err(Stuck::Ended)?)
        } else {
            request.zip_file(Blob::new(Box::pin(self.zip(artifact)).await?))
        };
        let answer = ask!(self, "updateFunctionCode", request)?;
        answer.code_sha256.ok_or_else(|| {
            Stuck::Refused(CALL, Problem::broken(SERVICE, "UpdateFunctionCode answered without CodeSha256"))
        })
    }

    /// The artifact's bytes, where they are few enough for a request.
    async fn zip(&self, artifact: &ArtifactLocation) -> Result<Vec<u8>, Stuck> {
        let home = S3::new(self.cx.artifacts, self.action, &artifact.region);
        let unread = |problem: Problem| Stuck::Ended(Box::new(inputs::outcome(artifact, &problem)));
        let found = home.look(&artifact.bucket, &artifact.key, None).await.map_err(unread)?;
        if found.bytes > LAMBDA_ZIP_BYTES_MAX {
            let realm = self.cx.realm.name();
            return Err(Stuck::Ended(Box::new(misconfigured(format!(
                "The artifact {} has {} bytes. Lambda takes {LAMBDA_ZIP_BYTES_MAX} in a request, more from an S3 bucket: \
                 add `staging-bucket = \"...\"` to `[realm.{realm}]` in towpath.toml, the name of a bucket there.",
                artifact.name, found.bytes
            )))));
        }
        let local = |error: std::io::Error| {
            let message = format!("cannot keep the artifact {} for the moment: {error}", artifact.name);
            Stuck::Ended(Box::new(Outcome::Unavailable { message }))
        };
        let file = tempfile::Builder::new().prefix("function-").tempfile_in(self.cx.scratch).map_err(local)?;
        home.fetch(&artifact.bucket, &artifact.key, file.path()).await.map_err(|error| match error {
            StoreError::S3(problem) => unread(problem),
            StoreError::Read(error) => local(error),
        })?;
        tokio::fs::read(file.path()).await.map_err(local)
    }

    pub async fn look(&self, version: Option<&str>) -> Result<GetFunctionConfigurationOutput, Stuck> {
        let client = self.client("getFunctionConfiguration").await?;
        let request = client.get_function_configuration().function_name(self.function);
        ask!(self, "getFunctionConfiguration", request.set_qualifier(version.map(ToOwned::to_owned)))
    }

    pub async fn publish(&self, sha256: &str) -> Result<String, Stuck> {
        const CALL: &str = "publishVersion";
        let request = self.client(CALL).await?.publish_version().function_name(self.function);
        let answer = ask!(self, "publishVersion", request.code_sha256(sha256))?;
        let broken = || Stuck::Refused(CALL, Problem::broken(SERVICE, "PublishVersion answered without a version"));
        answer.version.ok_or_else(broken)
    }

    /// Gives the new version this much of the traffic. Where that is so already nothing is sent.
    pub async fn route(&self, shift: &Shift<'_>, old: &str, new: &str, percent: u32) -> Result<(), Stuck> {
        let found = self.alias(shift).await?;
        let (named, weights) = (found.function_version().unwrap_or_default(), weights(&found));
        let wanted: HashMap<String, f64> =
            if percent < 100 { [(new.to_owned(), f64::from(percent) / 100.0)].into() } else { HashMap::new() };
        let goal = if percent < 100 { old } else { new };
        if named == goal && same(&weights, &wanted) {
            return Ok(());
        }
        if named != old || weights.keys().any(|version| version != new) {
            return Err(Stuck::Changed { now: described(named, &weights) });
        }
        self.set(shift, goal, wanted, found.revision_id).await
    }

    /// Gives all traffic back to the old version, unless the alias has a life of its own by now. While the new version is
    /// not known, any weight is taken for the shift's: the alias had none when it began. Says whether there was any.
    pub async fn give_back(&self, shift: &Shift<'_>, old: &str, new: Option<&str>) -> Result<bool, Stuck> {
        let found = self.alias(shift).await?;
        let weights = weights(&found);
        let ours = weights.keys().all(|version| new.is_none_or(|new| new == version));
        if weights.is_empty() || found.function_version() != Some(old) || !ours {
            return Ok(false);
        }
        self.set(shift, old, HashMap::new(), found.revision_id).await.map(|()| true)
    }

    async fn set(
        &self,
        shift: &Shift<'_>,
        version: &str,
        weights: HashMap<String, f64>,
        revision: Option<String>,
    ) -> Result<(), Stuck> {
        // An empty map is what clears the weights; none at all would leave them.
        let routing = AliasRoutingConfiguration::builder().set_additional_version_weights(Some(weights)).build();
        let client = self.client("updateAlias").await?;
        let request = client.update_alias().function_name(self.function).name(shift.alias);
        let request = request.function_version(version).routing_config(routing).set_revision_id(revision);
        match ask!(self, "updateAlias", request) {
            Err(Stuck::Refused(_, problem)) if problem.code.ends_with("PreconditionFailedException") => {
                Err(Stuck::Changed { now: problem.message })
            }
            other => other.map(drop),
        }
    }

    /// Why the shift must not go on, if an alarm says so.
    pub async fn alarmed(&self, shift: &Shift<'_>) -> Result<Option<ErrorDetails>, Stuck> {
        const CALL: &str = "describeAlarms";
        if shift.alarms.is_empty() {
            return Ok(None);
        }
        let client = self.cx.realm.cloudwatch(self.action).await;
        let request = client.map_err(|problem| Stuck::Refused(CALL, problem))?.describe_alarms();
        let names = shift.alarms.iter().map(|name| (*name).to_owned()).collect();
        // Without both types, CloudWatch shows metric alarms alone.
        let request = request.alarm_types(AlarmType::MetricAlarm).alarm_types(AlarmType::CompositeAlarm);
        let answer =
            request.set_alarm_names(Some(names)).send().await.map_err(|error| {
                Stuck::Refused(CALL, self.cx.realm.note(self.action, Problem::of(CLOUDWATCH, &error)))
            })?;
        let metric = answer.metric_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
        let composite = answer.composite_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
        let states: HashMap<&str, Option<&StateValue>> =
            metric.chain(composite).filter_map(|(name, state)| Some((name?, state))).collect();
        if let Some(name) = shift.alarms.iter().find(|name| !states.contains_key(*name)) {
            let message = format!(
                "The alarm {name} does not exist in Region {}. Check Alarms.",
                self.cx.realm.region(&self.action.region)
            );
            return Ok(Some(ErrorDetails::new(error_code::CONFIGURATION_ERROR, message)));
        }
        let raised = shift.alarms.iter().find(|name| states[*name] == Some(&StateValue::Alarm));
        Ok(raised.map(|name| ErrorDetails::new(error_code::JOB_FAILED, format!("Alarm {name} is in ALARM"))))
    }

    /// Whether the provisioned concurrency of the alias has followed.
    pub async fn settled(&self, shift: &Shift<'_>) -> Result<bool, Stuck> {
        const CALL: &str = "getProvisionedConcurrencyConfig";
        let client = self.client(CALL).await?;
        let request = client.get_provisioned_concurrency_config().function_name(self.function);
        match ask!(self, "getProvisionedConcurrencyConfig", request.qualifier(shift.alias)) {
            Ok(found) => match found.status() {
                Some(ProvisionedConcurrencyStatusEnum::InProgress) => Ok(false),
                Some(ProvisionedConcurrencyStatusEnum::Failed) => {
                    let message = format!(
                        "The provisioned concurrency of the alias {} could not be allocated: {}",
                        shift.alias,
                        found.status_reason().unwrap_or("Lambda gives no reason.")
                    );
                    let ended = deploys::failed(Progress::default(), error_code::JOB_FAILED, message);
                    Err(Stuck::Ended(Box::new(ended)))
                }
                _ => Ok(true),
            },
            Err(Stuck::Refused(_, problem)) if problem.kind == Kind::NotFound => Ok(true),
            Err(stuck) => Err(stuck),
        }
    }
}

fn weights(alias: &GetAliasOutput) -> HashMap<String, f64> {
    alias.routing_config().and_then(|config| config.additional_version_weights()).cloned().unwrap_or_default()
}

fn same(one: &HashMap<String, f64>, other: &HashMap<String, f64>) -> bool {
    one.len() == other.len()
        && one.iter().all(|(version, weight)| other.get(version).is_some_and(|w| (w - weight).abs() < 1e-6))
}

fn described(named: &str, weights: &HashMap<String, f64>) -> String {
    let others: BTreeMap<&String, &f64> = weights.iter().collect();
    let others: Vec<String> =
        others.iter().map(|(version, weight)| format!(", version {version} with {weight}")).collect();
    format!("it names version {named}{}", others.concat())
}
