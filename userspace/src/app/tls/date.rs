//! Dates of certificates: how events write them, and how rules compare them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// `2016-10-24T09:22:33`, UTC.
pub fn written(unix_s: i64) -> Option<String> {
    let time = Timestamp::from_second(unix_s).ok()?.to_zoned(TimeZone::UTC);
    Some(time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// Whether a date is as `tls_cert_notbefore` says: `>2015-10-01`, `<2015-10-22 23:59:59`, `2015-10-01<>2015-11-01`,
/// `1445852105`. `None`: it says nothing that is understood.
pub fn holds(argument: &str, unix_s: i64) -> Option<bool> {
    let argument = argument.trim().trim_matches('"');
    if let Some((from, to)) = argument.split_once("<>") {
        return Some(read(from)? < unix_s && unix_s < read(to)?);
    }
    if let Some(from) = argument.strip_prefix('>') {
        return Some(unix_s > read(from)?);
    }
    match argument.strip_prefix('<') {
        Some(to) => Some(unix_s < read(to)?),
        None => Some(unix_s == read(argument)?),
    }
}

/// Seconds since 1970, or a date, as far as it is given.
fn read(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() > 4 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    // what is left out is the first of its kind
    let filled = format!("{text}{}", "0000-01-01 00:00:00".get(text.len()..)?);
    let time: DateTime = filled.replace(' ', "T").parse().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second())
}
