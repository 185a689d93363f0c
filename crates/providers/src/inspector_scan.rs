//! Invoke / AWS / InspectorScan: which known vulnerabilities the components of a source tree or of an image have.
//!
//! The list of components (SBOM) is made by `inspector-sbomgen` in a build that CodePipeline itself runs, as the commands
//! of a Commands action are ([`Commands`]): it outlives the server, has a log, and a repeated start is the same build. It
//! runs in Towpath's own CodeBuild, wherever Amazon Inspector is. When it is over, ScanSbom is asked, which changes
//! nothing and may be asked again, and the answer takes the place of the list in the output artifact.
//!
//! For an image the build needs a password of the registry. It is no setting of the build, which everybody who may see
//! builds would see and which would make a repeated start another one: it lies in the output artifact's place until the
//! list does.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_sdk_inspectorscan::types::OutputFormat;
use aws_smithy_types::{Document, Number};
use serde_json::{Map, Value};
use towpath_model::action::{ActionInvocation, ArtifactLocation, ErrorDetails, Outcome, Progress, error_code};
use towpath_model::catalogue::{
    ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat, ValidValues,
};

use crate::artifact_files::{self, Trouble};
use crate::commands::{Commands, at_home};
use crate::ecr_registry::{self, is_of_an_image};
use crate::limits::{COMMANDS_MINUTES, SBOM_BYTES_MAX, SCAN_COMPONENTS_MAX};
use crate::objects::S3;
use crate::problem::{Kind, Problem};
use crate::provider::{Call, Provider, interval};
use crate::realms::Service;

const SERVICE: &str = "InspectorScan";
const SOURCE: &str = "SourceCodeScan";
const IMAGE: &str = "ECRImageScan";
/// The one file of the output artifact: what the build lists, and then what Inspector says of it.
const FILE: &str = "sbom.json";
/// What the build of an image finds in place of a source.
const REGISTRY: &str = "registry.env";
/// The exit status by which a build says that there is no generator.
const NO_GENERATOR: u8 = 86;
/// From the worst on, as configuration, findings and the output variable name them.
const SEVERITIES: [(&str, &str); 4] = [
    ("CriticalThreshold", "critical"),
    ("HighThreshold", "high"),
    ("MediumThreshold", "medium"),
    ("LowThreshold", "low"),
];

/// How many findings there are of each of [`SEVERITIES`].
type Counts = [u64; SEVERITIES.len()];

pub struct InspectorScan {
    entry: ActionTypeEntry,
    builds: Commands,
}

impl Default for InspectorScan {
    fn default() -> Self {
        Self::new()
    }
}

impl InspectorScan {
    pub fn new() -> Self {
        Self { entry: entry(), builds: Commands::new(Category::Compute) }
    }
}

fn entry() -> ActionTypeEntry {
    let threshold = |key: &str, severity: &str| {
        let text = format!("The action fails when there are more findings of severity {severity}.");
        Property { valid: ValidValues::Integer(0, i64::from(i32::MAX)), ..Property::optional(key, &text) }
    };
    let mut properties = vec![
        Property::required("InspectorRunMode", "What is scanned: the input artifact, or an image.")
            .one_of(&[SOURCE, IMAGE]),
        Property::optional("ECRRepositoryName", "Repository of the image; required with `ECRImageScan`."),
        Property::optional("ImageTag", "Tag of the image; `latest` when absent."),
    ];
    properties.extend(SEVERITIES.map(|(key, severity)| threshold(key, severity)));
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Invoke, Owner::Aws, "InspectorScan", "1"),
        description:
            "Lists the components of the input artifact, or of an image in Amazon ECR, and has Amazon Inspector look \
                      for known vulnerabilities in them. The output artifact holds the result, `sbom.json` (CycloneDX)."
                .to_owned(),
        properties,
        inputs: Bounds::new(0, 1),
        outputs: Bounds::new(1, 1),
        output_variables: vec!["HighestScannedSeverity".to_owned()],
        default_timeout_minutes: COMMANDS_MINUTES,
        timeout_configurable: false,
        v2_only: true,
        repeat: Repeat::Token,
        entity_url_template: None,
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/action-reference-InspectorScan.html"
            .to_owned(),
    }
}

/// What is scanned.
enum Subject<'a> {
    Source(&'a ArtifactLocation),
    Image { repository: &'a str, tag: &'a str },
}

/// An action, read.
struct Scan<'a> {
    subject: Subject<'a>,
    output: &'a ArtifactLocation,
    /// By the index of the severity.
    thresholds: [Option<u64>; SEVERITIES.len()],
}

impl<'a> Scan<'a> {
    fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let given = |key: &str| action.config(key).filter(|value| !value.is_empty());
        let name = &action.action_name;
        let [output] = action.output_artifacts.as_slice() else {
            return Err(format!("Action {name} must have exactly one output artifact."));
        };
        let subject = match (given("InspectorRunMode"), action.input_artifacts.as_slice()) {
            (Some(SOURCE), [input]) => Subject::Source(input),
            (Some(SOURCE), _) => return Err(format!("{SOURCE} in action {name} needs one input artifact.")),
            (Some(IMAGE), []) => {
                let repository = given("ECRRepositoryName").ok_or_else(|| {
                    format!("{IMAGE} in action {name} needs ECRRepositoryName, the repository of the image.")
                })?;
                let tag = given("ImageTag").unwrap_or("latest");
                if ![repository, tag].iter().all(|text| is_of_an_image(text)) {
                    return Err(format!(
                        "The image {repository}:{tag} of action {name} has characters that no image has."
                    ));
                }
                Subject::Image { repository, tag }
            }
            (Some(IMAGE), _) => {
                return Err(format!("{IMAGE} in action {name} takes no input artifact: the image is in Amazon ECR."));
            }
            (other, _) => {
                return Err(format!(
                    "The value of InspectorRunMode is '{}'; it must be {SOURCE} or {IMAGE}.",
                    other.unwrap_or_default()
                ));
            }
        };
        let mut thresholds = [None; SEVERITIES.len()];
        for (place, (key, _)) in thresholds.iter_mut().zip(SEVERITIES) {
            let read = |value: &str| {
                value.trim().parse().map_err(|_| format!("The value of {key} is '{value}'; it must be a whole number."))
            };
            *place = given(key).map(read).transpose()?;
        }
        Ok(Self { subject, output, thresholds })
    }

    /// The Commands action whose build lists the components.
    fn build(&self, action: &ActionInvocation) -> ActionInvocation {
        let find = format!("sh -c 'command -v inspector-sbomgen > /dev/null || exit {NO_GENERATOR}'");
        let (input, list) = match &self.subject {
            Subject::Source(input) => ((*input).clone(), format!("inspector-sbomgen directory --path . -o {FILE}")),
            Subject::Image { .. } => (
                self.output.clone(),
                format!(
                    ". ./{REGISTRY} && rm {REGISTRY} && inspector-sbomgen container --image \"$SCANNED_IMAGE\" -o {FILE}"
                ),
            ),
        };
        ActionInvocation {
            configuration: BTreeMap::new(),
            input_artifacts: vec![input],
            commands: vec![find, list],
            environment_variables: Vec::new(),
            output_variables: Vec::new(),
            output_files: vec![FILE.to_owned()],
            ..action.clone()
        }
    }

    /// Where the build of an image finds which one it is and how to come by it, unless it is there already.
    async fn provide(&self, cx: &Call<'_>, action: &ActionInvocation) -> Result<(), Outcome> {
        let Subject::Image { repository, tag } = &self.subject else { return Ok(()) };
        let store = S3::new(cx.artifacts, action, &self.output.region);
        match store.look(&self.output.bucket, &self.output.key, None).await {
            // By an earlier start; the build may have put its list there since.
            Ok(_) => return Ok(()),
            // Who may not list a bucket is told 403 of what is not there.
            Err(problem) if matches!(problem.kind, Kind::NotFound | Kind::AccessDenied) => {}
            Err(problem) => return Err(Trouble::Output(problem).outcome(self.output)),
        }
        let registry =
            ecr_registry::private(cx, action).await.map_err(|problem| refused_by_registry(repository, &problem))?;
        let quoted = |text: &str| text.replace('\'', r"'\''");
        let file = format!(
            "export SCANNED_IMAGE='{}/{repository}:{tag}'\nexport INSPECTOR_SBOMGEN_USERNAME='{}'\nexport \
             INSPECTOR_SBOMGEN_PASSWORD='{}'\n",
            quoted(&registry.host),
            quoted(&registry.user),
            quoted(&registry.password)
        );
        let written = artifact_files::write_one(cx, action, self.output, REGISTRY, file.into_bytes()).await;
        written.map_err(|trouble| trouble.outcome(self.output))
    }

    /// The first severity whose findings are too many decides nothing alone: all of them are told.
    fn exceeded(&self, counts: &Counts) -> Option<String> {
        let over = SEVERITIES.iter().zip(counts).zip(&self.thresholds).filter_map(|(((_, severity), count), most)| {
            let most = (*most).filter(|most| count > most)?;
            Some(format!("{count} of severity {severity}, where {most} are allowed"))
        });
        let over: Vec<String> = over.collect();
        (!over.is_empty()).then(|| format!("The scan found more vulnerabilities than allowed: {}.", over.join("; ")))
    }
}

fn refused_by_registry(repository: &str, problem: &Problem) -> Outcome {
    let code =
        if problem.kind == Kind::AccessDenied { error_code::PERMISSION_ERROR } else { error_code::CONFIGURATION_ERROR };
    problem.outcome(
        code,
        format!("Unable to pull from the Amazon ECR repository named {repository}. {}", problem.detail()),
    )
}

/// A build without a generator is the user's to mend.
fn explained(outcome: Outcome) -> Outcome {
    let Outcome::Failed { progress, error } = outcome else { return outcome };
    if !error.message.contains(&format!("exit status {NO_GENERATOR}")) {
        return Outcome::Failed { progress, error };
    }
    let message = "inspector-sbomgen is not installed where builds run. Download the Amazon Inspector SBOM Generator and put \
                   the program on the PATH of the builds: into /usr/local/bin of this machine, or into the image that \
                   [images] in towpath.toml names for aws/codebuild/amazonlinux2-x86_64-standard:5.0.";
    let progress = Progress { summary: Some(message.to_owned()), ..progress };
    Outcome::Failed { progress, error: ErrorDetails::new(error_code::CONFIGURATION_ERROR, message) }
}

/// Asks Amazon Inspector, as often as the number of components needs; answers one document.
async fn look_up(
    cx: &Call<'_>,
    action: &ActionInvocation,
    sbom: Map<String, Value>,
) -> Result<(Value, Counts), Problem> {
    let mut whole: Option<Map<String, Value>> = None;
    let mut counts = Counts::default();
    for part in parts(sbom) {
        let client = cx.realm.inspector_scan(action).await?;
        let request = client.scan_sbom().sbom(document(part)).output_format(OutputFormat::CycloneDx15);
        let answer = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SERVICE, &error)))?;
        let Some(Value::Object(told)) = answer.sbom.map(value) else {
            return Err(Problem::broken(SERVICE, "ScanSbom answered without a document"));
        };
        for (sum, more) in counts.iter_mut().zip(count(&told)) {
            *sum += more;
        }
        match &mut whole {
            None => whole = Some(told),
            Some(whole) => append(whole, told),
        }
    }
    Ok((whole.map_or(Value::Null, Value::Object), counts))
}

/// The document in requests of no more components than Inspector takes.
fn parts(mut sbom: Map<String, Value>) -> Vec<Value> {
    // Of an earlier scan, whose answer has taken the list's place.
    sbom.remove("vulnerabilities");
    let components = match sbom.get_mut("components") {
        Some(Value::Array(components)) if components.len() > SCAN_COMPONENTS_MAX => std::mem::take(components),
        _ => return vec![Value::Object(sbom)],
    };
    let of = |chunk: &[Value]| {
        let mut part = sbom.clone();
        part.insert("components".to_owned(), Value::Array(chunk.to_vec()));
        Value::Object(part)
    };
    components.chunks(SCAN_COMPONENTS_MAX).map(of).collect()
}

fn append(whole: &mut Map<String, Value>, mut more: Map<String, Value>) {
    for key in ["components", "vulnerabilities"] {
        if let Some(Value::Array(mut added)) = more.remove(key)
            && let Value::Array(known) = whole.entry(key).or_insert_with(|| Value::Array(Vec::new()))
        {
            known.append(&mut added);
        }
    }
}

/// Inspector's own counts where it tells them, else the worst rating of each vulnerability.
fn count(told: &Map<String, Value>) -> Counts {
    let properties = told.get("metadata").and_then(|metadata| metadata.get("properties")).and_then(Value::as_array);
    let own = SEVERITIES.map(|(_, severity)| {
        let name = format!("amazon:inspector:sbom_scanner:{severity}_vulnerabilities");
        let property = properties.into_iter().flatten().find(|property| property["name"] == name.as_str())?;
        property["value"].as_str()?.parse::<u64>().ok()
    });
    if own.iter().any(Option::is_some) {
        return own.map(Option::unwrap_or_default);
    }
    let mut counts = Counts::default();
    for vulnerability in told.get("vulnerabilities").and_then(Value::as_array).into_iter().flatten() {
        let ratings = vulnerability["ratings"].as_array();
        let rated = |severity: &str| {
            ratings
                .into_iter()
                .flatten()
                .any(|r| r["severity"].as_str().is_some_and(|s| s.eq_ignore_ascii_case(severity)))
        };
        if let Some(worst) = SEVERITIES.iter().position(|(_, severity)| rated(severity)) {
            counts[worst] += 1;
        }
    }
    counts
}

fn document(value: Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(value),
        Value::Number(number) => Document::Number(match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Number::PosInt(number),
            (None, Some(number)) => Number::NegInt(number),
            (None, None) => Number::Float(number.as_f64().unwrap_or_default()),
        }),
        Value::String(text) => Document::String(text),
        Value::Array(items) => Document::Array(items.into_iter().map(document).collect()),
        Value::Object(members) => {
            Document::Object(members.into_iter().map(|(key, value)| (key, document(value))).collect::<HashMap<_, _>>())
        }
    }
}

/// Members are sorted, so that the same answer makes the same bytes.
fn value(document: Document) -> Value {
    match document {
        Document::Object(members) => {
            let sorted: BTreeMap<String, Document> = members.into_iter().collect();
            Value::Object(sorted.into_iter().map(|(key, document)| (key, value(document))).collect())
        }
        Document::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        Document::Number(Number::PosInt(number)) => number.into(),
        Document::Number(Number::NegInt(number)) => number.into(),
        Document::Number(Number::Float(number)) => number.into(),
        Document::String(text) => Value::String(text),
        Document::Bool(value) => Value::Bool(value),
        Document::Null => Value::Null,
    }
}

fn refused_by_inspector(progress: Progress, problem: &Problem) -> Outcome {
    let code = match problem.kind {
        Kind::AccessDenied => error_code::PERMISSION_ERROR,
        Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => error_code::JOB_FAILED,
    };
    problem.outcome_with(progress, code, format!("Error calling scanSbom: {}", problem.detail()))
}

impl InspectorScan {
    /// What the build's outcome is for the action.
    async fn built(&self, cx: &Call<'_>, action: &ActionInvocation, scan: &Scan<'_>, built: Outcome) -> Outcome {
        match built {
            Outcome::Succeeded { progress, .. } => self.scanned(cx, action, scan, progress).await,
            Outcome::Failed { .. } if matches!(scan.subject, Subject::Image { .. }) => {
                // The password is of no use to anybody any more; where it cannot be written over, it ends by itself.
                if artifact_files::write_one(cx, action, scan.output, FILE, b"{}".to_vec()).await.is_err() {
                    tracing::warn!(action = %action.action_execution_id, "a registry's password was not written over");
                }
                explained(built)
            }
            other => explained(other),
        }
    }

    async fn scanned(&self, cx: &Call<'_>, action: &ActionInvocation, scan: &Scan<'_>, progress: Progress) -> Outcome {
        let output = scan.output;
        let listed = match artifact_files::read(cx, action, output, FILE, SBOM_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(trouble) => return trouble.outcome(output),
        };
        let sbom = match serde_json::from_slice(&listed) {
            Ok(sbom) => sbom,
            Err(error) => {
                let message = format!("inspector-sbomgen made no CycloneDX document: {error}");
                return Outcome::failed(error_code::JOB_FAILED, message);
            }
        };
        let (result, counts) = match look_up(cx, action, sbom).await {
            Ok(answer) => answer,
            Err(problem) => return refused_by_inspector(progress, &problem),
        };
        if let Err(trouble) = artifact_files::write_one(cx, action, output, FILE, result.to_string().into_bytes()).await
        {
            return trouble.outcome(output);
        }
        if let Some(message) = scan.exceeded(&counts) {
            let progress = Progress { summary: Some(message.clone()), ..progress };
            return Outcome::Failed { progress, error: ErrorDetails::new(error_code::JOB_FAILED, message) };
        }
        let found: Vec<String> =
            SEVERITIES.iter().zip(counts).map(|((_, severity), count)| format!("{count} {severity}")).collect();
        let progress = Progress { summary: Some(format!("Vulnerabilities: {}", found.join(", "))), ..progress };
        let worst = SEVERITIES.iter().zip(counts).find(|(_, count)| *count > 0).map(|((_, severity), _)| *severity);
        let variables = worst.map(|severity| ("HighestScannedSeverity".to_owned(), severity.to_owned()));
        Outcome::Succeeded { progress, variables: variables.into_iter().collect(), revisions: Vec::new() }
    }
}

#[async_trait]
impl Provider for InspectorScan {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::InspectorScan)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        let scan = match Scan::read(action) {
            Ok(scan) => scan,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        if let Err(outcome) = scan.provide(cx, action).await {
            return outcome;
        }
        let built = self.builds.start(&at_home(cx), &scan.build(action)).await;
        self.built(cx, action, &scan, built).await
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        if progress.external_id.is_none() {
            // Nothing is known of the start; the token makes starting again the same build.
            return self.start(cx, action).await;
        }
        let scan = match Scan::read(action) {
            Ok(scan) => scan,
            Err(message) => return Outcome::failed(error_code::CONFIGURATION_ERROR, message),
        };
        let built = self.builds.poll(&at_home(cx), &scan.build(action), progress).await;
        self.built(cx, action, &scan, built).await
    }

    async fn stop(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Result<(), String> {
        self.builds.stop(&at_home(cx), action, progress).await
    }

    fn poll_interval(
        &self,
        cx: &Call<'_>,
        _action: &ActionInvocation,
        _progress: &Progress,
        polls: u32,
    ) -> std::time::Duration {
        interval(&at_home(cx), polls)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("{value} is no object") };
        members
    }

    #[test]
    fn inspectors_own_counts_go_before_ratings() {
        let rated =
            json!([{"ratings": [{"severity": "low"}, {"severity": "HIGH"}]}, {"ratings": [{"severity": "low"}]}, {}]);
        let told = object(json!({"vulnerabilities": rated}));
        assert_eq!(count(&told), [0, 1, 0, 1]);
        let properties = json!([{"name": "amazon:inspector:sbom_scanner:critical_vulnerabilities", "value": "4"}]);
        let told = object(json!({"vulnerabilities": rated, "metadata": {"properties": properties}}));
        assert_eq!(count(&told), [4, 0, 0, 0]);
        assert_eq!(count(&Map::new()), [0, 0, 0, 0]);
    }

    #[test]
    fn a_long_list_is_asked_in_parts_and_answered_as_one() {
        let components: Vec<Value> = (0..4001).map(|i| json!({"name": i})).collect();
        let sbom = object(json!({"bomFormat": "CycloneDX", "components": components, "vulnerabilities": ["old"]}));
        let parts = parts(sbom);
        let sizes: Vec<usize> = parts.iter().map(|part| part["components"].as_array().unwrap().len()).collect();
        assert_eq!(sizes, [2000, 2000, 1]);
        assert!(parts.iter().all(|part| part["bomFormat"] == "CycloneDX" && part["vulnerabilities"].is_null()));
        let mut whole = object(parts[0].clone());
        append(&mut whole, object(json!({"components": [1], "vulnerabilities": [2]})));
        assert_eq!(whole["components"].as_array().unwrap().len(), 2001);
        assert_eq!(whole["vulnerabilities"], json!([2]));
    }

    #[test]
    fn documents_go_there_and_back() {
        let told = json!({"a": [1, -2, 2.5, "text", true, null], "b": {"c": {}}});
        assert_eq!(value(document(told.clone())), told);
    }
}
