//! Tags of pipelines, custom action types and webhooks: one document per ARN. Changes to one resource that arrive while
//! another is being written are written together, so that many clients on one resource wait for one commit, not in a
//! row; a pipeline's rows have no part in it. What a tag may be is for the edge; how many a resource may have is judged
//! here, over the set that results.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot::{self, error::TryRecvError};
use towpath_model::arn::{self, Resource};
use towpath_model::catalogue::{ActionTypeId, Category, Owner};
use towpath_model::ids::Scope;
use towpath_model::limits::TAGS_MAX;
use towpath_store::{DocumentsExt as _, Expect, Key, Write};

use crate::Orchestrator;
use crate::action_types::partition;
use crate::error::CommandError;
use crate::limits::CONFLICT_RETRIES_MAX;

/// One document per ARN.
const TAGS: &str = "codepipeline.tags";

/// Keys with their values, in the order in which they were first given.
pub type Tags = Vec<(String, String)>;

/// What TagResource or UntagResource asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagChange {
    /// Keys that are there take the new value.
    Set(Tags),
    /// Keys that are not there are left out silently.
    Remove(Vec<String>),
}

impl TagChange {
    /// Changes the set, or leaves it as it was and says why.
    fn apply(&self, tags: &mut Tags) -> Result<(), String> {
        match self {
            Self::Remove(keys) => tags.retain(|(key, _)| !keys.contains(key)),
            Self::Set(new) => {
                let added = new.iter().filter(|(key, _)| !tags.iter().any(|(known, _)| known == key)).count();
                let total = tags.len() + added;
                if total > TAGS_MAX {
                    return Err(format!(
                        "A resource may have at most {TAGS_MAX} tags; with these tags it would have {total}. Remove tags you \
                         no longer need."
                    ));
                }
                for (key, value) in new {
                    match tags.iter_mut().find(|(known, _)| known == key) {
                        Some(known) => known.1.clone_from(value),
                        None => tags.push((key.clone(), value.clone())),
                    }
                }
            }
        }
        Ok(())
    }
}

/// A change that waits to be written; the answer is the reason why it was refused, if it was.
struct Waiting {
    change: TagChange,
    answer: oneshot::Sender<Result<(), String>>,
}

/// The changes to one resource.
#[derive(Default)]
struct Turn {
    waiting: Mutex<Vec<Waiting>>,
    writing: tokio::sync::Mutex<()>,
}

impl Turn {
    fn queue(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resources whose tags are being changed now.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<Key, Arc<Turn>>>);

impl Turns {
    fn of(&self, key: &Key) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(key.clone()).or_default())
    }

    /// Forgets the resource once nobody is left who changes it.
    fn done(&self, key: &Key, turn: Arc<Turn>) {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(turn);
        if turns.get(key).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(key);
        }
    }
}

impl Orchestrator {
    /// ListTagsForResource.
    pub async fn tags(&self, scope: &Scope, arn: &str) -> Result<Tags, CommandError> {
        let resource = self.taggable(scope, arn).await?;
        self.tags_of(scope, &resource).await
    }

    /// The tags of a resource, which need not exist: none, then.
    pub async fn tags_of(&self, scope: &Scope, resource: &Resource) -> Result<Tags, CommandError> {
        let key = key_of(scope, resource);
        let found = self.store.get_json::<Tags>(&key.collection, &key.partition, &key.key).await?;
        Ok(found.map(|found| found.value).unwrap_or_default())
    }

    /// TagResource and UntagResource.
    pub async fn change_tags(&self, scope: &Scope, arn: &str, change: TagChange) -> Result<(), CommandError> {
        let resource = self.taggable(scope, arn).await?;
        let key = key_of(scope, &resource);
        let turn = self.tag_turns.of(&key);
        let result = self.change_in_turn(&turn, &key, change).await;
        self.tag_turns.done(&key, turn);
        result
    }

    /// Whoever finds nobody writing writes what has gathered, its own change among it. A writer that is cut off drops the
    /// answers it owes; those who wait for them ask again. Setting and removing tags twice changes nothing more.
    async fn change_in_turn(&self, turn: &Turn, key: &Key, change: TagChange) -> Result<(), CommandError> {
        loop {
            let (answer, mut told) = oneshot::channel();
            turn.queue().push(Waiting { change: change.clone(), answer });
            let _writing = turn.writing.lock().await;
            let mut result = told.try_recv();
            if result == Err(TryRecvError::Empty) {
                let gathered = std::mem::take(&mut *turn.queue());
                self.write_changes(key, gathered).await?;
                result = told.try_recv();
            }
            if let Ok(result) = result {
                return result.map_err(CommandError::TooManyTags);
            }
        }
    }

    async fn write_changes(&self, key: &Key, gathered: Vec<Waiting>) -> Result<(), CommandError> {
        for _ in 0..CONFLICT_RETRIES_MAX {
            let stored = self.store.get_json::<Tags>(&key.collection, &key.partition, &key.key).await?;
            let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
            let before = stored.map(|stored| stored.value).unwrap_or_default();
            let mut tags = before.clone();
            let results: Vec<_> = gathered.iter().map(|waiting| waiting.change.apply(&mut tags)).collect();
            if tags != before {
                match self.store.write(vec![put(key.clone(), &tags, expect)?]).await {
                    Ok(_) => {}
                    // Another node, or the end of the resource.
                    Err(error) if error.is_conflict() => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            for (waiting, result) in gathered.into_iter().zip(results) {
                // Whoever asked may have gone meanwhile.
                let _ = waiting.answer.send(result);
            }
            return Ok(());
        }
        Err(CommandError::ConcurrentModification(
            "Other requests kept changing the tags of the resource. Try again.".to_owned(),
        ))
    }

    /// The resource of an ARN, if it can have tags and exists.
    async fn taggable(&self, scope: &Scope, arn: &str) -> Result<Resource, CommandError> {
        let invalid = || {
            CommandError::InvalidArn(format!(
                "The resource ARN '{arn}' is not valid. Tags belong to pipelines, custom action types and webhooks."
            ))
        };
        let absent = || CommandError::ResourceNotFound(format!("The resource with the ARN '{arn}' does not exist."));
        let parsed = arn::parse(arn).ok_or_else(invalid)?;
        let exists = match &parsed.resource {
            Resource::Stage(..) | Resource::Action(..) => return Err(invalid()),
            _ if !parsed.is_of(scope) => false,
            Resource::Pipeline(name) => self.find(scope, name).await?.is_some(),
            Resource::Webhook(name) => self.webhook_exists(scope, name).await?,
            Resource::ActionType { owner, category, provider, version } => {
                if owner != Owner::Custom.as_str() {
                    return Err(invalid());
                }
                let category = Category::OF_ACTIONS.into_iter().find(|known| known.as_str() == category);
                match category.map(|category| ActionTypeId::new(category, Owner::Custom, provider, version)) {
                    Some(id) => match self.live_type(scope, &id).await {
                        Ok(_) => true,
                        Err(CommandError::ActionTypeNotFound(_)) => false,
                        Err(error) => return Err(error),
                    },
                    None => false,
                }
            }
        };
        if exists { Ok(parsed.resource) } else { Err(absent()) }
    }
}

fn key_of(scope: &Scope, resource: &Resource) -> Key {
    Key::new(TAGS, partition(scope), resource.arn(scope))
}

fn put(key: Key, tags: &Tags, expect: Expect) -> Result<Write, CommandError> {
    Ok(if tags.is_empty() { Write::delete(key, expect) } else { Write::put_json(key, tags, expect)? })
}

/// The tags of a resource that is made now. What a racing request left of an earlier one of the same name goes.
pub(crate) fn put_tags(scope: &Scope, resource: &Resource, tags: &Tags) -> Result<Write, CommandError> {
    put(key_of(scope, resource), tags, Expect::Any)
}

pub(crate) fn delete_tags(scope: &Scope, resource: &Resource) -> Write {
    Write::delete(key_of(scope, resource), Expect::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_change_merges_or_removes_and_keeps_the_order() {
        let mut set = tags(&[("a", "1"), ("b", "2")]);
        TagChange::Set(tags(&[("c", "3"), ("a", "9")])).apply(&mut set).expect("three are few");
        assert_eq!(set, tags(&[("a", "9"), ("b", "2"), ("c", "3")]));
        TagChange::Remove(vec!["a".to_owned(), "never".to_owned()]).apply(&mut set).expect("always");
        assert_eq!(set, tags(&[("b", "2"), ("c", "3")]));
    }

    #[test]
    fn the_set_that_results_is_what_the_limit_is_about() {
        let mut set: Tags = (0..TAGS_MAX).map(|n| (format!("k{n}"), String::new())).collect();
        TagChange::Set(tags(&[("k0", "new"), ("k49", "new")])).apply(&mut set).expect("no key more");
        let before = set.clone();
        let refused = TagChange::Set(tags(&[("k1", "newer"), ("k50", "")])).apply(&mut set);
        assert!(refused.is_err_and(|message| message.contains("it would have 51")));
        assert_eq!(set, before, "a refused change changes nothing");
        TagChange::Remove(vec!["k1".to_owned()]).apply(&mut set).expect("always");
        TagChange::Set(tags(&[("k50", "")])).apply(&mut set).expect("there is room again");
    }
}
