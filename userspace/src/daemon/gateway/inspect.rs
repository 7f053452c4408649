//! What a gateway has to do with those who inspect what is held.

use std::sync::{Arc, atomic::Ordering};

use super::{Gateway, GatewayError};
use crate::{
    clock::now_ns,
    daemon::ring::Word,
    hold::{self, Allowlist, Holder, Tell},
    inspect::Rules,
    policy::{Image, Policy},
};

impl Gateway {
    /// Somebody inspects before the first packet is held.
    pub(super) fn hold(&mut self, policy: &Policy, image: &Image, generation: u32) -> Result<(), GatewayError> {
        let rules = Rules::of(policy, image, &self.remembered);
        self.signatures.store(rules.as_ref().and_then(|rules| rules.signatures.clone()).map(Arc::new));
        let Some(rules) = rules else { return Ok(()) };
        let holder = match &mut self.holder {
            Some(holder) => holder,
            None => {
                let workers = Some(rules.inspection.workers).filter(|workers| *workers > 0);
                let workers = workers.unwrap_or_else(|| hold::workers(&image.interfaces));
                self.holder.insert(Holder::start(&self.object, self.told(), workers)?)
            }
        };
        let control = self.slots.control().get(0).unwrap_or_default();
        let targets = Some(Arc::new(Allowlist::new(&self.object)?) as _);
        let rules = Rules { targets, ..rules };
        Ok(holder.follow(&mut self.object, &control, &image.interfaces, (generation, rules))?)
    }

    /// What the inspector tells becomes events, elsewhere.
    fn told(&self) -> Tell {
        let (words, untold) = (self.words.clone(), Arc::clone(&self.untold));
        Box::new(move |told| {
            let Some(words) = &words else { return };
            if words.try_send(Word::Told(Box::new(told), now_ns())).is_err() {
                untold.fetch_add(1, Ordering::Relaxed);
            }
        })
    }
}
