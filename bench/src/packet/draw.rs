//! The bench's own programs, and the wrapper that draws tuples.

use std::{net::Ipv4Addr, os::fd::AsFd as _};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{LpmTrie, PerCpuArray, ProgramArray, lpm_trie::Key},
    programs::{ProgramFd, Xdp, xdp::XdpMode},
};
use dropgate::datapath::{BlockTable, Mapped, Ran, test_run};
use dropgate_lab::Namespace;

use crate::frames;

static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("DROPGATE_BENCH_OBJECT"));

/// Tuples drawn: a million, as a power of two.
pub const TUPLES: u32 = 1 << 20;
/// Hosts among them; the rest is ports.
const HOST_BITS: u32 = 12;

/// A frame that `bring` sends.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Frame([u32; frames::LEN / 4]);

// SAFETY: words.
unsafe impl dropgate_abi::Plain for Frame {}

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
    arrived: Mapped<u64>,
    onward: Mapped<u32>,
    brought: Mapped<Frame>,
}

/// Probes that are told apart: entries of `ARRIVED`.
pub const PROBES: usize = 1 << 20;
/// Frames that `bring` sends in turn: entries of `FRAMES`.
pub const BROUGHT: usize = 1 << 16;

impl Own {
    /// All of them, with the table of a million entries.
    pub fn load() -> Result<Self> {
        Self::with(&mut EbpfLoader::new())
    }

    /// Without the large table, for what is sent through namespaces.
    pub fn small() -> Result<Self> {
        Self::with(EbpfLoader::new().map_max_entries("TABLE", 1))
    }

    /// For bare look-ups in a blocklist, whose tables are to have this many entries.
    pub fn for_list(index: usize, list: usize) -> Result<Self> {
        let loader = &mut EbpfLoader::new();
        let loader = loader.map_max_entries("TABLE", 1);
        Self::with(loader.map_max_entries("INDEX", index as u32).map_max_entries("LIST", list as u32))
    }

    /// Writes the tables of the bare look-ups in a blocklist, and the trie of the same prefixes.
    pub fn fill_list(&mut self, table: &BlockTable, v6: bool) -> Result<()> {
        let index = mapped(&self.ebpf, "INDEX", table.index().len())?;
        let list = mapped(&self.ebpf, "LIST", table.blocked().len())?;
        table.index().iter().enumerate().for_each(|(at, place)| index.set(at, *place));
        table.blocked().iter().enumerate().for_each(|(at, one)| list.set(at, *one));
        for one in table.blocked() {
            let all = (u128::from(one.high) << 64 | u128::from(one.low)).to_be_bytes();
            if v6 {
                let map = self.ebpf.map_mut("TRIE6").context("the bench's object has no `TRIE6`")?;
                LpmTrie::<_, [u8; 16], u32>::try_from(map)?.insert(&Key::new(one.length, all), 1, 0)?;
            } else {
                let map = self.ebpf.map_mut("TRIE4").context("the bench's object has no `TRIE4`")?;
                let first = [all[0], all[1], all[2], all[3]];
                LpmTrie::<_, [u8; 4], u32>::try_from(map)?.insert(&Key::new(one.length, first), 1, 0)?;
            }
        }
        Ok(())
    }

    /// Sources that bare look-ups have found so far.
    pub fn found(&self) -> Result<u64> {
        let map = self.ebpf.map("FOUND").context("the bench's object has no `FOUND`")?;
        let counters: PerCpuArray<_, u64> = map.try_into()?;
        Ok(counters.get(&0, 0)?.iter().sum())
    }

    fn with(loader: &mut EbpfLoader<'_>) -> Result<Self> {
        let mut ebpf = loader.load(OBJECT).context("the kernel does not take the bench's programs")?;
        for (name, program) in ebpf.programs_mut() {
            let xdp: &mut Xdp = program.try_into()?;
            xdp.load().with_context(|| format!("the kernel does not take `{name}`"))?;
        }
        let draw = mapped(&ebpf, "DRAW", 1)?;
        let arrived = mapped(&ebpf, "ARRIVED", PROBES)?;
        let onward = mapped(&ebpf, "ONWARD", 2)?;
        let brought = mapped(&ebpf, "FRAMES", BROUGHT)?;
        Ok(Self { ebpf, draw, arrived, onward, brought })
    }

    /// Frames that `count` has seen so far, probes left out.
    pub fn received(&self) -> Result<u64> {
        let map = self.ebpf.map("RECEIVED").context("the bench's object has no `RECEIVED`")?;
        let counters: PerCpuArray<_, u64> = map.try_into()?;
        Ok(counters.get(&0, 0)?.iter().sum())
    }

    /// When each probe arrived, by its number (`CLOCK_MONOTONIC`, ns); 0: not yet.
    pub const fn arrived(&self) -> &Mapped<u64> {
        &self.arrived
    }

    /// Where `redirect` sends frames.
    pub fn send_to(&self, namespace: &Namespace, interface: &str) -> Result<()> {
        self.go_to(0, namespace, interface)
    }

    /// Where `bring` sends frames.
    pub fn bring_to(&self, namespace: &Namespace, interface: &str) -> Result<()> {
        self.go_to(1, namespace, interface)
    }

    fn go_to(&self, at: usize, namespace: &Namespace, interface: &str) -> Result<()> {
        let index = namespace.enter(|| dropgate::netlink::index(interface))?;
        self.onward.set(at, index.with_context(|| format!("no interface `{interface}`"))?);
        Ok(())
    }

    /// A frame that `bring` sends, of [`frames::LEN`] bytes.
    pub fn bring(&self, at: usize, frame: &[u8]) {
        let (words, _) = frame.as_chunks();
        let mut words = words.iter().map(|word| u32::from_ne_bytes(*word));
        self.brought.set(at, Frame(std::array::from_fn(|_| words.next().unwrap_or_default())));
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

/// The entries of an array of the object.
fn mapped<T: dropgate_abi::Plain>(ebpf: &Ebpf, name: &str, len: usize) -> Result<Mapped<T>> {
    let map = ebpf.map(name).with_context(|| format!("the bench's object has no `{name}`"))?;
    let aya::maps::Map::Array(data) = map else { anyhow::bail!("`{name}` is no array") };
    Mapped::new(data.fd().as_fd(), len).with_context(|| format!("mapping `{name}`"))
}
