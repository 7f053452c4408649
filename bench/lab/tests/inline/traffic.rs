//! Clients, and what they get.

use std::time::Duration;

use dropgate_lab::{Finished, Gateway, Namespace, run};

/// Nothing that a client does here takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// Runs a client to its end.
pub fn client(from: &Namespace, line: &str) -> Finished {
    let mut words = line.split_whitespace();
    run(from.command(words.next().unwrap()).args(words), LIMIT).unwrap()
}

/// Runs a client that must succeed; what it printed.
pub fn works(from: &Namespace, line: &str) -> String {
    let finished = client(from, line);
    assert!(finished.success(), "{}: `{line}`: {finished:?}", from.name());
    finished.stdout
}

/// Runs a client that must fail.
pub fn fails(from: &Namespace, line: &str) {
    let finished = client(from, line);
    assert!(!finished.success(), "{}: `{line}` got through: {}", from.name(), finished.stdout);
}

/// A host in a URL.
pub fn host(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

/// Puts a file of bytes that do not repeat where the outside's web server offers it; returns them.
pub fn offer(lab: &Gateway, name: &str, length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let bytes: Vec<u8> = words.flatten().take(length).collect();
    std::fs::write(lab.dir().join("nginx-servers").join(name), &bytes).unwrap();
    bytes
}
