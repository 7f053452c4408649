//! Child processes: guards, runs with a time limit, and waiting.

use std::{
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Error, Result};

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(10);
/// What a helper program like `ip` may take.
const HELPER_LIMIT: Duration = Duration::from_secs(20);

/// A child process that is killed and reaped when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    line: String,
    /// It leads a process group, which gets its signals.
    group: bool,
}

impl Process {
    /// Starts `command`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.spawn().map_err(|source| start_error(command, source))?;
        Ok(Self { child, line: line(command), group: false })
    }

    /// Starts `command` in a process group of its own: signals reach what it forks too (`trafgen` forks its senders), and a
    /// Ctrl-C at the terminal does not.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn_group(command: &mut Command) -> Result<Self> {
        let mut process = Self::spawn(command.process_group(0))?;
        process.group = true;
        Ok(process)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// The status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal, for instance `libc::SIGTERM`. A process that has ended gets none.
    pub fn signal(&mut self, signal: i32) {
        if self.ended().is_none() {
            let id = self.child.id().cast_signed();
            // SAFETY: the child has not been waited for, so its id cannot belong to another process or group.
            unsafe { libc::kill(if self.group { -id } else { id }, signal) };
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It has not ended within `limit`; it goes on running.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if start.elapsed() > limit {
                return Err(Error::TimedOut { command: self.line.clone(), limit });
            }
            thread::sleep(POLL);
        }
    }

    /// Lets the process go on after this guard is gone.
    pub(crate) fn release(self) {
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(libc::SIGKILL);
            // Fails only if it has been waited for already.
            let _ = self.child.wait();
        }
    }
}

/// What a program that was run to its end, or to its time limit, left.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Exit status; nothing if the time limit ended it.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Whether it ended with exit code 0.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// Exit code; nothing if a signal or the time limit ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }
}

/// Runs `command` to its end without standard input, or kills it after `limit`.
///
/// # Errors
/// The program cannot be started. Its failure is not an error here.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    run_with_input(command, None, limit)
}

/// Runs a helper program, and takes anything but success for an error. Returns its standard output.
///
/// # Errors
/// It cannot be started, does not succeed, or takes longer than 20 seconds.
pub fn checked(command: &mut Command) -> Result<String> {
    demand_success(command, None)
}

pub(crate) fn checked_with_input(command: &mut Command, input: &str) -> Result<String> {
    demand_success(command, Some(input))
}

fn demand_success(command: &mut Command, input: Option<&str>) -> Result<String> {
    let finished = run_with_input(command, input, HELPER_LIMIT)?;
    match finished.status {
        None => Err(Error::TimedOut { command: line(command), limit: HELPER_LIMIT }),
        Some(status) if status.success() => Ok(finished.stdout),
        Some(status) => Err(Error::Failed {
            command: line(command),
            status: status.to_string(),
            output: format!("{}{}", finished.stdout, finished.stderr).trim().to_owned(),
        }),
    }
}

fn run_with_input(command: &mut Command, input: Option<&str>, limit: Duration) -> Result<Finished> {
    let start = Instant::now();
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut process = Process::spawn(command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    if let (Some(text), Some(mut pipe)) = (input, process.child.stdin.take()) {
        // A program that ends without reading its input says why by its status.
        let _ = pipe.write_all(text.as_bytes());
    }
    let stdout = reader(process.child.stdout.take());
    let stderr = reader(process.child.stderr.take());
    let status = process.wait(limit).ok();
    drop(process);
    Ok(Finished {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
        took: start.elapsed(),
    })
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a read error is still worth having.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Asks `condition` again and again until it holds.
///
/// # Errors
/// It fails, or does not hold within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !condition()? {
        if start.elapsed() > limit {
            return Err(Error::Waited { what: what.to_owned(), limit, detail: String::new() });
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// The command line, for messages.
fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(std::ffi::OsStr::to_string_lossy));
    words.join(" ")
}

fn start_error(command: &Command, source: std::io::Error) -> Error {
    Error::Start { program: command.get_program().to_string_lossy().into_owned(), source }
}
