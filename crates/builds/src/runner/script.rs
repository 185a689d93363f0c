//! The script around each command: state in, the command, state out, as CodeBuild's own does it (the command is always
//! line 4). Must not run anything.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::files::write_atomically;
use crate::sandbox::quote;

/// The files that carry state between commands, on both sides of the sandbox.
pub(crate) struct Scripts {
    host: PathBuf,
    inside: PathBuf,
    /// Where the next command starts.
    cwd: String,
    /// Version 0.1 gives each command a fresh shell in the source directory.
    carry: bool,
}

const CWD_BYTES_MAX: u64 = 64 * 1024;

impl Scripts {
    /// `shared` lets commands of other users write the state too.
    pub fn new(
        host: &Path,
        inside: &Path,
        source: &Path,
        carry: bool,
        shared: bool,
        environment: &BTreeMap<String, String>,
    ) -> io::Result<Self> {
        let scripts = Self {
            host: host.to_owned(),
            inside: inside.to_owned(),
            cwd: source.to_string_lossy().into_owned(),
            carry,
        };
        let mut text = String::new();
        for (name, value) in environment {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "export {name}={}", quote(value));
        }
        write_atomically(&host.join("env.sh"), text.as_bytes())?;
        write_atomically(&host.join("cwd"), b"")?;
        if shared {
            for (name, mode) in [("env.sh", 0o666), ("cwd", 0o666), ("", 0o755), ("..", 0o711)] {
                fs::set_permissions(host.join(name), fs::Permissions::from_mode(mode))?;
            }
        }
        Ok(scripts)
    }

    fn inside(&self, name: &str) -> String {
        quote(&self.inside.join(name).to_string_lossy())
    }

    /// Writes the script of one command of the buildspec.
    pub fn command(&self, command: &str, succeeding: bool) -> io::Result<()> {
        let mut text = self.head(succeeding);
        text.push_str(command);
        // The empty line takes what a trailing backslash would join.
        text.push_str("\n\n");
        if self.carry {
            let (environment, cwd) = (self.inside("env.sh"), self.inside("cwd"));
            let _ = write!(
                text,
                "{{ CODEBUILD_LAST_EXIT=$?; set +aeux; }} 2>/dev/null\nexport CODEBUILD_LAST_EXIT\nexport -p >| {environment}\n\
                 pwd >| {cwd}\nexit \"$CODEBUILD_LAST_EXIT\"\n"
            );
        }
        self.write(&text)
    }

    /// Writes the script that tells values at the end: variables as they are, texts as the shell expands them.
    pub fn values(&self, variables: &[String], texts: &[String], succeeding: bool) -> io::Result<()> {
        let mut text = self.head(succeeding);
        for (index, name) in variables.iter().enumerate() {
            let file = self.inside(&format!("variable.{index}"));
            let _ = writeln!(text, "[ -z \"${{{name}+x}}\" ] || printf '%s' \"${name}\" >| {file}");
        }
        for (index, value) in texts.iter().enumerate() {
            let file = self.inside(&format!("text.{index}"));
            let _ = writeln!(text, "cat >| {file} <<TOWPATH_END_OF_TEXT\n{value}\nTOWPATH_END_OF_TEXT");
        }
        self.write(&text)
    }

    /// Writes a script that is ours, not the buildspec's.
    pub fn internal(&self, command: &str) -> io::Result<()> {
        self.write(&format!("{}{command}\n", self.head(true)))
    }

    fn head(&self, succeeding: bool) -> String {
        format!(
            "cd {} || exit 1\nset -a\n. {}; CODEBUILD_BUILD_SUCCEEDING={}\n",
            quote(&self.cwd),
            self.inside("env.sh"),
            u8::from(succeeding)
        )
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let path = self.host.join("script.sh");
        write_atomically(&path, text.as_bytes())?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    }

    /// Takes over the directory the last command ended in. One that ended early left the one before.
    pub fn carry_directory(&mut self) {
        let Some(cwd) = self.small("cwd", CWD_BYTES_MAX) else { return };
        if let Some(cwd) = cwd.strip_suffix('\n').filter(|cwd| cwd.starts_with('/')) {
            cwd.clone_into(&mut self.cwd);
        }
    }

    /// One of the values that `values` asked for; none where it was not set or is too long.
    pub fn value(&self, kind: &str, index: usize, bytes_max: u64) -> Option<String> {
        self.small(&format!("{kind}.{index}"), bytes_max)
    }

    /// A small regular file the sandbox wrote: it may have put anything there, a link or a pipe included.
    fn small(&self, name: &str, bytes_max: u64) -> Option<String> {
        let path = self.host.join(name);
        let metadata = fs::symlink_metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() > bytes_max {
            return None;
        }
        Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned())
    }

    /// Removes what holds secrets or is of no more use.
    pub fn remove(&self) {
        for entry in fs::read_dir(&self.host).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if matches!(&*name, "env.sh" | "cwd" | "script.sh" | "driver.sh")
                || name.starts_with("variable.")
                || name.starts_with("text.")
            {
                // Whatever is left goes with the whole directory later.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_line_four() {
        let dir = tempfile::tempdir().unwrap();
        let environment = [("A".to_owned(), "it's".to_owned())].into();
        let scripts =
            Scripts::new(dir.path(), Path::new("/codebuild/output/tmp"), Path::new("/src"), true, false, &environment)
                .unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("env.sh")).unwrap(), "export A='it'\\''s'\n");
        scripts.command("make all", true).unwrap();
        let script = fs::read_to_string(dir.path().join("script.sh")).unwrap();
        assert_eq!(
            script,
            "cd '/src' || exit 1\nset -a\n. '/codebuild/output/tmp/env.sh'; CODEBUILD_BUILD_SUCCEEDING=1\nmake all\n\n\
             { CODEBUILD_LAST_EXIT=$?; set +aeux; } 2>/dev/null\nexport CODEBUILD_LAST_EXIT\n\
             export -p >| '/codebuild/output/tmp/env.sh'\npwd >| '/codebuild/output/tmp/cwd'\nexit \"$CODEBUILD_LAST_EXIT\"\n"
        );
    }

    #[test]
    fn values_that_are_not_plain_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let scripts = Scripts::new(dir.path(), dir.path(), Path::new("/src"), true, false, &BTreeMap::new()).unwrap();
        fs::write(dir.path().join("variable.0"), "value").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("variable.1")).unwrap();
        assert_eq!(scripts.value("variable", 0, 10), Some("value".to_owned()));
        assert_eq!(scripts.value("variable", 0, 4), None);
        assert_eq!(scripts.value("variable", 1, 1000), None);
        assert_eq!(scripts.value("variable", 2, 1000), None);
    }
}
