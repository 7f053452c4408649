//! Whole flows, packet by packet, as the inspector is given them.

mod datagrams;
mod fragments;
mod leaving;
mod proxy;
mod recall;
mod related;
mod signatures;
mod upgrade;
mod wire;
