//! The list of providers, in alphabetical order. Nothing registers itself: a provider is in the product when it is here.

use std::collections::BTreeMap;

use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, ActionTypes};

use crate::codebuild::CodeBuild;
use crate::codecommit_source::CodeCommitSource;
use crate::commands::Commands;
use crate::manual_approval::ManualApproval;
use crate::provider::Provider;
use crate::rehearsal::Rehearsal;
use crate::rules::cloudwatch_alarm::CloudWatchAlarm;
use crate::rules::deployment_window::DeploymentWindow;
use crate::rules::variable_check::VariableCheck;
use crate::s3_deploy::S3Deploy;
use crate::s3_source::S3Source;

/// Which providers the catalogue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// The scriptable fake provider is switched on.
    pub rehearsal: bool,
}

pub struct Catalogue {
    providers: BTreeMap<ActionTypeId, Box<dyn Provider>>,
}

impl Catalogue {
    pub fn new(settings: Settings) -> Self {
        let mut list: Vec<Box<dyn Provider>> = vec![Box::new(CloudWatchAlarm::new())];
        list.extend(CodeBuild::CATEGORIES.map(|c| Box::new(CodeBuild::new(c)) as Box<dyn Provider>));
        list.push(Box::new(CodeCommitSource::new()));
        list.extend(Commands::CATEGORIES.map(|c| Box::new(Commands::new(c)) as Box<dyn Provider>));
        list.push(Box::new(DeploymentWindow::new()));
        list.push(Box::new(ManualApproval::new()));
        if settings.rehearsal {
            list.extend(Rehearsal::CATEGORIES.map(|c| Box::new(Rehearsal::new(c)) as Box<dyn Provider>));
        }
        list.push(Box::new(S3Deploy::new()));
        list.push(Box::new(S3Source::new()));
        list.push(Box::new(VariableCheck::new()));
        Self::of(list)
    }

    /// A catalogue of other providers, for simulations.
    pub fn of(list: Vec<Box<dyn Provider>>) -> Self {
        Self { providers: list.into_iter().map(|p| (p.entry().id.clone(), p)).collect() }
    }

    pub fn get(&self, id: &ActionTypeId) -> Option<&dyn Provider> {
        self.providers.get(id).map(AsRef::as_ref)
    }

    /// All of them, by the ids of their types.
    pub fn providers(&self) -> impl Iterator<Item = &dyn Provider> {
        self.providers.values().map(AsRef::as_ref)
    }
}

impl ActionTypes for Catalogue {
    fn find(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry> {
        self.get(id).map(Provider::entry)
    }

    fn all(&self) -> Vec<&ActionTypeEntry> {
        self.providers.values().map(|p| p.entry()).collect()
    }

    fn check_value(&self, id: &ActionTypeId, key: &str, value: &str) -> Result<(), String> {
        self.get(id).map_or(Ok(()), |provider| provider.check_value(key, value))
    }
}
