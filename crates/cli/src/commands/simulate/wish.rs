//! What the command line asks for, held against the definition: every name is one the pipeline has, and for each run of
//! an action or a rule it is settled how it goes. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use towpath_model::catalogue::Category;
use towpath_model::declaration::{
    ActionDeclaration, ConditionType, ExecutionMode, PipelineDeclaration, StageDeclaration,
};
use towpath_model::time::Timestamp;

use super::moment::{Deed, Length, Moment, Part, Planned, Run, Target};
use crate::commands::validate::Format;
use crate::document::shape::did_you_mean;
use crate::errors::ExpectedError;

/// Where the virtual clock starts when nobody says.
pub const START: Timestamp = Timestamp(1_893_456_000_000);

#[derive(Debug, Clone, Default)]
pub struct Options {
    pub path: PathBuf,
    pub config: Option<PathBuf>,
    pub format: Format,
    pub mode: Option<ExecutionMode>,
    pub variables: Vec<(String, String)>,
    pub fail: Vec<Run>,
    pub reject: Vec<Run>,
    pub hold: Vec<Run>,
    pub take: Vec<Length>,
    /// In the order in which those of one moment are done.
    pub deeds: Vec<Planned>,
    pub until: Option<Duration>,
    pub clock: Option<Timestamp>,
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Succeeds {
        variables: BTreeMap<String, String>,
    },
    /// Why, and the option that wanted it.
    Fails(String),
    /// By itself never.
    Never,
    /// As the real provider says, which asks nobody.
    AsDeclared,
}

/// How one run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conduct {
    pub length: Duration,
    pub end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Fail,
    Reject,
    Hold,
    Take(Duration),
}

#[derive(Debug, Clone)]
struct RunWish {
    run: Run,
    wanted: Wanted,
    option: String,
}

/// What is declared of a target.
#[derive(Debug, Clone)]
struct Declared {
    action: ActionDeclaration,
    /// The real provider decides from its configuration and the clock alone.
    real: bool,
}

/// Everything that is asked of a simulation.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// With the mode and the variables that were asked for.
    pub declaration: PipelineDeclaration,
    pub deeds: Vec<Planned>,
    pub until: Option<Duration>,
    pub start: Timestamp,
    runs: Vec<RunWish>,
    declared: BTreeMap<Target, Declared>,
    /// Values of output variables: namespace, key, value.
    outputs: Vec<(String, String, String)>,
}

impl Wishes {
    /// Reads the options against the definition. What stays unsaid goes well.
    pub fn new(options: &Options, file: &PipelineDeclaration) -> Result<Self, ExpectedError> {
        let mut declaration = file.clone();
        if options.mode.is_some() {
            declaration.execution_mode = options.mode;
        }
        let mut outputs = Vec::new();
        for (name, value) in &options.variables {
            match name.split_once('.') {
                Some((namespace, key)) => outputs.push((namespace.to_owned(), key.to_owned(), value.clone())),
                None => set_variable(&mut declaration, name, value)?,
            }
        }
        if let Some(missing) = declaration.declared_variables().iter().find(|v| v.default_value.is_none()) {
            return Err(ExpectedError::VariableMissing { name: missing.name.clone() });
        }
        check_namespaces(&declaration, &outputs)?;
        let mut wishes = Self {
            declared: BTreeMap::new(),
            deeds: options.deeds.clone(),
            until: options.until,
            start: options.clock.unwrap_or(START),
            runs: Vec::new(),
            outputs,
            declaration,
        };
        wishes.declare(options.clock.is_some());
        let asked = [("fail", &options.fail, Wanted::Fail), ("reject", &options.reject, Wanted::Reject)];
        for (option, runs, wanted) in asked.into_iter().chain([("hold", &options.hold, Wanted::Hold)]) {
            for run in runs {
                wishes.wish(run.clone(), wanted.clone(), format!("--{option} {run}"))?;
            }
        }
        for Length { run, length } in &options.take {
            let option = format!("--take {run}={}", super::words::span(*length));
            wishes.wish(run.clone(), Wanted::Take(*length), option)?;
        }
        for planned in &wishes.deeds {
            wishes.check_deed(planned)?;
        }
        Ok(wishes)
    }

    fn declare(&mut self, clock_given: bool) {
        for stage in &self.declaration.stages {
            for action in &stage.actions {
                let target = Target::new(&stage.name, None, &action.name);
                self.declared.insert(target, Declared { action: action.clone(), real: false });
            }
            for gate in ConditionType::ALL {
                for rule in stage.condition(gate).into_iter().flat_map(|condition| condition.rules.iter().flatten()) {
                    let action = rule.as_action();
                    let real = match action.action_type_id.provider.as_str() {
                        "VariableCheck" => self.knows_variables_of(&action),
                        "DeploymentWindow" => clock_given,
                        _ => false,
                    };
                    self.declared.insert(Target::new(&stage.name, Some(gate), &rule.name), Declared { action, real });
                }
            }
        }
    }

    /// Whether every variable it names has a value that was given: a pipeline's, a rehearsed one, or one of `--var`.
    fn knows_variables_of(&self, action: &ActionDeclaration) -> bool {
        let values = action.configuration.iter().flatten().map(|(_, value)| value.as_str());
        values.flat_map(references).all(|(namespace, key)| {
            let given = || self.outputs.iter().any(|(n, k, _)| *n == namespace && *k == key);
            let rehearsed = || {
                let mut makers = self.declaration.stages.iter().flat_map(|stage| &stage.actions);
                let maker = makers.find(|a| a.namespace.as_ref().is_some_and(|n| *n == *namespace));
                maker.is_some_and(|maker| rehearsed_variables(maker).contains_key(&key))
            };
            namespace == "variables" || namespace == "codepipeline" || given() || rehearsed()
        })
    }

    fn wish(&mut self, run: Run, wanted: Wanted, option: String) -> Result<(), ExpectedError> {
        self.check_part(&run.target.stage, &run.target.part, &option)?;
        let category = self.declared[&run.target].action.action_type_id.category;
        let approval = category == Category::Approval;
        match wanted {
            Wanted::Fail if approval => Err(usage(
                format!("`{option}`: {} is an approval", run.target),
                format!("an approval is rejected: --reject {run}"),
            )),
            Wanted::Reject if !approval => Err(usage(
                format!("`{option}`: {} is no approval", run.target),
                format!("anything else fails: --fail {run}"),
            )),
            _ => {
                self.runs.push(RunWish { run, wanted, option });
                Ok(())
            }
        }
    }

    fn check_deed(&self, planned: &Planned) -> Result<(), ExpectedError> {
        let Planned { deed, moment, option } = planned;
        match deed {
            Deed::Start | Deed::Stop { .. } | Deed::Update => {}
            Deed::Retry { stage, .. } | Deed::Rollback { stage } | Deed::Transition { stage, .. } => {
                self.stage(stage, option)?;
            }
            Deed::Override { stage, gate } => {
                if self.stage(stage, option)?.condition(*gate).is_none() {
                    let message = format!("`{option}`: stage `{stage}` has no {} condition", gate.as_str());
                    return Err(usage(message, self.conditions()));
                }
            }
        }
        match moment {
            Moment::During { stage, part: None, .. } => self.stage(stage, option).map(drop),
            Moment::During { stage, part: Some(part), .. } => self.check_part(stage, part, option),
            Moment::After(_) | Moment::Ended(_) | Moment::HeldBack(..) => Ok(()),
        }
    }

    fn conditions(&self) -> String {
        let mut found = String::new();
        for stage in &self.declaration.stages {
            for gate in ConditionType::ALL.into_iter().filter(|gate| stage.condition(*gate).is_some()) {
                let comma = if found.is_empty() { "" } else { ", " };
                let _ = write!(found, "{comma}{}/{}", stage.name, gate.as_str());
            }
        }
        if found.is_empty() { "the pipeline has no conditions".to_owned() } else { format!("the pipeline has {found}") }
    }

    fn stage(&self, name: &str, option: &str) -> Result<&StageDeclaration, ExpectedError> {
        self.declaration.stage(name).ok_or_else(|| {
            let known: Vec<&str> = self.declaration.stages.iter().map(|s| s.name.as_str()).collect();
            let mut hint = suggestion(name, &known, "the pipeline has the stages");
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                hint.push_str("; a time is written like 90s, 5m or 1h30m");
            }
            usage(format!("`{option}`: the pipeline has no stage `{name}`"), hint)
        })
    }

    fn check_part(&self, stage: &str, part: &Part, option: &str) -> Result<(), ExpectedError> {
        let declared = self.stage(stage, option)?;
        let target = Target { stage: stage.to_owned(), part: part.clone() };
        if self.declared.contains_key(&target) {
            return Ok(());
        }
        let of_stage = self.declared.keys().filter(|known| known.stage == stage && known.part.gate == part.gate);
        let known: Vec<&str> = of_stage.map(|known| known.part.name.as_str()).collect();
        let (what, place) = match part.gate {
            None => ("action", format!("stage `{}`", declared.name)),
            Some(gate) => ("rule", format!("{} of stage `{}`", gate.as_str(), declared.name)),
        };
        if known.is_empty() {
            return Err(usage(format!("`{option}`: there is no rule at {place}"), self.conditions()));
        }
        let hint = suggestion(&part.name, &known, &format!("{place} has the {what}s"));
        Err(usage(format!("`{option}`: {place} has no {what} `{}`", part.name), hint))
    }

    /// How the nth run of a target goes, counted over the whole simulation from 1.
    pub fn conduct(&self, target: &Target, nth: u32) -> Conduct {
        let mut end = None;
        let mut length = None;
        for wish in self.wishes_of(target, nth) {
            match &wish.wanted {
                Wanted::Fail => end = Some(End::Fails(format!("simulated by {}", wish.option))),
                Wanted::Reject => end = Some(End::Fails(format!("rejected by {}", wish.option))),
                Wanted::Hold => end = Some(End::Never),
                Wanted::Take(taken) => length = Some(*taken),
            }
        }
        let Some(declared) = self.declared.get(target) else {
            return Conduct { length: Duration::ZERO, end: End::AsDeclared };
        };
        let action = &declared.action;
        let rehearsed = rehearsed(action);
        let declared_end = || match rehearsed.outcome.as_deref() {
            Some("fail") => End::Fails(action.config("Message").unwrap_or("Rehearsed failure").to_owned()),
            Some("hang" | "await") => End::Never,
            Some("unavailable") => End::AsDeclared,
            _ if declared.real => End::AsDeclared,
            _ => End::Succeeds { variables: self.variables_of(action) },
        };
        Conduct {
            length: length.or(rehearsed.length).unwrap_or_else(|| usual_length(action)),
            end: end.unwrap_or_else(declared_end),
        }
    }

    fn wishes_of(&self, target: &Target, nth: u32) -> impl Iterator<Item = &RunWish> {
        self.runs.iter().filter(move |wish| wish.run.target == *target && wish.run.nth.is_none_or(|n| n == nth))
    }

    /// The options that wanted something of a run that never was, with how often the target ran.
    pub fn unmet(&self, ran: &BTreeMap<Target, u32>) -> Vec<String> {
        let count = |wish: &RunWish| ran.get(&wish.run.target).copied().unwrap_or_default();
        let unmet = self.runs.iter().filter(|wish| count(wish) < wish.run.nth.unwrap_or(1));
        unmet
            .map(|wish| {
                let ran = match count(wish) {
                    0 => "never ran".to_owned(),
                    1 => "ran once".to_owned(),
                    n => format!("ran {n} times"),
                };
                format!("{}: {} {ran}", wish.option, wish.run.target)
            })
            .collect()
    }

    pub fn is_approval(&self, target: &Target) -> bool {
        self.declared.get(target).is_some_and(|d| d.action.action_type_id.category == Category::Approval)
    }

    /// What it gives to those who read its variables: everything they name.
    fn variables_of(&self, action: &ActionDeclaration) -> BTreeMap<String, String> {
        let mut variables = rehearsed_variables(action);
        let Some(namespace) = &action.namespace else { return variables };
        let text = serde_json::to_string(&self.declaration).unwrap_or_default();
        let named = references(&text).into_iter().filter(|(of, _)| *namespace == **of);
        for (_, key) in named {
            variables.entry(key.clone()).or_insert_with(|| format!("simulated-{key}"));
        }
        for (_, key, value) in self.outputs.iter().filter(|(of, ..)| *namespace == **of) {
            variables.insert(key.clone(), value.clone());
        }
        variables
    }
}

/// A pipeline's variable has the value from its first execution on.
fn set_variable(declaration: &mut PipelineDeclaration, name: &str, value: &str) -> Result<(), ExpectedError> {
    let declared = declaration.variables.get_or_insert_with(Vec::new);
    if let Some(variable) = declared.iter_mut().find(|v| v.name == name) {
        variable.default_value = Some(value.to_owned());
        return Ok(());
    }
    let known = declared.iter().map(|v| v.name.clone()).collect();
    Err(ExpectedError::UnknownVariable { name: name.to_owned(), known })
}

fn check_namespaces(
    declaration: &PipelineDeclaration,
    outputs: &[(String, String, String)],
) -> Result<(), ExpectedError> {
    let actions = declaration.stages.iter().flat_map(|stage| &stage.actions);
    let known: BTreeSet<&str> = actions.filter_map(|action| action.namespace.as_deref()).collect();
    match outputs.iter().find(|(namespace, ..)| !known.contains(namespace.as_str())) {
        None => Ok(()),
        Some((namespace, key, value)) => {
            let known: Vec<&str> = known.into_iter().collect();
            let hint = suggestion(namespace, &known, "the actions have the namespaces");
            Err(usage(format!("`--var {namespace}.{key}={value}`: no action has the namespace `{namespace}`"), hint))
        }
    }
}

fn usage(message: String, hint: String) -> ExpectedError {
    ExpectedError::System { message, hint: Some(hint), usage: true }
}

fn suggestion(written: &str, known: &[&str], otherwise: &str) -> String {
    match did_you_mean(written, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("{otherwise}: none"),
        None => format!("{otherwise} {}", known.join(", ")),
    }
}

/// Every `#{namespace.key}` of a text.
fn references(text: &str) -> Vec<(String, String)> {
    let parts = text.split("#{").skip(1).filter_map(|rest| rest.split_once('}'));
    let pairs = parts.filter_map(|(inside, _)| inside.split_once('.'));
    pairs.map(|(namespace, key)| (namespace.to_owned(), key.to_owned())).collect()
}

/// What the Rehearsal provider is told in the definition itself.
struct Rehearsed {
    outcome: Option<String>,
    length: Option<Duration>,
}

fn rehearsed(action: &ActionDeclaration) -> Rehearsed {
    if action.action_type_id.provider != "Rehearsal" {
        return Rehearsed { outcome: None, length: None };
    }
    let seconds = action.config("Seconds").and_then(|text| text.trim().parse::<f64>().ok());
    Rehearsed {
        outcome: action.config("Outcome").map(str::to_owned),
        length: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}

fn rehearsed_variables(action: &ActionDeclaration) -> BTreeMap<String, String> {
    if action.action_type_id.provider != "Rehearsal" {
        return BTreeMap::new();
    }
    action.config("Variables").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What something of its kind takes; nothing runs into its own timeout unless it was told to.
fn usual_length(action: &ActionDeclaration) -> Duration {
    let usual = Duration::from_mins(match action.action_type_id.category {
        Category::Source | Category::Invoke | Category::Rule => 1,
        Category::Build | Category::Test => 5,
        Category::Deploy | Category::Compute => 3,
        Category::Approval => 15,
    });
    match action.timeout_in_minutes {
        Some(minutes) => usual.min(Duration::from_mins(u64::from(minutes)) / 2),
        None => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::super::moment;
    use super::*;
    use crate::document::Text;
    use crate::file::PipelineFile;

    const PIPELINE: &str = r##"
name: ferry
roleArn: arn:aws:iam::123456789012:role/ferry
pipelineType: V2
artifactStore: {type: S3, location: ferry-artifacts}
variables: [{name: Target, defaultValue: staging}]
stages:
  - name: Source
    actions:
      - {name: Fetch, namespace: Src, actionTypeId: {category: Source, owner: AWS, provider: S3, version: "1"}}
  - name: Gate
    actions:
      - name: Review
        actionTypeId: {category: Approval, owner: AWS, provider: Manual, version: "1"}
        timeoutInMinutes: 10
        configuration: {CustomData: "#{Src.VersionId} of #{Src.ETag}"}
  - name: Deploy
    beforeEntry:
      conditions:
        - result: SKIP
          rules:
            - name: IsProd
              ruleTypeId: {category: Rule, owner: AWS, provider: VariableCheck, version: "1"}
              configuration: {Variable: "#{variables.Target}", Operator: EQ, Value: prod}
            - name: IsTagged
              ruleTypeId: {category: Rule, owner: AWS, provider: VariableCheck, version: "1"}
              configuration: {Variable: "#{Src.ETag}", Operator: EQ, Value: prod}
    actions:
      - {name: Ship, actionTypeId: {category: Deploy, owner: AWS, provider: S3, version: "1"}}
"##;

    fn wishes(change: impl FnOnce(&mut Options)) -> Result<Wishes, ExpectedError> {
        let file = PipelineFile::parse(Text::new("p.yaml", PIPELINE)).unwrap();
        let mut options = Options::default();
        change(&mut options);
        Wishes::new(&options, &file.declaration)
    }

    fn told(result: Result<Wishes, ExpectedError>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.render()
    }

    fn run(text: &str) -> Run {
        moment::run(text).unwrap()
    }

    #[test]
    fn names_that_are_not_there_are_told_with_the_ones_that_are() {
        let fail = |text: &str| told(wishes(|o| o.fail.push(run(text))));
        insta::assert_snapshot!(
            [
                fail("Depoly/Ship"),
                fail("Deploy/Shipp"),
                fail("Deploy/beforeEntry/IsProduction"),
                fail("Deploy/beforeEntry/Alarm"),
                fail("Gate/onSuccess/Alarm"),
                fail("Gate/Review"),
                told(wishes(|o| o.reject.push(run("Deploy/Ship")))),
                told(wishes(|o| o.deeds.push(moment::start("5min").unwrap()))),
                told(wishes(|o| o.deeds.push(moment::overriding("Gate/onSuccess").unwrap()))),
                told(wishes(|o| o.variables.push(("Targt".into(), "x".into())))),
                told(wishes(|o| o.variables.push(("src.ETag".into(), "x".into())))),
            ]
            .join("")
        );
    }

    #[test]
    fn a_wish_is_for_every_run_or_for_one() {
        let wishes = wishes(|o| {
            o.fail = vec![run("Deploy/Ship#2")];
            o.take = vec![moment::length("Deploy/Ship=9m").unwrap(), moment::length("Deploy/Ship#3=1m").unwrap()];
            o.reject = vec![run("Gate/Review")];
        })
        .unwrap();
        let ship = Target::new("Deploy", None, "Ship");
        let minutes = Duration::from_mins;
        let succeeds = End::Succeeds { variables: BTreeMap::new() };
        assert_eq!(wishes.conduct(&ship, 1), Conduct { length: minutes(9), end: succeeds.clone() });
        let fails = End::Fails("simulated by --fail Deploy/Ship#2".into());
        assert_eq!(wishes.conduct(&ship, 2), Conduct { length: minutes(9), end: fails });
        assert_eq!(wishes.conduct(&ship, 3), Conduct { length: minutes(1), end: succeeds });
        let review = Target::new("Gate", None, "Review");
        let rejected = End::Fails("rejected by --reject Gate/Review".into());
        assert_eq!(wishes.conduct(&review, 1), Conduct { length: minutes(5), end: rejected });
        let ran = BTreeMap::from([(ship, 1)]);
        assert_eq!(
            wishes.unmet(&ran),
            [
                "--fail Deploy/Ship#2: Deploy/Ship ran once",
                "--reject Gate/Review: Gate/Review never ran",
                "--take Deploy/Ship#3=1m: Deploy/Ship ran once",
            ]
        );
    }

    #[test]
    fn sources_give_what_others_read_and_checks_of_known_variables_are_real() {
        let fetch = Target::new("Source", None, "Fetch");
        let [is_prod, is_tagged] =
            ["IsProd", "IsTagged"].map(|rule| Target::new("Deploy", Some(ConditionType::BeforeEntry), rule));
        let plain = wishes(|_| {}).unwrap();
        let variables = |of: &[(&str, &str)]| End::Succeeds {
            variables: of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        let given = variables(&[("ETag", "simulated-ETag"), ("VersionId", "simulated-VersionId")]);
        assert_eq!(plain.conduct(&fetch, 1).end, given);
        assert_eq!(plain.conduct(&is_prod, 1).end, End::AsDeclared);
        assert_eq!(plain.conduct(&is_tagged, 1).end, variables(&[]), "what is not known is taken as met");
        let tagged = wishes(|o| {
            o.variables = vec![("Src.ETag".into(), "prod".into()), ("Target".into(), "prod".into())];
        })
        .unwrap();
        assert_eq!(tagged.conduct(&is_tagged, 1).end, End::AsDeclared);
        let given = variables(&[("ETag", "prod"), ("VersionId", "simulated-VersionId")]);
        assert_eq!(tagged.conduct(&fetch, 1).end, given);
        let target = tagged.declaration.declared_variables()[0].default_value.as_deref();
        assert_eq!(target, Some("prod"));
    }
}
