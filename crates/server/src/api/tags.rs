//! AWS's rules for tags, which the model's shapes do not carry (api.md section 5).

use std::collections::BTreeSet;

use towpath_model::limits::TAGS_MAX;
use towpath_orchestrator::Tags;
use towpath_wire::WireError;
use towpath_wire::codepipeline::{SERVICE, Tag};

/// Refuses tags that AWS refuses.
pub fn check(tags: &[Tag]) -> Result<(), WireError> {
    if tags.len() > TAGS_MAX {
        let message = format!("A resource may have at most {TAGS_MAX} tags; the request has {}.", tags.len());
        return Err(WireError::modeled(&SERVICE, "TooManyTagsException", message));
    }
    let mut seen = BTreeSet::new();
    for tag in tags {
        check_key(&tag.key)?;
        if !tag.value.chars().all(allowed) {
            return Err(invalid(&tag.key, ALLOWED));
        }
        if !seen.insert(tag.key.as_str()) {
            return Err(invalid(&tag.key, "the key is given more than once"));
        }
    }
    Ok(())
}

/// Refuses a key that no tag can have.
pub fn check_key(key: &str) -> Result<(), WireError> {
    let problem = if key.to_ascii_lowercase().starts_with("aws:") {
        "tag keys that start with 'aws:' are reserved"
    } else if key.trim().is_empty() || key.ends_with(' ') {
        "a tag key may not be blank or end in a space"
    } else if !key.chars().all(allowed) {
        ALLOWED
    } else {
        return Ok(());
    };
    Err(invalid(key, problem))
}

const ALLOWED: &str = "allowed are letters, numbers, spaces and + - = . _ : / @";

fn invalid(key: &str, problem: &str) -> WireError {
    WireError::modeled(&SERVICE, "InvalidTagsException", format!("The tag '{key}' is not valid: {problem}."))
}

pub fn pairs(tags: Vec<Tag>) -> Tags {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

pub fn shown(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key, value }).collect()
}

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pairs: &[(&str, &str)]) -> Option<String> {
        let tags: Vec<Tag> =
            pairs.iter().map(|(key, value)| Tag { key: (*key).to_owned(), value: (*value).to_owned() }).collect();
        check(&tags).err().map(|error| format!("{}: {}", error.code, error.message))
    }

    #[test]
    fn tag_rules() {
        assert_eq!(
            refused(&[("team", "locks & gates")]).as_deref(),
            Some(
                "InvalidTagsException: The tag 'team' is not valid: allowed are letters, numbers, spaces and + - = . _ : / @."
            )
        );
        assert_eq!(refused(&[("team", "locks"), ("stage", "")]), None);
        assert!(refused(&[("AWS:x", "1")]).is_some_and(|e| e.contains("reserved")));
        assert!(refused(&[("a", "1"), ("a", "2")]).is_some_and(|e| e.contains("more than once")));
        assert!(refused(&[("a ", "1")]).is_some_and(|e| e.contains("end in a space")));
        let many: Vec<(String, String)> = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert!(refused(&many).is_some_and(|e| e.starts_with("TooManyTagsException")));
    }
}
