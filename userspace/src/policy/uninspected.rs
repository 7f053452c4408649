//! Fragments that pass where the packets that they make up are to be inspected.

use super::{
    codes,
    diagnostic::{Diagnostic, Diagnostics, Place},
    model::{Policy, protocol},
};

/// Warns where fragments of a transport pass that some service is inspected over.
pub(super) fn warn(policy: &Policy, diagnostics: &mut Diagnostics) {
    if policy.inspection.is_none() {
        return;
    }
    for (key, at) in &policy.fragments_passed {
        let Some(title) = inspected_over(policy, key) else { continue };
        diagnostics.add(&codes::UNINSPECTED_FRAGMENTS, || {
            let message = format!("fragments over {title} pass, and nobody inspects what they say");
            Diagnostic::new(&codes::UNINSPECTED_FRAGMENTS, Place::new(&policy.source, *at), message)
                .help("write `\"track\"`: their packets are put together and inspected; or `\"drop\"`")
        });
    }
}

/// What a key of `[fragments]` is about, if a service of that transport is inspected.
fn inspected_over(policy: &Policy, key: &str) -> Option<&'static str> {
    let services = || policy.allowlists().flat_map(|(_, services)| services).filter(|service| service.inspect);
    let published = |number| policy.publish.iter().any(|line| line.protocol == number);
    match key {
        "tcp" => {
            (services().any(|service| !service.matches.tcp.is_empty()) || published(protocol::TCP)).then_some("TCP")
        }
        "udp" => {
            (services().any(|service| !service.matches.udp.is_empty()) || published(protocol::UDP)).then_some("UDP")
        }
        _ => None,
    }
}
