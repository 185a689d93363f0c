//! The stack sets of CloudFormation, written from the service's API model and its recorded errors. One operation on a set
//! goes on at a time, until a test ends it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::cloudformation_peer::{Form, element, list, pairs, refusal, result};
use crate::stage::REGION;
use crate::world::{NOW, Response};

#[derive(Debug, Clone, Default)]
pub struct Set {
    pub id: String,
    pub name: String,
    pub template: String,
    pub parameters: BTreeMap<String, String>,
    pub model: String,
    /// Enabled, where permissions are service-managed.
    pub deploys: Option<bool>,
    /// Account and Region; an organizational unit where there is one.
    pub instances: Vec<(String, String, String)>,
}

#[derive(Debug, Clone, Default)]
pub struct Operation {
    pub id: String,
    pub set: String,
    pub status: String,
    pub reason: String,
    /// Account, Region, status and reason.
    pub results: Vec<[String; 4]>,
    pub failed: usize,
}

#[derive(Default)]
pub struct StackSets {
    pub sets: Vec<Set>,
    pub operations: Vec<Operation>,
    /// Operations that were really begun: what, and the form.
    pub begun: Vec<(String, Form)>,
    pub stopped: Vec<String>,
}

impl StackSets {
    pub fn add(&mut self, name: &str, model: &str, instances: &[(&str, &str)]) {
        let instances =
            instances.iter().map(|(account, region)| ((*account).to_owned(), (*region).to_owned(), String::new()));
        let id = format!("{name}:0a1b2c3d");
        let made = Set {
            id,
            name: name.to_owned(),
            model: model.to_owned(),
            deploys: (model == "SERVICE_MANAGED").then_some(false),
            instances: instances.collect(),
            ..Set::default()
        };
        self.sets.push(made);
    }

    pub fn finish(&mut self) {
        for operation in &mut self.operations {
            if operation.status == "RUNNING" {
                "SUCCEEDED".clone_into(&mut operation.status);
            }
        }
    }

    fn begin(&mut self, what: &str, form: &Form) -> Response {
        let (name, id) = (&form["StackSetName"], &form["OperationId"]);
        if self.operations.iter().any(|operation| operation.id == *id) {
            let text = format!("StackSet Operation with id {id} already exists");
            return refusal(409, "OperationIdAlreadyExistsException", &text);
        }
        if let Some(other) = self.operations.iter().find(|operation| operation.status == "RUNNING") {
            let arn = format!("arn:aws:cloudformation:{REGION}:444455556666:stackset/{}", other.set);
            let text = format!("Another Operation on StackSet {arn} is in progress: {}", other.id);
            return refusal(409, "OperationInProgressException", &text);
        }
        let targets = [list(form, "Accounts"), list(form, "DeploymentTargets.Accounts")].concat();
        let units = list(form, "DeploymentTargets.OrganizationalUnitIds");
        let regions = list(form, "Regions");
        let deploys = form.get("AutoDeployment.Enabled").map(|text| text == "true");
        if deploys.is_some() && !regions.is_empty() {
            return refusal(400, "ValidationError", "AutoDeployment goes without DeploymentTargets and Regions");
        }
        let set = self.sets.iter_mut().find(|set| set.name == *name).unwrap();
        let mut results = Vec::new();
        for account in targets {
            for region in &regions {
                let pair = (account.clone(), region.clone(), String::new());
                if what == "CreateStackInstances" && !set.instances.contains(&pair) {
                    set.instances.push(pair);
                } else if what == "UpdateStackSet" && !set.instances.contains(&pair) {
                    let text = format!("Stack instance not found for account {account} and region {region}");
                    return refusal(404, "StackInstanceNotFoundException", &text);
                }
                results.push([account.clone(), region.clone(), "SUCCEEDED".to_owned(), String::new()]);
            }
        }
        for unit in units {
            for region in &regions {
                set.instances.push(("777788889999".to_owned(), region.clone(), unit.clone()));
            }
        }
        let set_id = set.id.clone();
        if what == "UpdateStackSet" {
            form.get("TemplateBody").cloned().unwrap_or_default().clone_into(&mut set.template);
            set.parameters = pairs(form, "Parameters", "ParameterKey", "ParameterValue").unwrap_or_default();
            set.deploys = deploys.or(set.deploys);
        }
        let status = "RUNNING".to_owned();
        self.operations.push(Operation { id: id.clone(), set: set_id, status, results, ..Operation::default() });
        self.begun.push((what.to_owned(), form.clone()));
        result(what, &element("OperationId", id))
    }

    fn describe(&self, form: &Form) -> Response {
        let name = &form["StackSetName"];
        let Some(set) = self.sets.iter().find(|set| set.name == *name) else {
            return refusal(404, "StackSetNotFoundException", &format!("StackSet {name} not found"));
        };
        let content = element("StackSetName", &set.name)
            + &element("StackSetId", &set.id)
            + &element("Status", "ACTIVE")
            + &element("PermissionModel", &set.model)
            + &set.deploys.map_or_else(String::new, |deploys| {
                format!("<AutoDeployment>{}</AutoDeployment>", element("Enabled", &deploys.to_string()))
            });
        result("DescribeStackSet", &format!("<StackSet>{content}</StackSet>"))
    }

    fn create(&mut self, form: &Form) -> Response {
        let name = &form["StackSetName"];
        if self.sets.iter().any(|set| set.name == *name) {
            return refusal(409, "NameAlreadyExistsException", &format!("StackSet {name} already exists"));
        }
        let model = form.get("PermissionModel").map_or("SELF_MANAGED", String::as_str).to_owned();
        let deploys = form.get("AutoDeployment.Enabled").map(|text| text == "true");
        if deploys.is_some() != (model == "SERVICE_MANAGED") {
            return refusal(400, "ValidationError", "AutoDeployment is for SERVICE_MANAGED, which needs it");
        }
        self.add(name, &model, &[]);
        let set = self.sets.last_mut().unwrap();
        set.deploys = deploys;
        set.template = form.get("TemplateBody").cloned().unwrap_or_default();
        set.parameters = pairs(form, "Parameters", "ParameterKey", "ParameterValue").unwrap_or_default();
        let id = set.id.clone();
        self.begun.push(("CreateStackSet".to_owned(), form.clone()));
        result("CreateStackSet", &element("StackSetId", &id))
    }

    /// One instance a page.
    fn instances(&self, form: &Form) -> Response {
        let set = self.sets.iter().find(|set| set.name == form["StackSetName"]).unwrap();
        let from: usize = form.get("NextToken").map_or(0, |token| token.parse().unwrap());
        let mut content = String::new();
        for (account, region, unit) in set.instances.iter().skip(from).take(1) {
            let instance = element("StackSetId", &set.id)
                + &element("Account", account)
                + &element("Region", region)
                + &element("OrganizationalUnitId", unit)
                + &element("Status", "CURRENT");
            write!(content, "<member>{instance}</member>").unwrap();
        }
        let more = from + 1 < set.instances.len();
        let next = if more { element("NextToken", &(from + 1).to_string()) } else { String::new() };
        result("ListStackInstances", &format!("<Summaries>{content}</Summaries>{next}"))
    }

    fn operation(&mut self, form: &Form) -> Result<&mut Operation, Response> {
        let id = &form["OperationId"];
        let text = format!("Operation {id} not found");
        let found = self.operations.iter_mut().find(|operation| operation.id == *id);
        found.ok_or_else(|| refusal(404, "OperationNotFoundException", &text))
    }

    fn describe_operation(&mut self, form: &Form) -> Response {
        let operation = match self.operation(form) {
            Ok(operation) => operation,
            Err(refused) => return refused,
        };
        let ended = !matches!(operation.status.as_str(), "QUEUED" | "RUNNING" | "STOPPING");
        let failed = element("FailedStackInstancesCount", &operation.failed.to_string());
        let content = element("OperationId", &operation.id)
            + &element("StackSetId", &operation.set)
            + &element("Status", &operation.status)
            + &element("StatusReason", &operation.reason)
            + &element("EndTimestamp", if ended { NOW.iso8601() } else { String::new() }.as_str())
            + &format!("<StatusDetails>{failed}</StatusDetails>");
        result("DescribeStackSetOperation", &format!("<StackSetOperation>{content}</StackSetOperation>"))
    }

    fn results(&mut self, form: &Form) -> Response {
        let wanted = form.get("Filters.member.1.Values").cloned();
        let operation = match self.operation(form) {
            Ok(operation) => operation,
            Err(refused) => return refused,
        };
        let mut content = String::new();
        for [account, region, status, reason] in &operation.results {
            if wanted.as_ref().is_some_and(|wanted| wanted != status) {
                continue;
            }
            let summary = element("Account", account)
                + &element("Region", region)
                + &element("Status", status)
                + &element("StatusReason", reason);
            write!(content, "<member>{summary}</member>").unwrap();
        }
        result("ListStackSetOperationResults", &format!("<Summaries>{content}</Summaries>"))
    }

    fn stop(&mut self, form: &Form) -> Response {
        let operation = match self.operation(form) {
            Ok(operation) => operation,
            Err(refused) => return refused,
        };
        if operation.status != "RUNNING" {
            let text = format!("Operation {} is {} and cannot be stopped", operation.id, operation.status);
            return refusal(400, "InvalidOperationException", &text);
        }
        "STOPPING".clone_into(&mut operation.status);
        let id = operation.id.clone();
        self.stopped.push(id);
        result("StopStackSetOperation", "")
    }

    pub fn answer(&mut self, operation: &str, form: &Form) -> Response {
        let absent = !self.sets.iter().any(|set| form.get("StackSetName") == Some(&set.name));
        match operation {
            "DescribeStackSet" => self.describe(form),
            "CreateStackSet" => self.create(form),
            _ if absent => {
                let text = format!("StackSet {} not found", form["StackSetName"]);
                refusal(404, "StackSetNotFoundException", &text)
            }
            "CreateStackInstances" | "UpdateStackSet" => self.begin(operation, form),
            "DescribeStackSetOperation" => self.describe_operation(form),
            "ListStackInstances" => self.instances(form),
            "ListStackSetOperationResults" => self.results(form),
            "StopStackSetOperation" => self.stop(form),
            other => panic!("the fake CloudFormation has no {other}"),
        }
    }
}
