//! Test runs of any loaded program.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

const BPF_PROG_TEST_RUN: libc::c_long = 10;

/// `union bpf_attr`, the part for test runs (`include/uapi/linux/bpf.h`).
#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _pad: u32,
}

/// Runs a program `repeat` times on a frame. Returns the action of the last run and the mean time of one, ns.
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
    let mut attr = TestRun {
        prog_fd: program.as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat,
        ..TestRun::default()
    };
    // SAFETY: `attr` is a `repr(C)` prefix of `union bpf_attr` of the size given, and the frame outlives the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, std::ptr::from_mut(&mut attr), size_of::<TestRun>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok((attr.retval, attr.duration)) }
}
