//! What events tell of a flow because of rules.

use std::sync::Arc;

use dropgate_signatures::{engine::Verdict, protocol::App, subject::Direction};

use super::{Signatures, Watched};
use crate::inspect::{Metadata, Note, Talk};

/// What events tell of the flow, if rules have changed anything about that, or its ends are found to speak something else.
pub(super) fn note(
    talk: &mut Talk,
    signatures: &Signatures,
    mismatch: Option<(Direction, App)>,
    watched: &Watched,
) -> Option<Arc<Note>> {
    let watch = &mut talk.watch;
    let (changes, verdict) = (watch.state.variables().changes(), watch.state.verdict());
    let alerted = !watched.alerts.is_empty();
    if !alerted
        && verdict == Verdict::Continue
        && changes == watch.noted
        && !watch.state.is_bypassed()
        && mismatch.is_none()
    {
        return None;
    }
    watch.noted = changes;
    let metadata = Metadata::of(watch.state.variables(), signatures.ruleset.names());
    let bypassed = watch.state.is_bypassed();
    talk.change_note(|note| {
        note.alerted |= alerted;
        note.bypassed |= bypassed;
        note.passed |= matches!(verdict, Verdict::Pass(true)) && !bypassed;
        note.metadata = metadata;
        note.mismatch = mismatch.or(note.mismatch);
    })
}
