//! The packet in a tunnel, which is inspected in place of the frame that carries it. What leaves is the frame, whole.

use std::borrow::Cow;

use dropgate_abi::{
    hold::{Held, part},
    walk::Walk,
};

use super::Packet;

/// Bytes of the two hardware addresses.
const ADDRESSES: usize = 12;

/// What is inspected of a held frame: itself or, of one whose inner packet was judged, that packet behind the frame's hardware
/// addresses. `None`: there is none that can be read, and the frame must not leave. Fragments are read where they are put together.
pub fn shown<'a>(held: &Held, frame: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if held.inner == 0 {
        return Some(Cow::Borrowed(frame));
    }
    let (addresses, inner) = (frame.get(..ADDRESSES)?, frame.get(usize::from(held.inner)..)?);
    let ethertype: [u8; 2] = match inner.first()? >> 4 {
        4 => [0x08, 0x00],
        6 => [0x86, 0xdd],
        _ => return None,
    };
    let shown = [addresses, &ethertype, inner].concat();
    if matches!(held.part, part::WHOLE | part::ERROR) {
        Packet::read(&shown)?;
    }
    Some(Cow::Owned(shown))
}

/// What there is to read in what is [`shown`], and the tunnel that it was in.
pub(super) fn walk(held: &Held, shown: &[u8]) -> Walk {
    let (walk, _) = dropgate_xdp::read(shown);
    Walk { tunnel: held.tunnel, network: held.network, ..walk }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    #[test]
    fn cut_at_every_byte() {
        let mut inner = Vec::new();
        let builder = PacketBuilder::ipv4([10, 10, 0, 5], [203, 0, 113, 9], 64).tcp(40_000, 443, 1000, 8192).ack(7);
        builder.write(&mut inner, b"hello").unwrap();
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 10, 0, 1], [203, 0, 113, 1], 64);
        builder.write(&mut frame, etherparse::IpNumber(4), &inner).unwrap();
        let held = Held { inner: 34, ..Held::default() };
        let whole = shown(&held, &frame).unwrap();
        let packet = Packet::read(&whole).unwrap();
        assert_eq!((packet.payload(), packet.destination().to_string()), (&b"hello"[..], "203.0.113.9".to_owned()));
        for length in 0..frame.len() {
            assert!(shown(&held, &frame[..length]).is_none(), "{length} bytes");
        }
        assert_eq!(&*shown(&Held::default(), &frame).unwrap(), &*frame);
        assert!(shown(&Held { inner: 35, ..held }, &frame).is_none());
    }
}
