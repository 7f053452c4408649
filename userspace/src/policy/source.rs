//! Files that policies are made of.

use std::{fs::File, io::Read, path::Path};

pub use dropgate_signatures::diagnostic::{Location, Source};

/// Largest policy file, in bytes.
pub const MAX_POLICY_BYTES: u64 = 16 << 20;
/// Largest size of all list files together, in bytes.
pub const MAX_LISTS_BYTES: u64 = 256 << 20;
/// Largest list file, in bytes.
pub const MAX_LIST_BYTES: u64 = 64 << 20;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read `{name}`: {error}")]
    Io { name: String, error: std::io::Error },
    #[error("`{0}` is not a regular file")]
    NotAFile(String),
    #[error("`{name}` is larger than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
    #[error("`{name}` is not UTF-8: the first wrong byte is number {offset}")]
    Encoding { name: String, offset: usize },
}

/// A regular file of at most `limit` bytes of UTF-8.
///
/// # Errors
/// [`ReadError`]: it cannot be read, is no regular file, is too large or is not UTF-8.
pub fn read(path: &Path, name: &str, limit: u64) -> Result<Source, ReadError> {
    let text = String::from_utf8(read_bytes(path, name, limit)?)
        .map_err(|error| ReadError::Encoding { name: name.to_owned(), offset: error.utf8_error().valid_up_to() + 1 })?;
    Ok(Source::new(name, text))
}

/// A regular file of at most `limit` bytes.
///
/// # Errors
/// [`ReadError`]: it cannot be read, is no regular file or is too large.
pub fn read_bytes(path: &Path, name: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
    let io = |error| ReadError::Io { name: name.to_owned(), error };
    // looked at before it is opened: opening a FIFO would wait for a writer
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(ReadError::NotAFile(name.to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { name: name.to_owned(), limit });
    }
    Ok(bytes)
}
