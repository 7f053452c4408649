//! Just enough of a policy file's text to check that Dropgate names the right line of it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// The lines of a policy file.
#[derive(Debug)]
pub struct PolicyText {
    name: String,
    lines: Vec<String>,
}

impl PolicyText {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, lines: text.lines().map(str::to_owned).collect() })
    }

    /// Name of the service whose entry holds this line, counted from one.
    pub fn service_at(&self, line: u64) -> Option<&str> {
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        self.lines.get(at)?;
        let header = |text: &String| text.starts_with('[');
        let first = self.lines[..=at].iter().rposition(header)?;
        let entry = self.lines[first + 1..].iter().take_while(|text| !header(text));
        let name = entry.filter_map(|text| text.strip_prefix("name = \"")).next()?;
        name.split('"').next()
    }

    /// File and line, as editors take them.
    pub fn place(&self, line: u64) -> String {
        format!("{}:{line}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_leads_to_its_service() {
        let text = "[gateway]\nkind = \"route\"\n\n[[zone.a.egress]]\nname = \"web\"   # x\ntcp = [80]\n\n[[zone.a.egress]]\nname = \"dns\"";
        let policy = PolicyText { name: "p.toml".into(), lines: text.lines().map(str::to_owned).collect() };
        let found: Vec<_> = (0..=10).map(|line| policy.service_at(line)).collect();
        let (web, dns) = (Some("web"), Some("dns"));
        assert_eq!(found, [None, None, None, None, web, web, web, web, dns, dns, None]);
        assert_eq!(policy.place(4), "p.toml:4");
    }
}
