//! Runs one server process that cannot outlive the test that started it.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Waits on its standard input and kills the process in its argument when that closes.
///
/// The other end is held by the test's process alone, and the system closes it however that process ends: by an
/// abort or a SIGKILL too, when no destructor runs.
const WATCHDOG: &str = r#"read -r _; kill -KILL "$1" 2>/dev/null"#;

/// What it takes to start one server, again and again.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) name: String,
    pub(super) binary: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) folder: PathBuf,
    pub(super) log: PathBuf,
}

impl Launch {
    pub(super) fn spawn(&self) -> Result<Process> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let server = Command::new(&self.binary)
            .args(&self.arguments)
            .args(["--name", &self.name])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}: run ./tests/run.sh", self.binary.display()))?;
        let mut process = Process { server, watchdog: None };
        process.watchdog = Some(
            Command::new("sh")
                .args(["-c", WATCHDOG, "watchdog", &process.id().to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("cannot run sh")?,
        );
        Ok(process)
    }
}

/// A server process; dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub(super) struct Process {
    server: Child,
    watchdog: Option<Child>,
}

/// The signals that a test sends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Terminate,
    Stop,
    Continue,
    Reload,
}

impl Process {
    pub(super) fn id(&self) -> u32 {
        self.server.id()
    }

    pub(super) fn has_ended(&mut self) -> Result<bool> {
        Ok(self.server.try_wait()?.is_some())
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
            Signal::Reload => "HUP",
        };
        // The shell's own `kill`: the standard library has none, and the command of that name is not everywhere.
        let status = Command::new("sh")
            .args(["-c", r#"kill -s "$1" "$2""#, "signal", name, &self.id().to_string()])
            .status()?;
        ensure!(status.success(), "the server could not be sent SIG{name}");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: once the server has been waited for, its id may belong to somebody else. Failing means
        // that the process has ended already, which is all that is wanted here.
        for child in self.watchdog.iter_mut().chain([&mut self.server]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
