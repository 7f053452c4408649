//! Keys of Initial packets, and what is inside them (RFC 9001 sections 5.2 to 5.4, RFC 9369 section 3.3).

use super::header::{Long, V2};
use aes_gcm::{
    AeadInOut, Aes128Gcm, KeyInit,
    aes::{Aes128, cipher::BlockCipherEncrypt},
};
use hkdf::Hkdf;
use sha2::Sha256;

/// Longest packet that is opened; endpoints keep their first ones within the path's MTU.
const PACKET_MAX: usize = 1 << 14;
const TAG: usize = 16;

/// Keys of one side.
#[derive(Clone, Debug)]
pub struct Keys {
    pub key: [u8; 16],
    pub iv: [u8; 12],
    /// For header protection.
    pub hp: [u8; 16],
}

impl Keys {
    /// The client's, from the destination id of its first packet.
    pub fn of_client(version: u32, salt: &[u8; 20], destination: &[u8]) -> Option<Self> {
        Self::of(b"client in", version, salt, destination)
    }

    /// The server's, from the same id.
    pub fn of_server(version: u32, salt: &[u8; 20], destination: &[u8]) -> Option<Self> {
        Self::of(b"server in", version, salt, destination)
    }

    fn of(side: &[u8], version: u32, salt: &[u8; 20], destination: &[u8]) -> Option<Self> {
        let initial = Hkdf::<Sha256>::new(Some(salt), destination);
        let mut secret = [0; 32];
        expand(&initial, side, &mut secret)?;
        let secret = Hkdf::<Sha256>::from_prk(&secret).ok()?;
        let labels: [&[u8]; 3] = if version == V2 {
            [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"]
        } else {
            [b"quic key", b"quic iv", b"quic hp"]
        };
        let mut keys = Self { key: [0; 16], iv: [0; 12], hp: [0; 16] };
        expand(&secret, labels[0], &mut keys.key)?;
        expand(&secret, labels[1], &mut keys.iv)?;
        expand(&secret, labels[2], &mut keys.hp)?;
        Some(keys)
    }

    /// The payload, if these keys sealed it.
    pub fn open(&self, packet: &Long<'_>) -> Option<Vec<u8>> {
        if packet.packet.len() > PACKET_MAX {
            return None;
        }
        let at = packet.protected_at;
        // the sample is taken as if the number had four bytes
        let sample = packet.packet.get(at + 4..)?.first_chunk::<16>()?;
        let mask = self.mask(*sample);
        let mut opened = packet.packet.to_vec();
        *opened.first_mut()? ^= mask[0] & 0x0f;
        let number_len = usize::from(opened.first()? & 3) + 1;
        let mut nonce = self.iv;
        let number = opened.get_mut(at..at + number_len)?;
        for (byte, mask) in number.iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
        }
        for (byte, number) in nonce[12 - number_len..].iter_mut().zip(&*number) {
            *byte ^= number;
        }
        let (header, sealed) = opened.split_at_mut_checked(at + number_len)?;
        let (payload, tag) = sealed.split_at_mut_checked(sealed.len().checked_sub(TAG)?)?;
        let tag: &[u8; TAG] = (&*tag).try_into().ok()?;
        Aes128Gcm::new(&self.key.into())
            .decrypt_inout_detached(&nonce.into(), header, (&mut *payload).into(), tag.into())
            .ok()?;
        Some(payload.to_vec())
    }

    pub fn mask(&self, sample: [u8; 16]) -> [u8; 5] {
        let mut block = sample.into();
        Aes128::new(&self.hp.into()).encrypt_block(&mut block);
        std::array::from_fn(|at| block[at])
    }
}

/// HKDF-Expand-Label (RFC 8446 section 7.1) without a context.
fn expand(secret: &Hkdf<Sha256>, label: &[u8], into: &mut [u8]) -> Option<()> {
    let length = u16::try_from(into.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(6 + label.len()).ok()?];
    secret.expand_multi_info(&[&length, &label_length, b"tls13 ", label, &[0]], into).ok()
}
