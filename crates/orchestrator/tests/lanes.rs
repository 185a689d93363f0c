//! PARALLEL executions of one pipeline do not wait for each other: their writes are under way at the same time. Told by
//! a clock that only moves when everybody waits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use towpath_model::declaration::PipelineDeclaration;
use towpath_model::ids::ExecutionId;
use towpath_model::state::{ExecutionStatus, Trigger};
use towpath_orchestrator::StartRequest;
use towpath_orchestrator::simulation::{Interference, Passage, Setting, World};

/// Actions in a row, each a decision of its own.
const CHAIN: u32 = 40;
const EXECUTIONS: u32 = 10;

/// Every write takes a second.
struct SlowWrites {
    shared: bool,
}

impl Interference for SlowWrites {
    fn writing(&self) -> Passage {
        Passage::After(Duration::from_secs(1))
    }

    fn is_shared(&self) -> Option<bool> {
        Some(self.shared)
    }
}

fn chain() -> PipelineDeclaration {
    let action = |name: String, category: &str, order: u32| {
        json!({
            "name": name,
            "actionTypeId": {"category": category, "owner": "Custom", "provider": "Rehearsal", "version": "1"},
            "runOrder": order,
        })
    };
    let actions: Vec<_> = (1..=CHAIN).map(|n| action(format!("A{n}"), "Build", n)).collect();
    let declaration = json!({
        "name": "p",
        "roleArn": "arn:aws:iam::123456789012:role/pipeline",
        "artifactStore": {"type": "S3", "location": "artifacts"},
        "pipelineType": "V2",
        "executionMode": "PARALLEL",
        "stages": [
            {"name": "Source", "actions": [action("S".to_owned(), "Source", 1)]},
            {"name": "Build", "actions": actions},
        ],
    });
    serde_json::from_value(declaration).expect("a declaration")
}

/// How long it takes until as many executions as asked for, started together, have succeeded.
fn taken(shared: bool, executions: u32) -> Duration {
    let interference = Arc::new(SlowWrites { shared });
    let mut world = World::new(Setting { interference, node: shared.then(|| "one".to_owned()), ..Setting::default() });
    let first = world.create(chain()).expect("a pipeline").execution.expect("its first execution");
    until_succeeded(&mut world, &[first]);
    let begun = world.runtime().elapsed();
    let scope = world.scope().clone();
    let started = world.ask(move |node| async move {
        let starts = (0..executions).map(|_| node.start_execution(&scope, "p", by_hand()));
        futures::future::try_join_all(starts).await
    });
    let ids = started.expect("nobody crashed").expect("they start");
    until_succeeded(&mut world, &ids);
    world.runtime().elapsed().saturating_sub(begun)
}

fn by_hand() -> StartRequest {
    StartRequest {
        trigger: Trigger { kind: "StartPipelineExecution".to_owned(), detail: "tester".to_owned() },
        variables: Vec::new(),
        source_overrides: Vec::new(),
        client_request_token: None,
    }
}

fn until_succeeded(world: &mut World, ids: &[ExecutionId]) {
    for id in ids {
        let (scope, id) = (world.scope().clone(), id.clone());
        let ended = world.ask(|node| async move {
            let mut commits = node.subscribe();
            loop {
                let execution = node.execution(&scope, "p", &id).await.expect("it is there");
                if execution.status.has_ended() {
                    return execution.status;
                }
                commits.changed().await.expect("the process lives");
            }
        });
        assert_eq!(ended, Some(ExecutionStatus::Succeeded));
    }
}

#[test]
fn ten_executions_take_about_as_long_as_one() {
    for shared in [false, true] {
        let (one, ten) = (taken(shared, 1), taken(shared, EXECUTIONS));
        // Only beginnings and ends take their turn.
        assert!(ten < one * 2, "one took {one:?}, ten took {ten:?} (shared: {shared})");
    }
}
