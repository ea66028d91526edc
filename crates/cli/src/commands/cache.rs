//! `carryall cache`: what has been found out about the eras of servers.

use crate::era;
use crate::fail::{Exit, Fail};
use crate::render;
use crate::screen::{Format, Output, OutputOptions};
use serde_json::{Value, json};
use std::io;
use std::path::Path;

const ABOUT: &str = "\
Which revision of the protocol a server speaks is found out once and kept for seven days, in eras.json below the
user's cache folder. An era that was demanded with --era is neither read from there nor kept. An entry that proves
wrong is dropped.";

/// Show or clear what is remembered about servers
#[derive(Debug, clap::Args)]
#[command(after_help = ABOUT, arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cache {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show the servers whose era is remembered
    Show {
        #[command(flatten)]
        screen: OutputOptions,
    },
    /// Forget all of them
    Clear {
        #[command(flatten)]
        screen: OutputOptions,
    },
}

impl Cache {
    /// How this command prints.
    pub(crate) fn screen(&self) -> OutputOptions {
        let (Action::Show { screen } | Action::Clear { screen }) = &self.action;
        *screen
    }

    pub(crate) fn run(&self) -> Result<Exit, Fail> {
        let screen = Output::new(self.screen());
        let Some(file) = era::cache_file() else {
            return Err(Fail::new(
                Exit::Local,
                "this user has no cache folder: HOME and XDG_CACHE_HOME are not set",
            ));
        };
        match &self.action {
            Action::Show { .. } => show(&file, screen),
            Action::Clear { .. } => clear(&file, screen),
        }
    }
}

fn show(file: &Path, screen: Output) -> Result<Exit, Fail> {
    let known: Value = match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(error) if is_absent(&error) => Value::Null,
        Err(error) => {
            return Err(Fail::new(
                Exit::Local,
                format!("cannot read {}: {error}", file.display()),
            ));
        }
    };
    let servers = known
        .get("servers")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if screen.format == Format::Json {
        screen.json(&json!({"file": file.display().to_string(), "servers": servers}))?;
        return Ok(Exit::Ok);
    }
    if servers.is_empty() {
        screen.note(&format!("Nothing is remembered in {}.", file.display()));
        return Ok(Exit::Ok);
    }
    let text_of =
        |entry: &Value, member: &str| entry[member].as_str().unwrap_or_default().to_owned();
    let rows = servers
        .into_iter()
        .map(|(server, entry)| [server, text_of(&entry, "version"), text_of(&entry, "why")]);
    screen.print(&render::table(&screen, ["SERVER", "VERSION", "WHY"], rows))?;
    Ok(Exit::Ok)
}

fn clear(file: &Path, screen: Output) -> Result<Exit, Fail> {
    match std::fs::remove_file(file) {
        Ok(()) => screen.note(&format!(
            "{} is removed: eras are found out anew.",
            file.display()
        )),
        Err(error) if is_absent(&error) => screen.note("Nothing was remembered."),
        Err(error) => {
            return Err(Fail::new(
                Exit::Local,
                format!("cannot remove {}: {error}", file.display()),
            ));
        }
    }
    Ok(Exit::Ok)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
