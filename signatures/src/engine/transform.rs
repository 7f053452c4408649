//! What is done to a buffer before anything is looked for in it.

use md5::Digest;

use super::verify::{decode, decode_rfc2045, decode_strict};
use crate::rule::{Base64Mode, Transform};

/// Applies transforms, one after the other. `None`: there is nothing left to be looked at.
pub fn apply(transforms: &[Transform], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    for transform in transforms {
        bytes = one(transform, bytes)?;
    }
    Some(bytes)
}

fn one(transform: &Transform, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    Some(match transform {
        Transform::DotPrefix => {
            bytes.insert(0, b'.');
            bytes
        }
        Transform::StripWhitespace => {
            bytes.retain(|byte| !is_space(*byte));
            bytes
        }
        Transform::CompressWhitespace => {
            let mut before = false;
            bytes.retain(|byte| !(std::mem::replace(&mut before, is_space(*byte)) && is_space(*byte)));
            bytes
        }
        Transform::ToLowercase => bytes.to_ascii_lowercase(),
        Transform::ToUppercase => bytes.to_ascii_uppercase(),
        Transform::ToMd5 => md5::Md5::digest(&bytes).to_vec(),
        Transform::ToSha1 => sha1::Sha1::digest(&bytes).to_vec(),
        Transform::ToSha256 => sha2::Sha256::digest(&bytes).to_vec(),
        Transform::FromBase64 { bytes: most, offset, mode } => {
            let encoded = bytes.get(*offset as usize..)?;
            let most = if *most == 0 { encoded.len() } else { encoded.len().min(*most as usize) };
            match mode {
                Base64Mode::Rfc4648 => decode(&encoded[..most]),
                Base64Mode::Rfc2045 => decode_rfc2045(&encoded[..most]),
                Base64Mode::Strict => decode_strict(&encoded[..most])?,
            }
        }
        _ => bytes,
    })
}

const fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}
