//! A PostgreSQL server for one test, with a temporary folder and a free port on the loopback
//! interface. Stopped and removed on drop.

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    folder: PathBuf,
    programs: PathBuf,
    /// The user and group to run as, if the test runs as root, which PostgreSQL refuses.
    user: Option<(u32, u32)>,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server. Returns `None`, with a message on stderr, if PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            // Not `eprintln!`, whose output the test runner hides if the test passes.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: PostgreSQL (`initdb`, `postgres`) is not installed"
            );
            return None;
        };
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "carryall-pg-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut server = Self {
            folder,
            programs,
            user: None,
            port: 0,
            child: None,
        };
        if id(&["-u"]) == Some(0) {
            let user = ["postgres", "nobody"]
                .into_iter()
                .find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)));
            let (user, group) = user.expect("a user that is not root");
            std::os::unix::fs::chown(&server.folder, Some(user), Some(group)).unwrap();
            server.user = Some((user, group));
        }
        let mut initdb = server.command("initdb");
        initdb.args([
            "--username=carryall",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        let output = initdb.arg(server.folder.join("data")).output().unwrap();
        assert!(
            output.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Another process may take the port before the server does.
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            if server.run() {
                return Some(server);
            }
        }
        panic!("the server does not start: {}", server.log());
    }

    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://carryall@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// Stops the server without a clean shutdown, like a crash.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // SIGQUIT is an immediate shutdown, in which the server still ends its child processes and
        // frees its shared memory, unlike with SIGKILL.
        let _ = Command::new("kill")
            .args(["-s", "QUIT", &child.id().to_string()])
            .status();
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Restarts the server on the same port with the same data.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.run() {
            assert!(
                Instant::now() < deadline,
                "the server does not restart: {}",
                self.log()
            );
        }
    }

    /// Starts the process. Returns whether it accepts connections.
    fn run(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let mut run = self.command("postgres");
        run.arg("-D").arg(self.folder.join("data")).args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
        ]);
        run.args([
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=200",
        ]);
        run.stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(run.spawn().unwrap());
        let deadline = Instant::now() + START_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.as_mut().unwrap().try_wait(), Ok(None)) {
                self.child = None;
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stop();
        false
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        // A working directory that the other user can enter.
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .env("LC_ALL", "C");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns the folder with `initdb` and `postgres`: from `PATH`, or where Debian installs them, the
/// newest version first.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders
        .into_iter()
        .find(|folder| has(folder, "initdb") && has(folder, "postgres"))
}

fn has(folder: &Path, program: &str) -> bool {
    folder.join(program).is_file()
}

/// Runs `id`, which prints one number.
fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
