//! `cargo xtask keygen`: makes a key for signed ids and cookie-only sessions.

use std::path::PathBuf;

use clap::Args;
use session_state_cookie::{KeyRing, SecretKey};

use crate::Result;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Writes the key in front of those of this file, which is created with mode 0600, instead of printing it
    #[arg(long)]
    ring: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result {
    let key = SecretKey::generate()?;
    let Some(path) = &options.ring else {
        println!("{}", *key.to_text());
        return Ok(());
    };
    let older = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    let ring = format!("{}\n{older}", *key.to_text());
    // A ring that is not valid is an error before the file is changed.
    let keys = KeyRing::from_text(&ring)?.len();
    replace(path, &ring)?;
    println!("{}: {keys} keys, the newest first", path.display());
    Ok(())
}

/// Replaces the file by a rename, so that a reader finds the old ring or the new one.
fn replace(path: &std::path::Path, text: &str) -> Result {
    use std::io::Write as _;
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_grows_in_front_and_stays_valid() {
        let path = std::env::temp_dir().join(format!("session-kit-keygen-{}", std::process::id()));
        let options = Options { ring: Some(path.clone()) };
        let mut first = String::new();
        for keys in 1..=KeyRing::MAX_KEYS {
            run(&options).expect("a key is made");
            let text = std::fs::read_to_string(&path).expect("the file is there");
            assert_eq!(KeyRing::from_file(&path).expect("the ring is valid").len(), keys);
            assert!(text.ends_with(&first), "older keys keep their order");
            first = text;
        }
        assert!(run(&options).is_err(), "the ring is full");
        assert_eq!(std::fs::read_to_string(&path).expect("the file is there"), first);
        std::fs::remove_file(&path).expect("the file is ours");
    }
}
