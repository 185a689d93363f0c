//! The `towpath` command: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use towpath_cli::args::{Cli, Command};
use towpath_cli::{app, assemble};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A build's runner is a small program of its own: no runtime, no logging, nothing to go wrong.
    if let Command::BuildRunner { directory } = &cli.command {
        return assemble::build_runner(directory);
    }
    app::restore_terminal_on_panic();
    app::start_logging(match &cli.command {
        Command::Serve(_) => tracing::Level::INFO,
        _ => tracing::Level::ERROR,
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "this machine gives no threads to run on");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match &cli.command {
            Command::Serve(args) => assemble::serve(args).await,
            command => app::watched(command, &assemble::validate, &assemble::Local).await,
        }
    });
    // What still runs in the background is taken up by the next start; nobody waits for it.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => ExitCode::from(app::tell(&error)),
    }
}
