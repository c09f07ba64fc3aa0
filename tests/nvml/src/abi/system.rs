//! Initialisation, versions, error texts.

use std::ffi::{c_char, c_int, c_uint};

use super::{guarded, on_system, put, put_text, session};

fn init(call: &'static str) -> c_uint {
    let code = guarded(|| session::enter(call));
    if let Ok(session) = session::current() {
        session.log(&format!("{call}()"), code);
    }
    code
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit() -> c_uint {
    init("nvmlInit")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInit_v2() -> c_uint {
    init("nvmlInit_v2")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> c_uint {
    init("nvmlInitWithFlags")
}

#[unsafe(no_mangle)]
extern "C" fn nvmlShutdown() -> c_uint {
    let before = session::current();
    let code = guarded(|| session::leave("nvmlShutdown"));
    if let Ok(session) = before {
        session.log("nvmlShutdown()", code);
    }
    code
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetDriverVersion(version: *mut c_char, length: c_uint) -> c_uint {
    on_system("nvmlSystemGetDriverVersion", |session| {
        // SAFETY: NVML's contract: version has room for length bytes.
        unsafe { put_text(version, length, &session.description.driver_version) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetNVMLVersion(version: *mut c_char, length: c_uint) -> c_uint {
    on_system("nvmlSystemGetNVMLVersion", |session| {
        // SAFETY: NVML's contract: version has room for length bytes.
        unsafe { put_text(version, length, &session.description.nvml_version) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(version: *mut c_int) -> c_uint {
    on_system("nvmlSystemGetCudaDriverVersion", |session| {
        // SAFETY: NVML's contract: version is null or valid.
        unsafe { put(version, session.description.cuda_version) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(version: *mut c_int) -> c_uint {
    on_system("nvmlSystemGetCudaDriverVersion_v2", |session| {
        // SAFETY: NVML's contract: version is null or valid.
        unsafe { put(version, session.description.cuda_version) }
    })
}

/// Works before nvmlInit, too.
#[unsafe(no_mangle)]
extern "C" fn nvmlErrorString(code: c_uint) -> *const c_char {
    let text = match code {
        0 => c"The operation was successful",
        1 => c"Uninitialized",
        2 => c"Invalid Argument",
        3 => c"Not Supported",
        4 => c"Insufficient Permissions",
        5 => c"Already Initialized",
        6 => c"Not Found",
        7 => c"Insufficient Size",
        8 => c"Insufficient External Power",
        9 => c"Driver Not Loaded",
        10 => c"Timeout",
        11 => c"Interrupt Request Issue",
        12 => c"NVML Shared Library Not Found",
        13 => c"Function Not Found",
        14 => c"Corrupted infoROM",
        15 => c"GPU is lost",
        16 => c"GPU requires restart",
        17 => c"The operating system has blocked the request",
        18 => c"RM has detected an NVML/RM version mismatch",
        19 => c"In use by another client",
        20 => c"Insufficient Memory",
        21 => c"No data",
        _ => c"Unknown Error",
    };
    text.as_ptr()
}
