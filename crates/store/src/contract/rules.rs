//! The contract of rule executions: kept beside those of actions, listed apart from them.

use towpath_model::declaration::ConditionType::{BeforeEntry, OnSuccess};
use towpath_model::history::ActionRecord;

use super::fixtures::{action, rule};
use crate::limits::PAGE_MAX;
use crate::{ActionFilter, Commit, Page, Store, StoreError};

async fn put(store: &dyn Store, actions: Vec<ActionRecord>) {
    store.commit(Commit { actions, ..Commit::default() }).await.unwrap();
}

fn ids(page: &Page<ActionRecord>) -> Vec<&str> {
    page.items.iter().map(|record| record.attempt.id.as_str()).collect()
}

pub async fn rules_and_actions_are_listed_apart(store: &dyn Store) {
    let records = vec![
        action("e1", "a1", "A", 10),
        rule("e1", "r1", "A", BeforeEntry, 20),
        action("e1", "a2", "B", 30),
        rule("e2", "r2", "R", OnSuccess, 40),
    ];
    put(store, records.clone()).await;
    let filters = [
        (ActionFilter::Pipeline("p".into()), vec!["a2", "a1"], vec!["r2", "r1"]),
        (ActionFilter::Execution("e1".into()), vec!["a2", "a1"], vec!["r1"]),
        (ActionFilter::LatestInExecution("e1".into()), vec!["a2", "a1"], vec!["r1"]),
        (ActionFilter::Execution("e2".into()), vec![], vec!["r2"]),
        (ActionFilter::Pipeline("q".into()), vec![], vec![]),
    ];
    for (filter, actions, rules) in filters {
        assert_eq!(ids(&store.action_page(&filter, None, 9).await.unwrap()), actions, "{filter:?}");
        assert_eq!(ids(&store.rule_page(&filter, None, 9).await.unwrap()), rules, "{filter:?}");
    }
    // By id, either is found.
    assert_eq!(store.action(&"e1".into(), &"r1".into()).await.unwrap().as_ref(), Some(&records[1]));
    assert_eq!(store.action(&"e2".into(), &"r1".into()).await.unwrap(), None);
    let refused = store.rule_page(&ActionFilter::Pipeline("p".into()), None, PAGE_MAX + 1).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
}

pub async fn rules_are_paged_newest_start_first_while_more_start(store: &dyn Store) {
    let rules = ["b", "c", "d"].map(|id| rule("e1", id, id, BeforeEntry, 20));
    put(store, rules.into()).await;
    put(store, vec![rule("e1", "a", "a", BeforeEntry, 10)]).await;
    let filter = ActionFilter::Pipeline("p".into());
    let first = store.rule_page(&filter, None, 2).await.unwrap();
    assert_eq!(ids(&first), ["d", "c"]);
    let mut changed = rule("e1", "b", "b", BeforeEntry, 20);
    changed.attempt.updated_by = Some("somebody".to_owned());
    put(store, vec![rule("e2", "e", "e", OnSuccess, 30), action("e1", "x", "x", 15), changed.clone()]).await;
    let second = store.rule_page(&filter, first.next, 2).await.unwrap();
    assert_eq!((ids(&second), second.next), (vec!["b", "a"], None));
    assert_eq!(second.items[0], changed);
}

pub async fn only_the_latest_executions_of_rules_can_be_asked_for(store: &dyn Store) {
    let mut elsewhere = rule("e1", "r4", "R", BeforeEntry, 15);
    elsewhere.stage = "Deploy".into();
    let records = vec![
        rule("e1", "r1", "R", BeforeEntry, 10),
        rule("e1", "r2", "R", BeforeEntry, 20),
        // The same name at another gate of the stage, and in another stage, is another rule.
        rule("e1", "r3", "R", OnSuccess, 12),
        elsewhere,
        rule("e2", "r5", "R", BeforeEntry, 30),
        action("e1", "a1", "R", 40),
    ];
    put(store, records).await;
    let filter = ActionFilter::LatestInExecution("e1".into());
    let first = store.rule_page(&filter, None, 2).await.unwrap();
    assert_eq!(ids(&first), ["r2", "r4"]);
    let second = store.rule_page(&filter, first.next, 2).await.unwrap();
    assert_eq!((ids(&second), second.next), (vec!["r3"], None));
}

pub async fn a_rule_whose_start_moves_is_listed_once(store: &dyn Store) {
    put(store, vec![rule("e1", "a", "A", BeforeEntry, 10), rule("e1", "b", "B", BeforeEntry, 20)]).await;
    put(store, vec![rule("e1", "a", "A", BeforeEntry, 30)]).await;
    for filter in [ActionFilter::Pipeline("p".into()), ActionFilter::Execution("e1".into())] {
        assert_eq!(ids(&store.rule_page(&filter, None, 9).await.unwrap()), ["a", "b"]);
    }
}
