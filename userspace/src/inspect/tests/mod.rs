//! Whole flows, packet by packet, as the inspector is given them.

mod leaving;
mod proxy;
mod upgrade;
mod wire;
