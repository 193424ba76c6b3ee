//! `cargo xtask keygen`: makes a key for signed ids and cookie-only sessions.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use session_state_cookie::{KeyRing, SecretKey};

use crate::Result;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Writes the key in front of those of this file instead of printing it. A new file has mode 0600; a file that exists
    /// keeps its mode, owner and links
    #[arg(long)]
    ring: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result {
    let key = SecretKey::generate()?;
    let Some(path) = &options.ring else {
        println!("{}", *key.to_text());
        return Ok(());
    };
    let keys = add(&key, path).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}: {keys} keys, the newest first", path.display());
    Ok(())
}

/// Puts the key in front of those of the file and returns how many there are then.
fn add(key: &SecretKey, path: &Path) -> Result<usize> {
    let target = resolve(path)?;
    let mut new = NewFile::create(&target)?;
    // The new file is the lock, so no other run replaces the ring from here on.
    let mut older = String::new();
    match File::open(&target) {
        Ok(mut file) => {
            file.read_to_string(&mut older)?;
            new.keep_access_of(&file)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let ring = format!("{}\n{older}", *key.to_text());
    // A ring that is not valid is an error before the file is changed.
    let keys = KeyRing::from_text(&ring)?.len();
    new.replace(&target, &ring)?;
    Ok(keys)
}

/// The file that a link points to, so that the link stays.
fn resolve(path: &Path) -> Result<PathBuf> {
    match std::fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Err(_) => match std::fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() => Err("link points to no file".into()),
            // Another run may have made the file since the first look.
            _ => Ok(std::path::absolute(path)?),
        },
    }
}

/// The next content of the ring beside it. A run that fails removes it.
struct NewFile {
    file: File,
    path: PathBuf,
    renamed: bool,
}

impl NewFile {
    fn create(target: &Path) -> Result<Self> {
        let mut path = OsString::from(target);
        path.push(".new");
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => Ok(Self { file, path, renamed: false }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(format!(
                "{} exists: another run changes the ring, or one was interrupted; if no other runs, remove this file",
                path.display()
            )
            .into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the new file the owner, group and mode of the old one, so that the same programs can read it.
    #[cfg(unix)]
    fn keep_access_of(&self, old: &File) -> Result {
        use std::os::unix::fs::{MetadataExt as _, fchown};
        let (old, new) = (old.metadata()?, self.file.metadata()?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&self.file, Some(old.uid()), Some(old.gid())).map_err(|error| {
                format!("owner {}:{} cannot be kept: {error}; run as this owner", old.uid(), old.gid())
            })?;
        }
        Ok(self.file.set_permissions(old.permissions())?)
    }

    /// The directory decides there who can read a file.
    #[cfg(not(unix))]
    fn keep_access_of(&self, _: &File) -> Result {
        Ok(())
    }

    /// Replaces the ring by a rename, so that a reader or a crash finds the old ring or the new one.
    fn replace(&mut self, target: &Path, text: &str) -> Result {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        std::fs::rename(&self.path, target)?;
        self.renamed = true;
        #[cfg(unix)]
        File::open(target.parent().unwrap_or(Path::new("/")))?.sync_all()?;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
