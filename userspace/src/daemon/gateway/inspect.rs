//! What a gateway has to do with those who inspect what is held.

use std::{sync::Arc, time::Duration};

use dropgate_abi::{flow::TICK_SHIFT, policy::timeout};

use super::{Gateway, GatewayError};
use crate::{
    clock::now_ns,
    daemon::ring::Word,
    events::{Clock, inspection},
    hold::{self, Allowlist, Holder, Tell, Told},
    inspect::Rules,
    policy::{
        Image,
        model::{Failure, Inspection},
    },
};

impl Gateway {
    /// Somebody inspects before the first packet is held.
    pub(super) fn hold(
        &mut self,
        image: &Image,
        inspection: Inspection,
        failure: Failure,
        generation: u32,
    ) -> Result<(), GatewayError> {
        let holder = match &mut self.holder {
            Some(holder) => holder,
            None => {
                let workers = Some(inspection.workers).filter(|workers| *workers > 0);
                let workers = workers.unwrap_or_else(|| hold::workers(&image.interfaces));
                self.holder.insert(Holder::start(&self.object, self.told(), workers)?)
            }
        };
        let control = self.slots.control().get(0).unwrap_or_default();
        let (expect, proxied) = (image.names.expected(), image.names.proxied());
        let fragments = u64::from(image.settings.timeouts[timeout::FRAGMENT]) << TICK_SHIFT;
        let targets = Some(Arc::new(Allowlist::new(&self.object)?) as _);
        let fragments = Duration::from_nanos(fragments);
        let rules = Rules { inspection, failure, fragments, expect, proxied, targets, capture: false, signatures: None };
        Ok(holder.follow(&mut self.object, &control, &image.interfaces, (generation, rules))?)
    }

    /// What the inspector tells becomes events.
    fn told(&self) -> Tell {
        let (words, names) = (self.words.clone(), Arc::clone(&self.names));
        Box::new(move |told| {
            let Some(words) = &words else { return };
            let (now, names, clock) = (now_ns(), names.load(), Clock::system());
            let events = match told {
                Told::Dropped(held, walk, reason) => inspection::dropped(&held, &walk, reason, now, &names, &clock),
                Told::Finding(held, walk, finding) => {
                    vec![inspection::found(&held, &walk, &finding, now, &names, &clock)]
                }
            };
            for event in events {
                let _ = words.send(Word::Event(Box::new(event)));
            }
        })
    }
}
