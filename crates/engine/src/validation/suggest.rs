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

/// Number of insertions, deletions and replacements between two texts.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
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
        assert_eq!(nearest("Bucket", known), None);
        assert_eq!(nearest("S", ["S3", "ECR"]), Some("S3"));
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
