//! `carryall completions`: prints completion scripts for shells.

use crate::error::CliError;
use crate::exit::ExitStatus;
use clap_complete::Shell;
use std::io::Write as _;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  carryall completions bash > ~/.local/share/bash-completion/completions/carryall\n  carryall completions zsh > ~/.zfunc/_carryall\n  carryall completions fish > ~/.config/fish/completions/carryall.fish"
)]
pub(crate) struct CompletionsCommand {
    /// Shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

impl CompletionsCommand {
    /// Prints the script for the command line `cli`.
    pub(crate) fn run(&self, mut cli: clap::Command) -> Result<ExitStatus, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut cli, "carryall", &mut script);
        std::io::stdout()
            .lock()
            .write_all(&script)
            .map_err(CliError::output)?;
        Ok(ExitStatus::Ok)
    }
}
