//! A scripted API: canned answers in AWS's shapes, and a record of what changed something.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use towpath_cli::host::{Api, ApiError};
use towpath_cli::remote::{Place, Remote};
use towpath_cli::terminal::{Size, Terminal};
use towpath_model::time::{Clock, Timestamp};

/// 2026-10-01T13:40:00Z.
const NOW: i64 = 1_790_862_000;

#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Screen {
    /// Of so many columns.
    Terminal(usize),
    /// A pipe.
    Lines,
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(NOW * 1000)
    }
}

pub fn remote<'a>(answers: &'a Answers, screen: Screen, written: &Written, json: bool) -> Remote<'a> {
    let (live, width) = match screen {
        Screen::Terminal(width) => (true, width),
        Screen::Lines => (false, 80),
    };
    let terminal = Terminal {
        out: Box::new(written.clone()),
        err: Box::new(written.clone()),
        live,
        can_ask: false,
        colour_out: false,
        colour_err: false,
        size: Size::Fixed { width, height: 60 },
        redacted: false,
    };
    let (sender, interrupts) = tokio::sync::mpsc::channel(1);
    // Nobody presses Ctrl-C; a closed channel would be read again and again.
    std::mem::forget(sender);
    let pace = Duration::from_millis(1);
    Remote { api: answers, clock: &Fixed, terminal, interrupts, place: Place::fixed("us-east-1"), json, pace }
}

/// What each operation answers.
#[derive(Default)]
pub struct Answers {
    canned: Mutex<BTreeMap<String, Json>>,
    failures: Mutex<BTreeMap<String, ApiError>>,
    changes: Mutex<String>,
}

impl Answers {
    pub fn set(&self, operation: &str, answer: Json) {
        self.canned.lock().unwrap().insert(operation.to_owned(), answer);
    }

    pub fn fail(&self, operation: &str, code: &str, message: &str) {
        self.failures.lock().unwrap().insert(operation.to_owned(), ApiError::new(code, message));
    }

    /// What was asked to change since the last look.
    pub fn changes(&self) -> String {
        std::mem::take(&mut *self.changes.lock().unwrap())
    }

    /// The execution of this number ends.
    pub fn end(&self, number: u32, status: &str) {
        let mut answers = self.canned.lock().unwrap();
        for summary in
            answers.get_mut("ListPipelineExecutions").unwrap()["pipelineExecutionSummaries"].as_array_mut().unwrap()
        {
            if summary["pipelineExecutionId"] == id(number) {
                summary["status"] = json!(status);
            }
        }
    }

    /// The pipeline runs these in parallel, each at its approval.
    pub fn in_parallel(&self, executions: &[Json]) {
        let mut answers = self.canned.lock().unwrap();
        answers.insert("ListPipelineExecutions".into(), json!({"pipelineExecutionSummaries": executions}));
        answers.get_mut("GetPipeline").unwrap()["pipeline"]["executionMode"] = json!("PARALLEL");
        for stage in answers.get_mut("GetPipelineState").unwrap()["stageStates"].as_array_mut().unwrap() {
            *stage = json!({"stageName": stage["stageName"], "inboundTransitionState": {"enabled": true},
                            "actionStates": [], "inboundExecutions": []});
        }
        let records = executions.iter().map(|e| {
            let number = e["pipelineExecutionId"].as_str().unwrap()[..1].parse().unwrap();
            action(number, "Gate", "Review", "Approval", "InProgress", (-100, -100), &json!({}))
        });
        let records: Vec<Json> = records.collect();
        answers.insert("ListActionExecutions".into(), json!({"actionExecutionDetails": records}));
    }
}

#[async_trait]
impl Api for Answers {
    async fn call(&self, service: &str, operation: &str, input: Json) -> Result<Json, ApiError> {
        if let Some(error) = self.failures.lock().unwrap().get(operation) {
            return Err(error.clone());
        }
        if service == "logs" {
            let fresh = input["nextToken"].is_null();
            let event = json!({"timestamp": NOW * 1000, "message": "compiling\n3 tests failed\n"});
            let events = if fresh { json!([event]) } else { json!([]) };
            return Ok(json!({"events": events, "nextForwardToken": "f/1"}));
        }
        let name = input["pipelineName"].as_str().or_else(|| input["name"].as_str());
        if name.is_some_and(|name| name != "shop" && name != "new") {
            let name = name.unwrap();
            let text = format!("The account with id '123456789012' does not include a pipeline with the name '{name}'");
            return Err(ApiError::new("PipelineNotFoundException", text));
        }
        let reads = operation.starts_with("Get") || operation.starts_with("List");
        if !reads {
            let _ = writeln!(self.changes.lock().unwrap(), "   {operation} {input}");
        }
        let mut answer = self.canned.lock().unwrap().get(operation).cloned().unwrap_or(json!({}));
        if let Some(only) = input["filter"]["pipelineExecutionId"].as_str() {
            for list in ["actionExecutionDetails", "ruleExecutionDetails"] {
                if let Some(items) = answer.get_mut(list).and_then(Json::as_array_mut) {
                    items.retain(|item| item["pipelineExecutionId"] == only);
                }
            }
        }
        if let Some(stage) = input["filter"]["succeededInStage"]["stageName"].as_str() {
            let items = answer["pipelineExecutionSummaries"].as_array_mut().unwrap();
            items.retain(|item| stage == "Deploy" && item["status"] == "Succeeded");
        }
        Ok(answer)
    }
}

/// `11111111-aaaa-4000-8000-000000000001`.
pub fn id(number: u32) -> String {
    format!("{}-aaaa-4000-8000-{number:012}", number.to_string().repeat(8))
}

pub fn execution(number: u32, status: &str) -> Json {
    json!({
        "pipelineExecutionId": id(number),
        "status": status,
        "startTime": NOW - 4000 + 1000 * i64::from(number),
        "lastUpdateTime": NOW - 3900 + 1000 * i64::from(number),
        "trigger": {"triggerType": "StartPipelineExecution", "triggerDetail": "arn:aws:iam::123456789012:user/alice"},
        "sourceRevisions": [{"actionName": "Fetch", "revisionId": "0123456789abcdef0123456789abcdef01234567"}],
        "executionMode": "QUEUED",
        "executionType": "STANDARD",
    })
}

fn action(
    number: u32,
    stage: &str,
    name: &str,
    category: &str,
    status: &str,
    (from, to): (i64, i64),
    result: &Json,
) -> Json {
    let provider = match category {
        "Approval" => "Manual",
        "Build" => "CodeBuild",
        "Source" => "CodeStarSourceConnection",
        _ => "S3",
    };
    let mut record = json!({
        "pipelineExecutionId": id(number),
        "actionExecutionId": format!("{stage}-{name}-{number}"),
        "stageName": stage,
        "actionName": name,
        "status": status,
        "startTime": NOW + from,
        "lastUpdateTime": NOW + to,
        "input": {"actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"}},
        "output": {"executionResult": result},
    });
    if category == "Approval" {
        record["input"]["resolvedConfiguration"] =
            json!({"CustomData": "Ship 1.4 to everybody?", "ExternalEntityLink": "https://example.com/1.4"});
    }
    record
}

fn declared(name: &str, category: &str) -> Json {
    let record = action(1, "", name, category, "", (0, 0), &json!({}));
    json!({"name": name, "actionTypeId": record["input"]["actionTypeId"]})
}

fn open(stage: &str, execution: u32, status: &str, actions: &Json) -> Json {
    json!({
        "stageName": stage,
        "inboundTransitionState": {"enabled": true},
        "inboundExecutions": [],
        "actionStates": actions,
        "latestExecution": {"pipelineExecutionId": id(execution), "status": status},
    })
}

/// A pipeline with everything that can hold it: an approval that waits, a failed stage with a condition, a disabled
/// transition with an execution in front of it, a stage that was never reached.
pub fn pipeline_of_everything() -> Answers {
    let stages = json!([
        {"name": "Source", "actions": [declared("Fetch", "Source")]},
        {"name": "Test", "actions": [declared("Unit", "Build")]},
        {"name": "Gate", "actions": [declared("Review", "Approval")]},
        {"name": "Deploy", "actions": [declared("Site", "Deploy"), declared("Assets", "Deploy")],
         "beforeEntry": {"conditions": [{"result": "FAIL", "rules": []}]}},
        {"name": "Announce", "actions": [declared("Mail", "Deploy")]},
    ]);
    let reason = "JobFailed: Build terminated with state: FAILED. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: Error \
                  while executing command: make test. Reason: exit status 2";
    let fetched = json!({"externalExecutionSummary": "Fix the cart", "externalExecutionId": "0123456789abcdef"});
    let built = json!({"externalExecutionId": "shop:1", "errorDetails": {"code": "JobFailed", "message": &reason[11..]},
                       "logStreamARN": "arn:aws:logs:us-east-1:1:log-group:/aws/codebuild/shop:log-stream:1"});
    let mut deploy = open(
        "Deploy",
        1,
        "Failed",
        &json!([
            {"actionName": "Site", "latestExecution": {"actionExecutionId": "Deploy-Site-1", "status": "Succeeded",
             "lastStatusChange": NOW - 2000}},
            {"actionName": "Assets", "latestExecution": {"actionExecutionId": "Deploy-Assets-1", "status": "Failed",
             "lastStatusChange": NOW - 1990, "errorDetails": {"code": "PermissionError",
             "message": "The role has no permission to call s3:PutObject on the bucket assets."}}},
        ]),
    );
    deploy["inboundTransitionState"] = json!({"enabled": false, "disabledReason": "freeze until Monday",
        "lastChangedBy": "arn:aws:iam::123456789012:user/bob", "lastChangedAt": NOW - 7200});
    deploy["inboundExecutions"] = json!([
        {"pipelineExecutionId": id(2), "status": "InProgress"}, {"pipelineExecutionId": id(6), "status": "Stopped"}]);
    deploy["retryStageMetadata"] = json!({"manualStageRetryAttempt": 2});
    deploy["beforeEntryConditionState"] = json!({
        "latestExecution": {"status": "Succeeded"},
        "conditionStates": [{"ruleStates": [{"ruleName": "Window", "latestExecution": {"status": "Succeeded"}}]}],
    });
    deploy["onFailureConditionState"] = json!({
        "latestExecution": {"status": "Failed", "summary": "1 of 1 rules failed"},
        "conditionStates": [{"ruleStates": [{"ruleName": "Alarm", "latestExecution": {"status": "Failed",
            "errorDetails": {"code": "RuleFailed", "message": "The alarm checkout-errors is in ALARM."}}}]}],
    });
    let answers = Answers::default();
    let version = json!(7);
    answers.set("ListPipelines", json!({"pipelines": [{"name": "shop", "version": 7, "created": NOW - 90_000}]}));
    answers.set(
        "GetPipeline",
        json!({"pipeline": {"name": "shop", "version": version, "executionMode": "QUEUED", "pipelineType": "V2",
                            "stages": stages}}),
    );
    answers.set(
        "GetPipelineState",
        json!({"pipelineName": "shop", "pipelineVersion": 7, "stageStates": [
            open("Source", 3, "Succeeded", &json!([{"actionName": "Fetch",
                "currentRevision": {"revisionId": "0123456789abcdef0123456789abcdef01234567"},
                "latestExecution": {"actionExecutionId": "Source-Fetch-3", "status": "Succeeded",
                                    "lastStatusChange": NOW - 100}}])),
            open("Test", 3, "Succeeded", &json!([{"actionName": "Unit", "latestExecution":
                {"actionExecutionId": "Test-Unit-3", "status": "Succeeded", "lastStatusChange": NOW - 60}}])),
            open("Gate", 3, "InProgress", &json!([{"actionName": "Review", "latestExecution":
                {"actionExecutionId": "Gate-Review-3", "status": "InProgress", "token": "the-token"}}])),
            deploy,
            {"stageName": "Announce", "inboundTransitionState": {"enabled": true}, "actionStates": [{"actionName": "Mail"}]},
        ]}),
    );
    let mut earlier = execution(1, "Succeeded");
    earlier["trigger"] = json!({"triggerType": "WebhookV2", "triggerDetail": "main"});
    let mut latest = execution(0, "Succeeded");
    latest["pipelineExecutionId"] = json!("00000000-aaaa-4000-8000-000000000000");
    latest["trigger"] = json!({"triggerType": "CreatePipeline", "triggerDetail": "arn:aws:iam::123456789012:root"});
    answers.set(
        "ListPipelineExecutions",
        json!({"pipelineExecutionSummaries": [execution(3, "InProgress"), execution(2, "InProgress"), earlier, latest]}),
    );
    answers.set(
        "ListActionExecutions",
        json!({"actionExecutionDetails": [
            action(3, "Gate", "Review", "Approval", "InProgress", (-55, -55), &json!({})),
            action(3, "Test", "Unit", "Build", "Succeeded", (-95, -60), &json!({"externalExecutionId": "shop:3"})),
            action(3, "Source", "Fetch", "Source", "Succeeded", (-110, -100), &fetched),
            action(2, "Test", "Unit", "Build", "Failed", (-1900, -1800), &built),
            action(2, "Source", "Fetch", "Source", "Succeeded", (-2000, -1950), &fetched),
        ]}),
    );
    answers.set("RollbackStage", json!({"pipelineExecutionId": id(8)}));
    answers.set("StartPipelineExecution", json!({"pipelineExecutionId": id(9)}));
    answers.set("PutApprovalResult", json!({"approvedAt": NOW}));
    answers
}
