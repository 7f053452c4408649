//! Both directions of a connection, and what each says about the other.

use dropgate_abi::{
    opening::{Opened, seen},
    reason::Reason,
};

use super::{
    Answer, Outcome,
    limits::{Limits, Urgent},
    segment::{Options, Segment, flag},
    side::{Side, WIDEST},
};
use crate::protocol::Direction;

/// A TCP connection under inspection. Its segments are to be given in the order of the wire, and what it answers is to be done:
/// it takes what it let go for sent.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    sides: [Option<Side>; 2],
    /// A SYN that is not this connection's, while it is not answered.
    again: Option<Again>,
    /// A SYN+ACK before the one that counts now. The client may have taken it.
    earlier: Option<Again>,
    /// The numbers of such SYNs, the first [`MANY`].
    others: Vec<u32>,
}

/// Different SYNs of one connection that are no more odd than that (Suricata's `stream.max-syn-queued`).
const MANY: usize = 10;

/// How far both sides of a connection had come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said([i64; 2]);

/// A SYN that would begin another connection, or this one otherwise.
#[derive(Clone, Copy, Debug)]
struct Again {
    direction: Direction,
    seq: u32,
    options: Options,
}

/// What a segment carries, still to be judged.
enum Carried {
    Judge,
    /// The receiver decides; nothing changes here.
    Pass,
}

/// A segment that acknowledges, and does nothing else.
const fn bare(direction: Direction, seq: u32, ack: u32) -> Segment<'static> {
    let options = Options { scale: None, timestamp: None, echo: None };
    Segment { direction, seq, ack, flags: flag::ACK, window: 0, urgent: 0, options, payload: &[] }
}

impl Connection {
    /// Nothing was seen yet. The first segment may be a SYN or, if [`Limits::adopt`] says so, any other.
    pub const fn new(limits: &Limits) -> Self {
        Self { limits: *limits, sides: [None, None], again: None, earlier: None, others: Vec::new() }
    }

    /// Judges a segment, whose packet the caller calls `token`.
    pub fn segment(&mut self, segment: &Segment<'_>, token: u32, out: &mut Outcome) -> Answer {
        out.clear();
        let answer = if segment.has(flag::RST) {
            self.rst(segment, out).map(|()| Answer::Release)
        } else {
            self.judge(segment, token, out)
        };
        answer.unwrap_or_else(Answer::Drop)
    }

    /// The stream's first bytes in this direction, up to [`Limits::prefix`].
    pub fn bytes(&self, direction: Direction) -> &[u8] {
        self.side(direction).map_or(&[], Side::prefix)
    }

    /// Whether the beginning of this direction was not seen.
    pub fn adopted(&self, direction: Direction) -> bool {
        self.side(direction).is_some_and(Side::is_adopted)
    }

    /// Packets held, in the order in which they would leave: for a caller that gives the connection up, to either end.
    pub fn held(&self) -> impl Iterator<Item = u32> {
        self.sides.iter().flatten().flat_map(Side::tokens)
    }

    /// Whether it was reset, or both sides have said all and had it acknowledged.
    pub fn over(&self) -> bool {
        let mut sides = self.sides.iter().flatten();
        sides.clone().any(Side::is_reset) || (self.sides.iter().all(Option::is_some) && sides.all(Side::finished))
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.sides.iter().flatten().map(Side::footprint).sum::<usize>()
    }

    /// Whether nothing more will be said in this direction: it was said to be its end, or the connection was reset.
    pub fn has_ended(&self, direction: Direction) -> bool {
        self.sides.iter().flatten().any(Side::is_reset) || self.side(direction).is_some_and(Side::has_said_all)
    }

    /// Whether both sides have begun and had that acknowledged, whatever came later.
    pub fn is_established(&self) -> bool {
        self.sides.iter().all(|side| side.as_ref().is_some_and(|side| !side.unanswered()))
    }

    /// Whether both sides have begun, and neither has ended.
    pub fn is_open(&self) -> bool {
        let mut sides = self.sides.iter();
        sides.all(|side| side.as_ref().is_some_and(|side| !side.is_reset() && !side.has_ended()))
    }

    /// How far both sides have come.
    pub fn said(&self) -> Said {
        Said(self.sides.each_ref().map(|side| side.as_ref().map_or(0, Side::next)))
    }

    /// Whether the receivers have acknowledged all of it. `depth`: bytes after which a side that never answers is taken to do
    /// so by another way.
    pub fn has_delivered(&self, said: &Said, depth: u64) -> bool {
        let unanswered = self.sides.iter().any(Option::is_none);
        let sides = self.sides.iter().zip(said.0);
        sides.filter_map(|(side, place)| Some((side.as_ref()?, place))).all(|(side, place)| {
            side.has_delivered(place) || unanswered && u64::try_from(side.next()).is_ok_and(|next| next > depth)
        })
    }

    /// The one direction of which something is not acknowledged yet, and the number that acknowledges all of it. `None` where that is
    /// so in both directions or in none, or where one of them was never seen.
    pub fn awaits(&self, said: &Said) -> Option<(Direction, u32)> {
        let [Some(to_server), Some(to_client)] = &self.sides else { return None };
        match (to_server.has_delivered(said.0[0]), to_client.has_delivered(said.0[1])) {
            (false, true) => Some((Direction::ToServer, to_server.acknowledged_by())),
            (true, false) => Some((Direction::ToClient, to_client.acknowledged_by())),
            _ => None,
        }
    }

    /// Takes in the first segments of both sides, which were seen elsewhere, before any other.
    pub fn opened(&mut self, opened: &[Opened; 2], out: &mut Outcome) {
        for (direction, side) in [(Direction::ToServer, &opened[0]), (Direction::ToClient, &opened[1])] {
            if side.seen != 0 {
                let flags = if direction == Direction::ToServer { flag::SYN } else { flag::SYN | flag::ACK };
                let options = Options {
                    scale: (side.seen & seen::SCALE != 0).then_some(side.scale),
                    timestamp: (side.seen & seen::TIMESTAMP != 0).then_some(side.timestamp),
                    // it was let through
                    echo: None,
                };
                // they carry nothing that could be held
                let ack = opened[0].seq.wrapping_add(1);
                self.segment(
                    &Segment { flags, window: side.window, options, ..bare(direction, side.seq, ack) },
                    0,
                    out,
                );
            }
        }
    }

    /// Takes in what the receiver of a direction was seen to acknowledge elsewhere, and the window that it announced.
    pub fn heard(&mut self, from: Direction, (ack, window): (u32, u16), out: &mut Outcome) {
        if let Some(side) = self.side(from) {
            let segment = Segment { window, ..bare(from, side.acknowledged_by(), ack) };
            self.segment(&segment, 0, out);
        }
    }

    fn side(&self, direction: Direction) -> Option<&Side> {
        self.sides[direction as usize].as_ref()
    }

    fn side_mut(&mut self, direction: Direction) -> Option<&mut Side> {
        self.sides[direction as usize].as_mut()
    }

    fn judge(&mut self, segment: &Segment<'_>, token: u32, out: &mut Outcome) -> Result<Answer, Reason> {
        let (mine, theirs) = (segment.direction, segment.direction.opposite());
        if segment.has(flag::URG) && self.limits.urgent == Urgent::Drop {
            return Err(Reason::tcp_urgent);
        }
        if segment.has(flag::SYN) {
            if segment.has(flag::FIN) {
                return Err(Reason::tcp_syn_fin);
            }
            let carried = if segment.has(flag::ACK) { self.syn_ack(segment, out)? } else { self.syn(segment, out)? };
            if matches!(carried, Carried::Pass) {
                return Ok(Answer::Release);
            }
        } else if !segment.has(flag::ACK) {
            // receivers drop it (RFC 9293, 3.10.7.4, fifth)
            return Err(Reason::tcp_without_ack);
        } else {
            self.answers(segment)?;
            self.choose(segment);
            self.adopt(segment)?;
        }
        let place = match self.side(theirs) {
            Some(side) if segment.has(flag::ACK) => Some(side.may_acknowledge(segment.ack, &self.limits)?),
            _ => None,
        };
        let limits = self.limits;
        let window = i64::from(segment.window) << self.shift(segment);
        let Some(side) = self.side_mut(mine) else { return Err(Reason::internal) };
        if side.is_reset() {
            return Err(Reason::tcp_after_reset);
        }
        let answer = side.data(segment, token, &limits, out)?;
        if let (Some(place), Some(side)) = (place, self.side_mut(theirs)) {
            side.acknowledge(place, window, &limits, out);
        }
        Ok(answer)
    }

    /// A SYN that acknowledges nothing: it begins this side, or may begin another connection.
    fn syn(&mut self, segment: &Segment<'_>, out: &mut Outcome) -> Result<Carried, Reason> {
        let mine = segment.direction;
        let begun = match (self.side(mine), self.side(mine.opposite())) {
            (Some(side), _) => side.began_with(segment.seq) && !side.is_reset(),
            // both sides open at once (RFC 9293, 3.5)
            (None, other) => {
                let begins = other.is_none_or(Side::unanswered);
                if begins {
                    self.sides[mine as usize] = Some(Side::from_syn(mine, segment.seq, segment.options));
                }
                begins
            }
        };
        if begun {
            if let Some(side) = self.side_mut(mine) {
                side.begins_again(segment.options);
            }
            return Ok(Carried::Judge);
        }
        // its receiver challenges it, or begins anew and says so by acknowledging it
        if !segment.payload.is_empty() {
            return Err(Reason::tcp_syn_conflict);
        }
        self.again = Some(Again { direction: mine, seq: segment.seq, options: segment.options });
        if !self.others.contains(&segment.seq) {
            if self.others.len() < MANY {
                self.others.push(segment.seq);
            } else {
                out.odd = Some(Reason::tcp_syn_flood);
            }
        }
        Ok(Carried::Pass)
    }

    /// A SYN that acknowledges one: from here on it is certain where both sides begin.
    fn syn_ack(&mut self, segment: &Segment<'_>, out: &mut Outcome) -> Result<Carried, Reason> {
        let (mine, theirs) = (segment.direction, segment.direction.opposite());
        if let Some(again) = self.again
            && again.direction == theirs
            && segment.ack == again.seq.wrapping_add(1)
        {
            self.again = None;
            for side in self.sides.iter_mut().flatten() {
                side.discard(Reason::tcp_syn_conflict, out);
            }
            self.sides = [None, None];
            self.sides[theirs as usize] = Some(Side::from_syn(theirs, again.seq, again.options));
            self.others.clear();
            out.restarted = true;
        }
        self.answers(segment)?;
        match self.side(theirs) {
            Some(side) => {
                side.may_acknowledge(segment.ack, &self.limits)?;
            }
            None if self.limits.adopt => self.sides[theirs as usize] = Some(Side::adopt(theirs, segment.ack)),
            None => return Err(Reason::tcp_mid_stream),
        }
        match self.side(mine) {
            Some(side) if side.began_with(segment.seq) => {}
            // a server that keeps no state may answer another time with another number, until one is taken
            Some(side) if !side.unanswered() => return Err(Reason::tcp_syn_conflict),
            before => {
                self.earlier =
                    before.map(|side| Again { direction: mine, seq: side.origin(), options: side.options() });
                self.sides[mine as usize] = Some(Side::from_syn(mine, segment.seq, segment.options));
            }
        }
        Ok(Carried::Judge)
    }

    /// The first segment of a side whose other one has said nothing but a SYN: its receiver drops it if it echoes no timestamp of that.
    fn answers(&self, segment: &Segment<'_>) -> Result<(), Reason> {
        let (mine, theirs) = (segment.direction, segment.direction.opposite());
        let first =
            self.side(mine).is_none() && self.again.is_none_or(|again| segment.ack != again.seq.wrapping_add(1));
        match self.side(theirs) {
            Some(side) if first && side.unanswered() && !side.is_echoed(segment) => Err(Reason::tcp_timestamp_old),
            _ => Ok(()),
        }
    }

    /// A segment of a client that was offered two beginnings says which one it has taken.
    fn choose(&mut self, segment: &Segment<'_>) {
        let theirs = segment.direction.opposite();
        if let Some(earlier) = self.earlier
            && earlier.direction == theirs
            && self.side(theirs).is_some_and(Side::unanswered)
            && segment.ack == earlier.seq.wrapping_add(1)
        {
            self.sides[theirs as usize] = Some(Side::from_syn(theirs, earlier.seq, earlier.options));
            self.earlier = None;
        }
    }

    /// Takes in sides whose beginning was not seen.
    fn adopt(&mut self, segment: &Segment<'_>) -> Result<(), Reason> {
        let mine = segment.direction;
        for (direction, next) in [(mine, segment.seq), (mine.opposite(), segment.ack)] {
            if self.side(direction).is_some() {
                continue;
            }
            if !self.limits.adopt {
                return Err(Reason::tcp_mid_stream);
            }
            self.sides[direction as usize] = Some(Side::adopt(direction, next));
        }
        Ok(())
    }

    /// The shift of the window that a segment announces (RFC 7323, 2.2 and 2.3): in effect when both SYNs offered one.
    fn shift(&self, segment: &Segment<'_>) -> u8 {
        if segment.has(flag::SYN) {
            return 0;
        }
        let offered = |direction| self.side(direction).map_or(Some(WIDEST), Side::scale);
        match (offered(segment.direction), offered(segment.direction.opposite())) {
            (Some(shift), Some(_)) => shift.min(WIDEST),
            _ => 0,
        }
    }

    fn rst(&mut self, segment: &Segment<'_>, out: &mut Outcome) -> Result<(), Reason> {
        let (mine, theirs) = (segment.direction, segment.direction.opposite());
        let refuses = |direction, seq: u32| direction == theirs && segment.ack == seq.wrapping_add(1);
        if segment.has(flag::ACK) && self.again.is_some_and(|again| refuses(again.direction, again.seq)) {
            self.again = None;
            return Ok(());
        }
        let alone = self.side(theirs).is_none();
        if let Some(side) = self.side_mut(mine) {
            // in answer to what was dropped: nothing has begun that it could end
            return if alone && side.unanswered() { Ok(()) } else { side.rst(segment, out) };
        }
        self.answers(segment)?;
        match self.side(theirs) {
            // a SYN refused (RFC 9293, 3.10.7.3): the sequence number is of no meaning
            Some(side) if segment.has(flag::ACK) => side.may_acknowledge(segment.ack, &self.limits).map(|_| ()),
            Some(side) if side.is_adopted() => Ok(()),
            Some(_) => Err(Reason::tcp_reset_invalid),
            None if self.limits.adopt => Ok(()),
            None => Err(Reason::tcp_mid_stream),
        }
    }
}
