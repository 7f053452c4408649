//! The control socket: one request a connection, a JSON document each way; `events` answers with lines until the
//! connection ends. Owner root, mode 0600.

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request may be this long.
const MAX_REQUEST: u64 = 1 << 20;
/// A client that neither sends its request nor takes its answer is let go after this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client may ask.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Put this policy file in force.
    Apply {
        path: PathBuf,
    },
    /// What a push of this file would change.
    Diff {
        path: PathBuf,
    },
    Status {},
    Flows {},
    /// The rules that are in force.
    Rules {},
    /// The event stream.
    Events {
        types: Vec<String>,
        reasons: Vec<String>,
        zones: Vec<String>,
    },
    /// End the daemon, and enforcement with it if asked.
    Stop {
        detach: bool,
    },
}

/// What it gets back, apart from the event stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub done: bool,
    /// What was asked for.
    #[serde(default)]
    pub answer: Value,
    /// Why it was not done.
    #[serde(default)]
    pub error: String,
}

impl Answer {
    /// It was done.
    pub const fn done(answer: Value) -> Self {
        Self { done: true, answer, error: String::new() }
    }

    /// It was not.
    pub const fn refused(error: String) -> Self {
        Self { done: false, answer: Value::Null, error }
    }
}

/// Listens on a socket of this path, which nobody but root may open.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // SAFETY: no preconditions; the file is made with mode 0600 from the start.
    let mask = unsafe { libc::umask(0o177) };
    let listener = UnixListener::bind(path);
    // SAFETY: as above.
    unsafe { libc::umask(mask) };
    let listener = listener?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Reads the request of a connection.
pub fn read(stream: &UnixStream) -> io::Result<Request> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Sends an answer. A client that is gone is no fault of ours.
pub fn reply(mut stream: &UnixStream, answer: &Answer) {
    if let Ok(mut bytes) = serde_json::to_vec(answer) {
        bytes.push(b'\n');
        let _ = stream.write_all(&bytes);
    }
}

/// The client's side: sends a request and returns the connection.
pub fn send(path: &Path, request: &Request) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(b'\n');
    stream.write_all(&bytes)?;
    Ok(stream)
}

/// The client's side: sends a request and waits for its answer.
pub fn ask(path: &Path, request: &Request) -> io::Result<Answer> {
    let stream = send(path, request)?;
    let mut text = String::new();
    BufReader::new(&stream).read_line(&mut text)?;
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon ended before it answered"));
    }
    serde_json::from_str(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
