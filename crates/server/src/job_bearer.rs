//! Callers whose keys nobody here knows, and who hold the id of an open job: functions that run on AWS, signed with AWS's
//! keys. Where a realm's `jobs-by-id` says so, the id, 122 random bits that only the function was told, stands for the caller:
//! for the operations of that one job, while it is open. Everybody else is refused as before.

use bytes::Bytes;
use http::request::Parts;
use towpath_services::call::Call;
use towpath_services::identity::Principal;
use towpath_wire::codepipeline::{GetJobDetailsInput, Operation, PutJobFailureResultInput, PutJobSuccessResultInput};
use towpath_wire::signature::Parsed;
use towpath_wire::{Dialect, json};

use crate::Front;
use crate::aws::{operation, origin};
use crate::front::Peer;

/// Whose principal stands for the bearer; nothing but the job is ever allowed to it.
const FUNCTION: &str = "lambda.amazonaws.com";

/// The operations that an open job's id allows.
pub const ALLOWED: [Operation; 3] =
    [Operation::GetJobDetails, Operation::PutJobFailureResult, Operation::PutJobSuccessResult];

/// The request as one of the job's own; None: its caller is nobody.
pub async fn call(
    front: &Front,
    parts: &Parts,
    parsed: &Parsed<'_>,
    body: &Bytes,
    peer: Peer,
    request_id: &str,
) -> Option<Call> {
    if parsed.scope.service != "codepipeline" {
        return None;
    }
    let name = operation(parts, Dialect::Json, "codepipeline", body).ok()?;
    let job = job_of(Operation::from_name(&name)?, body)?;
    let scope = match front.orchestrator.job_open_by_id(&job).await {
        Ok(scope) => scope?,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "it is not known whether a job's id is a function's"
            );
            return None;
        }
    };
    Some(Call {
        principal: Principal::service(&scope.account, FUNCTION),
        scope,
        operation: name,
        body: body.clone(),
        request_id: request_id.to_owned(),
        origin: origin(parts, peer),
    })
}

/// The job a request is about, read by the decoder that its operation uses.
fn job_of(operation: Operation, body: &[u8]) -> Option<String> {
    match operation {
        Operation::GetJobDetails => json::decode::<GetJobDetailsInput>(body).ok().map(|input| input.job_id),
        Operation::PutJobFailureResult => json::decode::<PutJobFailureResultInput>(body).ok().map(|input| input.job_id),
        Operation::PutJobSuccessResult => json::decode::<PutJobSuccessResultInput>(body).ok().map(|input| input.job_id),
        _ => None,
    }
}
