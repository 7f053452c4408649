//! Frames brought as a driver brings them: the kernel makes them in memory of its own and hands them to the gateway's interface,
//! with no socket buffer and no sender of its own cost to speak of (`BPF_F_TEST_XDP_LIVE_FRAMES`, `Documentation/bpf/bpf_prog_run.rst`).
//!
//! What trafgen sends has been a socket buffer before; veth copies it where there is a program, and none of that happens on a NIC.

use std::{
    io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result, anyhow};
use dropgate::datapath::bring;
use dropgate_lab::Gateway;
use serde::Deserialize;

use super::ends;
use crate::{
    frames::{self, FLOWS},
    packet::{BROUGHT, Own},
    probe,
};

/// Frames of one call.
const CALL: u32 = 1 << 15;

/// Sources of the frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sources {
    /// One client of the zone with 64 ports.
    Client,
    /// At random.
    Random,
}

/// What is brought: UDP of 60 bytes to the servers.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brought {
    sources: Sources,
    port: u16,
}

/// A thread that has frames brought, on the first CPU; it ends with this value.
pub struct Driver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Driver {
    /// Starts it; returns once frames have been brought.
    pub fn start(lab: &Gateway, own: &Own, what: Brought) -> Result<Self> {
        let ends = ends(lab)?;
        // any start will do but zero
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for at in 0..BROUGHT {
            let flow = (at % usize::from(FLOWS)) as u16;
            let (source, port) = match what.sources {
                Sources::Client => (frames::CLIENT, frames::PORT + flow),
                Sources::Random => {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    // as in `spoofed.cfg`: what a host may have for an address
                    let address = 0x0100_0000 + (random >> 32) as u32 % 0xdf00_0000;
                    (address.into(), (random as u16).max(1024))
                }
            };
            own.bring(at, &frames::udp(ends, (source, port), what.port));
        }
        own.bring_to(&lab.office, "eth0")?;
        let program = own.program("bring")?;
        let stop = Arc::new(AtomicBool::new(false));
        let (told, host, frame) = (Arc::clone(&stop), lab.office.clone(), vec![0; frames::LEN]);
        let (began, begun) = mpsc::channel();
        let thread = thread::spawn(move || {
            let run = || {
                probe::pin(0);
                while !told.load(Ordering::Relaxed) {
                    bring(program.as_fd(), &frame, CALL)?;
                    // nobody waits any more after the first time
                    let _ = began.send(());
                }
                Ok(())
            };
            host.enter(run).map_err(io::Error::other)?
        });
        let driver = Self { stop, thread: Some(thread) };
        match begun.recv() {
            Ok(()) => Ok(driver),
            Err(_) => Err(driver.stop().err().unwrap_or_else(|| anyhow!("no frame was brought"))),
        }
    }

    /// Whether frames are being brought.
    pub fn brings(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| anyhow!("what brings frames panicked"))?.context("bringing frames")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}
