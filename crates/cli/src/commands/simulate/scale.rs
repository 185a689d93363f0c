//! The axis of the chart: which column a moment stands in, and which moments are written above. A stretch in which
//! nothing changes for much longer than all the rest is cut short, and marked, so that a week's wait for an approval
//! leaves room to see what came before it.

use std::time::Duration;

use super::words;

/// A stretch between two moments at which something changes.
#[derive(Debug, Clone, PartialEq)]
struct Stretch {
    from: i64,
    to: i64,
    /// Its share of the width, in columns.
    left: f64,
    right: f64,
    cut: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    stretches: Vec<Stretch>,
    pub width: usize,
}

/// Where a label stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    pub column: usize,
    pub label: String,
}

/// The columns that a label needs, with the blank behind it.
const LABEL_COLUMNS: f64 = 9.0;
const CUTS_MAX: usize = 8;
/// What is left of a cut stretch, as a share of all that are not cut.
const CUT_SHARE: f64 = 0.12;
/// A stretch longer than so many times all the others is cut: one in which nothing runs, and any other.
const IDLE_CUT: f64 = 0.25;
const BUSY_CUT: f64 = 8.0;

impl Scale {
    /// `changes` are milliseconds from the beginning; `idle` tells of a stretch whether nothing runs in it.
    pub fn new(changes: &[i64], idle: impl Fn(i64, i64) -> bool, width: usize) -> Self {
        let mut changes: Vec<i64> = changes.iter().copied().filter(|c| *c >= 0).chain([0]).collect();
        changes.sort_unstable();
        changes.dedup();
        if changes.len() < 2 {
            changes.push(1000);
        }
        let lengths: Vec<f64> = changes.windows(2).map(|pair| float(pair[1] - pair[0])).collect();
        let mut cut = vec![false; lengths.len()];
        for _ in 0..CUTS_MAX {
            let whole: f64 = lengths.iter().zip(&cut).filter(|(_, cut)| !**cut).map(|(length, _)| length).sum();
            let excessive = |at: &usize| {
                let others = whole - lengths[*at];
                let limit = if idle(changes[*at], changes[*at + 1]) { IDLE_CUT } else { BUSY_CUT };
                !cut[*at] && others > 0.0 && lengths[*at] > others * limit
            };
            let longest = (0..lengths.len()).filter(excessive).max_by(|a, b| lengths[*a].total_cmp(&lengths[*b]));
            let Some(longest) = longest else { break };
            cut[longest] = true;
        }
        let kept: f64 = lengths.iter().zip(&cut).filter(|(_, cut)| !**cut).map(|(length, _)| length).sum();
        let weights: Vec<f64> =
            lengths.iter().zip(&cut).map(|(length, cut)| if *cut { kept * CUT_SHARE } else { *length }).collect();
        let whole: f64 = weights.iter().sum();
        let mut left = 0.0;
        let stretches = weights.iter().enumerate().map(|(at, weight)| {
            let right = left + weight / whole * float(width);
            let stretch = Stretch { from: changes[at], to: changes[at + 1], left, right, cut: cut[at] };
            left = right;
            stretch
        });
        Self { stretches: stretches.collect(), width }
    }

    fn place(&self, millis: i64) -> f64 {
        let stretch = self.stretches.iter().find(|s| millis <= s.to).or(self.stretches.last());
        stretch.map_or(0.0, |s| {
            let share = float(millis - s.from) / float(s.to - s.from);
            s.left + share.clamp(0.0, 1.0) * (s.right - s.left)
        })
    }

    /// The columns that a span fills, at least one.
    pub fn columns(&self, from: i64, to: i64) -> std::ops::Range<usize> {
        let first = column(self.place(from) + 0.001).min(self.width.saturating_sub(1));
        let end = column((self.place(to) - 0.001).ceil()).clamp(first + 1, self.width);
        first..end
    }

    /// The columns in the middle of the stretches that are cut short.
    pub fn cuts(&self) -> Vec<usize> {
        let middle = |s: &Stretch| column(f64::midpoint(s.left, s.right)).min(self.width.saturating_sub(1));
        self.stretches.iter().filter(|s| s.cut).map(middle).collect()
    }

    pub fn ticks(&self) -> Vec<Tick> {
        let whole = self.stretches.iter().filter(|s| !s.cut);
        let (length, columns) =
            whole.fold((0.0, 0.0), |(length, columns), s| (length + float(s.to - s.from), columns + s.right - s.left));
        let step = step(length / columns.max(1.0) * LABEL_COLUMNS);
        let mut ticks: Vec<Tick> = Vec::new();
        let mut free = 0;
        for stretch in self.stretches.iter().filter(|s| !s.cut) {
            let mut at = stretch.from.div_euclid(step) * step;
            while at <= stretch.to {
                let at_column = column(self.place(at) + 0.001);
                let label = words::span(Duration::from_millis(u64::try_from(at).unwrap_or_default()));
                let fits = at_column >= free && at_column + label.len() <= self.width;
                let last = ticks.last().map(|tick| tick.label.as_str());
                if at >= stretch.from && fits && last != Some(&label) {
                    free = at_column + label.len() + 1;
                    ticks.push(Tick { column: at_column, label });
                }
                at += step;
            }
        }
        ticks
    }
}

/// The first comfortable step, in milliseconds, that is not shorter than that.
fn step(least: f64) -> i64 {
    const STEPS: [i64; 20] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800,
        2_592_000,
    ];
    STEPS.into_iter().map(|seconds| seconds * 1000).find(|millis| float(*millis) >= least).unwrap_or(31_536_000_000)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of at most 400 days, columns of a terminal")]
fn float(number: impl TryInto<i64>) -> f64 {
    number.try_into().unwrap_or_default() as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a column between 0 and the width")]
fn column(place: f64) -> usize {
    place.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|tick| format!("{}:{}", tick.column, tick.label)).collect()
    }

    #[test]
    fn a_plain_scale_is_linear() {
        let scale = Scale::new(&[0, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE], |_, _| false, 50);
        assert_eq!(scale.columns(0, 2 * MINUTE), 0..10);
        assert_eq!(scale.columns(2 * MINUTE, 5 * MINUTE), 10..25);
        assert_eq!(scale.columns(5 * MINUTE, 5 * MINUTE), 25..26, "what takes no time is seen all the same");
        assert_eq!(scale.columns(10 * MINUTE, 10 * MINUTE), 49..50);
        assert_eq!(labels(&scale), ["0:0s", "10:2m", "20:4m", "30:6m", "40:8m"]);
        assert!(scale.cuts().is_empty());
    }

    #[test]
    fn a_week_of_waiting_is_cut_short() {
        let week = 7 * 24 * 60 * MINUTE;
        let changes = [0, MINUTE, 6 * MINUTE, 6 * MINUTE + week, 12 * MINUTE + week];
        let scale = Scale::new(&changes, |_, _| false, 60);
        assert_eq!(scale.cuts().len(), 1);
        let wait = scale.columns(6 * MINUTE, 6 * MINUTE + week);
        assert!(wait.contains(&scale.cuts()[0]) && wait.len() < 10, "{wait:?}");
        assert!(scale.columns(MINUTE, 6 * MINUTE).len() > 15);
    }

    #[test]
    fn a_pause_is_cut_sooner_than_work() {
        let changes = [0, 10 * MINUTE, 30 * MINUTE, 40 * MINUTE];
        assert_eq!(Scale::new(&changes, |_, _| false, 60).cuts(), Vec::<usize>::new());
        assert_eq!(Scale::new(&changes, |from, _| from == 10 * MINUTE, 60).cuts().len(), 1);
    }

    #[test]
    fn of_two_stretches_only_the_long_one_is_cut() {
        let scale = Scale::new(&[0, MINUTE, 24 * 60 * MINUTE], |_, _| false, 60);
        assert_eq!(scale.cuts().len(), 1);
        assert!(scale.columns(0, MINUTE).len() > 50);
        assert_eq!(labels(&scale)[..2], ["0:0s", "13:15s"]);
    }

    #[test]
    fn nothing_at_all_has_a_scale_too() {
        let scale = Scale::new(&[], |_, _| true, 40);
        assert_eq!(scale.columns(0, 0), 0..1);
        assert_eq!(labels(&scale)[0], "0:0s");
    }
}
