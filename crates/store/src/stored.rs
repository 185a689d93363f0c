//! The stored form of pipeline state: JSON that begins with its format version, so that a later version can tell an
//! old body from a new one and convert it, and this one can refuse what it does not know.
//!
//! Format 1 is the model's own serde form. A change to the model that old bodies do not parse under makes format 2 here
//! and a conversion from 1; the model itself never learns of old forms.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::documents::bounded;
use crate::limits::BODY_BYTES_MAX;

const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Encoded<'a, T> {
    format: u32,
    value: &'a T,
}

#[derive(Deserialize)]
struct Decoded<T> {
    format: u32,
    value: T,
}

#[derive(Deserialize)]
struct Header {
    format: u32,
}

pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, StoreError> {
    let body =
        serde_json::to_vec(&Encoded { format: FORMAT, value }).map_err(|source| StoreError::Encode { what, source })?;
    bounded("bytes in one stored row", body.len(), BODY_BYTES_MAX)?;
    Ok(body)
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt { what: format!("a stored {what}"), reason };
    match serde_json::from_slice::<Decoded<T>>(body) {
        Ok(decoded) if decoded.format == FORMAT => Ok(decoded.value),
        result => {
            let format = match (&result, serde_json::from_slice::<Header>(body)) {
                (Ok(decoded), _) => decoded.format,
                (Err(_), Ok(header)) => header.format,
                (Err(error), Err(_)) => return Err(corrupt(error.to_string())),
            };
            Err(corrupt(match result {
                Err(error) if format == FORMAT => error.to_string(),
                _ => format!("it has format {format}, this towpath knows {FORMAT}"),
            }))
        }
    }
}

/// The databases' integers are signed; versions and sequence numbers never get near the difference.
pub(crate) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn to_u64(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_comes_first_and_is_checked() {
        let body = encode("number", &7).unwrap();
        assert_eq!(body, br#"{"format":1,"value":7}"#);
        assert_eq!(decode::<u32>("number", &body).unwrap(), 7);
        let reason = |body: &[u8]| decode::<u32>("number", body).unwrap_err().to_string();
        assert!(reason(br#"{"format":2,"value":7}"#).contains("it has format 2, this towpath knows 1"));
        assert!(reason(br#"{"format":2,"value":{"other":"shape"}}"#).contains("it has format 2, this towpath knows 1"));
        assert!(reason(br#"{"format":1,"value":"seven"}"#).contains("invalid type"));
        assert!(reason(b"7").starts_with("a stored number cannot be read"));
    }
}
