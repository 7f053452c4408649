//! What all rules of a load share.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use super::{Classes, Options, mistake::Mistake, sets::SetTable};
use crate::diagnostic::nearest;

/// What keywords look up outside of their rule.
pub(crate) struct Context<'a> {
    pub options: &'a Options<'a>,
    pub classes: &'a Classes,
    /// The name of the file that the rule is in.
    pub file: Arc<str>,
    pub shared: &'a Interned,
}

/// Words for which one like them is looked for, in one load.
const MAX_SUGGESTIONS: usize = 1000;

/// What was met before.
#[derive(Default)]
pub(crate) struct Interned {
    names: RefCell<HashMap<Box<str>, Arc<str>>>,
    suggestions: RefCell<HashMap<Box<str>, Option<String>>>,
    pub sets: RefCell<SetTable>,
}

impl Interned {
    /// A text that many rules have.
    pub fn name(&self, text: &str) -> Arc<str> {
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        names.insert(text.into(), Arc::clone(&name));
        name
    }

    /// The same mistake with the word that was probably meant instead of another one.
    pub fn suggest<'k, K: IntoIterator<Item = &'k str>>(
        &self,
        word: &str,
        known: impl FnOnce() -> K,
        mistake: Mistake,
    ) -> Mistake {
        let mut suggestions = self.suggestions.borrow_mut();
        if suggestions.len() < MAX_SUGGESTIONS && !suggestions.contains_key(word) {
            suggestions.insert(word.into(), nearest(word, known()).map(str::to_owned));
        }
        match suggestions.get(word) {
            Some(Some(near)) => mistake.help(format!("did you mean `{near}`?")),
            _ => mistake,
        }
    }
}
