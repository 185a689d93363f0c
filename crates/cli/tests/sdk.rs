//! The official AWS SDKs against the real binary: everything `towpath serve` promises, seen by a stock client.

#[path = "sdk/approvals.rs"]
mod approvals;
#[path = "sdk/builds.rs"]
mod builds;
#[path = "sdk/deploys.rs"]
mod deploys;
#[path = "sdk/executions.rs"]
mod executions;
#[path = "sdk/large.rs"]
mod large;
#[path = "sdk/life.rs"]
mod life;
#[path = "sdk/main_job.rs"]
mod main_job;
#[path = "sdk/pipelines.rs"]
mod pipelines;
#[path = "sdk/record.rs"]
mod record;
#[path = "sdk/roles.rs"]
mod roles;
#[path = "sdk/sources.rs"]
mod sources;
#[path = "sdk/support.rs"]
mod support;
