//! Which cards there are, and what they are called.

use std::ffi::{c_char, c_uint, c_ulong, c_ulonglong};

use super::{
    Code, Device, INVALID_ARGUMENT, NOT_FOUND, NOT_SUPPORTED, chars, get, handle, on_device, on_system, put, put_list, put_text,
    session, take_text,
};
use crate::device::Mig;

/// nvmlPciInfo_t.
#[repr(C)]
struct PciInfo {
    bus_id_legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    pci_device_id: c_uint,
    pci_sub_system_id: c_uint,
    bus_id: [c_char; 32],
}

/// nvmlMemory_t.
#[repr(C)]
struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// nvmlMemory_v2_t.
#[repr(C)]
struct MemoryV2 {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

/// nvmlProcessInfo_t of the _v3 functions.
#[repr(C)]
#[derive(Clone, Copy)]
struct ProcessInfo {
    pid: c_uint,
    used_gpu_memory: c_ulonglong,
    gpu_instance_id: c_uint,
    compute_instance_id: c_uint,
}

const MIB: u64 = 1 << 20;

unsafe fn count(call: &'static str, out: *mut c_uint) -> c_uint {
    on_system(call, |session| {
        // SAFETY: NVML's contract: out is null or valid.
        unsafe { put(out, session.description.gpus.len() as c_uint) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount(out: *mut c_uint) -> c_uint {
    // SAFETY: passed on.
    unsafe { count("nvmlDeviceGetCount", out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCount_v2(out: *mut c_uint) -> c_uint {
    // SAFETY: passed on.
    unsafe { count("nvmlDeviceGetCount_v2", out) }
}

/// A handle by whatever names the card; a fault on demand on that card strikes here, too, as a lost card has no handle.
unsafe fn find(
    call: &'static str,
    out: *mut Device,
    search: impl FnOnce(&session::Session) -> Result<(usize, Option<usize>), Code>,
) -> c_uint {
    super::guarded(|| {
        let session = session::current()?;
        let (gpu, instance) = search(&session).inspect_err(|_| {
            // A fault for all cards strikes a search in vain as well; its code matters less than the search's.
            let _ = session.suffer(call, None);
        })?;
        session.suffer(call, Some(gpu))?;
        // SAFETY: NVML's contract: out is null or valid.
        unsafe { put(out, handle(gpu, instance)) }
    })
}

unsafe fn by_index(call: &'static str, index: c_uint, out: *mut Device) -> c_uint {
    let search = |session: &session::Session| {
        let known = (index as usize) < session.description.gpus.len();
        if known { Ok((index as usize, None)) } else { Err(INVALID_ARGUMENT) }
    };
    // SAFETY: passed on.
    unsafe { find(call, out, search) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex(index: c_uint, out: *mut Device) -> c_uint {
    // SAFETY: passed on.
    unsafe { by_index("nvmlDeviceGetHandleByIndex", index, out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, out: *mut Device) -> c_uint {
    // SAFETY: passed on.
    unsafe { by_index("nvmlDeviceGetHandleByIndex_v2", index, out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, out: *mut Device) -> c_uint {
    let search = |session: &session::Session| {
        // SAFETY: NVML's contract: a zero-terminated string.
        let uuid = unsafe { take_text(uuid) }?;
        for (gpu, truth) in session.description.gpus.iter().enumerate() {
            if truth.uuid == uuid {
                return Ok((gpu, None));
            }
            if let Mig::On(instances) = &truth.mig
                && let Some(instance) = instances.iter().position(|other| other == uuid)
            {
                return Ok((gpu, Some(instance)));
            }
        }
        Err(NOT_FOUND)
    };
    // SAFETY: passed on.
    unsafe { find("nvmlDeviceGetHandleByUUID", out, search) }
}

unsafe fn by_pci_bus_id(call: &'static str, bus_id: *const c_char, out: *mut Device) -> c_uint {
    let search = |session: &session::Session| {
        // SAFETY: NVML's contract: a zero-terminated string.
        let asked = pci(unsafe { take_text(bus_id) }?).ok_or(INVALID_ARGUMENT)?;
        let mut gpus = session.description.gpus.iter();
        let gpu = gpus.position(|gpu| pci(&gpu.pci_bus_id) == Some(asked)).ok_or(NOT_FOUND)?;
        Ok((gpu, None))
    };
    // SAFETY: passed on.
    unsafe { find(call, out, search) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId(bus_id: *const c_char, out: *mut Device) -> c_uint {
    // SAFETY: passed on.
    unsafe { by_pci_bus_id("nvmlDeviceGetHandleByPciBusId", bus_id, out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(bus_id: *const c_char, out: *mut Device) -> c_uint {
    // SAFETY: passed on.
    unsafe { by_pci_bus_id("nvmlDeviceGetHandleByPciBusId_v2", bus_id, out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetName(device: Device, name: *mut c_char, length: c_uint) -> c_uint {
    // SAFETY: NVML's contract: name has room for length bytes.
    on_device("nvmlDeviceGetName", device, |call| unsafe { put_text(name, length, &call.truth().name) })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetUUID(device: Device, uuid: *mut c_char, length: c_uint) -> c_uint {
    on_device("nvmlDeviceGetUUID", device, |call| {
        let truth = call.truth();
        let text = match (&truth.mig, call.instance) {
            (Mig::On(uuids), Some(instance)) => &uuids[instance],
            _ => &truth.uuid,
        };
        // SAFETY: NVML's contract: uuid has room for length bytes.
        unsafe { put_text(uuid, length, text) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetIndex(device: Device, index: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: index is null or valid.
    unsafe { get("nvmlDeviceGetIndex", device, index, |call| Ok(call.instance.unwrap_or(call.gpu) as c_uint)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMinorNumber(device: Device, minor: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: minor is null or valid.
    unsafe { get("nvmlDeviceGetMinorNumber", device, minor, |call| Ok(call.whole()?.truth().minor)) }
}

unsafe fn pci_info(call: &'static str, device: Device, out: *mut PciInfo) -> c_uint {
    let read = |call: &super::Call| {
        let bus_id = &call.truth().pci_bus_id;
        let (domain, bus, device) = pci(bus_id).ok_or(NOT_FOUND)?;
        Ok(PciInfo {
            bus_id_legacy: chars(&format!("{domain:04X}:{bus:02X}:{device:02X}.0")),
            domain,
            bus,
            device,
            pci_device_id: 0x2684_10DE, // AD102, NVIDIA
            pci_sub_system_id: 0,
            bus_id: chars(&format!("{domain:08X}:{bus:02X}:{device:02X}.0")),
        })
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get(call, device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPciInfo_v2(device: Device, out: *mut PciInfo) -> c_uint {
    // SAFETY: passed on.
    unsafe { pci_info("nvmlDeviceGetPciInfo_v2", device, out) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetPciInfo_v3(device: Device, out: *mut PciInfo) -> c_uint {
    // SAFETY: passed on.
    unsafe { pci_info("nvmlDeviceGetPciInfo_v3", device, out) }
}

/// Domain, bus and device of `[[0000]0000:]01:00[.0]`.
fn pci(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.rsplit(':');
    let device = parts.next()?.split('.').next()?;
    let (bus, domain) = (parts.next()?, parts.next().unwrap_or("0"));
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    Some((hex(domain)?, hex(bus)?, hex(device)?))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetArchitecture(device: Device, out: *mut c_uint) -> c_uint {
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetArchitecture", device, out, |call| Ok(call.truth().architecture)) }
}

/// Total and used bytes: a busy card holds five sixths of its memory.
fn memory(call: &super::Call) -> Result<(u64, u64), Code> {
    let total = call.truth().memory_mib * MIB;
    let busy = call.look(|now, gpu| now.processes(gpu).next().is_some())?;
    Ok((total, if busy { total / 6 * 5 } else { 0 }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo(device: Device, out: *mut Memory) -> c_uint {
    let read = |call: &super::Call| {
        let (total, used) = memory(call)?;
        Ok(Memory { total, free: total - used, used })
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetMemoryInfo", device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, out: *mut MemoryV2) -> c_uint {
    let read = |call: &super::Call| {
        // NVML's version word: size of the struct, and 2 in the top byte.
        let version = size_of::<MemoryV2>() as c_uint | 2 << 24;
        let (total, used) = memory(call)?;
        Ok(MemoryV2 { version, total, reserved: 0, free: total - used, used })
    };
    // SAFETY: NVML's contract: out is null or valid.
    unsafe { get("nvmlDeviceGetMemoryInfo_v2", device, out, read) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut std::ffi::c_void,
) -> c_uint {
    on_device("nvmlDeviceGetComputeRunningProcesses_v3", device, |call| {
        let infos_now = processes(call, false)?;
        // SAFETY: NVML's contract: room for *count entries.
        unsafe { put_list(count, infos.cast(), &infos_now) }
    })
}

/// While an MPS server is on the card, all others there are its clients.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetMPSComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut std::ffi::c_void,
) -> c_uint {
    on_device("nvmlDeviceGetMPSComputeRunningProcesses_v3", device, |call| {
        let infos_now = processes(call, true)?;
        // SAFETY: NVML's contract: room for *count entries.
        unsafe { put_list(count, infos.cast(), &infos_now) }
    })
}

/// The clients of an MPS server, or all other processes with a compute context.
fn processes(call: &super::Call, clients: bool) -> Result<Vec<ProcessInfo>, super::Code> {
    let (_, used_gpu_memory) = memory(call)?;
    let pids = call.look(|now, gpu| now.processes(gpu).map(|p| p.pid).collect::<Vec<_>>())?;
    let (servers, others): (Vec<u32>, Vec<u32>) = pids.iter().partition(|&&pid| is_mps_server(pid));
    let listed = match (clients, servers.is_empty()) {
        (true, true) => Vec::new(),
        (false, false) => servers,
        _ => others,
    };
    let whole = u32::MAX; // NVML's word for "no MIG instance"
    let info = |pid| ProcessInfo {
        pid,
        used_gpu_memory: used_gpu_memory / pids.len() as u64,
        gpu_instance_id: whole,
        compute_instance_id: whole,
    };
    Ok(listed.into_iter().map(info).collect())
}

/// Whether a process is called `nvidia-cuda-mps-server`, of which the kernel keeps 15 characters.
fn is_mps_server(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|command| command.trim_end() == "nvidia-cuda-mps")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    infos: *mut std::ffi::c_void,
) -> c_uint {
    on_device("nvmlDeviceGetGraphicsRunningProcesses_v3", device, |_| {
        // SAFETY: NVML's contract: room for *count entries; there are none.
        unsafe { put_list::<ProcessInfo>(count, infos.cast(), &[]) }
    })
}

/// All processors of the machine: no card here is nearer to one than to another.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlDeviceGetCpuAffinity(device: Device, words: c_uint, set: *mut c_ulong) -> c_uint {
    on_device("nvmlDeviceGetCpuAffinity", device, |_| {
        if set.is_null() || words == 0 {
            return Err(INVALID_ARGUMENT);
        }
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let bits = c_ulong::BITS as usize;
        for word in 0..words as usize {
            let here = cpus.saturating_sub(word * bits).min(bits);
            let mask = if here == bits { c_ulong::MAX } else { (1 << here) - 1 };
            // SAFETY: NVML's contract: set has room for that many words.
            unsafe { set.add(word).write(mask) };
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvmlDeviceGetSerial(device: Device, _serial: *mut c_char, _length: c_uint) -> c_uint {
    // As GeForce cards answer.
    on_device("nvmlDeviceGetSerial", device, |_| Err(NOT_SUPPORTED))
}
