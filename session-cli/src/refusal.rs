//! The errors of wrong arguments, which repeat no argument that may be an id or a password.

use std::ffi::OsString;

use clap::error::KindFormatter;

/// The message for people. clap's own message repeats wrong arguments. An id or a password may be among them, so the
/// message names the kind of mistake only, unless each argument in it is the name of a verb or an option.
pub(crate) fn text(error: clap::Error, arguments: &[OsString], color: bool) -> String {
    let shown = error.render();
    let plain = shown.to_string();
    if arguments.iter().skip(1).any(|argument| is_repeated(&argument.to_string_lossy(), &plain)) {
        return error.apply::<KindFormatter>().render().to_string();
    }
    if color { shown.ansi().to_string() } else { plain }
}

fn is_repeated(argument: &str, text: &str) -> bool {
    let command = crate::arguments::command();
    let is_verb = command.get_subcommands().any(|verb| verb.get_name() == argument);
    let secret = match argument.strip_prefix("--") {
        Some(option) => option.split_once('=').map_or("", |(_, value)| value),
        None => argument,
    };
    !is_verb && !secret.is_empty() && text.contains(secret)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::Cli;

    fn refused(words: &[&str]) -> String {
        let arguments: Vec<_> =
            std::iter::once("sessionctl").chain(words.iter().copied()).map(OsString::from).collect();
        text(Cli::try_parse_from(&arguments).unwrap_err(), &arguments, false)
    }

    #[test]
    fn wrong_arguments_are_not_repeated() {
        let secret = "hunter2hunter2hunter2hunter2hunt";
        for words in [
            &["ls", "memory:", secret][..],
            &["ls", "memory:", "--passwrd", secret],
            &["purge", "memory:", "--batch", secret],
            &["purge", "memory:", &format!("--batch={secret}")],
            &["ls", "memory:", &format!("--password={secret}")],
            &[secret],
            &["completions", secret],
        ] {
            let text = refused(words);
            assert!(!text.contains(secret) && text.contains("error"), "{text}");
        }
        let text = refused(&["ls", "memory:", "--jsn"]);
        assert!(text.contains("--jsn") && text.contains("--json"), "{text}");
        assert!(refused(&["show", "memory:"]).contains("HANDLE"));
    }
}
