//! What a deploy action deploys to, one by one: what ListDeployActionExecutionTargets is made of.

use towpath_model::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployTarget {
    pub id: String,
    /// What it is, as the action's configuration calls it: `EC2`.
    pub kind: String,
    pub status: &'static str,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// In the order in which they happened.
    pub events: Vec<DeployEvent>,
}

/// One step of the deployment to one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployEvent {
    pub name: &'static str,
    pub status: &'static str,
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
    /// The Systems Manager command that did it.
    pub command: Option<String>,
    pub message: Option<String>,
}
