//! Rust source reduced to its code: comments and literals become blanks, line by line in place, so that a rule about code is not
//! triggered by prose or by a test's sample. Not a parser; it knows only where text begins and ends.

/// The same text with every comment, string and character literal blanked. Line numbers stay.
pub fn code_only(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        let end = literal_end(&chars, i);
        if end == i {
            out.push(chars[i]);
            i += 1;
            continue;
        }
        out.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    out
}

/// Where the comment or literal that begins at `i` ends; `i` itself where none begins.
fn literal_end(chars: &[char], i: usize) -> usize {
    let at = |k: usize| chars.get(k).copied().unwrap_or('\0');
    match (at(i), at(i + 1)) {
        ('/', '/') => (i..chars.len()).find(|&k| chars[k] == '\n').unwrap_or(chars.len()),
        ('/', '*') => block_comment_end(chars, i),
        ('"', _) => string_end(chars, i + 1),
        ('r', '"' | '#') if !is_word(chars, i) => raw_string_end(chars, i).unwrap_or(i),
        ('\'', '\\') => (i + 3..chars.len()).find(|&k| chars[k] == '\'').map_or(chars.len(), |k| k + 1),
        // A lifetime has no quote after its first character.
        ('\'', _) if at(i + 2) == '\'' => i + 3,
        _ => i,
    }
}

/// Whether the character before `i` continues a word into it (`br"` is a raw string all the same).
fn is_word(chars: &[char], i: usize) -> bool {
    i > 0 && (chars[i - 1].is_alphanumeric() || chars[i - 1] == '_') && chars[i - 1] != 'b'
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None; // a raw identifier
    }
    let closes = |k: usize| chars[k] == '"' && chars[k + 1..].iter().take_while(|&&c| c == '#').count() >= hashes;
    Some((open + 1..chars.len()).find(|&k| closes(k)).map_or(chars.len(), |k| k + 1 + hashes))
}

/// The 1-based lines on which `needle` occurs as a whole: not as the tail of a longer word, and, where it ends in a letter, not as
/// the head of one.
pub fn lines_with(code: &str, needle: &str) -> Vec<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let open_end = needle.ends_with(word);
    let open_start = needle.starts_with(word);
    let mut lines = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let whole = line.match_indices(needle).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + needle.len()..].chars().next();
            !(open_start && before.is_some_and(word) || open_end && after.is_some_and(word))
        });
        if whole {
            lines.push(number + 1);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{code_only, lines_with};

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        let source = "let a = \"async \\\" x\"; // async\nlet b = r#\"async \"x\"#; /* async\n /* in */ async */ async fn f<'a>() {}\nlet c = ('\"', '\\'', b\"async\", r#type, br\"async\");\nasync";
        let code = code_only(source);
        assert_eq!(code.lines().count(), source.lines().count());
        assert_eq!(lines_with(&code, "async"), [3, 5], "{code}");
        assert!(code.contains("fn f<'a>() {}") && code.contains("r#type"), "{code}");
    }

    #[test]
    fn words_are_matched_whole() {
        assert_eq!(lines_with("is_async\nasync_fn\n(async)\nmystd::fs\nstd::fs", "async"), [3]);
        assert_eq!(lines_with("mystd::fs::x\nstd::fs::x\nstd::fsx", "std::fs"), [2]);
        assert_eq!(lines_with("a todo!(b)", "todo!("), [1]);
    }
}
