//! What can go wrong while the laboratory is built or used.

use std::{io, path::PathBuf, time::Duration};

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the laboratory could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Namespaces, raw sockets and BPF all need it.
    #[error("the laboratory makes network namespaces and must run as root; this process has uid {uid}: use `sudo`")]
    NotRoot {
        /// Effective user id of this process.
        uid: u32,
    },
    /// A program is not installed, or could not be started.
    #[error("cannot start `{program}` (`cargo xtask setup` installs what is needed): {source}")]
    Start {
        /// The program as it was named.
        program: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A program ended with another status than success.
    #[error("`{command}` ended with {status}: {output}")]
    Failed {
        /// The command line.
        command: String,
        /// Exit status or signal, in words.
        status: String,
        /// What it wrote, standard error last.
        output: String,
    },
    /// A program did not end in time.
    #[error("`{command}` did not end within {limit:?}")]
    TimedOut {
        /// The command line.
        command: String,
        /// The time it had.
        limit: Duration,
    },
    /// Something that was waited for did not come.
    #[error("{what} did not happen within {limit:?}{detail}")]
    Waited {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// More to say, for instance the end of a log.
        detail: String,
    },
    /// A system call on a file or a socket.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// The file, interface or namespace.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
