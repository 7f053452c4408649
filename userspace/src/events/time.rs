//! Clocks: the programs' monotonic one, and the one on the wall.

use std::{cell::RefCell, fmt::Write as _};

use jiff::{Timestamp, tz::TimeZone};

use super::eve::Short;

/// Turns monotonic nanoseconds into the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Time of day less monotonic time, ns.
    offset_ns: i128,
    /// Number of the packet in a capture that is told of.
    packet: Option<u64>,
}

impl Clock {
    /// A clock in which monotonic time `monotonic_ns` is `wall_ns` after 1970: for captures and tests.
    pub const fn fixed(monotonic_ns: u64, wall_ns: u64) -> Self {
        Self { offset_ns: wall_ns as i128 - monotonic_ns as i128, packet: None }
    }

    /// The same at a packet of a capture, by its number.
    #[must_use]
    pub const fn at_packet(self, number: u64) -> Self {
        Self { packet: Some(number), ..self }
    }

    /// The packet of a capture that is told of; `None`: there is no capture.
    pub const fn packet(&self) -> Option<u64> {
        self.packet
    }

    /// This machine's clocks. The wall clock may be set at any time: take a new one now and then.
    pub fn system() -> Self {
        // between the two readings a few hundred nanoseconds pass, less than an event's microsecond
        Self { offset_ns: read(libc::CLOCK_REALTIME) - read(libc::CLOCK_MONOTONIC), packet: None }
    }

    /// Nanoseconds since 1970.
    pub fn wall_ns(&self, monotonic_ns: u64) -> i128 {
        i128::from(monotonic_ns) + self.offset_ns
    }

    /// Seconds since 1970.
    pub fn unix_s(&self, monotonic_ns: u64) -> i64 {
        i64::try_from(self.wall_ns(monotonic_ns).div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
    }

    /// As EVE writes it.
    pub fn format(&self, monotonic_ns: u64) -> Short {
        format_time(self.wall_ns(monotonic_ns))
    }
}

fn read(clock: libc::clockid_t) -> i128 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one `timespec`.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    debug_assert_eq!(status, 0, "both clocks exist on every Linux");
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

/// A time of day with microseconds and the local zone's offset: `2026-01-31T12:00:00.000001+0000`. Times outside years
/// that can be written are shown as the nearest that can.
pub fn format_time(wall_ns: i128) -> Short {
    WRITTEN.with_borrow_mut(|written| written.format(wall_ns, TimeZone::system))
}

/// Seconds that stay written; a power of two.
const SECONDS: usize = 64;

thread_local! {
    static WRITTEN: RefCell<Written> = RefCell::new(Written::default());
}

/// Seconds written of late. Most of what an event says of time is which second it was, and calendars and time zones are slow:
/// they took most of the time of writing the end of a flow.
#[derive(Default)]
struct Written(Vec<Option<Second>>);

/// A second, and how it is written: up to the point, and behind the fraction.
struct Second {
    wall_s: i128,
    until: String,
    offset: String,
}

impl Written {
    fn format(&mut self, wall_ns: i128, zone: impl FnOnce() -> TimeZone) -> Short {
        let wall_ns = wall_ns.clamp(Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
        let (wall_s, fraction) = (wall_ns.div_euclid(1_000_000_000), wall_ns.rem_euclid(1_000_000_000));
        self.0.resize_with(SECONDS, || None);
        let place = &mut self.0[wall_s as usize % SECONDS];
        let second = match place {
            Some(second) if second.wall_s == wall_s => second,
            _ => place.insert(Second::new(wall_s, zone())),
        };
        let mut text = Short::new();
        // it takes less than there is room for, whatever the year
        let _ = write!(text, "{}.{:06}{}", second.until, fraction / 1000, second.offset);
        text
    }
}

impl Second {
    fn new(wall_s: i128, zone: TimeZone) -> Self {
        let timestamp = Timestamp::from_nanosecond(wall_s.saturating_mul(1_000_000_000)).unwrap_or(Timestamp::MIN);
        let zoned = timestamp.to_zoned(zone);
        let (until, offset) = (zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string(), zoned.strftime("%z").to_string());
        Self { wall_s, until, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    fn format_in(wall_ns: i128, zone: &TimeZone) -> Short {
        Written::default().format(wall_ns, || zone.clone())
    }

    #[test]
    fn a_second_is_written_once() {
        let mut written = Written::default();
        let second = 1_700_000_000_000_000_000;
        let zones = [TimeZone::UTC, TimeZone::fixed(Offset::from_seconds(3600).unwrap())];
        let mut at = |ns, zone: usize| written.format(ns, || zones[zone].clone());
        assert_eq!(&*at(second + 1000, 0), "2023-11-14T22:13:20.000001+0000");
        assert_eq!(&*at(second + 999_999_999, 1), "2023-11-14T22:13:20.999999+0000", "as it was written first");
        // another second in the same place, and the first one anew
        assert_eq!(&*at(second + SECONDS as i128 * 1_000_000_000, 1), "2023-11-14T23:14:24.000000+0100");
        assert_eq!(&*at(second, 1), "2023-11-14T23:13:20.000000+0100");
        assert_eq!(&*at(-1, 0), "1969-12-31T23:59:59.999999+0000");
    }

    #[test]
    fn written_as_eve_writes_it() {
        let ns = 1_700_000_000_123_456_789;
        assert_eq!(&*format_in(ns, &TimeZone::UTC), "2023-11-14T22:13:20.123456+0000");
        let zone = TimeZone::fixed(Offset::from_seconds(-5 * 3600 - 1800).unwrap());
        assert_eq!(&*format_in(ns, &zone), "2023-11-14T16:43:20.123456-0530");
        assert_eq!(&*format_in(0, &TimeZone::UTC), "1970-01-01T00:00:00.000000+0000");
        format_in(i128::MAX, &TimeZone::UTC);
        format_in(i128::MIN, &TimeZone::UTC);
    }

    #[test]
    fn fixed_clock() {
        let clock = Clock::fixed(1000, 5_000_000);
        assert_eq!(clock.wall_ns(1500), 5_000_500);
        assert_eq!(clock.wall_ns(0), 4_999_000);
    }

    #[test]
    fn system_clock_is_now() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i128;
        let monotonic = u64::try_from(read(libc::CLOCK_MONOTONIC)).unwrap();
        assert!((Clock::system().wall_ns(monotonic) - now).abs() < 1_000_000_000);
    }
}
