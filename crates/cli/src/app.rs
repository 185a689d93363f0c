//! The way from the process's arguments to an exit code. What a running system is, is passed in: `main` brings the real
//! one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use towpath_model::time::Clock;

use crate::args::{AnswerArgs, ApproveArgs, Command, RejectArgs};
use crate::commands::simulate::args::SimulateArgs;
use crate::commands::validate::{self, Validate};
use crate::commands::{
    approval, approve, completions, connection, history, import, list, logs, retry, rollback, run, simulate, start,
    status, stop, transition,
};
use crate::display::live::restore_cursor;
use crate::env;
use crate::errors::{ExpectedError, exit};
use crate::flow::ask::TerminalAsker;
use crate::flow::{Opener, Surroundings};
use crate::remote::{Remote, RemoteArgs, connect};
use crate::terminal::Terminal;

/// Connects and runs a command over the session, which borrows the client. Only a command that goes on watching takes
/// Ctrl-C for itself; any other ends by it.
macro_rules! session {
    ($args:expr, $watches:expr, $clock:expr, $terminal:expr, |$remote:ident| $run:expr) => {{
        let args: &RemoteArgs = &$args;
        let (client, place) = connect(&args.connection, args.data_dir.as_deref(), $clock).await?;
        let (_quiet, never) = mpsc::channel(1);
        let interrupts = if $watches { interrupts()? } else { never };
        let $remote = Remote::new(&client, place, args.format, $terminal, interrupts);
        $run.await
    }};
}

/// Runs the commands that a person watches. `serve` and the build runner have their own way.
pub async fn watched(
    command: &Command,
    validate: Validate<'_>,
    opener: &dyn Opener,
    clock: Arc<dyn Clock>,
) -> Result<u8, ExpectedError> {
    let mut terminal = Terminal::process();
    match command {
        Command::Validate(args) => {
            let template = args.of_template.options();
            validate::run(&args.path, args.config.as_deref(), &template, args.format, validate, &mut terminal)
        }
        Command::Run(args) => run::run(&args.options(), surroundings(validate, opener)?, terminal).await,
        Command::Approve(ApproveArgs { answer: args, reject }) => {
            answer(args, *reject, validate, opener, clock, terminal).await
        }
        Command::Reject(RejectArgs { answer: args }) => answer(args, true, validate, opener, clock, terminal).await,
        Command::Completions(args) => Ok(completions::run(args, &mut terminal)),
        Command::List(args) => session!(args.remote, false, clock, terminal, |remote| list::run(args, remote)),
        Command::Status(args) => session!(args.remote, args.watch, clock, terminal, |remote| status::run(args, remote)),
        Command::History(args) => session!(args.remote, false, clock, terminal, |remote| history::run(args, remote)),
        Command::Logs(args) => session!(args.remote, args.follow, clock, terminal, |remote| logs::run(args, remote)),
        Command::Start(args) => session!(args.remote, args.watch, clock, terminal, |remote| start::run(args, remote)),
        Command::Retry(args) => session!(args.remote, args.watch, clock, terminal, |remote| retry::run(args, remote)),
        Command::Stop(args) => session!(args.remote, false, clock, terminal, |remote| stop::run(args, remote)),
        Command::Rollback(args) => {
            session!(args.remote, args.watch, clock, terminal, |remote| rollback::run(args, remote))
        }
        Command::Enable(args) => {
            session!(args.which.remote, false, clock, terminal, |remote| transition::enable(args, remote))
        }
        Command::Disable(args) => {
            session!(args.which.remote, false, clock, terminal, |remote| transition::disable(args, remote))
        }
        Command::Import(args) => {
            let (client, _) = connect(&args.connection, args.data_dir.as_deref(), clock).await?;
            let settings = client.settings();
            let (url, region) = (settings.endpoint("codepipeline"), settings.region.clone());
            let place = import::Place { target: &client, url: &url, region: &region };
            import::run(&args.request(), &place, &mut terminal).await
        }
        Command::Connection(args) => {
            session!(args.remote(), false, clock, terminal, |remote| connection::run(args, remote))
        }
        Command::Simulate(_)
        | Command::Serve(_)
        | Command::Worker(_)
        | Command::BuildRunner { .. }
        | Command::FunctionRunner { .. } => Err(ExpectedError::System {
            message: "this command is not one to watch".to_owned(),
            hint: None,
            usage: true,
        }),
    }
}

/// An answer goes to a server, or to what a run left on this machine.
async fn answer(
    args: &AnswerArgs,
    reject: bool,
    validate: Validate<'_>,
    opener: &dyn Opener,
    clock: Arc<dyn Clock>,
    terminal: Terminal,
) -> Result<u8, ExpectedError> {
    if args.path().is_none() {
        let options = args.options(reject);
        let remote = RemoteArgs {
            format: args.common.format,
            connection: args.connection.clone(),
            data_dir: args.common.data_dir.clone(),
        };
        return session!(remote, options.watch, clock, terminal, |remote| approval::run(&options, remote));
    }
    if args.execution.is_some() {
        return Err(ExpectedError::Unclear {
            message: "`--execution` names an execution of a server's pipeline, and this is a path".to_owned(),
            hint: "leave it out: the oldest approval that waits is answered".to_owned(),
        });
    }
    approve::run(&args.run_options(reject), surroundings(validate, opener)?, terminal).await
}

/// Rehearses a definition. Nothing is called, so nothing is waited for either.
pub fn simulated(
    args: &SimulateArgs,
    validate: Validate<'_>,
    rehearse: simulate::Rehearse<'_>,
) -> Result<u8, ExpectedError> {
    simulate::run(&args.options(), validate, rehearse, &mut Terminal::process())
}

fn surroundings<'a>(validate: Validate<'a>, opener: &'a dyn Opener) -> Result<Surroundings<'a>, ExpectedError> {
    Ok(Surroundings { validate, opener, asker: &TerminalAsker, interrupts: interrupts()? })
}

/// The first Ctrl-C (or SIGTERM) becomes a message; the second leaves at once, whatever the process is busy with.
fn interrupts() -> Result<mpsc::Receiver<()>, ExpectedError> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |e: std::io::Error| ExpectedError::System {
        message: format!("cannot listen for Ctrl-C: {e}"),
        hint: None,
        usage: false,
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        static SEEN: AtomicBool = AtomicBool::new(false);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if SEEN.swap(true, Ordering::SeqCst) {
                restore_cursor();
                std::process::exit(i32::from(exit::INTERRUPTED));
            }
            let _ = send.send(()).await;
        }
    });
    Ok(receive)
}

/// Logs to stderr, as TOWPATH_LOG says, else from the given level up.
pub fn start_logging(default: tracing::Level) {
    use std::io::IsTerminal as _;

    use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let colours = std::io::stderr().is_terminal() && std::env::var_os(env::NO_COLOR).is_none();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(lines);
    match std::env::var(env::LOG) {
        Ok(directives) => registry.with(EnvFilter::new(directives)).init(),
        // Without directives there is nothing to parse: a run of a few milliseconds notices. The S3 protocol library
        // reports every refused request as its own error; whoever was refused has been told.
        Err(_) => registry.with(Targets::new().with_default(default).with_target("s3s", LevelFilter::OFF)).init(),
    }
}

/// A panic in the middle of a frame must not leave the terminal without its cursor.
pub fn restore_terminal_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore_cursor();
        before(info);
    }));
}

/// Tells an expected error on stderr and answers its exit code.
pub fn tell(error: &ExpectedError) -> u8 {
    let mut terminal = Terminal::process();
    let drawing = terminal.drawing_err();
    for report in error.reports() {
        terminal.note(&report.draw(drawing));
    }
    terminal.note(&error.render());
    error.exit_code()
}
