//! EKS and CloudWatch Logs as far as an EKS deploy action uses them, and a `kubectl` and a `helm` that are shell scripts:
//! they do what the file says that they are given, and know nothing of Kubernetes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::Stage;
use crate::world::{Peer, Request, Response, json_error, json_operation};

/// Tells how it was called, sees that there is a token for it alone, and runs the `# run:` lines of its last argument.
const TOOL: &str = r#"#!/bin/sh
echo "called: $(basename "$0") $1 $2 $3 $4" >&2
test "$(stat -c %a "$KUBECONFIG")" = 600 || exit 90
grep -q '"token":"k8s-aws-v1\.' "$KUBECONFIG" || exit 91
test -z "$AWS_ACCESS_KEY_ID" || exit 92
for last; do :; done
test -f "$last" || last="$4/Chart.yaml"
sed -n 's/^# run: //p' "$last" > "$HOME/commands"
. "$HOME/commands"
"#;

/// The directory with both.
pub fn tools() -> PathBuf {
    static TOOLS: OnceLock<TempDir> = OnceLock::new();
    let directory = TOOLS.get_or_init(|| {
        let directory = TempDir::new().unwrap();
        for name in ["kubectl", "helm"] {
            // Written by a process of its own: a file that this one has open for writing cannot be run by its children.
            let path = directory.path().join(name);
            let mut writer = Command::new("sh");
            writer.args(["-c", "cat > \"$0\" && chmod +x \"$0\""]).arg(&path).stdin(Stdio::piped());
            let mut writer = writer.spawn().unwrap();
            std::io::Write::write_all(&mut writer.stdin.take().unwrap(), TOOL.as_bytes()).unwrap();
            assert!(writer.wait().unwrap().success());
        }
        directory
    });
    directory.path().to_path_buf()
}

/// What both services know.
#[derive(Default)]
pub struct Known {
    pub status: String,
    /// Lines by stream.
    pub lines: BTreeMap<String, Vec<String>>,
    groups: Vec<String>,
}

#[derive(Clone)]
pub struct EksPeer(pub Arc<Mutex<Known>>, &'static str);

impl EksPeer {
    pub fn install(stage: &Stage) -> Self {
        let known = Arc::new(Mutex::new(Known { status: "ACTIVE".to_owned(), ..Known::default() }));
        for service in ["eks", "logs"] {
            let peer = Box::new(Self(Arc::clone(&known), service));
            stage.aws.world().peers.insert(service.to_owned(), peer);
        }
        Self(known, "")
    }

    /// The lines of the only stream.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().lines.values().next().cloned().unwrap_or_default()
    }
}

impl Known {
    fn cluster(&self, request: &Request) -> Response {
        if request.path != "/clusters/harbour" {
            return json_error(404, "ResourceNotFoundException", "No cluster found for name: x.");
        }
        let cluster = json!({"name": "harbour", "arn": "arn:aws:eks:eu-west-1:111122223333:cluster/harbour",
            "endpoint": "https://harbour.example", "certificateAuthority": {"data": "UEVN"}, "status": self.status});
        Response::ok(json!({"cluster": cluster}).to_string())
    }

    fn logs(&mut self, operation: &str, body: &Value) -> Response {
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        match operation {
            "CreateLogGroup" => {
                self.groups.push(text("logGroupName"));
                Response::ok("{}")
            }
            "CreateLogStream" if !self.groups.contains(&text("logGroupName")) => {
                json_error(400, "ResourceNotFoundException", "The specified log group does not exist.")
            }
            "CreateLogStream" => {
                if self.lines.contains_key(&text("logStreamName")) {
                    let text = "The specified log stream already exists";
                    return json_error(400, "ResourceAlreadyExistsException", text);
                }
                self.lines.insert(text("logStreamName"), Vec::new());
                Response::ok("{}")
            }
            "PutLogEvents" => {
                let events = body["logEvents"].as_array().unwrap().iter();
                let lines = events.map(|event| event["message"].as_str().unwrap().to_owned());
                self.lines.get_mut(&text("logStreamName")).unwrap().extend(lines);
                Response::ok("{}")
            }
            other => panic!("the fake CloudWatch Logs has no {other}"),
        }
    }
}

impl Peer for EksPeer {
    fn operation(&self, request: &Request) -> String {
        if self.1 == "eks" { "DescribeCluster".to_owned() } else { json_operation(request) }
    }

    fn answer(&mut self, request: &Request) -> Response {
        let mut known = self.0.lock().unwrap();
        if self.1 == "eks" {
            return known.cluster(request);
        }
        known.logs(&json_operation(request), &serde_json::from_slice(&request.body).unwrap())
    }

    fn effects(&self) -> usize {
        0
    }
}
