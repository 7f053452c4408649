//! One conversation of a flow: what is said from its start on, what that is, and what is followed of it then.

mod second;

use std::net::IpAddr;

use dropgate_abi::hold::Held;
use dropgate_signatures::protocol::App;

use self::second::Second;
use super::{
    expect::{Expected, Rules},
    follow::Follow,
    packet::Packet,
    proxy::{Access, Asked},
    related::Control,
    watch::Signatures,
};
use crate::{
    app::{self, Parser, http2::Upgrade},
    protocol::{self, Candidates, Direction, Protocol, Spoken, Stream},
};

/// Most bytes of each direction that identification is shown.
const PREFIX: usize = 16 << 10;
/// Bytes of each direction that may wait to be read. What exceeds it comes with one packet.
const UNREAD: usize = 64 << 10;

/// What one datagram says.
pub(super) type Datagram = (Direction, Box<[u8]>);

/// Who speaks, and the server's port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parties {
    pub client: IpAddr,
    pub server: IpAddr,
    pub port: u16,
}

impl Parties {
    /// Those of a held packet.
    pub fn of(held: &Held, packet: &Packet<'_>) -> Self {
        let (source, destination) = (packet.source(), packet.destination());
        if held.direction == 0 {
            Self { client: source, server: destination, port: packet.walk.dport }
        } else {
            Self { client: destination, server: source, port: packet.walk.sport }
        }
    }
}

/// How far it is with a conversation.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// It is not known yet what is spoken.
    #[default]
    Identify,
    /// What is spoken was compared with what is expected.
    Compared,
    /// It is read on.
    Follow(Follow),
    /// It is STUN, and what the two ends speak then shows in later datagrams.
    Carry,
    /// It is none that is known, which was told. Its later datagrams are looked at as if it began with them.
    Anew,
    /// Nothing more is wanted of it.
    Over,
}

/// A conversation. The first one of a flow begins with it; others begin where one agrees to change into something else: to
/// TLS (STARTTLS), or to what a proxy passes on.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// By direction: what was said and not read yet. All of it until it is known what is spoken.
    unread: [Vec<u8>; 2],
    /// Who said something first.
    first: Option<Direction>,
    /// More was said than is kept.
    overflowed: bool,
    pub candidates: Candidates,
    /// It is not what is expected, whatever it turns out to be, and ends for that.
    pub hopeless: bool,
    pub spoken: Spoken,
    /// Payload so far, both directions.
    pub bytes: u64,
    /// When its first payload came, by the caller's clock.
    pub since_ns: Option<u64>,
    pub expected: Expected,
    pub stage: Stage,
    /// What was asked of a proxy last, and what the allowlist says of it.
    pub asked: Option<(Asked, Access)>,
    /// Reads what is said for rules and events, from when it is known what is spoken.
    parser: Option<Box<dyn Parser>>,
    /// The request by which another version of HTTP became this conversation, until it is read.
    asked_before: Option<Box<Upgrade>>,
    /// It has begun to read, and of both directions what was said before.
    fresh: bool,
    /// What rules call it, once it is known.
    app: App,
    /// It is a data connection of FTP.
    is_data: bool,
    /// Who speaks, of a conversation that is read.
    parties: Option<Parties>,
    /// What the end speaks that spoke second.
    second: Second,
    /// That was told of.
    mismatch_told: bool,
    /// What it lies in, for people: `STARTTLS`, `CONNECT www.example:443`.
    pub within: Option<String>,
}

impl Layer {
    /// A conversation in another one, of which this was said so far.
    pub fn within(what: String, expected: Expected, said: [Vec<u8>; 2], rules: &Rules) -> Self {
        let bytes = said.iter().map(|said| said.len() as u64).sum();
        let mut layer = Self { unread: said, bytes, expected, within: Some(what), ..Self::default() };
        layer.look(rules);
        layer
    }

    /// A conversation of datagrams to this port, of which it is known already what is spoken.
    pub fn of(spoken: Spoken, port: u16) -> Self {
        let mut layer = Self { spoken, stage: Stage::Over, ..Self::default() };
        if let Spoken::Known(protocol, ..) = spoken {
            layer.app = app::app(protocol, true, port);
        }
        layer
    }

    /// Takes the next bytes of both directions.
    pub fn hear(&mut self, to_server: &[u8], to_client: &[u8], rules: &Rules) {
        let read = matches!(self.stage, Stage::Identify | Stage::Follow(_));
        for (unread, bytes) in self.unread.iter_mut().zip([to_server, to_client]) {
            self.bytes += bytes.len() as u64;
            if !read {
                continue;
            }
            if unread.len() < UNREAD {
                unread.extend_from_slice(bytes);
            } else {
                self.overflowed |= !bytes.is_empty();
            }
        }
        if let Some(parser) = &mut self.parser {
            for (direction, said) in [(Direction::ToServer, to_server), (Direction::ToClient, to_client)] {
                if !said.is_empty() {
                    parser.hear(direction, said);
                }
            }
            self.expect_transfers(rules.signatures.as_ref());
        } else if self.first.is_none() {
            self.first = [(Direction::ToServer, to_server), (Direction::ToClient, to_client)]
                .into_iter()
                .find_map(|(direction, said)| (!said.is_empty()).then_some(direction));
        }
        if self.spoken != Spoken::Pending {
            let spoken = matches!(self.spoken, Spoken::Known(..)).then_some(self.app);
            self.second.hear([to_server, to_client], spoken);
        }
        if read && !(to_server.is_empty() && to_client.is_empty()) {
            self.look(rules);
        }
    }

    /// Looks at what was said, if it is not known yet what is spoken.
    pub fn look(&mut self, rules: &Rules) {
        if self.spoken == Spoken::Pending && self.unread.iter().any(|unread| !unread.is_empty()) {
            let most = usize::try_from(rules.inspection.depth).unwrap_or(PREFIX).min(PREFIX);
            let [to_server, to_client] = self.unread.each_ref().map(|unread| &unread[..unread.len().min(most)]);
            self.spoken = protocol::stream(Stream { to_server, to_client }, &mut self.candidates);
            if rules.signatures.is_some() {
                self.second = Second::of(&self.spoken, [to_server, to_client]);
            }
        }
    }

    /// It is known what is spoken, and nothing of what was said was taken out yet: whoever reads it for rules begins.
    pub fn begin(
        &mut self,
        parties: Parties,
        datagrams: Option<&[Datagram]>,
        signatures: Option<&Signatures>,
        unix_s: i64,
    ) {
        let Some(signatures) = signatures else { return };
        let transfers = (datagrams.is_none() && self.within.is_none()).then_some(&signatures.transfers);
        let data = transfers.and_then(|transfers| transfers.take(parties.client, parties.server, parties.port));
        let mut parser: Box<dyn Parser> = match (data, self.spoken) {
            // whatever it looks like
            (Some(transfer), _) => {
                (self.is_data, self.app) = (true, App::FtpData);
                Box::new(app::ftp::Data::new(transfer, &signatures.limits))
            }
            (None, Spoken::Known(protocol, ..)) => {
                self.app = app::app(protocol, datagrams.is_some(), parties.port);
                let Some(parser) = app::parser(self.app, datagrams.is_some(), &signatures.limits) else { return };
                parser
            }
            (None, _) => return,
        };
        parser.tick(unix_s);
        parser.between(parties.client, parties.server);
        if let Some(asked) = self.asked_before.take() {
            parser.follows(&asked);
        }
        if let Some(datagrams) = datagrams {
            datagrams.iter().for_each(|(direction, said)| parser.hear(*direction, said));
        } else {
            let first = self.first.unwrap_or(Direction::ToServer);
            for direction in [first, first.opposite()] {
                if !self.said(direction).is_empty() {
                    parser.hear(direction, self.said(direction));
                }
            }
        }
        (self.parser, self.fresh, self.parties) = (Some(parser), true, Some(parties));
        self.expect_transfers(Some(signatures));
    }

    /// What the first end says is nothing that is known, and what the other one says is: that is read from its beginning on.
    pub fn begin_second(&mut self, parties: Parties, signatures: &Signatures) {
        let (Spoken::Unknown, None, Second::Found(direction, app, said)) =
            (self.spoken, &self.parser, &mut self.second)
        else {
            return;
        };
        let Some(mut parser) = app::parser(*app, false, &signatures.limits) else { return };
        parser.between(parties.client, parties.server);
        // what nobody understood may be a request that is not as it should be
        let first = &self.unread[direction.opposite() as usize];
        if !self.overflowed && !first.is_empty() {
            parser.hear(direction.opposite(), first);
        }
        parser.hear(*direction, &std::mem::take(said));
        (self.parser, self.parties) = (Some(parser), Some(parties));
    }

    /// Whether it is not known yet what the end speaks that speaks second. One that has heard so much speaks nothing that would
    /// be known.
    pub const fn awaits_second(&self) -> bool {
        self.second.is_awaited() && self.bytes < PREFIX as u64
    }

    /// Who speaks something else than what is spoken, and what, where that is known of both.
    pub fn mismatch(&self) -> Option<(Direction, App)> {
        self.second.found().filter(|_| matches!(self.spoken, Spoken::Known(..)))
    }

    /// The same, once.
    pub fn take_mismatch(&mut self) -> Option<(Direction, App)> {
        let found = self.mismatch().filter(|_| !self.mismatch_told);
        self.mismatch_told |= found.is_some();
        found
    }

    /// Remembers what was asked for on a control channel, for its data connections.
    fn expect_transfers(&mut self, signatures: Option<&Signatures>) {
        let (Some(parser), Some(parties), Some(signatures)) = (&mut self.parser, self.parties, signatures) else {
            return;
        };
        for transfer in parser.take_transfers() {
            signatures.transfers.expect(parties.client, parties.server, transfer);
        }
    }

    /// Whether it has begun to be read since this was asked last, with what both directions have said before.
    pub const fn take_fresh(&mut self) -> bool {
        std::mem::replace(&mut self.fresh, false)
    }

    /// It takes over from another one, which is read no further.
    pub fn take_over(&mut self, before: &dyn Parser) {
        let Some(asked) = before.transactions().last().and_then(|last| Upgrade::of(*last)) else { return };
        match &mut self.parser {
            Some(parser) => parser.follows(&asked),
            None => self.asked_before = Some(Box::new(asked)),
        }
    }

    /// Nothing more will be said in a direction.
    pub fn end(&mut self, direction: Direction) {
        if let Some(parser) = &mut self.parser {
            parser.end(direction);
        }
    }

    /// What rules call it.
    pub fn app(&self) -> App {
        match self.spoken {
            _ if self.is_data => App::FtpData,
            Spoken::Known(..) => self.app,
            Spoken::Unknown => match self.second.found() {
                Some((_, app)) => app,
                None => App::Failed,
            },
            Spoken::Pending => App::Unknown,
        }
    }

    /// Who reads it for rules and events.
    pub fn parser(&mut self) -> Option<&mut (dyn Parser + 'static)> {
        self.parser.as_deref_mut()
    }

    /// The same, who reads no further.
    pub fn take_parser(&mut self) -> Option<Box<dyn Parser>> {
        self.parser.take()
    }

    /// So many bytes were never seen: where it is read on, nobody knows any more what belongs to what.
    pub fn lost(&mut self, direction: Direction, bytes: u64) {
        if let Some(parser) = &mut self.parser {
            parser.lost(direction, bytes);
        }
        if matches!(self.stage, Stage::Follow(_)) {
            self.stage = Stage::Over;
        }
    }

    /// What was said and not read yet.
    pub fn said(&self, direction: Direction) -> &[u8] {
        &self.unread[direction as usize]
    }

    /// More was said than can be read any more.
    pub const fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let parser = self.parser.as_ref().map_or(0, |parser| parser.footprint());
        parser + size_of::<Self>() + self.second.footprint() + self.unread.iter().map(Vec::capacity).sum::<usize>()
    }

    /// Whether what comes after STUN is looked at.
    pub const fn is_carrying(&self) -> bool {
        matches!(self.stage, Stage::Carry)
    }

    /// What datagrams say.
    pub fn datagrams(&mut self, said: &[(Direction, &[u8])]) {
        if self.spoken == Spoken::Pending {
            self.spoken = protocol::datagrams(protocol::Datagrams { said }, &mut self.candidates);
        }
    }

    /// What one datagram says, for whoever reads on.
    pub fn hear_datagram(&mut self, direction: Direction, payload: &[u8]) {
        self.bytes += payload.len() as u64;
        if let Some(parser) = &mut self.parser {
            parser.hear(direction, payload);
        }
        let unread = &mut self.unread[direction as usize];
        unread.clear();
        unread.extend_from_slice(payload);
    }

    /// The control channel that is read on, if it is one.
    pub const fn control(&mut self) -> Option<&mut Control> {
        match &mut self.stage {
            Stage::Follow(Follow::Control(control)) => Some(control),
            _ => None,
        }
    }

    /// Whether it may yet turn out that a proxy is asked on it.
    pub const fn may_ask_a_proxy(&self) -> bool {
        self.candidates.may_be(Protocol::Http) || self.candidates.may_be(Protocol::Socks)
    }

    /// Whether a proxy is asked on it, and may be asked again.
    pub const fn is_proxied(&self) -> bool {
        matches!(&self.stage, Stage::Follow(follow) if follow.is_proxy())
    }

    /// Whether it is a control channel that is read on.
    pub const fn is_control(&self) -> bool {
        matches!(self.stage, Stage::Follow(Follow::Control(_)))
    }

    /// What is read on, if it is, and what it reads.
    pub fn follow(&mut self) -> Option<(&mut Follow, &mut [Vec<u8>; 2])> {
        match &mut self.stage {
            Stage::Follow(follow) => Some((follow, &mut self.unread)),
            _ => None,
        }
    }

    /// The conversation changes here: what was said behind that place.
    pub fn rest(&mut self) -> [Vec<u8>; 2] {
        std::mem::take(&mut self.unread)
    }

    /// Whether the client has said something that only an answer can tell the meaning of: it must not come before that.
    pub fn awaits_answer(&self) -> bool {
        matches!(&self.stage, Stage::Follow(follow) if follow.awaits_answer(&self.unread))
    }

    /// Whether something was said of which more is needed before it can be judged.
    pub fn is_midway(&self) -> bool {
        match &self.stage {
            Stage::Identify => self.bytes > 0,
            Stage::Follow(follow) => follow.is_midway(&self.unread),
            Stage::Compared | Stage::Carry | Stage::Anew | Stage::Over => false,
        }
    }
}
