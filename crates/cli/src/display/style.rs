//! Lines with meaning, and how meaning becomes colour. Colour never carries anything that the words do not say.

use console::{measure_text_width, truncate_str};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Busy,
    Attention,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\u{1b}[1m",
            Self::Dim => "\u{1b}[2m",
            Self::Good => "\u{1b}[32m",
            Self::Bad => "\u{1b}[31m",
            Self::Busy => "\u{1b}[36m",
            Self::Attention => "\u{1b}[33m",
        }
    }
}

const RESET: &str = "\u{1b}[0m";

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(pub Vec<(Style, String)>);

impl Line {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    fn paint(&self, width: usize, colour: bool) -> String {
        let mut left = width;
        let mut out = String::new();
        for (style, text) in &self.0 {
            let fits = truncate_str(text, left, "…");
            left = left.saturating_sub(measure_text_width(&fits));
            if colour && *style != Style::Plain && !fits.trim().is_empty() {
                out.push_str(style.code());
                out.push_str(&fits);
                out.push_str(RESET);
            } else {
                out.push_str(&fits);
            }
            if left == 0 {
                break;
            }
        }
        out.trim_end().to_owned()
    }
}

/// Lines as text, cut to the width of the terminal, so that no line ever takes two rows.
pub fn paint(lines: &[Line], width: usize, colour: bool) -> Vec<String> {
    lines.iter().map(|l| l.paint(width, colour)).collect()
}

/// Words broken into rows of a width.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(20);
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut row = String::new();
        for word in line.split(' ') {
            if !row.is_empty() && measure_text_width(&row) + 1 + measure_text_width(word) > width {
                rows.push(std::mem::take(&mut row));
            }
            if !row.is_empty() {
                row.push(' ');
            }
            row.push_str(word);
        }
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_columns_not_bytes() {
        let line = Line::new().with(Style::Good, "✓ ").with(Style::Plain, "Ünïcode name");
        assert_eq!(paint(std::slice::from_ref(&line), 8, false), ["✓ Ünïco…"]);
        assert_eq!(paint(&[line], 40, true), ["\u{1b}[32m✓ \u{1b}[0mÜnïcode name"]);
    }

    #[test]
    fn words_wrap_and_long_words_stay_whole() {
        assert_eq!(wrap("one two three four five six", 20), ["one two three four", "five six"]);
        assert_eq!(wrap(&"x".repeat(30), 20), ["x".repeat(30)]);
    }
}
