//! What a provider is: the contract every file of the catalogue keeps.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use towpath_model::action::{ActionInvocation, Outcome, Progress};
use towpath_model::catalogue::ActionTypeEntry;
use towpath_model::time::Clock;

use crate::logs::{self, LogPage};
use crate::problem::Problem;
use crate::realm::{Realm, RealmKind};
use crate::realms::Service;
use crate::targets::DeployTarget;

/// The job that a function is handed, instead of asking for it as a job worker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedJob {
    /// Drawn once for each attempt and each continuation. Nobody can guess it.
    pub id: String,
    /// Name or ARN of the function.
    pub function: String,
    /// What the function gave to be continued with.
    pub continuation_token: Option<String>,
}

/// A configured value that its action cannot do without. A reference may have resolved to nothing.
pub fn configured<'a>(action: &'a ActionInvocation, name: &str) -> Result<&'a str, String> {
    action
        .config(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("The configuration of action {} lacks {name}.", action.action_name))
}

/// What surrounds one call of a provider.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Where the action's own service is.
    pub realm: &'a Realm,
    /// Where the pipeline's artifact store is.
    pub artifacts: &'a Realm,
    pub clock: &'a dyn Clock,
    /// A directory for temporary files; what a provider leaves there it does not need again.
    pub scratch: &'a Path,
    /// The job to be handed over, where the entry's executor is Lambda.
    pub job: Option<&'a HandedJob>,
}

/// Who reads an action's input artifacts and writes its output artifacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifacts {
    /// The provider, through `Call::artifacts`.
    ByProvider,
    /// The service it calls, which sees the S3 of its own realm alone: elsewhere than in the artifact store's realm they
    /// are staged (`staging.rs`).
    ByService,
}

/// One action or rule provider.
///
/// Every method may be called again after a crash at any point: `start` with the same invocation has the effect that
/// `entry().repeat` declares, `poll` works with nothing but the invocation and the stored progress, `stop` succeeds on
/// work that is over or never began. No method sleeps for longer than the SDK's retries; waiting is `Pending` and
/// `poll_interval`.
#[async_trait]
pub trait Provider: Send + Sync {
    fn entry(&self) -> &ActionTypeEntry;

    /// Whether a configured value without variables is one it understands, beyond what the entry says; why not, otherwise.
    fn check_value(&self, _key: &str, _value: &str) -> Result<(), String> {
        Ok(())
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome;

    /// Asks how work that answered `Pending` goes on. The answered progress replaces the stored one.
    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome;

    /// Ends what it can; the reason why it could not, otherwise.
    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String>;

    /// The AWS service that its calls go to, as the SDK names it in `AWS_ENDPOINT_URL_<SERVICE>`; None where there are
    /// none.
    fn service(&self) -> Option<Service> {
        None
    }

    /// The same for one action.
    fn service_of(&self, _action: &ActionInvocation) -> Option<Service> {
        self.service()
    }

    /// Who touches the artifacts.
    fn artifacts(&self) -> Artifacts {
        Artifacts::ByProvider
    }

    /// The same for one action.
    fn artifacts_of(&self, _action: &ActionInvocation) -> Artifacts {
        self.artifacts()
    }

    /// A page of what the action's work wrote in a realm elsewhere. By itself: the log stream that the progress names.
    async fn logs(
        &self,
        cx: &Call<'_>,
        action: &ActionInvocation,
        progress: &Progress,
        token: Option<&str>,
    ) -> Result<LogPage, Problem> {
        match &progress.log_stream_arn {
            Some(arn) => logs::of_stream(cx, action, arn, token).await,
            None => Ok(LogPage::default()),
        }
    }

    /// Whether `logs` tells of what was stored alone. Then it is asked where the service is Towpath's own, too, whose logs are
    /// read in its CloudWatch Logs otherwise.
    fn keeps_its_log(&self) -> bool {
        false
    }

    /// What it deploys to, one by one, from what was stored alone; by itself: none.
    fn targets(&self, _action: &ActionInvocation, _progress: &Progress) -> Vec<DeployTarget> {
        Vec::new()
    }

    /// How long to wait before the next poll; `polls` have been made already.
    fn poll_interval(&self, cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress, polls: u32) -> Duration {
        interval(cx, polls)
    }
}

/// The usual pause before a poll: short where the service is ours, growing with the number of polls.
pub fn interval(cx: &Call<'_>, polls: u32) -> Duration {
    let (first, last) = match cx.realm.kind() {
        RealmKind::Embedded => (Duration::from_millis(20), Duration::from_secs(1)),
        RealmKind::Aws | RealmKind::Other => (Duration::from_secs(2), Duration::from_secs(15)),
    };
    // Half as long again each time; 2^32 doublings never happen, the cap is reached within a dozen.
    first.mul_f64(1.5_f64.powi(i32::try_from(polls.min(32)).unwrap_or(32))).min(last)
}
