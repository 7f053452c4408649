//! What all rules of a load share.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use super::{Classes, Options, sets::SetTable};

/// What keywords look up outside of their rule.
pub(crate) struct Context<'a> {
    pub options: &'a Options<'a>,
    pub classes: &'a Classes,
    /// The name of the file that the rule is in.
    pub file: Arc<str>,
    pub shared: &'a Interned,
}

/// What was met before.
#[derive(Default)]
pub(crate) struct Interned {
    names: RefCell<HashMap<Box<str>, Arc<str>>>,
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
}
