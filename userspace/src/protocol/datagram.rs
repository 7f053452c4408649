//! Detectors of protocols that are spoken over UDP.

use super::{Answer, Candidates, Datagrams, Protocol, Spoken, ask};

/// In order of precedence. At most 64.
const DETECTORS: &[(Protocol, fn(Datagrams<'_>) -> Answer)] = &[];

/// What the datagrams of a flow speak.
pub fn datagrams(said: Datagrams<'_>, candidates: &mut Candidates) -> Spoken {
    ask(DETECTORS, said, candidates)
}
