//! Flows of which a capture has the server's packets first, or alone.
//!
//! The programs take from the outside what belongs to a flow that somebody inside has begun, and the beginning is what such a
//! capture lacks. With `--initiator-inside`, where the zone's state is loose, they are shown one: a datagram without
//! payload, or a segment without data. It is no packet of the capture: it has no line, and the flow's counters leave it out.

use std::collections::HashMap;

use dropgate_abi::{
    event::{FLOW_END, FlowEnd},
    flow::Flow,
    from_bytes,
};
use etherparse::{LaxNetSlice, LaxSlicedPacket, PacketBuilder, TcpHeader, TransportSlice};

use super::{INSIDE_OUT, Judge, OneCapture, Replay};
use crate::view::{peek::peek, ports::retagged};

/// In a word of [`Flow::tally`]: a SYN was seen.
const SYN_SEEN: u64 = 2 << 56;

/// Time to live of a packet that was never sent.
const TTL: u8 = 64;
/// Window of a segment that says nothing of its scale.
const WINDOW: u16 = u16::MAX;

impl<J: Judge> Replay<'_, J> {
    /// Shows the programs the beginning that the capture lacks of the flow to which `answer` belongs.
    pub(super) fn open(&mut self, answer: &[u8], capture: &mut OneCapture) {
        let (from, to) = INSIDE_OUT;
        let (Some(frame), Some(place)) = (opening(answer), self.ports.place(from, to)) else { return };
        let mut room = Vec::new();
        let frame = retagged(&frame, &place, &mut room);
        let other = capture.stand_ins.show(frame, &peek(frame), true);
        let shown = other.as_deref().unwrap_or(frame);
        if let Ok(walk) = self.judge.judge(place.hook, place.ifindex, place.from_ifindex, self.now_ns, shown)
            && walk.flow_id != 0
        {
            capture.openings.began(walk.flow_id, walk.ip_len.into());
        }
        // that it was judged is no news
        self.judge.told(&mut |record| {
            if from_bytes::<u32>(record) == Some(FLOW_END) {
                capture.ended.extend(from_bytes::<FlowEnd>(record));
            }
        });
    }
}

/// The packet that may have come before `frame`, which is an answer; `None` where that is no TCP or UDP.
fn opening(frame: &[u8]) -> Option<Vec<u8>> {
    let answer = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let builder = PacketBuilder::ethernet2(frame.get(..6)?.try_into().ok()?, frame.get(6..12)?.try_into().ok()?);
    let builder = match answer.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => builder.ipv4(ip.header().destination(), ip.header().source(), TTL),
        LaxNetSlice::Ipv6(ip) => builder.ipv6(ip.header().destination(), ip.header().source(), TTL),
        LaxNetSlice::Arp(_) => return None,
    };
    let mut opening = Vec::new();
    let written = match answer.transport.as_ref()? {
        TransportSlice::Udp(udp) => builder.udp(udp.destination_port(), udp.source_port()).write(&mut opening, &[]),
        TransportSlice::Tcp(tcp) => {
            let starts = tcp.syn() && tcp.ack();
            let seq = tcp.acknowledgment_number().wrapping_sub(u32::from(starts));
            let mut header = TcpHeader::new(tcp.destination_port(), tcp.source_port(), seq, WINDOW);
            header.syn = starts;
            header.ack = !starts;
            header.acknowledgment_number = if starts { 0 } else { tcp.sequence_number() };
            builder.tcp_header(header).write(&mut opening, &[])
        }
        _ => return None,
    };
    written.ok().map(|()| opening)
}

/// Openings shown in one capture, by the flow that each began: bytes of the IP packet.
#[derive(Default)]
pub struct Openings(HashMap<u64, u64>);

impl Openings {
    /// An opening of so many bytes, of a flow that it began.
    pub fn began(&mut self, flow: u64, bytes: u64) {
        self.0.insert(flow, bytes);
    }

    /// What a flow is without its opening.
    pub fn leave_out(&mut self, flow: &mut Flow) {
        if let Some(bytes) = self.0.remove(&flow.id) {
            // the flags were the opening's alone: what began in its middle has no SYN
            flow.tally[0] = flow.tally[0].saturating_sub(1) & !SYN_SEEN;
            flow.bytes[0] = flow.bytes[0].saturating_sub(bytes);
        }
    }
}
