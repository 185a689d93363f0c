//! IAM's decision on each operation: which resources of CodePipeline a policy must allow, which condition keys the request
//! brings, and what else must be allowed with it. Asked before anything of a pipeline is looked at.

use towpath_model::arn::{self, Resource as Arn};
use towpath_model::declaration::PipelineDeclaration;
use towpath_services::identity::policy::Context;
use towpath_services::identity::{CODEPIPELINE_PRINCIPAL, PrincipalKind, Refusal};
use towpath_wire::codepipeline::{Operation as Name, Tag};
use towpath_wire::{Dialect, WireError};

use super::{Call, Operation, Resource, errors};
use crate::job_bearer;

/// What a request says about tags.
pub enum Tagging {
    Nothing,
    /// It gives its resource these tags.
    Gives(Vec<(String, String)>),
    /// It takes the tags with these keys away.
    Takes(Vec<String>),
}

impl Tagging {
    pub fn of(tags: Option<&[Tag]>) -> Self {
        let tags = tags.unwrap_or_default();
        if tags.is_empty() {
            return Self::Nothing;
        }
        Self::Gives(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
    }

    fn context(&self, mut context: Context) -> Context {
        let keys = match self {
            Self::Nothing => return context,
            Self::Gives(tags) => {
                for (key, value) in tags {
                    context.set(&format!("aws:RequestTag/{key}"), value.as_str());
                }
                tags.iter().map(|(key, _)| key.clone()).collect()
            }
            Self::Takes(keys) => keys.clone(),
        };
        context.with_many("aws:TagKeys", keys)
    }
}

impl Call {
    /// Whether the caller may do this, or AWS's refusal.
    pub(super) async fn allow<O: Operation>(&self, input: &O::Input) -> Result<(), WireError> {
        if self.of_job {
            // The id of the job was asked for already; a caller without a name has no policies to ask.
            let allowed = job_bearer::ALLOWED.contains(&O::NAME);
            return if allowed { Ok(()) } else { Err(WireError::missing_authentication(Dialect::Json)) };
        }
        let tagging = O::tagging(input);
        let context = tagging.context(self.request.context());
        let resource = O::resource(input);
        self.allow_on(O::NAME, &resource, O::alternative(input).as_ref(), &context).await?;
        if let Some(further) = O::further(input) {
            self.allow_on(O::NAME, &further, None, &context).await?;
        }
        // Giving tags is a permission of its own, also where they come with what is new.
        if matches!(tagging, Tagging::Gives(_)) && O::NAME != Name::TagResource {
            self.allow_on(Name::TagResource, &resource, None, &context).await?;
        }
        Ok(())
    }

    /// One action on one resource; either of two where AWS's own pages name different ones.
    async fn allow_on(
        &self,
        operation: Name,
        resource: &Resource,
        alternative: Option<&Resource>,
        context: &Context,
    ) -> Result<(), WireError> {
        let action = format!("codepipeline:{}", operation.name());
        let context = context.clone().merged(self.resource_tags(resource).await?);
        let ask = async |resource: &Resource| {
            let arn = self.arn_of(resource);
            self.identity.authorize(&self.request.principal, &action, &arn, context.clone()).await
        };
        let first = ask(resource).await;
        let Some(alternative) = alternative else { return first.map_err(refused) };
        let forbids = |answer: &Result<(), Refusal>| match answer {
            Err(Refusal::Denied(denied)) => denied.is_explicit(),
            Err(Refusal::Unavailable(_)) => true,
            Ok(()) => false,
        };
        if forbids(&first) {
            return first.map_err(refused);
        }
        let second = ask(alternative).await;
        match (first, second) {
            (_, second) if forbids(&second) => second.map_err(refused),
            (Ok(()), _) | (_, Ok(())) => Ok(()),
            (first, _) => first.map_err(refused),
        }
    }

    /// The ARN by which policies name a resource.
    fn arn_of(&self, resource: &Resource) -> String {
        match resource {
            Resource::Any => "*".to_owned(),
            Resource::Pipeline(name) => arn::pipeline(self.scope(), name),
            Resource::Stage(name, stage) => arn::stage(self.scope(), name, stage),
            Resource::Action(name, stage, action) => arn::action(self.scope(), name, stage, action),
            Resource::ActionType(owner, category, provider, version) => {
                arn::action_type(self.scope(), owner, category, provider, version)
            }
            Resource::Webhook(name) => arn::webhook(self.scope(), name),
            // In the one spelling that policies are written in; one that names nothing is refused later.
            Resource::Named(text) => match arn::parse(text).filter(|parsed| parsed.is_of(self.scope())) {
                Some(parsed) => parsed.resource.arn(self.scope()),
                None => text.clone(),
            },
        }
    }

    /// The tags of a resource as condition keys; stages and actions have those of their pipeline.
    async fn resource_tags(&self, resource: &Resource) -> Result<Context, WireError> {
        let mut context = Context::new();
        // No policy stands between the root user, or a service, and what it asks for.
        if matches!(self.request.principal.kind, PrincipalKind::Root | PrincipalKind::Service(_)) {
            return Ok(context);
        }
        let tagged = match resource {
            Resource::Any => return Ok(context),
            Resource::Pipeline(name) | Resource::Stage(name, _) | Resource::Action(name, ..) => {
                Arn::Pipeline(name.clone())
            }
            Resource::ActionType(owner, category, provider, version) => Arn::ActionType {
                owner: owner.clone(),
                category: category.clone(),
                provider: provider.clone(),
                version: version.clone(),
            },
            Resource::Webhook(name) => Arn::Webhook(name.clone()),
            Resource::Named(text) => match arn::parse(text).filter(|parsed| parsed.is_of(self.scope())) {
                Some(parsed) => parsed.resource,
                None => return Ok(context),
            },
        };
        for (key, value) in self.orchestrator.tags_of(self.scope(), &tagged).await.map_err(errors::wire)? {
            context.set(&format!("aws:ResourceTag/{key}"), value.as_str());
            context.set(&format!("codepipeline:ResourceTag/{key}"), value);
        }
        Ok(context)
    }

    /// `iam:PassRole` on every role that a declaration hands to CodePipeline. The role of an action in another account is
    /// not handed over: the pipeline's role assumes it.
    pub(super) async fn allow_pass_roles(&self, declaration: &PipelineDeclaration) -> Result<(), WireError> {
        let pipeline_role = declaration.role_arn.as_str();
        if self.is_foreign(pipeline_role) {
            return Err(WireError::access_denied(Dialect::Json, "Cross-account pass role is not allowed."));
        }
        let own = declaration.own_roles().filter(|role| !self.is_foreign(role));
        for role in std::iter::once(pipeline_role).chain(own) {
            let context = self.request.context();
            self.identity
                .authorize_pass_role(&self.request.principal, role, CODEPIPELINE_PRINCIPAL, context)
                .await
                .map_err(refused)?;
        }
        Ok(())
    }

    fn is_foreign(&self, role: &str) -> bool {
        role.split(':').nth(4).is_some_and(|account| account != self.scope().account)
    }
}

fn refused(refusal: Refusal) -> WireError {
    match refusal {
        Refusal::Denied(denied) => WireError::access_denied(Dialect::Json, denied.to_string()),
        Refusal::Unavailable(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "permissions could not be looked up");
            WireError::internal(Dialect::Json)
        }
    }
}
