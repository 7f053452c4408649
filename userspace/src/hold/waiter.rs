//! Waits for any of a worker's sockets (epoll(7)). Unlike poll(2) it asks only those that have something: of a socket that has
//! nothing, each question costs a lock and a look at its sending ring.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
    sync::{Arc, Weak},
    time::Duration,
};

use super::port::Port;

/// How long is waited where a socket cannot be waited for.
const DEAF: Duration = Duration::from_millis(1);

/// What one worker waits for.
pub struct Waiter {
    epoll: OwnedFd,
    /// The interfaces whose sockets are waited for.
    ports: Weak<Vec<Arc<Port>>>,
    /// One of them could not be.
    deaf: bool,
}

impl Waiter {
    /// Nothing is waited for.
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll()?, ports: Weak::new(), deaf: false })
    }

    /// Waits for these, the sockets of `ports` among them, as long as `patience`. The list is made anew only with other ports.
    pub fn wait(&mut self, ports: &Arc<Vec<Arc<Port>>>, descriptors: impl Iterator<Item = RawFd>, patience: Duration) {
        if !std::ptr::eq(self.ports.as_ptr(), Arc::as_ptr(ports)) {
            self.ports = Arc::downgrade(ports);
            self.deaf = self.follow(descriptors).is_err();
        }
        let patience = if self.deaf { patience.min(DEAF) } else { patience };
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: an open descriptor, and room for one event.
        unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), &raw mut event, 1, patience.as_millis() as i32) };
    }

    fn follow(&mut self, descriptors: impl Iterator<Item = RawFd>) -> io::Result<()> {
        self.epoll = epoll()?;
        for descriptor in descriptors {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
            // SAFETY: open descriptors, and an event that the call copies.
            let done =
                unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, descriptor, &raw mut event) };
            if done < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }
}

fn epoll() -> io::Result<OwnedFd> {
    // SAFETY: no preconditions.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just made.
    Ok(unsafe { OwnedFd::from_raw_fd(epoll) })
}

#[cfg(test)]
mod tests {
    use super::{super::bell::Bell, *};
    use std::time::Instant;

    #[test]
    fn wakes_for_any_and_follows_the_ports() {
        let (mut waiter, bells) = (Waiter::new().unwrap(), [Bell::new().unwrap(), Bell::new().unwrap()]);
        let long = Duration::from_secs(20);
        let first = Arc::default();
        bells[1].falls_asleep();
        bells[1].ring();
        let start = Instant::now();
        waiter.wait(&first, bells.iter().map(Bell::descriptor), long);
        assert!(start.elapsed() < long / 2);
        // with other ports, other sockets
        let second = Arc::default();
        waiter.wait(&second, bells[..1].iter().map(Bell::descriptor), Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20) && !waiter.deaf);
        waiter.wait(&first, [-1].into_iter(), long);
        assert!(waiter.deaf && start.elapsed() < long / 2);
    }
}
