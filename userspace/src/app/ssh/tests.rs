use dropgate_signatures::{
    buffer::Buffer::*,
    subject::{Direction::*, Field},
};

use super::*;
use crate::app::samples::{cut_anywhere, object, say, text};

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u32 + 2 + 4;
    [&length.to_be_bytes()[..], &[4, kind], body, &[0; 4]].concat()
}

fn proposals(kex: &str) -> Vec<u8> {
    let lists = [kex, "rsa", "aes-up", "aes-down", "mac-up", "mac-down", "none", "zlib", "", ""];
    let lists = lists.iter().flat_map(|list| [&(list.len() as u32).to_be_bytes()[..], list.as_bytes()].concat());
    packet(20, &[vec![7; 16], lists.collect(), vec![0; 5]].concat())
}

fn usual() -> [Vec<u8>; 2] {
    let client =
        [b"SSH-2.0-Test_1.0 with words\r\n".to_vec(), proposals("dh"), packet(30, b"x"), packet(21, b""), vec![9; 50]];
    let server =
        [b"welcome\r\nSSH-1.99-Other\n".to_vec(), proposals("dh2"), packet(31, b"y"), packet(21, b""), vec![9; 50]];
    [client.concat(), server.concat()]
}

#[test]
fn opening_is_read() {
    let [client, server] = usual();
    let ssh = say(Ssh::new(), &[(ToClient, &server), (ToServer, &client)]);
    assert!(ssh.is_opaque());
    let opening = ssh.transactions()[0];
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(text(opening, SshProto, ToServer, 0), some("2.0"));
    assert_eq!(text(opening, SshProto, ToClient, 0), some("1.99"));
    assert_eq!(text(opening, SshSoftware, ToServer, 0), some("Test_1.0"));
    assert_eq!(text(opening, SshHasshString, ToServer, 0), some("dh;aes-up;mac-up;none"));
    assert_eq!(text(opening, SshHasshServerString, ToClient, 0), some("dh2;aes-down;mac-down;zlib"));
    // md5 of "dh;aes-up;mac-up;none"
    assert_eq!(text(opening, SshHassh, ToServer, 0), some(&hash("dh;aes-up;mac-up;none")));
    assert_eq!(text(opening, SshHassh, ToClient, 0), None);
    for (keyword, argument, answer) in [
        ("ssh.protoversion", "2_compat", true),
        ("ssh.protoversion", "2.0", false),
        ("ssh.softwareversion", "\"the\"", true),
        ("ssh.softwareversion", "Test", false),
    ] {
        assert_eq!(opening.test(keyword, argument, ToClient), Some(answer), "{keyword} {argument}");
    }
    let event = object(opening);
    assert_eq!(event["client"]["software_version"], "Test_1.0");
    assert_eq!(event["server"]["hassh"]["string"], "dh2;aes-down;mac-down;zlib");
    assert_eq!(opening.events(), [""; 0]);
}

fn hash(text: &str) -> String {
    use md5::{Digest, Md5};
    crate::app::digits::hex(&Md5::digest(text))
}

#[test]
fn wherever_it_is_cut() {
    let [client, server] = usual();
    cut_anywhere(Ssh::new, &[(ToServer, &client), (ToClient, &server)]);
}

#[test]
fn what_is_not_said_yet_is_awaited() {
    let ssh = say(Ssh::new(), &[(ToServer, b"SSH-2.0-a\r\n")]);
    assert_eq!(ssh.transactions()[0].buffer(SshHassh, ToServer, 0), Field::Pending);
    assert_eq!(ssh.transactions()[0].buffer(SshProto, ToClient, 0), Field::Pending);
    let mut ssh = ssh;
    ssh.end(ToServer);
    assert_eq!(ssh.transactions()[0].buffer(SshHassh, ToServer, 0), Field::Absent);
    assert!(!ssh.is_opaque());
}

#[test]
fn what_is_wrong_is_noted() {
    let long = [&b"SSH-2.0-"[..], &[b'x'; 400], b"\r\n", &proposals("dh")].concat();
    let cases: [(&str, Vec<u8>); 6] = [
        ("invalid_banner", b"SSH-none\r\n".to_vec()),
        ("invalid_banner", vec![b'x'; 10_000]),
        ("long_banner", long.clone()),
        ("invalid_record", b"SSH-2.0-a\r\n\0\0\0\x01\0\x14".to_vec()),
        ("invalid_record", b"SSH-2.0-a\r\n\xff\0\0\x01\0\x14".to_vec()),
        ("invalid_record", [&b"SSH-2.0-a\r\n"[..], &packet(20, b"short")].concat()),
    ];
    for (event, said) in cases {
        let ssh = say(Ssh::new(), &[(ToServer, &said)]);
        assert!(ssh.transactions()[0].events().contains(&event), "{event}");
        if said.len() < 1000 {
            cut_anywhere(Ssh::new, &[(ToServer, &said)]);
        }
    }
    let ssh = say(Ssh::new(), &[(ToServer, &long)]);
    assert!(text(ssh.transactions()[0], SshHassh, ToServer, 0).is_some());
}
