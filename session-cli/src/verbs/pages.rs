//! `completions` and `man`: text about the program itself.

use std::io::{self, ErrorKind, Write as _};

use crate::arguments::{Completions, Man, command};
use crate::failure::{Exit, Failure, Result};

pub(crate) fn completions(options: &Completions) -> Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut command(), "sessionctl", &mut text);
    print(&text)
}

pub(crate) fn man(options: &Man) -> Result<Exit> {
    if let Some(directory) = &options.directory {
        clap_mangen::generate_to(command(), directory)
            .map_err(Failure::file(directory.display().to_string()))?;
        return Ok(Exit::Done);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(command()).render(&mut text).map_err(Failure::file("manual page"))?;
    print(&text)
}

fn print(text: &[u8]) -> Result<Exit> {
    let mut output = io::stdout();
    match output.write_all(text).and_then(|()| output.flush()) {
        Ok(()) => Ok(Exit::Done),
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Err(Failure::NoReader),
        Err(cause) => Err(Failure::file("standard output")(cause)),
    }
}
