//! What was tried and what came of it.

use std::fmt::Write;

use dropgate_lab::stay_if_interrupted;

/// What the policy says about a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This service allows it.
    Allowed(&'static str),
    /// It is dropped for this reason.
    Dropped(&'static str),
    /// Something else that must hold, in words.
    Holds(&'static str),
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Allowed(service) => write!(f, "allowed by `{service}`"),
            Self::Dropped(reason) => write!(f, "dropped: {reason}"),
            Self::Holds(what) => f.write_str(what),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who tried.
    pub from: &'static str,
    /// What was tried.
    pub tried: String,
    /// What the policy says.
    pub expect: Expect,
    /// What the client saw.
    pub happened: String,
    /// The reason that Dropgate gives.
    pub reason: String,
    /// The line of the policy that decided.
    pub line: String,
    /// Whether everything is as the policy says; if not, what differs.
    pub differs: Option<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row and shows that it is done.
    pub fn add(&mut self, row: Row) {
        stay_if_interrupted();
        let mark = if row.differs.is_none() { "ok     " } else { "DIFFERS" };
        eprintln!("    {mark} {:<8} {}: {}", row.from, row.tried, row.happened);
        if let Some(differs) = &row.differs {
            eprintln!("            {differs}");
        }
        self.rows.push(row);
    }

    /// Rows in which something differs from what the policy says.
    pub fn differing(&self) -> usize {
        self.rows.iter().filter(|row| row.differs.is_some()).count()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// The table as text.
    pub fn text(&self) -> String {
        let head = ["", "from", "tried", "policy says", "happened", "reason", "policy line"].map(str::to_owned);
        let cells: Vec<[String; 7]> = std::iter::once(head).chain(self.rows.iter().map(cells)).collect();
        let mut widths = [0; 7];
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for (number, row) in cells.iter().enumerate() {
            let line: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", line.join("  ").trim_end());
            if number == 0 {
                let _ = writeln!(text, "{}", widths.map(|width| "-".repeat(width)).join("  "));
            }
        }
        for row in self.rows.iter().filter(|row| row.differs.is_some()) {
            let _ =
                writeln!(text, "DIFFERS: {}: {}: {}", row.from, row.tried, row.differs.as_deref().unwrap_or_default());
        }
        text
    }
}

fn cells(row: &Row) -> [String; 7] {
    let mark = if row.differs.is_none() { "ok" } else { "DIFFERS" };
    [
        mark.to_owned(),
        row.from.to_owned(),
        row.tried.clone(),
        row.expect.to_string(),
        row.happened.clone(),
        row.reason.clone(),
        row.line.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_differs_is_counted_and_told() {
        let mut table = Table::default();
        let row = Row {
            from: "office",
            tried: "curl".into(),
            expect: Expect::Allowed("web"),
            happened: "works".into(),
            reason: "allowed".into(),
            line: "12".into(),
            differs: None,
        };
        table.add(row.clone());
        table.add(Row { differs: Some("no".into()), ..row });
        assert_eq!((table.len(), table.differing()), (2, 1));
        assert!(table.text().contains("DIFFERS: office: curl: no"));
    }
}
