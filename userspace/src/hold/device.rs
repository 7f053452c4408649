//! Hold devices: a pair of virtual Ethernet devices for each interface. Held packets on their way out go in at the near end
//! (`dgh`) and come to the inspector's socket at the far one (`dgi`); released packets go the other way.

use std::{fs, io, path::Path};

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
    let index = name.strip_prefix(NEAR).or_else(|| name.strip_prefix(FAR));
    index.is_some_and(|index| index.parse::<u32>().is_ok())
}

/// Beginnings of the names of the ends; the index of the interface follows.
const NEAR: &str = "dgh";
const FAR: &str = "dgi";

/// Names of the ends of the pair for interface `index`.
fn names(index: u32) -> (String, String) {
    (format!("{NEAR}{index}"), format!("{FAR}{index}"))
}

impl Device {
    /// Makes the pair for interface `index`, with room for frames of `mtu` and what goes before them. What comes to the far
    /// end comes by one queue; what is sent there may go by `senders` of them. A pair that an earlier daemon left is replaced.
    pub fn make(index: u32, mtu: u32, senders: u32) -> io::Result<Self> {
        let (near, far) = names(index);
        remove(index)?;
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

/// Removes the pair of interface `index`, if there is one.
pub fn remove(index: u32) -> io::Result<()> {
    netlink::index(&names(index).0).map_or(Ok(()), delete)
}

/// Interfaces whose pairs stand in this network namespace.
pub fn strays() -> io::Result<Vec<u32>> {
    let here = netlink::environment()?;
    Ok(here.interfaces.keys().filter_map(|name| name.strip_prefix(NEAR)?.parse().ok()).collect())
}

fn delete(index: u32) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    netlink::request(RouteNetlinkMessage::DelLink(link), 0)
}
