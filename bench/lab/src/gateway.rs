//! The gateway topology: two zones, a gateway, servers on the outside, and one host behind a narrow link.
//!
//! ```text
//!   office eth0 ---- lan0 \                        / eth0 servers eth1 ---- eth0 far
//!   10.10.0.5             gw wan0 ----------------'  203.0.113.9, .10       198.51.100.9
//!   iot    eth0 ---- lan1 /  203.0.113.1             routes to far; MTU 1300
//!   10.20.0.8
//! ```
//!
//! Of a bridge the gateway has no addresses and two pairs, `lan0` and `wan0`, `lan1` and `wan1`; what is the gateway's address
//! elsewhere is then the servers', which route between the zones.

use std::ops::{Deref, DerefMut};

use crate::{Lab, Namespace, Options, Result};

/// Addresses of the topology.
pub mod address {
    /// The client in zone `office`.
    pub const OFFICE: &str = "10.10.0.5";
    /// The same host, IPv6.
    pub const OFFICE6: &str = "fd00:10::5";
    /// The device in zone `iot`; it also serves the published web page.
    pub const IOT: &str = "10.20.0.8";
    /// The same host, IPv6.
    pub const IOT6: &str = "fd00:20::8";
    /// The gateway as `office` sees it.
    pub const GW_OFFICE: &str = "10.10.0.1";
    /// The gateway as `office` sees it, IPv6.
    pub const GW_OFFICE6: &str = "fd00:10::1";
    /// The gateway as `iot` sees it.
    pub const GW_IOT: &str = "10.20.0.1";
    /// The gateway as `iot` sees it, IPv6.
    pub const GW_IOT6: &str = "fd00:20::1";
    /// The gateway as the outside sees it.
    pub const WAN: &str = "203.0.113.1";
    /// The gateway as the outside sees it, IPv6.
    pub const WAN6: &str = "2001:db8:113::1";
    /// Servers, first address: everything, and plain HTTP on 8088.
    pub const SERVER: &str = "203.0.113.9";
    /// Servers, first address, IPv6.
    pub const SERVER6: &str = "2001:db8:113::9";
    /// Servers, second address: TLS on 8088.
    pub const SERVER_B: &str = "203.0.113.10";
    /// Servers, second address, IPv6.
    pub const SERVER_B6: &str = "2001:db8:113::10";
    /// A web server two hops beyond the gateway, behind a link with MTU [`FAR_MTU`].
    pub const FAR: &str = "198.51.100.9";
    /// The same host, IPv6.
    pub const FAR6: &str = "2001:db8:51::9";
    /// MTU of the link to [`FAR`], bytes.
    pub const FAR_MTU: u32 = 1300;
}

/// What the gateway does with addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Routes; the outside knows the way back to the zones.
    Route,
    /// Masquerades both families behind its outside addresses, and publishes `203.0.113.1:80` from `10.20.0.8:80`, for the
    /// zones too (hairpin).
    Masquerade,
    /// Joins `lan0` and `wan0`, `lan1` and `wan1`.
    Bridge,
}

/// The topology above, up and forwarding. Dereferences to its [`Lab`].
///
/// In the gateway forwarding is on and reverse-path filtering strict; the other hosts have `tx`, `tso`, `gso` and `gro`
/// off, because a veth otherwise carries partial checksums and super-packets that no wire would deliver.
#[derive(Debug)]
pub struct Gateway {
    lab: Lab,
    /// What it does with addresses.
    pub kind: Kind,
    /// The client in zone `office`: interface `eth0`.
    pub office: Namespace,
    /// The device in zone `iot`: interface `eth0`.
    pub iot: Namespace,
    /// The gateway: `lan0`, `lan1`, `wan0`.
    pub gw: Namespace,
    /// The outside: `eth0`, and `eth1` towards [`Gateway::far`].
    pub servers: Namespace,
    /// A host behind a narrow link: interface `eth0`.
    pub far: Namespace,
}

impl Gateway {
    /// Builds the topology.
    ///
    /// # Errors
    /// This process is not root, or a step of the set-up fails; what was made is removed again.
    pub fn new(kind: Kind, options: Options) -> Result<Self> {
        let lab = Lab::new(options)?;
        let [office, iot, gw, servers, far] = ["office", "iot", "gw", "servers", "far"].map(|name| lab.namespace(name));
        let gateway = Self { lab, kind, office: office?, iot: iot?, gw: gw?, servers: servers?, far: far? };
        gateway.connect()?;
        gateway.configure()?;
        if kind == Kind::Masquerade {
            let rules = gateway.lab.write("gateway.nft", TRANSLATION)?;
            gateway.gw.check("nft", ["-f".as_ref(), rules.as_os_str()])?;
        }
        for host in gateway.all() {
            host.wait_for_addresses()?;
        }
        Ok(gateway)
    }

    /// Every namespace of the topology.
    pub fn all(&self) -> [&Namespace; 5] {
        [&self.office, &self.iot, &self.gw, &self.servers, &self.far]
    }

    /// Leaves everything up when this process ends: see [`Lab::keep`].
    ///
    /// # Errors
    /// The laboratory was not built to be kept.
    pub fn keep(self) -> Result<String> {
        self.lab.keep()
    }

    fn connect(&self) -> Result<()> {
        for host in self.all() {
            // Before any link exists, so that every interface starts with them.
            host.sysctl(&[
                ("net/ipv6/conf/all/accept_dad", "0"),
                ("net/ipv6/conf/default/accept_dad", "0"),
                ("net/ipv6/conf/default/accept_ra", "0"),
                ("net/ipv6/conf/default/router_solicitations", "0"),
            ])?;
        }
        self.gw.sysctl(&[("net/ipv4/conf/all/rp_filter", "1"), ("net/ipv4/conf/default/rp_filter", "1")])?;
        for router in [&self.gw, &self.servers] {
            router.sysctl(&[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")])?;
        }
        self.lab.veth((&self.gw, "lan0"), (&self.office, "eth0"))?;
        self.lab.veth((&self.gw, "lan1"), (&self.iot, "eth0"))?;
        self.lab.veth((&self.gw, "wan0"), (&self.servers, "eth0"))?;
        self.lab.veth((&self.servers, "eth1"), (&self.far, "eth0"))?;
        if self.kind == Kind::Bridge {
            self.lab.veth((&self.gw, "wan1"), (&self.servers, "eth2"))?;
            self.gw.sysctl(&[("net/ipv4/ip_forward", "0"), ("net/ipv6/conf/all/forwarding", "0")])?;
            self.servers.check("ethtool", ["-K", "eth2", "tx", "off", "tso", "off", "gso", "off"])?;
        }
        let ends = [
            (&self.office, "eth0"),
            (&self.iot, "eth0"),
            (&self.servers, "eth0"),
            (&self.servers, "eth1"),
            (&self.far, "eth0"),
        ];
        for (host, interface) in ends {
            host.check("ethtool", ["-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])?;
        }
        if self.kind == Kind::Bridge {
            // a veth takes frames that XDP sends on only where its other end polls (veth_xdp_xmit in drivers/net/veth.c)
            for (host, interface) in
                [(&self.office, "eth0"), (&self.iot, "eth0"), (&self.servers, "eth0"), (&self.servers, "eth2")]
            {
                host.check("ethtool", ["-K", interface, "gro", "on"])?;
            }
        }
        Ok(())
    }

    fn configure(&self) -> Result<()> {
        self.office.ip("addr add 10.10.0.5/24 dev eth0
             addr add fd00:10::5/64 dev eth0 nodad
             route add default via 10.10.0.1
             route add ::/0 via fd00:10::1")?;
        self.iot.ip("addr add 10.20.0.8/24 dev eth0
             addr add fd00:20::8/64 dev eth0 nodad
             route add default via 10.20.0.1
             route add ::/0 via fd00:20::1")?;
        if self.kind == Kind::Bridge {
            self.servers.ip("addr add 10.10.0.1/24 dev eth0
                 addr add fd00:10::1/64 dev eth0 nodad
                 addr add 10.20.0.1/24 dev eth2
                 addr add fd00:20::1/64 dev eth2 nodad")?;
        } else {
            self.gw.ip("addr add 10.10.0.1/24 dev lan0
                 addr add fd00:10::1/64 dev lan0 nodad
                 addr add 10.20.0.1/24 dev lan1
                 addr add fd00:20::1/64 dev lan1 nodad
                 addr add 203.0.113.1/24 dev wan0
                 addr add 2001:db8:113::1/64 dev wan0 nodad
                 route add default via 203.0.113.9
                 route add ::/0 via 2001:db8:113::9")?;
        }
        self.servers.ip(&format!(
            "addr add 203.0.113.9/24 dev eth0
             addr add 203.0.113.10/24 dev eth0
             addr add 2001:db8:113::9/64 dev eth0 nodad
             addr add 2001:db8:113::10/64 dev eth0 nodad
             link set eth1 mtu {mtu}
             addr add 198.51.100.1/24 dev eth1
             addr add 2001:db8:51::1/64 dev eth1 nodad",
            mtu = address::FAR_MTU,
        ))?;
        // The far host announces a full segment size, so that only path MTU discovery tells senders of the narrow link; it
        // knows the link itself, because a veth end throws oversized frames away without a word.
        self.far.ip(&format!(
            "addr add 198.51.100.9/24 dev eth0
             addr add 2001:db8:51::9/64 dev eth0 nodad
             route add default via 198.51.100.1 mtu {mtu} advmss 1460
             route add ::/0 via 2001:db8:51::1 mtu {mtu} advmss 1440",
            mtu = address::FAR_MTU,
        ))?;
        if self.kind == Kind::Route {
            self.servers.ip("route add 10.10.0.0/24 via 203.0.113.1
                 route add 10.20.0.0/24 via 203.0.113.1
                 route add fd00:10::/64 via 2001:db8:113::1
                 route add fd00:20::/64 via 2001:db8:113::1")?;
        }
        Ok(())
    }
}

impl Deref for Gateway {
    type Target = Lab;
    fn deref(&self) -> &Lab {
        &self.lab
    }
}

impl DerefMut for Gateway {
    fn deref_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }
}

/// nftables of the masquerading gateway: it translates and filters nothing.
const TRANSLATION: &str = "\
table inet translation {
    chain prerouting {
        type nat hook prerouting priority dstnat;
        ip daddr 203.0.113.1 tcp dport 80 dnat ip to 10.20.0.8:80
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname wan0 ip saddr { 10.10.0.0/24, 10.20.0.0/24 } masquerade
        oifname wan0 ip6 saddr { fd00:10::/64, fd00:20::/64 } masquerade
        oifname lan1 ip saddr 10.20.0.0/24 ct status dnat masquerade
    }
}
";
