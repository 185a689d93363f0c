//! How much memory the processes of one function have for themselves, read from /proc. Ends nothing.

use crate::lambda::limits::PROCESSES_COUNTED_MAX;

/// Megabytes of a process and of all that it has started: what a program file maps is shared with everybody.
pub(super) fn megabytes(pid: i32) -> Option<u64> {
    let mut waiting = vec![pid];
    let (mut counted, mut kilobytes) = (0, None);
    while let Some(pid) = waiting.pop() {
        counted += 1;
        if counted > PROCESSES_COUNTED_MAX {
            break;
        }
        // One that has ended meanwhile has nothing.
        let Some(own) = of_process(pid) else { continue };
        kilobytes = Some(kilobytes.unwrap_or(0) + own);
        waiting.extend(children(pid));
    }
    kilobytes.map(|kilobytes: u64| kilobytes.div_ceil(1024))
}

fn of_process(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_ascii_whitespace().next()?.parse().ok()
    };
    Some(kilobytes("RssAnon")? + kilobytes("RssShmem").unwrap_or(0))
}

/// The children of all threads of a process.
fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let told = threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    told.flat_map(|told| told.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_count() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep runs");
        let own = i32::try_from(std::process::id()).expect("a process");
        let pid = i32::try_from(child.id()).expect("a process");
        assert!(children(own).contains(&pid));
        assert!(megabytes(own).is_some_and(|all| all > 0));
        child.kill().expect("it ends");
        child.wait().expect("it ended");
        assert!(!children(own).contains(&pid));
        assert_eq!(megabytes(pid), None, "nobody is there");
    }
}
