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
use crate::limits::{CONFLICT_RETRIES_MAX, TAGGED_KEPT_MAX};

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

/// What the store holds, as this process last wrote it.
struct Known {
    tags: Tags,
    expect: Expect,
}

/// The changes to one resource.
#[derive(Default)]
struct Turn {
    waiting: Mutex<Vec<Waiting>>,
    /// Held while the tags are being written.
    known: tokio::sync::Mutex<Option<Known>>,
}

impl Turn {
    fn queue(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a change, and waits while another is being written. Whoever then finds its change not yet written takes along
    /// all that has gathered.
    async fn join(&self, change: &TagChange) -> Joined<'_> {
        let (answer, mut told) = oneshot::channel();
        self.queue().push(Waiting { change: change.clone(), answer });
        let known = self.known.lock().await;
        match told.try_recv() {
            Ok(result) => Joined::Told(result),
            Err(TryRecvError::Closed) => Joined::Dropped,
            Err(TryRecvError::Empty) => {
                let gathered = std::mem::take(&mut *self.queue());
                Joined::Writing { known, gathered, told }
            }
        }
    }
}

/// What became of a change.
enum Joined<'t> {
    /// Another wrote it, or refused it.
    Told(Result<(), String>),
    /// Another had taken it along and was cut off. It may be written; setting and removing tags twice changes nothing more.
    Dropped,
    /// It is to be written now, with those gathered.
    Writing {
        known: tokio::sync::MutexGuard<'t, Option<Known>>,
        gathered: Vec<Waiting>,
        told: oneshot::Receiver<Result<(), String>>,
    },
}

/// Resources whose tags are being changed, and those that lately were.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<Key, Arc<Turn>>>);

impl Turns {
    fn of(&self, key: &Key) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key) {
            return Arc::clone(turn);
        }
        if turns.len() >= TAGGED_KEPT_MAX {
            // Only what nobody holds may go: two turns of one resource would write past each other.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        let turn = Arc::new(Turn::default());
        turns.insert(key.clone(), Arc::clone(&turn));
        turn
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
        loop {
            match turn.join(&change).await {
                Joined::Told(result) => return result.map_err(CommandError::TooManyTags),
                Joined::Dropped => {}
                Joined::Writing { mut known, gathered, mut told } => {
                    self.write_changes(&key, &mut known, gathered).await?;
                    if let Ok(result) = told.try_recv() {
                        return result.map_err(CommandError::TooManyTags);
                    }
                }
            }
        }
    }

    /// Writes the changes over what is known, or, where that may be old, over what is read.
    async fn write_changes(
        &self,
        key: &Key,
        known: &mut Option<Known>,
        gathered: Vec<Waiting>,
    ) -> Result<(), CommandError> {
        for _ in 0..CONFLICT_RETRIES_MAX {
            // It comes back only with what the store then holds; other nodes write there too.
            let (before, fresh) = match known.take().filter(|_| !self.store.is_shared()) {
                Some(known) => (known, false),
                None => (self.read_tags(key).await?, true),
            };
            let mut tags = before.tags.clone();
            let results: Vec<_> = gathered.iter().map(|waiting| waiting.change.apply(&mut tags)).collect();
            let changed = tags != before.tags;
            if !changed && !fresh {
                // Only a write would find out that the resource was made anew meanwhile, without its tags.
                continue;
            }
            let expect = if changed {
                match self.store.write(vec![put(key.clone(), &tags, before.expect)?]).await {
                    Ok(_) if tags.is_empty() => Expect::Absent,
                    Ok(version) => Expect::Version(version),
                    // Another node, or the end of the resource.
                    Err(error) if error.is_conflict() => continue,
                    Err(error) => return Err(error.into()),
                }
            } else {
                before.expect
            };
            *known = Some(Known { tags, expect });
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

    async fn read_tags(&self, key: &Key) -> Result<Known, CommandError> {
        let stored = self.store.get_json::<Tags>(&key.collection, &key.partition, &key.key).await?;
        let expect = stored.as_ref().map_or(Expect::Absent, |stored| Expect::Version(stored.version));
        Ok(Known { tags: stored.map(|stored| stored.value).unwrap_or_default(), expect })
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

    #[tokio::test]
    async fn a_change_that_a_cut_off_writer_took_along_is_told_so() {
        let turn = Turn::default();
        let change = TagChange::Set(tags(&[("a", "1")]));
        let Joined::Writing { known, gathered, .. } = turn.join(&change).await else { panic!("nobody else writes") };
        assert_eq!(gathered.len(), 1);
        let cut_off = async {
            tokio::task::yield_now().await;
            let taken = std::mem::take(&mut *turn.queue());
            assert_eq!(taken.len(), 1, "it waits");
            drop(taken);
            drop(known);
        };
        let (waited, ()) = tokio::join!(turn.join(&change), cut_off);
        assert!(matches!(waited, Joined::Dropped), "so it asks again");
        let Joined::Writing { gathered, mut told, .. } = turn.join(&change).await else { panic!("nobody else writes") };
        for waiting in gathered {
            waiting.answer.send(Ok(())).expect("somebody waits");
        }
        assert_eq!(told.try_recv(), Ok(Ok(())));
    }

    #[tokio::test]
    async fn what_gathers_is_written_together() {
        let turn = Turn::default();
        let writes = std::cell::Cell::new(0);
        let one = async |n: usize| match turn.join(&TagChange::Remove(vec![format!("k{n}")])).await {
            Joined::Told(result) => result.expect("it was written"),
            Joined::Dropped => panic!("nobody was cut off"),
            Joined::Writing { known, gathered, .. } => {
                writes.set(writes.get() + 1);
                // As long as a commit takes, the others gather.
                tokio::task::yield_now().await;
                for waiting in gathered {
                    // The writer looks at its own answer itself.
                    let _ = waiting.answer.send(Ok(()));
                }
                drop(known);
            }
        };
        futures::future::join_all((0..20).map(one)).await;
        assert_eq!(writes.get(), 2, "the first, and all the others");
    }
}
