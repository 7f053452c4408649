//! Google's QUIC before the IETF's: a client's hello in clear, made of tags with values.
//!
//! ```text
//! CHLO   count (16, little endian)   0 0   (tag, end of its value (32, little endian)) * count   values
//! ```

use md5::{Digest, Md5};

use crate::{
    app::digits::hex,
    protocol::{
        quic::google::{client_hello, version_of},
        wire::Bytes,
    },
};

/// Tags of a hello; real ones have about 25.
const TAGS_MAX: usize = 128;

/// What a hello says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tags {
    /// Version and tags, as CYU has them, and their MD5.
    pub text: String,
    pub hash: String,
    /// `SNI`
    pub name: Option<Vec<u8>>,
    /// `UAID`
    pub agent: Option<Vec<u8>>,
}

/// The version and the hello of a datagram that has one.
pub fn hello(datagram: &[u8]) -> Option<(u32, Tags)> {
    let mut bytes = Bytes::new(client_hello(datagram)?);
    let version = version_of(datagram)?;
    let count = usize::from(u16::from_le_bytes(bytes.array()?)).min(TAGS_MAX);
    bytes.take(2)?;
    let mut index = Bytes::new(bytes.take(count * 8)?);
    let mut names = Vec::with_capacity(count);
    let (mut name, mut agent) = (None, None);
    let mut at = 0;
    while let Some((tag, end)) = index.array::<4>().zip(index.array::<4>().map(u32::from_le_bytes)) {
        let end = usize::try_from(end).ok()?;
        let value = bytes.rest.get(at..end).map(<[u8]>::to_vec);
        match &tag {
            b"SNI\0" => name = value,
            b"UAID" => agent = value,
            _ => {}
        }
        at = end.max(at);
        let tag = tag.split(|&byte| byte == 0).next().unwrap_or_default();
        names.push(String::from_utf8_lossy(tag).into_owned());
    }
    let digits: String = version.to_be_bytes().iter().skip(1).map(|&byte| char::from(byte)).collect();
    let text = format!("{},{}", digits.trim_start_matches('0'), names.join("-"));
    Some((version, Tags { hash: hex(&Md5::digest(&text)), text, name, agent }))
}
