//! Tables that fit the terminal: columns shrink as far as they can bear, then the least important leave. A pure function
//! of cells and width.

use console::{measure_text_width, truncate_str};

use crate::display::style::{Line, Style};

/// A column: its heading, and what may happen to it where there is no room.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub heading: &'static str,
    /// It may be cut to this width, `…` included; 0: it is never cut.
    pub least: usize,
    /// Columns of higher numbers leave first; 0: it stays.
    pub leaves: u8,
}

impl Column {
    pub const fn whole(heading: &'static str) -> Self {
        Self { heading, least: 0, leaves: 0 }
    }

    pub const fn shrinking(heading: &'static str, least: usize) -> Self {
        Self { heading, least, leaves: 0 }
    }

    #[must_use]
    pub const fn leaving(mut self, order: u8) -> Self {
        self.leaves = order;
        self
    }
}

#[derive(Debug, Clone)]
pub struct Cell {
    pub style: Style,
    pub text: String,
}

impl Cell {
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        Self { style, text: crate::display::clean(&text.into()) }
    }

    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::Plain, text)
    }

    pub fn dim(text: impl Into<String>) -> Self {
        Self::new(Style::Dim, text)
    }
}

const GAP: usize = 2;

/// Heading and rows as lines of at most this width.
pub fn draw(columns: &[Column], rows: &[Vec<Cell>], width: usize) -> Vec<Line> {
    let natural = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| measure_text_width(&cell.text)).max();
        // A column without any content is no column.
        match cells.unwrap_or_default() {
            0 if !rows.is_empty() => 0,
            widest => widest.max(measure_text_width(columns[at].heading)),
        }
    };
    let mut widths: Vec<usize> = (0..columns.len()).map(natural).collect();
    fit(columns, &mut widths, width);
    let shown: Vec<usize> = (0..columns.len()).filter(|at| widths[*at] > 0).collect();
    let line = |cell: &dyn Fn(usize) -> (Style, String)| {
        let mut line = Line::new();
        for (position, at) in shown.iter().enumerate() {
            let (style, text) = cell(*at);
            let text = truncate_str(&text, widths[*at], "…").into_owned();
            let last = position + 1 == shown.len();
            let pad = if last { 0 } else { widths[*at] - measure_text_width(&text) + GAP };
            line = line.with(style, text).with(Style::Plain, " ".repeat(pad));
        }
        line
    };
    let mut lines = vec![line(&|at| (Style::Dim, columns[at].heading.to_owned()))];
    lines.extend(rows.iter().map(|row| {
        line(&|at| row.get(at).map_or((Style::Plain, String::new()), |cell| (cell.style, cell.text.clone())))
    }));
    lines
}

fn fit(columns: &[Column], widths: &mut [usize], width: usize) {
    loop {
        let shown = widths.iter().filter(|w| **w > 0).count();
        let total = widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1);
        let Some(excess) = total.checked_sub(width).filter(|excess| *excess > 0) else { return };
        // The column with the most to spare gives first.
        let spare = |at: usize| match columns[at].least {
            0 => 0,
            least => widths[at].saturating_sub(least.max(measure_text_width(columns[at].heading))),
        };
        let spares: usize = (0..columns.len()).map(spare).sum();
        let leaves = (0..columns.len()).filter(|at| widths[*at] > 0 && columns[*at].leaves > 0);
        if spares < excess
            && let Some(last) = leaves.max_by_key(|at| columns[*at].leaves)
        {
            widths[last] = 0;
            continue;
        }
        match (0..columns.len()).max_by_key(|at| spare(*at)).filter(|at| spare(*at) > 0) {
            Some(at) => widths[at] -= 1,
            // Nothing gives any more: the terminal cuts the lines.
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::display::style::paint;

    fn drawn(width: usize) -> String {
        let columns = [
            Column::shrinking("PIPELINE", 8),
            Column::whole("STATUS"),
            Column::whole("EXECUTION").leaving(1),
            Column::shrinking("TRIGGER", 10).leaving(2),
        ];
        let row = |texts: [&str; 4]| texts.map(Cell::plain).to_vec();
        let rows = [
            row(["a-pipeline-with-a-long-name", "Succeeded", "1a2b3c4d", "StartPipelineExecution by somebody"]),
            row(["b", "InProgress", "", ""]),
        ];
        paint(&draw(&columns, &rows, width), width, false).join("\n")
    }

    #[test]
    fn columns_shrink_then_leave() {
        assert_eq!(
            drawn(100),
            "PIPELINE                     STATUS      EXECUTION  TRIGGER\n\
             a-pipeline-with-a-long-name  Succeeded   1a2b3c4d   StartPipelineExecution by somebody\n\
             b                            InProgress"
        );
        assert_eq!(
            drawn(60),
            "PIPELINE           STATUS      EXECUTION  TRIGGER\n\
             a-pipeline-with-…  Succeeded   1a2b3c4d   StartPipelineExec…\n\
             b                  InProgress"
        );
        assert_eq!(
            drawn(34),
            "PIPELINE     STATUS      EXECUTION\n\
             a-pipeline…  Succeeded   1a2b3c4d\n\
             b            InProgress"
        );
        assert_eq!(drawn(24), "PIPELINE      STATUS\na-pipeline-…  Succeeded\nb             InProgress");
    }

    #[test]
    fn a_column_without_content_is_left_out() {
        let columns = [Column::whole("A"), Column::whole("B")];
        let rows = [vec![Cell::plain("x"), Cell::plain("")]];
        assert_eq!(paint(&draw(&columns, &rows, 80), 80, false), ["A", "x"]);
    }
}
