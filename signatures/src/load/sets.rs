//! Sets in files of their own: datasets, and lists of digests.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::{context::Context, mistake::Mistake};
use crate::{codes, diagnostic::quoted, engine::verify::base64::decode_strict, rule::SetKind};

/// What was read for rules before.
#[derive(Default)]
pub(crate) struct SetTable {
    sets: HashMap<String, Set>,
    digests: HashMap<(String, usize), Arc<[Vec<u8>]>>,
}

/// What a dataset holds to begin with.
pub(crate) type Values = Arc<[Box<[u8]>]>;

struct Set {
    kind: SetKind,
    values: Values,
    /// A rule has named its file.
    loaded: bool,
}

/// A set as a rule names it.
pub(crate) struct Named<'a> {
    pub name: &'a str,
    pub kind: Option<SetKind>,
    /// Where its values are, and whether the file must be there.
    pub load: Option<(&'a str, bool)>,
}

impl SetTable {
    /// A dataset's type and values. Rules that name it again need not say what it holds.
    pub fn set(&mut self, context: &Context<'_>, named: &Named<'_>) -> Result<(SetKind, Values), Mistake> {
        if let Some(Set { kind, values, loaded }) = self.sets.get(named.name) {
            if named.kind.is_some_and(|other| other != *kind) {
                let message = format!("the dataset {} has another type in an earlier rule", quoted(named.name));
                return Err(Mistake::new(&codes::SET, message));
            }
            if named.load.is_none() || *loaded {
                return Ok((*kind, Arc::clone(values)));
            }
        }
        let missing =
            || Mistake::new(&codes::SET, format!("the type of the dataset {} is missing", quoted(named.name)));
        let kind = named.kind.ok_or_else(missing)?;
        let mut values = match named.load {
            None => Vec::new(),
            Some((file, must)) => match (context.options.read)(&context.file, file) {
                Ok(bytes) => parse(&bytes, kind, file)?,
                Err(_) if !must => Vec::new(),
                Err(error) => return Err(unread(file, &error)),
            },
        };
        values.sort_unstable();
        values.dedup();
        let values: Values = values.into();
        let set = Set { kind, values: Arc::clone(&values), loaded: named.load.is_some() };
        self.sets.insert(named.name.to_owned(), set);
        Ok((kind, values))
    }

    /// The digests of a file, one a line: sorted.
    pub fn digests(&mut self, context: &Context<'_>, file: &str, length: usize) -> Result<Arc<[Vec<u8>]>, Mistake> {
        let key = (format!("{}\0{file}", context.file), length);
        if let Some(known) = self.digests.get(&key) {
            return Ok(Arc::clone(known));
        }
        let bytes = (context.options.read)(&context.file, file).map_err(|error| unread(file, &error))?;
        let mut digests = Vec::new();
        for (number, line) in lines(&bytes) {
            let word = line.split(|byte| byte.is_ascii_whitespace() || *byte == b',').next().unwrap_or_default();
            let digest = hexadecimal(word).filter(|digest| digest.len() == length);
            let expected = format!("{} hexadecimal digits", 2 * length);
            digests.push(digest.ok_or_else(|| wrong_line(file, number, &expected))?);
        }
        digests.sort_unstable();
        digests.dedup();
        let digests: Arc<[Vec<u8>]> = digests.into();
        self.digests.insert(key, Arc::clone(&digests));
        Ok(digests)
    }
}

fn unread(file: &str, error: &str) -> Mistake {
    Mistake::new(&codes::READ, format!("cannot read {}: {error}", quoted(file)))
}

fn wrong_line(file: &str, line: usize, expected: &str) -> Mistake {
    Mistake::new(&codes::SET, format!("line {line} of {} is not {expected}", quoted(file)))
}

/// Lines that are neither empty nor comments, with their numbers.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let all = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    all.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#")).map(|(at, line)| (at + 1, line))
}

fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}

fn parse(bytes: &[u8], kind: SetKind, file: &str) -> Result<Vec<Box<[u8]>>, Mistake> {
    let mut values = Vec::new();
    for (number, line) in lines(bytes) {
        let wrong = |expected: &str| wrong_line(file, number, expected);
        let digest = |length: usize| hexadecimal(line).filter(|digest| digest.len() == length);
        let value = match kind {
            SetKind::String => decode_strict(line).ok_or_else(|| wrong("base64"))?,
            SetKind::Md5 => digest(16).ok_or_else(|| wrong("an MD5 digest"))?,
            SetKind::Sha256 => digest(32).ok_or_else(|| wrong("a SHA-256 digest"))?,
            SetKind::Ip | SetKind::Ipv4 => {
                let address = std::str::from_utf8(line).ok().and_then(address).ok_or_else(|| wrong("an address"))?;
                address.octets().to_vec()
            }
        };
        values.push(value.into_boxed_slice());
    }
    Ok(values)
}

/// An address, those of IPv4 mapped.
fn address(text: &str) -> Option<Ipv6Addr> {
    Some(match text.parse().ok()? {
        IpAddr::V4(v4) => Ipv4Addr::to_ipv6_mapped(&v4),
        IpAddr::V6(v6) => v6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        assert_eq!(hexadecimal(b"0aFF"), Some(vec![10, 255]));
        assert_eq!(hexadecimal(b"0aF"), None);
        assert_eq!(&*parse(b"Zm9vYg==\n", SetKind::String, "x").unwrap()[0], b"foob");
        assert!(parse(b"Zm9vY\n", SetKind::String, "x").is_err());
        let file = b"# hosts\n10.0.0.1\r\n\n::1\n";
        let values = parse(file, SetKind::Ip, "x").unwrap();
        assert_eq!(&*values[0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1]);
        assert_eq!(parse(b"\n\nx", SetKind::Ip, "x").unwrap_err().message, "line 3 of `x` is not an address");
    }
}
