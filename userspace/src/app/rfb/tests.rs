use dropgate_signatures::{buffer::Buffer::*, subject::Direction::*};

use super::*;
use crate::app::samples::{Turn, cut_anywhere, object, say, text};

const SERVER: &[u8] = b"RFB 003.008\n";
const SHOWN: &[u8] =
    &[3, 32, 2, 88, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0, 0, 0, 0, 4, b'd', b'e', b's', b'k'];

fn usual() -> [(Direction, Vec<u8>); 8] {
    [
        (ToClient, SERVER.to_vec()),
        (ToServer, SERVER.to_vec()),
        (ToClient, vec![2, 1, 2]),
        (ToServer, vec![2]),
        (ToClient, vec![0xab; 16]),
        (ToServer, vec![0xcd; 16]),
        (ToClient, vec![0; 4]),
        (ToServer, vec![1]),
    ]
}

fn turns(said: &[(Direction, Vec<u8>)]) -> Vec<Turn<'_>> {
    said.iter().map(|(way, said)| (*way, &said[..])).chain([(ToClient, SHOWN)]).collect()
}

#[test]
fn opening_is_read() {
    let said = usual();
    cut_anywhere(Rfb::new, &turns(&said));
    let rfb = say(Rfb::new(), &turns(&said));
    assert!(rfb.is_opaque());
    let opening = rfb.transactions()[0];
    assert_eq!(text(opening, RfbName, ToClient, 0), Some("desk".to_owned()));
    assert_eq!(opening.number("rfb.sectype", ToServer, 0), Some(2));
    assert_eq!(opening.test("rfb.secresult", "ok", ToClient), Some(true));
    assert_eq!(opening.test("rfb.secresult", "!0", ToClient), Some(false));
    let event = object(opening);
    assert_eq!(event["client_protocol_version"], json!({"major": "003", "minor": "008"}));
    assert_eq!(
        event["authentication"],
        json!({
            "security_type": 2, "security_result": "OK",
            "vnc": {"challenge": "ab".repeat(16), "response": "cd".repeat(16)},
        })
    );
    assert_eq!(event["screen_shared"], true);
    assert_eq!((&event["framebuffer"]["width"], &event["framebuffer"]["height"]), (&json!(800), &json!(600)));
    assert_eq!(event["framebuffer"]["pixel_format"]["red_shift"], 16);
    assert_eq!(opening.events(), [""; 0]);
}

#[test]
fn refusals_and_older_versions() {
    let refused = [&[0][..], &[0, 0, 0, 2], b"no"].concat();
    let rfb = say(Rfb::new(), &[(ToClient, SERVER), (ToServer, SERVER), (ToClient, &refused)]);
    assert_eq!(object(rfb.transactions()[0])["server_security_failure_reason"], "no");
    assert!(rfb.is_opaque());
    let old = b"RFB 003.003\n";
    let turns: [Turn<'_>; 5] =
        [(ToClient, SERVER), (ToServer, old), (ToClient, &[0, 0, 0, 1]), (ToServer, &[0]), (ToClient, SHOWN)];
    cut_anywhere(Rfb::new, &turns);
    assert_eq!(object(say(Rfb::new(), &turns).transactions()[0])["framebuffer"]["name"], "desk");
}

#[test]
fn what_is_wrong_is_noted() {
    let before: [Turn<'_>; 2] = [(ToClient, SERVER), (ToServer, SERVER)];
    let many = vec![b'x'; 20_000];
    let cases: [(&str, &[Turn<'_>]); 4] = [
        ("malformed_message", &[(ToClient, b"HTTP/1.1 200 OK")]),
        ("unimplemented_security_type", &[before[0], before[1], (ToClient, &[1, 19]), (ToServer, &[19])]),
        (
            "unknown_security_result",
            &[before[0], before[1], (ToClient, &[1, 1]), (ToServer, &[1]), (ToClient, &[0, 0, 0, 9])],
        ),
        ("confused_state", &[(ToServer, &many)]),
    ];
    for (event, turns) in cases {
        let rfb = say(Rfb::new(), turns);
        assert_eq!(rfb.transactions()[0].events(), [event]);
        assert!(rfb.is_opaque() && rfb.footprint() < 4096);
    }
}
