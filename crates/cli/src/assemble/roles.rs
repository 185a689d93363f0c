//! Whether CodePipeline may act as a pipeline's roles, asked of the embedded STS.

use std::sync::Arc;

use async_trait::async_trait;
use towpath_model::arn;
use towpath_model::ids::Scope;
use towpath_orchestrator::Roles;
use towpath_services::identity::policy::Context;
use towpath_services::identity::{AssumeRequest, CODEPIPELINE_PRINCIPAL, Identity};

pub struct EmbeddedRoles {
    pub identity: Arc<Identity>,
}

#[async_trait]
impl Roles for EmbeddedRoles {
    async fn test_assume(
        &self,
        scope: &Scope,
        pipeline: &str,
        role: &str,
        action_roles: &[String],
    ) -> Result<(), String> {
        // The keys that a confused-deputy guard in the trust policy looks at.
        let context = Context::new()
            .with("aws:SourceArn", arn::pipeline(scope, pipeline))
            .with("aws:SourceAccount", scope.account.as_str());
        let own = |role: &str| AssumeRequest {
            role_arn: role.to_owned(),
            session_name: "CreatePipeline".to_owned(),
            ..AssumeRequest::default()
        };
        let session = self
            .identity
            .assume_as_service(CODEPIPELINE_PRINCIPAL, own(role), context)
            .await
            .map_err(|_| format!("CodePipeline is not authorized to perform AssumeRole on role {role}"))?;
        for action_role in action_roles.iter().filter(|other| *other != role) {
            self.identity
                .assume(&session.principal, own(action_role), Context::new())
                .await
                .map_err(|_| format!("{role} is not authorized to perform AssumeRole on role {action_role}"))?;
        }
        Ok(())
    }
}
