//! Clocks: what is supported, what runs, and the locked range.

use std::ffi::{c_int, c_uint, c_ulonglong};

use super::{Call, Code, Device, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, get, on_device, put, put_list, set};
use crate::device::Mig;

/// nvmlClockType_t: graphics, SM, memory, video.
const MEMORY: c_uint = 2;
const CLOCK_TYPES: c_uint = 4;

/// nvmlClockLimitId_t: symbolic bounds instead of megahertz (TDP, unlimited).
const SYMBOLIC: std::ops::RangeInclusive<c_uint> = 0xFFFF_FF00..=0xFFFF_FFFF;
const TDP: c_uint = 0xFFFF_FF01;
const UNLIMITED: c_uint = 0xFFFF_FF02;

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetSupportedMemoryClocks(device: Device, count: *mut c_uint, out: *mut c_uint) -> c_uint {
    on_device("nvmlDeviceGetSupportedMemoryClocks", device, |call| {
        // SAFETY: NVML's contract: out has room for *count values.
        unsafe { put_list(count, out, &[call.whole()?.truth().memory_mhz]) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetSupportedGraphicsClocks(
    device: Device,
    memory_mhz: c_uint,
    count: *mut c_uint,
    out: *mut c_uint,
) -> c_uint {
    on_device("nvmlDeviceGetSupportedGraphicsClocks", device, |call| {
        let truth = call.whole()?.truth();
        if memory_mhz != truth.memory_mhz {
            return Err(NOT_FOUND);
        }
        // SAFETY: NVML's contract: out has room for *count values.
        unsafe { put_list(count, out, &truth.clocks()) }
    })
}

fn current(call: &Call, kind: c_uint) -> Result<c_uint, Code> {
    match kind {
        MEMORY => Ok(call.whole()?.truth().memory_mhz),
        kind if kind < CLOCK_TYPES => call.whole()?.look(|now, gpu| now.operating(gpu).clock_mhz),
        _ => Err(INVALID_ARGUMENT),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetClockInfo(device: Device, kind: c_uint, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetClockInfo", device, out, |call| current(call, kind)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetClock(device: Device, kind: c_uint, id: c_uint, out: *mut c_uint) -> c_uint {
    let read = |call: &Call| {
        if id == 0 { current(call, kind) } else { Err(NOT_SUPPORTED) }
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetClock", device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxClockInfo(device: Device, kind: c_uint, out: *mut c_uint) -> c_uint {
    let read = |call: &Call| match kind {
        MEMORY => Ok(call.whole()?.truth().memory_mhz),
        kind if kind < CLOCK_TYPES => Ok(call.whole()?.truth().max_mhz),
        _ => Err(INVALID_ARGUMENT),
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetMaxClockInfo", device, out, read) }
}

/// The same in every performance state: the states are not modelled.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMinMaxClockOfPState(
    device: Device,
    kind: c_uint,
    _state: c_uint,
    min: *mut c_uint,
    max: *mut c_uint,
) -> c_uint {
    on_device("nvmlDeviceGetMinMaxClockOfPState", device, |call| {
        let truth = call.whole()?.truth();
        let (low, high) = match kind {
            MEMORY => (truth.memory_mhz, truth.memory_mhz),
            kind if kind < CLOCK_TYPES => (truth.min_mhz, truth.max_mhz),
            _ => return Err(INVALID_ARGUMENT),
        };
        // SAFETY: NVML's contract: both are null or valid.
        unsafe {
            put(min, low)?;
            put(max, high)
        }
    })
}

/// The request is installed, not promised: what runs is the highest supported clock at or below the bound.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceSetGpuLockedClocks(device: Device, min_mhz: c_uint, max_mhz: c_uint) -> c_uint {
    set("nvmlDeviceSetGpuLockedClocks", format!(",min={min_mhz},max={max_mhz}"), device, |call| {
        let truth = call.truth();
        let range = match (SYMBOLIC.contains(&min_mhz), SYMBOLIC.contains(&max_mhz)) {
            (false, false) if min_mhz <= max_mhz => (truth.snap(min_mhz), truth.snap(max_mhz)),
            (true, true) if [min_mhz, max_mhz].iter().all(|id| [TDP, UNLIMITED].contains(id)) => (truth.max_mhz, truth.max_mhz),
            _ => return Err(INVALID_ARGUMENT),
        };
        call.look(|now, gpu| {
            let us = now.us;
            let (_, card) = now.card(gpu);
            (card.lock, card.lock_set_us) = (Some(range), us);
        })
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceResetGpuLockedClocks(device: Device) -> c_uint {
    set("nvmlDeviceResetGpuLockedClocks", String::new(), device, |call| call.look(|now, gpu| now.card(gpu).1.lock = None))
}

unsafe fn reasons(call: &'static str, device: Device, out: *mut c_ulonglong) -> c_uint {
    let read = |call: &Call| call.whole()?.look(|now, gpu| now.operating(gpu).reasons);
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get(call, device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(device: Device, out: *mut c_ulonglong) -> c_uint {
    // SAFETY: passed on.
    unsafe { reasons("nvmlDeviceGetCurrentClocksThrottleReasons", device, out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCurrentClocksEventReasons(device: Device, out: *mut c_ulonglong) -> c_uint {
    // SAFETY: passed on.
    unsafe { reasons("nvmlDeviceGetCurrentClocksEventReasons", device, out) }
}

/// nvmlUtilization_t.
#[repr(C)]
struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUtilizationRates(device: Device, out: *mut Utilization) -> c_uint {
    let read = |call: &Call| {
        if matches!(call.truth().mig, Mig::On(_)) {
            return Err(NOT_SUPPORTED); // as an A100 in MIG mode answers
        }
        let busy = call.look(|now, gpu| now.processes(gpu).next().is_some())?;
        Ok(if busy { Utilization { gpu: 97, memory: 40 } } else { Utilization { gpu: 0, memory: 0 } })
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetUtilizationRates", device, out, read) }
}

/// Kept, though GeForce cards and A100-SXM4 refuse it: memory clocks are not modelled, so nothing may come of it.
#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceSetMemoryLockedClocks(device: Device, min_mhz: c_uint, max_mhz: c_uint) -> c_uint {
    let arguments = format!(",min={min_mhz},max={max_mhz}");
    set("nvmlDeviceSetMemoryLockedClocks", arguments, device, |_| Err(NOT_SUPPORTED))
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceResetMemoryLockedClocks(device: Device) -> c_uint {
    set("nvmlDeviceResetMemoryLockedClocks", String::new(), device, |_| Err(NOT_SUPPORTED))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPerformanceState(device: Device, out: *mut c_int) -> c_uint {
    let read = |call: &Call| {
        let busy = call.look(|now, gpu| now.processes(gpu).next().is_some())?;
        Ok(if busy { 2 } else { 8 })
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetPerformanceState", device, out, read) }
}
