//! The password that AWS derives from an access key for git over HTTPS: a time and a SigV4 signature over host and path.
//! The session token of temporary credentials travels in the user name and is not signed.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use towpath_model::secret::Secret;
use towpath_model::time::Timestamp;

use crate::fetch::Access;
use crate::limits::PASSWORD_SECONDS;

type HmacSha256 = Hmac<Sha256>;

/// The name of the service in the credential scope.
pub const CODECOMMIT: &str = "codecommit";

/// Who signs, and for which service where.
#[derive(Debug, Clone, Copy)]
pub struct Signing<'a> {
    pub secret: &'a Secret,
    pub region: &'a str,
    /// [`CODECOMMIT`], or the signing name of another service that serves git this way.
    pub service: &'a str,
    /// As in the URL, without a port.
    pub host: &'a str,
    /// Of the repository, as in the URL: `/v1/repos/NAME`.
    pub path: &'a str,
}

impl Signing<'_> {
    /// The password that is good from `now` on.
    pub fn password(&self, now: Timestamp) -> Secret {
        let time = compact(now);
        Secret::new(format!("{time}Z{}", self.signature(&time)))
    }

    /// Whether this password was made with the key, a short while before or after `now`.
    pub fn verify(&self, password: &str, now: Timestamp) -> Verdict {
        let Some((time, signature)) = password.split_once('Z') else { return Verdict::Wrong };
        let Some(signed) = seconds(time) else { return Verdict::Wrong };
        if !bool::from(self.signature(time).as_bytes().ct_eq(signature.as_bytes())) {
            return Verdict::Wrong;
        }
        let age = (now.millis() / 1000 - signed).abs();
        if age > PASSWORD_SECONDS { Verdict::Expired } else { Verdict::Good }
    }

    fn signature(&self, time: &str) -> String {
        let canonical = format!("GIT\n{}\n\nhost:{}\n\nhost\n", self.path, self.host);
        let date = time.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let mut key = mac(format!("AWS4{}", self.secret.expose()).as_bytes(), date.as_bytes());
        for part in [self.region, self.service, "aws4_request"] {
            key = mac(&key, part.as_bytes());
        }
        hex::encode(mac(&key, to_sign.as_bytes()))
    }
}

/// What a password is derived from.
#[derive(Debug, Clone, Copy)]
pub struct AccessKey<'a> {
    pub id: &'a str,
    pub secret: &'a Secret,
    pub session_token: Option<&'a str>,
}

impl AccessKey<'_> {
    /// Access to the repository at this URL of a service in this Region, with a password that is good from `now` on.
    /// Connections take the passwords of CodeCommit, the one service that AWS's helper derives them for.
    pub fn access(&self, url: &str, region: &str, now: Timestamp) -> Access {
        let (host, path) = host_and_path(url);
        let signing = Signing { secret: self.secret, region, service: CODECOMMIT, host, path };
        Access::Basic { user: user(self.id, self.session_token), password: signing.password(now) }
    }
}

/// The two parts of a URL that are signed. The port is not.
fn host_and_path(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    (host, path)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Wrong,
    /// Made with the key, at another time.
    Expired,
}

/// The user name that goes with the password.
pub fn user(access_key: &str, session_token: Option<&str>) -> String {
    session_token.map_or_else(|| access_key.to_owned(), |token| format!("{access_key}%{token}"))
}

/// Access key and session token of a user name.
pub fn split_user(user: &str) -> (&str, Option<&str>) {
    user.split_once('%').map_or((user, None), |(key, token)| (key, Some(token)))
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = HmacSha256::new_from_slice(key) else { return Vec::new() };
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// `YYYYMMDDTHHMMSS`.
fn compact(time: Timestamp) -> String {
    time.iso8601().chars().filter(|c| !matches!(c, '-' | ':')).take(15).collect()
}

/// Epoch seconds of `YYYYMMDDTHHMMSS`.
fn seconds(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let digits = bytes.len() == 15
        && bytes.iter().enumerate().all(|(i, b)| (i == 8) == (*b == b'T') && (i == 8 || b.is_ascii_digit()));
    if !digits {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days from civil (proleptic Gregorian), the year starting in March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let day_of_era =
        y.rem_euclid(400) * 365 + y.rem_euclid(400) / 4 - y.rem_euclid(400) / 100 + (153 * m + 2) / 5 + day - 1;
    Some((era * 146_097 + day_of_era - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_893_553_445_000);
    /// Computed by git-remote-codecommit 1.17.
    const PASSWORD: &str = "20300102T030405Z52592502233542243f67fab3701409d1f766cd20d09ad6ae6d868676f5dccc02";

    #[test]
    fn host_and_path_are_signed_without_the_port() {
        let aws = "git-codecommit.eu-west-1.amazonaws.com";
        for (url, host, path) in [
            ("http://127.0.0.1:7400/v1/repos/demo", "127.0.0.1", "/v1/repos/demo"),
            (&format!("https://{aws}/v1/repos/demo"), aws, "/v1/repos/demo"),
            ("http://[::1]:7400/v1/repos/demo", "[::1]", "/v1/repos/demo"),
            ("http://[::1]/v1/repos/demo", "[::1]", "/v1/repos/demo"),
            ("http://localhost", "localhost", ""),
        ] {
            assert_eq!(host_and_path(url), (host, path), "{url}");
        }
    }

    fn signing(secret: &Secret) -> Signing<'_> {
        Signing {
            secret,
            region: "us-east-1",
            service: CODECOMMIT,
            host: "git-codecommit.us-east-1.amazonaws.com",
            path: "/v1/repos/demo",
        }
    }

    #[test]
    fn the_password_is_the_one_of_awss_own_helper() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signing = signing(&secret);
        assert_eq!(signing.password(NOW).expose(), PASSWORD);
        assert_eq!(signing.verify(PASSWORD, NOW), Verdict::Good);
    }

    #[test]
    fn a_password_is_good_for_its_time_place_and_key() {
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let good = signing(&secret);
        for (seconds, verdict) in
            [(900, Verdict::Good), (901, Verdict::Expired), (-900, Verdict::Good), (-901, Verdict::Expired)]
        {
            assert_eq!(good.verify(PASSWORD, NOW.plus_millis(seconds * 1000)), verdict, "{seconds}");
        }
        let other = Secret::new("other");
        for bad in [
            Signing { region: "eu-west-1", ..good },
            Signing { path: "/v1/repos/demo2", ..good },
            Signing { host: "localhost", ..good },
            Signing { service: "codeconnections", ..good },
            Signing { secret: &other, ..good },
        ] {
            assert_eq!(bad.verify(PASSWORD, NOW), Verdict::Wrong);
        }
        for bad in
            ["", "Z", "20300102T030405Z", "20301302T030405Zab", "hunter2", "2030-01-02T03:04Zab", "é0300102T03040Z"]
        {
            assert_eq!(good.verify(bad, NOW), Verdict::Wrong, "{bad}");
        }
    }

    #[test]
    fn users_carry_the_session_token() {
        assert_eq!(split_user(&user("AKID", None)), ("AKID", None));
        assert_eq!(split_user(&user("ASIA", Some("to%ken"))), ("ASIA", Some("to%ken")));
    }
}
