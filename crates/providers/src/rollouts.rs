//! What the state of an ECS service means for one update of it. Pure: nothing here asks ECS.

use aws_sdk_ecs::types::{
    Deployment, DeploymentConfiguration, DeploymentRolloutState, DeploymentStrategy, Service, ServiceDeployment,
    ServiceDeploymentStatus,
};
use serde::{Deserialize, Serialize};
use towpath_model::action::Progress;
use towpath_model::time::Timestamp;

use crate::limits::ECS_SETTLE_MS;
use crate::logs::LogLine;

/// The provider's memory: what was deployed, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub revision: String,
    /// When the update was made, in milliseconds.
    pub since: i64,
    /// The service deployment before ours, where ECS tells of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Ours, once ECS has told of it: the service's current one may be somebody else's later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
}

impl Rollout {
    pub fn of(progress: &Progress) -> Option<Self> {
        serde_json::from_str(progress.continuation.as_deref()?).ok()
    }

    pub fn remembered(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// With the service deployment that ECS made for our update, as soon as it tells of it.
    #[must_use]
    pub fn seen(self, service: &Service) -> Self {
        let current = service.current_service_deployment().filter(|arn| Some(*arn) != self.before.as_deref());
        Self { own: self.own.or_else(|| current.map(ToOwned::to_owned)), ..self }
    }
}

/// Whether the service deployment tells how a rollout goes on: a service whose strategy is another than a rolling update, or
/// that tells no state of its deployment.
pub fn has_strategy(service: &Service, ours: Option<&Deployment>) -> bool {
    let strategy = service.deployment_configuration().and_then(DeploymentConfiguration::strategy);
    strategy.is_some_and(|strategy| *strategy != DeploymentStrategy::Rolling)
        || ours.is_some_and(|deployment| deployment.rollout_state().is_none())
}

/// Where our deployment is among the service's.
pub fn ours<'a>(service: &'a Service, rollout: &Rollout, id: Option<&str>) -> Option<&'a Deployment> {
    let of_revision = |d: &&Deployment| d.task_definition() == Some(rollout.revision.as_str());
    let known = service.deployments().iter().find(|d| id.is_some() && d.id() == id);
    known.or_else(|| service.deployments().iter().find(of_revision))
}

fn is_primary(deployment: &Deployment) -> bool {
    deployment.status() == Some("PRIMARY")
}

/// What the state of a service means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Goes,
    Done,
    Bad(String),
}

/// The rules, in their order; a rollback to the old revision makes a service stable too, so stability alone is no success.
pub fn judge(service: &Service, rollout: &Rollout, id: Option<&str>, now: Timestamp) -> Verdict {
    let ours = ours(service, rollout, id);
    if let Some(status @ ("DRAINING" | "INACTIVE")) = service.status() {
        return Verdict::Bad(format!("The service is {status}: it was deleted while it was deployed to."));
    }
    if let Some(failed) = ours.filter(|d| d.rollout_state() == Some(&DeploymentRolloutState::Failed)) {
        let reason = failed.rollout_state_reason().unwrap_or("its rollout failed.");
        return Verdict::Bad(reason.to_owned());
    }
    let Some(ours) = ours.filter(|d| is_primary(d)) else {
        let primary = service.deployments().iter().find(|d| is_primary(d)).and_then(Deployment::task_definition);
        let young = now.millis().saturating_sub(rollout.since) < ECS_SETTLE_MS && ours.is_none() && id.is_none();
        return match primary.filter(|arn| *arn != rollout.revision && !young) {
            Some(other) => Verdict::Bad(format!(
                "The deployment of {} was replaced or rolled back: the service runs {}.",
                short(&rollout.revision),
                short(other)
            )),
            None => Verdict::Goes,
        };
    };
    match ours.rollout_state() {
        Some(DeploymentRolloutState::Completed) => Verdict::Done,
        // A Classic Load Balancer, or a strategy that has a service deployment instead.
        None if service.deployments().len() == 1 && service.running_count() == service.desired_count() => Verdict::Done,
        _ => Verdict::Goes,
    }
}

/// The same of a service deployment: blue/green, linear and canary strategies.
pub fn judge_service_deployment(found: &ServiceDeployment) -> Verdict {
    match found.status() {
        Some(ServiceDeploymentStatus::Successful) => Verdict::Done,
        Some(
            status @ (ServiceDeploymentStatus::Stopped
            | ServiceDeploymentStatus::RollbackSuccessful
            | ServiceDeploymentStatus::RollbackFailed),
        ) => {
            let why = found.rollback().and_then(|rollback| rollback.reason()).or(found.status_reason());
            Verdict::Bad(format!("The service deployment is {}. {}", status.as_str(), why.unwrap_or_default()))
        }
        _ => Verdict::Goes,
    }
}

/// `web:7` of the ARN of a task definition.
pub fn short(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// When the deployment began, in milliseconds: ECS's clock may be behind ours, and a start that was repeated comes late.
pub fn begun(service: &Service, rollout: &Rollout) -> i64 {
    let made = ours(service, rollout, None).and_then(Deployment::created_at).and_then(|at| at.to_millis().ok());
    made.map_or(rollout.since, |made| made.min(rollout.since))
}

/// What the service told from then on, oldest first.
pub fn events(service: &Service, since: i64) -> Vec<LogLine> {
    let mut lines: Vec<LogLine> = service
        .events()
        .iter()
        // ECS has the newest first, and times of one second may be equal.
        .rev()
        .filter_map(|event| {
            let millis = event.created_at()?.to_millis().ok()?;
            let text = event.message()?.to_owned();
            (millis >= since).then(|| LogLine { time: Timestamp::from_millis(millis), text })
        })
        .collect();
    lines.sort_by_key(|line| line.time.millis());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "arn:aws:ecs:eu-west-1:1:task-definition/web:7";
    const NEW: &str = "arn:aws:ecs:eu-west-1:1:task-definition/web:8";

    fn deployment(status: &str, arn: &str, state: Option<&str>) -> Deployment {
        let state = state.map(DeploymentRolloutState::from);
        let id = format!("ecs-svc/{}", short(arn));
        let made = Deployment::builder().id(id).status(status).task_definition(arn).set_rollout_state(state);
        made.desired_count(2).running_count(1).build()
    }

    #[test]
    fn a_rollout_is_judged_by_its_own_deployment() {
        let rollout = Rollout { revision: NEW.to_owned(), since: 0, before: None, own: None };
        let at = |deployments: Vec<Deployment>| {
            let service = Service::builder().status("ACTIVE").running_count(2).desired_count(2);
            let service = service.set_deployments(Some(deployments)).build();
            judge(&service, &rollout, None, Timestamp::from_millis(ECS_SETTLE_MS))
        };
        let old = |status: &str, state: &str| deployment(status, OLD, Some(state));
        assert_eq!(
            at(vec![deployment("PRIMARY", NEW, Some("IN_PROGRESS")), old("ACTIVE", "COMPLETED")]),
            Verdict::Goes
        );
        assert_eq!(at(vec![deployment("PRIMARY", NEW, Some("COMPLETED"))]), Verdict::Done);
        assert_eq!(at(vec![deployment("PRIMARY", NEW, None)]), Verdict::Done, "no rollout state, but stable");
        assert_eq!(at(vec![deployment("PRIMARY", NEW, None), old("ACTIVE", "COMPLETED")]), Verdict::Goes);
        // The circuit breaker has rolled back: the service is stable with what ran before.
        let rolled_back = at(vec![old("PRIMARY", "COMPLETED"), deployment("ACTIVE", NEW, Some("FAILED"))]);
        assert_eq!(rolled_back, Verdict::Bad("its rollout failed.".to_owned()));
        let gone = "The deployment of web:8 was replaced or rolled back: the service runs web:7.".to_owned();
        assert_eq!(at(vec![old("PRIMARY", "COMPLETED")]), Verdict::Bad(gone));
    }

    #[test]
    fn the_service_deployment_of_an_update_is_remembered() {
        let rollout = Rollout { revision: NEW.to_owned(), since: 0, before: Some("before".to_owned()), own: None };
        let current = |arn: &str| Service::builder().current_service_deployment(arn).build();
        let rollout = rollout.seen(&Service::builder().build()).seen(&current("before"));
        assert_eq!(rollout.own, None);
        let rollout = rollout.seen(&current("ours")).seen(&current("another"));
        assert_eq!(rollout.own.as_deref(), Some("ours"));
    }

    #[test]
    fn an_update_that_is_not_seen_yet_is_waited_for() {
        let rollout = Rollout { revision: NEW.to_owned(), since: 1_000, before: None, own: None };
        let service = Service::builder().deployments(deployment("PRIMARY", OLD, Some("COMPLETED"))).build();
        assert_eq!(judge(&service, &rollout, None, Timestamp::from_millis(2_000)), Verdict::Goes);
        assert!(matches!(
            judge(&service, &rollout, None, Timestamp::from_millis(1_000 + ECS_SETTLE_MS)),
            Verdict::Bad(_)
        ));
    }
}
