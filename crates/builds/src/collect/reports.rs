//! Test reports: the declared ones, and those CodeBuild finds by itself. Must not decide whether a build succeeded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use globset::GlobSet;

use super::artifacts::{Source, base_directories};
use super::glob::{Pattern, Tree};
use super::{Say, junit};
use crate::buildspec::Report;
use crate::limits::{
    REPORT_CASES_KEPT_MAX, REPORT_CASES_READ_MAX, REPORT_DISCOVERY_MAX, REPORT_FILE_BYTES_MAX, REPORT_FILES_MAX,
};
use crate::status::{CaseCounts, CaseStatus, ReportResult, ReportStatus, TestCase};

const JUNIT: &str = "JUNITXML";

/// The reports the buildspec declares, then one for each format found beside them.
pub(crate) fn collect(declared: &[Report], source: &Source, discover: Option<&str>, say: Say) -> Vec<ReportResult> {
    let mut taken = BTreeSet::new();
    let mut reports: Vec<_> = declared.iter().map(|report| declared_report(report, source, &mut taken, say)).collect();
    if let Some(dir) = discover {
        reports.extend(discovered(dir, source, &taken, say));
    }
    reports
}

fn declared_report(report: &Report, source: &Source, taken: &mut BTreeSet<PathBuf>, say: Say) -> ReportResult {
    let mut gathered = Gathered::new(source.expanded.of(&report.group).to_owned(), report.file_format.clone());
    say(&format!("Preparing to copy {} report {}", report.file_format, gathered.result.group));
    match files(report, source, say) {
        Err(problem) => gathered.problem(problem),
        Ok(files) if files.is_empty() => gathered.problem("no file matches the report's files".to_owned()),
        Ok(files) => {
            for (path, file) in files {
                taken.insert(file.clone());
                if report.file_format == JUNIT {
                    gathered.read(&path, &file);
                } else {
                    gathered.result.files.push(path);
                    gathered.problem(format!("reports in the format {} are not read yet", report.file_format));
                }
            }
        }
    }
    let result = gathered.finish();
    if let Some(problem) = &result.problem {
        say(&format!("Report {}: {problem}", result.group));
    }
    result
}

fn files(report: &Report, source: &Source, say: Say) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut tree = Tree::new(source.layout);
    let base = source.expanded.of(report.base_directory.as_deref().unwrap_or("."));
    let roots = base_directories(base, source, &mut tree, say).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::new();
    for written in &report.files {
        let text = source.expanded.of(written);
        say(&format!("Expanding {text}"));
        let mut found = 0usize;
        for (root, inside) in &roots {
            let relative = Path::new(text).strip_prefix(inside).ok().and_then(Path::to_str).unwrap_or(text);
            let Some(pattern) = Pattern::new(relative) else { continue };
            for file in tree.files(root, &pattern, &GlobSet::empty()).map_err(|error| error.to_string())? {
                found += 1;
                if files.len() < REPORT_FILES_MAX {
                    files.insert(raw_path(source, &file.source), file.source);
                }
            }
        }
        say(&if found > 0 { format!("Found {found} file(s)") } else { format!("Skipping invalid file path {text}") });
    }
    Ok(files)
}

/// How a report names its file: relative to the source, else as the build sees it.
fn raw_path(source: &Source, file: &Path) -> String {
    file.strip_prefix(&source.layout.source_host).unwrap_or(file).to_string_lossy().into_owned()
}

/// CodeBuild's auto-discovery, for the format we read.
fn discovered(dir: &str, source: &Source, taken: &BTreeSet<PathBuf>, say: Say) -> Option<ReportResult> {
    let begun = Instant::now();
    say("Set report auto-discover timeout to 5 seconds");
    say(&format!("Expanding base directory path:  {dir}"));
    let pattern = if matches!(dir, "" | "." | "**/*") {
        "**/*.xml".to_owned()
    } else {
        format!("{}/**/*.xml", dir.trim_matches('/'))
    };
    let mut tree = Tree::new(source.layout);
    tree.follow_dirs = false;
    let found = Pattern::new(&pattern)
        .and_then(|pattern| tree.files(&source.layout.source_host, &pattern, &GlobSet::empty()).ok());
    let mut gathered = Gathered::new(format!("{JUNIT}-AutoDiscovered"), JUNIT.to_owned());
    let mut found = found.unwrap_or_default();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    for file in found {
        if begun.elapsed() > REPORT_DISCOVERY_MAX {
            say("Report auto-discover timed out");
            break;
        }
        if !taken.contains(&file.source)
            && looks_like_junit(&file.source)
            && gathered.result.files.len() < REPORT_FILES_MAX
        {
            gathered.read(&file.path, &file.source);
        }
    }
    if gathered.result.files.is_empty() {
        say("No matching auto-discover report paths found");
    } else {
        say(&format!("Found {} file(s)", gathered.result.files.len()));
    }
    say(&format!("Report auto-discover file discovery took {:.6} seconds", begun.elapsed().as_secs_f64()));
    if gathered.result.files.is_empty() {
        return None;
    }
    gathered.result.auto_discovered = true;
    Some(gathered.finish())
}

/// By its first element, without reading the rest.
fn looks_like_junit(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    let text = String::from_utf8_lossy(&start);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    // Past the declaration, comments and document type.
    while let Some(after) = rest.strip_prefix("<?").or_else(|| rest.strip_prefix("<!")) {
        let Some(end) = after.find('>') else { return false };
        rest = after[end + 1..].trim_start();
    }
    read.is_ok() && rest.starts_with("<testsuite")
}

struct Gathered {
    result: ReportResult,
    failed: Vec<TestCase>,
    rest: Vec<TestCase>,
}

impl Gathered {
    fn new(group: String, file_format: String) -> Self {
        let result = ReportResult {
            group,
            auto_discovered: false,
            file_format,
            status: ReportStatus::Incomplete,
            total: 0,
            counts: CaseCounts::default(),
            duration_ns: 0,
            cases: Vec::new(),
            truncated: false,
            files: Vec::new(),
            problem: None,
        };
        Self { result, failed: Vec::new(), rest: Vec::new() }
    }

    fn problem(&mut self, problem: String) {
        self.result.problem.get_or_insert(problem);
    }

    fn read(&mut self, path: &str, file: &Path) {
        self.result.files.push(path.to_owned());
        let opened = File::open(file).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, input) = match opened {
            Ok(opened) => opened,
            Err(error) => return self.problem(format!("{path}: {error}")),
        };
        if bytes > REPORT_FILE_BYTES_MAX {
            return self.problem(format!("{path}: larger than {REPORT_FILE_BYTES_MAX} bytes"));
        }
        if let Err(problem) = junit::read(BufReader::new(input), path, &mut |case| self.case(case)) {
            self.problem(format!("{path}: {problem}"));
        }
    }

    fn case(&mut self, case: TestCase) -> bool {
        let counts = &mut self.result.counts;
        let (count, kept) = match case.status {
            CaseStatus::Succeeded => (&mut counts.succeeded, &mut self.rest),
            CaseStatus::Skipped => (&mut counts.skipped, &mut self.rest),
            CaseStatus::Unknown => (&mut counts.unknown, &mut self.rest),
            CaseStatus::Failed => (&mut counts.failed, &mut self.failed),
            CaseStatus::Error => (&mut counts.error, &mut self.failed),
        };
        *count += 1;
        self.result.total += 1;
        self.result.duration_ns = self.result.duration_ns.saturating_add(case.duration_ns);
        if kept.len() < REPORT_CASES_KEPT_MAX {
            kept.push(case);
        }
        self.result.total < REPORT_CASES_READ_MAX as u64
    }

    fn finish(mut self) -> ReportResult {
        self.failed.append(&mut self.rest);
        self.failed.truncate(REPORT_CASES_KEPT_MAX);
        self.result.truncated = self.result.total > self.failed.len() as u64;
        self.result.cases = self.failed;
        let counts = self.result.counts;
        self.result.status = if self.result.problem.is_some() {
            ReportStatus::Incomplete
        } else if counts.failed + counts.error + counts.unknown > 0 {
            ReportStatus::Failed
        } else {
            ReportStatus::Succeeded
        };
        self.result
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::fs;

    use super::*;
    use crate::collect::Expanded;
    use crate::sandbox::layout::Layout;

    fn reports(files: &[(&str, String)], declared: &[Report], discover: Option<&str>) -> Vec<ReportResult> {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().canonicalize().unwrap();
        for (path, text) in files {
            fs::create_dir_all(source.join(path).parent().unwrap()).unwrap();
            fs::write(source.join(path), text).unwrap();
        }
        let layout = Layout {
            source: source.clone(),
            secondary: Vec::new(),
            scratch: source.join("tmp"),
            mounts: Vec::new(),
            source_host: source,
            secondary_hosts: Vec::new(),
        };
        let (expanded, copies) = (Expanded::default(), BTreeMap::new());
        collect(declared, &Source { layout: &layout, expanded: &expanded, copies: &copies }, discover, &mut |_| {})
    }

    fn report(group: &str, files: &[&str], format: &str) -> Report {
        Report {
            group: group.to_owned(),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            file_format: format.to_owned(),
            base_directory: None,
            discard_paths: false,
        }
    }

    fn suite(passed: usize, failed: usize) -> String {
        let mut xml = String::from("<?xml version='1.0'?>\n<!-- by a tool -->\n<testsuite name='s'>");
        for n in 0..passed {
            write!(xml, "<testcase name='p{n}' time='0.5'/>").unwrap();
        }
        for n in 0..failed {
            write!(xml, "<testcase name='f{n}' time='0.25'><failure>no</failure></testcase>").unwrap();
        }
        xml + "</testsuite>"
    }

    #[test]
    fn one_report_for_each_group_with_all_its_files() {
        let found = reports(
            &[("out/a.xml", suite(2, 0)), ("out/b.xml", suite(1, 1))],
            &[report("unit", &["out/*.xml"], "JUNITXML")],
            None,
        );
        let report = &found[0];
        assert_eq!(
            (report.group.as_str(), report.status, report.total, report.truncated),
            ("unit", ReportStatus::Failed, 4, false)
        );
        assert_eq!(report.counts, CaseCounts { succeeded: 3, failed: 1, ..CaseCounts::default() });
        assert_eq!(report.duration_ns, 1_750_000_000);
        assert_eq!(report.files, ["out/a.xml", "out/b.xml"]);
        assert_eq!((report.cases[0].name.as_str(), report.cases[0].raw_data_path.as_str()), ("f0", "out/b.xml"));
    }

    #[test]
    fn five_hundred_cases_are_kept_failed_ones_first() {
        let found = reports(&[("a.xml", suite(600, 3))], &[report("unit", &["a.xml"], "JUNITXML")], None);
        let report = &found[0];
        assert_eq!((report.total, report.cases.len(), report.truncated), (603, 500, true));
        assert!(report.cases[..3].iter().all(|case| case.status == CaseStatus::Failed));
        assert_eq!(report.counts.succeeded, 600);
    }

    #[test]
    fn what_cannot_be_read_is_incomplete() {
        let found = reports(
            &[("bad.xml", "<html>".to_owned()), ("cov.json", "{}".to_owned())],
            &[
                report("none", &["missing/*.xml"], "JUNITXML"),
                report("bad", &["bad.xml"], "JUNITXML"),
                report("cov", &["cov.json"], "SIMPLECOV"),
            ],
            None,
        );
        let problems: Vec<_> = found.iter().map(|report| (report.status, report.problem.clone().unwrap())).collect();
        assert_eq!(
            problems,
            [
                (ReportStatus::Incomplete, "no file matches the report's files".to_owned()),
                (ReportStatus::Incomplete, "bad.xml: the root element is not <testsuites> or <testsuite>".to_owned()),
                (ReportStatus::Incomplete, "reports in the format SIMPLECOV are not read yet".to_owned()),
            ]
        );
    }

    #[test]
    fn discovery_finds_what_nobody_declared() {
        let files = [("out/a.xml", suite(1, 0)), ("deep/er/b.xml", suite(2, 0)), ("pom.xml", "<project/>".to_owned())];
        let found = reports(&files, &[report("unit", &["out/*"], "JUNITXML")], Some("."));
        assert_eq!(found.len(), 2);
        assert_eq!((found[1].group.as_str(), found[1].auto_discovered), ("JUNITXML-AutoDiscovered", true));
        assert_eq!((found[1].total, found[1].files.as_slice()), (2, ["deep/er/b.xml".to_owned()].as_slice()));
        assert_eq!(reports(&files, &[], Some("nowhere")), []);
        assert_eq!(reports(&files, &[], None), []);
    }
}
