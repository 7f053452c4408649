//! Frames that no ordinary client sends.

use std::time::Duration;

use anyhow::Result;
use dropgate_lab::{Gateway, Namespace, RawSocket};
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};

/// How long a frame that must not arrive is waited for.
const PATIENCE: Duration = Duration::from_millis(300);

/// Both ends of the cable between a host and the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Cable {
    host: [u8; 6],
    gateway: [u8; 6],
}

impl Cable {
    /// Between `eth0` of a host and `interface` of the gateway.
    pub fn new(lab: &Gateway, host: &Namespace, interface: &str) -> Result<Self> {
        Ok(Self { host: host.mac("eth0")?, gateway: lab.gw.mac(interface)? })
    }

    /// A TCP segment without payload; `flags` are given by name.
    pub fn tcp(&self, from: [u8; 4], to: [u8; 4], ports: (u16, u16), fin: bool) -> Result<Vec<u8>> {
        let mut builder =
            PacketBuilder::ethernet2(self.host, self.gateway).ipv4(from, to, 64).tcp(ports.0, ports.1, 1, 1024).syn();
        if fin {
            builder = builder.fin();
        }
        let mut frame = Vec::new();
        builder.write(&mut frame, &[])?;
        Ok(frame)
    }

    /// A UDP datagram, in a frame with a VLAN tag if one is given.
    pub fn udp(&self, vlan: Option<u16>, from: [u8; 4], to: [u8; 4], ports: (u16, u16)) -> Result<Vec<u8>> {
        let payload = [MARK; 32];
        let mut frame = Vec::new();
        let ethernet = PacketBuilder::ethernet2(self.host, self.gateway);
        match vlan {
            Some(id) => {
                let tagged = ethernet.single_vlan(id.try_into()?).ipv4(from, to, 64).udp(ports.0, ports.1);
                tagged.write(&mut frame, &payload)?;
            }
            None => ethernet.ipv4(from, to, 64).udp(ports.0, ports.1).write(&mut frame, &payload)?,
        }
        Ok(frame)
    }

    /// A UDP datagram in two fragments.
    pub fn fragments(&self, from: [u8; 4], to: [u8; 4], ports: (u16, u16)) -> Result<[Vec<u8>; 2]> {
        let whole = self.udp(None, from, to, ports)?;
        // Behind the Ethernet and the IPv4 header: 8 bytes of UDP header, 32 of payload.
        let datagram = &whole[14 + 20..];
        let part = |bytes: &[u8], offset: u16, more: bool| -> Result<Vec<u8>> {
            let mut header = Ipv4Header::new(u16::try_from(bytes.len())?, 64, IpNumber::UDP, from, to)?;
            header.identification = 0x6472;
            header.more_fragments = more;
            header.fragment_offset = IpFragOffset::try_new(offset)?;
            header.header_checksum = header.calc_header_checksum();
            let mut frame = whole[..14].to_vec();
            header.write(&mut frame)?;
            frame.extend(bytes);
            Ok(frame)
        };
        Ok([part(&datagram[..24], 0, true)?, part(&datagram[24..], 3, false)?])
    }
}

/// Byte that fills every payload, so that a packet is known again behind the translation.
const MARK: u8 = 0xd9;

/// Sends frames on `eth0` of one host and says whether anything of them reached `eth0` of another.
pub fn send(frames: &[Vec<u8>], sender: &Namespace, receiver: &Namespace, port: u16) -> Result<bool> {
    let ears = RawSocket::open(receiver, "eth0")?;
    let mouth = RawSocket::open(sender, "eth0")?;
    for frame in frames {
        mouth.send(frame)?;
    }
    let [high, low] = port.to_be_bytes();
    // Ours: the payload's filler at the end, or our destination port where TCP and UDP have it.
    let ours = |frame: &[u8]| frame.ends_with(&[MARK; 8]) || frame.get(36..38) == Some(&[high, low]);
    Ok(ears.receive(PATIENCE, ours)?.is_some())
}
