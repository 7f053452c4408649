use dropgate_signatures::{buffer::Buffer::*, subject::Direction::*};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::app::samples::{Turn, cut_anywhere, known, object, say, text};

fn name(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

fn message(flags: u16, counts: [u16; 4], body: &[Vec<u8>]) -> Vec<u8> {
    let head = [0x1234, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes);
    head.chain(body.concat()).collect()
}

fn question(asked: &str, kind: u16) -> Vec<u8> {
    [&name(asked)[..], &kind.to_be_bytes(), &[0, 1]].concat()
}

/// Of the name at the first question.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    [&[0xc0, 12][..], &kind.to_be_bytes(), &[0, 1, 0, 0, 0, 60], &(data.len() as u16).to_be_bytes(), data].concat()
}

fn query() -> Vec<u8> {
    message(0x0100, [1, 0, 0, 1], &[question("Www.Example.COM", 1), vec![0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]])
}

fn answer() -> Vec<u8> {
    let soa = [name("ns.example.com"), name("me.example.com"), [1u32, 2, 3, 4, 5].map(u32::to_be_bytes).concat()];
    message(
        0x8180,
        [1, 4, 1, 0],
        &[
            question("Www.Example.COM", 1),
            record(1, &[192, 0, 2, 1]),
            record(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
            record(5, &[&[5][..], b"alias", &[0xc0, 16]].concat()),
            record(16, &[&[3][..], b"one", &[3], b"two"].concat()),
            record(6, &soa.concat()),
        ],
    )
}

fn datagrams(turns: &[Turn<'_>]) -> Dns {
    say(Dns::datagrams(App::Dns, Limits::default()), turns)
}

#[test]
fn query_and_answer_are_a_transaction_each() {
    let dns = datagrams(&[(ToServer, &query()), (ToClient, &answer())]);
    let all = dns.transactions();
    assert_eq!(all.len(), 2);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(text(all[0], DnsQuery, ToServer, 0), some("Www.Example.COM"));
    assert_eq!(text(all[0], DnsQuery, ToServer, 1), None);
    assert_eq!(text(all[0], DnsQuery, ToClient, 0), None);
    assert_eq!(text(all[1], DnsQuery, ToClient, 0), None);
    assert_eq!(text(all[1], DnsQueriesRrname, ToClient, 0), some("Www.Example.COM"));
    assert_eq!(text(all[1], DnsAnswersRrname, ToClient, 2), some("Www.Example.COM"));
    assert_eq!(text(all[1], DnsAuthoritiesRrname, ToClient, 0), some("Www.Example.COM"));
    let names: Vec<_> = (0..9).map_while(|at| text(all[1], DnsResponseRrname, ToClient, at)).collect();
    assert!(names.contains(&"alias.Example.COM".to_owned()) && names.contains(&"ns.example.com".to_owned()));
    assert_eq!(all[0].number("dns.opcode", ToServer, 0), Some(0));
    assert_eq!(all[1].number("dns.rcode", ToClient, 0), Some(0));
    assert_eq!(all[1].number("dns.rrtype", ToClient, 2), Some(28));
    assert_eq!(all[0].number("dns.rrtype", ToClient, 0), None);
    assert_eq!((all[0].events(), all[1].events()), (&[][..], &[][..]));
}

#[test]
fn events_are_told_as_version_3() {
    let dns = datagrams(&[(ToServer, &query()), (ToClient, &answer())]);
    let all = dns.transactions();
    assert_eq!(
        object(all[0]),
        json!({
            "version": 3, "type": "request", "tx_id": 0, "id": 0x1234, "flags": "100", "rd": true, "opcode": 0,
            "rcode": "NOERROR",
            "queries": [{"rrname": "Www.Example.COM", "rrtype": "A"}],
            "additionals": [{"rrname": "", "rrtype": "OPT", "ttl": 0, "opt": []}],
        })
    );
    let answered = object(all[1]);
    assert_eq!(answered["type"], "response");
    assert_eq!(answered["flags"], "8180");
    assert_eq!((&answered["qr"], &answered["ra"], answered.get("aa")), (&json!(true), &json!(true), None));
    assert_eq!(
        answered["answers"][1],
        json!({
            "rrname": "Www.Example.COM", "rrtype": "AAAA", "ttl": 60, "rdata": "2001:0db8:0000:0000:0000:0000:0000:0001",
        })
    );
    assert_eq!(
        answered["grouped"],
        json!({
            "A": ["192.0.2.1"],
            "AAAA": ["2001:0db8:0000:0000:0000:0000:0000:0001"],
            "CNAME": ["alias.Example.COM"],
            "TXT": ["one", "two"],
        })
    );
    assert_eq!(
        answered["authorities"][0]["soa"],
        json!({
            "mname": "ns.example.com", "rname": "me.example.com", "serial": 1, "refresh": 2, "retry": 3, "expire": 4,
            "minimum": 5,
        })
    );
}

#[test]
fn what_is_wrong_is_noted() {
    let two = [question("a.example", 1), vec![0xc0, 12, 0, 1, 0, 1]];
    let loops = [vec![0xc0, 12], vec![0, 1, 0, 1]];
    let around = [vec![1, b'a', 0xc0, 12], vec![0, 1, 0, 1]];
    let labels = [[1, b'a'].repeat(300), vec![0, 0, 1, 0, 1]];
    let long = [[&[63][..], &[b'x'; 63]].concat().repeat(20), vec![0, 0, 1, 0, 1]];
    let cases = [
        ("malformed_data", ToServer, vec![1, 2, 3]),
        ("malformed_data", ToServer, message(0x0100, [2, 0, 0, 0], &[question("a.example", 1)])),
        ("not_request", ToServer, message(0x8180, [2, 0, 0, 0], &two)),
        ("not_response", ToClient, message(0x0100, [2, 0, 0, 0], &two)),
        ("z_flag_set", ToServer, message(0x0140, [2, 0, 0, 0], &two)),
        ("invalid_opcode", ToServer, message(0x3800, [2, 0, 0, 0], &two)),
        ("infinite_loop", ToServer, message(0x0100, [1, 0, 0, 0], &loops)),
        ("too_many_labels", ToServer, message(0x0100, [1, 0, 0, 0], &around)),
        ("too_many_labels", ToServer, message(0x0100, [1, 0, 0, 0], &labels)),
        ("name_too_long", ToServer, message(0x0100, [1, 0, 0, 0], &long)),
        ("invalid_authorities", ToClient, message(0x8180, [2, 0, 1, 0], &two)),
        ("invalid_additionals", ToClient, message(0x8180, [2, 0, 0, 1], &two)),
    ];
    for (event, direction, said) in cases {
        let dns = datagrams(&[(direction, &said)]);
        assert!(dns.transactions()[0].events().contains(&event), "{event}: {:?}", dns.transactions()[0].events());
    }
}

#[test]
fn wherever_it_is_cut() {
    let on_tcp = |message: Vec<u8>| [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    let two = [on_tcp(query()), vec![0, 0], on_tcp(query())].concat();
    let answer = on_tcp(answer());
    let turns: [Turn<'_>; 2] = [(ToServer, &two), (ToClient, &answer)];
    cut_anywhere(|| Dns::stream(Limits::default()), &turns);
    let mut dns = say(Dns::stream(Limits::default()), &turns);
    assert_eq!(dns.transactions().len(), 3);
    dns.forget(1);
    assert_eq!(dns.transactions().iter().map(|one| one.id()).collect::<Vec<_>>(), [0, 2]);
    assert!(!dns.is_opaque());
    dns.lost(ToServer, 1);
    dns.end(ToClient);
    assert!(dns.is_opaque());
}

#[test]
fn read_as_far_as_it_goes() {
    let whole = answer();
    for cut in 0..whole.len() {
        known(&datagrams(&[(ToClient, &whole[..cut])]));
    }
    let cut = datagrams(&[(ToClient, &whole[..80])]);
    assert_eq!(text(cut.transactions()[0], DnsAnswersRrname, ToClient, 0), Some("Www.Example.COM".to_owned()));
}

/// Each name is long, and costs two bytes to say.
#[test]
fn short_messages_that_name_much_are_bounded() {
    let long = [[&[63][..], &[b'x'; 63]].concat().repeat(15), vec![0]].concat();
    let mut body = vec![[long, vec![0, 1, 0, 1]].concat()];
    body.extend((0..4000).map(|_| record(16, &[1, b'x', 1, b'y'])));
    let said = message(0x8180, [1, 4000, 0, 0], &body);
    let dns = datagrams(&[(ToClient, &said)]);
    assert!(dns.footprint() < 1 << 20, "{}", dns.footprint());
    assert!(object(dns.transactions()[0]).to_string().len() < 1 << 21);
    assert!(dns.transactions()[0].events().contains(&"name_too_long"));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        let mut said = answer();
        for (at, byte) in changes {
            let at = at.index(said.len());
            said[at] = byte;
        }
        known(&datagrams(&[(ToClient, &said), (ToServer, &said)]));
    }
}
