use dropgate_signatures::{buffer::Buffer::*, subject::Direction::*};

use super::*;
use crate::app::samples::{Turn, cut_anywhere, object, say, text};

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn packet(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    assert!(body.len() < 128);
    [&[first, body.len() as u8][..], &body].concat()
}

fn connect(version: u8) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[3, 33, 0, 20] } else { &[] };
    let names = [string("me"), string("user"), string("pass")].concat();
    packet(0x10, &[&string("MQTT"), &[version, 0xc2, 0, 60], properties, &names])
}

fn mqtt() -> Mqtt {
    Mqtt::new(Limits::default())
}

fn usual() -> [(Direction, Vec<u8>); 4] {
    let publish = packet(0x32, &[&string("topicX"), &[0, 7, 0], b"message"]);
    let subscribe = packet(0x82, &[&[0, 8, 0], &string("a/#"), &[1], &string("b"), &[0]]);
    [
        (ToServer, connect(5)),
        (ToClient, packet(0x20, &[&[0, 0, 0]])),
        (ToServer, [publish, subscribe].concat()),
        (ToClient, [packet(0x40, &[&[0, 7]]), packet(0x90, &[&[0, 8, 0, 1, 0]]), packet(0xd0, &[])].concat()),
    ]
}

fn turns(said: &[(Direction, Vec<u8>)]) -> Vec<Turn<'_>> {
    said.iter().map(|(way, said)| (*way, &said[..])).collect()
}

#[test]
fn packets_and_acknowledgements_are_read() {
    let said = usual();
    let mqtt = say(mqtt(), &turns(&said));
    let all = mqtt.transactions();
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|one| one.is_complete(ToServer) && one.events().is_empty()));
    assert_eq!(text(all[0], MqttConnectPassword, ToServer, 0), Some("pass".to_owned()));
    assert_eq!(all[0].number("mqtt.type", ToClient, 1), Some(2));
    assert_eq!(all[0].test("mqtt.type", "CONNACK", ToServer), Some(true));
    assert_eq!(all[0].test("mqtt.type", "PUBLISH", ToServer), Some(false));
    assert_eq!(all[0].test("mqtt.connect.flags", "username,password,!will", ToServer), Some(true));
    assert_eq!(all[0].test("mqtt.flags", "!retain,!dup", ToServer), Some(true));
    assert_eq!(all[0].number("mqtt.protocol_version", ToServer, 0), Some(5));
    let event = object(all[0]);
    assert_eq!(event["connect"]["properties"]["receive_maximum"], 20);
    assert_eq!(event["connect"]["flags"]["clean_session"], true);
    assert_eq!(event["connack"]["return_code"], 0);
    assert_eq!(text(all[1], MqttPublishTopic, ToServer, 0), Some("topicX".to_owned()));
    assert_eq!(object(all[1])["publish"]["message"], "message");
    assert_eq!(object(all[1])["puback"]["message_id"], 7);
    assert_eq!(text(all[2], MqttSubscribeTopic, ToServer, 1), Some("b".to_owned()));
    assert_eq!(object(all[2])["suback"]["qos_granted"], serde_json::json!([1, 0]));
    assert_eq!(object(all[3])["pingresp"]["qos"], 0);
}

#[test]
fn wherever_it_is_cut() {
    let said = usual();
    cut_anywhere(mqtt, &turns(&said));
}

#[test]
fn a_disconnect_has_a_reason() {
    let told = |body: &[u8]| {
        let mqtt = say(mqtt(), &[(ToServer, &connect(5)), (ToServer, &packet(0xe0, &[body]))]);
        object(mqtt.transactions()[1])["disconnect"]["reason_code"].clone()
    };
    assert_eq!([told(&[]), told(&[4]), told(&[4, 0])], [0, 0, 4]);
}

#[test]
fn what_is_wrong_is_noted() {
    let cases: [(&str, Direction, Vec<u8>); 9] = [
        ("missing_connect", ToClient, packet(0x20, &[&[0, 0]])),
        ("missing_publish", ToClient, packet(0x40, &[&[0, 1]])),
        ("missing_subscribe", ToClient, packet(0x90, &[&[0, 1, 0]])),
        ("missing_unsubscribe", ToClient, packet(0xb0, &[&[0, 1]])),
        ("unintroduced_message", ToServer, packet(0xc0, &[])),
        ("invalid_qos_level", ToServer, packet(0x36, &[&string("t"), &[0, 1]])),
        ("unassigned_msg_type", ToServer, packet(0, &[])),
        ("malformed_traffic", ToServer, packet(0x10, &[&[0, 9]])),
        ("unassigned_msg_type", ToServer, vec![0x30, 0xff, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (event, direction, said) in cases {
        let mqtt = say(mqtt(), &[(direction, &said)]);
        assert!(mqtt.transactions()[0].events().contains(&event), "{event}");
    }
    let ack = packet(0x20, &[&[0, 0]]);
    let mqtt = say(mqtt(), &[(ToServer, &connect(4)), (ToClient, &ack), (ToServer, &connect(4))]);
    assert_eq!(mqtt.transactions()[1].events(), ["double_connect"]);
}

/// What is beyond the limit is not kept, and what comes behind it is read.
#[test]
fn long_messages_are_skipped() {
    let mut parser = Mqtt::new(Limits { header: 64, ..Limits::default() });
    let long = [&[0x30, 0xe8, 7][..], &string("t"), &[b'x'; 997]].concat();
    parser.hear(ToServer, &[connect(4), long, packet(0xc0, &[])].concat());
    assert!(parser.packets[0].kept.capacity() < 256);
    let all = parser.transactions();
    assert_eq!(all.len(), 3);
    assert_eq!(text(all[1], MqttPublishMessage, ToServer, 0).map(|said| said.len()), Some(58));
    assert!(object(all[2]).get("pingreq").is_some());
}
