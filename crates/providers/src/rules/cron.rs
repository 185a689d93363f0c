//! Quartz cron expressions as windows: which minutes of the local calendar an expression covers, and when it covers one
//! again. Pure. Written here because the cron libraries at hand follow Vixie's cron: they have no `L-3`, give `?` no
//! meaning, or do not say which field is wrong.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan, Zoned};

use crate::limits::{CRON_CHARS_MAX, CRON_YEARS_AHEAD};

/// A field of the expression: its name in messages, its numbers, its words.
struct Field {
    name: &'static str,
    min: u16,
    max: u16,
    words: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const SECONDS: Field = Field { name: "seconds", min: 0, max: 59, words: &[] };
const MINUTES: Field = Field { name: "minutes", min: 0, max: 59, words: &[] };
const HOURS: Field = Field { name: "hours", min: 0, max: 23, words: &[] };
const DAY_OF_MONTH: Field = Field { name: "day of month", min: 1, max: 31, words: &[] };
const MONTH: Field = Field { name: "month", min: 1, max: 12, words: &MONTHS };
const DAY_OF_WEEK: Field = Field { name: "day of week", min: 1, max: 7, words: &WEEKDAYS };
const YEAR: Field = Field { name: "year", min: 1970, max: 2199, words: &[] };

const FIELDS: [&Field; 7] = [&SECONDS, &MINUTES, &HOURS, &DAY_OF_MONTH, &MONTH, &DAY_OF_WEEK, &YEAR];

/// Numbers from 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Numbers(u64);

impl Numbers {
    fn insert(&mut self, number: u16) {
        self.0 |= 1 << number;
    }

    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.0 >> number & 1 == 1)
    }
}

/// Days of a month that are no plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MonthDay {
    /// `L`, `L-3`: so many days before the last.
    Last(i8),
    /// `15W`: the weekday nearest to the day, in the same month.
    Nearest(i8),
    /// `LW`, `L-3W`.
    NearestToLast(i8),
}

/// Weekdays of a month that are not all of their kind; Sunday is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WeekDay {
    /// `6L`.
    Last(i8),
    /// `6#3`.
    Nth(i8, i8),
}

/// One of the two day fields; `None` is `*` and `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Days<T> {
    numbers: Numbers,
    special: Vec<T>,
}

impl<T> Default for Days<T> {
    fn default() -> Self {
        Self { numbers: Numbers::default(), special: Vec::new() }
    }
}

/// A parsed expression. Seconds are read and forgotten: a window is made of minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Numbers,
    hours: Numbers,
    days: Option<Days<MonthDay>>,
    months: Numbers,
    weekdays: Option<Days<WeekDay>>,
    /// `None`: every year.
    years: Option<Vec<u16>>,
}

/// A piece of the expression and where it begins, counted in characters from 1.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
    index: usize,
    field: &'static Field,
}

impl<'a> Piece<'a> {
    fn wrong(&self, why: impl std::fmt::Display) -> String {
        let Self { text, at, index, field } = self;
        format!("The value of Cron is not valid: field {index} ({}), \"{text}\" at character {at}: {why}", field.name)
    }

    fn items(self) -> impl Iterator<Item = Piece<'a>> {
        let mut at = self.at;
        self.text.split(',').map(move |text| {
            let item = Piece { text, at, ..self };
            at += text.chars().count() + 1;
            item
        })
    }

    fn number(&self, text: &str) -> Result<u16, String> {
        let Field { min, max, words, .. } = self.field;
        if let Some(index) = words.iter().position(|word| word.eq_ignore_ascii_case(text)) {
            return Ok(min + u16::try_from(index).unwrap_or_default());
        }
        let number = Some(text).filter(|text| text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit()));
        number.and_then(|text| text.parse().ok()).filter(|number| (min..=max).contains(&number)).ok_or_else(|| {
            let words = match (words.first(), words.last()) {
                (Some(first), Some(last)) => format!(" or {first} to {last}"),
                _ => String::new(),
            };
            self.wrong(format_args!("expected a number from {min} to {max}{words}"))
        })
    }

    /// `*`, `5`, `5-9`, `*/5`, `5/15`, `5-30/5`; ranges may run over the end, as `22-2` does.
    fn numbers(&self, mut each: impl FnMut(u16)) -> Result<(), String> {
        let Field { min, max, .. } = *self.field;
        let (range, step) = match self.text.split_once('/') {
            Some((range, step)) => {
                let longest = max - min;
                let step = Some(step).filter(|step| step.len() <= 4 && step.bytes().all(|byte| byte.is_ascii_digit()));
                let step = step.and_then(|step| step.parse().ok()).filter(|step| (1..=longest.max(1)).contains(step));
                let why = || self.wrong(format_args!("the step after / must be a number from 1 to {longest}"));
                (range, Some(step.ok_or_else(why)?))
            }
            None => (self.text, None),
        };
        let (first, last) = if range == "*" || (range.is_empty() && step.is_some()) {
            (min, max)
        } else if let Some((first, last)) = range.split_once('-') {
            (self.number(first)?, self.number(last)?)
        } else {
            let first = self.number(range)?;
            (first, if step.is_some() { max } else { first })
        };
        let step = usize::from(step.unwrap_or(1));
        if first <= last {
            (first..=last).step_by(step).for_each(&mut each);
        } else if self.field.name == YEAR.name {
            return Err(self.wrong("the range ends before it begins"));
        } else {
            (first..=max).chain(min..=last).step_by(step).for_each(&mut each);
        }
        Ok(())
    }

    fn set(self) -> Result<Numbers, String> {
        let mut numbers = Numbers::default();
        for item in self.items() {
            item.numbers(|number| numbers.insert(number))?;
        }
        Ok(numbers)
    }

    fn small(&self, text: &str) -> Result<i8, String> {
        // Both day fields end at 31.
        self.number(text).map(|number| i8::try_from(number).unwrap_or(i8::MAX))
    }

    fn month_days(self) -> Result<Option<Days<MonthDay>>, String> {
        if self.is_any() {
            return Ok(None);
        }
        let mut days = Days::default();
        for item in self.items() {
            let upper = item.text.to_ascii_uppercase();
            if let Some(rest) = upper.strip_prefix('L') {
                let (rest, nearest) = rest.strip_suffix('W').map_or((rest, false), |rest| (rest, true));
                let before =
                    match rest.strip_prefix('-') {
                        None if rest.is_empty() => 0,
                        Some(number) => item.small(number).ok().filter(|number| *number <= 30).ok_or_else(|| {
                            item.wrong("L-n counts n days back from the last day of the month, 1 to 30")
                        })?,
                        None => return Err(item.wrong("after L expected nothing, W, or - and a number")),
                    };
                days.special.push(if nearest { MonthDay::NearestToLast(before) } else { MonthDay::Last(before) });
            } else if let Some(day) = upper.strip_suffix('W') {
                days.special.push(MonthDay::Nearest(item.small(day)?));
            } else {
                item.numbers(|number| days.numbers.insert(number))?;
            }
        }
        Ok(Some(days))
    }

    fn week_days(self) -> Result<Option<Days<WeekDay>>, String> {
        if self.is_any() {
            return Ok(None);
        }
        let mut days = Days::default();
        for item in self.items() {
            let upper = item.text.to_ascii_uppercase();
            if upper == "L" {
                // By itself it is the last day of the week.
                days.numbers.insert(DAY_OF_WEEK.max);
            } else if let Some(day) = upper.strip_suffix('L') {
                days.special.push(WeekDay::Last(item.small(day)?));
            } else if let Some((day, nth)) = upper.split_once('#') {
                let nth = nth.parse::<i8>().ok().filter(|nth| (1..=5).contains(nth));
                let nth = nth.ok_or_else(|| item.wrong("after # expected a number from 1 to 5"))?;
                days.special.push(WeekDay::Nth(item.small(day)?, nth));
            } else {
                item.numbers(|number| days.numbers.insert(number))?;
            }
        }
        Ok(Some(days))
    }

    fn is_any(self) -> bool {
        matches!(self.text, "*" | "?")
    }
}

impl Cron {
    /// Reads an expression of 6 or 7 fields; what is wrong with it names the field and the character.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > CRON_CHARS_MAX {
            return Err(format!("The value of Cron is not valid: it has more than {CRON_CHARS_MAX} characters"));
        }
        let begins = |(index, c): (usize, char)| {
            let before = index.checked_sub(1).and_then(|before| text.chars().nth(before));
            (!c.is_whitespace() && before.is_none_or(char::is_whitespace)).then_some(index + 1)
        };
        let starts: Vec<usize> = text.chars().enumerate().filter_map(begins).collect();
        let words: Vec<&str> = text.split_whitespace().collect();
        if words.len() != 6 && words.len() != 7 {
            return Err(format!(
                "The value of Cron is not valid: it has {} fields; it must have 6 or 7: seconds, minutes, hours, day of \
                 month, month, day of week and, if any, year",
                words.len()
            ));
        }
        let piece = |at: usize| Piece { text: words[at], at: starts[at], index: at + 1, field: FIELDS[at] };
        piece(0).set()?;
        let (minutes, hours) = (piece(1).set()?, piece(2).set()?);
        let (days, months, weekdays) = (piece(3).month_days()?, piece(4).set()?, piece(5).week_days()?);
        if words[3] == "?" && words[5] == "?" {
            return Err(piece(5).wrong("only one of day of month and day of week may be ?"));
        }
        if days.is_some() && weekdays.is_some() {
            return Err(piece(5).wrong("day of month names days too; write ? in one of the two fields"));
        }
        let years = match words.get(6) {
            None | Some(&"*") => None,
            Some(_) => {
                let mut years = Vec::new();
                for item in piece(6).items() {
                    item.numbers(|year| years.push(year))?;
                }
                years.sort_unstable();
                years.dedup();
                Some(years)
            }
        };
        Ok(Self { minutes, hours, days, months, weekdays, years })
    }

    /// Whether the minute that this moment lies in belongs to the window.
    pub fn covers(&self, at: DateTime) -> bool {
        self.covers_day(at.date()) && self.hours.has(at.hour()) && self.minutes.has(at.minute())
    }

    fn covers_day(&self, date: Date) -> bool {
        let in_year = |years: &Vec<u16>| u16::try_from(date.year()).is_ok_and(|year| years.contains(&year));
        self.months.has(date.month())
            && self.years.as_ref().is_none_or(in_year)
            && self.days.as_ref().is_none_or(|days| days.has(date))
            && self.weekdays.as_ref().is_none_or(|days| days.has(date))
    }

    /// The beginning of the first minute after `now`'s that belongs to the window. Minutes that the clocks leave out are
    /// never reached, those they repeat are reached twice.
    pub fn next(&self, now: Timestamp, zone: &TimeZone) -> Option<Zoned> {
        let minute = |at: Timestamp| Timestamp::from_second(at.as_second().div_euclid(60) * 60).ok();
        let mut at = minute(now)?.checked_add(1.minute()).ok()?;
        let mut date = zone.to_datetime(at).date();
        let last = self
            .years
            .as_ref()
            .map_or(i16::MAX, |years| years.last().and_then(|year| i16::try_from(*year).ok()).unwrap_or_default());
        let last = last.min(date.year().saturating_add(CRON_YEARS_AHEAD));
        while date.year() <= last {
            let tomorrow = date.checked_add(Span::new().days(1)).ok()?;
            let end = tomorrow.to_zoned(zone.clone()).ok()?.timestamp();
            if self.covers_day(date) {
                while at < end {
                    if self.covers(zone.to_datetime(at)) {
                        return Some(at.to_zoned(zone.clone()));
                    }
                    at = at.checked_add(1.minute()).ok()?;
                }
            }
            (date, at) = (tomorrow, at.max(end));
        }
        None
    }
}

impl Days<MonthDay> {
    fn has(&self, date: Date) -> bool {
        let last = date.days_in_month();
        self.numbers.has(date.day())
            || self.special.iter().any(|special| match *special {
                MonthDay::Last(before) => date.day() == last - before,
                MonthDay::Nearest(day) => day <= last && date.day() == nearest_weekday(date, day),
                MonthDay::NearestToLast(before) => last > before && date.day() == nearest_weekday(date, last - before),
            })
    }
}

impl Days<WeekDay> {
    fn has(&self, date: Date) -> bool {
        let weekday = date.weekday().to_sunday_one_offset();
        self.numbers.has(weekday)
            || self.special.iter().any(|special| match *special {
                WeekDay::Last(day) => weekday == day && date.day() + 7 > date.days_in_month(),
                WeekDay::Nth(day, nth) => weekday == day && (date.day() - 1) / 7 + 1 == nth,
            })
    }
}

/// The day from Monday to Friday nearest to `day`, in the month of `date`.
fn nearest_weekday(date: Date, day: i8) -> i8 {
    let last = date.days_in_month();
    let Ok(wanted) = date.with().day(day).build() else { return day };
    match wanted.weekday() {
        Weekday::Saturday if day == 1 => 3,
        Weekday::Saturday => day - 1,
        Weekday::Sunday if day == last => day - 2,
        Weekday::Sunday => day + 1,
        _ => day,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(expression: &str, at: &str) -> bool {
        Cron::parse(expression).unwrap().covers(at.parse().unwrap())
    }

    /// The days of a month that the day fields name.
    fn days(day_of_month: &str, day_of_week: &str, month: &str) -> Vec<i8> {
        let cron = Cron::parse(&format!("0 0 12 {day_of_month} * {day_of_week}")).unwrap();
        let first: Date = format!("{month}-01").parse().unwrap();
        let all = first.series(1.day()).take_while(|date| date.month() == first.month());
        all.filter(|date| cron.covers(date.at(12, 0, 30, 0))).map(Date::day).collect()
    }

    #[test]
    fn office_hours() {
        let office = "* * 9-16 ? * MON-FRI *";
        for (at, open) in [
            ("2026-10-01T09:00:00", true),
            ("2026-10-01T16:59:59", true),
            ("2026-10-01T17:00:00", false),
            ("2026-10-01T08:59:59", false),
            ("2026-10-03T12:00:00", false),
        ] {
            assert_eq!(covers(office, at), open, "{at}");
        }
        assert!(covers("0 0/15 22-2 ? * sun", "2026-10-04T01:45:00"), "ranges run over the end, case does not count");
        assert!(!covers("0 0/15 22-2 ? * sun", "2026-10-04T01:46:00"));
        assert!(covers("0 */20 * * * ?", "2026-10-04T01:40:00") && covers("0 /20 * * * ?", "2026-10-04T01:20:00"));
    }

    #[test]
    fn days_of_the_month() {
        assert_eq!(days("1,15,28-30", "?", "2026-02"), [1, 15, 28]);
        assert_eq!(days("L", "?", "2024-02"), [29]);
        assert_eq!(days("L-3", "?", "2026-10"), [28], "three days before the last");
        assert_eq!(days("l-30", "?", "2026-02"), Vec::<i8>::new());
        // 2026-10-31 is a Saturday, 2026-08-01 too, 2026-11-15 a Sunday, 2026-05-31 a Sunday.
        assert_eq!((days("LW", "?", "2026-10"), days("1W", "?", "2026-08")), (vec![30], vec![3]));
        assert_eq!((days("15W", "?", "2026-11"), days("31W", "?", "2026-05")), (vec![16], vec![29]));
        assert_eq!((days("15W", "?", "2026-10"), days("31W", "?", "2026-11")), (vec![15], vec![]));
        assert_eq!(days("L-1W", "?", "2026-11"), [30], "the 29th is a Sunday");
        assert_eq!(days("1/10", "?", "2026-10"), [1, 11, 21, 31]);
    }

    #[test]
    fn days_of_the_week() {
        assert_eq!(days("?", "6L", "2026-10"), [30], "the last Friday");
        assert_eq!(days("?", "FRI#3", "2026-10"), [16]);
        assert_eq!(days("?", "5#5", "2026-10"), [29]);
        assert_eq!(days("?", "2#5", "2026-10"), Vec::<i8>::new());
        assert_eq!(days("*", "1", "2026-10"), [4, 11, 18, 25], "1 is Sunday");
        assert_eq!(days("?", "L", "2026-10"), [3, 10, 17, 24, 31], "the last day of the week is Saturday");
        assert_eq!(days("?", "fri-mon", "2026-10").len(), 18);
        assert_eq!(days("?", "MON#1,6L", "2026-10"), [5, 30]);
    }

    #[test]
    fn months_and_years() {
        assert!(covers("0 0 0 1 JAN-MAR,12 ? 2026-2028", "2026-12-01T00:00:00"));
        assert!(!covers("0 0 0 1 JAN-MAR,12 ? 2026-2028", "2029-01-01T00:00:00"));
        assert!(covers("0 0 0 1 * ? 2024/2", "2026-12-01T00:00:00"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let prefix = "The value of Cron is not valid: ";
        for (expression, why) in [
            (
                "",
                "it has 0 fields; it must have 6 or 7: seconds, minutes, hours, day of month, month, day of week and, if any, year",
            ),
            (
                "* * * * *",
                "it has 5 fields; it must have 6 or 7: seconds, minutes, hours, day of month, month, day of week and, if any, year",
            ),
            ("0 60 * * * ?", "field 2 (minutes), \"60\" at character 3: expected a number from 0 to 59"),
            ("0 0 9,24 * * ?", "field 3 (hours), \"24\" at character 7: expected a number from 0 to 23"),
            (
                "0 0 9 ? FOO MON",
                "field 5 (month), \"FOO\" at character 9: expected a number from 1 to 12 or JAN to DEC",
            ),
            (
                "0 0 9 ?  * MON-FRY",
                "field 6 (day of week), \"MON-FRY\" at character 12: expected a number from 1 to 7 or SUN to SAT",
            ),
            (
                "0 0/0 9 ? * MON",
                "field 2 (minutes), \"0/0\" at character 3: the step after / must be a number from 1 to 59",
            ),
            ("0 0 9 ? * 6#6", "field 6 (day of week), \"6#6\" at character 11: after # expected a number from 1 to 5"),
            (
                "0 0 9 LX * ?",
                "field 4 (day of month), \"LX\" at character 7: after L expected nothing, W, or - and a number",
            ),
            (
                "0 0 9 L-31 * ?",
                "field 4 (day of month), \"L-31\" at character 7: L-n counts n days back from the last day of the month, 1 to 30",
            ),
            ("0 0 9 32W * ?", "field 4 (day of month), \"32W\" at character 7: expected a number from 1 to 31"),
            (
                "0 0 9 ? * ?",
                "field 6 (day of week), \"?\" at character 11: only one of day of month and day of week may be ?",
            ),
            (
                "0 0 9 1 * MON",
                "field 6 (day of week), \"MON\" at character 11: day of month names days too; write ? in one of the two fields",
            ),
            ("0 ? 9 ? * MON", "field 2 (minutes), \"?\" at character 3: expected a number from 0 to 59"),
            (
                "0 0 9 ? * MON 2030-2020",
                "field 7 (year), \"2030-2020\" at character 15: the range ends before it begins",
            ),
            ("0 0 9 ? * MON 1969", "field 7 (year), \"1969\" at character 15: expected a number from 1970 to 2199"),
            ("99 0 9 ? * MON", "field 1 (seconds), \"99\" at character 1: expected a number from 0 to 59"),
            ("0 0, 9 ? * MON", "field 2 (minutes), \"\" at character 5: expected a number from 0 to 59"),
        ] {
            assert_eq!(Cron::parse(expression), Err(format!("{prefix}{why}")), "{expression}");
        }
        assert!(Cron::parse(&"0 ".repeat(1000)).unwrap_err().contains("characters"));
    }

    fn next(expression: &str, now: &str, zone: &str) -> Option<String> {
        let zone = super::super::time_zone::parse(zone).unwrap();
        Cron::parse(expression).unwrap().next(now.parse().unwrap(), &zone).map(|at| at.to_string())
    }

    #[test]
    fn the_next_opening() {
        let office = "* * 9-16 ? * MON-FRI *";
        // A Friday evening in Amsterdam.
        let now = "2026-10-02T18:30:10Z";
        assert_eq!(next(office, now, "Europe/Amsterdam").unwrap(), "2026-10-05T09:00:00+02:00[Europe/Amsterdam]");
        assert_eq!(next("0 0 0 29 2 ?", now, "UTC").unwrap(), "2028-02-29T00:00:00+00:00[UTC]");
        assert_eq!(next("0 0 0 1 1 ? 2020", now, "UTC"), None, "never again");
        assert_eq!(next("0 0 0 31 2 ?", now, "UTC"), None, "never at all");
        assert_eq!(next("* * * * * ?", now, "UTC").unwrap(), "2026-10-02T18:31:00+00:00[UTC]");
    }

    #[test]
    fn clocks_that_are_changed() {
        // Amsterdam leaves out 02:00 to 03:00 on 2026-03-29 and repeats it on 2026-10-25.
        let half_past_two = "0 30 2 * * ?";
        assert_eq!(
            next(half_past_two, "2026-03-28T12:00:00Z", "Europe/Amsterdam").unwrap(),
            "2026-03-30T02:30:00+02:00[Europe/Amsterdam]"
        );
        let first = next(half_past_two, "2026-10-24T12:00:00Z", "Europe/Amsterdam").unwrap();
        assert_eq!(first, "2026-10-25T02:30:00+02:00[Europe/Amsterdam]");
        let again = next(half_past_two, "2026-10-25T00:30:00Z", "Europe/Amsterdam").unwrap();
        assert_eq!(again, "2026-10-25T02:30:00+01:00[Europe/Amsterdam]");
        // Kathmandu is 5:45 ahead.
        assert_eq!(
            next("0 0 9 * * ?", "2026-10-01T00:00:00Z", "Asia/Kathmandu").unwrap(),
            "2026-10-01T09:00:00+05:45[Asia/Kathmandu]"
        );
    }
}
