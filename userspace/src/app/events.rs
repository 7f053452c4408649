//! What was noticed about a transaction.

/// Names of `app-layer-event`, each once, in the order in which they were noticed. They are few, whatever is said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Events(Vec<&'static str>);

impl Events {
    /// Takes one in. Whether it is new.
    pub fn note(&mut self, name: &'static str) -> bool {
        let new = !self.0.contains(&name);
        if new {
            self.0.push(name);
        }
        new
    }

    pub fn names(&self) -> &[&'static str] {
        &self.0
    }
}
