//! `towpath worker`: ready-made job workers.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use towpath_model::secret::Secret;
use towpath_model::time::Clock;

use crate::client::{Client, Settings};
use crate::errors::{ExpectedError, exit};
use crate::host::Api;
use crate::limits;
use crate::terminal::Terminal;
use crate::worker::args::{CommandArgs, HttpArgs, JenkinsArgs, WorkerArgs, WorkerCommon, WorkerKind};
use crate::worker::command::CommandWork;
use crate::worker::http::{Description, Http, HttpWork};
use crate::worker::jenkins::{Jenkins, JenkinsWork};
use crate::worker::{Archives, Door, Jobs, Log, Pool, Signals, Store, Work};

/// What a worker needs of the system it runs on.
pub struct Surroundings {
    pub clock: Arc<dyn Clock>,
    pub archives: Archives,
    /// Unlike that of every other worker.
    pub name: String,
}

pub async fn run(args: &WorkerArgs, surroundings: Surroundings, terminal: Terminal) -> Result<u8, ExpectedError> {
    let log = Log::new(terminal);
    match &args.kind {
        WorkerKind::Command(args) => command(args, surroundings, log).await,
        WorkerKind::Http(args) => http(args, surroundings, log).await,
        WorkerKind::Jenkins(args) => jenkins(args, surroundings, log).await,
    }
}

async fn command(args: &CommandArgs, surroundings: Surroundings, log: Log) -> Result<u8, ExpectedError> {
    let door = door(&args.common, args.client_token.as_deref())?;
    let settings = settings(&args.common).await?;
    let work = CommandWork {
        argv: args.argv.clone(),
        base: base(args.work_dir.as_deref())?,
        store: Store::new(&settings, surroundings.archives),
        name: surroundings.name,
        report_every: args.report_every,
        parked: Mutex::new(HashMap::new()),
    };
    let program = args.argv.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    let what = format!("runs `{program}` for {}", described(&args.common, &settings));
    pool(&args.common, door, settings, surroundings.clock, Arc::new(work), log, &what).await
}

async fn http(args: &HttpArgs, surroundings: Surroundings, log: Log) -> Result<u8, ExpectedError> {
    let door = door(&args.common, args.client_token.as_deref())?;
    let file = args.service.display();
    let text = small_file(&args.service, limits::WORKER_DESCRIPTION_BYTES_MAX)
        .map_err(|why| wrong(format!("--service {file}: {why}"), None))?;
    let description = Description::read(&text).map_err(|why| {
        wrong(format!("--service {file}: {why}"), Some("docs/workers.md describes the file".to_owned()))
    })?;
    let secrets = secrets(&description, args.service.parent())?;
    let settings = settings(&args.common).await?;
    let what = format!("drives {} for {}", description.name, described(&args.common, &settings));
    let work = HttpWork {
        description,
        secrets,
        http: Http::default(),
        store: Store::new(&settings, surroundings.archives),
        base: base(None)?,
        report_every: args.report_every,
        login: Mutex::new(None),
    };
    pool(&args.common, door, settings, surroundings.clock, Arc::new(work), log, &what).await
}

/// The secrets that a description names; files are meant from where it is.
fn secrets(description: &Description, directory: Option<&Path>) -> Result<BTreeMap<String, Secret>, ExpectedError> {
    let mut secrets = BTreeMap::new();
    for (name, source) in &description.secrets {
        let missing = |why: String| wrong(format!("the secret {name} of {}: {why}", description.name), None);
        let value = match (&source.env, &source.file) {
            (Some(variable), _) => std::env::var(variable)
                .map_err(|_| missing(format!("the environment variable {variable} is not set, or is no text")))?,
            (None, Some(file)) => {
                let path = directory.map_or_else(|| file.clone(), |directory| directory.join(file));
                let text = small_file(&path, limits::SECRET_FILE_BYTES_MAX);
                text.map_err(|why| missing(format!("{}: {why}", path.display())))?.trim_end().to_owned()
            }
            (None, None) => String::new(),
        };
        if value.is_empty() {
            return Err(missing("it is empty".to_owned()));
        }
        secrets.insert(name.clone(), Secret::new(&value));
    }
    Ok(secrets)
}

fn small_file(path: &Path, most: u64) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(most + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > most { Err(format!("it is larger than {most} bytes")) } else { Ok(text) }
}

fn door(common: &WorkerCommon, client_token: Option<&str>) -> Result<Door, ExpectedError> {
    common
        .door(client_token)
        .map_err(|why| wrong(why.to_owned(), Some("give it with `--client-token` or TOWPATH_CLIENT_TOKEN".to_owned())))
}

async fn jenkins(args: &JenkinsArgs, surroundings: Surroundings, log: Log) -> Result<u8, ExpectedError> {
    let door = args
        .common
        .door(None)
        .map_err(|_| wrong("a worker for Jenkins carries out actions of custom types".to_owned(), None))?;
    let user = match (&args.user, &args.token) {
        (Some(user), Some(token)) => Some((user.clone(), Secret::new(token))),
        (None, None) => None,
        (Some(_), None) => {
            let hint = "make an API token on the user's page of Jenkins and set TOWPATH_JENKINS_TOKEN";
            return Err(wrong("`--user` needs the user's API token".to_owned(), Some(hint.to_owned())));
        }
        (None, Some(_)) => return Err(wrong("an API token needs its `--user`".to_owned(), None)),
    };
    let jenkins = Jenkins::new(&args.url, user).map_err(|why| wrong(format!("--url: {why}"), None))?;
    let settings = settings(&args.common).await?;
    let work = JenkinsWork {
        jenkins,
        store: Store::new(&settings, surroundings.archives),
        base: base(None)?,
        clock: Arc::clone(&surroundings.clock),
        report_every: args.report_every,
    };
    let what = format!("drives Jenkins at {} for {}", args.url, described(&args.common, &settings));
    pool(&args.common, door, settings, surroundings.clock, Arc::new(work), log, &what).await
}

async fn pool(
    common: &WorkerCommon,
    door: Door,
    settings: Settings,
    clock: Arc<dyn Clock>,
    work: Arc<dyn Work>,
    log: Log,
    what: &str,
) -> Result<u8, ExpectedError> {
    let api: Arc<dyn Api> = Arc::new(Client::new(settings, clock));
    let stop = Signals { grace: common.grace }.listen(log.clone())?;
    // Said when it is ready for signals too.
    log.note(what);
    let pool = Pool {
        jobs: Jobs::new(api, common.polling(door)),
        work,
        log: log.clone(),
        concurrency: usize::from(common.concurrency),
        pause: common.poll_every,
        jobs_max: common.jobs.and_then(|jobs| usize::try_from(jobs).ok()),
    };
    pool.run(stop).await?;
    log.note("stopped");
    Ok(exit::SUCCEEDED)
}

async fn settings(common: &WorkerCommon) -> Result<Settings, ExpectedError> {
    let loaded = Settings::load(&common.connection, common.data_dir.as_deref()).await;
    loaded.map_err(|error| wrong(error.to_string(), Some(error.hint())))
}

fn described(common: &WorkerCommon, settings: &Settings) -> String {
    format!(
        "{}/{}/{}/{} at {} in {}",
        common.owner,
        common.category,
        common.provider,
        common.type_version,
        settings.endpoint("codepipeline"),
        settings.region
    )
}

fn base(given: Option<&Path>) -> Result<PathBuf, ExpectedError> {
    let base = given.map_or_else(std::env::temp_dir, Path::to_owned);
    // Commands run elsewhere than the worker, so its place is told in full.
    std::fs::canonicalize(&base)
        .map_err(|error| wrong(format!("cannot use {} for the directories of jobs: {error}", base.display()), None))
}

fn wrong(message: String, hint: Option<String>) -> ExpectedError {
    ExpectedError::System { message, hint, usage: true }
}
