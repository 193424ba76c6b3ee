//! `cargo xtask book`: the documents of the repository as a book.

mod links;
mod pages;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use crate::{Result, cargo};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Checks the links and compiles the programs only, without mdBook
    #[arg(long)]
    check: bool,
}

/// The programs of other libraries that the book shows, in a workspace of its own.
const BEFORE: &str = "book/before";

pub(crate) fn run(options: &Options) -> Result {
    assemble()?;
    before()?;
    cargo::run(&mut cargo::cargo(["test", "--package", "session-book", "--doc"]), false)?;
    if options.check {
        return Ok(());
    }
    let mdbook = match find()? {
        Some(mdbook) => mdbook,
        None => install()?,
    };
    let page = build(&mdbook)?;
    println!("{}", page.display());
    Ok(())
}

/// Builds the HTML only where mdBook is there, because compiling it takes minutes. The programs of the chapters are
/// doctests of the workspace, which the tests run.
pub(crate) fn in_ci() -> Result<Option<String>> {
    assemble()?;
    before()?;
    match find()? {
        Some(mdbook) => build(&mdbook).map(|_| None),
        None => Ok(Some(
            "mdBook is not installed, so only links and programs are checked; `cargo xtask book`".into(),
        )),
    }
}

fn folder() -> Result<PathBuf> {
    Ok(cargo::target()?.join("book"))
}

/// Writes the source of the book to the target directory: the documents in their folders, with links that mdBook follows.
fn assemble() -> Result {
    let folder = folder()?;
    let source = folder.join("src");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    let book = pages::Book::read(cargo::root())?;
    for (path, text) in book.pages()? {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&source))?;
        fs::write(path, text)?;
    }
    fs::copy(cargo::root().join("book/book.toml"), folder.join("book.toml"))?;
    Ok(())
}

fn before() -> Result {
    cargo::run(cargo::cargo(["check"]).args(cargo::standalone(BEFORE)?), false)
}

/// The mdBook on the path, or the one that [`install`] has made.
fn find() -> Result<Option<PathBuf>> {
    let installed = tools()?.join("bin/mdbook");
    let works = |program: &Path| {
        let status =
            Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    Ok([PathBuf::from("mdbook"), installed].into_iter().find(|program| works(program)))
}

fn tools() -> Result<PathBuf> {
    Ok(cargo::target()?.join("tools"))
}

fn install() -> Result<PathBuf> {
    eprintln!("xtask: compiles mdBook, which takes some minutes");
    let mut command =
        cargo::cargo(["install", "mdbook", "--version", "^0.5", "--locked", "--no-default-features"]);
    cargo::run(command.arg("--root").arg(tools()?), true)?;
    find()?.ok_or_else(|| "the installed mdBook does not run".into())
}

/// Returns the first page.
fn build(mdbook: &Path) -> Result<PathBuf> {
    let (folder, html) = (folder()?, folder()?.join("html"));
    cargo::run(Command::new(mdbook).arg("build").arg(&folder).arg("--dest-dir").arg(&html), true)?;
    let broken = links::broken(&html)?;
    if !broken.is_empty() {
        return Err(format!("links of the book lead nowhere:\n{}", broken.join("\n")).into());
    }
    Ok(html.join("index.html"))
}
