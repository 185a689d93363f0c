//! Every provider of the catalogue against a small AWS in memory.

mod alarm;
mod approval_and_rehearsal;
mod batches;
mod cloudwatch_peer;
mod codebuild;
mod codebuild_peer;
mod codepipeline_peer;
mod commands;
mod conformance;
mod inputs;
mod lambda_invoke;
mod lambda_peer;
mod pipeline_invoke;
mod realm;
mod realms;
mod rules;
mod s3_deploy;
mod s3_peer;
mod s3_source;
mod stage;
mod staging;
mod states_peer;
mod step_functions;
mod world;
