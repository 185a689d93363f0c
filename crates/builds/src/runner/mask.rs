//! Hides secret values in text. Must not know where they come from.

/// What a hidden value reads as.
pub(crate) const MASK: &str = "***";

/// Values to hide, longest first, so that one that begins with another leaves no rest.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    values: Vec<Vec<u8>>,
}

impl Masks {
    /// A value of several lines is hidden line by line, as logs are made of lines.
    pub fn new<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut values: Vec<Vec<u8>> = values
            .flat_map(str::lines)
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| line.as_bytes().to_vec())
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    pub fn bytes(&self, text: &[u8]) -> Vec<u8> {
        if self.values.is_empty() {
            return text.to_vec();
        }
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            if let Some(length) = self.at(&text[at..]) {
                out.extend_from_slice(MASK.as_bytes());
                at += length;
            } else {
                out.push(text[at]);
                at += 1;
            }
        }
        out
    }

    /// The largest position up to which `text` can be masked although more of it is still to come.
    pub fn safe_cut(&self, text: &[u8]) -> usize {
        let longest = self.values.first().map_or(0, Vec::len);
        let mut cut = text.len().saturating_sub(longest.saturating_sub(1));
        let mut at = cut.saturating_sub(longest);
        while at < cut {
            let length = self.at(&text[at..]).unwrap_or(1);
            at += length;
            cut = cut.max(if length > 1 { at } else { cut }).min(text.len());
        }
        // Never inside a character, either.
        while cut > 0 && cut < text.len() && text[cut] & 0xC0 == 0x80 {
            cut -= 1;
        }
        cut
    }

    fn at(&self, text: &[u8]) -> Option<usize> {
        self.values.iter().find(|value| text.starts_with(value)).map(Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_the_longest_value_and_each_line_of_a_long_one() {
        let masks = Masks::new(["secret", "secret-key", "one\ntwo\n", ""].into_iter());
        assert_eq!(masks.text("my secret-key and secret; one then two"), "my *** and ***; *** then ***");
        assert_eq!(masks.text("nothing"), "nothing");
    }

    #[test]
    fn a_cut_never_splits_a_value() {
        let masks = Masks::new(["abcdef"].into_iter());
        let text = b"xxxxabcdefabc";
        let cut = masks.safe_cut(text);
        assert_eq!(cut, 10, "behind the whole value, before what may become one");
        assert_eq!(masks.bytes(&text[..cut]), b"xxxx***");
        assert_eq!(Masks::default().safe_cut("aé".as_bytes()), 3);
    }
}
