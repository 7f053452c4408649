//! The owner of namespaces, processes and a temporary folder.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Error, Gateway, Kind, Namespace, Process, Result, cleanup, process};

/// How a laboratory is built.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// It is to outlive this process: nothing in it dies with its parent, and [`Lab::keep`] may be called.
    pub keep: bool,
}

/// Owns what it makes, and removes it when dropped.
#[derive(Debug)]
pub struct Lab {
    id: String,
    dir: PathBuf,
    options: Options,
    servers: Vec<Process>,
}

impl Lab {
    /// An empty laboratory: a name, and a folder. Removes the leftovers of runs that were killed.
    ///
    /// # Errors
    /// This process is not root, or the folder cannot be made.
    pub fn new(options: Options) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // SAFETY: plain system call without arguments.
        let uid = unsafe { libc::geteuid() };
        if uid != 0 {
            return Err(Error::NotRoot { uid });
        }
        let pid = std::process::id();
        let id = format!("{pid}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = cleanup::folder(&id);
        let mut live = cleanup::live();
        cleanup::sweep();
        fs::create_dir(&dir).map_err(Error::io("create", &dir))?;
        live.push(id.clone());
        drop(live);
        let lab = Self { id, dir, options, servers: Vec::new() };
        // Servers that give up root must still reach their files; nobody else may read the keys in here.
        fs::set_permissions(&lab.dir, fs::Permissions::from_mode(0o711)).map_err(Error::io("protect", &lab.dir))?;
        lab.write("owner", &cleanup::owner_line(pid).unwrap_or_default())?;
        Ok(lab)
    }

    /// A gateway with clients and servers around it: see [`Gateway`].
    ///
    /// # Errors
    /// This process is not root, or a step of the set-up fails.
    pub fn gateway(kind: Kind) -> Result<Gateway> {
        Gateway::new(kind, Options::default())
    }

    /// Name of this laboratory, unique on this machine.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Folder for everything temporary; removed with the laboratory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file into the folder and returns its path.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        fs::write(&path, text).map_err(Error::io("write", &path))?;
        Ok(path)
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        // Under the lock, so that a signal finds either all of it or nothing.
        let _live = cleanup::live();
        Namespace::create(cleanup::namespace_name(&self.id, name), !self.options.keep)
    }

    /// Joins two namespaces by a veth pair, both ends up.
    ///
    /// # Errors
    /// `ip` fails.
    pub fn veth(&self, one: (&Namespace, &str), other: (&Namespace, &str)) -> Result<()> {
        let (a, a_name) = one;
        let (b, b_name) = other;
        process::checked(Command::new("ip").args([
            "link",
            "add",
            a_name,
            "netns",
            a.name(),
            "type",
            "veth",
            "peer",
            "name",
            b_name,
            "netns",
            b.name(),
        ]))?;
        a.ip(&format!("link set {a_name} up"))?;
        b.ip(&format!("link set {b_name} up"))
    }

    /// Starts a server that this laboratory ends. It is in a process group of its own, so that a Ctrl-C at the terminal
    /// reaches it only through the clean-up. What it writes goes to `NAME.log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn serve(&mut self, name: &str, command: &mut Command) -> Result<&mut Process> {
        let path = self.log(name);
        let log = fs::File::options().create(true).append(true).open(&path).map_err(Error::io("write", &path))?;
        let copy = log.try_clone().map_err(Error::io("write", &path))?;
        let server = Process::spawn_group(command.stdin(Stdio::null()).stdout(log).stderr(copy))?;
        self.servers.push(server);
        let last = self.servers.len() - 1;
        Ok(&mut self.servers[last])
    }

    /// Where [`Lab::serve`] puts what a server writes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    /// Runs a command in `namespace` when the laboratory is removed, before anything else happens, also by a later run that
    /// finds what a killed one left. For what outlives a namespace, like pins in the BPF file system.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn before_removal(&self, namespace: &Namespace, program: &Path, arguments: &[&str]) -> Result<()> {
        let path = self.dir.join(cleanup::LAST_COMMANDS);
        let program = program.to_string_lossy();
        let words = [&[namespace.name(), &program], arguments].concat();
        let mut file = fs::File::options().create(true).append(true).open(&path).map_err(Error::io("write", &path))?;
        writeln!(file, "{}", words.join("\t")).map_err(Error::io("write", &path))
    }

    /// Leaves everything up when this process ends. [`crate::take_down`] removes it. Returns its name.
    ///
    /// # Errors
    /// The laboratory was not built to be kept.
    pub fn keep(mut self) -> Result<String> {
        if !self.options.keep {
            let source = std::io::Error::other("it was built without `Options::keep`");
            return Err(Error::Io { action: "keep", path: self.dir.clone(), source });
        }
        self.write("kept", "")?;
        cleanup::live().retain(|id| *id != self.id);
        self.servers.drain(..).for_each(Process::release);
        let id = self.id.clone();
        std::mem::forget(self);
        Ok(id)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut live = cleanup::live();
        // Ends the servers too; what is left to do is to reap them.
        cleanup::remove(&self.id);
        self.servers.clear();
        live.retain(|id| *id != self.id);
    }
}
