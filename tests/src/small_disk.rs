//! A real file system of a few megabytes that a test can fill.
//!
//! It is a `tmpfs` in a mount namespace of its own, so that it needs no rights on this machine beyond that namespace,
//! and nobody else sees it. A process that waits in the namespace keeps it; this process reaches it below
//! `/proc/<process>/root`, as it would any other folder. It goes with that process, which ends with this one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// Mounts the file system and waits until standard input closes.
const HOLD: &str =
    r#"mount -t tmpfs -o "size=${1}m,mode=0700" skylink-test "$2" && echo mounted && exec cat"#;

/// The two ways to a mount namespace: as root of a user namespace of one's own, or of the whole machine.
const NAMESPACES: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];

/// What is written at a time to fill it.
const BLOCK: [u8; 4096] = [0; 4096];

/// A small file system; it is gone when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    holder: Child,
    folder: PathBuf,
    // Where it is mounted in its namespace; an empty folder for everybody else.
    _mount_point: TempDir,
}

impl SmallDisk {
    /// Makes one of so many megabytes.
    pub fn new(megabytes: u32) -> Result<SmallDisk> {
        let mount_point = TempDir::new()?;
        let mut why = String::new();
        for namespace in NAMESPACES {
            match hold(namespace, megabytes, mount_point.path()) {
                Ok(holder) => {
                    let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
                    let folder = root.join(mount_point.path().strip_prefix("/")?);
                    return Ok(SmallDisk { holder, folder, _mount_point: mount_point });
                }
                Err(error) => why += &format!("\n  unshare {}: {error:#}", namespace.join(" ")),
            }
        }
        bail!(
            "this test fills a real small file system, and none can be mounted here:{why}\n\
             Allow it: in a container, start it with `--cap-add SYS_ADMIN --security-opt seccomp=unconfined \
             --security-opt apparmor=unconfined`; on Ubuntu, `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`; \
             elsewhere `sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000`, or run the test as \
             root. It needs `unshare` and `mount` of util-linux."
        )
    }

    /// Gives its folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Fills it with a file until no more than `left` bytes are free.
    pub fn fill(&self, left: u64) -> Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.ballast())?;
        loop {
            match ballast.write(&BLOCK) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
        let size = ballast.metadata()?.len();
        Ok(ballast.set_len(size.saturating_sub(left))?)
    }

    /// Frees what was filled.
    pub fn free(&self) -> io::Result<()> {
        std::fs::remove_file(self.ballast())
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Starts the process that keeps the file system, and waits until it is mounted.
fn hold(namespace: &[&str], megabytes: u32, mount_point: &Path) -> Result<Child> {
    let mut holder = Command::new("unshare")
        .args(namespace)
        .args(["sh", "-c", HOLD, "hold", &megabytes.to_string()])
        .arg(mount_point)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("can't be run")?;
    let mut said = String::new();
    BufReader::new(holder.stdout.take().context("it is piped")?).read_line(&mut said)?;
    if said != "mounted\n" {
        let mut error = String::new();
        holder.stderr.take().context("it is piped")?.read_to_string(&mut error)?;
        let status = holder.wait()?;
        ensure!(status.success(), "{}", error.trim());
        bail!("it said {said:?}");
    }
    Ok(holder)
}
