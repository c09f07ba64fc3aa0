//! The vocabulary of these tests: a stand-in in a folder of its own, a busy card, a child process, energy from the power log.
//!
//! A test that needs a second process of its own kind runs itself again: [`Bench::child`] and [`played_child`].

use std::ffi::{CStr, CString, c_void};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nvidia_ml::place::place;
use nvml_wrapper::enum_wrappers::device::Clock;
use nvml_wrapper::enums::device::{GpuLockedClocksSetting, SampleValue};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::structs::device::FieldId;
use nvml_wrapper::sys_exports::field_id;
use nvml_wrapper::{Device, Nvml};
use tempfile::TempDir;

/// Two cards of round figures: 100 W and half speed at 1000 MHz, 300 W at 2000 MHz; their minor numbers are crossed.
pub const TWO: &str = r#"
log_calls = true
[[card]]
name = "Simulated"
min_mhz = 200
max_mhz = 2000
step_mhz = 20
memory_mhz = 5000
memory_mib = 6144
idle_watts = 20.0
idle_watts_locked = 40.0
power_limit_watts = 320.0
power_limit_min_watts = 100.0
level = [
    { clock_mhz = 200, watts = 60.0, speed = 0.1 },
    { clock_mhz = 1000, watts = 100.0, speed = 0.5 },
    { clock_mhz = 2000, watts = 300.0, speed = 1.0 },
]
[[gpu]]
card = "Simulated"
uuid = "GPU-aaaa"
minor = 1
[[gpu]]
card = "Simulated"
uuid = "GPU-bbbb"
minor = 0
"#;

pub const CHILD: &str = "NVML_STANDIN_TEST_CHILD";

/// A stand-in in a folder of its own.
pub struct Bench {
    pub dir: TempDir,
    pub library: PathBuf,
}

impl Bench {
    pub fn new(description: &str) -> Bench {
        let dir = TempDir::new().unwrap();
        let library = place(dir.path(), description).unwrap();
        Bench { dir, library }
    }

    /// Two cards, with more lines at the top level or after the last card.
    pub fn two(top: &str, end: &str) -> Bench {
        Bench::new(&format!("{top}\n{TWO}\n{end}"))
    }

    pub fn nvml(&self) -> Nvml {
        self.try_nvml().unwrap()
    }

    pub fn try_nvml(&self) -> Result<Nvml, NvmlError> {
        Nvml::builder().lib_path(self.library.as_os_str()).init()
    }

    /// A function of the library, for what nvml-wrapper does not let one do. The library stays open.
    pub fn symbol(&self, name: &CStr) -> *mut c_void {
        let path = CString::new(self.library.to_str().unwrap()).unwrap();
        // SAFETY: both names end in zero; the stand-in's initialisers do nothing.
        let found = unsafe { libc::dlsym(libc::dlopen(path.as_ptr(), libc::RTLD_NOW), name.as_ptr()) };
        assert!(!found.is_null(), "{name:?}");
        found
    }

    pub fn load(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-load"));
        command.arg("--library").arg(&self.library).args(arguments);
        command.env_remove("CUDA_VISIBLE_DEVICES").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A load that is at work; ended with the guard.
    pub fn busy(&self, gpus: &str) -> Busy {
        let load = self.load(&["--work", "1000", "--gpus", gpus]).spawn().unwrap();
        let pid = load.id();
        let nvml = self.nvml();
        let at_work = || {
            let index = gpus.split(',').next().unwrap().parse().unwrap();
            let running = gpu(&nvml, index).running_compute_processes().unwrap();
            running.iter().any(|process| process.pid == pid)
        };
        wait_for("the load to begin", at_work);
        Busy(load)
    }

    /// This test again, as another process that does what `played_child` finds in its environment.
    pub fn child(&self, test: &str, what: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(CHILD, what).env("LIBRARY", &self.library);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Joules of a card up to a Unix time, from the power log alone.
    pub fn joules(&self, gpu: usize, until: f64) -> f64 {
        let (mut joules, mut last) = (0.0, None);
        for line in self.file("power.csv").lines() {
            let fields: Vec<f64> = line.split(',').map(|field| field.parse().unwrap()).collect();
            let &[time, index, watts, _clock] = fields.as_slice() else { panic!("power.csv: {line}") };
            if index as usize == gpu && time <= until {
                if let Some((since, watts)) = last {
                    assert!(time >= since, "power.csv goes back in time: {line}");
                    joules += (time - since) * watts;
                }
                last = Some((time, watts));
            }
        }
        let (since, watts): (f64, f64) = last.unwrap();
        joules + (until - since) * watts
    }
}

pub struct Busy(pub Child);

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn gpu(nvml: &Nvml, index: u32) -> Device<'_> {
    nvml.device_by_index(index).unwrap()
}

pub fn range(min_clock_mhz: u32, max_clock_mhz: u32) -> GpuLockedClocksSetting {
    GpuLockedClocksSetting::Numeric { min_clock_mhz, max_clock_mhz }
}

pub fn lock(nvml: &Nvml, index: u32, min_mhz: u32, max_mhz: u32) -> Result<(), NvmlError> {
    gpu(nvml, index).set_gpu_locked_clocks(range(min_mhz, max_mhz))
}

pub fn sm_clock(nvml: &Nvml, index: u32) -> u32 {
    gpu(nvml, index).clock_info(Clock::SM).unwrap()
}

/// The energy counter, J, with the Unix time of the very same look.
pub fn energy(nvml: &Nvml, index: u32) -> (f64, f64) {
    let sample =
        gpu(nvml, index).field_values_for(&[FieldId(field_id::NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION)]).unwrap().remove(0).unwrap();
    let Ok(SampleValue::U64(mj)) = sample.value else { panic!("{:?}", sample.value) };
    (sample.timestamp as f64 / 1e6, mj as f64 / 1e3)
}

pub fn wait_for(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Tests that set clocks as the driver would allow need root.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root may become another user; run as root");
    }
    root
}

/// In a child of [`Bench::child`]: does its part and leaves without a farewell to NVML, as a process that dies.
pub fn played_child() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let library = std::env::var_os("LIBRARY").unwrap();
    let nvml = Nvml::builder().lib_path(&library).init().unwrap();
    match what.as_str() {
        "lock" => lock(&nvml, 0, 200, 1000).unwrap(),
        "power" => println!("answer {:?}", gpu(&nvml, 0).power_usage()),
        "as nobody" => {
            // SAFETY: plain system calls; the process is about to end.
            unsafe {
                assert_eq!(libc::setresgid(65534, 65534, 65534), 0);
                assert_eq!(libc::setresuid(65534, 65534, 65534), 0);
            }
            let mut card = gpu(&nvml, 0);
            println!("answer {:?}", card.set_gpu_locked_clocks(range(200, 1000)));
            println!("answer {:?}", card.reset_gpu_locked_clocks());
            println!("answer {:?}", card.set_power_management_limit(200_000));
            println!("answer {:?}", card.set_persistent(false));
            println!("answer {:?}", card.power_usage());
        }
        _ => panic!("no such part: {what}"),
    }
    std::process::exit(0);
}

/// What a child answered.
pub fn answers(command: &mut Command) -> Vec<String> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_once("answer ")).map(|(_, answer)| answer.to_owned()).collect()
}

/// `anyone_may_set`, so that the tests run as any user.
pub fn anyone() -> Bench {
    Bench::two("anyone_may_set = true", "")
}
