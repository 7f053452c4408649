//! Wakes a thread that waits for descriptors (eventfd(2)).

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// One thread waits for it, others ring it.
pub struct Bell {
    event: File,
    asleep: AtomicBool,
}

impl Bell {
    /// Nobody has rung.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no preconditions.
        let event = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor that was just made.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        Ok(Self { event: File::from(event), asleep: AtomicBool::new(false) })
    }

    /// The descriptor to poll.
    pub fn descriptor(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// To be said before the last look for work, which those who ring have put there before they did.
    pub fn falls_asleep(&self) {
        self.asleep.store(true, Ordering::SeqCst);
    }

    /// The thread is awake again.
    pub fn wakes(&self) {
        if !self.asleep.swap(false, Ordering::SeqCst) {
            // somebody rang, or is about to: one time too many does no harm
            let _ = (&self.event).read(&mut [0; 8]);
        }
    }

    /// Wakes the thread, if it sleeps.
    pub fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            let _ = (&self.event).write(&1u64.to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rung(bell: &Bell) -> bool {
        let mut polled = libc::pollfd { fd: bell.descriptor(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid entry.
        unsafe { libc::poll(&raw mut polled, 1, 0) > 0 }
    }

    #[test]
    fn only_sleepers_are_woken() {
        let bell = Bell::new().unwrap();
        bell.ring();
        assert!(!rung(&bell), "nobody slept");
        bell.falls_asleep();
        bell.ring();
        assert!(rung(&bell));
        bell.wakes();
        assert!(!rung(&bell));
    }
}
