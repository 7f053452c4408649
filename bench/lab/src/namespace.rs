//! A network namespace, and how to run things in it.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{Error, Process, Result, process};

/// Where `ip netns` keeps its names.
pub(crate) const FOLDER: &str = "/run/netns";

/// A named network namespace of a [`crate::Lab`]. Cheap to clone; the laboratory removes it.
///
/// Only the network is switched: mounts stay those of the caller, so `/sys/fs/bpf` is the same everywhere (`ip netns exec`
/// would remount `/sys`).
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
    tethered: bool,
}

impl Namespace {
    /// Makes the namespace and brings its loopback up. `tethered`: what runs in it dies with its parent thread.
    pub(crate) fn create(name: String, tethered: bool) -> Result<Self> {
        process::checked(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { tethered, ..Self::existing(&name)? };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// One that is there already.
    pub(crate) fn existing(name: &str) -> Result<Self> {
        let path = Path::new(FOLDER).join(name);
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { name: name.to_owned(), file: Arc::new(file), tethered: true })
    }

    /// Full name, as `ip netns list` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it, as `nsenter --net=FILE` takes it.
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.name)
    }

    /// A command that will run in this namespace. Unless the laboratory is kept, it is killed when the thread that started
    /// it ends (`PR_SET_PDEATHSIG`), so start it from a thread that lives as long as it should.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = Arc::clone(&self.file);
        let tethered = self.tethered;
        // SAFETY: between fork and exec only the system calls setns and prctl are made, which are async-signal-safe and
        // allocate nothing; the descriptor is open because the closure owns the file.
        unsafe {
            command.pre_exec(move || {
                enter(&file)?;
                if tethered && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
        command
    }

    /// Starts a program here; it is killed when the returned guard is dropped.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn<I, S>(&self, program: &str, arguments: I) -> Result<Process>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        Process::spawn(self.command(program).args(arguments))
    }

    /// Runs a program here to its end, and takes anything but success for an error. Returns its standard output.
    ///
    /// # Errors
    /// It cannot be started, does not succeed, or takes longer than 20 seconds.
    pub fn check<I, S>(&self, program: &str, arguments: I) -> Result<String>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        process::checked(self.command(program).args(arguments))
    }

    /// Runs `ip` with one or more lines of arguments (`ip -batch`).
    ///
    /// # Errors
    /// As [`Namespace::check`].
    pub fn ip(&self, lines: &str) -> Result<()> {
        process::checked_with_input(self.command("ip").args(["-batch", "-"]), lines).map(drop)
    }

    /// Calls `work` on a thread of its own in this namespace: sockets opened there belong to it.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let outcome = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&self.file)?;
                    Ok(work())
                })
                .join()
        });
        match outcome {
            Ok(entered) => entered.map_err(Error::io("enter", self.path())),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Sets kernel parameters, given as `net/ipv4/ip_forward` and value.
    ///
    /// # Errors
    /// The kernel does not know the parameter or refuses the value.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.enter(|| {
            for (name, value) in settings {
                let path = Path::new("/proc/sys").join(name);
                fs::write(&path, value).map_err(Error::io("write", &path))?;
            }
            Ok(())
        })?
    }

    /// Hardware address of an interface.
    ///
    /// # Errors
    /// There is no such interface here.
    pub fn mac(&self, interface: &str) -> Result<[u8; 6]> {
        let text = self.check("ip", ["-o", "link", "show", interface])?;
        let mut fields = text.split_whitespace().skip_while(|field| *field != "link/ether").skip(1);
        let mut mac = [0; 6];
        let mut parts = fields.next().unwrap_or_default().split(':');
        for byte in &mut mac {
            *byte = parts.next().and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(|| {
                Error::io("read the hardware address of", interface)(io::ErrorKind::InvalidData.into())
            })?;
        }
        Ok(mac)
    }

    /// Waits until every interface but loopback is up and no address is tentative.
    pub(crate) fn wait_for_addresses(&self) -> Result<()> {
        let limit = Duration::from_secs(10);
        process::wait_until(&format!("link and addresses of `{}`", self.name), limit, || {
            let tentative = self.check("ip", ["-o", "-6", "addr", "show", "tentative"])?;
            let links = self.check("ip", ["-o", "link", "show"])?;
            let down = links.lines().any(|line| !line.contains("LOOPBACK") && !line.contains("state UP"));
            Ok(tentative.trim().is_empty() && !down)
        })
    }
}

/// Moves the calling thread into the namespace.
fn enter(file: &File) -> io::Result<()> {
    // SAFETY: plain system call on a descriptor that `file` keeps open.
    match unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
