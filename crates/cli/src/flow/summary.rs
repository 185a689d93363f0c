//! What came of an execution, in a few lines: how it ended and why, the time per stage, what was deployed where and how
//! to read it, where the logs are.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value as Json;
use towpath_model::time::Timestamp;

use super::logs::Tail;
use crate::commands::validate::DEFAULT_ACCOUNT;
use crate::display::model::{Model, State};

/// An S3 deployment that succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    pub action: String,
    pub bucket: String,
    pub key: String,
    pub extracted: bool,
}

/// Finds the deployments among ListActionExecutions' records, in the order they ran.
pub fn deployed(records: &[Json]) -> Vec<Deployed> {
    let deployments = records.iter().rev().filter(|r| {
        let id = &r["input"]["actionTypeId"];
        r["status"] == "Succeeded" && id["category"] == "Deploy" && id["provider"] == "S3"
    });
    deployments
        .map(|r| {
            let config = |key: &str| {
                let input = &r["input"];
                let text = input["resolvedConfiguration"][key].as_str().or(input["configuration"][key].as_str());
                text.unwrap_or_default().to_owned()
            };
            Deployed {
                action: r["actionName"].as_str().unwrap_or_default().to_owned(),
                bucket: config("BucketName"),
                key: config("ObjectKey").trim_matches('/').to_owned(),
                extracted: config("Extract").eq_ignore_ascii_case("true"),
            }
        })
        .collect()
}

/// Where the data is, and as what it was made.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub data: &'a Path,
    pub account: &'a str,
    pub region: &'a str,
}

impl Place<'_> {
    /// The command that serves the same data.
    pub fn serve(&self) -> String {
        let account = match self.account {
            DEFAULT_ACCOUNT => String::new(),
            other => format!(" --account-id {other}"),
        };
        format!("towpath serve --data-dir {}{account}", quoted(self.data))
    }

    /// What a client needs to reach it.
    pub fn client(&self) -> String {
        let credentials = quoted(&self.data.join("credentials"));
        format!(
            "AWS_SHARED_CREDENTIALS_FILE={credentials} AWS_DEFAULT_REGION={} AWS_ENDPOINT_URL=http://127.0.0.1:7400",
            self.region
        )
    }
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

pub struct Summary<'a> {
    pub model: &'a Model,
    pub now: Timestamp,
    pub deployed: &'a [Deployed],
    pub logs: &'a [Tail],
    pub place: Place<'a>,
}

impl Summary<'_> {
    pub fn text(&self) -> String {
        let model = self.model;
        let mut out = String::from("\n");
        let total = model.progress.span(self.now).map(|(from, to)| model.elapsed(from, to)).unwrap_or_default();
        let word = model.progress.state.word();
        let _ = writeln!(out, "{word} in {total}: execution {}", model.execution_shown());
        if let Some((stage, action)) = model.failure() {
            let reason = action.reason.as_deref().map(|r| format!(": {}", crate::display::clean_rows(r)));
            let _ = writeln!(out, "  {}/{}{}", stage.name, action.name, reason.unwrap_or_default());
        } else if model.progress.state != State::Succeeded
            && let Some(summary) = &model.summary
        {
            let _ = writeln!(out, "  {summary}");
        }
        let times: Vec<String> = model
            .stages
            .iter()
            .filter_map(|s| {
                let (from, to) = s.progress.span(self.now)?;
                Some(format!("{} {}", s.name, model.elapsed(from, to)))
            })
            .collect();
        let _ = writeln!(out, "  time    {}", times.join("  "));
        for tail in self.logs {
            if let Some((group, stream)) = &tail.stream {
                let stream = if model.redacted { "..." } else { stream };
                let _ = writeln!(out, "  log     {}/{}: {group} {stream}", tail.stage, tail.action);
            }
        }
        for deployed in self.deployed {
            let _ = writeln!(out, "  deployed by {}: {}", deployed.action, deployed.url());
        }
        if let Some(first) = self.deployed.first() {
            out.push_str(&self.how_to_read(first));
        }
        out
    }

    /// The commands are whole: they can be pasted.
    fn how_to_read(&self, deployed: &Deployed) -> String {
        let copy = if deployed.extracted {
            format!("aws s3 cp --recursive {} deployed/", deployed.url())
        } else {
            format!("aws s3 cp {} .", deployed.url())
        };
        format!(
            "\nTo read it, serve the same data and use any S3 client:\n  {}\n  {} {copy}\n",
            self.place.serve(),
            self.place.client(),
        )
    }
}

impl Deployed {
    fn url(&self) -> String {
        match (self.key.as_str(), self.extracted) {
            ("", _) => format!("s3://{}/", self.bucket),
            (key, true) => format!("s3://{}/{key}/", self.bucket),
            (key, false) => format!("s3://{}/{key}", self.bucket),
        }
    }
}
