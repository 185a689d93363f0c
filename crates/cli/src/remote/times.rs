//! Times as people say them.

use towpath_model::time::Timestamp;

/// How long ago: `12s ago`, `5m ago`, `3h ago`, `2d ago`, and the date when it is longer.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = ((now.millis() - then.millis()) / 1000).max(0);
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3600 => format!("{}m ago", seconds / 60),
        3600..86_400 => format!("{}h ago", seconds / 3600),
        86_400..2_592_000 => format!("{}d ago", seconds / 86_400),
        _ => then.iso8601().chars().take(10).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_grow_in_unit() {
        let now = Timestamp(1_790_862_000_000);
        let shown = |seconds: i64| ago(now.plus_millis(-1000 * seconds), now);
        assert_eq!(shown(-3), "now");
        assert_eq!(shown(59), "59s ago");
        assert_eq!(shown(3599), "59m ago");
        assert_eq!(shown(86_399), "23h ago");
        assert_eq!(shown(86_400 * 3), "3d ago");
        assert_eq!(shown(86_400 * 31), "2026-08-31");
    }
}
