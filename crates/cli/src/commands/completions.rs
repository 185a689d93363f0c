//! `towpath completions`: a script that makes a shell complete the command's words.

use clap::{Args as ClapArgs, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;
use crate::errors::exit;
use crate::terminal::Terminal;

/// Print a script that completes this command in a shell
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = "\
Examples:
  towpath completions bash > ~/.local/share/bash-completion/completions/towpath
  towpath completions zsh > ~/.zfunc/_towpath           with ~/.zfunc in $fpath
  towpath completions fish > ~/.config/fish/completions/towpath.fish
  towpath completions powershell >> $PROFILE")]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

pub fn run(args: &Args, terminal: &mut Terminal) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "towpath", &mut script);
    terminal.result(&String::from_utf8_lossy(&script));
    exit::SUCCEEDED
}
