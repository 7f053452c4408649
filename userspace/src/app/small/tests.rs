use dropgate_signatures::{buffer::Buffer::*, protocol::App, subject::Direction::*};
use proptest::prelude::*;
use serde_json::json;

use super::protocol;
use crate::app::{
    Limits, Parser,
    messages::Messages,
    samples::{Turn, cut_anywhere, known, object, say, text},
};

fn parser(app: App, udp: bool) -> Messages {
    Messages::new(protocol(app).unwrap(), udp, &Limits::default())
}

/// An element of BER.
fn element(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let contents = parts.concat();
    let length = match contents.len() {
        short @ 0..0x80 => vec![short as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [vec![tag], length, contents].concat()
}

fn number(value: u8) -> Vec<u8> {
    vec![2, 1, value]
}

fn field(at: u8, contents: Vec<u8>) -> Vec<u8> {
    element(0xa0 | at, &[contents])
}

fn string(text: &str) -> Vec<u8> {
    element(0x1b, &[text.into()])
}

fn principal(parts: &[&str]) -> Vec<u8> {
    let parts: Vec<_> = parts.iter().map(|part| string(part)).collect();
    element(0x30, &[field(0, number(1)), field(1, element(0x30, &parts))])
}

fn sealed(cipher: u8) -> Vec<u8> {
    element(0x30, &[field(0, number(cipher)), field(2, element(4, &[vec![0; 200]]))])
}

fn kerberos() -> [Vec<u8>; 3] {
    let body = [
        field(0, vec![3, 2, 0, 0]),
        field(1, principal(&["me"])),
        field(2, string("EXAMPLE")),
        field(3, principal(&["krbtgt", "EXAMPLE"])),
    ];
    let request = [field(1, number(5)), field(2, number(10)), field(4, element(0x30, &body))];
    let ticket = [
        field(0, number(5)),
        field(1, string("EXAMPLE")),
        field(2, principal(&["http", "host"])),
        field(3, sealed(23)),
    ];
    let reply = [
        field(0, number(5)),
        field(1, number(11)),
        field(3, string("EXAMPLE")),
        field(4, principal(&["me"])),
        field(5, element(0x61, &[element(0x30, &ticket)])),
        field(6, sealed(18)),
    ];
    let error = [
        field(0, number(5)),
        field(1, number(30)),
        field(4, vec![]),
        field(5, number(1)),
        field(6, number(25)),
        field(9, string("EXAMPLE")),
        field(10, principal(&["krbtgt"])),
    ];
    [(0x6a, &request[..]), (0x7e, &error), (0x6b, &reply)].map(|(tag, fields)| element(tag, &[element(0x30, fields)]))
}

#[test]
fn kerberos_is_read() {
    let [request, error, reply] = kerberos();
    let krb5 = say(parser(App::Krb5, true), &[(ToServer, &request), (ToClient, &error), (ToClient, &reply)]);
    let all = krb5.transactions();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].number("krb5_msg_type", ToServer, 0), Some(10));
    assert_eq!(object(all[0])["sname"], "krbtgt/EXAMPLE");
    assert_eq!(all[1].number("krb5_err_code", ToClient, 0), Some(25));
    assert_eq!(
        object(all[1]),
        json!({
            "msg_type": "KRB_ERROR", "failed_request": "KRB_AS_REQ", "error_code": "KDC_ERR_PREAUTH_REQUIRED",
            "cname": "<empty>", "realm": "<empty>", "sname": "krbtgt", "encryption": "<none>", "weak_encryption": false,
        })
    );
    assert_eq!(text(all[2], Krb5Cname, ToClient, 0), Some("me".to_owned()));
    assert_eq!(text(all[2], Krb5Sname, ToClient, 0), Some("http/host".to_owned()));
    for (argument, answer) in [("weak", true), ("strong", false), ("23", true), ("rc4-hmac", true), ("17,18", false)] {
        assert_eq!(all[2].test("krb5.ticket_encryption", argument, ToClient), Some(answer), "{argument}");
    }
    let event = object(all[2]);
    assert_eq!(
        (&event["encryption"], &event["ticket_encryption"]),
        (&json!("aes256-cts-hmac-sha1-96"), &json!("rc4-hmac"))
    );
    assert_eq!(all[2].events(), [""; 0]);
}

#[test]
fn kerberos_on_tcp_is_cut_anywhere() {
    let framed = kerberos().map(|message| [&(message.len() as u32).to_be_bytes()[..], &message].concat());
    let [request, error, reply] = &framed;
    let answers = [&error[..], reply].concat();
    let turns: [Turn<'_>; 2] = [(ToServer, request), (ToClient, &answers)];
    cut_anywhere(|| parser(App::Krb5, false), &turns);
    assert_eq!(say(parser(App::Krb5, false), &turns).transactions().len(), 3);
    // what is longer than is kept ends the reading
    let long = say(parser(App::Krb5, false), &[(ToServer, &[0x7f, 0xff, 0xff, 0xff, 0x6a])]);
    assert_eq!(long.transactions()[0].events(), ["malformed_data"]);
    assert!(!long.is_opaque());
}

const INVITE: &[u8] = b"INVITE sip:you@example.com SIP/2.0\r\nVia: SIP/2.0/TCP me\r\nf: <sip:me@example.com>\r\n\
    To: <sip:you@example.com>\r\nUser-Agent: Test\r\nContent-Type: application/sdp\r\nContent-Length: 101\r\n\r\n\
    v=0\r\no=me 1 2 IN IP4 192.0.2.1\r\ns=call\r\nb=AS:64\r\nt=1 2\r\nr=7 1 0\r\na=sendrecv\r\nm=audio 1 RTP/AVP 0\r\na=x\r\n";
const OK: &[u8] = b"SIP/2.0 200 All right\r\nContent-Length: 0\r\n\r\n";

#[test]
fn sip_is_read() {
    assert!(INVITE.ends_with(b"a=x\r\n"));
    let sip = say(parser(App::Sip, true), &[(ToServer, INVITE), (ToClient, OK), (ToServer, b"\r\n\r\n")]);
    let all = sip.transactions();
    assert_eq!(all.len(), 2);
    let some = |text: &str| Some(text.to_owned());
    for (buffer, said) in [
        (SipMethod, "INVITE"),
        (SipUri, "sip:you@example.com"),
        (SipProtocol, "SIP/2.0"),
        (SipRequestLine, "INVITE sip:you@example.com SIP/2.0"),
        (SipFrom, "<sip:me@example.com>"),
        (SipUserAgent, "Test"),
        (SdpOrigin, "me 1 2 IN IP4 192.0.2.1"),
        (SdpAttribute, "sendrecv"),
        (SdpMedia, "audio 1 RTP/AVP 0"),
    ] {
        assert_eq!(text(all[0], buffer, ToServer, 0), some(said), "{buffer:?}");
    }
    assert_eq!(text(all[1], SipStatCode, ToClient, 0), some("200"));
    assert_eq!(text(all[1], SipStatMsg, ToClient, 0), some("All right"));
    assert_eq!(
        object(all[1]),
        json!({"version": "SIP/2.0", "code": "200", "reason": "All right", "response_line": "SIP/2.0 200 All right"})
    );
    assert_eq!(
        object(all[0])["sdp"],
        json!({
            "origin": "me 1 2 IN IP4 192.0.2.1", "session_name": "call", "bandwidths": ["AS:64"],
            "time_descriptions": [{"time": "1 2", "repeat_time": "7 1 0"}], "attributes": ["sendrecv"],
            "media_descriptions": [{"media": "audio 1 RTP/AVP 0", "attributes": ["x"]}],
        })
    );
    let wrong = say(parser(App::Sip, true), &[(ToServer, b"nothing")]);
    assert_eq!(wrong.transactions()[0].events(), ["invalid_data"]);
}

#[test]
fn sip_on_tcp_is_cut_anywhere() {
    let length = INVITE.len() - INVITE.windows(4).position(|four| four == b"\r\n\r\n").unwrap() - 4;
    let invite = String::from_utf8_lossy(INVITE).replace("101", &length.to_string()).into_bytes();
    let said = [&invite[..], b"\r\n\r\n", &invite].concat();
    let turns: [Turn<'_>; 2] = [(ToServer, &said), (ToClient, OK)];
    cut_anywhere(|| parser(App::Sip, false), &turns);
    let sip = say(parser(App::Sip, false), &turns);
    assert_eq!(sip.transactions().len(), 3);
    assert_eq!(text(sip.transactions()[1], SdpMedia, ToServer, 0), Some("audio 1 RTP/AVP 0".to_owned()));
    // a header section without an end is not kept for ever
    let mut endless = parser(App::Sip, false);
    for _ in 0..100 {
        endless.hear(ToServer, &[b'x'; 1000]);
    }
    assert!(endless.footprint() < 4096);
    assert_eq!(endless.transactions()[0].events(), ["invalid_data"]);
}

#[test]
fn ntp_is_read() {
    let mut said = vec![0x23, 2];
    said.resize(12, 0);
    said.extend(*b"LOCL");
    said.resize(48, 0);
    let ntp = say(parser(App::Ntp, true), &[(ToServer, &said)]);
    let packet = ntp.transactions()[0];
    assert_eq!(packet.number("ntp.version", ToServer, 0), Some(4));
    assert_eq!(packet.test("ntp.mode", "client", ToServer), Some(true));
    assert_eq!(packet.test("ntp.mode", "!server", ToServer), Some(true));
    assert_eq!(text(packet, NtpReferenceId, ToServer, 0), Some("LOCL".to_owned()));
    assert_eq!(object(packet), json!({"version": 4, "mode": 3, "stratum": 2, "reference_id": "4c:4f:43:4c"}));
    let short = say(parser(App::Ntp, true), &[(ToServer, &said[..40])]);
    assert_eq!(short.transactions()[0].events(), ["malformed_data"]);
}

fn snmp() -> Vec<u8> {
    let variable = element(0x30, &[element(6, &[vec![0x2b, 6, 1, 0x82, 0x37]]), vec![5, 0]]);
    let data = [number(1), number(0), number(0), element(0x30, &[variable])];
    element(0x30, &[number(1), element(4, &[b"public".to_vec()]), element(0xa1, &data)])
}

#[test]
fn snmp_is_read() {
    let agent = element(0x40, &[vec![192, 0, 2, 1]]);
    let trap =
        [element(6, &[vec![0x2b, 6]]), agent, number(6), number(1), element(0x43, &[vec![1]]), element(0x30, &[])];
    let trap = element(0x30, &[number(0), element(4, &[b"c".to_vec()]), element(0xa4, &trap)]);
    let usm = [element(4, &[vec![1]]), number(0), number(0), element(4, &[b"user".to_vec()]), vec![4, 0], vec![4, 0]];
    let head = element(0x30, &[number(1), number(9), element(4, &[vec![3]]), number(3)]);
    let third = element(0x30, &[number(3), head, element(4, &[element(0x30, &usm)]), element(4, &[vec![7; 9]])]);
    let snmp = say(parser(App::Snmp, true), &[(ToServer, &snmp()), (ToServer, &trap), (ToServer, &third)]);
    let all = snmp.transactions();
    assert_eq!(
        object(all[0]),
        json!({"version": 2, "community": "public", "pdu_type": "get_next_request", "vars": ["1.3.6.1.311"]})
    );
    assert_eq!(text(all[0], SnmpCommunity, ToServer, 0), Some("public".to_owned()));
    assert_eq!(all[0].test("snmp.pdu_type", "get_next_request", ToServer), Some(true));
    assert_eq!(text(all[1], SnmpTrapOid, ToServer, 0), Some("1.3.6".to_owned()));
    assert_eq!(text(all[1], SnmpTrapAddress, ToServer, 0), Some("192.0.2.1".to_owned()));
    assert_eq!(object(all[2]), json!({"version": 3, "usm": "user", "pdu_type": "encrypted"}));
    assert!(all.iter().all(|one| one.events().is_empty()));
}

fn dhcp(options: &[u8]) -> Vec<u8> {
    let mut said = vec![2, 1, 6, 0, 0, 0, 0x12, 0x34];
    said.resize(16, 0);
    said.extend([192, 0, 2, 9]);
    said.resize(28, 0);
    said.extend([2, 0, 0, 0, 0, 1]);
    said.resize(236, 0);
    // what is in the server's name counts once an option says so
    said[44..51].copy_from_slice(&[6, 4, 192, 0, 2, 53, 255]);
    [&said[..], &[99, 130, 83, 99], options].concat()
}

#[test]
fn dhcp_is_read() {
    let options = [&[53, 1, 5, 51, 4, 0, 0, 1, 0, 55, 3, 1, 3, 77, 60, 3][..], b"abc", &[52, 1, 2, 0, 255]].concat();
    let dhcp_ = say(parser(App::Dhcp, true), &[(ToClient, &dhcp(&options))]);
    let lease = dhcp_.transactions()[0];
    assert_eq!(lease.number("dhcp.leasetime", ToClient, 0), Some(256));
    let event = object(lease);
    for (name, value) in [
        ("type", json!("reply")),
        ("id", json!(0x1234)),
        ("client_mac", json!("02:00:00:00:00:01")),
        ("assigned_ip", json!("192.0.2.9")),
        ("dhcp_type", json!("ack")),
        ("params", json!(["subnet_mask", "router"])),
        ("vendor_class_identifier", json!("abc")),
        ("dns_servers", json!(["192.0.2.53"])),
    ] {
        assert_eq!(event[name], value, "{name}");
    }
    assert_eq!(lease.events(), [""; 0]);
    for (event, options) in [("truncated_options", &[53, 9][..]), ("malformed_options", &[51, 1, 0, 255])] {
        let wrong = say(parser(App::Dhcp, true), &[(ToClient, &dhcp(options))]);
        assert_eq!(wrong.transactions()[0].events(), [event]);
    }
}

#[test]
fn tftp_is_read() {
    let tftp = say(parser(App::Tftp, true), &[(ToServer, b"\0\x02file\0octet\0"), (ToClient, b"\0\x04\0\0")]);
    assert_eq!(tftp.transactions().len(), 1);
    assert_eq!(object(tftp.transactions()[0]), json!({"packet": "write", "file": "file", "mode": "octet"}));
}

fn ldap(id: u8, tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    element(0x30, &[number(id), element(tag, parts)])
}

fn octets(text: &str) -> Vec<u8> {
    element(4, &[text.into()])
}

fn search() -> [Vec<u8>; 3] {
    let numbers = [vec![10, 1, 2], vec![10, 1, 0], number(9), number(30), vec![1, 1, 0]].concat();
    let filter = element(0x87, &[b"objectClass".to_vec()]);
    let names = element(0x30, &[octets("cn"), octets("sn")]);
    let values = element(0x31, &[octets("one"), octets("two")]);
    let attributes = element(0x30, &[element(0x30, &[octets("cn"), values])]);
    [
        ldap(2, 0x63, &[octets("dc=example"), numbers, filter, names]),
        ldap(2, 0x64, &[octets("cn=x,dc=example"), attributes]),
        ldap(2, 0x65, &[vec![10, 1, 4], octets(""), octets("too much")]),
    ]
}

#[test]
fn ldap_is_read() {
    let [request, entry, done] = search();
    let answers = [&entry[..], &done].concat();
    let unbind = ldap(3, 0x42, &[]);
    let turns: [Turn<'_>; 3] = [(ToServer, &request), (ToClient, &answers), (ToServer, &unbind)];
    cut_anywhere(|| parser(App::Ldap, false), &turns);
    let ldap_ = say(parser(App::Ldap, false), &turns);
    let all = ldap_.transactions();
    assert_eq!(all.len(), 2);
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(text(all[0], LdapRequestDn, ToServer, 0), some("dc=example"));
    assert_eq!(text(all[0], LdapRequestAttributeType, ToServer, 1), some("sn"));
    assert_eq!(text(all[0], LdapResponsesDn, ToClient, 0), some("cn=x,dc=example"));
    assert_eq!(text(all[0], LdapResponsesMessage, ToClient, 0), some("too much"));
    assert_eq!(all[0].number("ldap.responses.count", ToClient, 0), Some(2));
    assert_eq!(all[0].number("ldap.responses.count", ToClient, 1), None);
    assert_eq!(all[0].test("ldap.responses.operation", "search_result_done", ToClient), Some(true));
    assert_eq!(all[0].test("ldap.responses.result_code", "size_limit_exceeded", ToClient), Some(true));
    for (argument, answer) in [
        ("search_result_done,1", true),
        ("search_result_done,-1", true),
        ("search_result_done,any", true),
        ("search_result_done,0", false),
        ("search_result_done,-3", false),
        ("search_result_done,all", false),
    ] {
        assert_eq!(all[0].test("ldap.responses.operation", argument, ToClient), Some(answer), "{argument}");
    }
    let event = object(all[0]);
    assert_eq!(event["request"]["search_request"]["attributes"], json!(["cn", "sn"]));
    assert_eq!(event["responses"][0]["search_result_entry"]["attributes"][0]["values"], json!(["one", "two"]));
    assert_eq!(event["responses"][1]["search_result_done"]["result_code"], "size_limit_exceeded");
    assert_eq!(object(all[1])["request"]["operation"], "unbind_request");
    let asked = say(parser(App::Ldap, true), &[(ToServer, &request)]);
    assert!(!asked.transactions()[0].is_complete(ToClient));
    let unasked = say(parser(App::Ldap, true), &[(ToClient, &done)]);
    assert_eq!(unasked.transactions()[0].events(), ["request_not_found"]);
    let many = std::iter::repeat_n((ToClient, &entry[..]), 300).collect::<Vec<_>>();
    let many = say(say(parser(App::Ldap, true), &[(ToServer, &request)]), &many);
    assert_eq!(many.transactions()[0].events(), ["too_many_responses"]);
}

fn every() -> Vec<(App, Vec<u8>)> {
    let mut all = vec![(App::Sip, INVITE.to_vec()), (App::Snmp, snmp()), (App::Dhcp, dhcp(&[53, 1, 5, 255]))];
    all.extend(kerberos().map(|message| (App::Krb5, message)));
    all.extend(search().map(|message| (App::Ldap, message)));
    all
}

#[test]
fn what_is_cut_off_is_read_as_far_as_it_goes() {
    for (app, said) in every() {
        for cut in 0..said.len() {
            known(&say(parser(app, true), &[(ToClient, &said[..cut])]));
        }
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8)) {
        for (app, mut said) in every() {
            for (at, byte) in &changes {
                let at = at.index(said.len());
                said[at] = *byte;
            }
            known(&say(parser(app, true), &[(ToServer, &said)]));
            let mut stream = parser(app, false);
            said.chunks(7).for_each(|part| stream.hear(ToServer, part));
        }
    }
}
