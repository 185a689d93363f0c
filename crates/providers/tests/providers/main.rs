//! Every provider of the catalogue against a small AWS in memory.

mod alarm;
mod approval_and_rehearsal;
mod batches;
mod cloudwatch_peer;
mod codebuild;
mod codebuild_peer;
mod commands;
mod conformance;
mod ecr_peer;
mod ecr_source;
mod git_host;
mod git_sources;
mod inputs;
mod inspector_peer;
mod inspector_scan;
mod realm;
mod realms;
mod rules;
mod s3_deploy;
mod s3_peer;
mod s3_source;
mod sns_peer;
mod stage;
mod staging;
mod world;
