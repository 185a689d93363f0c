//! The form of a scenario file. Unknown keys are errors, here and wherever a value is read further.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The rule of executions.md that it proves, in its words.
    pub rule: String,
    pub pipeline: Pipeline,
    pub steps: Vec<Step>,
    /// Work of the first stage waits for its steps too; otherwise it succeeds at once.
    #[serde(default, rename = "holdSource")]
    pub hold_source: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Name and default value; null where there is none.
    #[serde(default)]
    pub variables: BTreeMap<String, Option<String>>,
    /// Artifact stores by Region instead of the single one.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Each with one key, its name.
    #[serde(default)]
    pub stages: Vec<BTreeMap<String, Stage>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Stage {
    Actions(Vec<Action>),
    Whole(WholeStage),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WholeStage {
    pub actions: Vec<Action>,
    #[serde(default)]
    pub before_entry: Option<Gate>,
    #[serde(default)]
    pub on_success: Option<Gate>,
    #[serde(default)]
    pub on_failure: Option<Gate>,
}

/// `rules` make it a condition; without, `onFailure` has the plain result.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gate {
    pub result: String,
    #[serde(default)]
    pub rules: Vec<Rule>,
    #[serde(default)]
    pub retry_mode: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Rule {
    Name(String),
    /// A real rule with its configuration.
    Whole(WholeRule),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeRule {
    pub name: String,
    pub provider: String,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    #[serde(default)]
    pub timeout: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Action {
    /// `Name`, `Name@2` with its run order, `Name?` an approval.
    Short(String),
    Whole(WholeAction),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeAction {
    pub name: String,
    #[serde(default)]
    pub inputs: Vec<String>,
    #[serde(default)]
    pub outputs: Vec<String>,
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub region: Option<String>,
    #[serde(default)]
    pub timeout: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    Start(Option<Start>),
    Finish(Finish),
    Fail(Fail),
    Approve(Answer),
    Reject(Answer),
    Stop(Stop),
    Retry(Retry),
    Rollback(Rollback),
    Override(Who),
    Disable(Transition),
    Enable(Transition),
    Update(Update),
    Delete(()),
    /// `90s`, `20m`, `24h`, `7d`.
    Advance(String),
    /// The process dies and another one starts.
    Crash(()),
    Expect(BTreeMap<String, Value>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    #[serde(default)]
    pub variables: Vec<(String, String)>,
    /// Action, revision type, revision value.
    #[serde(default)]
    pub overrides: Vec<(String, String, String)>,
    #[serde(default)]
    pub token: Option<String>,
    /// How many at once; 1 when absent.
    #[serde(default)]
    pub times: Option<u32>,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Finish {
    Who(String),
    Whole(WholeFinish),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeFinish {
    pub who: String,
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Each variable is repeated to this many bytes.
    #[serde(default)]
    pub bytes: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Fail {
    Who(String),
    Whole(WholeFail),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeFail {
    pub who: String,
    #[serde(default)]
    pub code: Option<String>,
    #[serde(default)]
    pub message: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    Who(String),
    Whole(WholeAnswer),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeAnswer {
    pub who: String,
    #[serde(default)]
    pub summary: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Stop {
    Who(String),
    Whole(WholeStop),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeStop {
    pub who: String,
    #[serde(default)]
    pub abandon: bool,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Retry {
    Who(String),
    Whole(WholeRetry),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeRetry {
    /// `e1 Build`
    pub who: String,
    #[serde(default)]
    pub all: bool,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    pub stage: String,
    pub to: String,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Who {
    Name(String),
    Whole(WholeWho),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeWho {
    pub who: String,
    #[serde(default)]
    pub error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Transition {
    /// The inbound one.
    Stage(String),
    Whole(WholeTransition),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WholeTransition {
    pub stage: String,
    #[serde(default)]
    pub outbound: bool,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub error: Option<String>,
}

/// What is not given stays as it was.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    #[serde(default)]
    pub mode: Option<String>,
    #[serde(default)]
    pub stages: Option<Vec<BTreeMap<String, Stage>>>,
    #[serde(default)]
    pub error: Option<String>,
}
