//! The C functions of NVML, thin: arguments in, one look at the bench, an nvmlReturn_t out. No decision sits here but the order
//! in which NVML checks: initialised, handle, fault on demand, permission, arguments. A panic becomes NVML_ERROR_UNKNOWN.

#![allow(non_snake_case)]

mod clocks;
mod identity;
mod mig;
mod power;
mod rest;
mod session;
mod system;

use std::ffi::{CStr, c_char, c_uint};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::device::{Gpu, Mig};
use crate::state::Now;
use session::Session;

/// An nvmlReturn_t other than NVML_SUCCESS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Code(c_uint);

const UNINITIALIZED: Code = Code(1);
const INVALID_ARGUMENT: Code = Code(2);
const NOT_SUPPORTED: Code = Code(3);
const NO_PERMISSION: Code = Code(4);
const NOT_FOUND: Code = Code(6);
const INSUFFICIENT_SIZE: Code = Code(7);
const DRIVER_NOT_LOADED: Code = Code(9);
const UNKNOWN: Code = Code(999);

/// nvmlDevice_t: opaque to the caller; never followed as a pointer.
type Device = *mut Opaque;

#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

/// Marks a handle as one of ours; bits 8..16 hold the card's index, bits 0..8 the MIG instance + 1, or 0 for the card.
const HANDLE: usize = 0x4E56_0000;

fn handle(gpu: usize, instance: Option<usize>) -> Device {
    (HANDLE | gpu << 8 | instance.map_or(0, |i| i + 1)) as Device
}

/// A call that speaks of a card, past the checks that all such calls share.
struct Call<'a> {
    session: &'a Session,
    gpu: usize,
    instance: Option<usize>,
}

impl Call<'_> {
    fn truth(&self) -> &Gpu {
        &self.session.description.gpus[self.gpu]
    }

    /// The card, refusing a MIG instance: clocks and power belong to the whole card.
    fn whole(&self) -> Result<&Self, Code> {
        if self.instance.is_some() { Err(NOT_SUPPORTED) } else { Ok(self) }
    }

    /// One look at the bench.
    fn look<T>(&self, act: impl FnOnce(&mut Now, usize) -> T) -> Result<T, Code> {
        self.session.look(|now| act(now, self.gpu))
    }

    /// Setters ask for root, as the driver does.
    fn permitted(&self) -> Result<&Self, Code> {
        let allowed = self.session.description.anyone_may_set || rustix::process::geteuid().is_root();
        if allowed { Ok(self) } else { Err(NO_PERMISSION) }
    }
}

/// Runs a call, and turns a panic into an answer: unwinding out of a C function would end the process.
fn guarded(body: impl FnOnce() -> Result<(), Code>) -> c_uint {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(Code(code))) => code,
        Err(_) => UNKNOWN.0,
    }
}

/// A call that speaks of no card.
fn on_system(call: &'static str, body: impl FnOnce(&Session) -> Result<(), Code>) -> c_uint {
    guarded(|| {
        let session = session::current()?;
        session.suffer(call, None)?;
        body(&session)
    })
}

/// A call that speaks of a card.
fn on_device(call: &'static str, device: Device, body: impl FnOnce(&Call) -> Result<(), Code>) -> c_uint {
    guarded(|| {
        let session = session::current()?;
        let bits = device as usize;
        let (gpu, instance) = ((bits >> 8) & 0xFF, (bits & 0xFF).checked_sub(1));
        let truth = session.description.gpus.get(gpu).filter(|_| bits & !0xFFFF == HANDLE);
        let truth = truth.ok_or(INVALID_ARGUMENT)?;
        if let Some(instance) = instance {
            let Mig::On(uuids) = &truth.mig else {
                return Err(INVALID_ARGUMENT);
            };
            uuids.get(instance).ok_or(INVALID_ARGUMENT)?;
        }
        session.suffer(call, Some(gpu))?;
        body(&Call { session: &session, gpu, instance })
    })
}

/// A getter of one value.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
unsafe fn get<T>(call: &'static str, device: Device, out: *mut T, read: impl FnOnce(&Call) -> Result<T, Code>) -> c_uint {
    on_device(call, device, |call| {
        let value = read(call)?;
        // SAFETY: the caller's promise, passed on.
        unsafe { put(out, value) }
    })
}

/// A setter: root only, and in the call log.
fn set(call: &'static str, arguments: String, device: Device, act: impl FnOnce(&Call) -> Result<(), Code>) -> c_uint {
    let code = on_device(call, device, |call| act(call.whole()?.permitted()?));
    if let Ok(session) = session::current() {
        let gpu = (device as usize >> 8) & 0xFF;
        session.log(&format!("{call}(gpu={gpu}{arguments})"), code);
    }
    code
}

/// Writes an answer.
///
/// # Safety
/// `out` is null or valid for a write of `T`.
unsafe fn put<T>(out: *mut T, value: T) -> Result<(), Code> {
    if out.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { out.write(value) };
    Ok(())
}

/// Writes text and its terminating zero.
///
/// # Safety
/// `out` is null or valid for writes of `length` bytes.
unsafe fn put_text(out: *mut c_char, length: c_uint, text: &str) -> Result<(), Code> {
    if out.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    if text.len() >= length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: text and zero fit into the length that the caller vouches for.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), out, text.len());
        out.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes a list the NVML way: too small a buffer is told the length that is needed.
///
/// # Safety
/// `count` is null or valid for reads and writes; `out` is null or valid for `*count` writes of `T`.
unsafe fn put_list<T: Copy>(count: *mut c_uint, out: *mut T, list: &[T]) -> Result<(), Code> {
    if count.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null; the caller's promise covers the reads and writes, and the list fits what was asked for.
    unsafe {
        let room = count.read() as usize;
        count.write(list.len() as c_uint);
        if room < list.len() {
            return Err(INSUFFICIENT_SIZE);
        }
        if out.is_null() {
            return if list.is_empty() { Ok(()) } else { Err(INVALID_ARGUMENT) };
        }
        std::ptr::copy_nonoverlapping(list.as_ptr(), out, list.len());
    }
    Ok(())
}

/// Reads the caller's text.
///
/// # Safety
/// `text` is null or a zero-terminated string.
unsafe fn take_text<'a>(text: *const c_char) -> Result<&'a str, Code> {
    if text.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| INVALID_ARGUMENT)
}

/// A C array of characters with text in it, cut to fit, zero-terminated.
fn chars<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    for (place, byte) in array.iter_mut().take(N - 1).zip(text.bytes()) {
        *place = byte as c_char;
    }
    array
}
