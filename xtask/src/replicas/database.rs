//! Databases for the run, started in a folder on a free port and stopped when dropped.

use crate::process::{ChildGroup, exists, log_to};
use crate::{CommandResult, net, process};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A database server that can be restarted.
pub(super) struct DatabaseServer {
    dir: PathBuf,
    /// The data folder of Postgres, removed when dropped.
    data: PathBuf,
    kind: DatabaseKind,
    port: u16,
    url: String,
    running: Option<ChildGroup>,
}

#[derive(Clone, Copy)]
enum DatabaseKind {
    Postgres,
    Redis,
}

impl DatabaseServer {
    pub(super) fn start(store: &str, dir: &Path) -> CommandResult<Self> {
        let port = net::free_port()?;
        let (kind, url) = match store {
            "postgres" => (
                DatabaseKind::Postgres,
                format!("postgres://carryall@127.0.0.1:{port}/postgres"),
            ),
            "redis" => (DatabaseKind::Redis, format!("redis://127.0.0.1:{port}/")),
            other => return Err(format!("--store {other}: postgres or redis")),
        };
        // The user that Postgres runs as may have no access to the target folder.
        let data = std::env::temp_dir().join(format!("carryall-replicas-{port}"));
        let mut server = Self {
            dir: dir.to_owned(),
            data,
            kind,
            port,
            url,
            running: None,
        };
        if matches!(kind, DatabaseKind::Postgres) {
            init_data(&server.data)?;
        }
        server.run()?;
        Ok(server)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Shuts the database down cleanly, so that it keeps acknowledged writes, and starts it again.
    pub(super) fn restart(&mut self) -> CommandResult {
        if let Some(mut running) = self.running.take() {
            running.signal("INT");
            if running.wait(Duration::from_secs(30)).is_none() {
                return Err("the database does not shut down".to_owned());
            }
        }
        self.run()
    }

    fn run(&mut self) -> CommandResult {
        let port = self.port.to_string();
        let mut command = match self.kind {
            DatabaseKind::Postgres => {
                let mut command = as_postgres(&postgres("postgres")?);
                command
                    .arg("-D")
                    .arg(&self.data)
                    .args(["-h", "127.0.0.1", "-p", &port, "-k", ""]);
                command
            }
            DatabaseKind::Redis => {
                let name = ["valkey-server", "redis-server"]
                    .into_iter()
                    .find(|name| exists(name));
                let name = name.ok_or(
                    "neither valkey-server nor redis-server is installed (Debian: apt-get install redis-server)",
                )?;
                let mut command = Command::new(name);
                command.args([
                    "--bind",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--save",
                    "",
                    "--appendonly",
                    "yes",
                ]);
                command.arg("--dir").arg(&self.dir);
                command
            }
        };
        let log = self.dir.join("database.log");
        log_to(&mut command, &log)?;
        let mut group = ChildGroup::spawn(&mut command)?;
        net::wait_until_listening(&mut group, self.port, &log)?;
        self.running = Some(group);
        Ok(())
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        self.running = None;
        if self.data.exists() {
            drop(std::fs::remove_dir_all(&self.data));
        }
    }
}

/// Creates a data folder. Postgres refuses to run as root, so as root the folder belongs to the user
/// `postgres` of the Debian package.
fn init_data(data: &Path) -> CommandResult {
    std::fs::create_dir_all(data).map_err(|error| format!("{}: {error}", data.display()))?;
    if is_root()? {
        process::run(Command::new("chown").arg("postgres:").arg(data))?;
    }
    let mut command = as_postgres(&postgres("initdb")?);
    command
        .arg("-D")
        .arg(data)
        .args(["-U", "carryall", "--auth", "trust", "--no-sync"]);
    process::output(&mut command).map(drop)
}

/// Returns the path of a Postgres program. Debian has a folder for each version.
fn postgres(program: &str) -> CommandResult<PathBuf> {
    if exists(program) {
        return Ok(program.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(program))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found
        .pop()
        .ok_or_else(|| format!("{program} is not installed (Debian: apt-get install postgresql)"))
}

fn as_postgres(program: &Path) -> Command {
    if !is_root().unwrap_or(false) {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
        ])
        .arg(program);
    command
}

fn is_root() -> CommandResult<bool> {
    process::output(Command::new("id").arg("-u")).map(|id| id.trim() == "0")
}
