//! Why a command was not carried out. Maps one to one to AWS error codes at the API; the store's own troubles stay
//! apart, so that they never reach a caller as their fault.

use towpath_engine::validation::Violation;
use towpath_model::event::Rejection;
use towpath_store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("The account with AWS account ID '{account}' does not include a pipeline named '{name}'")]
    PipelineNotFound { account: String, name: String },
    #[error("Pipeline version {version} of pipeline '{name}' does not exist")]
    PipelineVersionNotFound { name: String, version: u32 },
    #[error("A pipeline with the name '{name}' already exists in account '{account}'")]
    PipelineNameInUse { account: String, name: String },
    #[error("Pipeline Execution with id '{execution}' does not exist in pipeline with name '{pipeline}'")]
    PipelineExecutionNotFound { execution: String, pipeline: String },
    /// The declaration breaks rules; the first is what AWS reports.
    #[error("{}", .0.first().map_or("", |v| v.message.as_str()))]
    Invalid(Vec<Violation>),
    /// A role cannot be assumed, in AWS's words.
    #[error("{0}")]
    Role(String),
    #[error("{0}")]
    LimitExceeded(String),
    /// What the shape of a request does not say but AWS checks.
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    ConcurrentModification(String),
    #[error("{0}")]
    ActionTypeNotFound(String),
    #[error("{0}")]
    ActionTypeAlreadyExists(String),
    #[error("{0}")]
    ActionExecutionNotFound(String),
    #[error("{0}")]
    InvalidArn(String),
    #[error("{0}")]
    ResourceNotFound(String),
    #[error("{0}")]
    TooManyTags(String),
    #[error("{0}")]
    WebhookNotFound(String),
    #[error("{0}")]
    InvalidWebhookFilterPattern(String),
    #[error("{0}")]
    InvalidWebhookAuthenticationParameters(String),
    #[error("{0}")]
    JobNotFound(String),
    #[error("{0}")]
    InvalidJobState(String),
    #[error("{0}")]
    InvalidNonce(String),
    #[error("{0}")]
    InvalidJob(String),
    #[error("{0}")]
    InvalidClientToken(String),
    #[error("{0}")]
    RequestFailed(String),
    #[error("{0}")]
    OutputVariablesSizeExceeded(String),
    /// The role whose credentials a job needs does not let CodePipeline assume it.
    #[error("{0}")]
    NoCredentials(String),
    /// A service that has to be asked does not answer now.
    #[error("{0}; try again")]
    Unavailable(String),
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("the nextToken is not one this operation gave out")]
    InvalidNextToken,
    #[error("other writers kept changing the pipeline; try again")]
    Contention,
    /// Not for callers: this node held a task for too long without a sign of life, and another has taken it over.
    #[error("another node works on the task now")]
    TaskLost,
    #[error("the state could not be read or written")]
    Store(#[from] StoreError),
}

impl CommandError {
    /// The server's disk has no room: nothing was changed, and the request may be repeated when there is.
    pub const fn is_disk_full(&self) -> bool {
        matches!(self, Self::Store(StoreError::DiskFull { .. }))
    }
}
