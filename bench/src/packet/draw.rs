//! The bench's own programs, and the wrapper that draws tuples.

use std::{net::Ipv4Addr, os::fd::AsFd as _};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::ProgramArray,
    programs::{ProgramFd, Xdp, xdp::XdpMode},
};
use dropgate::datapath::{Mapped, Ran, test_run};
use dropgate_lab::Namespace;

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("DROPGATE_BENCH_OBJECT"));

/// Tuples drawn: a million, as a power of two.
pub const TUPLES: u32 = 1 << 20;
/// Hosts among them; the rest is ports.
const HOST_BITS: u32 = 12;

/// What the wrapper draws from: the same layout as `Draw` in `bench/xdp/src/programs.rs`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Draw {
    /// Random state, or the index before the first.
    pub state: u64,
    pub mask: u32,
    /// 0: one after the other; 1: at random.
    pub random: u32,
    pub host_mask: u32,
    pub host_bits: u32,
    pub host_shift: u32,
    pub address: u32,
    pub port: u32,
    pub to_client: u32,
}

// SAFETY: `repr(C)` of integers; 40 bytes, the sum of its fields.
unsafe impl dropgate_abi::Plain for Draw {}
const _: () = assert!(size_of::<Draw>() == 40);

impl Draw {
    /// A million tuples at random, from this endpoint upwards: hosts one address apart.
    pub fn tuples(first: (Ipv4Addr, u16)) -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            mask: TUPLES - 1,
            random: 1,
            host_mask: (1 << HOST_BITS) - 1,
            host_bits: HOST_BITS,
            host_shift: 0,
            address: first.0.to_bits(),
            port: u32::from(first.1),
            to_client: 0,
        }
    }
}

/// The programs, loaded.
pub struct Own {
    ebpf: Ebpf,
    draw: Mapped<Draw>,
}

impl Own {
    pub fn load() -> Result<Self> {
        let mut ebpf = EbpfLoader::new().load(OBJECT).context("the kernel does not take the bench's programs")?;
        for (name, program) in ebpf.programs_mut() {
            let xdp: &mut Xdp = program.try_into()?;
            xdp.load().with_context(|| format!("the kernel does not take `{name}`"))?;
        }
        let map = ebpf.map("DRAW").context("the bench's object has no `DRAW`")?;
        let aya::maps::Map::Array(data) = map else { anyhow::bail!("`DRAW` is no array") };
        let draw = Mapped::new(data.fd().as_fd(), 1).context("mapping `DRAW`")?;
        Ok(Self { ebpf, draw })
    }

    /// A program by name.
    pub fn program(&self, name: &str) -> Result<ProgramFd> {
        let program = self.ebpf.program(name).with_context(|| format!("the bench's object has no `{name}`"))?;
        Ok(program.fd()?.try_clone()?)
    }

    /// Attaches a program to an interface, in native mode, until this is dropped.
    pub fn attach(&mut self, name: &str, namespace: &Namespace, interface: &str) -> Result<()> {
        let program = self.ebpf.program_mut(name).with_context(|| format!("the bench's object has no `{name}`"))?;
        let xdp: &mut Xdp = program.try_into()?;
        namespace
            .enter(|| xdp.attach(interface, XdpMode::Driver))?
            .with_context(|| format!("attaching `{name}` to `{interface}`"))?;
        Ok(())
    }

    /// Runs a program behind the wrapper.
    pub fn drawn(&mut self, program: &ProgramFd, frags: bool, draw: Draw, frame: &[u8], repeat: u32) -> Result<Ran> {
        let (jump, wrapper) = if frags { ("JUMP_FRAGS", "draw_frags") } else { ("JUMP", "draw") };
        let map = self.ebpf.map_mut(jump).with_context(|| format!("the bench's object has no `{jump}`"))?;
        let mut jump: ProgramArray<_> = map.try_into()?;
        jump.set(0, program, 0).context("the program array does not take the program")?;
        self.draw.set(0, draw);
        Ok(test_run(self.program(wrapper)?.as_fd(), frame, repeat, None)?)
    }

    /// Puts all tuples into the table of the bare look-up.
    pub fn fill_table(&mut self, frame: &[u8], draw: Draw) -> Result<()> {
        let put = self.program("put")?;
        let ran = self.drawn(&put, false, draw, frame, draw.mask + 1)?;
        ensure!(ran.action == super::XDP_PASS, "the table did not take the last tuple");
        Ok(())
    }
}
