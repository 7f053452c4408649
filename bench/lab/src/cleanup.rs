//! Removing a laboratory by its name alone: after a signal, after a run that was killed, and after `keep`.
//!
//! A laboratory is called `PID-N`. Its namespaces are `dgPID-N-NAME`, its folder `dropgate-lab-PID-N` in the folder for
//! temporary files. The folder holds `owner` (process id and start time, so that a reused id is not taken for the owner)
//! and, if it is to outlive its owner, `kept`.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{Error, Namespace, Result, namespace::FOLDER, process};

const FOLDER_PREFIX: &str = "dropgate-lab-";
const NAMESPACE_PREFIX: &str = "dg";
/// File of the commands to run before the namespaces go.
pub(crate) const LAST_COMMANDS: &str = "before-removal";

/// Laboratories of this process. Held while one is made or removed, and for ever once a signal has come.
static LIVE: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn live() -> MutexGuard<'static, Vec<String>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Folder of the laboratory `id`.
pub(crate) fn folder(id: &str) -> PathBuf {
    std::env::temp_dir().join(format!("{FOLDER_PREFIX}{id}"))
}

/// Name of a namespace of the laboratory `id`.
pub(crate) fn namespace_name(id: &str, name: &str) -> String {
    format!("{NAMESPACE_PREFIX}{id}-{name}")
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Returns at once, or, if a signal has come, never: the process is about to end, and what its namespaces say from now on
/// is no result.
pub fn stay_if_interrupted() {
    while INTERRUPTED.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_secs(1));
    }
}

/// On SIGINT, SIGTERM and SIGHUP removes every laboratory of this process and ends it with 128 plus the signal's number.
/// Later calls do nothing.
///
/// # Errors
/// The signals cannot be taken over.
pub fn clean_up_on_signals() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut outcome = Ok(());
    ONCE.call_once(|| {
        outcome = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Error::io("handle", "signals")).map(|mut signals| {
            thread::spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    INTERRUPTED.store(true, Ordering::Relaxed);
                    let ids = live();
                    eprintln!("\nsignal {signal}: cleaning up");
                    ids.iter().for_each(|id| remove(id));
                    // With the lock still held, so that nothing new is made meanwhile.
                    std::process::exit(128 + signal);
                }
            });
        });
    });
    outcome
}

/// Removes what runs that were killed left behind, and nothing of a run that is alive or was kept on purpose.
pub fn sweep() {
    let mut ids = folders();
    ids.extend(namespaces().iter().filter_map(|name| id_of_namespace(name)));
    ids.sort();
    ids.dedup();
    ids.iter().filter(|id| !owner_lives(id) && !folder(id).join("kept").exists()).for_each(|id| remove(id));
}

/// A laboratory that outlives the run that built it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name.
    pub id: String,
    /// Its folder.
    pub dir: PathBuf,
}

/// The laboratories that were kept and are still up.
pub fn kept() -> Vec<Kept> {
    folders()
        .into_iter()
        .map(|id| Kept { dir: folder(&id), id })
        .filter(|kept| kept.dir.join("kept").exists() && !owner_lives(&kept.id))
        .collect()
}

/// Removes a kept laboratory.
pub fn take_down(kept: &Kept) {
    remove(&kept.id);
}

/// Ends the processes in the namespaces of `id`, removes the namespaces and the folder. Errors are reported on standard
/// error, because the rest still has to go.
pub(crate) fn remove(id: &str) {
    let names: Vec<String> =
        namespaces().into_iter().filter(|name| id_of_namespace(name).as_deref() == Some(id)).collect();
    run_last_commands(id, &names);
    for name in &names {
        end_processes(&Path::new(FOLDER).join(name));
    }
    for name in &names {
        if let Err(error) = process::checked(Command::new("ip").args(["netns", "delete", name])) {
            eprintln!("namespace `{name}` is left behind: {error}");
        }
    }
    let dir = folder(id);
    if let Err(error) = fs::remove_dir_all(&dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        eprintln!("folder `{}` is left behind: {error}", dir.display());
    }
}

/// Kills every process whose network is this namespace, and waits until they are gone.
fn end_processes(namespace: &Path) {
    let Ok(wanted) = fs::metadata(namespace).map(|meta| (meta.dev(), meta.ino())) else {
        return;
    };
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        let inside: Vec<i32> = process_ids().filter(|pid| is_in(*pid, wanted)).collect();
        if inside.is_empty() {
            return;
        }
        for pid in inside {
            // SAFETY: plain system call; the id was seen in our own namespace a moment ago.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn process_ids() -> impl Iterator<Item = i32> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(move |pid: &i32| pid.unsigned_abs() != own)
}

/// A zombie has no namespace file any more, so that only the living are found.
fn is_in(pid: i32, wanted: (u64, u64)) -> bool {
    fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|meta| (meta.dev(), meta.ino()) == wanted)
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn folders() -> Vec<String> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix(FOLDER_PREFIX).map(str::to_owned))
        .filter(|id| parse_id(id).is_some())
        .collect()
}

/// `dg12-0-office` belongs to `12-0`.
fn id_of_namespace(name: &str) -> Option<String> {
    let mut parts = name.strip_prefix(NAMESPACE_PREFIX)?.splitn(3, '-');
    let id = format!("{}-{}", parts.next()?, parts.next()?);
    parts.next()?;
    parse_id(&id).map(|_| id)
}

/// Process id and number of a laboratory's name.
fn parse_id(id: &str) -> Option<(u32, u32)> {
    let (pid, number) = id.split_once('-')?;
    Some((pid.parse().ok()?, number.parse().ok()?))
}

/// What the file `owner` says: process id and start time.
pub(crate) fn owner_line(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; fields are counted from behind it. Start time is field 22 (proc(5)).
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{pid} {started}"))
}

fn owner_lives(id: &str) -> bool {
    let Some((pid, _)) = parse_id(id) else {
        return false;
    };
    let Some(now) = owner_line(pid) else {
        return false;
    };
    // Without the file the folder is just being made: the process id has to do.
    fs::read_to_string(folder(id).join("owner")).map_or(true, |then| then.trim() == now)
}

/// Runs what [`crate::Lab::before_removal`] wrote down: namespace, program and arguments, one command a line.
fn run_last_commands(id: &str, names: &[String]) {
    let text = fs::read_to_string(folder(id).join(LAST_COMMANDS)).unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split('\t');
        let (Some(name), Some(program)) = (words.next(), words.next()) else { continue };
        if !names.iter().any(|known| known == name) {
            continue;
        }
        let outcome = Namespace::existing(name).and_then(|namespace| namespace.check(program, words));
        if let Err(error) = outcome {
            eprintln!("while cleaning up: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_laboratory() {
        assert_eq!(id_of_namespace(&namespace_name("12-0", "office")).as_deref(), Some("12-0"));
        assert_eq!(id_of_namespace(&namespace_name("12-0", "a-b")).as_deref(), Some("12-0"));
        for foreign in ["dg", "dg12", "dg12-0", "dgx-0-office", "office", "dg12-x-office"] {
            assert_eq!(id_of_namespace(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn this_process_lives_and_an_impossible_one_does_not() {
        assert!(owner_lives(&format!("{}-77", std::process::id())));
        assert!(!owner_lives("4194305-0"));
    }
}
