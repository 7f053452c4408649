//! RFC 9001 appendix A, RFC 9369 appendix A, and packets sealed here.

use super::{
    super::super::{Answer, Datagrams, Direction::*},
    header::{V1, V2},
    *,
};
use aes_gcm::{AeadInOut, Aes128Gcm, KeyInit};

/// The connection id of both appendices.
pub const ID: [u8; 8] = *b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";

/// The ClientHello of both appendices, for `example.com`.
pub const HELLO: &str = "010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000\
    0413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c70\
    6e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003\
    020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07\
    048000ffff0801100104800075300901100f088394c8f03e51570806048000ffff";

pub fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A CRYPTO frame.
pub fn frame(offset: u16, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![6];
    frame.extend((offset | 0x4000).to_be_bytes());
    frame.extend((data.len() as u16 | 0x4000).to_be_bytes());
    frame.extend(data);
    frame
}

/// A client's Initial packet with these frames, filled up to 1200 bytes.
pub fn initial(version: u32, destination: &[u8], source: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
    let kind = if version == V2 { 0xd3 } else { 0xc3 };
    let mut header = vec![kind];
    header.extend(version.to_be_bytes());
    for id in [destination, source] {
        header.push(id.len() as u8);
        header.extend(id);
    }
    header.push(0);
    let length = 1200 - header.len() - 2;
    header.extend((length as u16 | 0x4000).to_be_bytes());
    header.extend(number.to_be_bytes());
    let mut payload = frames.to_vec();
    payload.resize(length - 4 - 16, 0);
    let keys = Keys::of_client(version, &header::salts(version)[0], destination).unwrap();
    let mut nonce = keys.iv;
    for (byte, number) in nonce[8..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= number;
    }
    let tag = Aes128Gcm::new(&keys.key.into())
        .encrypt_inout_detached(&nonce.into(), &header, payload.as_mut_slice().into())
        .unwrap();
    payload.extend_from_slice(&tag);
    let mask = keys.mask(*payload.first_chunk().unwrap());
    header[0] ^= mask[0] & 0x0f;
    let at = header.len() - 4;
    for (byte, mask) in header[at..].iter_mut().zip(&mask[1..]) {
        *byte ^= mask;
    }
    header.extend(payload);
    header
}

fn detect(said: &[(Direction, &[u8])]) -> Answer {
    super::detect(Datagrams { said })
}

fn hello(said: &[(Direction, &[u8])]) -> Option<Vec<u8>> {
    client_hello(Datagrams { said })
}

fn from_client(packets: &[Vec<u8>]) -> Vec<(Direction, &[u8])> {
    packets.iter().map(|packet| (ToServer, packet.as_slice())).collect()
}

#[test]
fn keys_of_the_appendices() {
    let keys = Keys::of_client(V1, &header::salts(V1)[0], &ID).unwrap();
    assert_eq!(keys.key[..], bytes("1f369613dd76d5467730efcbe3b1a22d"));
    assert_eq!(keys.iv[..], bytes("fa044b2f42a3fd3b46fb255c"));
    assert_eq!(keys.hp[..], bytes("9f50449e04a0e810283a1e9933adedd2"));
    assert_eq!(keys.mask(*bytes("d1b1c98dd7689fb8ec11d242b123dc9b").first_chunk().unwrap())[..], bytes("437b9aec36"));
    let keys = Keys::of_client(V2, &header::salts(V2)[0], &ID).unwrap();
    assert_eq!(keys.mask(*bytes("ffe67b6abcdb4298b485dd04de806071").first_chunk().unwrap())[..], bytes("94a0c95e80"));
}

/// A packet made here is the appendix's, byte for byte where it is compared: the tag covers the rest.
#[test]
fn packets_of_the_appendices() {
    let expected = [
        (V1, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11", "e221af44860018ab0856972e194cd934"),
        (V2, "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485", "a18b2faa745b6fe189cf772a9f84cbfc"),
    ];
    for (version, start, end) in expected {
        let message = bytes(HELLO);
        // the appendices' frame has an offset of one byte
        let mut frames = vec![6, 0, 0x40, 0xf1];
        frames.extend(&message);
        let packet = initial(version, &ID, &[], 2, &frames);
        assert!(packet.starts_with(&bytes(start)) && packet.ends_with(&bytes(end)), "{version:#x}");
        assert_eq!(detect(&[(ToServer, &packet)]), Answer::Yes(ToServer, 1200));
        assert_eq!(hello(&[(ToServer, &packet)]), Some(message));
    }
}

#[test]
fn one_bit_off_is_not_quic() {
    let packet = initial(V1, &ID, &[], 0, &frame(0, &bytes(HELLO)));
    for at in [0, 1, 4, 5, 6, 13, 14, 15, 18, 30, 600, 1199] {
        let mut packet = packet.clone();
        packet[at] ^= 1;
        assert!(!matches!(detect(&[(ToServer, &packet)]), Answer::Yes(..)), "byte {at}");
    }
}

#[test]
fn a_hello_in_pieces_and_out_of_order() {
    let message = bytes(HELLO);
    let cuts: [&[(usize, usize)]; 3] = [&[(200, 241), (50, 120)], &[(120, 200)], &[(0, 50)]];
    let pieces: Vec<Vec<u8>> = cuts
        .iter()
        .enumerate()
        .map(|(number, cuts)| {
            let frames: Vec<u8> =
                cuts.iter().flat_map(|&(start, end)| frame(start as u16, &message[start..end])).collect();
            initial(V1, &ID, &[9; 8], number as u32, &frames)
        })
        .collect();
    let said = from_client(&pieces);
    assert_eq!(detect(&said[..1]), Answer::More);
    assert_eq!(detect(&said[..2]), Answer::More);
    assert_eq!(hello(&said[..2]), None);
    assert_eq!(detect(&said), Answer::Yes(ToServer, 3600));
    assert_eq!(hello(&said).as_deref(), Some(&message[..]));
    assert_eq!(server_name(&message), Some("example.com"));
}

#[test]
fn what_is_sealed_must_be_a_client_hello() {
    let mut other = bytes(HELLO);
    other[0] = 2;
    let mut beyond = vec![6, 0x80, 0, 0x40, 0];
    beyond.extend([0x40, 4, 1, 2, 3, 4]);
    for frames in [frame(0, &other), frame(0, b"GET / HTTP/1.1\r\n"), vec![8, 0, 0], beyond, vec![6, 0, 0x7f, 0xff]] {
        assert_eq!(detect(&[(ToServer, &initial(V1, &ID, &[], 0, &frames))]), Answer::No);
    }
    // the same place twice, with other bytes
    let twice = [frame(0, &bytes(HELLO)), frame(1, &[7])].concat();
    assert_eq!(detect(&[(ToServer, &initial(V1, &ID, &[], 0, &twice))]), Answer::No);
}

#[test]
fn negotiation_and_late_joins() {
    let mut forced = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    forced.resize(1200, 5);
    assert_eq!(detect(&[(ToServer, &forced)]), Answer::More);
    let negotiation = |version: u32| {
        let mut packet = vec![0x80, 0, 0, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        packet.extend(version.to_be_bytes());
        packet
    };
    assert_eq!(detect(&[(ToServer, &forced), (ToClient, &negotiation(0x2a3a_4a5a))]), Answer::Yes(ToClient, 19));
    assert_eq!(detect(&[(ToClient, &negotiation(V1))]), Answer::Yes(ToClient, 19));
    assert_eq!(detect(&[(ToClient, &negotiation(77))]), Answer::No);
    assert_eq!(detect(&[(ToClient, &negotiation(V1)[..18])]), Answer::No);
    // handshake packets whose ids agree
    let handshake = |destination: &[u8], source: &[u8]| {
        let mut packet = vec![0xe0, 0, 0, 0, 1, 8];
        packet.extend(destination);
        packet.push(8);
        packet.extend(source);
        packet.extend([0x40, 30]);
        packet.extend([7; 30]);
        packet
    };
    let server = handshake(&[1; 8], &[2; 8]);
    assert_eq!(detect(&[(ToClient, &server)]), Answer::More);
    assert_eq!(detect(&[(ToClient, &server), (ToServer, &handshake(&[2; 8], &[1; 8]))]), Answer::Yes(ToServer, 55));
    assert_eq!(detect(&[(ToClient, &server), (ToServer, &handshake(&[3; 8], &[4; 8]))]), Answer::More);
}

#[test]
fn googles_versions() {
    let mut plain = b"\x0d\x01\x02\x03\x04\x05\x06\x07\x08Q043\x01".to_vec();
    plain.extend([9; 12]);
    plain.extend(b"\xa0\x01\x04\x00CHLO\x08\x00\x00\x00");
    assert_eq!(detect(&[(ToServer, &plain)]), Answer::Yes(ToServer, plain.len()));
    plain[10] = b'X';
    assert_eq!(detect(&[(ToServer, &plain)]), Answer::No);
}

#[test]
fn server_names() {
    let message = bytes(HELLO);
    assert_eq!(server_name(&message), Some("example.com"));
    for length in 0..message.len() {
        assert_eq!(server_name(&message[..length]), None);
    }
}

/// As many packets as fit, each of another connection, of a version with several salts: none is believed.
#[test]
fn packets_that_cannot_be_opened() {
    let mut datagram = Vec::new();
    for id in 0..3u8 {
        datagram.extend([0xc3, 0xfa, 0xce, 0xb0, 0x01, 8, id, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0x7f, 0xf0 - 18]);
        datagram.resize(datagram.len() + 0x3ff0 - 18, id);
    }
    let said = [(ToServer, datagram.as_slice()); 8];
    assert_eq!(detect(&said), Answer::More);
    assert_eq!(hello(&said), None);
    let small: Vec<u8> = (0..=255)
        .flat_map(|id| {
            let mut packet = vec![0xc3, 0, 0, 0, 1, 1, id, 0, 0, 20];
            packet.resize(30, id);
            packet
        })
        .collect();
    assert_eq!(detect(&[(ToServer, small.as_slice()); 8]), Answer::More);
}
