//! Dropgate, the userspace side: policy in, programs and maps out, events and answers for people.

pub mod app;
pub mod capture;
pub mod clock;
pub mod command;
pub mod daemon;
pub mod datapath;
pub mod defragment;
pub mod ethtool;
pub mod events;
pub mod hold;
pub mod inspect;
pub mod netdev;
pub mod netlink;
pub mod policy;
pub mod protocol;
pub mod reassembly;
#[cfg(test)]
mod samples;
pub mod view;
pub mod xsk;
