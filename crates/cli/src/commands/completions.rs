//! `carryall completions`: completion of this very command line, by the shell.

use crate::cli::Cli;
use crate::fail::{Exit, Fail};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::io::Write as _;

/// Print shell completions
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  carryall completions bash > ~/.local/share/bash-completion/completions/carryall\n  carryall completions zsh > ~/.zfunc/_carryall\n  carryall completions fish > ~/.config/fish/completions/carryall.fish"
)]
pub(crate) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<Exit, Fail> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "carryall", &mut script);
        std::io::stdout()
            .lock()
            .write_all(&script)
            .map_err(Fail::output)?;
        Ok(Exit::Ok)
    }
}
