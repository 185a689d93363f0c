//! The one place that turns what went wrong into an AWS error code, exhaustively. What the log may see stays in the log.

use towpath_model::event::Rejection;
use towpath_orchestrator::{CommandError, ViolationCode};
use towpath_wire::codepipeline::SERVICE;
use towpath_wire::{Dialect, WireError};

#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err, which hands the error over")]
pub fn wire(error: CommandError) -> WireError {
    let code = match &error {
        CommandError::PipelineNotFound { .. } => "PipelineNotFoundException",
        CommandError::PipelineVersionNotFound { .. } => "PipelineVersionNotFoundException",
        CommandError::PipelineNameInUse { .. } => "PipelineNameInUseException",
        CommandError::PipelineExecutionNotFound { .. } => "PipelineExecutionNotFoundException",
        CommandError::Invalid(violations) => {
            violations.first().map_or("InvalidStructureException", |v| violation(v.code))
        }
        CommandError::Role(_) => "InvalidStructureException",
        CommandError::LimitExceeded(_) => "LimitExceededException",
        CommandError::Validation(_) => "ValidationException",
        CommandError::ConcurrentModification(_) => "ConcurrentModificationException",
        CommandError::ActionTypeNotFound(_) => "ActionTypeNotFoundException",
        CommandError::ActionTypeAlreadyExists(_) => "ActionTypeAlreadyExistsException",
        CommandError::ActionExecutionNotFound(_) => "ActionExecutionNotFoundException",
        CommandError::InvalidArn(_) => "InvalidArnException",
        CommandError::ResourceNotFound(_) => "ResourceNotFoundException",
        CommandError::TooManyTags(_) => "TooManyTagsException",
        CommandError::WebhookNotFound(_) => "WebhookNotFoundException",
        CommandError::InvalidWebhookFilterPattern(_) => "InvalidWebhookFilterPatternException",
        CommandError::InvalidWebhookAuthenticationParameters(_) => "InvalidWebhookAuthenticationParametersException",
        CommandError::JobNotFound(_) => "JobNotFoundException",
        CommandError::InvalidJobState(_) => "InvalidJobStateException",
        CommandError::InvalidNonce(_) => "InvalidNonceException",
        CommandError::InvalidJob(_) => "InvalidJobException",
        CommandError::InvalidClientToken(_) => "InvalidClientTokenException",
        CommandError::RequestFailed(_) => "RequestFailedException",
        CommandError::OutputVariablesSizeExceeded(_) => "OutputVariablesSizeExceededException",
        CommandError::NoCredentials(reason) => return WireError::access_denied(Dialect::Json, reason.clone()),
        CommandError::Unavailable(reason) => {
            tracing::warn!(reason, "a command was not carried out");
            return WireError::unavailable(Dialect::Json);
        }
        CommandError::InvalidNextToken => "InvalidNextTokenException",
        CommandError::Contention | CommandError::TaskLost => "ConflictException",
        CommandError::Rejected(rejection) => match rejection {
            Rejection::UnableToRollbackStage(_) => "UnableToRollbackStageException",
            Rejection::PipelineExecutionOutdated(_) => "PipelineExecutionOutdatedException",
            Rejection::ConditionNotOverridable(_) => "ConditionNotOverridableException",
            Rejection::Validation(_) => "ValidationException",
            Rejection::Conflict(_) => "ConflictException",
            Rejection::StageNotFound(_) => "StageNotFoundException",
            Rejection::ActionNotFound(_) => "ActionNotFoundException",
            Rejection::PipelineExecutionNotFound(_) => "PipelineExecutionNotFoundException",
            Rejection::PipelineExecutionNotStoppable(_) => "PipelineExecutionNotStoppableException",
            Rejection::DuplicatedStopRequest(_) => "DuplicatedStopRequestException",
            Rejection::InvalidApprovalToken(_) => "InvalidApprovalTokenException",
            Rejection::ApprovalAlreadyCompleted(_) => "ApprovalAlreadyCompletedException",
            Rejection::StageNotRetryable(_) => "StageNotRetryableException",
            Rejection::NotLatestPipelineExecution(_) => "NotLatestPipelineExecutionException",
            Rejection::ConcurrentPipelineExecutionsLimitExceeded(_) => {
                "ConcurrentPipelineExecutionsLimitExceededException"
            }
            Rejection::Internal(reason) => {
                tracing::error!(reason, "the engine refused its own state");
                return WireError::internal(Dialect::Json);
            }
        },
        CommandError::Store(cause) => {
            tracing::error!(error = cause as &dyn std::error::Error, "a command was not carried out");
            return if error.is_disk_full() {
                WireError::disk_full(Dialect::Json)
            } else {
                WireError::internal(Dialect::Json)
            };
        }
    };
    WireError::modeled(&SERVICE, code, error.to_string())
}

/// The error code that AWS reports a broken rule under.
pub fn violation(code: ViolationCode) -> &'static str {
    match code {
        ViolationCode::InvalidStructure => "InvalidStructureException",
        ViolationCode::InvalidStageDeclaration => "InvalidStageDeclarationException",
        ViolationCode::InvalidActionDeclaration => "InvalidActionDeclarationException",
        ViolationCode::InvalidBlockerDeclaration => "InvalidBlockerDeclarationException",
        ViolationCode::Validation => "ValidationException",
        ViolationCode::LimitExceeded => "LimitExceededException",
    }
}
