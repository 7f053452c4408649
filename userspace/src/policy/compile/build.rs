//! Which build of the programs judges what comes in by an interface.

use std::fmt;

use super::{Environment, Interface};
use crate::policy::model::{Kind, Policy};

/// What the packets of an interface begin with, by its type (`include/uapi/linux/if_arp.h`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Link {
    #[default]
    Ethernet,
    /// With their IP header.
    Bare,
    /// With something that the programs do not know.
    Other(u16),
}

impl Link {
    /// Of an interface of this type.
    pub const fn of(kind: u16) -> Self {
        match kind {
            // ARPHRD_ETHER, ARPHRD_LOOPBACK
            1 | 772 => Self::Ethernet,
            // ARPHRD_PPP, ARPHRD_RAWIP, ARPHRD_TUNNEL, ARPHRD_TUNNEL6, ARPHRD_SIT, ARPHRD_NONE: those to which the kernel
            // redirects without a link-layer header (`dev_is_mac_header_xmit`), less GRE, which may have one of its own
            512 | 519 | 768 | 769 | 776 | 0xfffe => Self::Bare,
            other => Self::Other(other),
        }
    }
}

/// A build of the programs, at ingress.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Build {
    /// Native XDP.
    #[default]
    Xdp,
    /// tcx, on frames.
    Tcx(Why),
    /// tcx, on packets without link-layer header.
    Bare,
    /// None: what the interface carries is not known. Its type.
    Unknown(u16),
    /// None: it is a side of a bridge, and has no frames.
    Frameless,
}

/// Why an interface has tcx where frames come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// `tcx` in the policy.
    Policy,
    /// The driver runs no XDP program.
    Driver,
    /// It is a side of a bridge, and the other one has tcx: XDP sends nothing on to a driver that has none.
    Peer,
}

impl Build {
    /// That of an interface of a policy.
    pub fn of(policy: &Policy, environment: &Environment, name: &str) -> Self {
        let interface = environment.interfaces.get(name);
        match interface.map_or(Link::Ethernet, |interface| interface.link) {
            Link::Other(kind) => return Self::Unknown(kind),
            Link::Bare if policy.gateway.kind == Kind::Bridge => return Self::Frameless,
            Link::Bare => return Self::Bare,
            Link::Ethernet => {}
        }
        let own = |name: &str, interface: Option<&Interface>| {
            let wanted = policy.gateway.tcx.iter().any(|wanted| wanted.name == name);
            let driver = interface.is_some_and(|interface| interface.no_xdp);
            if wanted { Some(Why::Policy) } else { driver.then_some(Why::Driver) }
        };
        let peer = policy.peer(name).map(|peer| (peer.name.as_str(), environment.interfaces.get(&peer.name)));
        let peers = || peer.and_then(|(name, interface)| own(name, interface)).map(|_| Why::Peer);
        own(name, interface).or_else(peers).map_or(Self::Xdp, Self::Tcx)
    }

    /// Whether packets come in by native XDP.
    pub const fn is_native(self) -> bool {
        matches!(self, Self::Xdp)
    }

    /// Whether the interface can be no side.
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Unknown(_) | Self::Frameless)
    }
}

/// Why it is not native XDP; of that one, nothing.
impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xdp => "",
            Self::Tcx(Why::Policy) => "the policy says so",
            Self::Tcx(Why::Driver) => "its driver has no native XDP",
            Self::Tcx(Why::Peer) => "the other side of the bridge has it",
            Self::Bare => "it has no Ethernet header",
            Self::Unknown(kind) => return write!(f, "what links of type {kind} carry is not known"),
            Self::Frameless => "it has no Ethernet header, and a bridge passes frames on",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::policy::{self, source::Source};

    fn built(text: &str, change: impl Fn(&mut Environment)) -> Vec<Build> {
        let (policy, mistakes) = policy::parse(Source::new("p.toml", text), Path::new(""));
        let policy = policy.unwrap_or_else(|| panic!("{mistakes:?}"));
        let mut environment = Environment::synthetic(&policy);
        change(&mut environment);
        ["lan0", "wan0"].map(|name| Build::of(&policy, &environment, name)).to_vec()
    }

    const BRIDGE: &str = "[gateway]\nkind = \"bridge\"\noutside = \"wan0\"\npairs = [[\"lan0\", \"wan0\"]]\nTCX\n\
        [zone.office]\ninterface = \"lan0\"\nprefixes = [\"10.10.0.0/24\"]\n";

    #[test]
    fn what_interfaces_get() {
        let route = BRIDGE.replace("bridge", "route").replace("pairs = [[\"lan0\", \"wan0\"]]", "");
        let (plain, forced) = (route.replace("TCX", ""), route.replace("TCX", "tcx = \"wan0\""));
        let set = |of: &mut Environment, name: &str, link, no_xdp| {
            let interface = of.interfaces.get_mut(name).expect("an interface");
            (interface.link, interface.no_xdp) = (link, no_xdp);
        };
        assert_eq!(built(&plain, |_| ()), [Build::Xdp, Build::Xdp]);
        assert_eq!(built(&forced, |_| ()), [Build::Xdp, Build::Tcx(Why::Policy)]);
        let driver = built(&plain, |of| set(of, "lan0", Link::Ethernet, true));
        assert_eq!(driver, [Build::Tcx(Why::Driver), Build::Xdp]);
        let bare = built(&forced, |of| set(of, "wan0", Link::of(0xfffe), true));
        assert_eq!(bare, [Build::Xdp, Build::Bare]);
        // IEEE 802.15.4
        let other = built(&plain, |of| set(of, "wan0", Link::of(804), true));
        assert_eq!(other, [Build::Xdp, Build::Unknown(804)]);
        let pair = built(&BRIDGE.replace("TCX", ""), |of| set(of, "wan0", Link::Ethernet, true));
        assert_eq!(pair, [Build::Tcx(Why::Peer), Build::Tcx(Why::Driver)]);
        let frameless = built(&BRIDGE.replace("TCX", ""), |of| set(of, "wan0", Link::Bare, true));
        assert_eq!(frameless[1], Build::Frameless);
    }
}
