//! `towpath run`: the whole pipeline, now, on this machine, in front of the user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;
use towpath_model::declaration::PipelineDeclaration;

use super::validate::{Checked, Format, check_as};
use crate::display::model::State;
use crate::display::{Display, End};
use crate::errors::{ExpectedError, exit};
use crate::file::template;
use crate::flow::follow::{Approve, Follow, Outcome};
use crate::flow::prepare::{Preparation, check_arguments};
use crate::flow::summary::{Place, Summary, deployed, quoted};
use crate::flow::{OpenOptions, Surroundings, data_directory, trees};
use crate::host::Host;
use crate::terminal::Terminal;

#[derive(Debug, Clone)]
pub struct Options {
    pub path: PathBuf,
    pub approve: Option<Approve>,
    pub variables: BTreeMap<String, String>,
    pub sources: BTreeMap<String, PathBuf>,
    pub format: Format,
    pub data_dir: Option<PathBuf>,
    pub config: Option<PathBuf>,
    pub template: template::Options,
}

pub async fn run(
    options: &Options,
    mut surroundings: Surroundings<'_>,
    mut terminal: Terminal,
) -> Result<u8, ExpectedError> {
    let checked = check_as(&options.path, options.config.as_deref(), &options.template, surroundings.validate)?;
    warn(&checked, &mut terminal);
    check_arguments(&checked.file.declaration, &options.sources, &options.variables)?;
    trees::check(&checked.file.declaration, &options.sources, &checked.config.config)?;
    let approve = approve_mode(options.approve, &terminal)?;
    let data = data_directory(options.data_dir.as_deref(), &checked.location.directory)?;
    let host = surroundings.opener.open(&open_options(&checked, &data, &options.sources)).await?;
    let preparation = Preparation {
        host: &*host,
        checked: &checked,
        data: &data,
        sources: &options.sources,
        variables: &options.variables,
    };
    let prepared = preparation.run().await?;
    let json = options.format == Format::Json;
    if !json {
        let redacted = terminal.redacted;
        prepared.sources.iter().for_each(|note| terminal.result(&note.text(redacted)));
    }
    let declaration = &checked.file.declaration;
    let display = Display::new(declaration, &prepared.execution, json, terminal);
    let command = approve_command(&options.path, options.data_dir.as_deref(), &options.template);
    let follow = Follow::new(
        &*host,
        declaration.name.as_str(),
        display,
        approve,
        surroundings.asker,
        &mut surroundings.interrupts,
        command,
    );
    let code = conclude(follow, declaration, place(&checked, &data)).await;
    host.shutdown().await;
    code
}

/// Follows to the end and tells what came of it.
pub async fn conclude(
    mut follow: Follow<'_>,
    declaration: &PipelineDeclaration,
    place: Place<'_>,
) -> Result<u8, ExpectedError> {
    let outcome = follow.run().await?;
    let now = follow.host.now();
    let (state, message, code) = match &outcome {
        Outcome::Ended(State::Succeeded) => ("SUCCEEDED", None, exit::SUCCEEDED),
        Outcome::Ended(State::Failed) => ("FAILED", failure(&follow), exit::FAILED),
        Outcome::Ended(State::Superseded) => ("SUPERSEDED", follow.display.model.summary.clone(), exit::WAITING),
        Outcome::Ended(State::Cancelled) => ("CANCELED", follow.display.model.summary.clone(), exit::WAITING),
        Outcome::Ended(_) => ("STOPPED", follow.display.model.summary.clone(), exit::WAITING),
        Outcome::Waiting(why) => {
            ("WAITING", Some(format!("{}; to approve: {}", why.trim_end(), follow.approve_command)), exit::WAITING)
        }
        Outcome::Closed(why) => ("WAITING", Some(why.clone()), exit::WAITING),
        Outcome::Interrupted => ("STOPPED", Some("interrupted".to_owned()), exit::INTERRUPTED),
    };
    follow.display.end(End { time: now, state, message: message.as_deref() });
    let text = match &outcome {
        Outcome::Waiting(why) => format!("\nWaiting: {why}To approve and go on:\n  {}\n", follow.approve_command),
        Outcome::Closed(why) => format!(
            "\nWaiting: {why}\nTo let it go on, serve the same data and enable the transition:\n  {}\n  {} aws codepipeline \
             enable-stage-transition --pipeline-name {} --transition-type Inbound --stage-name ...\n",
            place.serve(),
            place.client(),
            declaration.name
        ),
        Outcome::Ended(_) | Outcome::Interrupted => {
            // The deployments are asked for only where there can be any.
            let deploys = super::validate::actions(declaration)
                .any(|a| a.action_type_id.category.as_str() == "Deploy" && a.action_type_id.provider == "S3");
            let records = if deploys { follow.records().await.unwrap_or_default() } else { Vec::new() };
            let deployed = deployed(&records);
            let model = &follow.display.model;
            Summary { model, now, deployed: &deployed, logs: &follow.finished, place }.text()
        }
    };
    if !follow.display.is_json() {
        follow.display.terminal.result(&text);
    }
    Ok(code)
}

fn failure(follow: &Follow<'_>) -> Option<String> {
    let (stage, action) = follow.display.model.failure()?;
    let reason = action.reason.as_deref().unwrap_or("no reason given");
    Some(format!("{}/{}: {reason}", stage.name, action.name))
}

/// Warnings do not stop a run; they are told once, before it.
pub fn warn(checked: &Checked, terminal: &mut Terminal) {
    let drawing = terminal.drawing_err();
    for report in &checked.reports {
        terminal.note(&report.draw(drawing));
    }
}

pub fn approve_mode(asked: Option<Approve>, terminal: &Terminal) -> Result<Approve, ExpectedError> {
    match asked {
        Some(Approve::Ask) if !terminal.can_ask => Err(ExpectedError::AskWithoutTerminal),
        Some(mode) => Ok(mode),
        None if terminal.can_ask => Ok(Approve::Ask),
        None => Ok(Approve::None),
    }
}

/// `sources` are those of `--source`.
pub fn open_options(checked: &Checked, data: &Path, sources: &BTreeMap<String, PathBuf>) -> OpenOptions {
    OpenOptions {
        data_dir: data.to_owned(),
        account: checked.account.clone(),
        region: checked.region.clone(),
        config: checked.config.config.clone(),
        trees: trees::standing_in(&checked.file.declaration, sources, &checked.config.config),
        config_dir: checked.config.directory.clone(),
    }
}

pub fn place<'a>(checked: &'a Checked, data: &'a Path) -> Place<'a> {
    Place { data, account: &checked.account, region: &checked.region }
}

/// The command that answers the approval that a run was left at.
pub fn approve_command(path: &Path, data_dir: Option<&Path>, template: &template::Options) -> String {
    let data = data_dir.map(|d| format!(" --data-dir {}", quoted(d))).unwrap_or_default();
    let given = template.words().into_iter().map(|(option, value)| format!(" {option} {}", quoted(Path::new(&value))));
    // What might be taken for a pipeline's name is made a path in plain sight.
    let path = if crate::args::is_path(path) { path.to_owned() } else { Path::new(".").join(path) };
    format!("towpath approve {}{data}{}", quoted(&path), given.collect::<String>())
}

/// The declaration that the stored pipeline has now.
pub async fn stored_declaration(host: &dyn Host, name: &str) -> Result<PipelineDeclaration, ExpectedError> {
    let answer = host.call("codepipeline", "GetPipeline", json!({"name": name})).await;
    let answer = answer.map_err(ExpectedError::api(format!("find the pipeline `{name}`")))?;
    serde_json::from_value(answer["pipeline"].clone()).map_err(|e| ExpectedError::System {
        message: format!("the stored pipeline `{name}` cannot be read: {e}"),
        hint: None,
        usage: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_approves_can_be_pasted() {
        let none = template::Options::default();
        assert_eq!(approve_command(Path::new("examples/a"), None, &none), "towpath approve examples/a");
        assert_eq!(
            approve_command(Path::new("my pipe's"), Some(Path::new("/tmp/d")), &none),
            r"towpath approve './my pipe'\''s' --data-dir /tmp/d"
        );
        let given = template::Options { parameters: vec![("Title".into(), "a b".into())], ..none };
        assert_eq!(
            approve_command(Path::new("t.yaml"), None, &given),
            "towpath approve t.yaml --parameter 'Title=a b'"
        );
    }
}
