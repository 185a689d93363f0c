//! Load balancers in front of the instances of an EC2 deployment: out of their target groups before the commands, back
//! afterwards, with the ports they had. Where an instance served is known before the first one leaves, so that a crash
//! cannot forget it.

use aws_sdk_elasticloadbalancingv2::types::{
    TargetDescription, TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum,
};
use towpath_model::action::{ActionInvocation, Outcome, Progress};

use crate::deploys::unable;
use crate::ec2::state::{Place, State, Status, Step};
use crate::problem::Problem;
use crate::provider::Call;

pub const SERVICE: &str = "AmazonElasticLoadBalancing";

/// How a target stands in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Out,
    Leaving,
    /// Registered, but not serving yet or any more.
    Waiting,
    Serving,
}

fn standing(health: &TargetHealthDescription) -> Standing {
    let Some(health) = health.target_health() else { return Standing::Waiting };
    match health.state() {
        Some(TargetHealthStateEnum::Healthy | TargetHealthStateEnum::Unavailable) => Standing::Serving,
        Some(TargetHealthStateEnum::Draining | TargetHealthStateEnum::UnhealthyDraining) => Standing::Leaving,
        // Of a group that no load balancer uses, or whose targets nobody checks.
        Some(TargetHealthStateEnum::Unused) => match health.reason() {
            Some(TargetHealthReasonEnum::NotRegistered | TargetHealthReasonEnum::DeregistrationInProgress) | None => {
                Standing::Out
            }
            Some(_) => Standing::Serving,
        },
        _ => Standing::Waiting,
    }
}

/// Finds the groups and where each instance serves now.
pub async fn survey(
    cx: &Call<'_>,
    action: &ActionInvocation,
    names: Vec<String>,
    state: &mut State,
) -> Result<(), Outcome> {
    if names.is_empty() {
        return Ok(());
    }
    let asked = async {
        let request = cx.realm.load_balancing(action).await?.describe_target_groups().set_names(Some(names));
        request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
    };
    let answer = asked.await.map_err(|problem| unable("describeTargetGroups", &problem, Progress::default()))?;
    state.groups = answer.target_groups().iter().filter_map(|group| group.target_group_arn.clone()).collect();
    for number in 0..state.groups.len() {
        let health = health(cx, action, &state.groups[number]).await;
        let health = health.map_err(|problem| unable("describeTargetHealth", &problem, Progress::default()))?;
        for known in health.iter().filter(|known| standing(known) != Standing::Out) {
            let Some(description) = known.target() else { continue };
            if let Some(target) = state.targets.iter_mut().find(|t| Some(t.id.as_str()) == description.id()) {
                target.places.push(Place(number, description.port()));
            }
        }
    }
    Ok(())
}

async fn health(
    cx: &Call<'_>,
    action: &ActionInvocation,
    group: &str,
) -> Result<Vec<TargetHealthDescription>, Problem> {
    let request = cx.realm.load_balancing(action).await?.describe_target_health().target_group_arn(group);
    let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
    Ok(answer.target_health_descriptions.unwrap_or_default())
}

fn described(id: &str, port: Option<i32>) -> TargetDescription {
    TargetDescription::builder().id(id).set_port(port).build()
}

/// Places of the batch's targets in one group, where they stand there, and which of its targets they belong to.
fn standings(state: &State, number: usize, health: &[TargetHealthDescription]) -> Vec<(usize, Option<i32>, Standing)> {
    let mut found = Vec::new();
    for index in state.range() {
        let target = &state.targets[index];
        for Place(_, port) in target.places.iter().filter(|place| place.0 == number) {
            let same = |known: &&TargetHealthDescription| {
                known.target().is_some_and(|d| d.id() == Some(target.id.as_str()) && d.port() == *port)
            };
            found.push((index, *port, health.iter().find(same).map_or(Standing::Out, standing)));
        }
    }
    found
}

/// Takes the batch out of its groups; whether all of it is out.
pub async fn leave(
    cx: &Call<'_>,
    action: &ActionInvocation,
    state: &mut State,
) -> Result<bool, (Problem, &'static str)> {
    let mut out = true;
    for number in 0..state.groups.len() {
        let group = state.groups[number].clone();
        let health = health(cx, action, &group).await.map_err(|problem| (problem, "describeTargetHealth"))?;
        let standings = standings(state, number, &health);
        let now = cx.clock.now();
        let mut leaving = Vec::new();
        for (index, port, standing) in &standings {
            state.targets[*index].begin(now);
            state.targets[*index].open(Step::BlockTraffic, now);
            out &= *standing == Standing::Out;
            if matches!(standing, Standing::Waiting | Standing::Serving) {
                leaving.push(described(&state.targets[*index].id, *port));
            }
        }
        if leaving.is_empty() {
            continue;
        }
        let asked = async {
            let request = cx.realm.load_balancing(action).await?.deregister_targets().target_group_arn(&group);
            let answer = request.set_targets(Some(leaving)).send().await;
            answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
        };
        asked.await.map_err(|problem| (problem, "deregisterTargets"))?;
    }
    if out {
        let now = cx.clock.now();
        state.current().iter_mut().for_each(|target| target.close(Step::BlockTraffic, now));
    }
    Ok(out)
}

/// Brings back those of the batch that were deployed to; whether all of them serve. One that failed stays out.
pub async fn come_back(
    cx: &Call<'_>,
    action: &ActionInvocation,
    state: &mut State,
) -> Result<bool, (Problem, &'static str)> {
    let mut back = true;
    for number in 0..state.groups.len() {
        let group = state.groups[number].clone();
        let health = health(cx, action, &group).await.map_err(|problem| (problem, "describeTargetHealth"))?;
        let now = cx.clock.now();
        let mut coming = Vec::new();
        for (index, port, standing) in standings(state, number, &health) {
            let target = &mut state.targets[index];
            if target.status == Status::Failed {
                continue;
            }
            target.open(Step::AllowTraffic, now);
            back &= standing == Standing::Serving;
            if matches!(standing, Standing::Out | Standing::Leaving) {
                coming.push(described(&target.id, port));
            }
        }
        if coming.is_empty() {
            continue;
        }
        let asked = async {
            let request = cx.realm.load_balancing(action).await?.register_targets().target_group_arn(&group);
            let answer = request.set_targets(Some(coming)).send().await;
            answer.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))
        };
        asked.await.map_err(|problem| (problem, "registerTargets"))?;
    }
    if back {
        let now = cx.clock.now();
        state.current().iter_mut().for_each(|target| target.close(Step::AllowTraffic, now));
    }
    Ok(back)
}
