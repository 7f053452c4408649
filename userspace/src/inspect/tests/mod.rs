//! Whole flows, packet by packet, as the inspector is given them.

mod upgrade;
mod wire;
