//! The job operations of the API, for custom types and for partners'. Everything a worker asks CodePipeline goes through
//! here; results are repeated until they are taken, which the API allows for identical ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use towpath_model::secret::Secret;

use super::job::{Job, TypeId};
use crate::client::failure;
use crate::host::{Api, ApiError};
use crate::limits;

/// Which operations reach the jobs.
#[derive(Debug, Clone)]
pub enum Door {
    Custom,
    /// Jobs of a partner's type, with the client token that was registered for it.
    Partner(Secret),
}

/// Which jobs a worker asks for.
#[derive(Debug, Clone)]
pub struct Polling {
    pub type_id: TypeId,
    /// The value of the type's queryable property, where it has one.
    pub query: BTreeMap<String, String>,
    pub door: Door,
}

/// What a worker tells of its run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub summary: Option<String>,
    pub external_id: Option<String>,
    pub percent: Option<u8>,
}

/// The revision that a source's worker found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    pub id: String,
    pub change_id: String,
    pub summary: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Succeeded {
        progress: Progress,
        variables: BTreeMap<String, String>,
        revision: Option<Revision>,
    },
    /// The work goes on in another job, which is given the token.
    Continued {
        token: String,
        progress: Progress,
    },
    Failed {
        kind: &'static str,
        message: String,
        external_id: Option<String>,
    },
}

/// AWS's failure types that workers use.
pub mod kind {
    pub const JOB_FAILED: &str = "JobFailed";
    pub const CONFIGURATION: &str = "ConfigurationError";
    pub const PERMISSION: &str = "PermissionError";
    pub const SYSTEM: &str = "SystemUnavailable";
    pub const ALL: [&str; 6] =
        [JOB_FAILED, CONFIGURATION, PERMISSION, "RevisionOutOfSync", "RevisionUnavailable", SYSTEM];
}

#[derive(Clone)]
pub struct Jobs {
    api: Arc<dyn Api>,
    polling: Polling,
}

impl Jobs {
    pub fn new(api: Arc<dyn Api>, polling: Polling) -> Self {
        Self { api, polling }
    }

    pub fn type_id(&self) -> &TypeId {
        &self.polling.type_id
    }

    /// Jobs that are given to this worker now; each waits for its acknowledgement.
    pub async fn poll(&self, most: usize) -> Result<Vec<Job>, ApiError> {
        let TypeId { category, owner, provider, version } = &self.polling.type_id;
        let id = json!({"category": category, "owner": owner, "provider": provider, "version": version});
        let mut input = json!({"actionTypeId": id, "maxBatchSize": most});
        match &self.polling.door {
            Door::Custom => {
                if !self.polling.query.is_empty() {
                    input["queryParam"] = json!(self.polling.query);
                }
                let answer = self.call("PollForJobs", input).await?;
                Ok(each(&answer["jobs"]).filter_map(read).collect())
            }
            Door::Partner(_) => {
                let answer = self.call("PollForThirdPartyJobs", input).await?;
                let mut jobs = Vec::new();
                for job in each(&answer["jobs"]) {
                    let id = job["jobId"].as_str().unwrap_or_default();
                    jobs.extend(self.details(id).await?);
                }
                Ok(jobs)
            }
        }
    }

    /// Whether this worker has the job now; otherwise what the job's status is.
    pub async fn acknowledge(&self, job: &Job) -> Result<Result<(), String>, ApiError> {
        let nonce = job.nonce.as_deref().unwrap_or_default();
        let (operation, input) = self.of_job("AcknowledgeJob", &job.id, json!({"nonce": nonce}));
        match self.call(operation, input).await {
            Ok(answer) if answer["status"] == "InProgress" => Ok(Ok(())),
            Ok(answer) => Ok(Err(answer["status"].as_str().unwrap_or("unknown").to_owned())),
            Err(error) if error.code == "InvalidNonceException" => Ok(Err("taken by another worker".to_owned())),
            Err(error) => Err(error),
        }
    }

    /// The job with new credentials; None: nobody waits for it any more.
    pub async fn details(&self, id: &str) -> Result<Option<Job>, ApiError> {
        let (operation, input) = self.of_job("GetJobDetails", id, json!({}));
        match self.call(operation, input).await {
            Ok(answer) => Ok(read(&answer["jobDetails"])),
            Err(error) if error.code == "JobNotFoundException" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells a result until it is taken. An error is final.
    pub async fn put(&self, id: &str, outcome: &Outcome) -> Result<(), ApiError> {
        let (operation, input) = match outcome {
            Outcome::Failed { kind, message, external_id } => {
                let mut details = json!({"type": kind, "message": clipped(message, limits::FAILURE_CHARS_MAX)});
                put(&mut details, "externalExecutionId", external_id.as_ref().map(|id| json!(id)));
                self.of_job("PutJobFailureResult", id, json!({"failureDetails": details}))
            }
            Outcome::Continued { token, progress } => {
                let input = json!({"continuationToken": token, "executionDetails": told(progress)});
                self.of_job("PutJobSuccessResult", id, input)
            }
            Outcome::Succeeded { progress, variables, revision } => {
                let mut input = json!({"executionDetails": told(progress)});
                put(&mut input, "currentRevision", revision.as_ref().map(revised));
                let variables = Some(json!(variables)).filter(|_| !variables.is_empty());
                if matches!(self.polling.door, Door::Custom) {
                    put(&mut input, "outputVariables", variables);
                }
                self.of_job("PutJobSuccessResult", id, input)
            }
        };
        let mut pause = limits::WORKER_RETRY_FIRST;
        let mut left = limits::WORKER_RESULT_TRIES;
        loop {
            match self.call(operation, input.clone()).await {
                Err(error) if passing(&error) && left > 0 => {
                    tracing::warn!(%error, operation, "a result was not taken; it is told again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(limits::WORKER_RETRY_MAX);
                    left -= 1;
                }
                answer => return answer.map(drop),
            }
        }
    }

    /// The operation for this kind of job, and its input.
    fn of_job(&self, custom: &'static str, id: &str, mut input: Json) -> (&'static str, Json) {
        input["jobId"] = json!(id);
        let Door::Partner(token) = &self.polling.door else { return (custom, input) };
        input["clientToken"] = json!(token.expose());
        let operation = match custom {
            "AcknowledgeJob" => "AcknowledgeThirdPartyJob",
            "GetJobDetails" => "GetThirdPartyJobDetails",
            "PutJobFailureResult" => "PutThirdPartyJobFailureResult",
            _ => "PutThirdPartyJobSuccessResult",
        };
        (operation, input)
    }

    async fn call(&self, operation: &str, input: Json) -> Result<Json, ApiError> {
        self.api.call("codepipeline", operation, input).await
    }
}

/// Whether the same call may be answered otherwise in a while.
pub fn passing(error: &ApiError) -> bool {
    matches!(
        error.code.as_str(),
        failure::UNREACHABLE
            | failure::UNREADABLE
            | "InternalFailure"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "ThrottlingException"
            | "ConflictException"
    )
}

fn told(progress: &Progress) -> Json {
    let mut details = json!({});
    let summary = progress.summary.as_deref().map(|text| clipped(text, limits::SUMMARY_CHARS_MAX));
    put(&mut details, "summary", summary.filter(|text| !text.is_empty()).map(|text| json!(text)));
    put(&mut details, "externalExecutionId", progress.external_id.as_ref().map(|id| json!(id)));
    put(&mut details, "percentComplete", progress.percent.map(|percent| json!(percent)));
    details
}

fn revised(revision: &Revision) -> Json {
    let mut told = json!({"revision": revision.id, "changeIdentifier": revision.change_id});
    put(&mut told, "revisionSummary", revision.summary.as_ref().map(|text| json!(text)));
    told
}

fn put(target: &mut Json, name: &str, value: Option<Json>) {
    if let Some(value) = value {
        target[name] = value;
    }
}

/// The end of a text that is too long says why it failed.
fn clipped(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most { text.to_owned() } else { text.chars().skip(length - most).collect() }
}

fn each(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

fn read(job: &Json) -> Option<Job> {
    serde_json::from_value(job.clone()).inspect_err(|error| tracing::warn!(%error, "a job cannot be read")).ok()
}

/// How long a poll that failed is waited after, growing.
pub fn backoff(failures: u32) -> Duration {
    limits::WORKER_RETRY_FIRST.saturating_mul(2_u32.saturating_pow(failures.min(16))).min(limits::WORKER_RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;

    /// Writes down what is called and answers from a list.
    #[derive(Default)]
    struct Script {
        answers: Mutex<Vec<Result<Json, ApiError>>>,
        calls: Mutex<Vec<(String, Json)>>,
    }

    #[async_trait]
    impl Api for Script {
        async fn call(&self, _: &str, operation: &str, input: Json) -> Result<Json, ApiError> {
            self.calls.lock().unwrap().push((operation.to_owned(), input));
            let mut answers = self.answers.lock().unwrap();
            if answers.is_empty() { Ok(json!({})) } else { answers.remove(0) }
        }
    }

    fn jobs(door: Door, answers: Vec<Result<Json, ApiError>>) -> (Jobs, Arc<Script>) {
        let script = Arc::new(Script { answers: Mutex::new(answers), ..Script::default() });
        let type_id =
            TypeId { category: "Build".into(), owner: "Custom".into(), provider: "Farm".into(), version: "1".into() };
        let query = BTreeMap::from([("Project".to_owned(), "ferry".to_owned())]);
        (Jobs::new(script.clone(), Polling { type_id, query, door }), script)
    }

    #[tokio::test]
    async fn results_are_told_until_they_are_taken() {
        let down = || Err(ApiError::new(failure::UNREACHABLE, "nobody"));
        let (jobs, script) = jobs(Door::Custom, vec![down()]);
        let failed = Outcome::Failed { kind: kind::JOB_FAILED, message: "x".repeat(6_000), external_id: None };
        jobs.put("j", &failed).await.unwrap();
        let calls = script.calls.lock().unwrap();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[1].1["failureDetails"]["message"].as_str().unwrap().len(), 5_000);
        assert!(calls.iter().all(|(operation, _)| operation == "PutJobFailureResult"));
    }

    #[tokio::test]
    async fn a_refused_result_is_final() {
        let refusal = ApiError::new("InvalidJobStateException", "over");
        let (jobs, script) = jobs(Door::Custom, vec![Err(refusal.clone())]);
        let continued = Outcome::Continued { token: "t".to_owned(), progress: Progress::default() };
        assert_eq!(jobs.put("j", &continued).await, Err(refusal));
        assert_eq!(script.calls.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn partners_have_operations_of_their_own() {
        let polled = json!({"jobs": [{"clientId": "c", "jobId": "j"}]});
        let details = json!({"jobDetails": {"id": "j", "nonce": "n", "data": {}}});
        let taken = json!({"status": "InProgress"});
        let (jobs, script) = jobs(Door::Partner(Secret::new("t")), vec![Ok(polled), Ok(details), Ok(taken)]);
        let job = jobs.poll(3).await.unwrap().remove(0);
        assert_eq!(jobs.acknowledge(&job).await.unwrap(), Ok(()));
        let variables = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let done = Outcome::Succeeded { progress: Progress::default(), variables, revision: None };
        jobs.put("j", &done).await.unwrap();
        let calls = script.calls.lock().unwrap();
        let operations: Vec<&str> = calls.iter().map(|(operation, _)| operation.as_str()).collect();
        assert_eq!(
            operations,
            [
                "PollForThirdPartyJobs",
                "GetThirdPartyJobDetails",
                "AcknowledgeThirdPartyJob",
                "PutThirdPartyJobSuccessResult"
            ]
        );
        assert!(calls[0].1.get("queryParam").is_none());
        assert_eq!(calls[2].1, json!({"jobId": "j", "clientToken": "t", "nonce": "n"}));
        assert!(calls[3].1.get("outputVariables").is_none(), "partners have none");
    }

    #[tokio::test]
    async fn a_job_of_another_worker_is_no_error() {
        let (jobs, _) = jobs(Door::Custom, vec![Err(ApiError::new("InvalidNonceException", "late"))]);
        let job: Job = serde_json::from_value(json!({"id": "j", "nonce": "n"})).unwrap();
        assert_eq!(jobs.acknowledge(&job).await.unwrap(), Err("taken by another worker".to_owned()));
    }
}
