//! Credits: how many packets each socket may hold. The programs take them; they are returned here.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use dropgate_abi::hold::Credit;

use crate::{clock::now_ns, datapath::Mapped};

/// `CREDITS`, by place of the socket.
pub struct Credits(Mapped<Credit>);

/// The words of one entry; see [`Credit`].
struct Words<'a> {
    taken: &'a AtomicU32,
    returned: &'a AtomicU32,
    limit: &'a AtomicU32,
    alive_ns: &'a AtomicU64,
}

impl Credits {
    /// Of this map; no socket is served yet.
    pub fn new(map: Mapped<Credit>) -> Self {
        let credits = Self(map);
        credits.close_all();
        credits
    }

    /// All credits of a socket are there again: what an earlier one held is gone.
    pub fn open(&self, place: u32, limit: u32) {
        if let Some(words) = self.words(place) {
            words.returned.store(words.taken.load(Ordering::Relaxed), Ordering::Relaxed);
            words.alive_ns.store(now_ns(), Ordering::Relaxed);
            words.limit.store(limit, Ordering::Release);
        }
    }

    /// Nobody serves this socket any more.
    pub fn close(&self, place: u32) {
        if let Some(words) = self.words(place) {
            words.limit.store(0, Ordering::Relaxed);
        }
    }

    /// Nobody serves any socket.
    pub fn close_all(&self) {
        (0..self.0.len()).for_each(|place| self.close(place as u32));
    }

    /// Returns the credits of packets that have left, and whose memory the kernel has again.
    pub fn give_back(&self, place: u32, count: usize) {
        if let Some(words) = self.words(place) {
            words.returned.fetch_add(count as u32, Ordering::Release);
        }
    }

    /// Those who serve this socket were all alive at this time.
    pub fn alive(&self, place: u32, at_ns: u64) {
        if let Some(words) = self.words(place) {
            words.alive_ns.store(at_ns, Ordering::Relaxed);
        }
    }

    fn words(&self, place: u32) -> Option<Words<'_>> {
        let entry = self.0.at(place as usize)?;
        // SAFETY: aligned words inside the mapping, which lives as long as `self`; both sides access them at once or
        // atomically.
        unsafe {
            Some(Words {
                taken: AtomicU32::from_ptr(&raw mut (*entry).taken),
                returned: AtomicU32::from_ptr(&raw mut (*entry).returned),
                limit: AtomicU32::from_ptr(&raw mut (*entry).limit),
                alive_ns: AtomicU64::from_ptr(&raw mut (*entry).alive_ns),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

    /// The memory of two sockets, as a map would be.
    fn credits() -> Credits {
        // SAFETY: a name that ends with zero; a descriptor that is ours alone.
        let memory = unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"credits".as_ptr(), 0)) };
        std::fs::File::from(memory.try_clone().unwrap()).set_len(4096).unwrap();
        Credits::new(Mapped::new(memory.as_fd(), 2).unwrap())
    }

    /// Credits that are out, as the programs count them.
    fn out(credits: &Credits, place: u32) -> u32 {
        let words = credits.words(place).unwrap();
        words.taken.load(Ordering::Relaxed).wrapping_sub(words.returned.load(Ordering::Relaxed))
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let credits = credits();
        let take = |count| credits.words(1).unwrap().taken.fetch_add(count, Ordering::Relaxed);
        take(5);
        credits.open(1, 8);
        assert_eq!(out(&credits, 1), 0, "what an earlier socket held");
        take(6);
        credits.give_back(1, 4);
        assert_eq!((out(&credits, 1), out(&credits, 0)), (2, 0));
        credits.give_back(1, 2);
        assert_eq!(out(&credits, 1), 0);
        credits.close(1);
        assert_eq!(credits.words(1).unwrap().limit.load(Ordering::Relaxed), 0);
        // beyond the map there is nothing
        credits.give_back(2, 1);
    }
}
