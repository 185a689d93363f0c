//! A stack set as an action wants it: its part of the configuration, and the two requests that make it so.

use aws_sdk_cloudformation::types::{AutoDeployment, Capability, PermissionModels, StackSet};
use towpath_model::action::ActionInvocation;

use super::targets::{self, REGIONS, TARGETS, Targets};
use super::work::{Memory, Work};
use crate::cloudformation::answer::{Answer, Halt, is_code};
use crate::cloudformation::files::{FileOf, Files};
use crate::cloudformation::plan::{capabilities, given, required};
use crate::cloudformation::template::Template;
use crate::limits::STACK_SET_TEMPLATE_BYTES_MAX;

pub const PERMISSION_MODELS: [&str; 2] = ["SELF_MANAGED", "SERVICE_MANAGED"];
pub const AUTO_DEPLOYMENT: &str = "OrganizationsAutoDeployment";
pub const AUTO_DEPLOYMENTS: [&str; 3] = ["Disabled", "Enabled", "EnabledWithStackRetention"];
pub const PARAMETERS: &str = "Parameters";

pub struct SetPlan<'a> {
    template: FileOf<'a>,
    description: Option<&'a str>,
    capabilities: Option<Vec<Capability>>,
    model: Option<PermissionModels>,
    administration_role: Option<&'a str>,
    execution_role: Option<&'a str>,
    auto_deployment: Option<AutoDeployment>,
}

fn auto_deployment(value: &str) -> Result<AutoDeployment, String> {
    let made = AutoDeployment::builder();
    match value {
        "Enabled" => Ok(made.enabled(true).retain_stacks_on_account_removal(false).build()),
        "EnabledWithStackRetention" => Ok(made.enabled(true).retain_stacks_on_account_removal(true).build()),
        "Disabled" => Ok(made.enabled(false).build()),
        other => Err(format!(
            "The value of {AUTO_DEPLOYMENT} is '{other}'; it must be one of {}.",
            AUTO_DEPLOYMENTS.join(", ")
        )),
    }
}

impl<'a> SetPlan<'a> {
    pub fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let model = given(action, "PermissionModel");
        if let Some(wanted) = model.filter(|wanted| !PERMISSION_MODELS.contains(wanted)) {
            return Err(format!(
                "The value of PermissionModel is '{wanted}'; it must be one of {}.",
                PERMISSION_MODELS.join(", ")
            ));
        }
        Ok(Self {
            template: FileOf::read(action, "TemplatePath", required(action, "TemplatePath", "")?)?,
            description: given(action, "Description"),
            capabilities: given(action, "Capabilities").map(capabilities).transpose()?,
            model: model.map(PermissionModels::from),
            administration_role: given(action, "AdministrationRoleArn"),
            execution_role: given(action, "ExecutionRoleName"),
            auto_deployment: given(action, AUTO_DEPLOYMENT).map(auto_deployment).transpose()?,
        })
    }

    /// Whether AWS Organizations manages the permissions, of the set that was found or of a new one.
    pub fn service_managed(&self, found: Option<&StackSet>) -> bool {
        let model = self.model.as_ref().or_else(|| found.and_then(StackSet::permission_model));
        model == Some(&PermissionModels::ServiceManaged)
    }

    fn was_service_managed(found: Option<&StackSet>) -> bool {
        found.and_then(StackSet::permission_model) == Some(&PermissionModels::ServiceManaged)
    }

    /// What no single key shows.
    pub fn check(
        &self,
        action: &ActionInvocation,
        targets: Option<&Targets>,
        found: Option<&StackSet>,
    ) -> Result<(), String> {
        let (name, service_managed) = (&action.action_name, self.service_managed(found));
        let Some(targets) = targets else { return Ok(()) };
        if !targets.units.is_empty() && !service_managed {
            return Err(format!(
                "Action {name} names organizational units in {TARGETS}, which need a stack set with the PermissionModel \
                 SERVICE_MANAGED. For the SELF_MANAGED permissions model, you can only provide accounts."
            ));
        }
        if !targets.accounts.is_empty() && service_managed {
            return Err(format!(
                "Action {name} names accounts in {TARGETS}. For the SERVICE_MANAGED permissions model, you can provide either \
                 the organization root ID or organizational unit IDs."
            ));
        }
        // CloudFormation takes no targets in the update that changes it.
        let changes = |wanted: &AutoDeployment| {
            let is_enabled = |made: &AutoDeployment| made.enabled() == Some(true);
            let retains = |made: &AutoDeployment| made.retain_stacks_on_account_removal() == Some(true);
            let of = |made: &AutoDeployment| (is_enabled(made), is_enabled(made) && retains(made));
            found.is_some_and(|found| found.auto_deployment().map_or((false, false), of) != of(wanted))
        };
        if service_managed && self.auto_deployment.as_ref().is_some_and(changes) {
            return Err(format!(
                "Action {name} has another {AUTO_DEPLOYMENT} than the stack set, together with {TARGETS} and {REGIONS}. \
                 CloudFormation changes it with all stacks alone: leave {TARGETS} and {REGIONS} out, or {AUTO_DEPLOYMENT}."
            ));
        }
        Ok(())
    }

    /// For a set that is SERVICE_MANAGED from now on it has to be said.
    fn deployment(&self, service_managed: bool, from_now: bool) -> Option<AutoDeployment> {
        let disabled = || from_now.then(|| AutoDeployment::builder().enabled(false).build());
        if service_managed { self.auto_deployment.clone().or_else(disabled) } else { None }
    }
}

impl Work<'_> {
    /// The id of the new set; None where one of this name has come into being meanwhile.
    pub(super) async fn create_set(&self, plan: &SetPlan<'_>, files: &mut Files<'_>) -> Result<Option<String>, Halt> {
        let parameters = targets::parameters(self.action, PARAMETERS, files).await?;
        let template = Template::prepare(self.cx, self.action, files, plan.template, STACK_SET_TEMPLATE_BYTES_MAX);
        let template = template.await?;
        let request = self
            .client()
            .await?
            .create_stack_set()
            .stack_set_name(self.name)
            .set_description(plan.description.map(str::to_owned))
            .set_template_body(template.body())
            .set_template_url(template.url())
            .set_parameters(parameters)
            .set_capabilities(plan.capabilities.clone())
            .set_permission_model(plan.model.clone())
            .set_administration_role_arn(plan.administration_role.map(str::to_owned))
            .set_execution_role_name(plan.execution_role.map(str::to_owned))
            .set_auto_deployment(plan.deployment(plan.service_managed(None), true))
            .set_call_as(self.options.call_as.clone())
            .client_request_token(self.id("set"));
        match request.send().await.map_err(|error| self.problem(&error)) {
            Ok(answer) => Ok(Some(answer.stack_set_id.unwrap_or_default())),
            Err(problem) if is_code(&problem, &["NameAlreadyExists", "CreatedButModified"]) => Ok(None),
            Err(problem) => Err(problem.into()),
        }
    }

    /// The set, and the stacks of these targets; of all of them where there are none.
    pub(super) async fn update_set(
        &self,
        plan: &SetPlan<'_>,
        files: &mut Files<'_>,
        targets: Option<&Targets>,
        found: Option<&StackSet>,
        memory: Memory,
    ) -> Answer {
        let (service_managed, was) = (plan.service_managed(found), SetPlan::was_service_managed(found));
        let deployment = if targets.is_some() { None } else { plan.deployment(service_managed, !was) };
        let parameters = targets::parameters(self.action, PARAMETERS, files).await?;
        let template = Template::prepare(self.cx, self.action, files, plan.template, STACK_SET_TEMPLATE_BYTES_MAX);
        let template = template.await?;
        let regions = targets.map(|targets| targets.regions.clone());
        let id = self.id("update");
        let request = self
            .client()
            .await?
            .update_stack_set()
            .stack_set_name(self.name)
            .set_description(plan.description.map(str::to_owned))
            .set_template_body(template.body())
            .set_template_url(template.url())
            .set_parameters(parameters)
            .set_capabilities(plan.capabilities.clone())
            .set_permission_model(plan.model.clone())
            .set_administration_role_arn(plan.administration_role.map(str::to_owned))
            .set_execution_role_name(plan.execution_role.map(str::to_owned))
            .set_auto_deployment(deployment)
            .set_accounts(targets.and_then(|targets| targets.accounts(service_managed)))
            .set_deployment_targets(targets.and_then(|targets| targets.deployment_targets(service_managed)))
            .operation_preferences(self.options.preferences(regions.as_deref().unwrap_or_default()))
            .set_regions(regions)
            .operation_id(&id)
            .set_call_as(self.options.call_as.clone());
        let asked = request.send().await.map_err(|error| self.problem(&error));
        self.begun(asked.map(|answer| answer.operation_id), id, memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_deployment_by_its_three_names() {
        for (name, enabled, retain) in
            [("Enabled", true, Some(false)), ("EnabledWithStackRetention", true, Some(true)), ("Disabled", false, None)]
        {
            let made = auto_deployment(name).unwrap();
            assert_eq!((made.enabled(), made.retain_stacks_on_account_removal()), (Some(enabled), retain), "{name}");
        }
        assert!(auto_deployment("true").unwrap_err().contains("must be one of Disabled, Enabled"));
    }
}
