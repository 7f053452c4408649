//! A gateway comes to be: from what an earlier daemon pinned, or from nothing.

use std::{fs, io, sync::Arc};

use dropgate_abi::control::Control;

use super::{Gateway, GatewayError, fault};
use crate::{
    daemon::{
        attach::Attached,
        forward::Forward,
        guard::Guard,
        links::{Changed, Links},
        place::{self, Place},
        state::State,
    },
    datapath::{Object, POLICY_MAPS, STATE_MAPS, Sizes, Slots},
};

impl Gateway {
    /// Takes over what is pinned, or makes it anew with room for `flows`.
    pub fn open(place: Place, flows: u32) -> Result<Self, GatewayError> {
        fs::create_dir_all(&place.run).map_err(fault(format!("`{}`", place.run.display())))?;
        let cookie = place::netns_cookie().map_err(fault("the network namespace's cookie"))?;
        let state = State::read(&place.state());
        let pinned = place.pins.join("CONTROL").exists();
        let mut adopted = pinned && state.is_some();
        if pinned && !adopted {
            // nobody can say what the numbers in these maps mean
            place::remove(&place.pins).map_err(fault(format!("`{}`", place.pins.display())))?;
        }
        if let (true, Some(state)) = (adopted, &state)
            && state.abi != dropgate_abi::VERSION
        {
            return Err(GatewayError::Version { pins: place.pins, found: state.abi });
        }
        fs::create_dir_all(&place.pins).map_err(fault(format!("`{}`", place.pins.display())))?;
        let sizes = |state: &Option<State>| state.as_ref().map_or(Sizes::for_flows(flows), |state| state.sizes);
        let mut kept = state.filter(|_| adopted);
        let mut object = Object::load(sizes(&kept), &place.pins, &[POLICY_MAPS, STATE_MAPS])?;
        let mut slots = Slots::new(&object)?;
        let control = slots.control().get(0).unwrap_or_default();
        if adopted && control.netns_cookie != cookie {
            // left by a namespace that is gone and whose number was given out again
            drop((object, slots));
            place::remove(&place.pins).map_err(fault(format!("`{}`", place.pins.display())))?;
            fs::create_dir_all(&place.pins).map_err(fault(format!("`{}`", place.pins.display())))?;
            (adopted, kept) = (false, None);
            object = Object::load(sizes(&kept), &place.pins, &[POLICY_MAPS, STATE_MAPS])?;
            slots = Slots::new(&object)?;
        }
        if !adopted {
            let sizes = object.sizes();
            slots.control().set(
                0,
                Control {
                    flow_mask: sizes.flow_buckets - 1,
                    fragment_mask: sizes.fragment_buckets - 1,
                    fragments_per_source: sizes.fragments_per_source(),
                    secret: secret().map_err(fault("random numbers"))?,
                    version: dropgate_abi::VERSION,
                    netns_cookie: cookie,
                    ..Control::default()
                },
            );
        }
        let generation = slots.generation().max(kept.as_ref().map_or(0, |state| state.generation));
        let ids = kept.map(|state| state.ids).unwrap_or_default();
        let links = if adopted { Links::resume(Changed::read(&place.links())) } else { Links::default() };
        Ok(Self {
            links,
            forward: Forward::default(),
            guard: Guard::default(),
            place,
            object,
            slots,
            attached: Attached::default(),
            names: Arc::default(),
            signatures: Arc::default(),
            current: None,
            adopted,
            holder: None,
            words: None,
            untold: Arc::default(),
            ids,
            generation,
            remembered: Arc::default(),
        })
    }
}

/// The secret of the flow table's hash (getrandom(2)).
fn secret() -> io::Result<[u32; 10]> {
    let mut words = [0u32; 10];
    // SAFETY: room for the answer, of the length given; below 256 bytes it comes whole.
    let got = unsafe { libc::getrandom(words.as_mut_ptr().cast(), size_of_val(&words), 0) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(words) }
}
