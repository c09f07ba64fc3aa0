"""The stand-in as NVIDIA's own Python client (nvidia-ml-py) sees it: an independent reading of the struct layouts.

Run with LD_LIBRARY_PATH naming the folder of a stand-in. Sets and resets a lock, limit and mode on the last card, which must
be whole and allowed to be set; prints everything read, per card, as one JSON object. What is right is for the caller to say.
"""

import json

import pynvml as nvml


def code_of(call, *arguments):
    """The nvmlReturn_t of a call that may fail; 0 where it works."""
    try:
        call(*arguments)
    except nvml.NVMLError as error:
        return error.value
    return 0


def reads(gpu):
    memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
    memory_v2 = nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)
    pci = nvml.nvmlDeviceGetPciInfo(gpu)
    top = nvml.nvmlDeviceGetSupportedMemoryClocks(gpu)[0]
    instant = nvml.nvmlDeviceGetFieldValues(gpu, [nvml.NVML_FI_DEV_POWER_INSTANT])[0]
    return {
        "name": nvml.nvmlDeviceGetName(gpu),
        "uuid": nvml.nvmlDeviceGetUUID(gpu),
        "index": nvml.nvmlDeviceGetIndex(gpu),
        "minor": nvml.nvmlDeviceGetMinorNumber(gpu),
        "bus_id": pci.busId,
        "bus": pci.bus,
        "architecture": nvml.nvmlDeviceGetArchitecture(gpu),
        "memory": [memory.total, memory.free, memory.used],
        "memory_v2": [memory_v2.total, memory_v2.free, memory_v2.used],
        "graphics_clocks": nvml.nvmlDeviceGetSupportedGraphicsClocks(gpu, top),
        "sm_clock": nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM),
        "max_sm_clock": nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM),
        "power": nvml.nvmlDeviceGetPowerUsage(gpu),
        "power_instant": [instant.nvmlReturn, instant.value.uiVal],
        "limit": nvml.nvmlDeviceGetEnforcedPowerLimit(gpu),
        "limit_range": nvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu),
        "utilization": nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
        "reasons": nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
        "persistence": nvml.nvmlDeviceGetPersistenceMode(gpu),
        "temperature": nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU),
        "pids": [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)],
        "energy": nvml.nvmlDeviceGetTotalEnergyConsumption(gpu),
        "mig_code": code_of(nvml.nvmlDeviceGetMigMode, gpu),
        "fan_code": code_of(nvml.nvmlDeviceGetFanSpeed, gpu),
    }


def main():
    answers = {"before_init": code_of(nvml.nvmlDeviceGetCount)}
    nvml.nvmlInit()
    answers["driver"] = nvml.nvmlSystemGetDriverVersion()
    answers["cuda"] = nvml.nvmlSystemGetCudaDriverVersion_v2()
    gpus = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    answers["gpus"] = [reads(gpu) for gpu in gpus]
    last = gpus[-1]
    uuid = nvml.nvmlDeviceGetUUID(last)
    answers["by_uuid"] = nvml.nvmlDeviceGetIndex(nvml.nvmlDeviceGetHandleByUUID(uuid))
    answers["by_bus"] = nvml.nvmlDeviceGetIndex(
        nvml.nvmlDeviceGetHandleByPciBusId(nvml.nvmlDeviceGetPciInfo(last).busId)
    )
    answers["crossed_code"] = code_of(nvml.nvmlDeviceSetGpuLockedClocks, last, 900, 300)
    answers["unknown_uuid_code"] = code_of(nvml.nvmlDeviceGetHandleByUUID, "GPU-none")
    nvml.nvmlDeviceSetGpuLockedClocks(last, 600, 900)
    nvml.nvmlDeviceSetPowerManagementLimit(last, 200_000)
    nvml.nvmlDeviceSetPersistenceMode(last, 0)
    answers["set"] = reads(last)
    nvml.nvmlDeviceSetPersistenceMode(last, 1)
    nvml.nvmlDeviceResetGpuLockedClocks(last)
    answers["reset_clock"] = nvml.nvmlDeviceGetClockInfo(last, nvml.NVML_CLOCK_SM)
    nvml.nvmlShutdown()
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
