//! Whole flows, packet by packet, as the inspector is given them.

mod recall;
mod upgrade;
mod wire;
