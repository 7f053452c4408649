//! Whole flows, packet by packet, as the inspector is given them.

mod related;
mod upgrade;
mod wire;
