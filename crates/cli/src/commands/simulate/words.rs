//! Small words of the output: times and names.

use std::time::Duration;

use towpath_model::time::Timestamp;

/// A length of time in at most two units: `45s`, `1m30s`, `12m`, `1h05m`, `2d03h`.
pub fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        _ => format!("{large}{large_unit}{small:02}{small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => two(seconds / 60, "m", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A moment as the time since the simulation began.
pub fn since(start: Timestamp, moment: Timestamp) -> String {
    span(Duration::from_millis(u64::try_from(moment.millis() - start.millis()).unwrap_or_default()))
}

/// `1`, `1 and 2`, `1, 2 and 3`.
pub fn list<T: ToString>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_at_most_two_units() {
        let shown = |seconds| span(Duration::from_secs(seconds));
        assert_eq!([shown(0), shown(59), shown(60), shown(90)], ["0s", "59s", "1m", "1m30s"]);
        assert_eq!([shown(3600), shown(3661), shown(86_400), shown(97_200)], ["1h", "1h01m", "1d", "1d03h"]);
        assert_eq!(list(&[1, 2, 3]), "1, 2 and 3");
    }
}
