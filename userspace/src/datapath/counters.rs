//! Per-CPU counters, summed.

use aya::{Pod, maps::PerCpuArray};
use dropgate_abi::{Plain, control::Counter};

use super::{Object, ObjectError};

/// Lets aya move the ABI's types.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Raw<T>(pub T);

// SAFETY: `Plain` is what `Pod` asks for: every bit pattern valid, no padding.
unsafe impl<T: Plain> Pod for Raw<T> {}

/// The values of one entry of a per-CPU array, one for each CPU.
pub fn per_cpu<T: Plain>(object: &Object, name: &str, index: u32) -> Result<Vec<T>, ObjectError> {
    let fault = |source| ObjectError::Map { name: name.to_owned(), source: Box::new(source) };
    let map = object.ebpf.map(name).ok_or_else(|| ObjectError::Missing { name: name.to_owned() })?;
    let array: PerCpuArray<_, Raw<T>> = map.try_into().map_err(fault)?;
    Ok(array.get(&index, 0).map_err(fault)?.iter().map(|value| value.0).collect())
}

/// One counter over all CPUs.
pub fn sum(object: &Object, name: &str, index: u32) -> Result<Counter, ObjectError> {
    let values = per_cpu::<Counter>(object, name, index)?;
    Ok(values.iter().fold(Counter::default(), |sum, value| Counter {
        packets: sum.packets + value.packets,
        bytes: sum.bytes + value.bytes,
    }))
}
