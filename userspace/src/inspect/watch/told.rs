//! What is told of a packet: which rules matched, and what was said, once it is complete.

use std::sync::Arc;

use dropgate_signatures::{
    engine::{Explained, Outcome, Scratch, Verdict},
    protocol::App,
    rule::Rule,
    subject::Direction,
};

use crate::app::{Exchange, Object, Parser, Record};

/// A rule has matched.
#[derive(Clone, Debug)]
pub struct Alerted {
    pub rule: Arc<Rule>,
    /// Its packet, and with it the flow, ends for that.
    pub blocked: bool,
    pub transaction: Option<u64>,
    pub direction: Direction,
    pub app: App,
    pub original_app: Option<App>,
    /// What was said in that transaction.
    pub context: Vec<Record>,
    /// It matched what was said rather than the packet: the last of that, where alerts are to have it.
    pub said: Option<Box<[u8]>>,
}

impl Alerted {
    /// That a rule has matched a packet that belongs to no flow.
    pub(super) const fn of_packet(rule: Arc<Rule>, direction: Direction) -> Self {
        Self {
            rule,
            blocked: false,
            transaction: None,
            direction,
            app: App::Unknown,
            original_app: None,
            context: Vec::new(),
            said: None,
        }
    }
}

/// Something that was said, complete.
#[derive(Clone, Debug)]
pub struct Logged {
    pub record: Record,
    /// What stands in its event beside it.
    pub beside: Vec<Record>,
    /// `None`: it is about the flow.
    pub transaction: Option<u64>,
    pub app: App,
    pub original_app: Option<App>,
}

impl Logged {
    /// That the two ends speak something else.
    pub(super) fn mismatch(direction: Direction, app: App, original_app: Option<App>) -> Self {
        let mut object = Object::new();
        object.put("app_proto", app.told());
        object.put("event", "APPLAYER_MISMATCH_PROTOCOL_BOTH_DIRECTIONS");
        object.put("layer", "proto_detect");
        object.put("type", "applayer");
        Self {
            record: object.record("anomaly").by(direction),
            beside: Vec::new(),
            transaction: None,
            app,
            original_app,
        }
    }
}

/// A rule that was a candidate, and what became of it.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub rule: Arc<Rule>,
    pub explained: Explained,
    /// Whose words it was asked about.
    pub direction: Direction,
}

/// What is told of a packet.
#[derive(Default, Debug)]
pub struct Watched {
    pub alerts: Vec<Alerted>,
    pub logged: Vec<Logged>,
    /// What rules say of the packet, and the one for which it is dropped.
    pub verdict: Verdict,
    pub dropped_by: Option<Arc<Rule>>,
    /// What `pcre` has captured of it.
    pub captured: Vec<(Arc<str>, Box<[u8]>)>,
    /// Rules that have hit their limits of work.
    pub limited: Vec<Arc<Rule>>,
    /// What became of each rule that was a candidate is to be told.
    pub explain: bool,
    /// The same, once rules were asked.
    pub explained: Option<Vec<Candidate>>,
    pub(super) scratch: Scratch,
    pub(super) outcome: Outcome,
}

impl Watched {
    /// Empty, for the next packet.
    pub fn clear(&mut self) {
        self.alerts.clear();
        self.logged.clear();
        self.limited.clear();
        self.captured.clear();
        (self.verdict, self.dropped_by, self.explained) = (Verdict::Continue, None, None);
    }
}

/// Tells of the transactions that are over, if what is said is `log`ged, and forgets them. Whether any are left.
pub(super) fn tell(parser: &mut dyn Parser, log: bool, original_app: Option<App>, out: &mut Watched) -> bool {
    let mut forgotten = Vec::new();
    let exchanges = parser.transactions();
    for exchange in &exchanges {
        if !Direction::BOTH.into_iter().all(|direction| exchange.is_complete(direction)) {
            continue;
        }
        let (transaction, app) = (exchange.id(), exchange.app());
        forgotten.push(transaction);
        if log {
            let mut records = exchange.records();
            records.extend(anomalies(*exchange));
            let beside: Vec<_> = records.iter().map(|record| exchange.beside(record, &records)).collect();
            out.logged.extend(records.into_iter().zip(beside).map(|(record, beside)| Logged {
                record,
                beside,
                transaction: Some(transaction),
                app,
                original_app,
            }));
        }
    }
    let left = exchanges.len() > forgotten.len();
    forgotten.into_iter().for_each(|id| parser.forget(id));
    left
}

/// What was noticed about a transaction, in the words of Suricata's events: those of its older parsers are in capitals.
fn anomalies(exchange: &dyn Exchange) -> impl Iterator<Item = Record> {
    let app = exchange.app();
    let capitals = matches!(app, App::Http | App::Http1 | App::Smtp | App::Tls);
    // of what one side says alone, what is odd about it is its own
    let by = if exchange.revision(Direction::ToServer) == 0 { Direction::ToClient } else { Direction::ToServer };
    exchange.events().iter().map(move |name| {
        let mut object = Object::new();
        object.put("app_proto", app.told());
        if capitals {
            object.put("event", name.to_ascii_uppercase());
        } else {
            object.put("event", name);
        }
        object.put("layer", "proto_parser");
        object.put("type", "applayer");
        object.record("anomaly").by(by)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Limits, parser};

    #[test]
    fn what_is_odd_about_an_answer_is_said_by_the_server() {
        // the bit that must be zero, in a question for a.b
        let query = b"\0\x01\x01\x40\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x01\0\x01";
        let mut answer = *query;
        answer[2] |= 0x80;
        let mut dns = parser(App::Dns, true, &Limits::default()).unwrap();
        dns.hear(Direction::ToServer, query);
        dns.hear(Direction::ToClient, &answer);
        let speakers = dns.transactions().into_iter().map(|exchange| {
            let odd = anomalies(exchange).next().unwrap();
            (odd.json()["event"].clone(), odd.by)
        });
        let expected = [Direction::ToServer, Direction::ToClient].map(|direction| ("z_flag_set".into(), direction));
        assert_eq!(speakers.collect::<Vec<_>>(), expected);
    }
}
