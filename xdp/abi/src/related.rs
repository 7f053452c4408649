//! Flows that another flow has announced: the data connections of FTP, transfers of TFTP, media of SIP.
//!
//! The inspector writes what it hears on a control flow; the policy stage asks when nothing else allows a new flow.

use crate::{plain, tuple::Address};

/// Responder of a flow that goes to the gateway's own address, for a host behind translation.
pub const SOMEBODY: Address = [0; 4];

/// Key of `RELATED`: the flow to come, but for its initiator's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct RelatedKey {
    /// Its initiator.
    pub src: Address,
    /// Its responder, and the port there.
    pub dst: Address,
    pub port: u16,
    pub protocol: u8,
    pub family: u8,
    /// Of a flow in a tunnel, which is that of the control flow: [`crate::tuple::realm::of_tunnel`].
    pub realm: u16,
    pub _pad: u16,
}

/// Who has announced it, and for how long that is good. Value of `RELATED`.
///
/// No generation: the control flow is judged again by the policy in force, so that what allowed it and is taken away takes
/// this away too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Related {
    /// Tick until which it may begin.
    pub expires: u32,
    /// Whether it, or one of several, has begun: 0 or 1.
    pub begun: u32,
    /// Zone of the control flow's initiator.
    pub zone: u16,
    /// The control flow's port at its server, and its protocol.
    pub port: u16,
    pub protocol: u8,
    /// See [`flag`].
    pub flags: u8,
    /// What is to be spoken, as [`crate::flow::Flow::app`] numbers it; 0: anything, and nobody looks.
    pub app: u8,
    pub _pad: u8,
}

impl Related {
    /// Whether it may begin no more at tick `now`.
    #[inline(always)]
    pub const fn is_late(&self, now: u32) -> bool {
        now.wrapping_sub(self.expires) < u32::MAX / 2
    }
}

/// Bits of [`Related::flags`].
pub mod flag {
    /// The initiator is the control flow's server.
    pub const FROM_SERVER: u8 = 1;
    /// One flow alone may begin.
    pub const ONCE: u8 = 2;
}

/// Announcements remembered; the oldest make room.
pub const MAX_RELATED: usize = 16_384;

plain!(RelatedKey = 40, Related = 16);
