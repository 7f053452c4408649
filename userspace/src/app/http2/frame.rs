//! Frames of HTTP/2 (RFC 9113 section 4 and 6).

/// What a client says first (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of the header of a frame.
pub const HEADER: usize = 9;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;

/// The setting of the size of the other side's table of fields.
pub const TABLE_SIZE: u16 = 1;

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Header {
    /// Of nine bytes.
    pub fn read(bytes: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, d, e, f, g] = bytes;
        Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]) & 0x7fff_ffff,
        }
    }

    /// The stream's direction ends with it.
    pub const fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The block of fields ends with it.
    pub const fn ends_headers(&self) -> bool {
        matches!(self.kind, HEADERS | PUSH_PROMISE | CONTINUATION) && self.flags & END_HEADERS != 0
    }

    /// Padding stands behind what it carries.
    pub const fn is_padded(&self) -> bool {
        matches!(self.kind, DATA | HEADERS | PUSH_PROMISE) && self.flags & PADDED != 0
    }
}

/// What is known of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    pub kind: u8,
    pub error: Option<u32>,
    pub priority: Option<u8>,
    pub window: Option<u32>,
}

/// What a frame says, but for DATA.
#[derive(Debug, Default)]
pub struct Read<'a> {
    pub frame: Frame,
    pub settings: Vec<(u16, u32)>,
    /// A piece of a block of fields.
    pub block: &'a [u8],
    /// It is not as it has to be.
    pub invalid: bool,
}

/// Reads what stands behind a frame's header.
pub fn read(header: Header, payload: &[u8]) -> Read<'_> {
    let mut read = Read { frame: Frame { kind: header.kind, ..Frame::default() }, ..Read::default() };
    let mut rest = payload;
    if header.is_padded() {
        let padding = rest.first().copied().map_or(0, usize::from);
        match rest.len().checked_sub(1 + padding) {
            Some(length) if !rest.is_empty() => rest = &rest[1..1 + length],
            _ => {
                read.invalid = true;
                return read;
            }
        }
    }
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    match header.kind {
        HEADERS if header.flags & PRIORITIZED != 0 => match rest {
            [_, _, _, _, weight, block @ ..] => (read.frame.priority, read.block) = (Some(*weight), block),
            _ => read.invalid = true,
        },
        HEADERS | CONTINUATION => read.block = rest,
        PUSH_PROMISE => match rest {
            [_, _, _, _, block @ ..] => read.block = block,
            _ => read.invalid = true,
        },
        PRIORITY => read.frame.priority = rest.get(4).copied(),
        RST_STREAM => read.frame.error = number(rest),
        GOAWAY => read.frame.error = rest.get(4..).and_then(number),
        WINDOW_UPDATE => read.frame.window = number(rest).map(|window| window & 0x7fff_ffff),
        SETTINGS => {
            let setting =
                |setting: &[u8]| Some((u16::from_be_bytes(*setting.first_chunk()?), number(setting.get(2..)?)?));
            read.settings = rest.chunks_exact(6).filter_map(setting).collect();
            read.invalid = !rest.len().is_multiple_of(6);
        }
        _ => {}
    }
    let told = match header.kind {
        PRIORITY => read.frame.priority.is_some(),
        RST_STREAM | GOAWAY => read.frame.error.is_some(),
        WINDOW_UPDATE => read.frame.window.is_some(),
        _ => true,
    };
    read.invalid |= !told;
    read
}

/// EVE's name of a setting (section 6.5.2; RFC 8441, RFC 9218).
pub fn setting_name(id: u16) -> Option<&'static str> {
    Some(match id {
        TABLE_SIZE => "SETTINGSHEADERTABLESIZE",
        2 => "SETTINGSENABLEPUSH",
        3 => "SETTINGSMAXCONCURRENTSTREAMS",
        4 => "SETTINGSINITIALWINDOWSIZE",
        5 => "SETTINGSMAXFRAMESIZE",
        6 => "SETTINGSMAXHEADERLISTSIZE",
        8 => "SETTINGSENABLECONNECTPROTOCOL",
        9 => "SETTINGSNORFC7540PRIORITIES",
        _ => return None,
    })
}

/// EVE's name of an error (section 7).
pub fn error_name(code: u32) -> Option<&'static str> {
    const NAMES: [&str; 14] = [
        "NOERROR",
        "PROTOCOLERROR",
        "INTERNALERROR",
        "FLOWCONTROLERROR",
        "SETTINGSTIMEOUT",
        "STREAMCLOSED",
        "FRAMESIZEERROR",
        "REFUSEDSTREAM",
        "CANCEL",
        "COMPRESSIONERROR",
        "CONNECTERROR",
        "ENHANCEYOURCALM",
        "INADEQUATESECURITY",
        "HTTP11REQUIRED",
    ];
    NAMES.get(usize::try_from(code).ok()?).copied()
}

/// Whether one of the settings is as a rule has it: a name, an operator or none for equality, and a number.
pub fn holds(test: &str, settings: &[(u16, u32)]) -> bool {
    let test: String = test.chars().filter(|letter| !letter.is_whitespace()).collect();
    let at = test.find(|letter: char| !letter.is_ascii_alphabetic() && letter != '_').unwrap_or(test.len());
    let (name, test) = test.split_at(at);
    let name: String = name.chars().filter(|letter| *letter != '_').collect::<String>().to_ascii_uppercase();
    let ours = settings.iter().filter(|(id, _)| setting_name(*id).is_some_and(|known| known == name));
    let digits = test.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let operator = &test[..test.len() - digits.len()];
    let (low, high) = digits.split_once('-').unwrap_or((digits, digits));
    let (Ok(low), Ok(high)) = (low.parse::<u32>(), high.parse::<u32>()) else {
        return test.is_empty() && ours.count() > 0;
    };
    ours.map(|(_, value)| *value).any(|value| match operator {
        "<" => value < low,
        "<=" => value <= low,
        ">" => value > low,
        ">=" => value >= low,
        "!=" | "!" => value != low,
        _ if low == high => value == low,
        _ => value > low && value < high,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        let header = |kind, flags| Header { length: 0, kind, flags, stream: 1 };
        assert_eq!(Header::read([0, 1, 2, 4, 5, 0x80, 0, 0, 7]), Header { length: 258, kind: 4, flags: 5, stream: 7 });
        let read_headers = read(header(HEADERS, PADDED | PRIORITIZED), &[2, 0, 0, 0, 0, 9, 1, 2, 3, 0, 0]);
        assert_eq!((read_headers.block, read_headers.frame.priority), (&[1, 2, 3][..], Some(9)));
        assert!(read(header(DATA, PADDED), &[9, 0]).invalid);
        assert!(read(header(HEADERS, PADDED), &[]).invalid);
        assert_eq!(read(header(GOAWAY, 0), &[0, 0, 0, 1, 0, 0, 0, 11]).frame.error, Some(11));
        assert_eq!(read(header(WINDOW_UPDATE, 0), &[0x80, 0, 1, 0]).frame.window, Some(256));
        assert!(read(header(RST_STREAM, 0), &[0, 0]).invalid);
        let settings = read(header(SETTINGS, 0), &[0, 1, 0, 0, 16, 0, 0, 2, 0, 0, 0, 1, 9]);
        assert_eq!((&settings.settings[..], settings.invalid), (&[(1, 4096), (2, 1)][..], true));
    }

    #[test]
    fn settings_are_compared() {
        let settings = [(1, 4096), (2, 0)];
        for test in
            ["SETTINGS_ENABLE_PUSH=0", "SETTINGS_HEADER_TABLE_SIZE>1000", "SETTINGS_HEADER_TABLE_SIZE 4000-5000"]
        {
            assert!(holds(test, &settings), "{test}");
        }
        for test in
            ["SETTINGS_ENABLE_PUSH=1", "SETTINGS_HEADER_TABLE_SIZE<4096", "SETTINGS_MAX_FRAME_SIZE>0", "", "x=y"]
        {
            assert!(!holds(test, &settings), "{test}");
        }
    }
}
