//! Any bytes as what two sides say over TLS, DNS, SSH, MQTT, RFB, Kerberos, SIP and LDAP: however a stream is cut, the same is
//! told. As datagrams: QUIC, DNS, DHCP, NTP, SNMP, TFTP and those of the others that have them.
#![no_main]

use dropgate::app::{Limits, Parser, parser};
use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field},
};

const STREAMS: [App; 8] = [App::Tls, App::Dns, App::Ssh, App::Mqtt, App::Rfb, App::Krb5, App::Sip, App::Ldap];
const DATAGRAMS: [App; 9] =
    [App::Quic, App::Dns, App::Mdns, App::Dhcp, App::Ntp, App::Snmp, App::Tftp, App::Krb5, App::Ldap];

/// Turns of either side: a byte that says whose and how long, and what is said.
fn turns(mut bytes: &[u8]) -> Vec<(Direction, &[u8])> {
    let mut turns = Vec::new();
    while let [head, rest @ ..] = bytes {
        let direction = if head & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        let (said, behind) = rest.split_at(rest.len().min(2 * usize::from(head >> 1)));
        turns.push((direction, said));
        bytes = behind;
    }
    turns
}

fn told(parser: &mut dyn Parser, turns: &[(Direction, &[u8])], cut: usize) -> String {
    for (direction, said) in turns {
        said.chunks(cut).for_each(|piece| parser.hear(*direction, piece));
    }
    let ends = [Direction::ToServer, Direction::ToClient];
    ends.iter().for_each(|direction| parser.end(*direction));
    let mut told = String::new();
    for exchange in parser.transactions() {
        assert!(ends.iter().all(|direction| exchange.is_complete(*direction)));
        told += &format!("{} {:?} {:?}\n", exchange.id(), exchange.events(), exchange.context());
        for direction in ends {
            for &buffer in Buffer::ALL {
                let field = exchange.buffer(buffer, direction, 0);
                assert!(!matches!(field, Field::Pending), "{} is awaited when all is over", buffer.name());
                told += &format!("{field:?}");
            }
        }
    }
    assert!(parser.footprint() < 16 << 20);
    told
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [which, cut, said @ ..] = bytes else { return };
    let limits = Limits { header: 512, transactions: 8, ..Limits::default() };
    let udp = which & 0x80 != 0;
    let apps: &[App] = if udp { &DATAGRAMS } else { &STREAMS };
    let app = apps[usize::from(which & 0x7f) % apps.len()];
    let new = || parser(app, udp, &limits);
    let (Some(mut one), Some(mut other)) = (new(), new()) else { return };
    let turns = turns(said);
    let whole = told(&mut *one, &turns, usize::MAX);
    if !udp {
        assert_eq!(told(&mut *other, &turns, usize::from(*cut) % 32 + 1), whole);
    }
});
