//! Child processes of a test: the test binary runs itself again.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::settings::CHILD_ARGS;

/// A child process that runs one test of this test binary. Dropping it kills it.
///
/// ```no_run
/// use session_conformance::testing::{ChildProcess, child_args, say};
///
/// // #[test]
/// fn a_killed_writer_loses_no_acknowledged_write() {
///     let test = "a_killed_writer_loses_no_acknowledged_write";
///     if let Some(args) = child_args(test) {
///         // This process is the child: args[0] is "sessions.db".
///         return say("wrote 1");
///     }
///     let mut child = ChildProcess::spawn(test, &["sessions.db"]);
///     let first = child.wait_for("wrote ");
///     let later = child.kill();
/// }
/// ```
#[derive(Debug)]
pub struct ChildProcess {
    process: Child,
    lines: BufReader<ChildStdout>,
}

/// The arguments that the parent gave, if this process is a child that runs `test`; `None` in the parent.
#[must_use]
pub fn child_args(test: &str) -> Option<Vec<String>> {
    let (name, args) = assigned()?;
    (name == test).then_some(args)
}

/// The test that this process runs as a child, and its arguments.
pub(crate) fn assigned() -> Option<(String, Vec<String>)> {
    serde_json::from_str(&crate::settings::variable(CHILD_ARGS)?).ok()
}

/// Prints a line to the parent, in one write: a process that is killed has printed all of it or nothing.
#[expect(clippy::expect_used, reason = "a child without its parent has nothing left to do")]
pub fn say(line: &str) {
    // The test runner does not end its own line before the test prints.
    let text = format!("\n{line}\n");
    std::io::stdout().lock().write_all(text.as_bytes()).expect("the parent reads what its child prints");
}

impl ChildProcess {
    /// Runs `test`, by its full name, in a child process that gets `args` from [`child_args`].
    ///
    /// # Panics
    /// If the process cannot be started.
    #[must_use]
    pub fn spawn(test: &str, args: &[&str]) -> Self {
        Self::start(&mut Self::command(test, args, &[]))
    }

    /// The command of [`spawn`](Self::spawn). A test may change its environment or directory. `wrapper` is a
    /// program with its arguments that runs the test binary, such as `strace -f`.
    ///
    /// # Panics
    /// If the path of this test binary is unknown.
    #[must_use]
    pub fn command(test: &str, args: &[&str], wrapper: &[&str]) -> Command {
        let program = std::env::current_exe().expect("a test knows the path of its own binary");
        let words: Vec<_> = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        let assignment = serde_json::to_string(&(test, args)).expect("strings are JSON");
        command
            .args([test, "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
            .env(CHILD_ARGS, assignment)
            .stdin(Stdio::null());
        command
    }

    /// Starts a [`command`](Self::command).
    ///
    /// # Panics
    /// If the process cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        Self::try_start(command).expect("this test binary can be run again")
    }

    pub(crate) fn try_start(command: &mut Command) -> std::io::Result<Self> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let stdout = process.stdout.take().expect("its output is piped");
        Ok(Self { process, lines: BufReader::new(stdout) })
    }

    /// The next line that the child prints, without its line break; `None` at the end.
    ///
    /// # Panics
    /// If the output is not UTF-8.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a child prints UTF-8");
        // The last line of a killed process may be cut short.
        line.strip_suffix('\n').map(str::to_owned)
    }

    /// Waits for a line that begins with `prefix`, and returns the rest of it.
    ///
    /// # Panics
    /// If the child ends before that.
    #[must_use]
    pub fn wait_for(&mut self, prefix: &str) -> String {
        while let Some(line) = self.line() {
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
        panic!("the child ended before it printed {prefix:?}: {:?}", self.process.wait());
    }

    /// Whether the process runs.
    ///
    /// # Panics
    /// If the process cannot be waited for.
    pub fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().expect("a child can be waited for")
    }

    /// Stops the process with SIGSTOP, and returns once all its threads stand still.
    ///
    /// # Panics
    /// If the child has ended.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let pid = Pid::from_child(&self.process);
        waitpid(Some(pid), WaitOptions::UNTRACED).expect("a stopped child can be waited for");
    }

    /// Lets a stopped process run again.
    ///
    /// # Panics
    /// If the child has ended.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the child is alive");
    }

    /// Kills the process with SIGKILL, and returns the lines that it had printed and the test has not read.
    ///
    /// # Panics
    /// If the child had ended by itself.
    pub fn kill(mut self) -> Vec<String> {
        assert_eq!(self.ended(), None, "the child ended by itself");
        let _ = self.process.kill();
        let lines = self.rest();
        let status = self.process.wait().expect("a child can be waited for");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "the child ended by itself: {status}");
        lines
    }

    /// Waits for the process to end, and returns the lines that it had printed and the test has not read.
    ///
    /// # Panics
    /// If its test failed.
    pub fn finish(mut self) -> Vec<String> {
        let lines = self.rest();
        let status = self.process.wait().expect("a child can be waited for");
        assert!(status.success(), "the child failed: {status}; it printed {lines:#?}");
        lines
    }

    fn rest(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).collect()
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
