//! The catalogue: one file per action or rule provider, each a declarative entry plus start, poll and stop, written
//! against AWS APIs through the official SDK crates. "Local" is only an endpoint: a [`realm::Realm`] says where the services are.
//!
//! Nothing here sees the store, the engine or a pipeline's state. A provider is given an
//! [`ActionInvocation`](towpath_model::action::ActionInvocation) and answers with an
//! [`Outcome`](towpath_model::action::Outcome).

pub mod alexa;
pub mod alexa_package;
pub mod appconfig;
pub mod artifact_files;
pub mod batches;
pub mod builds;
pub mod catalogue;
pub mod clients;
pub mod cloudformation;
pub mod codebuild;
pub mod codecommit_source;
pub mod codedeploy;
pub mod codedeploy_to_ecs;
pub mod commands;
pub mod connection_source;
pub mod deployments;
pub mod deploys;
pub mod device_farm;
pub mod device_farm_plan;
pub mod docs;
pub mod ec2;
pub mod ecr_build;
pub mod ecr_registry;
pub mod ecr_source;
pub mod ecs;
pub mod eks;
pub mod elastic_beanstalk;
pub mod git;
pub mod github_source;
pub mod http;
pub mod inputs;
pub mod inspector_scan;
pub mod job_credentials;
pub mod lambda_calls;
pub mod lambda_deploy;
pub mod lambda_invoke;
pub mod lambda_shift;
pub mod limits;
pub mod links;
pub mod logs;
pub mod manual_approval;
pub mod objects;
pub mod opsworks;
pub mod partners;
pub mod pipeline_invoke;
pub mod problem;
pub mod provider;
pub mod raw;
pub mod realm;
pub mod realms;
pub mod rehearsal;
pub mod rollouts;
pub mod rules;
pub mod s3_deploy;
pub mod s3_source;
pub mod service_catalog;
pub mod session;
pub mod stack_sets;
pub mod staging;
pub mod step_functions;
pub mod targets;
pub mod task_definitions;
pub mod working_tree;

pub use catalogue::{Catalogue, GitHosts, Settings};
pub use inputs::copy_inputs;
pub use provider::{Artifacts, Call, HandedJob, Provider};
pub use realm::{Abroad, Endpoints, KeySource, Realm, RealmKind, RealmSettings, Staging};
pub use realms::{AwsEnvironment, Network, RealmError, RealmTable, Realms, Service, Taken};
pub use targets::{DeployEvent, DeployTarget};

// What whoever assembles a realm has to name.
pub use aws_credential_types::Credentials;
pub use aws_credential_types::provider::SharedCredentialsProvider;
pub use aws_smithy_runtime_api::client::http::SharedHttpClient;
