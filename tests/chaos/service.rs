//! The governor as a service: started again when it ends, killed when its watchdog is silent. systemd's part, by the rules of
//! etc/systemd/carm-governor.service, with shorter times.

use std::fmt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::{Cluster, built, kill};

/// `WatchdogSec=` and `TimeoutStartSec=`. Long enough for a busy machine; an interval is one second here.
pub const SILENCE: Duration = Duration::from_secs(30);
/// `RestartSec=`
const RESTART: Duration = Duration::from_secs(1);

/// A supervised governor.
pub struct Service {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// 0 between two starts.
    pid: AtomicU32,
    starts: AtomicU32,
    watchdog_kills: AtomicU32,
    ended: Mutex<Option<Duration>>,
}

/// What became of the governor.
pub struct Restarts {
    starts: u32,
    watchdog_kills: u32,
    /// How long it took to end on SIGTERM; none: it was killed.
    end: Option<Duration>,
}

impl Service {
    /// Starts it among the cluster's processes and waits until it is ready.
    pub fn start(cluster: &Cluster, config: PathBuf, socket: PathBuf) -> Self {
        let listener = UnixDatagram::bind(&socket).expect("a socket");
        listener.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let shared = Arc::new(Shared::default());
        let folder = cluster.folder().display().to_string();
        // The mark of the cluster's processes: the governor ends with the cluster.
        let client = cluster.with_env("CARM_THROWAWAY_SLURM", &folder);
        let client = client.with_env("NOTIFY_SOCKET", &socket.display().to_string());
        let mut command = client.command(&built("carm-prolog").display().to_string());
        command.arg("--config").arg(config).arg("govern").stdout(Stdio::null()).stderr(Stdio::null());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !of_thread.stop.load(Ordering::Relaxed) {
                let child = command.spawn().expect("carm-prolog");
                of_thread.starts.fetch_add(1, Ordering::Relaxed);
                of_thread.pid.store(child.id(), Ordering::Relaxed);
                of_thread.supervise(child, &listener, &ready);
                of_thread.pid.store(0, Ordering::Relaxed);
                std::thread::sleep(RESTART);
            }
        });
        is_ready.recv_timeout(SILENCE).expect("the governor is not ready in time");
        Self { shared, thread: Mutex::new(Some(thread)) }
    }

    /// Kills it; it starts again.
    pub fn kill(&self) -> bool {
        let pid = self.shared.pid.load(Ordering::Relaxed);
        if pid != 0 {
            kill(pid, "KILL");
        }
        pid != 0
    }

    /// Ends it as systemd does.
    pub fn stop(&self) -> Restarts {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().expect("the thread").take() {
            thread.join().expect("the governor's supervisor");
        }
        Restarts {
            starts: self.shared.starts.load(Ordering::Relaxed),
            watchdog_kills: self.shared.watchdog_kills.load(Ordering::Relaxed),
            end: *self.shared.ended.lock().expect("its end"),
        }
    }
}

impl Shared {
    fn supervise(&self, mut child: Child, listener: &UnixDatagram, ready: &std::sync::mpsc::Sender<()>) {
        let mut alive = Instant::now();
        let mut stopping = None;
        let mut buffer = [0; 512];
        while child.try_wait().expect("its state").is_none() {
            if let Ok(length) = listener.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                alive = Instant::now();
                if text.contains("READY=1") {
                    // Only the first start is waited for.
                    let _ = ready.send(());
                }
            }
            if alive.elapsed() > SILENCE {
                kill(child.id(), "KILL");
                self.watchdog_kills.fetch_add(1, Ordering::Relaxed);
                alive = Instant::now();
            }
            if self.stop.load(Ordering::Relaxed) && stopping.is_none() {
                kill(child.id(), "TERM");
                stopping = Some(Instant::now());
            }
        }
        *self.ended.lock().expect("its end") = stopping.map(|since| since.elapsed());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Display for Restarts {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} starts, {} kills by the watchdog; ", self.starts, self.watchdog_kills)?;
        match self.end {
            Some(end) => write!(f, "ended {:.1} s after SIGTERM", end.as_secs_f64()),
            None => write!(f, "did not end on SIGTERM"),
        }
    }
}
