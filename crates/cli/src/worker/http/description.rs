//! The file that describes an HTTP service to `towpath worker http`: how a run is started, how it is asked for, and what its
//! answers mean. Everything that can be wrong with it is told when it is read, before any job is taken.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::template::{Scope, Template};
use crate::limits;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Description {
    /// What messages call the service.
    pub name: String,
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// Of every request but the login.
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    pub basic: Option<Basic>,
    /// Asked for once, and again when the service takes its answer no more.
    pub login: Option<Request>,
    pub start: Request,
    pub poll: Option<Request>,
    pub wait: Option<Wait>,
    /// Asked when the wait is over, where the poll does not tell how it went.
    pub verdict: Option<Request>,
    pub result: Verdict,
    /// Asked when nobody waits for the run any more.
    pub stop: Option<Request>,
    pub external_id: Option<Template>,
    /// Files of the output artifacts.
    #[serde(default)]
    pub output: BTreeMap<String, Template>,
    /// Output variables; partners' jobs have none.
    #[serde(default)]
    pub variables: BTreeMap<String, Template>,
}

/// Where a secret is: exactly one of both.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretSource {
    pub env: Option<String>,
    pub file: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    pub user: Template,
    pub password: Template,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    #[serde(default = "get")]
    pub method: String,
    pub url: Template,
    #[serde(default)]
    pub query: BTreeMap<String, Template>,
    #[serde(default)]
    pub headers: BTreeMap<String, Template>,
    pub json: Option<Document>,
    pub form: Option<BTreeMap<String, Template>>,
    pub text: Option<Template>,
    /// Names for values of the answer, by their JSON pointers.
    #[serde(default)]
    pub read: BTreeMap<String, String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// How long it is waited: while the status is one of `running`, or until it is one of `ended`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    pub status: Template,
    pub running: Option<Vec<String>>,
    pub ended: Option<Vec<String>>,
    /// Seconds between two questions.
    #[serde(default = "every")]
    pub every: f64,
    pub percent: Option<Template>,
    pub summary: Option<Template>,
}

fn every() -> f64 {
    10.0
}

impl Wait {
    pub fn goes_on(&self, status: &str) -> bool {
        let any = |list: Option<&Vec<String>>| list.map(|list| list.iter().any(|one| one == status));
        any(self.running.as_ref()).unwrap_or(false) || any(self.ended.as_ref()).is_some_and(|ended| !ended)
    }

    pub fn pause(&self) -> Duration {
        let given = Duration::try_from_secs_f64(self.every).unwrap_or(limits::WORKER_PAUSE_MAX);
        given.clamp(limits::WORKER_PAUSE_MIN, limits::WORKER_PAUSE_MAX)
    }
}

/// What the end means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub status: Template,
    /// The statuses that are good; every other one fails the action.
    pub succeeded: Vec<String>,
    pub summary: Option<Template>,
    /// Why it failed.
    pub message: Option<Template>,
}

/// A JSON body whose texts are templates.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum Document {
    Text(Template),
    Fixed(serde_json::Value),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
}

impl TryFrom<toml::Value> for Document {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        Ok(match value {
            toml::Value::String(text) => Self::Text(Template::parse(&text)?),
            toml::Value::Integer(number) => Self::Fixed(number.into()),
            toml::Value::Float(number) => Self::Fixed(number.into()),
            toml::Value::Boolean(flag) => Self::Fixed(flag.into()),
            toml::Value::Datetime(time) => Self::Fixed(time.to_string().into()),
            toml::Value::Array(list) => Self::List(list.into_iter().map(Self::try_from).collect::<Result<_, _>>()?),
            toml::Value::Table(table) => {
                let members = table.into_iter().map(|(name, value)| Ok((name, Self::try_from(value)?)));
                Self::Map(members.collect::<Result<_, String>>()?)
            }
        })
    }
}

impl Document {
    fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Text(template) => vec![template],
            Self::Fixed(_) => Vec::new(),
            Self::List(list) => list.iter().flat_map(Self::templates).collect(),
            Self::Map(members) => members.values().flat_map(Self::templates).collect(),
        }
    }
}

impl Request {
    fn templates(&self) -> Vec<&Template> {
        let mut all = vec![&self.url];
        all.extend(self.query.values());
        all.extend(self.headers.values());
        all.extend(self.form.iter().flat_map(BTreeMap::values));
        all.extend(&self.text);
        all.extend(self.json.iter().flat_map(Document::templates));
        all
    }

    fn check(&self, place: &str, scopes: &[Scope]) -> Result<(), String> {
        let wrong = |why: String| Err(format!("[{place}] {why}"));
        if !matches!(self.method.as_str(), "GET" | "POST" | "PUT" | "PATCH" | "DELETE") {
            return wrong(format!("method is `{}`; it may be GET, POST, PUT, PATCH or DELETE", self.method));
        }
        // A configuration must not choose who is given the secrets.
        let beginning = self.url.beginning();
        let Some(rest) = beginning.strip_prefix("https://").or_else(|| beginning.strip_prefix("http://")) else {
            return wrong("url must begin with https:// or http://".to_owned());
        };
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.contains('@') || (host.len() == rest.len() && !self.url.is_plain()) {
            return wrong("url must write its host out, without values, user or password in it".to_owned());
        }
        if [self.json.is_some(), self.form.is_some(), self.text.is_some()].iter().filter(|given| **given).count() > 1 {
            return wrong("may have one of json, form and text".to_owned());
        }
        for (name, pointer) in &self.read {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return wrong(format!("read.{name} is `{pointer}`; a JSON pointer begins with `/`, as /data/id"));
            }
        }
        allowed(place, self.templates(), scopes)
    }
}

fn allowed<'a>(place: &str, templates: impl IntoIterator<Item = &'a Template>, scopes: &[Scope]) -> Result<(), String> {
    for reference in templates.into_iter().flat_map(Template::references) {
        if !scopes.contains(&reference.scope) {
            let known: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
            return Err(format!("[{place}] uses {reference}; here are values of {}", known.join(", ")));
        }
    }
    Ok(())
}

impl Description {
    /// The description in a file's text, or what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let description: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<(), String> {
        use Scope::{Base64, Config, File, Input, Job, Login, Poll, Secret, Start, Verdict};
        if let Some(login) = &self.login {
            login.check("login", &[Secret])?;
        }
        let common = self.headers.values().chain(self.basic.iter().flat_map(|basic| [&basic.user, &basic.password]));
        allowed("headers", common, &[Config, Secret, Job, Login])?;
        self.start.check("start", &[Config, Secret, Job, Login, Input, File, Base64])?;
        if let Some(poll) = &self.poll {
            poll.check("poll", &[Config, Secret, Job, Login, Start])?;
        }
        if let Some(verdict) = &self.verdict {
            verdict.check("verdict", &[Config, Secret, Job, Login, Start, Poll])?;
        }
        if let Some(stop) = &self.stop {
            stop.check("stop", &[Config, Secret, Job, Login, Start])?;
        }
        match (&self.poll, &self.wait) {
            (Some(_), None) => return Err("[poll] needs [wait], which says how long it is asked".to_owned()),
            (None, Some(_)) => return Err("[wait] needs [poll], which is asked meanwhile".to_owned()),
            _ => {}
        }
        if let Some(wait) = &self.wait {
            if wait.running.is_some() == wait.ended.is_some() {
                return Err("[wait] needs either `running` or `ended`, a list of statuses".to_owned());
            }
            let shown = wait.percent.iter().chain(&wait.summary).chain([&wait.status]);
            allowed("wait", shown, &[Config, Job, Start, Poll])?;
        }
        // What is shown holds no secrets.
        let told = [Config, Job, Start, Poll, Verdict];
        let result = [&self.result.status].into_iter().chain(&self.result.summary).chain(&self.result.message);
        allowed("result", result, &told)?;
        allowed("output", self.output.values(), &told)?;
        allowed("variables", self.variables.values(), &told)?;
        allowed("external-id", &self.external_id, &[Config, Job, Start])?;
        for name in self.output.keys() {
            if name.is_empty() || name.split('/').any(|part| matches!(part, "" | "." | "..")) || name.contains('\0') {
                return Err(format!("[output] `{name}` is no name of a file below the artifact's directory"));
            }
        }
        let used = self.requests().flat_map(Request::templates).chain(self.headers.values());
        let used = used.chain(self.basic.iter().flat_map(|basic| [&basic.user, &basic.password]));
        for reference in used.flat_map(Template::references).filter(|reference| reference.scope == Secret) {
            if !self.secrets.contains_key(&reference.name) {
                return Err(format!("{reference} is used, but [secrets] has no {}", reference.name));
            }
        }
        for (name, source) in &self.secrets {
            if source.env.is_some() == source.file.is_some() {
                return Err(format!("[secrets] {name} needs either `env` or `file`"));
            }
        }
        Ok(())
    }

    pub fn requests(&self) -> impl Iterator<Item = &Request> {
        let more = [&self.login, &self.poll, &self.verdict, &self.stop];
        std::iter::once(&self.start).chain(more.into_iter().flatten())
    }

    /// Files of the first input artifact that the start sends.
    pub fn files(&self) -> impl Iterator<Item = &super::template::Reference> {
        let references = self.start.templates().into_iter().flat_map(Template::references);
        references.filter(|reference| matches!(reference.scope, Scope::File | Scope::Base64))
    }

    pub fn wants_link(&self) -> bool {
        self.start.templates().into_iter().flat_map(Template::references).any(|one| one.scope == Scope::Input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
name = "Probe"
external-id = "${start.run}"

[secrets]
token = { env = "PROBE_TOKEN" }

[headers]
Authorization = "Bearer ${secret.token}"

[start]
method = "POST"
url = "https://probe.example/tests/${config.TestId}/runs"
json = { note = "by ${job.pipeline}", count = 2, list = ["${file.a.txt}"] }
read = { run = "/data/id" }

[poll]
url = "https://probe.example/runs/${start.run}"
read = { status = "/status" }

[wait]
status = "${poll.status}"
running = ["queued", "running"]

[result]
status = "${poll.status}"
succeeded = ["pass"]
"#;

    #[test]
    fn a_description_is_read() {
        let read = Description::read(WHOLE).unwrap();
        assert_eq!((read.start.method.as_str(), read.poll.as_ref().unwrap().method.as_str()), ("POST", "GET"));
        assert_eq!(read.files().map(|file| file.name.clone()).collect::<Vec<_>>(), ["a.txt"]);
        let wait = read.wait.unwrap();
        assert!(wait.goes_on("queued") && !wait.goes_on("pass"));
        assert_eq!(wait.pause(), Duration::from_secs(10));
        let ended = Wait { running: None, ended: Some(vec!["ENDED".to_owned()]), ..wait };
        assert!(ended.goes_on("BOOTING") && !ended.goes_on("ENDED"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (from, to, why) in [
            ("name = \"Probe\"", "", "name"),
            ("method = \"POST\"", "method = \"SEND\"", "PATCH"),
            ("https://probe.example/tests/", "ftp://probe.example/", "https://"),
            ("https://probe.example/tests/${config.TestId}/runs", "https://${config.Host}/runs", "host"),
            ("https://probe.example/tests/${config.TestId}/runs", "https://probe.example${config.Host}", "host"),
            ("https://probe.example/tests/${config.TestId}/runs", "https://me@probe.example/", "host"),
            ("/data/id", "data.id", "JSON pointer"),
            ("[wait]", "[waiting]", "waiting"),
            ("running = [", "ended = [\"x\"]\nrunning = [", "either"),
            ("status = \"${poll.status}\"\nsucceeded", "status = \"${secret.token}\"\nsucceeded", "[result] uses"),
            ("token = { env", "key = { env", "has no token"),
            ("env = \"PROBE_TOKEN\"", "", "either `env` or `file`"),
            ("json = {", "text = \"x\"\njson = {", "one of json"),
            ("external-id = \"${start.run}\"", "external-id = \"${poll.status}\"", "[external-id]"),
            ("[headers]", "[output]\n\"../x\" = \"y\"\n[headers]", "no name of a file"),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let error = Description::read(&WHOLE.replacen(from, to, 1)).expect_err(to);
            assert!(error.contains(why), "{to}: {error}");
        }
        let unasked = WHOLE.replace("[wait]\nstatus = \"${poll.status}\"\nrunning = [\"queued\", \"running\"]\n", "");
        assert!(Description::read(&unasked).unwrap_err().contains("[wait]"));
    }

    #[test]
    fn the_examples_are_good() {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/partners");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let read = Description::read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                names.push(read.name);
            }
        }
        names.sort();
        let all = ["BlazeMeter", "Ghost Inspector", "Nouvola", "Runscope", "Snyk", "StormRunner Load"];
        assert_eq!(names, all);
    }
}
