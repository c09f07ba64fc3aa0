//! Which cards there are and what they say of themselves; how NVML begins and ends.

use std::ffi::c_void;

use nvidia_ml::place::EIGHT_GPUS;
use nvml_wrapper::enum_wrappers::device::{Clock, PerformanceState};
use nvml_wrapper::enums::device::DeviceArchitecture;
use nvml_wrapper::error::NvmlError;

use super::bench::*;

#[test]
fn cards_say_who_they_are() {
    let bench = Bench::new(EIGHT_GPUS);
    let nvml = bench.nvml();
    assert_eq!(nvml.device_count().unwrap(), 8);
    assert_eq!(nvml.sys_driver_version().unwrap(), "570.00.00");
    assert_eq!(nvml.sys_nvml_version().unwrap(), "12.570.00.00");
    assert_eq!(nvml.sys_cuda_driver_version().unwrap(), 12080);
    let mut minors = Vec::new();
    for index in 0..8 {
        let card = gpu(&nvml, index);
        assert_eq!(card.index().unwrap(), index);
        assert_eq!(card.name().unwrap(), "NVIDIA GeForce RTX 4090");
        assert_eq!(card.architecture().unwrap(), DeviceArchitecture::Ada);
        let uuid = card.uuid().unwrap();
        assert_eq!(nvml.device_by_uuid(uuid).unwrap().index().unwrap(), index);
        let bus_id = card.pci_info().unwrap().bus_id;
        assert_eq!(nvml.device_by_pci_bus_id(bus_id).unwrap().index().unwrap(), index);
        minors.push(card.minor_number().unwrap());
    }
    assert_ne!(minors, (0..8).collect::<Vec<_>>(), "minor numbers must not stand in for indices");
    minors.sort();
    assert_eq!(minors, (0..8).collect::<Vec<_>>());
    assert!(matches!(nvml.device_by_index(8), Err(NvmlError::InvalidArg)));
    assert!(matches!(nvml.device_by_uuid("GPU-none"), Err(NvmlError::NotFound)));
}

#[test]
fn supported_clocks_fall_from_the_top_in_the_cards_own_steps() {
    let bench = anyone();
    let nvml = bench.nvml();
    let card = gpu(&nvml, 1);
    let memory = card.supported_memory_clocks().unwrap();
    let clocks = card.supported_graphics_clocks(memory[0]).unwrap();
    assert_eq!(clocks, (0..=90).map(|n| 2000 - 20 * n).collect::<Vec<u32>>());
    assert_eq!(card.max_clock_info(Clock::SM).unwrap(), 2000);
    let bounds = card.min_max_clock_of_pstate(Clock::Graphics, PerformanceState::Zero);
    assert_eq!(bounds.unwrap(), (200, 2000));
    assert!(matches!(card.supported_graphics_clocks(1), Err(NvmlError::NotFound)));
}

#[test]
fn a_list_longer_than_its_buffer_is_answered_with_the_room_it_needs() {
    type List = unsafe extern "C" fn(*mut c_void, u32, *mut u32, *mut u32) -> u32;
    let bench = Bench::new(EIGHT_GPUS);
    let nvml = bench.nvml();
    let mut clocks = [0; 200];
    // nvml-wrapper 0.13 takes INSUFFICIENT_SIZE for success here and gives 128 zeros, so the C function is asked itself.
    // SAFETY: the function has this type, the handle is of this library, and each count is the room behind its pointer.
    unsafe {
        let list: List = std::mem::transmute(bench.symbol(c"nvmlDeviceGetSupportedGraphicsClocks"));
        let card = gpu(&nvml, 3).handle().cast();
        let (mut none, mut short, mut room) = (0, 128, 200);
        assert_eq!((list(card, 10501, &mut none, std::ptr::null_mut()), none), (7, 155));
        assert_eq!((list(card, 10501, &mut short, clocks.as_mut_ptr()), short, clocks[0]), (7, 155, 0));
        assert_eq!((list(card, 10501, &mut room, clocks.as_mut_ptr()), room), (0, 155));
    }
    assert_eq!((clocks[0], clocks[1], clocks[154], clocks[155]), (2520, 2505, 210, 0));
}

#[test]
fn a_cut_card_shows_its_instances_and_keeps_clocks_to_itself() {
    let end = "mig = \"on\"\nmig_uuids = [\"MIG-1111\", \"MIG-2222\"]";
    let bench = Bench::two("anyone_may_set = true", end);
    let nvml = bench.nvml();
    let card = gpu(&nvml, 1);
    assert_eq!(card.mig_mode().unwrap().current, 1);
    assert!(matches!(card.utilization_rates(), Err(NvmlError::NotSupported)));
    let mut instance = card.mig_device_by_index(1).unwrap();
    assert_eq!(instance.uuid().unwrap(), "MIG-2222");
    assert!(instance.mig_is_mig_device_handle().unwrap());
    assert!(!card.mig_is_mig_device_handle().unwrap());
    assert_eq!(instance.mig_parent_device().unwrap().uuid().unwrap(), "GPU-bbbb");
    assert!(matches!(instance.set_gpu_locked_clocks(range(200, 1000)), Err(NvmlError::NotSupported)));
    assert!(matches!(instance.power_usage(), Err(NvmlError::NotSupported)));
    assert!(matches!(card.mig_device_by_index(2), Err(NvmlError::NotFound)));
    assert_eq!(nvml.device_by_uuid("MIG-1111").unwrap().mig_parent_device().unwrap().index().unwrap(), 1);
}

#[test]
fn what_is_not_modelled_is_not_supported_rather_than_missing() {
    let bench = anyone();
    let nvml = bench.nvml();
    assert!(matches!(gpu(&nvml, 0).fan_speed(0), Err(NvmlError::NotSupported)));
    assert!(matches!(gpu(&nvml, 0).encoder_utilization(), Err(NvmlError::NotSupported)));
    assert!(matches!(gpu(&nvml, 0).mig_mode(), Err(NvmlError::NotSupported)));
}

#[test]
fn calls_before_init_and_after_the_last_shutdown_are_refused() {
    let bench = anyone();
    // SAFETY: the symbols are functions without arguments, or (Count) with one pointer to an unsigned.
    unsafe {
        let symbol = |name| bench.symbol(name);
        type Plain = unsafe extern "C" fn() -> u32;
        let init: Plain = std::mem::transmute(symbol(c"nvmlInit_v2"));
        let shutdown: Plain = std::mem::transmute(symbol(c"nvmlShutdown"));
        let count: unsafe extern "C" fn(*mut u32) -> u32 = std::mem::transmute(symbol(c"nvmlDeviceGetCount_v2"));
        let mut gpus = 0;
        assert_eq!((count(&mut gpus), shutdown()), (1, 1));
        assert_eq!((init(), init(), shutdown()), (0, 0, 0));
        assert_eq!((count(&mut gpus), gpus), (0, 2), "the count of Init calls keeps NVML up");
        assert_eq!(count(std::ptr::null_mut()), 2);
        assert_eq!((shutdown(), count(&mut gpus), shutdown()), (0, 1, 1));
    }
}
