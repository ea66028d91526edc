//! A Redis or Valkey server for one test, with a temporary folder and a free port on the loopback
//! interface. Stopped and removed on drop.

use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

pub(crate) struct Server {
    folder: PathBuf,
    program: &'static str,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts one server of each installed program. Prints a message to stderr if there is none.
    pub(crate) fn start_all() -> Vec<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_installed = |program: &&str| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        };
        let servers: Vec<Self> = PROGRAMS
            .into_iter()
            .filter(is_installed)
            .map(Self::start)
            .collect();
        if servers.is_empty() {
            // Not `eprintln!`, whose output the test runner hides if the test passes.
            let _ = writeln!(
                std::io::stderr(),
                "skipped: none of {PROGRAMS:?} is installed"
            );
        }
        servers
    }

    fn start(program: &'static str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "carryall-redis-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut server = Self {
            folder,
            program,
            port: 0,
            child: None,
        };
        // Another process may take the port before the server does.
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            if server.run() {
                return server;
            }
        }
        panic!("{program} does not start: {}", server.log());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Kills the server, like a crash.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Restarts the server on the same port with the same data.
    pub(crate) fn restart(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.run() {
            assert!(
                Instant::now() < deadline,
                "{} does not restart: {}",
                self.program,
                self.log()
            );
        }
    }

    /// Sends a signal: `STOP` suspends the server, `CONT` continues it.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Starts the process. Returns whether it accepts connections.
    fn run(&mut self) -> bool {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let mut run = Command::new(self.program);
        run.args([
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--daemonize",
            "no",
            "--save",
            "",
        ]);
        run.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(&self.folder);
        run.stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
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
