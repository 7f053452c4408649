//! What a generation decides for the whole gateway, and for each zone.

use std::time::Duration;

use dropgate_abi::{
    flow::TICK_SHIFT,
    policy::{self as abi, class, fragments, kind, setting, timeout},
};

use crate::policy::model::{Answer, Fragment, Kind, Policy, Tunnel, Zone};

/// The settings, but for the generation and the flags that follow from the tables.
pub fn settings(policy: &Policy) -> abi::Settings {
    let gateway = &policy.gateway;
    let mut ethertypes = [0; 16];
    for (place, ethertype) in ethertypes.iter_mut().zip(&gateway.ethertypes) {
        *place = *ethertype;
    }
    let mut flags = 0;
    flags |= if gateway.drop_unsolicited { setting::DROP_UNSOLICITED } else { 0 };
    flags |= if gateway.quiet_chatter { setting::QUIET_CHATTER } else { 0 };
    flags |= if gateway.fast_forward { setting::FAST_FORWARD } else { 0 };
    flags |= match gateway.pppoe {
        Some(Tunnel::Judge) => setting::PPPOE_JUDGE,
        Some(Tunnel::Opaque) => setting::PPPOE_OPAQUE,
        Some(Tunnel::Drop) | None => 0,
    };
    for (answer, flag) in [
        (policy.failure.inspector, setting::OPEN_INSPECTOR),
        (policy.failure.credits, setting::OPEN_CREDITS),
        (policy.failure.too_long, setting::OPEN_LONG),
    ] {
        flags |= if answer == Answer::Pass { flag } else { 0 };
    }
    let mut by_class = [0; 4];
    for (class, answer) in [
        (class::UDP, policy.fragments.udp),
        (class::TCP, policy.fragments.tcp),
        (class::ICMP, policy.fragments.icmp),
        (class::OTHER, policy.fragments.other),
    ] {
        by_class[class] = match answer {
            Fragment::Drop => fragments::DROP,
            Fragment::Track => fragments::TRACK,
            Fragment::Pass => fragments::PASS,
        };
    }
    // In IPv6 the first fragment alone says of which protocol its datagram is, whatever the others say (RFC 8200, 4.5): where
    // fragments of any protocol are tracked, none pass untracked.
    let any = by_class.contains(&fragments::TRACK);
    let tracked = |mode| if any && mode == fragments::PASS { fragments::TRACK } else { mode };
    let mut timeouts = [0; 8];
    for (at, duration) in [
        (timeout::TCP_NEW, policy.timeouts.tcp_new),
        (timeout::TCP_ESTABLISHED, policy.timeouts.tcp_established),
        (timeout::TCP_CLOSING, policy.timeouts.tcp_closing),
        (timeout::UDP_NEW, policy.timeouts.udp_new),
        (timeout::UDP, policy.timeouts.udp),
        (timeout::ICMP, policy.timeouts.icmp),
        (timeout::OTHER, policy.timeouts.other),
        (timeout::FRAGMENT, policy.timeouts.fragment),
    ] {
        timeouts[at] = ticks(duration);
    }
    abi::Settings {
        generation: 0,
        kind: match gateway.kind {
            Kind::Route => kind::ROUTE,
            Kind::Masquerade => kind::MASQUERADE,
            Kind::Bridge => kind::BRIDGE,
        },
        flags,
        ethertype_count: gateway.ethertypes.len().min(ethertypes.len()) as u32,
        ethertypes,
        fragments: [by_class, by_class.map(tracked)],
        timeouts,
        vxlan: std::array::from_fn(|at| gateway.vxlan.get(at).copied().unwrap_or_default()),
        _pad: 0,
        event_rate: policy.events.rate,
        late_ns: policy.inspection.unwrap_or_default().late.as_nanos() as u64,
    }
}

/// The settings of a zone.
pub fn zone(policy: &Policy, zone: &Zone) -> abi::Zone {
    let mut flags = 0;
    flags |= if zone.loose { abi::zone::LOOSE } else { 0 };
    flags |= if zone.dhcp { abi::zone::DHCP } else { 0 };
    abi::Zone { max_flows: zone.max_flows.unwrap_or(policy.limits.zone_flows), flags }
}

/// A duration in ticks of the flow clock, rounded up.
fn ticks(duration: Duration) -> u32 {
    duration.as_nanos().div_ceil(1 << TICK_SHIFT).try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_rounded_up() {
        assert_eq!(ticks(Duration::from_nanos(1)), 1);
        assert_eq!(ticks(Duration::from_nanos(1 << 20)), 1);
        assert_eq!(ticks(Duration::from_secs(30)), 28611);
    }
}
