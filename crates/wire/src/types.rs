//! The scalar types of generated shapes that need more than a Rust primitive: timestamps, blobs, and strings that must not be
//! printed. They know their wire form and nothing else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is printed in place of a secret.
pub const MASK: &str = "****";

/// A moment with millisecond precision: a JSON number of epoch seconds in JSON 1.1, ISO 8601 in Query/XML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Epoch seconds, with the milliseconds as a fraction. Nothing if the number is no moment (not finite, or out of range).
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let millis = (seconds * 1000.0).round();
        // The years that ISO 8601 writes with four digits; every cast below is exact within them.
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
        (MILLIS_MIN..=MILLIS_MAX).contains(&millis).then_some(Self(millis as i64))
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds of four-digit years fit in 53 bits")]
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// ISO 8601 in UTC: `2026-01-02T03:04:05Z`, with or without a fraction, or with an offset.
    pub fn parse_iso(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_millisecond()))
    }

    /// ISO 8601 in UTC with whole seconds, as the Query services write it.
    pub fn to_iso(self) -> String {
        let seconds = self.0.div_euclid(1000);
        jiff::Timestamp::from_second(seconds).map_or_else(|_| String::new(), |moment| moment.to_string())
    }
}

const MILLIS_MIN: f64 = -62_135_596_800_000.0;
const MILLIS_MAX: f64 = 253_402_300_799_999.0;

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_seconds())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Moment;
        impl Visitor<'_> for Moment {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("epoch seconds or an ISO 8601 time")
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Timestamp, E> {
                Timestamp::from_seconds(seconds).ok_or_else(|| E::custom("a time out of range"))
            }

            #[expect(clippy::cast_precision_loss, reason = "what is lost is far outside the range that is accepted")]
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Timestamp, E> {
                self.visit_f64(seconds as f64)
            }

            #[expect(clippy::cast_precision_loss, reason = "what is lost is far outside the range that is accepted")]
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Timestamp, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse_iso(text).ok_or_else(|| E::custom("not an ISO 8601 time"))
            }
        }
        deserializer.deserialize_any(Moment)
    }
}

/// Bytes, base64 on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(|_| de::Error::custom("not base64"))
    }
}

/// A string that the model marks as sensitive. It goes over the wire as it is; Debug and Display print a mask.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sensitive(String);

impl Sensitive {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. The name is long so that a use stands out in review.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    pub fn into_exposed_secret(self) -> String {
        self.0
    }
}

impl From<String> for Sensitive {
    fn from(secret: String) -> Self {
        Self(secret)
    }
}

impl From<&str> for Sensitive {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::{Blob, Sensitive, Timestamp};

    #[test]
    fn a_timestamp_is_seconds_with_milliseconds_in_json() {
        let moment = Timestamp::from_millis(1_790_862_132_194);
        assert_eq!(serde_json::to_string(&moment).expect("a number"), "1790862132.194");
        for text in ["1790862132.194", "\"2026-10-01T13:42:12.194Z\""] {
            let read: Timestamp = serde_json::from_str(text).expect("a time");
            assert_eq!(read.to_iso(), moment.to_iso(), "{text}");
        }
        assert_eq!(serde_json::from_str::<Timestamp>("5").expect("a time"), Timestamp::from_millis(5000));
        assert!(serde_json::from_str::<Timestamp>("1e300").is_err(), "no such moment");
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn a_timestamp_is_whole_seconds_in_xml() {
        assert_eq!(Timestamp::from_millis(1_767_323_045_678).to_iso(), "2026-01-02T03:04:05Z");
        assert_eq!(Timestamp::parse_iso("2026-01-02T03:04:05Z"), Some(Timestamp::from_millis(1_767_323_045_000)));
    }

    #[test]
    fn a_secret_is_sent_but_never_printed() {
        let secret = Sensitive::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "**** ****");
        assert_eq!(serde_json::to_string(&secret).expect("a string"), "\"hunter2\"");
        assert_eq!(secret.expose_secret(), "hunter2");
    }

    #[test]
    fn a_blob_is_base64() {
        let blob = Blob(b"any \xff bytes".to_vec());
        let text = serde_json::to_string(&blob).expect("a string");
        assert_eq!(text, "\"YW55IP8gYnl0ZXM=\"");
        assert_eq!(serde_json::from_str::<Blob>(&text).expect("base64"), blob);
        assert!(serde_json::from_str::<Blob>("\"?\"").is_err());
    }
}
