//! What the governor tells systemd (sd_notify(3)): that it is ready, that it is alive, what it is doing. Started by hand, without
//! NOTIFY_SOCKET, it tells nobody; and a telling that fails changes nothing.

use sd_notify::NotifyState;

/// The first look is done: systemd starts what is ordered after the governor.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Alive: within each `WatchdogSec=` once at least, or systemd starts it anew.
pub fn watchdog() {
    tell(NotifyState::Watchdog);
}

/// On its way out.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// One line for `systemctl status`.
pub fn status(text: &str) {
    // A second line would be read as another message.
    tell(NotifyState::Status(text.lines().next().unwrap_or_default()));
}

fn tell(state: NotifyState) {
    if let Err(error) = sd_notify::notify(&[state]) {
        log::debug!("telling systemd: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;
    use std::process::Command;
    use std::time::{Duration, Instant};

    fn tell_all() {
        super::ready();
        super::status("2 jobs on 4 GPUs\nREADY=0");
        super::watchdog();
        super::stopping();
    }

    #[test]
    fn without_systemd_nobody_is_told() {
        // With it, this is the child of the test below.
        let since = Instant::now();
        tell_all();
        assert!(since.elapsed() < Duration::from_secs(1), "it waits for nobody");
    }

    #[test]
    fn systemd_is_told_line_by_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        // The environment of a process is fixed at its start: this test's own program, once more.
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "notify::tests::without_systemd_nobody_is_told"])
            .env("NOTIFY_SOCKET", &path)
            .output()
            .expect("running it");
        assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        let mut told = Vec::new();
        let mut buffer = [0; 256];
        for _ in 0..4 {
            let length = socket.recv(&mut buffer).expect("a message");
            told.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned());
        }
        assert_eq!(told, ["READY=1", "STATUS=2 jobs on 4 GPUs", "WATCHDOG=1", "STOPPING=1"]);
    }
}
