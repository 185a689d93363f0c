//! CloudFormation as far as CodePipeline uses it, written from the service's API model and its recorded errors: stacks and
//! change sets whose operations go on until a test ends them, well or badly, and the events they leave. Templates are JSON
//! with `Parameters`, `Resources` and `Outputs`; a text with `AWS::IAM` in it needs a capability.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use crate::stack_sets_peer::StackSets;
use crate::stage::{REGION, Stage};
use crate::world::{NOW, Peer, Request, Response, decode, query_error};

pub type Form = BTreeMap<String, String>;
/// Template, parameters, and tags where some are given.
pub type MadeOf = (String, BTreeMap<String, String>, Option<BTreeMap<String, String>>);

#[derive(Debug, Clone, Default)]
pub struct Stack {
    pub id: String,
    pub name: String,
    pub status: String,
    pub reason: String,
    pub made_of: MadeOf,
    pub policy: Option<String>,
    pub role: Option<String>,
    /// Newest last: id, logical id, physical id, type, status, reason, token.
    pub events: Vec<[String; 7]>,
    pub token: String,
}

#[derive(Debug, Clone, Default)]
pub struct ChangeSet {
    pub arn: String,
    pub name: String,
    pub stack: String,
    pub status: String,
    pub execution: String,
    pub reason: String,
    pub description: String,
    pub creates: bool,
    pub made_of: MadeOf,
}

#[derive(Default)]
pub struct Clouds {
    pub stacks: Vec<Stack>,
    pub change_sets: Vec<ChangeSet>,
    pub sets: StackSets,
    /// Every request that came through, by operation.
    pub requests: Vec<(String, Form)>,
    /// Operations that were really begun.
    pub begun: Vec<String>,
    /// Tokens of operations.
    tokens: Vec<String>,
    /// Answers to give instead of the next so many: operation, status, code, text.
    pub answers: Vec<(String, u16, String, String)>,
    made: usize,
}

#[derive(Clone, Default)]
pub struct CloudsPeer(pub Arc<Mutex<Clouds>>);

impl CloudsPeer {
    pub fn new(stage: &Stage) -> Self {
        let peer = Self::default();
        stage.aws.world().peers.insert("cloudformation".to_owned(), Box::new(peer.clone()));
        peer
    }

    pub fn clouds(&self) -> MutexGuard<'_, Clouds> {
        self.0.lock().unwrap()
    }

    /// One with the stack `ferry` in this state, made of nothing.
    pub fn with_stack(stage: &Stage, status: &str) -> Self {
        let peer = Self::new(stage);
        let mut clouds = peer.clouds();
        let id = clouds.arn("stack", "ferry");
        clouds.stacks.push(Stack { id, name: "ferry".to_owned(), status: status.to_owned(), ..Stack::default() });
        drop(clouds);
        peer
    }

    /// Lets every operation come to a good end. The world hands a peer out as a request alone, so this is one too.
    pub fn finish(stage: &Stage) {
        let request = Request {
            service: "cloudformation".to_owned(),
            region: String::new(),
            access_key: String::new(),
            method: "POST".to_owned(),
            host: String::new(),
            path: "/".to_owned(),
            query: BTreeMap::new(),
            headers: BTreeMap::new(),
            body: b"Action=Finish".to_vec(),
        };
        stage.aws.world().peers.get_mut("cloudformation").unwrap().answer(&request);
    }
}

pub fn form(request: &Request) -> Form {
    let body = String::from_utf8(request.body.clone()).unwrap();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

/// `NAME.member.1`, `NAME.member.2`, ...
pub fn list(form: &Form, name: &str) -> Vec<String> {
    (1..).map_while(|n| form.get(&format!("{name}.member.{n}")).cloned()).collect()
}

/// The pairs of a list of structures; None where the list is not there at all.
pub fn pairs(form: &Form, name: &str, key: &str, value: &str) -> Option<BTreeMap<String, String>> {
    let at = |n: usize, what: &str| form.get(&format!("{name}.member.{n}.{what}")).cloned();
    let found: BTreeMap<_, _> = (1..).map_while(|n| Some((at(n, key)?, at(n, value).unwrap_or_default()))).collect();
    (!found.is_empty() || form.contains_key(name)).then_some(found)
}

pub fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `<name>text</name>`, or nothing for an empty text.
pub fn element(name: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<{name}>{}</{name}>", xml(text)) }
}

pub fn result(operation: &str, content: &str) -> Response {
    Response::ok(format!(
        "<{operation}Response><{operation}Result>{content}</{operation}Result><ResponseMetadata><RequestId>R-1</RequestId>\
         </ResponseMetadata></{operation}Response>"
    ))
}

pub fn refusal(status: u16, code: &str, text: &str) -> Response {
    query_error(status, code, &xml(text)).header("x-amzn-requestid", "R-1")
}

fn invalid(text: &str) -> Response {
    refusal(400, "ValidationError", text)
}

impl Clouds {
    pub fn arn(&mut self, kind: &str, name: &str) -> String {
        self.made += 1;
        format!("arn:aws:cloudformation:{REGION}:444455556666:{kind}/{name}/5{:07}", self.made)
    }

    /// By name, where it is there, or by id.
    pub fn stack(&mut self, named: &str) -> Option<&mut Stack> {
        self.stacks
            .iter_mut()
            .find(|stack| stack.id == named || (stack.name == named && stack.status != "DELETE_COMPLETE"))
    }

    fn change_set(&mut self, form: &Form) -> Option<&mut ChangeSet> {
        let named = form["ChangeSetName"].clone();
        let stack = form.get("StackName").and_then(|name| self.stack(name).map(|stack| stack.id.clone()));
        self.change_sets.iter_mut().find(|set| {
            set.arn == named || (set.name == named && stack.as_ref().is_some_and(|stack| *stack == set.stack))
        })
    }

    /// The next operation on the stack is ended by hand.
    pub fn end(&mut self, status: &str, reason: &str) {
        let stack = self.stacks.last_mut().unwrap();
        status.clone_into(&mut stack.status);
        reason.clone_into(&mut stack.reason);
    }

    /// An event of a resource, in the running operation.
    pub fn event(&mut self, logical: &str, physical: &str, kind: &str, status: &str, reason: &str) {
        let token = self.stacks.last().unwrap().token.clone();
        let id = format!("{logical}-{status}-{}", self.stacks.last().unwrap().events.len());
        let event = [&id, logical, physical, kind, status, reason, &token].map(str::to_owned);
        self.stacks.last_mut().unwrap().events.push(event);
    }

    fn begin(&mut self, named: &str, operation: &str, status: &str, token: &str) {
        self.begun.push(operation.to_owned());
        self.tokens.push(token.to_owned());
        let stack = self.stack(named).unwrap();
        status.clone_into(&mut stack.status);
        token.clone_into(&mut stack.token);
        let id = format!("{}-{operation}", stack.events.len());
        let (name, own) = (stack.name.clone(), stack.id.clone());
        let event = [&id, &name, &own, "AWS::CloudFormation::Stack", status, "User Initiated", token];
        stack.events.push(event.map(str::to_owned));
    }

    /// What a request makes a stack of, or why not.
    fn made_of(form: &Form) -> Result<MadeOf, Response> {
        let template = form.get("TemplateBody").or(form.get("TemplateURL")).cloned().unwrap_or_default();
        let parameters = pairs(form, "Parameters", "ParameterKey", "ParameterValue").unwrap_or_default();
        let document: Value = serde_json::from_str(&template).unwrap_or_default();
        if let Some(known) = document["Parameters"].as_object() {
            let unknown: Vec<&str> =
                parameters.keys().filter(|key| !known.contains_key(*key)).map(String::as_str).collect();
            if !unknown.is_empty() {
                let text = format!("Parameters: [{}] do not exist in the template", unknown.join(", "));
                return Err(invalid(&text));
            }
        }
        if template.contains("AWS::IAM") && !list(form, "Capabilities").contains(&"CAPABILITY_NAMED_IAM".to_owned()) {
            let text = "Requires capabilities : [CAPABILITY_NAMED_IAM]";
            return Err(refusal(400, "InsufficientCapabilitiesException", text));
        }
        Ok((template, parameters, pairs(form, "Tags", "Key", "Value")))
    }

    fn create(&mut self, form: &Form) -> Response {
        let (name, token) = (&form["StackName"], &form["ClientRequestToken"]);
        if let Some(stack) = self.stack(name) {
            let id = stack.id.clone();
            if self.tokens.contains(token) {
                return result("CreateStack", &element("StackId", &id));
            }
            return refusal(400, "AlreadyExistsException", &format!("Stack [{name}] already exists"));
        }
        let made_of = match Self::made_of(form) {
            Ok(made_of) => made_of,
            Err(refused) => return refused,
        };
        let id = self.arn("stack", name);
        self.stacks.push(Stack {
            id: id.clone(),
            name: name.clone(),
            made_of,
            policy: form.get("StackPolicyBody").cloned(),
            role: form.get("RoleARN").cloned(),
            ..Stack::default()
        });
        self.begin(&id, "CreateStack", "CREATE_IN_PROGRESS", token);
        result("CreateStack", &element("StackId", &id))
    }

    fn update(&mut self, form: &Form) -> Response {
        let (name, token) = (&form["StackName"], &form["ClientRequestToken"]);
        let Some(stack) = self.stack(name).cloned() else {
            return invalid(&format!("Stack [{name}] does not exist"));
        };
        if self.tokens.contains(token) {
            return result("UpdateStack", &element("StackId", &stack.id));
        }
        if !["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"].contains(&stack.status.as_str()) {
            return invalid(&format!("Stack:{} is in {} state and can not be updated.", stack.id, stack.status));
        }
        match Self::made_of(form) {
            Ok(made_of) if made_of == stack.made_of => invalid("No updates are to be performed."),
            Ok(made_of) => {
                let stack = self.stack(name).unwrap();
                stack.made_of = made_of;
                stack.policy = form.get("StackPolicyBody").cloned().or(stack.policy.take());
                let id = stack.id.clone();
                self.begin(&id, "UpdateStack", "UPDATE_IN_PROGRESS", token);
                result("UpdateStack", &element("StackId", &id))
            }
            Err(refused) => refused,
        }
    }

    fn create_change_set(&mut self, form: &Form) -> Response {
        let name = &form["StackName"];
        let creates = form["ChangeSetType"] == "CREATE";
        let found = self.stack(name).map(|stack| (stack.id.clone(), stack.status.clone(), stack.made_of.clone()));
        let fits = match &found {
            None => creates,
            Some((_, status, _)) => creates == (status == "REVIEW_IN_PROGRESS"),
        };
        if !fits {
            return invalid(&format!("Stack [{name}] does not fit the change set type {}", form["ChangeSetType"]));
        }
        let made_of = match Self::made_of(form) {
            Ok(made_of) => made_of,
            Err(refused) => return refused,
        };
        let stack = found.as_ref().map_or_else(|| self.arn("stack", name), |(id, ..)| id.clone());
        if found.is_none() {
            let status = "REVIEW_IN_PROGRESS".to_owned();
            self.stacks.push(Stack { id: stack.clone(), name: name.clone(), status, ..Stack::default() });
        }
        let set_name = &form["ChangeSetName"];
        if self.change_sets.iter().any(|set| set.name == *set_name && set.stack == stack) {
            return refusal(400, "AlreadyExistsException", &format!("ChangeSet {set_name} already exists"));
        }
        let arn = self.arn("changeSet", set_name);
        let same = found.is_some_and(|(.., was)| was == made_of);
        let reason = if same {
            "The submitted information didn't contain changes. Submit different information to create a change set."
        } else {
            ""
        };
        self.change_sets.push(ChangeSet {
            arn: arn.clone(),
            name: set_name.clone(),
            stack: stack.clone(),
            status: "CREATE_IN_PROGRESS".to_owned(),
            execution: "UNAVAILABLE".to_owned(),
            reason: reason.to_owned(),
            description: form.get("Description").cloned().unwrap_or_default(),
            creates,
            made_of,
        });
        self.begun.push("CreateChangeSet".to_owned());
        result("CreateChangeSet", &(element("Id", &arn) + &element("StackId", &stack)))
    }

    fn execute(&mut self, form: &Form) -> Response {
        let token = &form["ClientRequestToken"];
        if self.tokens.contains(token) {
            return result("ExecuteChangeSet", "");
        }
        let Some(set) = self.change_set(form) else {
            let text = format!("ChangeSet [{}] does not exist", form["ChangeSetName"]);
            return refusal(404, "ChangeSetNotFound", &text);
        };
        if set.execution != "AVAILABLE" {
            let text =
                format!("ChangeSet [{}] cannot be executed in its current status of [{}]", set.arn, set.execution);
            return refusal(400, "InvalidChangeSetStatus", &text);
        }
        "EXECUTE_IN_PROGRESS".clone_into(&mut set.execution);
        let (creates, stack, made_of) = (set.creates, set.stack.clone(), set.made_of.clone());
        self.stack(&stack).unwrap().made_of = made_of;
        let status = if creates { "CREATE_IN_PROGRESS" } else { "UPDATE_IN_PROGRESS" };
        self.begin(&stack, "ExecuteChangeSet", status, token);
        result("ExecuteChangeSet", "")
    }

    fn describe_change_set(&mut self, form: &Form) -> Response {
        let Some(set) = self.change_set(form).cloned() else {
            let text = format!("ChangeSet [{}] does not exist", form["ChangeSetName"]);
            return refusal(404, "ChangeSetNotFound", &text);
        };
        let document: Value = serde_json::from_str(&set.made_of.0).unwrap_or_default();
        let mut changes = String::new();
        for name in document["Resources"].as_object().into_iter().flat_map(|resources| resources.keys()) {
            let change = format!("<ResourceChange>{}</ResourceChange>", element("LogicalResourceId", name));
            write!(changes, "<member>{}{change}</member>", element("Type", "Resource")).unwrap();
        }
        let content = element("ChangeSetName", &set.name)
            + &format!("<Changes>{changes}</Changes>")
            + &element("ChangeSetId", &set.arn)
            + &element("StackId", &set.stack)
            + &element("Description", &set.description)
            + &element("ExecutionStatus", &set.execution)
            + &element("Status", &set.status)
            + &element("StatusReason", if set.status.ends_with("_IN_PROGRESS") { "" } else { &set.reason });
        result("DescribeChangeSet", &content)
    }

    fn describe(&mut self, form: &Form) -> Response {
        let name = &form["StackName"];
        let Some(stack) = self.stack(name).cloned() else {
            return invalid(&format!("Stack with id {name} does not exist"));
        };
        let document: Value = serde_json::from_str(&stack.made_of.0).unwrap_or_default();
        let mut outputs = String::new();
        for (key, output) in document["Outputs"].as_object().into_iter().flatten() {
            let value = element("OutputValue", output["Value"].as_str().unwrap());
            write!(outputs, "<member>{}{value}</member>", element("OutputKey", key)).unwrap();
        }
        let content = element("StackId", &stack.id)
            + &element("StackName", &stack.name)
            + &element("StackStatus", &stack.status)
            + &element("StackStatusReason", &stack.reason)
            + &element("CreationTime", &NOW.iso8601())
            + &format!("<Outputs>{outputs}</Outputs>");
        result("DescribeStacks", &format!("<Stacks><member>{content}</member></Stacks>"))
    }

    /// Two events a page.
    fn events(&mut self, form: &Form) -> Response {
        let name = &form["StackName"];
        let Some(stack) = self.stack(name).cloned() else { return invalid(&format!("Stack [{name}] does not exist")) };
        let newest: Vec<_> = stack.events.iter().rev().collect();
        let from: usize = form.get("NextToken").map_or(0, |token| token.parse().unwrap());
        let mut content = String::new();
        for [id, logical, physical, kind, status, reason, token] in newest.iter().skip(from).take(2) {
            let event = element("StackId", &stack.id)
                + &element("EventId", id)
                + &element("StackName", &stack.name)
                + &element("LogicalResourceId", logical)
                + &element("PhysicalResourceId", physical)
                + &element("ResourceType", kind)
                + &element("Timestamp", &NOW.iso8601())
                + &element("ResourceStatus", status)
                + &element("ResourceStatusReason", reason)
                + &element("ClientRequestToken", token);
            write!(content, "<member>{event}</member>").unwrap();
        }
        let next = if from + 2 < newest.len() { element("NextToken", &(from + 2).to_string()) } else { String::new() };
        result("DescribeStackEvents", &format!("<StackEvents>{content}</StackEvents>{next}"))
    }

    fn finish(&mut self) {
        for stack in &mut self.stacks {
            stack.status = match stack.status.as_str() {
                "CREATE_IN_PROGRESS" => "CREATE_COMPLETE".to_owned(),
                "UPDATE_IN_PROGRESS" => "UPDATE_COMPLETE".to_owned(),
                "DELETE_IN_PROGRESS" => "DELETE_COMPLETE".to_owned(),
                other => other.to_owned(),
            };
        }
        self.change_sets.retain(|set| set.status != "DELETE_IN_PROGRESS");
        for set in &mut self.change_sets {
            if set.execution == "EXECUTE_IN_PROGRESS" {
                "EXECUTE_COMPLETE".clone_into(&mut set.execution);
            }
            if set.status == "CREATE_IN_PROGRESS" {
                let good = set.reason.is_empty();
                (if good { "CREATE_COMPLETE" } else { "FAILED" }).clone_into(&mut set.status);
                (if good { "AVAILABLE" } else { "UNAVAILABLE" }).clone_into(&mut set.execution);
            }
        }
        self.sets.finish();
    }

    fn delete(&mut self, form: &Form) -> Response {
        let (name, token) = (&form["StackName"], &form["ClientRequestToken"]);
        if let Some(stack) = self.stack(name).filter(|stack| !stack.status.starts_with("DELETE_")) {
            let id = stack.id.clone();
            self.begin(&id, "DeleteStack", "DELETE_IN_PROGRESS", token);
        }
        Response::ok("<DeleteStackResponse></DeleteStackResponse>")
    }

    fn delete_change_set(&mut self, form: &Form) -> Response {
        let Some(set) = self.change_set(form) else { return result("DeleteChangeSet", "") };
        if set.status == "CREATE_IN_PROGRESS" {
            let text = format!("ChangeSet [{}] cannot be deleted in status CREATE_IN_PROGRESS", set.arn);
            return refusal(400, "InvalidChangeSetStatus", &text);
        }
        "DELETE_IN_PROGRESS".clone_into(&mut set.status);
        self.begun.push("DeleteChangeSet".to_owned());
        result("DeleteChangeSet", "")
    }

    fn cancel(&mut self, form: &Form) -> Response {
        let stack = self.stack(&form["StackName"]).unwrap();
        if stack.status != "UPDATE_IN_PROGRESS" {
            return invalid("CancelUpdateStack cannot be called from current stack status");
        }
        "UPDATE_ROLLBACK_IN_PROGRESS".clone_into(&mut stack.status);
        Response::ok("<CancelUpdateStackResponse></CancelUpdateStackResponse>")
    }
}

impl Peer for CloudsPeer {
    fn operation(&self, request: &Request) -> String {
        form(request)["Action"].clone()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut clouds = self.clouds();
        let form = form(request);
        let operation = form["Action"].clone();
        if let Some(at) = clouds.answers.iter().position(|(wanted, ..)| *wanted == operation) {
            let (_, status, code, text) = clouds.answers.remove(at);
            return refusal(status, &code, &text);
        }
        clouds.requests.push((operation.clone(), form.clone()));
        match operation.as_str() {
            "Finish" => {
                clouds.finish();
                Response::ok("")
            }
            "CancelUpdateStack" => clouds.cancel(&form),
            "CreateChangeSet" => clouds.create_change_set(&form),
            "CreateStack" => clouds.create(&form),
            "DeleteChangeSet" => clouds.delete_change_set(&form),
            "DeleteStack" => clouds.delete(&form),
            "DescribeChangeSet" => clouds.describe_change_set(&form),
            "DescribeStackEvents" => clouds.events(&form),
            "DescribeStacks" => clouds.describe(&form),
            "ExecuteChangeSet" => clouds.execute(&form),
            "SetStackPolicy" => {
                let policy = form.get("StackPolicyBody").cloned();
                clouds.stack(&form["StackName"]).unwrap().policy = policy;
                Response::ok("<SetStackPolicyResponse></SetStackPolicyResponse>")
            }
            "UpdateStack" => clouds.update(&form),
            other => clouds.sets.answer(other, &form),
        }
    }

    fn error(&self, _request: &Request, status: u16, code: &str, text: &str) -> Response {
        query_error(status, code, text)
    }

    fn effects(&self) -> usize {
        let clouds = self.clouds();
        clouds.begun.len() + clouds.sets.begun.len()
    }
}
