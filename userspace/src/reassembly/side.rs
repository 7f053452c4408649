//! One direction of a connection: what its sender said, and how much of it the receiver has.

use dropgate_abi::reason::Reason;

use super::{
    Answer, Outcome,
    limits::{Ahead, Limits},
    memory::Memory,
    segment::{Options, Segment, flag},
};
use crate::protocol::Direction;

/// How far below what was acknowledged a segment may lie when no larger window was seen.
const REACH: i64 = 1 << 16;
/// Scale of windows whose option was not seen (RFC 7323, 2.3, has no larger one).
pub(super) const WIDEST: u8 = 14;

/// A packet kept by the caller.
#[derive(Clone, Copy, Debug)]
struct Held {
    token: u32,
    start: i64,
    end: i64,
}

/// Places in the stream count from the SYN, which has place 0; the first byte has place 1. They do not wrap.
#[derive(Debug)]
pub(super) struct Side {
    direction: Direction,
    /// The sequence number of place 0.
    origin: u32,
    /// Met in mid-stream: place 0 is not a SYN, and something came before it.
    adopted: bool,
    memory: Memory,
    /// What the receiver expects next, by its latest acknowledgement.
    acked: Option<i64>,
    /// The place after the last one that the receiver ever allowed.
    edge: Option<i64>,
    /// Largest window that the receiver ever allowed, or [`REACH`].
    reach: i64,
    /// Where the stream ends; this place is taken by the FIN.
    fin: Option<i64>,
    /// The sender has reset the connection.
    reset: bool,
    /// The shift of the windows that this side announces.
    scale: Option<u8>,
    /// The timestamp that the receiver has noted (TS.Recent), or an earlier one.
    timestamp: Option<u32>,
    /// The timestamp that its SYN said last, of those that said it again.
    offered: Option<u32>,
    held: Vec<Held>,
    prefix: Vec<u8>,
}

impl Side {
    fn new(direction: Direction, origin: u32, adopted: bool) -> Self {
        Self {
            direction,
            origin,
            adopted,
            memory: Memory::new(1),
            acked: None,
            edge: None,
            reach: REACH,
            fin: None,
            reset: false,
            scale: None,
            timestamp: None,
            offered: None,
            held: Vec::new(),
            prefix: Vec::new(),
        }
    }

    /// A side that begins with this SYN.
    pub fn from_syn(direction: Direction, seq: u32, options: Options) -> Self {
        let Options { scale, timestamp, .. } = options;
        Self { scale, timestamp, offered: timestamp, ..Self::new(direction, seq, false) }
    }

    /// Its SYN was said again.
    pub fn begins_again(&mut self, options: Options) {
        self.offered = self.offered.and(options.timestamp).or(self.offered);
    }

    /// Whether what answers its SYN may carry these timestamps: the SYN had some, and one of them is echoed. Receivers drop what
    /// does not, in this state also a RST (Linux, `tcp_rcv_synsent_state_process`). An echo of zero is none. Where the SYN had none, a
    /// SYN may all the same: some path took them from the client's.
    pub fn is_echoed(&self, segment: &Segment<'_>) -> bool {
        let Options { timestamp: Some(_), echo: Some(1..), .. } = segment.options else { return true };
        let echo = segment.options.echo.unwrap_or_default();
        match (self.timestamp, self.offered) {
            (Some(first), Some(last)) => echo.wrapping_sub(first) <= last.wrapping_sub(first),
            _ => segment.has(flag::SYN),
        }
    }

    /// A side met in mid-stream, whose next byte is expected at this sequence number.
    pub fn adopt(direction: Direction, next: u32) -> Self {
        Self { scale: Some(WIDEST), ..Self::new(direction, next.wrapping_sub(1), true) }
    }

    /// The place of a sequence number, taken as near as possible to what is expected.
    pub fn place(&self, seq: u32) -> i64 {
        let next = self.memory.next();
        let distance = seq.wrapping_sub(self.origin.wrapping_add(next as u32)) as i32;
        next + i64::from(distance)
    }

    /// Whether this side began with a SYN of this number.
    pub const fn began_with(&self, seq: u32) -> bool {
        !self.adopted && self.origin == seq
    }

    /// Whether nothing but a SYN was said, and nobody has acknowledged it.
    pub const fn unanswered(&self) -> bool {
        !self.adopted
            && self.acked.is_none()
            && self.memory.next() == 1
            && self.fin.is_none()
            && !self.reset
            && self.memory.runs() == 0
    }

    /// The number of its SYN.
    pub const fn origin(&self) -> u32 {
        self.origin
    }

    /// What its SYN offered.
    pub const fn options(&self) -> Options {
        Options { scale: self.scale, timestamp: self.timestamp, echo: None }
    }

    pub const fn is_adopted(&self) -> bool {
        self.adopted
    }

    pub const fn scale(&self) -> Option<u8> {
        self.scale
    }

    pub const fn is_reset(&self) -> bool {
        self.reset
    }

    /// The place after all that was let through without a gap, the FIN included.
    fn sent(&self) -> i64 {
        let next = self.memory.next();
        next + i64::from(self.fin == Some(next))
    }

    /// The sequence number that acknowledges all that was let through without a gap.
    pub fn acknowledged_by(&self) -> u32 {
        self.origin.wrapping_add(self.sent() as u32)
    }

    /// The place after the last byte that was let through without a gap.
    pub const fn next(&self) -> i64 {
        self.memory.next()
    }

    /// Whether the receiver has acknowledged what lies before this place, if anything was said before it.
    pub fn has_delivered(&self, place: i64) -> bool {
        place <= 1 || self.acked.is_some_and(|acked| acked >= place)
    }

    /// Whether it has said that it says no more.
    pub const fn has_ended(&self) -> bool {
        self.fin.is_some()
    }

    /// Whether its sender has said all that it will: up to its FIN, and nothing is missing before that.
    pub fn has_said_all(&self) -> bool {
        self.fin.is_some_and(|fin| self.memory.next() >= fin)
    }

    /// Whether the receiver has everything, the FIN included.
    pub fn finished(&self) -> bool {
        self.fin.is_some() && self.acked == Some(self.sent())
    }

    /// The stream's first bytes.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// Bytes of memory beyond its own size.
    pub fn footprint(&self) -> usize {
        self.memory.footprint() + self.prefix.capacity() + self.held.capacity() * size_of::<Held>()
    }

    /// Packets held.
    pub fn tokens(&self) -> impl Iterator<Item = u32> {
        self.held.iter().map(|held| held.token)
    }

    /// Whether the receiver can have meant this acknowledgement (RFC 5961, 5.2).
    pub fn may_acknowledge(&self, ack: u32, limits: &Limits) -> Result<i64, Reason> {
        let place = self.place(ack);
        let unseen = if self.adopted || limits.gaps { i64::from(i32::MAX) / 2 } else { 0 };
        let least = self.acked.map_or(1, |acked| acked - self.reach);
        if place > self.sent() + unseen || place < least && !(self.adopted && self.acked.is_none()) {
            return Err(Reason::tcp_ack_invalid);
        }
        if !self.adopted && place < 1 {
            return Err(Reason::tcp_ack_invalid);
        }
        Ok(place)
    }

    /// The receiver has everything before `place`, and allows `window` more bytes.
    pub fn acknowledge(&mut self, place: i64, window: i64, limits: &Limits, out: &mut Outcome) {
        let place = self.fin.map_or(place, |fin| place.min(fin + 1));
        while place > self.sent() {
            // what was remembered beyond the gap was not inspected yet
            let to = self.memory.ahead().map_or(place, |start| start.min(place));
            let to = self.fin.map_or(to, |fin| fin.min(to));
            let before = out.gap.map_or(0, |(_, bytes)| bytes);
            out.gap = Some((self.direction, before + u64::try_from(to - self.sent()).unwrap_or(0)));
            let range = self.memory.jump(to);
            self.arrived(range, limits, out);
        }
        self.acked = self.acked.max(Some(place));
        self.edge = self.edge.max(Some(place + window));
        self.reach = self.reach.max(window);
        self.memory.forget(place - limits.acknowledged as i64);
    }

    /// Judges what a segment carries.
    pub fn data(
        &mut self,
        segment: &Segment<'_>,
        token: u32,
        limits: &Limits,
        out: &mut Outcome,
    ) -> Result<Answer, Reason> {
        let payload = segment.payload;
        let start = self.place(segment.seq) + i64::from(segment.has(flag::SYN));
        let end = start + payload.len() as i64;
        let fin = segment.has(flag::FIN);
        if payload.is_empty() && !fin {
            return self.nothing_carried(start);
        }
        if self.is_keep_alive(start, end, fin) {
            return Ok(Answer::Release);
        }
        self.in_time(segment)?;
        self.in_window(start, end)?;
        self.before_end(end, fin)?;
        if !self.memory.agrees(start, payload) {
            return Err(Reason::tcp_bytes_differ);
        }
        let next = self.memory.next();
        let new_fin = fin && self.fin.is_none();
        if start > next && self.memory.covers(start, end) && !new_fin {
            return match limits.ahead {
                Ahead::Hold => Err(Reason::tcp_already_held),
                Ahead::Release => Ok(Answer::Release),
            };
        }
        if start > next {
            self.room_ahead(end, limits)?;
        } else if end > next {
            self.room(end, limits)?;
        }
        if new_fin {
            self.fin = Some(end);
        }
        let range = self.memory.put(start, payload);
        if start > next {
            if limits.ahead == Ahead::Release {
                return Ok(Answer::Release);
            }
            let at = self.held.partition_point(|held| held.start <= start);
            self.held.insert(at, Held { token, start, end });
            return Ok(Answer::Hold);
        }
        self.arrived(range, limits, out);
        self.note_timestamp(segment, start);
        Ok(Answer::Release)
    }

    /// A segment with neither data nor FIN: it changes no stream. One that a receiver cannot place is not worth passing on.
    fn nothing_carried(&self, start: i64) -> Result<Answer, Reason> {
        // the FIN takes a place of its own, also beyond the window
        let highest = self.edge.map_or(i64::MAX, |edge| edge + 1).max(self.memory.top() + 1);
        let lowest = self.acked.map_or(i64::MIN, |acked| acked - self.reach);
        if start > highest || start < lowest { Err(Reason::tcp_out_of_window) } else { Ok(Answer::Release) }
    }

    /// Whether this is the keep-alive of RFC 9293, 3.8.4 in its form with one byte, whose value is of no meaning: the receiver has
    /// said that it has that byte already.
    fn is_keep_alive(&self, start: i64, end: i64, fin: bool) -> bool {
        end - start == 1 && !fin && start + 1 == self.sent() && self.acked == Some(self.sent())
    }

    /// Whether the receiver would not drop it as old (PAWS: RFC 7323, 5.3).
    fn in_time(&self, segment: &Segment<'_>) -> Result<(), Reason> {
        match (segment.options.timestamp, self.timestamp) {
            (Some(now), Some(noted)) if (now.wrapping_sub(noted) as i32) < 0 => Err(Reason::tcp_timestamp_old),
            _ => Ok(()),
        }
    }

    /// The receiver notes the timestamp of a segment that holds the byte it expected when it last acknowledged (RFC 7323, 4.3).
    /// That acknowledgement may not have come here yet: then less is noted here than there.
    fn note_timestamp(&mut self, segment: &Segment<'_>, start: i64) {
        let newer = |now: u32, noted: Option<u32>| noted.is_none_or(|noted| now.wrapping_sub(noted) as i32 > 0);
        if let Some(now) = segment.options.timestamp
            && self.acked.is_some_and(|acked| start <= acked)
            && newer(now, self.timestamp)
        {
            self.timestamp = Some(now);
        }
    }

    /// Whether the bytes lie where the receiver may take them, or where they can be compared.
    fn in_window(&self, start: i64, end: i64) -> Result<(), Reason> {
        // a probe of a closed window is one byte long (RFC 9293, 3.8.6.1)
        let probe = i64::from(end - start == 1);
        if self.edge.is_some_and(|edge| end > edge + probe) {
            return Err(Reason::tcp_out_of_window);
        }
        if !self.adopted && start < 1 {
            return Err(Reason::tcp_out_of_window);
        }
        if self.acked.is_some_and(|acked| start < acked - self.reach) {
            return Err(Reason::tcp_out_of_window);
        }
        // what was forgotten and is not known to have arrived
        if start < self.memory.base() && end.min(self.memory.base()) > self.acked.unwrap_or(1).max(1) {
            return Err(Reason::tcp_bytes_forgotten);
        }
        Ok(())
    }

    /// Whether it keeps to the end of the stream, where that is known; a FIN must not cut off what was said.
    fn before_end(&self, end: i64, fin: bool) -> Result<(), Reason> {
        match self.fin {
            Some(place) if end > place => Err(Reason::tcp_after_fin),
            Some(place) if fin && end != place => Err(Reason::tcp_fin_moved),
            None if fin && end < self.memory.top() => Err(Reason::tcp_fin_moved),
            _ => Ok(()),
        }
    }

    fn room_ahead(&self, end: i64, limits: &Limits) -> Result<(), Reason> {
        let packets = self.held.len().max(self.memory.runs());
        if end - self.memory.next() > limits.ahead_bytes as i64 || packets >= limits.ahead_packets {
            return Err(Reason::tcp_held_limit);
        }
        Ok(())
    }

    fn room(&self, end: i64, limits: &Limits) -> Result<(), Reason> {
        match self.acked {
            Some(acked) if end - acked.max(1) > limits.unacknowledged as i64 => Err(Reason::tcp_unacknowledged_limit),
            _ => Ok(()),
        }
    }

    /// These places have no gap before them any more: they are said, and packets that waited for them may leave.
    fn arrived(&mut self, range: std::ops::Range<i64>, limits: &Limits, out: &mut Outcome) {
        let next = self.memory.next();
        let new = self.memory.range(range);
        out.streams[self.direction as usize].extend_from_slice(new);
        let room = limits.prefix.saturating_sub(self.prefix.len()).min(new.len());
        self.prefix.extend_from_slice(&new[..room]);
        self.held.retain(|held| {
            if held.end <= next {
                out.let_go.push(held.token);
            }
            held.end > next
        });
        if self.acked.is_none() {
            // the receiver's packets do not come this way
            self.memory.forget(next - limits.unacknowledged as i64);
        }
    }

    /// Judges a RST of this side (RFC 5961, 3.2). One that the receiver obeys ends what this side may say; one that it answers with
    /// a challenge, or obeys because it is older than that, goes on and changes nothing here.
    pub fn rst(&mut self, segment: &Segment<'_>, out: &mut Outcome) -> Result<(), Reason> {
        let place = self.place(segment.seq);
        // it is obeyed all the same (RFC 7323, 5.2)
        out.odd = self.in_time(segment).err();
        if place == self.sent() || self.acked == Some(place) {
            self.reset = true;
            self.discard(Reason::tcp_after_reset, out);
            return Ok(());
        }
        // one that comes late says what was expected when it was sent
        let lowest = self.acked.map_or(if self.adopted { i64::MIN } else { 1 }, |acked| acked - self.reach);
        let highest = self.edge.unwrap_or(self.memory.top() + REACH);
        if (lowest..=highest).contains(&place) { Ok(()) } else { Err(Reason::tcp_reset_invalid) }
    }

    /// Gives up what is held.
    pub fn discard(&mut self, reason: Reason, out: &mut Outcome) {
        out.discard.extend(self.held.drain(..).map(|held| (held.token, reason)));
    }
}
