//! What an entry may be called and where a symbolic link may point. Pure text; used in both directions, so that nothing
//! is packed that would be refused when it is unpacked.

use crate::limits::{DEPTH_MAX, NAME_BYTES_MAX};

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    #[error("its name is empty")]
    Empty,
    #[error("its name is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("it lies deeper than {DEPTH_MAX} directories")]
    TooDeep,
    #[error("its name is absolute")]
    Absolute,
    #[error("its name starts with a drive letter")]
    Drive,
    #[error("its name leaves the directory with `..`")]
    Parent,
    #[error("its name contains a backslash; zip separates directories with `/`")]
    Backslash,
    #[error("its name contains a control character")]
    Control,
}

/// The components of an entry's name, without `.` and empty ones, or why it may not be used as a path.
pub fn components(name: &str) -> Result<Vec<&str>, NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameFault::TooLong);
    }
    if name.contains('\\') {
        return Err(NameFault::Backslash);
    }
    if name.chars().any(char::is_control) {
        return Err(NameFault::Control);
    }
    if name.starts_with('/') {
        return Err(NameFault::Absolute);
    }
    if is_drive(name) {
        return Err(NameFault::Drive);
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(NameFault::Parent);
    }
    if parts.is_empty() {
        return Err(NameFault::Empty);
    }
    if parts.len() > DEPTH_MAX {
        return Err(NameFault::TooDeep);
    }
    Ok(parts)
}

fn is_drive(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic()) && bytes.next() == Some(b':')
}

/// Whether a link in the entry `name` with this target stays inside the directory that holds the archive's entries.
///
/// `..` is allowed at the start only, as often as the link lies deep. Behind a name it could climb out through another
/// link: with `p/q/d -> ../../t`, the innocent looking `p/q/d/../../x` is `t/../../x`.
pub fn link_stays_inside(name: &str, target: &str) -> bool {
    if target.is_empty() || target.len() > NAME_BYTES_MAX || target.starts_with('/') || is_drive(target) {
        return false;
    }
    if target.contains('\\') || target.chars().any(char::is_control) {
        return false;
    }
    let Ok(parts) = components(name) else { return false };
    let mut up = 0;
    let mut named = false;
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if named => return false,
            ".." => up += 1,
            _ => named = true,
        }
    }
    up < parts.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_inside() {
        assert_eq!(components("a/b.txt"), Ok(vec!["a", "b.txt"]));
        assert_eq!(components("./a//b/"), Ok(vec!["a", "b"]));
        assert_eq!(components("..a/b..c/..."), Ok(vec!["..a", "b..c", "..."]));
    }

    #[test]
    fn names_that_are_not() {
        for (name, fault) in [
            ("", NameFault::Empty),
            ("./", NameFault::Empty),
            ("/etc/passwd", NameFault::Absolute),
            ("../x", NameFault::Parent),
            ("a/../../x", NameFault::Parent),
            ("a/..", NameFault::Parent),
            ("..\\x", NameFault::Backslash),
            ("C:x", NameFault::Drive),
            ("a\0b", NameFault::Control),
            ("a\nb", NameFault::Control),
        ] {
            assert_eq!(components(name), Err(fault), "{name:?}");
        }
        assert_eq!(components(&"n".repeat(NAME_BYTES_MAX + 1)), Err(NameFault::TooLong));
        assert_eq!(components(&"d/".repeat(DEPTH_MAX + 1)), Err(NameFault::TooDeep));
    }

    #[test]
    fn links_inside_and_outside() {
        for (name, target) in [("l", "x"), ("a/l", "../x"), ("a/b/l", "../../x/y"), ("a/l", "./b/c"), ("l", ".")] {
            assert!(link_stays_inside(name, target), "{name} -> {target}");
        }
        for (name, target) in [
            ("l", "/etc/passwd"),
            ("l", "../x"),
            ("a/l", "../../x"),
            ("a/l", "b/../../x"),
            ("a/b/c/l", "d/../x"),
            ("l", ""),
            ("l", "C:\\x"),
            ("l", "a\\b"),
        ] {
            assert!(!link_stays_inside(name, target), "{name} -> {target}");
        }
    }
}
