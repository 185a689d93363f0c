//! The time zones a DeploymentWindow may name: `Region/City`, `UTC`, `UTC+HH:MM` and abbreviations. Zone rules are the
//! system's where it has them, else those in the binary.

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// Abbreviations of Java's `ZoneId.SHORT_IDS` that the IANA database does not have.
const ABBREVIATIONS: [(&str, &str); 26] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
    ("Z", "UTC"),
];

/// The zone of this name, or what is wrong with the name.
pub fn parse(name: &str) -> Result<TimeZone, String> {
    let wrong = |why: &str| {
        format!(
            "The value of TimeZone, \"{name}\", is not valid: {why}. Use a Region/City such as Europe/Amsterdam, UTC, or \
             UTC+HH:MM."
        )
    };
    if name.is_empty() || name.len() > crate::limits::TIME_ZONE_CHARS_MAX {
        return Err(wrong("it is empty or too long"));
    }
    let upper = name.to_ascii_uppercase();
    if let Some(offset) = upper.strip_prefix("UTC").filter(|offset| !offset.is_empty()) {
        return fixed(offset).ok_or_else(|| wrong("an offset is +HH:MM or -HH:MM, up to 18:00"));
    }
    let abbreviation = (3..=5).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !abbreviation && !name.contains('/') {
        return Err(wrong("it is neither a Region/City nor an abbreviation of 3 to 5 letters"));
    }
    let long = ABBREVIATIONS.iter().find(|(short, _)| *short == upper).map_or(name, |(_, long)| *long);
    let found = jiff::tz::db().get(long).or_else(|_| TimeZoneDatabase::bundled().get(long));
    found.map_err(|_| wrong("there is no time zone of this name"))
}

/// `+05:30`, `-8`, `+10`.
fn fixed(text: &str) -> Option<TimeZone> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text[1..].split_once(':').unwrap_or((&text[1..], "00"));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i32>().ok())?;
    if hours.len() > 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let seconds = hours * 3600 + minutes * 60;
    if minutes > 59 || seconds > 18 * 3600 {
        return None;
    }
    Some(TimeZone::fixed(Offset::from_seconds(sign * seconds).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds east of Greenwich in January.
    fn offset(name: &str) -> i32 {
        let at: jiff::Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
        parse(name).unwrap().to_offset(at).seconds()
    }

    #[test]
    fn every_documented_form_is_known() {
        assert_eq!(offset("Europe/Amsterdam"), 3600);
        assert_eq!(offset("america/argentina/buenos_aires"), -3 * 3600);
        assert_eq!((offset("UTC"), offset("utc"), offset("GMT")), (0, 0, 0));
        assert_eq!((offset("UTC+05:30"), offset("UTC-08:00"), offset("UTC+9")), (19_800, -28_800, 32_400));
        assert_eq!((offset("CET"), offset("EST"), offset("PST"), offset("JST")), (3600, -18_000, -28_800, 32_400));
    }

    #[test]
    fn every_abbreviation_has_its_zone() {
        for (_, long) in ABBREVIATIONS {
            assert!(TimeZoneDatabase::bundled().get(long).is_ok(), "{long}");
        }
    }

    #[test]
    fn other_names_are_refused_with_the_forms_there_are() {
        for name in
            ["", "Amsterdam", "Europe/Nowhere", "XYZ", "UTC+", "UTC+25:00", "UTC+5:7", "UTC+05:60", "+02:00", "UTC5"]
        {
            let message = parse(name).unwrap_err();
            assert!(message.starts_with(&format!("The value of TimeZone, \"{name}\", is not valid: ")), "{message}");
            assert!(message.contains("Europe/Amsterdam"), "{message}");
        }
    }
}
