//! Whole flows, packet by packet, as the inspector is given them.

mod proxy;
mod related;
mod upgrade;
mod wire;
