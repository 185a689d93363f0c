//! Where the zip of a function may be fetched: a URL that is good for ten minutes and for that zip alone, as AWS presigns
//! one. The key is this process's own and lives as long.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use towpath_model::time::Timestamp;

use crate::ambient::Ambient;

/// The path below which the front door serves code.
pub const PATH: &str = "/lambda/code/";
const LIFE_MILLIS: i64 = 10 * 60 * 1000;

pub(super) struct Downloads {
    key: [u8; 32],
    base: Option<String>,
}

impl Downloads {
    pub fn new(ambient: &Ambient, base: Option<String>) -> Self {
        Self { key: ambient.bytes(), base }
    }

    pub fn location(&self, code: &str, now: Timestamp) -> Option<String> {
        let expires = now.plus_millis(LIFE_MILLIS).millis();
        let base = self.base.as_deref()?.trim_end_matches('/');
        Some(format!("{base}{PATH}{code}.zip?expires={expires}&signature={}", self.sign(code, expires)?))
    }

    /// The code that a path and a query name, if the URL is ours and still good.
    pub fn code<'a>(&self, path: &'a str, query: &str, now: Timestamp) -> Option<&'a str> {
        let code = path.strip_prefix(PATH)?.strip_suffix(".zip")?;
        let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let expires: i64 = value("expires")?.parse().ok()?;
        let wanted = self.sign(code, expires)?;
        let given = value("signature")?;
        let right: bool = wanted.as_bytes().ct_eq(given.as_bytes()).into();
        (right && now.millis() < expires).then_some(code)
    }

    fn sign(&self, code: &str, expires: i64) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(format!("{code}\n{expires}").as_bytes());
        Some(hex::encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use towpath_model::time::Timestamp;

    use super::Downloads;

    #[test]
    fn a_location_is_good_for_its_zip_and_ten_minutes() {
        let downloads = Downloads { key: [7; 32], base: Some("http://here/".to_owned()) };
        let now = Timestamp::from_millis(1_000_000);
        let location = downloads.location("abc", now).expect("a base is known");
        let (path, query) = location.strip_prefix("http://here").and_then(|l| l.split_once('?')).expect("a query");
        assert_eq!(downloads.code(path, query, now), Some("abc"));
        assert_eq!(downloads.code("/lambda/code/abd.zip", query, now), None, "another zip");
        assert_eq!(downloads.code(path, query, now.plus_millis(600_000)), None, "too late");
        assert_eq!(downloads.code(path, &query.replace("expires=1", "expires=2"), now), None, "a longer life");
    }
}
