//! What is kept of a function, and how it is read and changed: one document for the function with its aliases, policies and
//! tags, one for each published version. Changes are compare-and-swap.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Expect, Key, Scan, Versioned, Write};
use towpath_wire::WireError;
use towpath_wire::lambda::FunctionConfiguration;

use super::Lambda;
use super::errors::{conflict, no_function, not_found, store};
use super::names::{LATEST, Reference, function_arn, is_number};

pub(super) const FUNCTIONS: &str = "lambda.function";
const VERSIONS: &str = "lambda.version";
const FORMAT: u32 = 1;
const TRIES_MAX: usize = 16;
/// Documents removed in one write.
const DELETE_BATCH: usize = 500;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Function {
    format: u32,
    pub latest: Version,
    /// The number of the newest published version; numbers are not used again.
    pub last_version: u64,
    #[serde(default)]
    pub aliases: BTreeMap<String, Alias>,
    /// By qualifier; the unqualified function is the empty text.
    #[serde(default)]
    pub policies: BTreeMap<String, ResourcePolicy>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub reserved: Option<i32>,
    #[serde(default)]
    pub event_configs: BTreeMap<String, EventConfig>,
}

/// `$LATEST` or a number: configuration and code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Version {
    pub config: FunctionConfiguration,
    /// The name of the code in the data directory: the SHA-256 of its zip, in hex.
    pub code: String,
    /// Tells processes of one configuration from those of another.
    pub launch: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Alias {
    pub version: String,
    pub description: String,
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
    pub revision: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ResourcePolicy {
    pub revision: String,
    pub statements: Vec<Value>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct EventConfig {
    pub retries: Option<i32>,
    pub age_seconds: Option<i32>,
    pub modified_ms: i64,
}

impl Function {
    pub fn new(latest: Version) -> Self {
        Self {
            format: FORMAT,
            latest,
            last_version: 0,
            aliases: BTreeMap::new(),
            policies: BTreeMap::new(),
            tags: BTreeMap::new(),
            reserved: None,
            event_configs: BTreeMap::new(),
        }
    }
}

impl ResourcePolicy {
    /// The policy as a document.
    pub fn document(&self) -> String {
        serde_json::json!({"Version": "2012-10-17", "Id": "default", "Statement": self.statements}).to_string()
    }
}

impl Version {
    /// `$LATEST` or a number.
    pub fn label(&self) -> &str {
        self.config.version.as_deref().unwrap_or(LATEST)
    }

    pub fn timeout_seconds(&self) -> i32 {
        self.config.timeout.unwrap_or(3)
    }

    pub fn memory_mb(&self) -> i32 {
        self.config.memory_size.unwrap_or(128)
    }
}

pub(super) fn partition(scope: &Scope) -> String {
    format!("{}/{}", scope.account, scope.region)
}

fn function_key(scope: &Scope, name: &str) -> Key {
    Key::new(FUNCTIONS, partition(scope), name)
}

fn version_key(scope: &Scope, name: &str, number: u64) -> Key {
    // Neither part can hold a colon; the zeros keep the numbers' order.
    Key::new(VERSIONS, partition(scope), format!("{name}:{number:020}"))
}

impl Lambda {
    pub(super) async fn find(&self, scope: &Scope, name: &str) -> Result<Option<Versioned<Function>>, WireError> {
        self.documents.get_json(FUNCTIONS, &partition(scope), name).await.map_err(store)
    }

    /// The function, or that there is none.
    pub(super) async fn function(&self, scope: &Scope, reference: &Reference) -> Result<Function, WireError> {
        let found = self.find(scope, &reference.name).await?;
        found.map(|found| found.value).ok_or_else(|| no_function(&reference.qualified_arn(scope)))
    }

    pub(super) async fn create(&self, scope: &Scope, name: &str, function: &Function) -> Result<(), WireError> {
        let made = self.documents.put_json(function_key(scope, name), function, Expect::Absent).await;
        match made {
            Ok(_) => Ok(()),
            Err(error) if error.is_conflict() => Err(conflict(format!("Function already exist: {name}"))),
            Err(error) => Err(store(error)),
        }
    }

    /// Changes a function; `change` may be asked again where somebody else was faster.
    pub(super) async fn change<T>(
        &self,
        scope: &Scope,
        reference: &Reference,
        mut change: impl FnMut(&mut Function) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        self.change_with(scope, reference, |function| change(function).map(|told| (told, Vec::new()))).await
    }

    /// The same, with further writes of the same commit.
    pub(super) async fn change_with<T>(
        &self,
        scope: &Scope,
        reference: &Reference,
        mut change: impl FnMut(&mut Function) -> Result<(T, Vec<Write>), WireError>,
    ) -> Result<T, WireError> {
        for _ in 0..TRIES_MAX {
            let found = self.find(scope, &reference.name).await?;
            let Some(found) = found else { return Err(no_function(&reference.arn(scope))) };
            let mut function = found.value;
            let (told, mut writes) = change(&mut function)?;
            let expect = Expect::Version(found.version);
            writes.push(Write::put_json(function_key(scope, &reference.name), &function, expect).map_err(store)?);
            match self.documents.write(writes).await {
                Ok(_) => return Ok(told),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(store(error)),
            }
        }
        Err(conflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: {}",
            reference.arn(scope)
        )))
    }

    /// The write that publishes a version.
    pub(super) fn published(scope: &Scope, name: &str, number: u64, version: &Version) -> Result<Write, WireError> {
        Write::put_json(version_key(scope, name, number), version, Expect::Absent).map_err(store)
    }

    pub(super) async fn version(&self, scope: &Scope, name: &str, number: u64) -> Result<Option<Version>, WireError> {
        let key = version_key(scope, name, number);
        let found = self.documents.get_json(&key.collection, &key.partition, &key.key).await.map_err(store)?;
        Ok(found.map(|found| found.value))
    }

    /// Published versions past a number, oldest first.
    pub(super) async fn versions(
        &self,
        scope: &Scope,
        name: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Version)>, WireError> {
        let scan = Scan::prefix(&format!("{name}:")).after(format!("{name}:{after:020}")).limit(limit);
        let found = self.documents.scan_json::<Version>(VERSIONS, &partition(scope), scan).await.map_err(store)?;
        Ok(found
            .into_iter()
            .filter_map(|(key, version)| Some((key.rsplit_once(':')?.1.parse().ok()?, version.value)))
            .collect())
    }

    /// The version that a qualifier stands for; with an alias, its main one.
    pub(super) async fn resolve(
        &self,
        scope: &Scope,
        reference: &Reference,
        function: &Function,
    ) -> Result<Version, WireError> {
        let Some(qualifier) = reference.qualifier.as_deref().filter(|qualifier| *qualifier != LATEST) else {
            return Ok(function.latest.clone());
        };
        if is_number(qualifier) {
            let number = qualifier.parse().unwrap_or(0);
            let found = self.version(scope, &reference.name, number).await?;
            return found.ok_or_else(|| no_function(&reference.qualified_arn(scope)));
        }
        let alias = function.aliases.get(qualifier);
        let alias = alias.ok_or_else(|| {
            not_found(format!("Cannot find alias arn: {}:{qualifier}", function_arn(scope, &reference.name)))
        })?;
        self.numbered(scope, &reference.name, function, &alias.version).await
    }

    /// `$LATEST` or a number of a function.
    pub(super) async fn numbered(
        &self,
        scope: &Scope,
        name: &str,
        function: &Function,
        label: &str,
    ) -> Result<Version, WireError> {
        if label == LATEST {
            return Ok(function.latest.clone());
        }
        let found = self.version(scope, name, label.parse().unwrap_or(0)).await?;
        found.ok_or_else(|| no_function(&format!("{}:{label}", function_arn(scope, name))))
    }

    /// Removes a function with all that belongs to it.
    pub(super) async fn remove(&self, scope: &Scope, name: &str) -> Result<(), WireError> {
        // The function goes last: a deletion that is cut short is repeated by asking again.
        loop {
            let versions = self.versions(scope, name, 0, DELETE_BATCH).await?;
            if versions.is_empty() {
                break;
            }
            let writes = versions
                .into_iter()
                .map(|(number, _)| Write::delete(version_key(scope, name, number), Expect::Any))
                .collect();
            self.documents.write(writes).await.map_err(store)?;
        }
        self.documents.delete(function_key(scope, name), Expect::Any).await.map_err(store)
    }

    pub(super) async fn remove_version(&self, scope: &Scope, name: &str, number: u64) -> Result<(), WireError> {
        self.documents.delete(version_key(scope, name, number), Expect::Any).await.map_err(store)
    }

    /// Functions in order of their names, past one of them.
    pub(super) async fn functions(
        &self,
        scope: &Scope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Function)>, WireError> {
        let mut scan = Scan::all().limit(limit);
        if let Some(after) = after {
            scan = scan.after(after);
        }
        let found = self.documents.scan_json::<Function>(FUNCTIONS, &partition(scope), scan).await.map_err(store)?;
        Ok(found.into_iter().map(|(name, function)| (name, function.value)).collect())
    }

    /// The code that some function or version still needs.
    pub(super) async fn codes_in_use(&self) -> Result<std::collections::HashSet<String>, WireError> {
        let mut used = std::collections::HashSet::new();
        for partition in self.documents.partitions(FUNCTIONS).await.map_err(store)? {
            let found = self.documents.scan_json::<Function>(FUNCTIONS, &partition, Scan::all()).await;
            used.extend(found.map_err(store)?.into_iter().map(|(_, function)| function.value.latest.code));
        }
        for partition in self.documents.partitions(VERSIONS).await.map_err(store)? {
            let found = self.documents.scan_json::<Version>(VERSIONS, &partition, Scan::all()).await;
            used.extend(found.map_err(store)?.into_iter().map(|(_, version)| version.value.code));
        }
        Ok(used)
    }
}
