//! A disk that is soon full, for harnesses.

use std::io::{Error, Result};
use std::path::Path;
use std::process::{Command, Output};

/// A file system of its own, in memory and of a few megabytes, for [`Harness::create_bounded`](crate::Harness::create_bounded).
/// Dropping it unmounts it; what is in it is gone then.
#[derive(Debug)]
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts one with room for `bytes`.
    ///
    /// # Errors
    /// Where this process may not mount: then a harness takes a bound of its engine instead.
    pub fn mount(bytes: u64) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let options = format!("size={bytes},mode=700");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(directory.path())
            .output()?;
        if output.status.success() {
            return Ok(Self(directory));
        }
        Err(Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Gives it room for `bytes` from now on.
    ///
    /// # Errors
    /// Where it cannot be mounted anew.
    pub fn resize(&self, bytes: u64) -> Result<()> {
        let options = format!("remount,size={bytes}");
        said(Command::new("mount").args(["-o", &options]).arg(self.0.path()).output()?)
    }

    /// Its root directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn said(output: Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    Err(Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, for a handle that is still being dropped may have files open. Where that fails the directory stays.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
