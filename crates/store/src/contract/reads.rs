//! The contract of the read traits: order, filters, and pages that neither repeat nor miss while rows are added.

use towpath_model::history::EventState;
use towpath_model::ids::{PipelineName, Scope};
use towpath_model::state::ExecutionStatus;
use towpath_model::state::StageStatus::{self, Failed, InProgress, Succeeded};
use towpath_model::time::Timestamp;

use super::fixtures::{action, definition, entry, execution, gate, scope, stage_run, task};
use crate::limits::PAGE_MAX;
use crate::{ActionFilter, Commit, Cursor, ExecutionFilter, HistoryFilter, Page, Store, StoreError, Versioned};

async fn commit(store: &dyn Store, commit: Commit) -> u64 {
    store.commit(commit).await.unwrap().version
}

async fn start(store: &dyn Store, pipeline: &str, id: &str, sequence: u64) -> u64 {
    let executions = vec![(execution(pipeline, id, sequence), None)];
    commit(store, Commit { executions, ..Commit::default() }).await
}

pub async fn gates_are_listed_by_name_within_a_scope(store: &dyn Store) {
    for (pipeline, name) in [("1", "b"), ("2", "a"), ("3", "B"), ("4", "a-b"), ("5", "c")] {
        commit(store, Commit { gate: Some((gate(pipeline, name), None)), ..Commit::default() }).await;
    }
    let mut elsewhere = gate("6", "a");
    elsewhere.scope = Scope::new("123456789012", "eu-west-1");
    commit(store, Commit { gate: Some((elsewhere, None)), ..Commit::default() }).await;

    let names = async |after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(PipelineName::from);
        let gates = store.gates(&scope(), after.as_ref(), limit).await.unwrap();
        gates.into_iter().map(|gate| gate.value.name.to_string()).collect()
    };
    assert_eq!(names(None, 100).await, ["B", "a", "a-b", "b", "c"]);
    assert_eq!(names(None, 2).await, ["B", "a"]);
    // The page token names a pipeline that may be gone, or was never there.
    assert_eq!(names(Some("a"), 2).await, ["a-b", "b"]);
    assert_eq!(names(Some("aa"), 2).await, ["b", "c"]);
    assert_eq!(names(Some("c"), 2).await, [""; 0]);
    assert_eq!(store.gate_count(&scope()).await.unwrap(), 5);
    let other = Scope::new("123456789012", "eu-west-1");
    assert_eq!(store.gate_count(&other).await.unwrap(), 1);
    assert_eq!(store.gate_by_name(&other, "a").await.unwrap().unwrap().value.pipeline, "6");
    assert_eq!(store.gate_by_name(&scope(), "a").await.unwrap().unwrap().value.pipeline, "2");
}

pub async fn definitions_are_kept_by_version(store: &dyn Store) {
    for version in [1, 2] {
        commit(store, Commit { definition: Some(definition("p", version)), ..Commit::default() }).await;
    }
    assert_eq!(store.definition(&"p".into(), 1).await.unwrap(), Some(definition("p", 1)));
    assert_eq!(store.definition(&"p".into(), 3).await.unwrap(), None);
    let wanted = [("p".into(), 2), ("q".into(), 1), ("p".into(), 1)];
    let found = store.definitions(&wanted).await.unwrap();
    assert_eq!(found, [Some(definition("p", 2)), None, Some(definition("p", 1))]);
}

fn sequences(page: &Page<Versioned<towpath_model::state::Execution>>) -> Vec<u64> {
    page.items.iter().map(|execution| execution.value.sequence).collect()
}

pub async fn executions_are_paged_newest_first_while_more_start(store: &dyn Store) {
    for sequence in 1..=5 {
        start(store, "p", &format!("e{sequence}"), sequence).await;
    }
    start(store, "other", "o1", 9).await;
    let page =
        async |after, limit| store.execution_page(&"p".into(), &ExecutionFilter::All, after, limit).await.unwrap();
    let first = page(None, 2).await;
    assert_eq!(sequences(&first), [5, 4]);
    start(store, "p", "e6", 6).await;
    let second = page(first.next, 2).await;
    assert_eq!(sequences(&second), [3, 2]);
    let text = second.next.unwrap().to_string();
    let third = page(Some(text.parse::<Cursor>().unwrap()), 2).await;
    assert_eq!((sequences(&third), third.next), (vec![1], None));
    // A page that ends with the last row knows that it does.
    let all = page(None, 6).await;
    assert_eq!((sequences(&all), all.next), (vec![6, 5, 4, 3, 2, 1], None));
}

pub async fn executions_are_filtered_by_status(store: &dyn Store) {
    for sequence in 1..=4 {
        let version = start(store, "p", &format!("e{sequence}"), sequence).await;
        if sequence % 2 == 0 {
            let mut ended = execution("p", &format!("e{sequence}"), sequence);
            ended.status = ExecutionStatus::Succeeded;
            commit(store, Commit { executions: vec![(ended, Some(version))], ..Commit::default() }).await;
        }
    }
    let page = async |status, after, limit| {
        let filter = ExecutionFilter::Status(status);
        store.execution_page(&"p".into(), &filter, after, limit).await.unwrap()
    };
    let first = page(ExecutionStatus::Succeeded, None, 1).await;
    assert_eq!(sequences(&first), [4]);
    assert_eq!(sequences(&page(ExecutionStatus::Succeeded, first.next, 1).await), [2]);
    assert_eq!(sequences(&page(ExecutionStatus::InProgress, None, 9).await), [3, 1]);
    assert_eq!(sequences(&page(ExecutionStatus::Failed, None, 9).await), [0; 0]);
}

pub async fn executions_are_filtered_by_a_stage_that_succeeded(store: &dyn Store) {
    let with = |sequence, version, runs: &[(&str, StageStatus)]| {
        let mut value = execution("p", &format!("e{sequence}"), sequence);
        value.pipeline_version = version;
        value.stages = runs.iter().map(|(name, status)| stage_run(name, *status)).collect();
        value
    };
    let put = async |value, expected| {
        commit(store, Commit { executions: vec![(value, expected)], ..Commit::default() }).await
    };
    put(with(1, 1, &[("Source", Succeeded), ("Build", Succeeded)]), None).await;
    put(with(2, 2, &[("Source", Succeeded), ("Build", Failed)]), None).await;
    let third = put(with(3, 2, &[("Source", InProgress)]), None).await;
    put(with(4, 2, &[("Source", Succeeded), ("Build", Succeeded)]), None).await;

    let page = async |stage: &str, pipeline_version, after, limit| {
        let filter = ExecutionFilter::SucceededInStage { stage: stage.into(), pipeline_version };
        store.execution_page(&"p".into(), &filter, after, limit).await.unwrap()
    };
    assert_eq!(sequences(&page("Source", 2, None, 9).await), [4, 2]);
    assert_eq!(sequences(&page("Build", 2, None, 9).await), [4]);
    assert_eq!(sequences(&page("Build", 1, None, 9).await), [1]);
    let third = put(with(3, 2, &[("Source", Succeeded), ("Build", InProgress)]), Some(third)).await;
    let first_page = page("Source", 2, None, 2).await;
    assert_eq!(sequences(&first_page), [4, 3]);
    let second_page = page("Source", 2, first_page.next, 2).await;
    assert_eq!((sequences(&second_page), second_page.next), (vec![2], None));
    // A stage that is run again no longer stands at Succeeded.
    put(with(3, 2, &[("Source", InProgress)]), Some(third)).await;
    assert_eq!(sequences(&page("Source", 2, None, 9).await), [4, 2]);
}

fn ids(page: &Page<towpath_model::history::ActionRecord>) -> Vec<&str> {
    page.items.iter().map(|record| record.attempt.id.as_str()).collect()
}

pub async fn actions_are_paged_newest_start_first_while_more_start(store: &dyn Store) {
    let put = async |records| commit(store, Commit { actions: records, ..Commit::default() }).await;
    // b, c and d start in the same millisecond; the page may end between them.
    put(vec![action("e1", "b", "B", 20), action("e1", "c", "C", 20), action("e2", "d", "D", 20)]).await;
    put(vec![action("e1", "a", "A", 10), action("e1", "e", "E", 30)]).await;
    let page = async |filter: &ActionFilter, after, limit| store.action_page(filter, after, limit).await.unwrap();
    let all = ActionFilter::Pipeline("p".into());
    assert_eq!(ids(&page(&all, None, 9).await), ["e", "d", "c", "b", "a"]);
    let first = page(&all, None, 2).await;
    assert_eq!(ids(&first), ["e", "d"]);
    // A newer one, and a change to one not listed yet.
    let mut changed = action("e1", "c", "C", 20);
    changed.attempt.updated_by = Some("somebody".to_owned());
    put(vec![action("e1", "f", "F", 40), changed]).await;
    let second = page(&all, first.next, 2).await;
    assert_eq!(ids(&second), ["c", "b"]);
    assert_eq!(second.items[0].attempt.updated_by.as_deref(), Some("somebody"));
    let third = page(&all, second.next, 2).await;
    assert_eq!((ids(&third), third.next), (vec!["a"], None));

    assert_eq!(ids(&page(&ActionFilter::Execution("e1".into()), None, 9).await), ["f", "e", "c", "b", "a"]);
    assert_eq!(ids(&page(&ActionFilter::Execution("e2".into()), None, 9).await), ["d"]);
    assert_eq!(ids(&page(&ActionFilter::Pipeline("q".into()), None, 9).await), [""; 0]);
}

pub async fn only_the_latest_attempts_can_be_asked_for(store: &dyn Store) {
    let actions = vec![
        action("e1", "a1", "A", 10),
        action("e1", "b1", "B", 10),
        action("e1", "a2", "A", 20),
        action("e1", "a3", "A", 20),
        action("e2", "b2", "B", 30),
    ];
    commit(store, Commit { actions, ..Commit::default() }).await;
    let filter = ActionFilter::LatestInExecution("e1".into());
    let first = store.action_page(&filter, None, 1).await.unwrap();
    assert_eq!(ids(&first), ["a3"]);
    let second = store.action_page(&filter, first.next, 1).await.unwrap();
    assert_eq!((ids(&second), second.next), (vec!["b1"], None));
}

pub async fn an_action_whose_start_moves_is_listed_once(store: &dyn Store) {
    let actions = vec![action("e1", "a", "A", 10), action("e1", "b", "B", 20)];
    commit(store, Commit { actions, ..Commit::default() }).await;
    commit(store, Commit { actions: vec![action("e1", "a", "A", 30)], ..Commit::default() }).await;
    for filter in [ActionFilter::Pipeline("p".into()), ActionFilter::Execution("e1".into())] {
        assert_eq!(ids(&store.action_page(&filter, None, 9).await.unwrap()), ["a", "b"]);
    }
}

pub async fn history_is_followed_in_order(store: &dyn Store) {
    let write = async |of: &[(&str, &str)]| {
        let history = of.iter().map(|(p, e)| entry(p, e, EventState::Started)).collect();
        store.commit(Commit { history, ..Commit::default() }).await.unwrap().first_history_sequence
    };
    assert_eq!(write(&[("p", "e1"), ("q", "x1"), ("p", "e2")]).await, 1);
    assert_eq!(write(&[("p", "e1")]).await, 4);
    let read = async |filter: HistoryFilter, after, limit| -> Vec<(u64, String)> {
        let entries = store.history(&filter, after, limit).await.unwrap();
        entries.into_iter().map(|entry| (entry.sequence, entry.execution.to_string())).collect()
    };
    let row = |sequence, execution: &str| (sequence, execution.to_owned());
    assert_eq!(read(HistoryFilter::All, 0, 2).await, [row(1, "e1"), row(2, "x1")]);
    assert_eq!(read(HistoryFilter::All, 2, 9).await, [row(3, "e2"), row(4, "e1")]);
    assert_eq!(read(HistoryFilter::All, 4, 9).await, []);
    assert_eq!(read(HistoryFilter::Pipeline("p".into()), 1, 9).await, [row(3, "e2"), row(4, "e1")]);
    assert_eq!(read(HistoryFilter::Execution("e1".into()), 0, 9).await, [row(1, "e1"), row(4, "e1")]);
    assert_eq!(read(HistoryFilter::Execution("e1".into()), 0, 1).await, [row(1, "e1")]);
    assert_eq!(read(HistoryFilter::Execution("none".into()), 0, 9).await, []);
    assert_eq!(store.history_end().await.unwrap(), 4);
}

pub async fn due_tasks_come_in_order_of_time(store: &dyn Store) {
    let due = async |now| -> Vec<String> {
        let tasks = store.tasks_due(Timestamp(now), 9).await.unwrap();
        tasks.into_iter().map(|task| task.id.to_string()).collect()
    };
    let tasks_put = vec![task("late", 30), task("b", 10), task("a", 10), task("soon", 20)];
    commit(store, Commit { tasks_put, ..Commit::default() }).await;
    assert_eq!(due(9).await, [""; 0]);
    assert_eq!(due(20).await, ["a", "b", "soon"]);
    assert_eq!(store.tasks_due(Timestamp(99), 2).await.unwrap().len(), 2);
    assert_eq!(store.next_due().await.unwrap(), Some(Timestamp(10)));
    assert_eq!(store.task_count().await.unwrap(), 4);

    // Moved later, put again earlier, done.
    let change = Commit {
        tasks_put: vec![task("late", 5)],
        tasks_moved: vec![task("a", 40)],
        tasks_done: vec!["b".into()],
        ..Commit::default()
    };
    commit(store, change).await;
    assert_eq!(due(99).await, ["late", "soon", "a"]);
    assert_eq!(store.next_due().await.unwrap(), Some(Timestamp(5)));
    assert_eq!(store.task(&"b".into()).await.unwrap(), None);
    let everything = store.tasks(None, 2).await.unwrap();
    assert_eq!(everything.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["a", "late"]);
    let rest = store.tasks(Some(&everything[1].id), 2).await.unwrap();
    assert_eq!(rest.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["soon"]);
}

pub async fn leased_tasks_wait_until_the_lease_is_over(store: &dyn Store) {
    let mut leased = task("leased", 10);
    leased.owner = Some("node-1".to_owned());
    leased.lease_until = Some(Timestamp(50));
    commit(store, Commit { tasks_put: vec![leased.clone(), task("free", 20)], ..Commit::default() }).await;
    assert_eq!(store.tasks_due(Timestamp(49), 9).await.unwrap(), [task("free", 20)]);
    assert_eq!(store.tasks_due(Timestamp(50), 9).await.unwrap(), [leased, task("free", 20)]);
}

pub async fn pages_past_the_limit_are_refused(store: &dyn Store) {
    let limit = PAGE_MAX + 1;
    let pipeline = "p".into();
    let refused = [
        store.gates(&scope(), None, limit).await.map(|_| ()),
        store.execution_page(&pipeline, &ExecutionFilter::All, None, limit).await.map(|_| ()),
        store.action_page(&ActionFilter::Pipeline(pipeline), None, limit).await.map(|_| ()),
        store.history(&HistoryFilter::All, 0, limit).await.map(|_| ()),
        store.tasks(None, limit).await.map(|_| ()),
        store.tasks_due(Timestamp(0), limit).await.map(|_| ()),
    ];
    for result in refused {
        assert!(matches!(result, Err(StoreError::TooLarge { found, .. }) if found == limit), "{result:?}");
    }
}
