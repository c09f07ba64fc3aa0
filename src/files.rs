//! Opens files that another user may have put in place: ledger, grid cache, traces, profiles, node state.
//!
//! Prolog and governor read them as root, carm-submit reads them at a user's prompt, and some stand in folders that others may
//! write. Hence:
//! - No open blocks, and only a regular file is read or written: no FIFO, no device.
//! - A symbolic link is followed where only root or the running user could have made it: in a folder that is theirs and that nobody
//!   else may write, its parents alike. Outside the ledger and the cache, a program that does not run as root follows any link.
//! - A file of the ledger or the cache belongs to root, the running user or the folder's owner.
//! - The caller limits how much is read.
//!
//! The path is walked one component at a time: openat2(2) with `RESOLVE_NO_SYMLINKS` knows no exceptions, and is missing before
//! Linux 5.6 (RHEL 8 has 4.18).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat, readlinkat, renameat, statat, unlinkat,
};
use rustix::io::Errno;

/// As many as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// An open folder, and whether only trusted users can have changed what is in it.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    uid: u32,
    /// As /tmp: everybody may add entries, and only an entry's owner may replace it.
    is_sticky: bool,
    /// Why entries of the folder are not trusted: the first of its parents, or itself, that another user may write.
    fault: Option<String>,
}

/// Which symbolic links are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// Those that root or the running user made.
    Trusted,
    /// The same for root, and all for other users: the path is their own or the admin's choice.
    Named,
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    /// It is not there, is no folder, or its path leads over a link that is not trusted.
    pub fn open(path: &Path) -> Result<Self> {
        folder(path, None)
    }

    /// Opens a folder; where it or its parents are missing they are made with this mode.
    ///
    /// # Errors
    /// As [`Self::open`], or it cannot be made.
    pub fn open_or_make(path: &Path, mode: u32) -> Result<Self> {
        folder(path, Some(mode))
    }

    /// The names of the folder's entries that `wanted` accepts, sorted.
    ///
    /// # Errors
    /// The folder cannot be read, or more than `most` names are accepted.
    pub fn names(&self, most: usize, wanted: impl Fn(&OsStr) -> bool) -> Result<Vec<OsString>> {
        let listed = openat(&self.fd, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::new(listed)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            if name != "." && name != ".." && wanted(&name) {
                if names.len() == most {
                    return Err(Error::other(format!("more than {most} files")));
                }
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// When an entry was last written; 1970 where that is not known.
    #[must_use]
    pub fn modified(&self, name: &OsStr) -> (i64, u64) {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).map_or((0, 0), |stat| (stat.st_mtime, stat.st_mtime_nsec))
    }

    /// Opens a file of the folder to read.
    ///
    /// # Errors
    /// It is not there, is no regular file, belongs to another user, or is a link that is not trusted.
    pub fn file(&self, name: &OsStr) -> Result<File> {
        let (file, stat) = self.open_own(name, OFlags::RDONLY)?;
        only_regular(file, &stat)
    }

    /// Opens a file of the folder to append to, and to read; where it is missing it is made with this mode.
    ///
    /// # Errors
    /// As [`Self::file`]; or the file has a second name, and another user may have made that.
    pub fn append(&self, name: &OsStr, mode: u32) -> Result<File> {
        let flags = OFlags::RDWR | OFlags::APPEND;
        // An existing file is never opened with O_CREAT: the kernel refuses that in a sticky folder (fs.protected_regular).
        let (file, stat) = match self.open_own(name, flags) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match self.open_here(name, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(mode)) {
                    Err(Errno::EXIST) => self.open_own(name, flags)?,
                    made => made?,
                }
            }
            opened => opened?,
        };
        if let (Some(fault), true) = (&self.fault, stat.st_nlink > 1) {
            return Err(Error::other(format!("has another hard link, and {fault}")));
        }
        only_regular(file, &stat)
    }

    /// Puts a file of these bytes in place of one of the folder's: whole or not at all. `unfinished` is its name until then.
    ///
    /// # Errors
    /// It cannot be written; the file that was there stays.
    pub fn replace(&self, name: &OsStr, unfinished: &OsStr, bytes: &[u8], mode: u32) -> Result<()> {
        let write = || -> Result<()> {
            // What a killed writer left, or another user put there: it is not written through.
            match unlinkat(&self.fd, unfinished, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let (mut file, _) = self.open_here(unfinished, flags, Mode::from_raw_mode(mode))?;
            // Whatever the umask.
            fchmod(&file, Mode::from_raw_mode(mode))?;
            file.write_all(bytes)?;
            // The new name must not be there before what it names.
            file.sync_all()?;
            Ok(renameat(&self.fd, unfinished, &self.fd, name)?)
        };
        write().inspect_err(|_| _ = unlinkat(&self.fd, unfinished, AtFlags::empty()))
    }

    fn open_own(&self, name: &OsStr, flags: OFlags) -> Result<(File, Stat)> {
        let (file, stat) = match self.open_here(name, flags, Mode::empty()) {
            Err(Errno::LOOP) => {
                let (folder, name) = resolve(self.try_clone()?, name.as_ref(), Links::Trusted, None)?;
                folder.open_here(&name.ok_or(Errno::ISDIR)?, flags, Mode::empty())?
            }
            opened => opened?,
        };
        self.check_owner(&stat)?;
        Ok((file, stat))
    }

    fn try_clone(&self) -> Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, path: self.path.clone(), fault: self.fault.clone(), ..*self })
    }

    fn root(fault: Option<String>) -> Result<Self> {
        let fd = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Self::of(fd, PathBuf::from("/"), fault)
    }

    fn of(fd: OwnedFd, path: PathBuf, fault: Option<String>) -> Result<Self> {
        let stat = fstat(&fd)?;
        let is_sticky = stat.st_mode & 0o1000 != 0;
        let fault = fault.or_else(|| fault_of(&stat, &path, is_sticky));
        Ok(Self { fd, path, uid: stat.st_uid, is_sticky, fault })
    }

    /// A folder of this one.
    fn enter(&self, name: &OsStr) -> std::result::Result<Result<Self>, Errno> {
        // O_DIRECTORY beside O_PATH: without it an automount point is opened and not mounted (open(2)).
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty())?;
        Ok(Self::of(fd, self.path.join(name), self.fault.clone()))
    }

    /// Opens without following a link: that is `ELOOP`.
    fn open_here(&self, name: &OsStr, flags: OFlags, mode: Mode) -> std::result::Result<(File, Stat), Errno> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, mode)?;
        let stat = fstat(&fd)?;
        Ok((File::from(fd), stat))
    }

    fn check_owner(&self, stat: &Stat) -> Result<()> {
        if is_trusted(stat.st_uid) || stat.st_uid == self.uid {
            return Ok(());
        }
        Err(Error::other(format!(
            "belongs to uid {}; expected root, uid {} who runs this, or uid {} who owns the folder",
            stat.st_uid,
            rustix::process::geteuid().as_raw(),
            self.uid
        )))
    }

    /// Whether only root or the running user can have put an entry under its name; else why not.
    fn check_entry(&self, name: &OsStr) -> Result<()> {
        if let Some(fault) = &self.fault {
            return Err(Error::other(format!("'{}' is a symbolic link, and {fault}", self.path.join(name).display())));
        }
        let uid = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid;
        if self.is_sticky && !is_trusted(uid) {
            return Err(Error::other(format!("'{}' is a symbolic link of uid {uid}", self.path.join(name).display())));
        }
        Ok(())
    }
}

/// Opens a file that the configuration or the user names.
///
/// # Errors
/// It is not there, is no regular file, or its path leads over a link that is not trusted.
pub fn open(path: &Path) -> Result<File> {
    let (folder, name) = resolve(Folder::root(None)?, &std::path::absolute(path)?, Links::Named, None)?;
    let (file, stat) = folder.open_here(&name.ok_or(Errno::ISDIR)?, OFlags::RDONLY, Mode::empty())?;
    only_regular(file, &stat)
}

/// Reads a file that the configuration or the user names.
///
/// # Errors
/// As [`open()`]; or it is longer than `most_bytes`.
pub fn read(path: &Path, most_bytes: u64) -> Result<Vec<u8>> {
    read_whole(open(path)?, most_bytes)
}

/// As [`read()`], of UTF-8.
///
/// # Errors
/// As [`read()`]; or it is no UTF-8.
pub fn read_to_string(path: &Path, most_bytes: u64) -> Result<String> {
    String::from_utf8(read(path, most_bytes)?).map_err(|_| Error::new(ErrorKind::InvalidData, "not UTF-8"))
}

/// Reads an open file to its end.
///
/// # Errors
/// It cannot be read, or is longer than `most_bytes`.
pub fn read_whole(file: File, most_bytes: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A file that grows meanwhile is not read past the limit.
    let length = file.take(most_bytes + 1).read_to_end(&mut bytes)?;
    if length as u64 > most_bytes {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("larger than {most_bytes} bytes")));
    }
    Ok(bytes)
}

/// Checks owner and mode of a file or a folder, and of all its parents, as sshd does with `StrictModes`: root or the running user
/// owns them, and neither group nor others may write. A parent may be sticky, as /tmp is. What is missing has its parents checked.
///
/// # Errors
/// The first that fails, and how.
pub fn check_modes(path: &Path) -> std::result::Result<(), String> {
    let named = |error: Error| format!("{}: {error}", path.display());
    let path = &std::path::absolute(path).map_err(named)?;
    let resolved = Folder::root(None).and_then(|root| resolve(root, path, Links::Trusted, None));
    let (folder, name) = match (resolved, path.parent()) {
        (Ok(resolved), _) => resolved,
        (Err(error), Some(parent)) if error.kind() == ErrorKind::NotFound => return check_modes(parent),
        (Err(error), _) => return Err(named(error)),
    };
    if let Some(fault) = folder.fault {
        return Err(fault);
    }
    let (stat, path) = match &name {
        None => (fstat(&folder.fd), folder.path),
        Some(name) => (statat(&folder.fd, name, AtFlags::SYMLINK_NOFOLLOW), folder.path.join(name)),
    };
    match stat {
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(named(error.into())),
        Ok(stat) => fault_of(&stat, &path, false).map_or(Ok(()), Err),
    }
}

fn folder(path: &Path, make: Option<u32>) -> Result<Folder> {
    match resolve(Folder::root(None)?, &std::path::absolute(path)?, Links::Named, make)? {
        (folder, None) => Ok(folder),
        (folder, Some(name)) => match folder.enter(&name) {
            Ok(entered) => entered,
            Err(error) => Err(error.into()),
        },
    }
}

/// Follows a path to its end: the folder, and the name in it of what is no folder or is missing.
fn resolve(from: Folder, path: &Path, links: Links, make: Option<u32>) -> Result<(Folder, Option<OsString>)> {
    let mut at = from;
    let mut rest = names_backwards(path);
    let mut followed = 0;
    while let Some(name) = rest.pop() {
        match at.enter(&name) {
            Ok(entered) => at = entered?,
            Err(Errno::NOTDIR | Errno::LOOP) => match readlinkat(&at.fd, &name, Vec::new()) {
                Ok(target) => {
                    if links == Links::Trusted || rustix::process::geteuid().is_root() {
                        at.check_entry(&name)?;
                    }
                    followed += 1;
                    if followed > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() {
                        at = Folder::root(at.fault)?;
                    }
                    rest.extend(names_backwards(&target));
                }
                Err(Errno::INVAL) if rest.is_empty() => return Ok((at, Some(name))),
                Err(Errno::INVAL) => return Err(Errno::NOTDIR.into()),
                Err(error) => return Err(error.into()),
            },
            Err(Errno::NOENT) => match make {
                Some(mode) => match mkdirat(&at.fd, &name, Mode::from_raw_mode(mode)) {
                    Ok(()) | Err(Errno::EXIST) => rest.push(name),
                    Err(error) => return Err(error.into()),
                },
                None if rest.is_empty() => return Ok((at, Some(name))),
                None => return Err(Errno::NOENT.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok((at, None))
}

fn names_backwards(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    names.map(|part| part.as_os_str().to_owned()).collect()
}

fn only_regular(file: File, stat: &Stat) -> Result<File> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(Error::other("not a regular file")),
    }
}

fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Who else may change it, if anybody.
fn fault_of(stat: &Stat, path: &Path, is_sticky: bool) -> Option<String> {
    if !is_trusted(stat.st_uid) {
        return Some(format!("'{}' belongs to uid {}", path.display(), stat.st_uid));
    }
    (stat.st_mode & 0o022 != 0 && !is_sticky)
        .then(|| format!("group or others may write '{}' (mode {:o})", path.display(), stat.st_mode & 0o7777))
}

#[cfg(test)]
mod tests;
