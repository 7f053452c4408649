//! What the programs tell, as it lies in their ring.

use std::mem::offset_of;

use dropgate_abi::{
    event::{FLOW_END, FlowEnd, PACKET, PacketEvent, ShownEvent},
    from_bytes,
};

/// A record of the programs' ring.
pub enum Record {
    /// With its frame, if all of that is there.
    Packet(PacketEvent, Box<[u8]>),
    /// A flow has made room for another one, or was taken out.
    Ended(FlowEnd),
}

impl Record {
    /// `None`: this version does not know it.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        match from_bytes::<u32>(bytes)? {
            PACKET => from_bytes::<PacketEvent>(bytes).map(|event| {
                let shown = from_bytes::<ShownEvent>(bytes);
                let (length, lacks) = shown.map_or((0, 0), |shown| (shown.frame_len as usize, shown.lacks as usize));
                let frame = bytes.get(offset_of!(ShownEvent, frame)..).and_then(|frame| frame.get(..length));
                let frame = match frame.unwrap_or_default() {
                    frame if frame.is_empty() || lacks == 0 => frame.into(),
                    packet => as_frame(event.walk.ethertype, packet),
                };
                Self::Packet(event, frame)
            }),
            FLOW_END => from_bytes(bytes).map(Self::Ended),
            _ => None,
        }
    }
}

/// A packet of a device without link-layer header as a frame: addresses of zero, and its ethertype.
fn as_frame(ethertype: u16, packet: &[u8]) -> Box<[u8]> {
    [&[0; 12], &ethertype.to_be_bytes()[..], packet].concat().into()
}
