//! Deploy / ThirdParty / AlexaSkillsKit: the skill package of the input artifact is imported into a skill, with the Skill
//! Management API (SMAPI), as whoever the refresh token stands for.
//!
//! | Step | Request |
//! |---|---|
//! | sign in | `POST /auth/o2/token` of Login with Amazon |
//! | a place for the package | `POST /v1/skills/uploads`, and a PUT to the place |
//! | import | `POST /v1/skills/{SkillId}/imports` |
//! | wait | `GET /v1/skills/imports/{id}` |
//!
//! Nothing here is AWS's: no role is assumed and no request is signed. An import has no token, so one that was asked for and
//! not stored is asked for again: the same package makes the same skill. Access tokens are kept in memory alone, and no
//! message shows one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_smithy_types::body::SdkBody;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use towpath_model::action::{ActionInvocation, ArtifactLocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, ActionTypeId, Bounds, Category, Executor, Owner, Property, Repeat};
use towpath_model::limits::TIMEOUT_DEFAULT_MINUTES;
use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;

use crate::alexa_package::{PackageError, package};
use crate::deploys::{failed, misconfigured, needed, recall, refused, remember};
use crate::http::{self, Answer, Ask, SEGMENT};
use crate::limits::{ALEXA_TOKENS_MAX, SESSION_MARGIN_MS};
use crate::problem::Problem;
use crate::provider::{Call, Provider};
use crate::realm::{LOGIN_WITH_AMAZON, Realm, RealmKind};
use crate::realms::Service;
use crate::{artifact_files, deploys};

const LOGIN: &str = "LoginWithAmazon";
const SMAPI: &str = "AlexaSkillManagement";
const LOGIN_URL: &str = "https://api.amazon.com";
const SMAPI_URL: &str = "https://api.amazonalexa.com";

pub struct AlexaSkillsKit {
    entry: ActionTypeEntry,
    /// By a digest of who signs in.
    tokens: Mutex<HashMap<[u8; 32], Held>>,
}

/// An access token and its end.
#[derive(Clone)]
struct Held {
    token: Secret,
    expires: Timestamp,
}

impl Default for AlexaSkillsKit {
    fn default() -> Self {
        Self::new()
    }
}

impl AlexaSkillsKit {
    pub fn new() -> Self {
        Self { entry: entry(), tokens: Mutex::default() }
    }
}

fn entry() -> ActionTypeEntry {
    ActionTypeEntry {
        id: ActionTypeId::new(Category::Deploy, Owner::ThirdParty, "AlexaSkillsKit", "1"),
        description: "Imports the skill package of the input artifact into an Alexa skill's development stage."
            .to_owned(),
        properties: vec![
            Property::required("ClientId", "Client id of a Login with Amazon security profile."),
            Property::required("ClientSecret", "Client secret of the security profile.").secret(),
            Property::required("RefreshToken", "Refresh token of the developer who may change the skill.").secret(),
            Property::required("SkillId", "The skill."),
        ],
        inputs: Bounds::new(1, 2),
        outputs: Bounds::new(0, 0),
        output_variables: Vec::new(),
        default_timeout_minutes: TIMEOUT_DEFAULT_MINUTES,
        timeout_configurable: false,
        v2_only: false,
        repeat: Repeat::SameWrite,
        entity_url_template: Some("https://developer.amazon.com/alexa/console/ask/".to_owned()),
        execution_url_template: None,
        revision_url_template: None,
        executor: Executor::Provider,
        artifact_suffix: None,
        documentation: "https://docs.aws.amazon.com/codepipeline/latest/userguide/tutorials-alexa-skills-kit.html"
            .to_owned(),
    }
}

/// What is kept between polls.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    import: Option<String>,
}

/// The answer of Login with Amazon.
#[derive(Deserialize)]
struct Token {
    access_token: String,
    #[serde(default)]
    expires_in: i64,
}

/// Where an API is: said for it alone, or for everything in a realm that is not AWS's.
fn base<'a>(realm: &'a Realm, service: &str, usual: &'a str) -> &'a str {
    let endpoints = &realm.settings.endpoints;
    let whole = || endpoints.default.as_ref().filter(|_| realm.kind() == RealmKind::Other);
    endpoints.services.get(service).or_else(whole).map_or(usual, |url| url.trim_end_matches('/'))
}

/// One action at its skill.
struct Work<'a> {
    cx: &'a Call<'a>,
    action: &'a ActionInvocation,
    client_id: &'a str,
    client_secret: &'a str,
    refresh_token: &'a str,
    skill: &'a str,
    artifact: &'a ArtifactLocation,
    overrides: Option<&'a ArtifactLocation>,
    tokens: &'a Mutex<HashMap<[u8; 32], Held>>,
}

impl<'a> Work<'a> {
    fn of(provider: &'a AlexaSkillsKit, cx: &'a Call<'a>, action: &'a ActionInvocation) -> Result<Self, String> {
        let (artifact, overrides) = match action.input_artifacts.as_slice() {
            [artifact] => (artifact, None),
            [artifact, overrides] => (artifact, Some(overrides)),
            _ => return Err(format!("Action {} must have one or two input artifacts.", action.action_name)),
        };
        Ok(Self {
            cx,
            action,
            client_id: needed(action, "ClientId")?,
            client_secret: needed(action, "ClientSecret")?,
            refresh_token: needed(action, "RefreshToken")?,
            skill: needed(action, "SkillId")?,
            artifact,
            overrides,
            tokens: &provider.tokens,
        })
    }

    fn who(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [self.client_id, self.client_secret, self.refresh_token] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.finalize().into()
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Held>> {
        // The map is whole after every statement that holds the lock.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An access token that is good for a while.
    async fn token(&self) -> Result<Secret, Outcome> {
        let now = self.cx.clock.now();
        let fresh = |held: &Held| held.expires.millis().saturating_sub(now.millis()) > SESSION_MARGIN_MS;
        if let Some(held) = self.tokens().get(&self.who()).filter(|held| fresh(held)) {
            return Ok(held.token.clone());
        }
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", self.refresh_token),
            ("client_id", self.client_id),
            ("client_secret", self.client_secret),
        ];
        let form: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
            .collect();
        let url = format!("{}/auth/o2/token", base(self.cx.realm, LOGIN_WITH_AMAZON, LOGIN_URL));
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        let ask = Ask { method: "POST", url: &url, headers, body: SdkBody::from(form.join("&")) };
        let answer = http::send(self.cx.realm, LOGIN, ask).await;
        let answer = answer.map_err(|problem| refused(Progress::default(), "token", &problem))?;
        if !answer.is_good() {
            return Err(not_signed_in(&answer));
        }
        let token: Token = serde_json::from_slice(&answer.body).map_err(|_| {
            // Its text may hold a token.
            let problem = Problem::broken(LOGIN, "the answer has no access token");
            refused(Progress::default(), "token", &problem)
        })?;
        let held = Held {
            token: Secret::new(token.access_token),
            expires: now.plus_millis(token.expires_in.saturating_mul(1000)),
        };
        let mut tokens = self.tokens();
        if tokens.len() >= ALEXA_TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(self.who(), held.clone());
        Ok(held.token)
    }

    /// A request to SMAPI. A token that is not accepted is replaced once.
    async fn ask(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Answer, Outcome> {
        let url = format!("{}{path}", base(self.cx.realm, Service::AlexaSkillsKit.id(), SMAPI_URL));
        let mut again = true;
        loop {
            let token = self.token().await?;
            let mut headers = vec![("authorization", token.expose().to_owned())];
            if body.is_some() {
                headers.push(("content-type", "application/json".to_owned()));
            }
            let body = body.map_or_else(SdkBody::empty, |body| SdkBody::from(body.to_string()));
            let answer = http::send(self.cx.realm, SMAPI, Ask { method, url: &url, headers, body }).await;
            let answer = answer.map_err(|problem| refused(Progress::default(), path, &problem))?;
            if answer.status == 401 {
                self.tokens().remove(&self.who());
                if std::mem::take(&mut again) {
                    continue;
                }
            }
            return Ok(answer);
        }
    }

    /// The same where only one answer will do.
    async fn done(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Answer, Outcome> {
        let answer = self.ask(method, path, body).await?;
        if answer.is_good() { Ok(answer) } else { Err(refused(Progress::default(), path, &answer.problem(SMAPI))) }
    }

    /// The skill package, as a zip.
    async fn package(&self) -> Result<Vec<u8>, Outcome> {
        let fetch = async |artifact: &'a ArtifactLocation| {
            let fetched = artifact_files::fetch(self.cx, self.action, artifact).await;
            fetched.map_err(|trouble| trouble.outcome(artifact))
        };
        let own = fetch(self.artifact).await?;
        let overrides = match self.overrides {
            Some(artifact) => Some(fetch(artifact).await?),
            None => None,
        };
        let scratch = self.cx.scratch.to_path_buf();
        let made = tokio::task::spawn_blocking(move || {
            package(own.path(), overrides.as_ref().map(tempfile::NamedTempFile::path), &scratch)
        });
        let made = made.await.map_err(std::io::Error::other).map_err(PackageError::from).and_then(|made| made);
        made.map_err(|error| {
            let name = &self.artifact.name;
            match error {
                PackageError::Local(error) => {
                    Outcome::Unavailable { message: format!("cannot keep the artifact {name} for the moment: {error}") }
                }
                PackageError::Archive(error) => deploys::failed(
                    Progress::default(),
                    error_code::JOB_FAILED,
                    format!("The archive is malformed: the artifact {name} cannot be extracted: {error}."),
                ),
                other => misconfigured(format!("The artifact {name} is no skill: {other}.")),
            }
        })
    }

    /// Asks for an import; None where the skill has something else to do.
    async fn import(&self) -> Result<Option<String>, Outcome> {
        let zip = Box::pin(self.package()).await?;
        let place = self.done("POST", "/v1/skills/uploads", None).await?;
        let place: Value = serde_json::from_slice(&place.body).unwrap_or_default();
        let url = place["uploadUrl"].as_str().unwrap_or_default();
        let headers = vec![("content-length", zip.len().to_string())];
        let sent =
            http::send(self.cx.realm, SMAPI, Ask { method: "PUT", url, headers, body: SdkBody::from(zip) }).await;
        let problem = match sent {
            Ok(answer) if answer.is_good() => None,
            Ok(answer) => Some(answer.problem(SMAPI)),
            Err(problem) => Some(problem),
        };
        if let Some(problem) = problem {
            return Err(refused(Progress::default(), "the upload of the skill package", &problem));
        }
        let path = format!("/v1/skills/{}/imports", utf8_percent_encode(self.skill, SEGMENT));
        let answer = self.ask("POST", &path, Some(&json!({"location": url}))).await?;
        if answer.status == 409 {
            return Ok(None);
        }
        if !answer.is_good() {
            return Err(refused(Progress::default(), &path, &answer.problem(SMAPI)));
        }
        let id = answer.headers.get("location").and_then(|place| place.rsplit('/').next()).filter(|id| !id.is_empty());
        id.map(|id| Some(id.to_owned())).ok_or_else(|| {
            let problem = Problem::broken(SMAPI, "the answer to an import has no Location");
            refused(Progress::default(), &path, &problem)
        })
    }

    async fn look(&self, id: &str) -> Result<Outcome, Outcome> {
        let answer = self.done("GET", &format!("/v1/skills/imports/{id}"), None).await?;
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let status = told["status"].as_str().unwrap_or("IN_PROGRESS");
        let progress =
            Progress { summary: Some(format!("The import of the skill package is {status}.")), ..Progress::default() };
        Ok(match status {
            // A package that changes nothing is skipped.
            "SUCCEEDED" | "SKIPPED" => {
                Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() }
            }
            "FAILED" | "ROLLBACK_SUCCEEDED" | "ROLLBACK_FAILED" => {
                let message = format!("The import of the skill package is {status}.{}", reasons(&told));
                failed(progress, error_code::JOB_FAILED, message)
            }
            _ => Outcome::Pending { progress: remember(progress, &Memory { import: Some(id.to_owned()) }) },
        })
    }

    /// Nothing is changed yet: who signs in, and what is to be imported.
    async fn begin(&self) -> Result<Outcome, Outcome> {
        self.token().await?;
        Box::pin(self.package()).await?;
        Ok(waiting("The skill package is to be imported."))
    }

    async fn go_on(&self, memory: Memory) -> Result<Outcome, Outcome> {
        let id = match memory.import {
            Some(id) => id,
            None => match Box::pin(self.import()).await? {
                Some(id) => id,
                None => return Ok(waiting("The skill is being changed; the import waits.")),
            },
        };
        self.look(&id).await
    }
}

fn waiting(summary: &str) -> Outcome {
    let progress = Progress { summary: Some(summary.to_owned()), ..Progress::default() };
    Outcome::Pending { progress: remember(progress, &Memory::default()) }
}

fn not_signed_in(answer: &Answer) -> Outcome {
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let Some(error) = told["error"].as_str().filter(|_| answer.status != 403) else {
        return refused(Progress::default(), "token", &answer.problem(LOGIN));
    };
    let why = told["error_description"].as_str().unwrap_or("It gives no reason.");
    misconfigured(format!(
        "Login with Amazon does not sign in with ClientId, ClientSecret and RefreshToken: {error}: {why}"
    ))
}

/// What an import says of itself, then of each part of the skill.
fn reasons(told: &Value) -> String {
    let of = |list: &Value, about: &str| -> Vec<String> {
        let errors = list.as_array().into_iter().flatten();
        errors
            .map(|error| {
                let code = error["code"].as_str().map_or_else(String::new, |code| format!("{code}: "));
                format!(" {about}{code}{}", error["message"].as_str().unwrap_or("no message"))
            })
            .collect()
    };
    let mut all = of(&told["errors"], "");
    for resource in told["skill"]["resources"].as_array().into_iter().flatten() {
        let name = resource["name"].as_str().unwrap_or("a part");
        all.extend(of(&resource["errors"], &format!("{name}: ")));
    }
    all.concat()
}

#[async_trait]
impl Provider for AlexaSkillsKit {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn service(&self) -> Option<Service> {
        Some(Service::AlexaSkillsKit)
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        match Work::of(self, cx, action) {
            Ok(work) => work.begin().await.unwrap_or_else(|outcome| outcome),
            Err(message) => misconfigured(message),
        }
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, progress: &Progress) -> Outcome {
        match Work::of(self, cx, action) {
            // Without a memory nothing is known of the start, which changed nothing.
            Ok(work) => work.go_on(recall(progress).unwrap_or_default()).await.unwrap_or_else(|outcome| outcome),
            Err(message) => misconfigured(message),
        }
    }

    /// Nothing ends an import.
    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    #[test]
    fn reasons_are_of_the_import_and_of_its_parts() {
        let told = json!({"errors": [{"code": "BAD", "message": "no manifest"}], "skill": {"resources": [
            {"name": "Manifest", "errors": []},
            {"name": "InteractionModel.en-US", "errors": [{"message": "no intents"}]}]}});
        assert_eq!(reasons(&told), " BAD: no manifest InteractionModel.en-US: no intents");
        assert_eq!(reasons(&Value::Null), "");
    }

    #[test]
    fn what_login_says_is_the_users_to_mend() {
        let answer =
            |status: u16, body: &str| Answer { status, headers: BTreeMap::new(), body: body.as_bytes().to_vec() };
        let told = |outcome: Outcome| match outcome {
            Outcome::Failed { error, .. } => (error.code, error.message),
            other => panic!("{other:?}"),
        };
        let (code, message) =
            told(not_signed_in(&answer(400, r#"{"error": "invalid_grant", "error_description": "expired"}"#)));
        assert_eq!(code, "ConfigurationError");
        assert!(message.ends_with("RefreshToken: invalid_grant: expired"), "{message}");
        assert_eq!(told(not_signed_in(&answer(403, "no"))).0, "PermissionError");
        assert_eq!(Kind::AccessDenied, answer(401, "").problem(SMAPI).kind);
    }
}
