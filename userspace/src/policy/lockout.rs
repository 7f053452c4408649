//! Whether the administrator can still reach the gateway.

use super::{
    codes,
    diagnostic::{Diagnostic, Diagnostics, Place},
    model::{Kind, Peer, Policy},
};

/// The port of SSH.
const SSH: u16 = 22;

/// Warns when no line lets SSH, or nothing at all over TCP, reach the gateway.
pub(super) fn warn(policy: &Policy, diagnostics: &mut Diagnostics) {
    if policy.gateway.kind == Kind::Bridge {
        // what crosses a bridge is never for the gateway: it is reached by an interface that is none of its sides
        return;
    }
    let services = policy.allowlists().flat_map(|(_, services)| services);
    let to_self = services.filter(|service| service.to.iter().any(|to| to.peer == Peer::Gateway));
    let mut ports = to_self.flat_map(|service| &service.matches.tcp).peekable();
    let message = if ports.peek().is_none() {
        "no service lets anybody reach the gateway itself over TCP"
    } else if !ports.any(|range| range.holds(SSH)) {
        "no service lets anybody reach the gateway itself by SSH (TCP port 22)"
    } else {
        return;
    };
    diagnostics.add(&codes::LOCKOUT, || {
        Diagnostic::new(&codes::LOCKOUT, Place::file(&policy.source.name), message).help(
            "unless there is a console, give an administrator's zone a service with `tcp = [22]` and `to = [\"self\"]`",
        )
    });
}
