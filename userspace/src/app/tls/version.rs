//! Versions, by the names that rules and events have for them.

/// Drafts of TLS 1.3, which were spoken before it was done.
pub const FIRST_DRAFT: u16 = 0x7f01;
const LAST_DRAFT: u16 = 0x7fff;
/// Up to this one a server's hello is without the fields that say nothing in TLS 1.3.
const LAST_SHORT_HELLO: u16 = 0x7f15;

/// Whether a server's hello that begins with this version has neither a session nor a compression method. Early drafts had the
/// number of the version itself there.
pub const fn has_short_hello(version: u16) -> bool {
    version == 0x0304 || (FIRST_DRAFT <= version && version <= LAST_SHORT_HELLO)
}

/// As events write it.
pub fn title(version: u16) -> String {
    match version {
        0 => "UNDETERMINED".to_owned(),
        0x0002 | 0x0200 => "SSLv2".to_owned(),
        0x0300 => "SSLv3".to_owned(),
        0x0301 => "TLSv1".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        FIRST_DRAFT..0x7f10 => "TLS 1.3 draft-<16".to_owned(),
        0x7f10..=LAST_DRAFT => format!("TLS 1.3 draft-{:02}", version & 0xff),
        other => format!("0x{other:04x}"),
    }
}

/// Whether `tls.version` means it: `1.2`, `"1.2"`, `0x7f12`.
pub fn is(argument: &str, version: u16) -> bool {
    let wanted = match argument.trim().trim_matches('"') {
        "1.0" => 0x0301,
        "1.1" => 0x0302,
        "1.2" => 0x0303,
        "1.3" => return is_13(version),
        other => match other.strip_prefix("0x").map(|hex| u16::from_str_radix(hex, 16)) {
            Some(Ok(number)) => number,
            _ => return false,
        },
    };
    version == wanted
}

/// Whether `ssl_version` means it: `sslv3`, `tls1.0,tls1.1`, `!tls1.2`. Either all are negated or none, so that the first one
/// tells.
pub fn is_any_of(argument: &str, version: u16) -> bool {
    let names = argument.trim_matches('"').split([',', ' ']).filter(|name| !name.is_empty());
    let listed = names.map(|name| name.trim_start_matches('!').to_ascii_lowercase()).any(|name| match &*name {
        "sslv2" => version == 0x0002 || version == 0x0200,
        "sslv3" => version == 0x0300,
        "tls1.0" => version == 0x0301,
        "tls1.1" => version == 0x0302,
        "tls1.2" => version == 0x0303,
        "tls1.3" => is_13(version),
        _ => false,
    });
    listed != argument.trim_start().starts_with('!')
}

/// Version 1.3 or one of its drafts.
pub fn is_13(version: u16) -> bool {
    version == 0x0304 || (FIRST_DRAFT..=LAST_DRAFT).contains(&version)
}
