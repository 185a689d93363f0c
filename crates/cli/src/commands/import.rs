//! `towpath import`: what a CloudFormation template or a CDK app says about pipelines, shown, then created through the
//! public API. What it makes of a template is decided in `template`; here it is asked, shown and sent.

mod action_type;
pub mod args;
mod bucket;
mod managed_policy;
mod pipeline;
mod project;
mod role;
mod show;
mod webhook;
mod work;

use std::path::PathBuf;

use serde_json::json;

use self::show::Shown;
use self::work::{Change, LookError, Work, look};
use super::validate::Format;
use crate::errors::{ExpectedError, exit};
use crate::file;
use crate::file::template::{self, Options};
use crate::host::{ApiError, Target};
use crate::template::{Kind, Plan, Planned, plan};
use crate::terminal::Terminal;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path} is no CloudFormation template")]
    NotATemplate {
        path: PathBuf,
        /// Something was asked that only templates have.
        asked: bool,
    },
    #[error("the app has no stack `{name}`")]
    NoStack { name: String, known: Vec<String> },
    #[error("the template has no pipeline")]
    NoPipeline,
    #[error("the template has no pipeline `{name}`")]
    NoSuchPipeline { name: String, known: Vec<String> },
    #[error("the template has several pipelines")]
    SeveralPipelines { known: Vec<String> },
    #[error("nothing of the template is for pipelines")]
    Nothing,
    #[error("the app is made for {app}, and this is {here}")]
    OtherRegion { app: String, here: String },
    #[error("nothing was created: nobody said yes")]
    Unconfirmed,
    #[error("cannot look for the {what}")]
    Look { what: String, source: LookError },
    #[error("cannot {doing}")]
    Make { doing: String, source: ApiError },
}

impl ImportError {
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Look { source: LookError::Api(_) | LookError::ForeignBucket(_), .. } | Self::Make { .. } => {
                exit::FAILED
            }
            _ => exit::USAGE,
        }
    }

    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotATemplate { asked: true, .. } => {
                "parameters, imports, attributes and names of stacks and pipelines are for templates".to_owned()
            }
            Self::NotATemplate { .. } => "a pipeline file is run with `towpath run`".to_owned(),
            Self::NoStack { known, .. } | Self::NoSuchPipeline { known, .. } => format!("it has {}", known.join(", ")),
            Self::SeveralPipelines { known } => {
                format!("choose one with `--pipeline NAME`: {}", known.join(", "))
            }
            Self::NoPipeline => "it needs a resource of the type AWS::CodePipeline::Pipeline".to_owned(),
            Self::Nothing => "it needs an AWS::CodePipeline::Pipeline or an AWS::CodeBuild::Project".to_owned(),
            Self::OtherRegion { app, .. } => format!("import it with `--region {app}`"),
            Self::Unconfirmed => "give --yes, or --dry-run to look only".to_owned(),
            Self::Look { source: LookError::ActionTypeChanged(_), .. } => {
                "give it another Version in the template: AWS does not change the settings of a version".to_owned()
            }
            Self::Look { source: LookError::ForeignBucket(_), .. } => "choose another BucketName".to_owned(),
            Self::Look { .. } => return None,
            Self::Make { .. } => "what was made before this stays; import again once it is repaired".to_owned(),
        })
    }
}

#[derive(Debug, Clone)]
pub struct Request {
    pub path: PathBuf,
    pub yes: bool,
    pub dry_run: bool,
    pub format: Format,
    pub template: Options,
}

/// Where it is imported into, as the user sees it.
pub struct Place<'a> {
    pub target: &'a dyn Target,
    pub url: &'a str,
    pub region: &'a str,
}

/// The command.
pub async fn run(request: &Request, place: &Place<'_>, terminal: &mut Terminal) -> Result<u8, ExpectedError> {
    let location = file::find(&request.path)?;
    let Some(templates) = template::read(&location, &request.template)? else {
        return Err(ImportError::NotATemplate { path: location.file, asked: false }.into());
    };
    if let Some(app) = templates.region.as_ref().filter(|app| *app != place.region) {
        return Err(ImportError::OtherRegion { app: app.clone(), here: place.region.to_owned() }.into());
    }
    let caller = place.target.call("sts", "GetCallerIdentity", json!({})).await;
    let caller = caller.map_err(ExpectedError::api(format!("ask {} who is calling", place.url)))?;
    let account = caller["Account"].as_str().unwrap_or_default().to_owned();
    let inputs = request.template.inputs(&account, place.region);
    let plan = plan(&templates.stacks, &inputs).map_err(|reports| ExpectedError::Definition { reports })?;
    if plan.items.is_empty() {
        return Err(ImportError::Nothing.into());
    }
    let mut works = Vec::new();
    for item in &plan.items {
        works.push(inspected(place.target, &plan, item, place.region).await?);
    }
    let shown = Shown {
        stacks: &templates.stacks,
        plan: &plan,
        works: &works,
        account: &account,
        region: place.region,
        place: place.url,
    };
    let json = request.format == Format::Json;
    if !json {
        terminal.result(&shown.text());
        if let Some(app) = templates.account.filter(|app| *app != account) {
            terminal.note(&format!("note: the app was synthesised for account {app}; this is account {account}\n"));
        }
    }
    let tell = |done: bool, terminal: &mut Terminal| {
        if json {
            terminal.result(&format!("{:#}\n", shown.json(done)));
        }
    };
    if request.dry_run || shown.is_done() {
        tell(shown.is_done(), terminal);
        return Ok(exit::SUCCEEDED);
    }
    let agreed = request.yes || (terminal.can_ask && confirmed(terminal).await);
    if !agreed {
        return Err(ImportError::Unconfirmed.into());
    }
    for (item, work) in plan.items.iter().zip(&works) {
        make(place.target, item, work).await?;
        if !json && work.change != Change::Keep {
            let did = if work.change == Change::Create { "created" } else { "updated" };
            terminal.note(&format!("{did} {} {}\n", item.kind.words(), item.name));
        }
    }
    tell(true, terminal);
    Ok(exit::SUCCEEDED)
}

/// Asks on the terminal; anything but yes is no.
async fn confirmed(terminal: &mut Terminal) -> bool {
    terminal.note("Create this? [y/N] ");
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = read.await.ok().and_then(Result::ok).unwrap_or_default();
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

async fn inspected(target: &dyn Target, plan: &Plan, item: &Planned, region: &str) -> Result<Work, ImportError> {
    let what = format!("{} `{}`", item.kind.words(), item.name);
    look(target, plan, item, region).await.map_err(|source| ImportError::Look { what, source })
}

async fn make(target: &dyn Target, item: &Planned, work: &Work) -> Result<(), ImportError> {
    for call in &work.calls {
        call.make(target).await.map_err(|source| {
            let doing =
                format!("{} the {} `{}` ({})", work.change.words(), item.kind.words(), item.name, call.operation());
            ImportError::Make { doing, source }
        })?;
    }
    Ok(())
}

/// Makes a plan's resources without a word, for a run.
pub async fn provide(target: &dyn Target, plan: &Plan, region: &str) -> Result<(), ExpectedError> {
    for item in plan.items.iter().filter(|item| !matches!(item.kind, Kind::Pipeline | Kind::Webhook)) {
        let work = inspected(target, plan, item, region).await?;
        make(target, item, &work).await?;
    }
    Ok(())
}
