//! Counters for Prometheus, in its text format. Counts only; nothing here names a pipeline or a caller.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct Row {
    count: u64,
    seconds: f64,
}

/// Requests by service and status class.
#[derive(Default)]
pub struct Metrics {
    rows: Mutex<BTreeMap<(&'static str, u16), Row>>,
}

/// Services that get a row of their own; the label must stay bounded whatever clients send.
const SERVICES: [&str; 6] = ["codebuild", "codepipeline", "iam", "logs", "s3", "sts"];

impl Metrics {
    pub fn count(&self, service: &str, status: u16, took: Duration) {
        let service = SERVICES.iter().copied().find(|known| *known == service).unwrap_or("other");
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.entry((service, status / 100 * 100)).or_default();
        row.count += 1;
        row.seconds += took.as_secs_f64();
    }

    pub fn render(&self, tasks_pending: usize) -> String {
        let mut text = String::from(
            "# HELP towpath_requests_total AWS requests answered, by service and status class.\n# TYPE towpath_requests_total counter\n",
        );
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for ((service, status), row) in &*rows {
            let _ = writeln!(text, "towpath_requests_total{{service=\"{service}\",status=\"{status}\"}} {}", row.count);
        }
        text.push_str("# HELP towpath_request_seconds_total Time spent answering them.\n# TYPE towpath_request_seconds_total counter\n");
        for ((service, status), row) in &*rows {
            let _ = writeln!(
                text,
                "towpath_request_seconds_total{{service=\"{service}\",status=\"{status}\"}} {:.6}",
                row.seconds
            );
        }
        let _ = write!(
            text,
            "# HELP towpath_tasks_pending Actions being run, waited for or stopped.\n# TYPE towpath_tasks_pending gauge\ntowpath_tasks_pending {tasks_pending}\n"
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_services_share_a_row() {
        let metrics = Metrics::default();
        metrics.count("s3", 206, Duration::from_millis(500));
        metrics.count("made-up", 404, Duration::ZERO);
        metrics.count("also-made-up", 400, Duration::ZERO);
        let text = metrics.render(3);
        assert!(text.contains("towpath_requests_total{service=\"s3\",status=\"200\"} 1\n"), "{text}");
        assert!(text.contains("towpath_requests_total{service=\"other\",status=\"400\"} 2\n"), "{text}");
        assert!(text.contains("towpath_request_seconds_total{service=\"s3\",status=\"200\"} 0.500000\n"), "{text}");
        assert!(text.ends_with("towpath_tasks_pending 3\n"), "{text}");
    }
}
