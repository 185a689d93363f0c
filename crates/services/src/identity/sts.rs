//! STS on the wire: AssumeRole and GetCallerIdentity. The rules of assuming are in `assume`.

use towpath_wire::query::{self, Form};
use towpath_wire::sts::{
    AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser, Credentials, GetCallerIdentityResponse, Operation, SERVICE,
};
use towpath_wire::types::{Sensitive, Timestamp};
use towpath_wire::{Dialect, WireError};

use super::{AssumeRequest, Identity, PrincipalKind};
use crate::call::{Call, Response};

impl Identity {
    /// Answers one STS request.
    pub async fn handle_sts(&self, call: &Call) -> Response {
        match self.sts(call).await {
            Ok(response) => response,
            Err(error) => query::respond_error(Some(&SERVICE), &error, &call.request_id),
        }
    }

    async fn sts(&self, call: &Call) -> Result<Response, WireError> {
        let form = Form::parse(None, &call.body)?;
        match Operation::from_name(&call.operation) {
            Some(Operation::AssumeRole) => self.assume_role(call, form.decode()?).await,
            Some(Operation::GetCallerIdentity) => {
                // No permission is needed, and none can be taken away.
                let output = GetCallerIdentityResponse {
                    account: Some(call.principal.account.clone()),
                    arn: Some(call.principal.arn.clone()),
                    user_id: Some(call.principal.user_id.clone()),
                };
                respond(&output, call)
            }
            None => Err(WireError::invalid_action(&call.operation, form.version())),
        }
    }

    async fn assume_role(&self, call: &Call, input: AssumeRoleRequest) -> Result<Response, WireError> {
        if input.policy_arns.is_some_and(|arns| !arns.is_empty()) {
            return Err(WireError::validation(
                &SERVICE,
                "PolicyArns is not supported: this version has no managed policies. Pass the permissions in Policy.",
            ));
        }
        let tags = input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
        let request = AssumeRequest {
            role_arn: input.role_arn,
            session_name: input.role_session_name,
            seconds: input.duration_seconds,
            policy: input.policy,
            external_id: input.external_id,
            source_identity: input.source_identity,
            tags,
            transitive_tags: input.transitive_tag_keys.unwrap_or_default(),
        };
        let mut context = call.context();
        if let PrincipalKind::Service(_) = call.principal.kind {
            // The resource a service acts for is the service's own word, as it is between AWS's services.
            let origin = &call.origin;
            context = context
                .with_optional("aws:SourceArn", origin.source_arn.clone())
                .with_optional("aws:SourceAccount", origin.source_account.clone());
        }
        let session = self.assume(&call.principal, request, context).await?;
        let source_identity = session.principal.role_session().and_then(|session| session.source_identity.clone());
        let output = AssumeRoleResponse {
            assumed_role_user: Some(AssumedRoleUser {
                arn: session.principal.arn.clone(),
                assumed_role_id: session.principal.user_id.clone(),
            }),
            credentials: Some(Credentials {
                access_key_id: session.access_key,
                expiration: Timestamp::from_millis(session.expires.millis()),
                secret_access_key: Sensitive::new(session.secret.expose()),
                session_token: Sensitive::new(session.token.expose()),
            }),
            packed_policy_size: session.packed_percent,
            source_identity,
        };
        respond(&output, call)
    }
}

fn respond<T: towpath_wire::schema::Output>(output: &T, call: &Call) -> Result<Response, WireError> {
    query::respond(output, &call.request_id).map_err(|error| {
        tracing::error!(%error, operation = call.operation, "an STS answer cannot be written");
        WireError::internal(Dialect::Query)
    })
}
