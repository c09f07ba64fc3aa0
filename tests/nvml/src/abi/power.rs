//! Power, energy, limits, temperature, persistence, and the field values that repeat them.

use std::ffi::{c_int, c_longlong, c_uint, c_ulonglong};

use super::{Call, Code, Device, INVALID_ARGUMENT, NOT_SUPPORTED, get, on_device, put, set};
use crate::device::milli;

fn power_mw(call: &Call) -> Result<c_uint, Code> {
    call.whole()?.look(|now, gpu| now.operating(gpu).power_mw)
}

fn energy_mj(call: &Call) -> Result<c_ulonglong, Code> {
    call.whole()?.look(|now, gpu| {
        let us = now.us;
        now.card(gpu).1.energy_mj(us)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerUsage(device: Device, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetPowerUsage", device, out, power_mw) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTotalEnergyConsumption(device: Device, out: *mut c_ulonglong) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetTotalEnergyConsumption", device, out, energy_mj) }
}

fn limit(call: &Call) -> Result<c_uint, Code> {
    call.whole()?.look(|now, gpu| {
        let (truth, card) = now.card(gpu);
        card.limit_mw(truth)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetEnforcedPowerLimit(device: Device, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetEnforcedPowerLimit", device, out, limit) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerManagementLimit(device: Device, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetPowerManagementLimit", device, out, limit) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerManagementDefaultLimit(device: Device, out: *mut c_uint) -> c_uint {
    let read = |call: &Call| Ok(milli(call.whole()?.truth().power_limit_watts));
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetPowerManagementDefaultLimit", device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPowerManagementLimitConstraints(device: Device, min: *mut c_uint, max: *mut c_uint) -> c_uint {
    on_device("nvmlDeviceGetPowerManagementLimitConstraints", device, |call| {
        let truth = call.whole()?.truth();
        // SAFETY: NVML's contract: both are null or valid.
        unsafe {
            put(min, milli(truth.power_limit_min_watts))?;
            put(max, milli(truth.power_limit_watts))
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceSetPowerManagementLimit(device: Device, limit_mw: c_uint) -> c_uint {
    set("nvmlDeviceSetPowerManagementLimit", format!(",limit={limit_mw}"), device, |call| {
        let truth = call.truth();
        if limit_mw < milli(truth.power_limit_min_watts) || limit_mw > milli(truth.power_limit_watts) {
            return Err(INVALID_ARGUMENT);
        }
        call.look(|now, gpu| now.card(gpu).1.limit_mw = Some(limit_mw))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPersistenceMode(device: Device, out: *mut c_uint) -> c_uint {
    let read = |call: &Call| call.whole()?.look(|now, gpu| c_uint::from(now.card(gpu).1.persistence));
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetPersistenceMode", device, out, read) }
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceSetPersistenceMode(device: Device, mode: c_uint) -> c_uint {
    set("nvmlDeviceSetPersistenceMode", format!(",mode={mode}"), device, |call| {
        if mode > 1 {
            return Err(INVALID_ARGUMENT);
        }
        call.look(|now, gpu| now.card(gpu).1.persistence = mode == 1)
    })
}

/// 30 degrees, and one more for every 8 W.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetTemperature(device: Device, sensor: c_uint, out: *mut c_uint) -> c_uint {
    let read = |call: &Call| {
        if sensor == 0 { Ok(30 + power_mw(call)? / 8000) } else { Err(INVALID_ARGUMENT) }
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetTemperature", device, out, read) }
}

/// nvmlFieldValue_t; the value is a union of 8 bytes, told by its type.
#[repr(C)]
struct FieldValue {
    field_id: c_uint,
    scope_id: c_uint,
    timestamp_us: c_longlong,
    latency_us: c_longlong,
    value_type: c_uint,
    code: c_uint,
    value: c_ulonglong,
}

const FIELD_TOTAL_ENERGY: c_uint = 83;
const FIELD_POWER_AVERAGE: c_uint = 185;
const FIELD_POWER_INSTANT: c_uint = 186;
const UNSIGNED_INT: c_uint = 1;
const UNSIGNED_LONG_LONG: c_uint = 3;

/// Succeeds as a whole; every field carries its own code.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetFieldValues(device: Device, count: c_int, values: *mut FieldValue) -> c_uint {
    on_device("nvmlDeviceGetFieldValues", device, |call| {
        if values.is_null() || count < 1 {
            return Err(INVALID_ARGUMENT);
        }
        // SAFETY: NVML's contract: values points to count fields that the caller has filled in; not null.
        let values = unsafe { std::slice::from_raw_parts_mut(values, count as usize) };
        for field in values {
            // One look for value and time: who integrates power can hold the counter to it exactly.
            let (us, mw, mj) = call.whole()?.look(|now, gpu| {
                let us = now.us;
                (us, now.operating(gpu).power_mw, now.card(gpu).1.energy_mj(us))
            })?;
            let answer = match field.field_id {
                FIELD_TOTAL_ENERGY => Some((UNSIGNED_LONG_LONG, mj)),
                FIELD_POWER_AVERAGE | FIELD_POWER_INSTANT => Some((UNSIGNED_INT, mw.into())),
                _ => None,
            };
            field.code = if answer.is_some() { 0 } else { NOT_SUPPORTED.0 };
            (field.value_type, field.value) = answer.unwrap_or((UNSIGNED_INT, 0));
            (field.timestamp_us, field.latency_us) = (us as c_longlong, 0);
        }
        Ok(())
    })
}
