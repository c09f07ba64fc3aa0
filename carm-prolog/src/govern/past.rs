//! What the ledger tells of a job's past: read once a run, in a thread of its own, since the ledger may lie on a file server that
//! stalls. Until it is read the job keeps its clock.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// What the ledger tells of a run's past.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Past {
    /// Work in seconds at full clock, where it is known.
    pub work_s: Option<u64>,
    /// Grams that earlier runs emitted, on this node.
    pub earlier_g: f64,
    /// The budget of the first run in grams, where that was worked out of a share.
    pub budget_g: Option<f64>,
}

/// A ledger on a disk answers within this.
const PATIENCE: Duration = Duration::from_millis(300);

/// The runs whose past is being read, by node, job and run.
#[derive(Default)]
pub struct Pasts(HashMap<(String, u32, u32), Receiver<Past>>);

impl Pasts {
    /// The past of a run, once it is read. The first time this waits for a moment.
    pub fn get(&mut self, run: (String, u32, u32), read: impl FnOnce() -> Past + Send + 'static) -> Option<Past> {
        let past = match self.0.get(&run) {
            Some(answer) => answer.try_recv().ok(),
            None => {
                let (sender, answer) = mpsc::channel();
                // Where there is no thread to be had, there is no answer.
                let _ = thread::Builder::new().name("past".into()).spawn(move || sender.send(read()));
                let past = answer.recv_timeout(PATIENCE).ok();
                self.0.insert(run.clone(), answer);
                past
            }
        };
        if past.is_some() {
            self.0.remove(&run);
        }
        past
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn hung_ledger_is_waited_for_once() {
        let (go, wait) = mpsc::channel::<()>();
        let mut pasts = Pasts::default();
        let run = || ("n1".to_owned(), 7, 0);
        let read = move || {
            let _ = wait.recv();
            Past { work_s: Some(60), earlier_g: 1.0, budget_g: None }
        };
        let since = Instant::now();
        assert_eq!(pasts.get(run(), read), None);
        assert!((0..50).all(|_| pasts.get(run(), Past::default).is_none()), "it is read once");
        assert!(since.elapsed() < 4 * PATIENCE, "{:?}", since.elapsed());
        go.send(()).expect("a reader");
        while since.elapsed() < Duration::from_secs(10) {
            if let Some(past) = pasts.get(run(), Past::default) {
                return assert_eq!((past.work_s, past.earlier_g), (Some(60), 1.0));
            }
        }
        panic!("no answer");
    }
}
