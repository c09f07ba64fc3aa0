//! Answers of Slurm's that change rarely, from the last five minutes: in the user's runtime folder (`XDG_RUNTIME_DIR`), a file a question.
//!
//! The file's first line is the question, the rest the answer. Without a runtime folder of the user's own each question is asked.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::script::variable;
use crate::slurm::{Asked, Says};

const MOST_AGE: Duration = Duration::from_secs(300);

const MOST_BYTES: u64 = 32 << 20;

/// A question whose answer of the last minutes will do.
pub enum Recent {
    /// That answer.
    Kept(String),
    /// There is none: the question is asked, and its answer kept under this key.
    Asked(Asked, Option<String>),
}

impl Recent {
    /// Asks a command that reads nothing and answers on standard output.
    pub fn ask(command: &mut Command) -> Self {
        let mut key = command.get_program().to_string_lossy().into_owned();
        for word in command.get_args() {
            key += &format!(" {}", word.to_string_lossy());
        }
        match read(&key) {
            Some(answer) => Self::Kept(answer),
            None => Self::Asked(Asked::start(command, Says::Stdout), Some(key)),
        }
    }

    /// Whether there is such a command.
    pub fn is_installed(&self) -> bool {
        match self {
            Self::Kept(_) => true,
            Self::Asked(asked, _) => asked.is_installed(),
        }
    }

    /// The answer; `None` where none came in time.
    pub fn answer(self) -> Option<String> {
        self.answer_if(|_| true)
    }

    /// The answer; it is kept where it is `worth` that.
    pub fn answer_if(self, worth: impl FnOnce(&str) -> bool) -> Option<String> {
        match self {
            Self::Kept(answer) => Some(answer),
            Self::Asked(asked, key) => {
                let answer = asked.answer()?;
                if let Some(key) = key.filter(|_| worth(&answer)) {
                    write(&key, &answer);
                }
                Some(answer)
            }
        }
    }
}

/// The answer of the last minutes to a question.
pub fn read(key: &str) -> Option<String> {
    let path = path(key)?;
    let age = std::fs::metadata(&path).ok()?.modified().ok()?.elapsed().ok()?;
    let text = carm::files::read_to_string(&path, MOST_BYTES).ok().filter(|_| age < MOST_AGE)?;
    let (asked, answer) = text.split_once('\n')?;
    (asked == question(key)).then(|| answer.to_owned())
}

/// Keeps an answer. What goes wrong here costs the next question alone.
fn write(key: &str, answer: &str) {
    let Some(path) = path(key) else { return };
    let Some(folder) = path.parent() else { return };
    let _ = std::fs::DirBuilder::new().mode(0o700).create(folder); // it may be there
    let Ok(mut file) = tempfile::NamedTempFile::new_in(folder) else { return };
    if file.write_all(format!("{}\n{answer}", question(key)).as_bytes()).is_ok() {
        let _ = file.persist(path);
    }
}

/// Another slurm.conf is another cluster.
fn question(key: &str) -> String {
    let conf = variable("SLURM_CONF").unwrap_or_default();
    format!("{key} {}", conf.to_string_lossy()).replace('\n', " ")
}

fn path(key: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(variable("XDG_RUNTIME_DIR")?);
    // sudo may leave another user's.
    let is_own = std::fs::metadata(&folder)
        .is_ok_and(|about| about.is_dir() && about.uid() == rustix::process::getuid().as_raw() && about.mode() & 0o022 == 0);
    let mut hasher = DefaultHasher::new();
    question(key).hash(&mut hasher);
    is_own.then(|| folder.join("carm").join(format!("{:016x}", hasher.finish())))
}
