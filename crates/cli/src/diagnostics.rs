//! Problems in a file that a person wrote, and how they are shown: drawn into the file's lines, or as JSON. Only such
//! files get a drawing; every other error is one sentence (`errors`).

use std::fmt::{self, Write as _};
use std::sync::Arc;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::{Value as Json, json};

use crate::document::{Span, SyntaxError, Text, Trail};
use crate::limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// AWS's error code where the service would refuse it, else our own word (`unknown-field`).
    pub code: String,
    pub trail: Trail,
    pub span: Span,
    pub message: String,
    /// Stands under the marked text.
    pub label: Option<String>,
    pub hint: Option<String>,
}

impl Problem {
    pub fn syntax(error: SyntaxError) -> Self {
        Self {
            severity: Severity::Error,
            code: "syntax".to_owned(),
            trail: Trail::default(),
            span: error.span,
            message: error.message,
            label: Some("here".to_owned()),
            hint: error.hint,
        }
    }
}

/// The problems of one file, in the order of its lines.
#[derive(Debug, Clone)]
pub struct Report {
    pub text: Text,
    pub problems: Vec<Problem>,
}

impl Report {
    pub fn new(text: Text, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.span.start, a.severity, &a.message).cmp(&(b.span.start, b.severity, &b.message)));
        problems.dedup();
        Self { text, problems }
    }

    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|p| p.severity == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.problems.len() - self.errors()
    }

    /// Every problem drawn into its lines, without the closing count.
    pub fn draw(&self, style: Drawing) -> String {
        let source = NamedSource::new(&self.text.name, Arc::clone(&self.text.text));
        let mut out = String::new();
        for problem in self.problems.iter().take(limits::PROBLEMS_DRAWN_MAX) {
            let shown = Shown { problem, text: &self.text, source: &source };
            // Writing to a String cannot fail.
            let _ = style.handler().render_report(&mut out, &shown);
            out.push('\n');
        }
        if self.problems.len() > limits::PROBLEMS_DRAWN_MAX {
            let more = self.problems.len() - limits::PROBLEMS_DRAWN_MAX;
            let _ = write!(out, "... and {more} more; repair these first\n\n");
        }
        trim_line_ends(&out)
    }

    /// `pipeline.json: 2 errors, 1 warning`.
    pub fn count(&self) -> String {
        let (errors, warnings) = (self.errors(), self.warnings());
        let mut parts = Vec::new();
        if errors > 0 {
            parts.push(plural(errors, "error"));
        }
        if warnings > 0 {
            parts.push(plural(warnings, "warning"));
        }
        if parts.is_empty() {
            format!("{}: valid", self.text.name)
        } else {
            format!("{}: {}", self.text.name, parts.join(", "))
        }
    }

    pub fn json(&self) -> Vec<Json> {
        self.problems
            .iter()
            .map(|p| {
                let (line, column) = self.text.position(p.span.start);
                json!({
                    "file": self.text.name,
                    "line": line,
                    "column": column,
                    "severity": p.severity.as_str(),
                    "code": p.code,
                    "path": p.trail.to_string(),
                    "message": p.message,
                    "hint": p.hint,
                })
            })
            .collect()
    }
}

pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Labels end in blanks where miette pads them.
fn trim_line_ends(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// How problems are drawn: the same everywhere but for colour and width.
#[derive(Debug, Clone, Copy)]
pub struct Drawing {
    pub colour: bool,
    pub width: usize,
}

impl Drawing {
    pub const PLAIN: Self = Self { colour: false, width: 100 };

    fn handler(self) -> GraphicalReportHandler {
        let theme = if self.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        GraphicalReportHandler::new_themed(theme).with_links(false).with_width(self.width.clamp(60, 120))
    }
}

struct Shown<'a> {
    problem: &'a Problem,
    text: &'a Text,
    source: &'a NamedSource<Arc<str>>,
}

impl Shown<'_> {
    /// A very long line (a whole file on one line) would bury the message.
    fn drawable(&self) -> bool {
        let line = self.text.line_span(self.problem.span.start);
        line.end - line.start <= limits::LINE_DRAWN_BYTES_MAX
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.problem, f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.drawable() {
            return f.write_str(&self.problem.message);
        }
        let (line, column) = self.text.position(self.problem.span.start);
        write!(f, "{} ({}:{line}:{column})", self.problem.message, self.text.name)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.hint.as_ref().map(|h| Box::new(h) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.drawable().then_some(self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.problem.span;
        // A mark over several lines hides what it marks.
        let end = span.end.min(self.text.line_span(span.start).end).max(span.start);
        let label = LabeledSpan::new_primary_with_span(self.problem.label.clone(), (span.start, end - span.start));
        Some(Box::new(std::iter::once(label)))
    }
}
