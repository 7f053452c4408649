//! Hold devices: a pair of virtual Ethernet devices for each interface. Held packets on their way out go in at the near end
//! (`dgh`) and come to the inspector's socket at the far one (`dgi`); released packets go the other way. Where packets do not come
//! in by native XDP there is a second pair (`dgj`, `dgk`), for those on their way in.

use std::{collections::BTreeSet, fs, io, path::Path};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage},
};

use crate::{
    ethtool::{self, Feature},
    netlink::{self, LinkFlags},
};

/// The two ends, as the programs and sockets need them. Dropping it removes the pair.
#[derive(Debug)]
pub struct Device {
    pub near: String,
    pub near_index: u32,
    pub far: String,
    pub far_index: u32,
}

/// Whether an interface is an end of such a pair, by its name.
pub fn is_device(name: &str) -> bool {
    let mut ends = Use::ALL.into_iter().flat_map(Use::ends);
    ends.any(|end| name.strip_prefix(end).is_some_and(|index| index.parse::<u32>().is_ok()))
}

/// What a pair is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Held on its way out, released on its way in.
    Out,
    /// Held on its way in, released on its way out: in the place of the interface's own sockets.
    In,
}

impl Use {
    const ALL: [Self; 2] = [Self::Out, Self::In];

    /// Beginnings of the names of the ends, the near one first; the index of the interface follows.
    const fn ends(self) -> [&'static str; 2] {
        match self {
            Self::Out => ["dgh", "dgi"],
            Self::In => ["dgj", "dgk"],
        }
    }

    /// Names of the ends of the pair for interface `index`.
    fn names(self, index: u32) -> [String; 2] {
        self.ends().map(|end| format!("{end}{index}"))
    }
}

impl Device {
    /// Makes the pair for interface `index`, with room for frames of `mtu` and what goes before them. What comes to the far
    /// end comes by one queue; what is sent there may go by `senders` of them. A pair that an earlier daemon left is replaced.
    pub fn make(index: u32, purpose: Use, mtu: u32, senders: u32) -> io::Result<Self> {
        let [near, far] = purpose.names(index);
        remove_one(&near)?;
        let mut peer = LinkMessage::default();
        peer.attributes = vec![
            LinkAttribute::IfName(far.clone()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NumTxQueues(senders),
            LinkAttribute::NumRxQueues(1),
        ];
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(near.clone()),
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NumTxQueues(1),
            LinkAttribute::NumRxQueues(senders),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::Veth),
                LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
            ]),
        ];
        netlink::request(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)?;
        let device = Self {
            near_index: netlink::index(&near).ok_or(io::ErrorKind::NotFound)?,
            far_index: netlink::index(&far).ok_or(io::ErrorKind::NotFound)?,
            near,
            far,
        };
        for name in [&device.near, &device.far] {
            quiet(name)?;
            // what reaches the socket must be whole packets with their checksums, one frame each
            for feature in Feature::ALL {
                let _ = ethtool::set(name, feature, false);
            }
        }
        if ethtool::get(&device.near, Feature::TxChecksum) == Some(true) {
            return Err(io::Error::other(format!("`ethtool -K {} tx off` does not work", device.near)));
        }
        for index in [device.near_index, device.far_index] {
            netlink::set_flag(index, LinkFlags::Up | LinkFlags::Noarp, true)?;
        }
        Ok(device)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // one that is gone already is as it should be
        let _ = delete(self.near_index);
    }
}

/// The kernel has nothing of its own to say on this device.
fn quiet(name: &str) -> io::Result<()> {
    let switch = Path::new("/proc/sys/net/ipv6/conf").join(name).join("disable_ipv6");
    match fs::write(switch, "1") {
        // a kernel without IPv6
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes the pairs of interface `index`, as far as there are any.
pub fn remove(index: u32) -> io::Result<()> {
    Use::ALL.into_iter().try_for_each(|purpose| remove_one(&purpose.names(index)[0]))
}

fn remove_one(near: &str) -> io::Result<()> {
    netlink::index(near).map_or(Ok(()), delete)
}

/// Interfaces whose pairs stand in this network namespace.
pub fn strays() -> io::Result<Vec<u32>> {
    let here = netlink::environment()?;
    let index = |name: &String| Use::ALL.iter().find_map(|purpose| name.strip_prefix(purpose.ends()[0])?.parse().ok());
    let found: BTreeSet<u32> = here.interfaces.keys().filter_map(index).collect();
    Ok(found.into_iter().collect())
}

fn delete(index: u32) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    netlink::request(RouteNetlinkMessage::DelLink(link), 0)
}
