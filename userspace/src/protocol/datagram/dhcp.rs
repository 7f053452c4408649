//! DHCP (RFC 2131) by BOOTP's fixed part, the magic cookie and the options; DHCPv6 (RFC 8415) by its options.

use super::{
    Answer, Datagrams, Look, each,
    wire::{Bytes, must},
};

const MAGIC: u32 = 0x6382_5363;

/// One message tells.
pub fn detect(said: Datagrams<'_>) -> Answer {
    each(said, |_, datagram| Look::whole(datagram, message(datagram).or_else(|| message6(datagram))))
}

fn message(datagram: &[u8]) -> Option<()> {
    let mut bytes = Bytes::new(datagram);
    must(matches!(bytes.u8()?, 1 | 2))?;
    let [hardware, address, _hops] = bytes.array()?;
    must(hardware != 0 && address <= 16)?;
    // up to the end of the boot file's name
    bytes.take(232)?;
    must(bytes.u32()? == MAGIC)?;
    // BOOTP has the same cookie (RFC 1497) and no message type
    loop {
        match bytes.u8()? {
            0 => {}
            255 => return Some(()),
            53 => {
                let kind = bytes.short_vector()?;
                must(kind.len() == 1 && matches!(kind[0], 1..=18))?;
            }
            _ => {
                bytes.short_vector()?;
            }
        }
        if bytes.is_empty() {
            // some leave the end out
            return Some(());
        }
    }
}

fn message6(datagram: &[u8]) -> Option<()> {
    const CLIENT: u16 = 1;
    const SERVER: u16 = 2;
    const RELAYED: u16 = 9;
    let mut bytes = Bytes::new(datagram);
    match bytes.u8()? {
        1..=11 => {
            bytes.u24()?;
        }
        // through a relay: hops and two addresses
        12 | 13 => {
            must(bytes.u8()? <= 32)?;
            bytes.take(32)?;
        }
        _ => return None,
    }
    let mut told = false;
    while !bytes.is_empty() {
        let code = bytes.u16()?;
        must((1..=150).contains(&code))?;
        let option = bytes.vector()?;
        match code {
            // a DUID of one of the four kinds
            CLIENT | SERVER => {
                let mut identifier = Bytes::new(option);
                must(matches!(identifier.u16()?, 1..=4) && identifier.rest.len() >= 4)?;
                told = true;
            }
            RELAYED => {
                must(matches!(option.first()?, 1..=13))?;
                told = true;
            }
            _ => {}
        }
    }
    must(told)
}
