//! "Did you mean": the nearest of a few known names.

/// The known name nearest to what was written, if it is near enough to be meant.
pub(crate) fn nearest<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let folded = written.to_lowercase();
    let limit = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|name| *name != written)
        .map(|name| (distance(&folded, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// As a sentence.
pub(crate) fn did_you_mean<'n>(written: &str, known: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(written, known).map(|name| format!("Did you mean '{name}'?"))
}

/// Number of insertions, deletions, replacements and swaps of neighbours between two texts.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["ProjectName", "PrimarySource", "EnvironmentVariables"];
        assert_eq!(nearest("projectname", known), Some("ProjectName"));
        assert_eq!(nearest("ProjetName", known), Some("ProjectName"));
        assert_eq!(nearest("EnvironmentVariable", known), Some("EnvironmentVariables"));
        assert_eq!(nearest("PrimarySoruce", known), Some("PrimarySource"));
        assert_eq!(nearest("Bucket", known), None);
        assert_eq!(nearest("S", ["S3", "ECR"]), Some("S3"));
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("src", "scr"), 1);
    }
}
