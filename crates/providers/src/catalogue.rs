//! The list of providers, in alphabetical order. Nothing registers itself: a provider is in the product when it is here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, ActionTypes};

use crate::alexa::AlexaSkillsKit;
use crate::appconfig::AppConfig;
use crate::cloudformation::CloudFormation;
use crate::codebuild::CodeBuild;
use crate::codecommit_source::CodeCommitSource;
use crate::codedeploy::CodeDeploy;
use crate::codedeploy_to_ecs::CodeDeployToEcs;
use crate::commands::Commands;
use crate::connection_source::{ConnectionSource, ConnectionTypes, NoTypes};
use crate::device_farm::DeviceFarm;
use crate::ec2::Ec2Deploy;
use crate::ecr_build::EcrBuild;
use crate::ecr_source::EcrSource;
use crate::ecs::Ecs;
use crate::eks::Eks;
use crate::eks::run::Tools;
use crate::elastic_beanstalk::ElasticBeanstalk;
use crate::git::{CommitFollower, Unfollowed};
use crate::github_source::GitHubSource;
use crate::inspector_scan::InspectorScan;
use crate::lambda_deploy::LambdaDeploy;
use crate::lambda_invoke::LambdaInvoke;
use crate::manual_approval::ManualApproval;
use crate::opsworks::OpsWorks;
use crate::partners;
use crate::pipeline_invoke::PipelineInvoke;
use crate::provider::Provider;
use crate::realms::Service;
use crate::rehearsal::Rehearsal;
use crate::rules::cloudwatch_alarm::CloudWatchAlarm;
use crate::rules::deployment_window::DeploymentWindow;
use crate::rules::variable_check::VariableCheck;
use crate::s3_deploy::S3Deploy;
use crate::s3_source::S3Source;
use crate::service_catalog::ServiceCatalog;
use crate::stack_sets::{StackInstances, StackSets};
use crate::step_functions::StepFunctions;
use crate::working_tree::{self, WorkingTree};

/// Which providers the catalogue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// The scriptable fake provider is switched on.
    pub rehearsal: bool,
}

/// What is known of git hosts beyond an action's configuration.
pub struct GitHosts {
    /// GitHub sources that are on other hosts than GitHub, by the action's name.
    pub github: BTreeMap<String, String>,
    /// What connections lead to.
    pub types: Arc<dyn ConnectionTypes>,
    /// Who follows the commits that are taken.
    pub follower: Arc<dyn CommitFollower>,
}

impl Default for GitHosts {
    /// Nothing is known, and nobody follows.
    fn default() -> Self {
        Self { github: BTreeMap::new(), types: Arc::new(NoTypes), follower: Arc::new(Unfollowed) }
    }
}

pub struct Catalogue {
    providers: BTreeMap<ActionTypeId, Box<dyn Provider>>,
    /// Types whose actions partners' job workers carry out, unless UpdateActionType says otherwise of them.
    partners: BTreeMap<ActionTypeId, ActionTypeEntry>,
}

impl Catalogue {
    pub fn new(settings: Settings) -> Self {
        Self::with_git_hosts(settings, GitHosts::default())
    }

    pub fn with_git_hosts(settings: Settings, hosts: GitHosts) -> Self {
        let GitHosts { github, types, follower } = hosts;
        let mut list: Vec<Box<dyn Provider>> = vec![
            Box::new(AlexaSkillsKit::new()),
            Box::new(AppConfig::new()),
            Box::new(CloudFormation::new()),
            Box::new(StackInstances::new()),
            Box::new(StackSets::new()),
            Box::new(CloudWatchAlarm::new()),
        ];
        list.extend(CodeBuild::CATEGORIES.map(|c| Box::new(CodeBuild::new(c)) as Box<dyn Provider>));
        list.push(Box::new(CodeCommitSource::new()));
        list.push(Box::new(CodeDeploy::new()));
        list.push(Box::new(CodeDeployToEcs::new()));
        list.extend(Commands::CATEGORIES.map(|c| Box::new(Commands::new(c)) as Box<dyn Provider>));
        list.push(Box::new(ConnectionSource::new(types, Arc::clone(&follower))));
        list.push(Box::new(DeploymentWindow::new()));
        list.push(Box::new(DeviceFarm::new()));
        list.push(Box::new(Ec2Deploy::new()));
        list.push(Box::new(EcrBuild::new()));
        list.push(Box::new(EcrSource::new()));
        list.push(Box::new(Ecs::new()));
        list.push(Box::new(Eks::new(Tools::default())));
        list.push(Box::new(ElasticBeanstalk::new()));
        list.push(Box::new(GitHubSource::new(github, follower)));
        list.push(Box::new(InspectorScan::new()));
        list.push(Box::new(LambdaDeploy::new()));
        list.extend(LambdaInvoke::CATEGORIES.map(|c| Box::new(LambdaInvoke::new(c)) as Box<dyn Provider>));
        list.push(Box::new(ManualApproval::new()));
        list.push(Box::new(OpsWorks::new()));
        list.push(Box::new(PipelineInvoke::new()));
        if settings.rehearsal {
            list.extend(Rehearsal::CATEGORIES.map(|c| Box::new(Rehearsal::new(c)) as Box<dyn Provider>));
        }
        list.push(Box::new(S3Deploy::new()));
        list.push(Box::new(S3Source::new()));
        list.push(Box::new(ServiceCatalog::new()));
        list.push(Box::new(StepFunctions::new()));
        list.push(Box::new(VariableCheck::new()));
        let partners = partners::entries().map(|entry| (entry.id.clone(), entry)).collect();
        Self { partners, ..Self::of(list) }
    }

    /// The same with `kubectl` and `helm` that are elsewhere than on the PATH.
    #[must_use]
    pub fn with_kubernetes_tools(mut self, directory: PathBuf) -> Self {
        let provider = Eks::new(Tools::at(directory));
        self.providers.insert(provider.entry().id.clone(), Box::new(provider));
        self
    }

    /// A catalogue of other providers, for simulations.
    pub fn of(list: Vec<Box<dyn Provider>>) -> Self {
        let providers = list.into_iter().map(|p| (p.entry().id.clone(), p)).collect();
        Self { providers, partners: BTreeMap::new() }
    }

    /// With directories that stand in for source actions of these names.
    #[must_use]
    pub fn standing_in(self, actions: &BTreeSet<String>) -> Self {
        if actions.is_empty() {
            return self;
        }
        let wrapped = self.providers.into_iter().map(|(id, provider)| {
            let wrapped: Box<dyn Provider> = if working_tree::may_stand_in(provider.entry()) {
                Box::new(WorkingTree::new(provider, actions.clone()))
            } else {
                provider
            };
            (id, wrapped)
        });
        Self { providers: wrapped.collect(), ..self }
    }

    pub fn get(&self, id: &ActionTypeId) -> Option<&dyn Provider> {
        self.providers.get(id).map(AsRef::as_ref)
    }

    /// All of them, by the ids of their types.
    pub fn providers(&self) -> impl Iterator<Item = &dyn Provider> {
        self.providers.values().map(AsRef::as_ref)
    }

    /// The types that they carry out.
    pub fn entries(&self) -> impl Iterator<Item = &ActionTypeEntry> {
        self.providers().map(Provider::entry)
    }

    /// A type that AWS lists of a partner; its actions are carried out by job workers.
    pub fn partner(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry> {
        self.partners.get(id)
    }

    pub fn partners(&self) -> impl Iterator<Item = &ActionTypeEntry> {
        self.partners.values()
    }

    /// Every type with the service that it calls, by the ids: what the reference pages are about.
    pub fn described(&self) -> impl Iterator<Item = (&ActionTypeEntry, Option<Service>)> {
        let of_providers = self.providers().map(|provider| (provider.entry(), provider.service()));
        let mut all: Vec<_> = of_providers.chain(self.partners().map(|entry| (entry, None))).collect();
        all.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
        all.into_iter()
    }
}

impl ActionTypes for Catalogue {
    fn find(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry> {
        self.get(id).map(Provider::entry).or_else(|| self.partner(id))
    }

    fn all(&self) -> Vec<&ActionTypeEntry> {
        self.entries().chain(self.partners()).collect()
    }

    fn check_value(&self, id: &ActionTypeId, key: &str, value: &str) -> Result<(), String> {
        self.get(id).map_or(Ok(()), |provider| provider.check_value(key, value))
    }
}
