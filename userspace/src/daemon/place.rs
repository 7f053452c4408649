//! Where a gateway keeps what outlives its daemon: pins on a BPF file system, a socket and a state file under `/run`.
//!
//! Every network namespace has its own place. Pins are made in the mount namespace of process 1, or of the oldest ancestor
//! that can be seen: `ip netns exec` gives each command a mount namespace and a `/sys` of its own, and pins made there would
//! end with the command, and enforcement with them.

use std::{
    ffi::CString,
    fs, io,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use super::{guard, links::Changed};
use crate::{datapath::detach_link, hold};

/// Where BPF file systems are mounted.
const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` (`include/uapi/linux/magic.h`).
const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// The paths of one gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Directory of pinned maps and links.
    pub pins: PathBuf,
    /// Directory of the socket, the lock and the state file.
    pub run: PathBuf,
}

impl Place {
    /// That of this process's network namespace.
    pub fn here() -> io::Result<Self> {
        let own = fs::metadata("/proc/self/ns/net")?.ino();
        let first = fs::metadata("/proc/1/ns/net").map(|namespace| namespace.ino()).ok();
        let name = if first == Some(own) { "default".to_owned() } else { format!("net-{own}") };
        Ok(Self { pins: Path::new(BPFFS).join("dropgate").join(&name), run: Path::new("/run/dropgate").join(name) })
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// Names, numbers and generation of the policy in force.
    pub fn state(&self) -> PathBuf {
        self.run.join("state.json")
    }

    /// What was changed about the links of a bridge.
    pub fn links(&self) -> PathBuf {
        self.run.join("links.json")
    }

    /// Held locked by the daemon.
    pub fn lock(&self) -> PathBuf {
        self.run.join("lock")
    }

    /// Takes enforcement off and leaves nothing behind: the pins first, the lock's file last. Whether there were pins.
    /// To be called by who holds the lock, or when no daemon answers.
    pub fn detach(&self) -> io::Result<bool> {
        let enforced = remove(&self.pins)?;
        // a daemon that was killed left these behind
        for index in hold::strays()? {
            hold::remove(index)?;
        }
        Changed::read(&self.links()).undo();
        guard::remove();
        match fs::remove_dir_all(&self.run) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(enforced),
        }
    }
}

/// Enters the mount namespace that lasts, unless this is it, and sees to a BPF file system there. To be called before there
/// is a second thread; paths given before must be absolute.
pub fn enter() -> io::Result<()> {
    let own = fs::metadata("/proc/self/ns/mnt")?.ino();
    if let Some(first) = eldest()
        && first.metadata()?.ino() != own
    {
        // SAFETY: a namespace descriptor; this process has one thread.
        if unsafe { libc::setns(first.as_raw_fd(), libc::CLONE_NEWNS) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    if !is_bpffs(Path::new(BPFFS))? {
        mount()?;
    }
    Ok(())
}

/// The mount namespace of process 1; where that is not for us to see, of the oldest ancestor that is.
fn eldest() -> Option<fs::File> {
    let mut found = None;
    let mut process = std::os::unix::process::parent_id();
    while process > 0 {
        if let Ok(namespace) = fs::File::open(format!("/proc/{process}/ns/mnt")) {
            found = Some(namespace);
        }
        // proc_pid_stat(5): the parent is the second field after the name, which may hold anything but ends in `)`
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let parent =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).and_then(|id| id.parse().ok());
        match parent {
            Some(parent) if parent != process => process = parent,
            _ => break,
        }
    }
    match fs::File::open("/proc/1/ns/mnt") {
        Ok(first) => Some(first),
        Err(_) => found,
    }
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_encoded_bytes())?;
    // SAFETY: all-zero is a valid `statfs`.
    let mut found: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a nul-terminated path and room for the answer.
    if unsafe { libc::statfs(path.as_ptr(), &mut found) } < 0 {
        return Err(io::Error::last_os_error());
    }
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between architectures")]
    Ok(found.f_type as i64 == BPF_FS_MAGIC)
}

fn mount() -> io::Result<()> {
    let (kind, target) = (CString::new("bpf")?, CString::new(BPFFS)?);
    // SAFETY: nul-terminated strings.
    let done = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes a link off its interface, and its pin away.
pub fn remove_link(pin: &Path) -> io::Result<()> {
    // its interface may be gone, and then there is nothing to take it off
    let _ = detach_link(pin);
    fs::remove_file(pin)
}

/// Takes enforcement off and removes every pin. Whether there was any.
pub fn remove(pins: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(pins) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in entries {
        names.push(entry?.path());
    }
    let (links, maps): (Vec<_>, Vec<_>) = names.iter().partition(|path| is_link(path));
    // links first: a program must not run on maps that are half gone
    for path in links {
        remove_link(path)?;
    }
    for path in maps {
        fs::remove_file(path)?;
    }
    fs::remove_dir(pins)?;
    Ok(!names.is_empty())
}

fn is_link(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("link"))
}

/// Identity of this network namespace that is never used again (`SO_NETNS_COOKIE`).
pub fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("[::1]:0"));
    let descriptor = match &socket {
        Ok(socket) => socket.as_raw_fd(),
        Err(_) => {
            // no loopback: any socket will do
            // SAFETY: plain socket(2); the descriptor is closed with the process.
            unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }
        }
    };
    let mut cookie = 0u64;
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: room for the answer, of the length given.
    let done =
        unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &mut len) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(cookie) }
}
