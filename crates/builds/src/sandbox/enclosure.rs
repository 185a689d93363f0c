//! The command line of a program that is no build and runs behind bubblewrap all the same: the system's directories
//! read-only, a /tmp of its own, what it is given, and the host's network. Starts nothing, and must not know what runs.

use std::path::{Path, PathBuf};

use super::bubblewrap::{SYSTEM, system_arguments};
use super::detect::find_program;

/// What a program sees beside the system's own directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosure {
    /// The host's directory that is /tmp inside, the only place that can be written to.
    pub tmp: PathBuf,
    /// Files and directories, and where they are inside. Those that are not there are left out.
    pub read_only: Vec<(PathBuf, PathBuf)>,
    /// Where the program starts, as it is named inside.
    pub directory: PathBuf,
}

impl Enclosure {
    /// The whole command line that runs `program`.
    pub fn command(&self, program: &[String]) -> Vec<String> {
        let bwrap = find_program("bwrap").unwrap_or_else(|| "bwrap".into());
        let mut words: Vec<PathBuf> = vec![bwrap];
        let flags = ["--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"];
        words.extend(flags.into_iter().chain(["--hostname", "function"]).map(PathBuf::from));
        words.extend(system_arguments());
        words.extend(["--bind".into(), self.tmp.clone(), "/tmp".into()]);
        // What lies within another comes after it.
        let mut given = self.read_only.clone();
        given.sort_by(|one, other| one.1.cmp(&other.1));
        for (outside, inside) in given {
            words.extend(["--ro-bind-try".into(), outside, inside]);
        }
        words.extend(["--remount-ro".into(), "/".into(), "--chdir".into(), self.directory.clone(), "--".into()]);
        words.into_iter().map(|word| word.to_string_lossy().into_owned()).chain(program.iter().cloned()).collect()
    }
}

/// Whether every enclosed program sees it anyway.
pub fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_of_two_comes_first_and_the_program_last() {
        let enclosure = Enclosure {
            tmp: "/data/run/1".into(),
            read_only: [("/venv/lib", "/venv/lib"), ("/data/code/1", "/var/task"), ("/venv", "/venv")]
                .map(|(outside, inside)| (outside.into(), inside.into()))
                .into(),
            directory: "/var/task".into(),
        };
        let told = enclosure.command(&["/usr/bin/python3".to_owned(), "-u".to_owned()]).join(" ");
        let given = "--bind /data/run/1 /tmp --ro-bind-try /data/code/1 /var/task --ro-bind-try /venv /venv \
                     --ro-bind-try /venv/lib /venv/lib --remount-ro / --chdir /var/task -- /usr/bin/python3 -u";
        assert!(told.ends_with(given), "{told}");
        assert!(is_system(Path::new("/usr/bin/python3")) && !is_system(Path::new("/usrlocal")));
    }
}
