//! Whether the interfaces of a bridge are in pairs.

use std::collections::BTreeMap;

use super::{
    codes,
    compile::Environment,
    diagnostic::{Diagnostic, Diagnostics, Place, quoted},
    model::{InterfaceName, Kind, Policy},
};

/// Names what is in no pair, in two, or in one without being a side.
pub(super) fn check(policy: &Policy, complete: bool, diagnostics: &mut Diagnostics) {
    let gateway = &policy.gateway;
    let mut add = |interface: &InterfaceName, message: String, help: &str| {
        let place = Place::new(&policy.source, interface.location);
        diagnostics.add(&codes::PAIRS, || Diagnostic::new(&codes::PAIRS, place, message).help(help.to_owned()));
    };
    if gateway.kind != Kind::Bridge {
        if let Some([first, _]) = gateway.pairs.first() {
            add(first, "`pairs` on a gateway that is no bridge".to_owned(), "write `kind = \"bridge\"`");
        }
        return;
    }
    let sides = policy.interfaces();
    let mut paired: BTreeMap<&str, &InterfaceName> = BTreeMap::new();
    for interface in gateway.pairs.iter().flatten() {
        let name = quoted(&interface.name);
        if paired.insert(&interface.name, interface).is_some() {
            add(interface, format!("the interface {name} is in two pairs"), "frames go on to one interface");
        } else if complete && !sides.contains_key(interface.name.as_str()) {
            let message = format!("the interface {name} is in a pair, and no side of the policy");
            add(interface, message, "name it in `gateway.outside`, or as the `interface` of a zone");
        }
    }
    for (name, interface) in sides.into_iter().filter(|(name, _)| complete && !paired.contains_key(name)) {
        let message = format!("the interface {} is in no pair", quoted(name));
        add(interface, message, "add it to `gateway.pairs` with the interface where its frames go on");
    }
}

/// The two sides of a pair take packets of one length: what fits in by one has to fit out by the other.
pub(super) fn lengths(policy: &Policy, environment: &Environment, diagnostics: &mut Diagnostics) {
    for [one, other] in &policy.gateway.pairs {
        let length = |side: &InterfaceName| environment.interfaces.get(&side.name).map(|device| device.mtu);
        let (Some(first), Some(second)) = (length(one), length(other)) else { continue };
        if first == second {
            continue;
        }
        let place = Place::new(&policy.source, other.location);
        diagnostics.add(&codes::PAIR_MTU, || {
            let (one, other) = (quoted(&one.name), quoted(&other.name));
            let message = format!("{other} has an MTU of {second}, and {one}, where its frames go on, of {first}");
            Diagnostic::new(&codes::PAIR_MTU, place, message).help(format!(
                "`ip link set {} mtu {}`",
                if first < second { other } else { one }.trim_matches('`'),
                first.min(second)
            ))
        });
    }
}
