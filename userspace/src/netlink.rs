//! Interfaces and addresses of this network namespace, and word when they change (rtnetlink(7)).

use std::{collections::BTreeMap, ffi::CString, io, net::IpAddr, os::fd::AsRawFd as _};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{InfoData, InfoVlan, LinkAttribute, LinkInfo, LinkMessage},
};

pub use netlink_packet_route::link::LinkFlags;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::{
    netdev,
    policy::{
        Environment,
        compile::{self, Interface},
    },
};

/// Index of an interface, if there is one of this name.
pub fn index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a string that ends with zero.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// Longest packet that goes over an interface, bytes.
pub fn mtu(name: &str) -> io::Result<u32> {
    let mut asked = LinkMessage::default();
    asked.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let socket = send(RouteNetlinkMessage::GetLink(asked), 0)?;
    let (datagram, _) = socket.recv_from_full()?;
    match parse(&datagram)?.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
            let mtu = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::Mtu(mtu) => Some(*mtu),
                _ => None,
            });
            mtu.ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Sends a request that changes something, and waits until it is done.
pub fn request(request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let socket = send(request, NLM_F_ACK | flags)?;
    let (datagram, _) = socket.recv_from_full()?;
    match parse(&datagram)?.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        _ => Ok(()),
    }
}

/// Sends a request by a socket of its own, which gets the answers.
fn send(request: RouteNetlinkMessage, flags: u16) -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// The first message of a datagram.
fn parse(datagram: &[u8]) -> io::Result<NetlinkMessage<RouteNetlinkMessage>> {
    NetlinkMessage::deserialize(datagram).map_err(io::Error::other)
}

/// Interfaces with their addresses, by name.
pub fn environment() -> io::Result<Environment> {
    let mut found = Environment::default();
    let mut names = BTreeMap::new();
    dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            let (name, interface) = interface(&link);
            names.insert(interface.index, name.clone());
            found.interfaces.insert(name, interface);
        }
    })?;
    dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message| {
        if let RouteNetlinkMessage::NewAddress(address) = message
            && let Some(own) = own_address(&address)
            && let Some(interface) = names.get(&address.header.index).and_then(|name| found.interfaces.get_mut(name))
        {
            interface.addresses.push((own, address.header.prefix_len));
        }
    })?;
    // where the kernel does not say, attaching a program tells
    let features = netdev::xdp_features().unwrap_or_default();
    for interface in found.interfaces.values_mut() {
        interface.no_xdp = features.get(&interface.index).is_some_and(|features| features & netdev::RUNS == 0);
    }
    Ok(found)
}

/// Whether a link carries frames, and whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// An administrator wants it to be up.
    pub up: bool,
    /// There is somebody at the other end.
    pub carrier: bool,
    /// It takes frames for any hardware address.
    pub promiscuous: bool,
}

/// The links of this network namespace, by index.
pub fn links() -> io::Result<BTreeMap<u32, Link>> {
    let mut found = BTreeMap::new();
    dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            let has = |flag| link.header.flags.contains(flag);
            let state =
                Link { up: has(LinkFlags::Up), carrier: has(LinkFlags::LowerUp), promiscuous: has(LinkFlags::Promisc) };
            found.insert(link.header.index, state);
        }
    })?;
    Ok(found)
}

/// Sets or clears a flag of a link.
pub fn set_flag(index: u32, flag: LinkFlags, on: bool) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = if on { flag } else { LinkFlags::empty() };
    link.header.change_mask = flag;
    request(RouteNetlinkMessage::SetLink(link), 0)
}

fn interface(link: &LinkMessage) -> (String, Interface) {
    let mut name = String::new();
    let kind = compile::Link::of(link.header.link_layer_type.into());
    let mut interface = Interface { index: link.header.index, link: kind, ..Interface::default() };
    let (mut parent, mut tag) = (None, None);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(given) => name.clone_from(given),
            LinkAttribute::Link(index) => parent = Some(*index),
            LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
            LinkAttribute::Address(address) => {
                interface.mac = address.as_slice().try_into().unwrap_or_default();
            }
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Data(InfoData::Vlan(vlan)) = info {
                        tag = vlan.iter().find_map(|part| match part {
                            InfoVlan::Id(id) => Some(*id),
                            _ => None,
                        });
                    }
                }
            }
            _ => {}
        }
    }
    interface.vlan_of = parent.zip(tag);
    (name, interface)
}

/// The interface's own address: on point-to-point links `IFA_LOCAL`, not that of the peer.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut own = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => return Some(*address),
            AddressAttribute::Address(address) => own = Some(*address),
            _ => {}
        }
    }
    own
}

/// Sends a dump request and hands over each answer.
fn dump(request: RouteNetlinkMessage, mut each: impl FnMut(RouteNetlinkMessage)) -> io::Result<()> {
    let socket = send(request, NLM_F_DUMP)?;
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let answer = parse(rest)?;
            let length = (answer.header.length as usize).next_multiple_of(4).clamp(16, rest.len());
            match answer.payload {
                NetlinkPayload::InnerMessage(inner) => each(inner),
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            rest = &rest[length..];
        }
    }
}

/// Word of links and addresses that came, changed or went.
pub struct Watch(Socket);

impl Watch {
    /// Listens from now on.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let groups = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR) as u32;
        socket.bind(&SocketAddr::new(0, groups))?;
        socket.set_non_blocking(true)?;
        Ok(Self(socket))
    }

    /// The descriptor to poll.
    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Takes what has come; whether there was anything. A queue that ran over counts as something.
    pub fn drain(&self) -> bool {
        let mut any = false;
        loop {
            match self.0.recv_from_full() {
                Ok(_) => any = true,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => any = true,
                Err(_) => return any,
            }
        }
    }
}
