//! The times of SigV4: `YYYYMMDDTHHMMSSZ` and, in a `Date` header, RFC 1123. Epoch seconds in, epoch seconds out; no clock.

use std::fmt::Write as _;

/// A moment of a request in both forms that verification needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmzDate {
    pub epoch: i64,
    text: [u8; 16],
}

impl AmzDate {
    /// `20150830T123600Z`.
    pub fn parse_basic(text: &str) -> Option<Self> {
        let bytes: [u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let digits = |from: usize, to: usize| {
            bytes[from..to].iter().try_fold(0_i16, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i16::from(b - b'0')))
        };
        let small = |from: usize| digits(from, from + 2).and_then(|n| i8::try_from(n).ok());
        let date = jiff::civil::Date::new(digits(0, 4)?, small(4)?, small(6)?).ok()?;
        let time = jiff::civil::Time::new(small(9)?, small(11)?, small(13)?, 0).ok()?;
        let moment = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Self { epoch: moment.timestamp().as_second(), text: bytes })
    }

    /// A `Date` header: `Sun, 30 Aug 2015 12:36:00 GMT`, or the basic form.
    pub fn parse_date_header(text: &str) -> Option<Self> {
        Self::parse_basic(text)
            .or_else(|| Self::from_epoch(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second()))
    }

    pub fn from_epoch(epoch: i64) -> Option<Self> {
        let text = basic(epoch);
        Some(Self { epoch, text: text.as_bytes().try_into().ok()? })
    }

    pub fn text(&self) -> &str {
        // The constructors admit only ASCII.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The first eight digits.
    pub fn day(&self) -> &str {
        &self.text()[..8]
    }
}

/// Epoch seconds as `20150830T123600Z`, for error texts.
pub fn basic(epoch: i64) -> String {
    let mut out = String::with_capacity(16);
    if let Ok(moment) = jiff::Timestamp::from_second(epoch) {
        let utc = moment.to_zoned(jiff::tz::TimeZone::UTC);
        let _ = write!(out, "{}", utc.strftime("%Y%m%dT%H%M%SZ"));
    }
    out
}

/// Epoch seconds as `2015-08-30T12:36:00Z`, for S3's error elements.
pub fn extended(epoch: i64) -> String {
    jiff::Timestamp::from_second(epoch).map_or_else(|_| String::new(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::{AmzDate, basic, extended};

    #[test]
    fn times_are_read_and_written() {
        let moment = AmzDate::parse_basic("20150830T123600Z").expect("a time");
        assert_eq!((moment.epoch, moment.text(), moment.day()), (1_440_938_160, "20150830T123600Z", "20150830"));
        assert_eq!(AmzDate::parse_date_header("Sun, 30 Aug 2015 12:36:00 GMT"), Some(moment));
        assert_eq!(AmzDate::parse_date_header("20150830T123600Z"), Some(moment));
        assert_eq!(basic(1_440_938_160), "20150830T123600Z");
        assert_eq!(extended(1_440_938_160), "2015-08-30T12:36:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "20150830T123600", "20150830 123600Z", "20151330T123600Z", "2015083xT123600Z", "20150830T126100Z"]
        {
            assert_eq!(AmzDate::parse_basic(text), None, "{text}");
        }
        assert_eq!(AmzDate::parse_date_header("yesterday"), None);
    }
}
