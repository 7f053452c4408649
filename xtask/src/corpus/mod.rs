//! What others have collected to tell right from wrong, through the released binary.

mod ndpi;
mod verify;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, bail, ensure};

/// `cargo xtask corpus`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder with `pcap` and `result` (captures whose flows nDPI has named) or with `tests` (those of suricata-verify)
    folder: PathBuf,
    /// Print each flow of which something else is said
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    verify: verify::Choice,
}

/// What lies in a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Ndpi,
    Verify,
}

impl Arguments {
    /// The same, with the folder as somebody who stands in `here` means it.
    pub fn from(mut self, here: &Path) -> Result<Self> {
        self.folder = here.join(&self.folder);
        ensure!(self.folder.is_dir(), "`{}` is no folder", self.folder.display());
        Ok(self)
    }
}

/// Runs what lies in the folder and prints the figures.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    match kind(&arguments.folder)? {
        Kind::Ndpi => ndpi::run(&arguments.folder, arguments.list).map(|()| ExitCode::SUCCESS),
        Kind::Verify => verify::run(&arguments.folder.join("tests"), &arguments.verify),
    }
}

fn kind(folder: &Path) -> Result<Kind> {
    if folder.join("tests").is_dir() {
        return Ok(Kind::Verify);
    }
    if folder.join("pcap").is_dir() {
        return Ok(Kind::Ndpi);
    }
    bail!("nothing known lies in `{}`; expected folders `pcap` and `result`, or `tests`", folder.display())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_kind_shows_by_its_folders() {
        let folder = std::env::temp_dir().join(format!("dropgate-corpus-kind-{}", std::process::id()));
        fs::create_dir_all(folder.join("a/pcap")).unwrap();
        fs::create_dir_all(folder.join("b/tests")).unwrap();
        let kinds = [kind(&folder.join("a")).ok(), kind(&folder.join("b")).ok(), kind(&folder).ok()];
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(kinds, [Some(Kind::Ndpi), Some(Kind::Verify), None]);
    }
}
