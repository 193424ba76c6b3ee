//! Finds or fetches programs.

use std::fs::{self, File};
use std::io::{Error, Result};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{directories_of_libraries, download, download_backport, install, run};

/// Programs that come from the same packages.
#[derive(Clone, Copy, Debug)]
pub struct Programs {
    /// Debian's packages. The first names the directory into which they are unpacked.
    pub packages: &'static [&'static str],
    /// The name of each program on the path, and its path in the packages. Each prints its version with `--version`.
    pub programs: &'static [(&'static str, &'static str)],
}

impl Programs {
    /// The programs, in their order: on the path, or from the packages. Missing packages are installed where this process has the
    /// right to, or else unpacked in the target directory.
    ///
    /// # Errors
    /// Where none of these works; the error names the packages to install and what was tried.
    pub fn find(&self) -> Result<Vec<PathBuf>> {
        if let Some(programs) = self.present() {
            return Ok(programs);
        }
        let home = in_target(self.packages[0]);
        fs::create_dir_all(&home)?;
        // Several test programs may run at once. One installs while the others wait.
        let lock = File::create(home.join("lock"))?;
        lock.lock()?;
        if let Some(programs) = self.present().or_else(|| self.unpacked(&home)) {
            return Ok(programs);
        }
        let (packages, programs) = (self.packages.join(" "), self.launchers(Path::new("")));
        let programs = programs.map(|name| name.display().to_string()).collect::<Vec<_>>().join(" or ");
        let install = || {
            install(self.packages)?;
            self.present().ok_or_else(|| Error::other(format!("apt-get installed no {packages} that runs")))
        };
        let installed = match install() {
            Ok(programs) => return Ok(programs),
            Err(error) => error,
        };
        self.unpack(&home).map_err(|unpacked| {
            Error::other(format!(
                "{programs} was not found and could not be fetched. Install it so that it is on the path (Debian and \
                 Ubuntu, as root: apt-get update && apt-get install {packages}), and run this again. What was tried: \
                 {installed}; {unpacked}"
            ))
        })
    }

    /// Downloads the packages, unpacks them in `home`, and writes launchers that find their libraries. Needs no rights.
    ///
    /// # Errors
    /// apt-get or dpkg is missing, the download fails, or a library is missing.
    pub fn unpack(&self, home: &Path) -> Result<Vec<PathBuf>> {
        self.unpack_by(home, download)
    }

    /// As [`unpack`](Self::unpack), from Debian's backports.
    ///
    /// # Errors
    /// As [`unpack`](Self::unpack).
    pub fn unpack_backport(&self, home: &Path) -> Result<Vec<PathBuf>> {
        self.unpack_by(home, download_backport)
    }

    fn unpack_by(
        &self,
        home: &Path,
        download: fn(&[&str], &Path, &Path) -> Result<()>,
    ) -> Result<Vec<PathBuf>> {
        for launcher in self.launchers(home).filter(|launcher| launcher.exists()) {
            fs::remove_file(launcher)?;
        }
        let (packages, root) = (home.join("packages"), home.join("root"));
        for old in [&packages, &root] {
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
        }
        fs::create_dir_all(&packages)?;
        download(self.packages, &packages, home)?;
        for package in fs::read_dir(&packages)? {
            run(Command::new("dpkg").arg("-x").arg(package?.path()).arg(&root))?;
        }
        let mut libraries = Vec::new();
        directories_of_libraries(&root, &mut libraries)?;
        let libraries: Vec<_> = libraries.iter().map(|path| path.display().to_string()).collect();
        let mut variables = format!("LD_LIBRARY_PATH='{}'", libraries.join(":"));
        if let Some(fonts) = fonts(home, &root)? {
            variables.push_str(&format!(" FONTCONFIG_FILE='{}'", fonts.display()));
        }
        for (launcher, (_, path)) in self.launchers(home).zip(self.programs) {
            let program = root.join(path);
            let script = format!("#!/bin/sh\n{variables} exec '{}' \"$@\"\n", program.display());
            fs::write(&launcher, script)?;
            fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
            runs(&launcher)
                .map_err(|error| Error::other(format!("the unpacked program does not run: {error}")))?;
        }
        for used in [packages, home.join("apt")] {
            if used.exists() {
                fs::remove_dir_all(used)?;
            }
        }
        Ok(self.launchers(home).collect())
    }

    /// On the path, or where the packages install them: `/usr/sbin` is not on the path of every user.
    fn present(&self) -> Option<Vec<PathBuf>> {
        all_run(self.programs.iter().map(|(name, _)| PathBuf::from(name)))
            .or_else(|| all_run(self.programs.iter().map(|(_, path)| Path::new("/").join(path))))
    }

    fn unpacked(&self, home: &Path) -> Option<Vec<PathBuf>> {
        all_run(self.launchers(home))
    }

    fn launchers(&self, home: &Path) -> impl Iterator<Item = PathBuf> {
        self.programs.iter().map(move |(name, _)| home.join(name))
    }
}

/// The programs, if all of them run.
fn all_run(programs: impl Iterator<Item = PathBuf>) -> Option<Vec<PathBuf>> {
    programs.map(|program| runs(&program).is_ok().then_some(program)).collect()
}

fn runs(program: &Path) -> Result<()> {
    run(Command::new(program).arg("--version")).map(drop)
}

/// Writes a configuration of fontconfig, if the packages have fonts. Chromium aborts on a system without fonts.
fn fonts(home: &Path, root: &Path) -> Result<Option<PathBuf>> {
    let fonts = root.join("usr/share/fonts");
    if !fonts.exists() {
        return Ok(None);
    }
    let path = home.join("fonts.conf");
    let (fonts, cache) = (fonts.display(), home.join("fonts"));
    let text = format!(
        "<?xml version=\"1.0\"?>\n<fontconfig>\n<dir>/usr/share/fonts</dir>\n<dir>{fonts}</dir>\n\
         <cachedir>{}</cachedir>\n</fontconfig>\n",
        cache.display()
    );
    fs::write(&path, text)?;
    Ok(Some(path))
}

/// A directory in the target directory, found from the path of the running program, or in `target` for a doctest.
/// Never a directory that other users can write to, because its content is executed.
#[must_use]
pub fn in_target(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap_or_default();
    let target = here.ancestors().find(|path| path.join("CACHEDIR.TAG").exists());
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    target.map_or_else(usual, Path::to_path_buf).join(name)
}
