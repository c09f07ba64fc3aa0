//! Multi-instance GPUs: a card cut into instances, each with a UUID and a handle of its own.

use std::ffi::c_uint;

use super::{Call, Code, Device, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, get, handle, on_device, put};
use crate::device::Mig;

/// What the largest cards can be cut into.
const MOST_INSTANCES: c_uint = 7;

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigMode(device: Device, current: *mut c_uint, pending: *mut c_uint) -> c_uint {
    on_device("nvmlDeviceGetMigMode", device, |call| {
        let mode = match call.whole()?.truth().mig {
            Mig::Unsupported => return Err(NOT_SUPPORTED),
            Mig::Off => 0,
            Mig::On(_) => 1,
        };
        // SAFETY: NVML's contract: both are null or valid.
        unsafe {
            put(current, mode)?;
            put(pending, mode)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: Device, out: *mut c_uint) -> c_uint {
    let read = |call: &Call| match call.whole()?.truth().mig {
        Mig::Unsupported => Ok(0),
        _ => Ok(MOST_INSTANCES),
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetMaxMigDeviceCount", device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(device: Device, index: c_uint, out: *mut Device) -> c_uint {
    let read = |call: &Call| match &call.whole()?.truth().mig {
        Mig::Unsupported => Err(NOT_SUPPORTED),
        Mig::On(uuids) if (index as usize) < uuids.len() => Ok(handle(call.gpu, Some(index as usize))),
        _ if index < MOST_INSTANCES => Err(NOT_FOUND),
        _ => Err(INVALID_ARGUMENT),
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetMigDeviceHandleByIndex", device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device: Device, out: *mut Device) -> c_uint {
    let read = |call: &Call| call.instance.map(|_| handle(call.gpu, None)).ok_or(INVALID_ARGUMENT);
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceIsMigDeviceHandle(device: Device, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceIsMigDeviceHandle", device, out, |call| Ok(c_uint::from(call.instance.is_some()))) }
}

/// The instance's place stands for its ids: each is one GPU instance with one compute instance.
fn instance_id(call: &Call) -> Result<c_uint, Code> {
    call.instance.map(|instance| instance as c_uint + 1).ok_or(NOT_SUPPORTED)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGpuInstanceId(device: Device, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetGpuInstanceId", device, out, instance_id) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeInstanceId(device: Device, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetComputeInstanceId", device, out, |call| instance_id(call).map(|_| 0)) }
}
