//! The programs. Frames are untagged IPv4 without options, as the bench makes them.

use aya_ebpf::{
    bindings::xdp_action,
    btf_maps::{Array, HashMap, PerCpuArray, ProgramArray},
    helpers::{bpf_ktime_get_ns, bpf_redirect},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// Words of a frame that [`bring`] sends.
const FRAME: usize = 15;
/// Bytes of Ethernet, IPv4 and both ports.
const HEADERS: usize = 14 + 20 + 4;

/// What the wrapper draws from. The bench has the same layout in `packet/draw.rs`.
#[repr(C)]
pub struct Draw {
    /// Random state, or the next index.
    state: u64,
    /// Number of tuples less one: a power of two less one.
    mask: u32,
    /// 0: one after the other; 1: at random.
    random: u32,
    /// Hosts less one; index bits above them choose the port.
    host_mask: u32,
    host_bits: u32,
    /// Distance of two hosts' addresses, as a shift.
    host_shift: u32,
    /// First address, host order.
    address: u32,
    /// First port, host order.
    port: u32,
    /// 0: the client sends (the source is drawn); 1: the server does (the destination is drawn); 2: the source of an IPv6
    /// frame is drawn: its first 32 bits as of IPv4, the next ones from the state.
    to_client: u32,
}

#[btf_map]
static DRAW: Array<Draw, 1, 1024> = Array::new();

/// The program under test.
#[btf_map]
static JUMP: ProgramArray<1> = ProgramArray::new();

/// The program under test, when it takes frames of several buffers.
#[btf_map]
static JUMP_FRAGS: ProgramArray<1> = ProgramArray::new();

/// A table of the size of a flow table: 40-byte keys, and what a flow holds beside its key.
#[btf_map]
static TABLE: HashMap<[u64; 5], [u64; 11], 1048576> = HashMap::new();

/// Payload of a probe: [`MAGIC`], then its number, both big endian. The bench has the same layout in `probe.rs`.
const PAYLOAD: usize = 14 + 20 + 8;
const MAGIC: u32 = 0x6472_6f70;

/// Frames that [`count`] has seen, probes left out.
#[btf_map]
static RECEIVED: PerCpuArray<u64, 1> = PerCpuArray::new();

/// By number of the probe: when it arrived first (`CLOCK_MONOTONIC`, ns), or 0. The bench clears it.
#[btf_map]
static ARRIVED: Array<u64, 1048576, 1024> = Array::new();

/// Indices of the interfaces that [`redirect`] and [`bring`] send to.
#[btf_map]
static ONWARD: Array<u32, 2, 1024> = Array::new();

/// Frames that [`bring`] sends in turn, and whose turn it is.
#[btf_map]
static FRAMES: Array<[u32; FRAME], 65536, 1024> = Array::new();
#[btf_map]
static TURN: PerCpuArray<u32, 1> = PerCpuArray::new();

/// The end of the way: counts, notes when a probe arrived, drops.
#[xdp]
pub fn count(ctx: XdpContext) -> u32 {
    let start = ctx.data();
    if start + PAYLOAD + 8 <= ctx.data_end() {
        // SAFETY: inside the frame, checked just now.
        let [magic, number] = unsafe { ((start + PAYLOAD) as *const [u32; 2]).read_unaligned() };
        if u32::from_be(magic) == MAGIC {
            if let Some(arrived) = ARRIVED.get_ptr_mut(u32::from_be(number)) {
                // SAFETY: a live entry; each number is sent once.
                unsafe { *arrived = bpf_ktime_get_ns() };
            }
            return xdp_action::XDP_DROP;
        }
    }
    if let Some(received) = RECEIVED.get_ptr_mut(0) {
        // SAFETY: this CPU's own.
        unsafe { *received += 1 };
    }
    xdp_action::XDP_DROP
}

/// Sends everything out by another interface: what forwarding in XDP costs at least.
#[xdp]
pub fn redirect(_ctx: XdpContext) -> u32 {
    let Some(onward) = ONWARD.get(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: only what the helper says of this frame changes.
    unsafe { bpf_redirect(*onward, 0) as u32 }
}

/// Makes what it is given the next frame of [`FRAMES`], and sends it out by an interface. What a frame was when it was sent the
/// last time may have been changed by then: all of it is written.
#[xdp]
pub fn bring(ctx: XdpContext) -> u32 {
    let (Some(turn), Some(onward)) = (TURN.get_ptr_mut(0), ONWARD.get(1)) else { return xdp_action::XDP_ABORTED };
    // SAFETY: this CPU's own.
    let at = unsafe {
        *turn = (*turn).wrapping_add(1);
        *turn & 0xffff
    };
    let Some(frame) = FRAMES.get(at) else { return xdp_action::XDP_ABORTED };
    let start = ctx.data();
    if start + size_of_val(frame) > ctx.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    let to = start as *mut u32;
    // word by word: the compiler makes one copy of it a call that copies bytes
    for (at, word) in frame.iter().enumerate() {
        // SAFETY: inside the frame, checked just now; frames begin at a multiple of four.
        unsafe { to.add(at).write_volatile(*word) };
    }
    // SAFETY: only what the helper says of this frame changes.
    unsafe { bpf_redirect(*onward, 0) as u32 }
}

/// Does nothing.
#[xdp]
pub fn at_once(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Does nothing, for frames of several buffers too.
#[xdp(frags)]
pub fn at_once_frags(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Drops everything: what dropping costs at least.
#[xdp]
pub fn drop_all(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[xdp]
pub fn draw(ctx: XdpContext) -> u32 {
    rewrite(&ctx);
    // SAFETY: a live context.
    unsafe { JUMP.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

#[xdp(frags)]
pub fn draw_frags(ctx: XdpContext) -> u32 {
    rewrite(&ctx);
    // SAFETY: a live context.
    unsafe { JUMP_FRAGS.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

/// A bare look-up: the key from the frame, one hash table, and the first word of what it holds.
#[xdp]
pub fn look_up(ctx: XdpContext) -> u32 {
    let Some(key) = key(&ctx) else { return xdp_action::XDP_ABORTED };
    match TABLE.get_ptr(&key) {
        // SAFETY: a live entry.
        Some(value) if unsafe { (*value)[0] } != 0 => xdp_action::XDP_PASS,
        _ => xdp_action::XDP_DROP,
    }
}

/// Puts the frame's key into the table.
#[xdp]
pub fn put(ctx: XdpContext) -> u32 {
    let Some(key) = key(&ctx) else { return xdp_action::XDP_ABORTED };
    match TABLE.insert(key, [1; 11], 0) {
        Ok(()) => xdp_action::XDP_PASS,
        Err(_) => xdp_action::XDP_DROP,
    }
}

#[inline(always)]
fn rewrite(ctx: &XdpContext) {
    let Some(draw) = DRAW.get_ptr_mut(0) else { return };
    // SAFETY: test runs of the bench come one at a time.
    let draw = unsafe { &mut *draw };
    let drawn = if draw.random != 0 {
        // xorshift64 (Marsaglia 2003)
        let mut state = draw.state;
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        draw.state = state;
        (state >> 32) as u32
    } else {
        draw.state += 1;
        draw.state as u32
    };
    let index = drawn & draw.mask;
    let address = draw.address + ((index & draw.host_mask) << (draw.host_shift & 31));
    let port = (draw.port + (index >> (draw.host_bits & 31))) as u16;
    let start = ctx.data();
    if draw.to_client == 2 {
        if start + 22 + 8 <= ctx.data_end() {
            // SAFETY: inside the frame, checked just now.
            unsafe { ((start + 22) as *mut [u32; 2]).write_unaligned([address.to_be(), draw.state as u32]) };
        }
        return;
    }
    if start + HEADERS > ctx.data_end() {
        return;
    }
    let (address_at, port_at) = if draw.to_client != 0 { (30, 36) } else { (26, 34) };
    // SAFETY: inside the frame, checked just now.
    unsafe {
        ((start + address_at) as *mut u32).write_unaligned(address.to_be());
        ((start + port_at) as *mut u16).write_unaligned(port.to_be());
    }
}

#[inline(always)]
fn key(ctx: &XdpContext) -> Option<[u64; 5]> {
    let start = ctx.data();
    if start + HEADERS > ctx.data_end() {
        return None;
    }
    // SAFETY: inside the frame, checked just now.
    let (src, dst, ports) =
        unsafe { (*((start + 26) as *const u32), *((start + 30) as *const u32), *((start + 34) as *const u32)) };
    Some([u64::from(src), 0, u64::from(dst), 0, u64::from(ports) | 6 << 32])
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
