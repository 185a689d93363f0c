//! The words of the command line: what runs, which gate, when. Syntax only; whether the pipeline has such a stage is
//! asked in `wish`.

use std::fmt;
use std::time::Duration;

use towpath_model::declaration::{ConditionType, RetryMode};

use crate::document::shape::did_you_mean;
use crate::limits;

/// An action, or a rule of a gate's condition, within its stage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    pub gate: Option<ConditionType>,
    pub name: String,
}

/// `Stage/Action` or `Stage/gate/Rule`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub stage: String,
    pub part: Part,
}

impl Target {
    pub fn new(stage: &str, gate: Option<ConditionType>, name: &str) -> Self {
        Self { stage: stage.to_owned(), part: Part { gate, name: name.to_owned() } }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gate {
            Some(gate) => write!(f, "{}/{}", gate.as_str(), self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stage, self.part)
    }
}

/// Every run of a target, or the nth of the whole simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub target: Target,
    pub nth: Option<u32>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            Some(nth) => write!(f, "{}#{nth}", self.target),
            None => write!(f, "{}", self.target),
        }
    }
}

/// How long a run takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Length {
    pub run: Run,
    pub length: Duration,
}

/// When something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// So long after the first execution started.
    After(Duration),
    /// So long after the nth run of a stage, or of something in it, began.
    During { stage: String, part: Option<Part>, nth: u32, plus: Duration },
    /// A minute after the stage failed or was stopped.
    Ended(String),
    /// A beforeEntry condition is being evaluated; or, a minute ago, an onSuccess condition was not met.
    HeldBack(String, ConditionType),
}

/// What somebody does in the course of the simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    Start,
    Stop { execution: Option<u64>, abandon: bool },
    Retry { stage: String, mode: RetryMode },
    Rollback { stage: String },
    Override { stage: String, gate: ConditionType },
    Transition { stage: String, outbound: bool, enable: bool },
    Update,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    pub deed: Deed,
    pub moment: Moment,
    /// As it was written.
    pub option: String,
}

/// `90s`, `5m`, `1h30m`, `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration: write it like 90s, 5m, 1h30m or 2d");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let (unit, seconds) = match rest.bytes().next() {
            Some(b's') => ("s", 1),
            Some(b'm') => ("m", 60),
            Some(b'h') => ("h", 3600),
            Some(b'd') => ("d", 86_400),
            _ => return Err(wrong()),
        };
        rest = rest.strip_prefix(unit).unwrap_or_default();
        total = total.saturating_add(Duration::from_secs(u64::from(number) * seconds));
    }
    if text.is_empty() {
        return Err(wrong());
    }
    if total > limits::SIMULATED_MAX {
        return Err(format!("`{text}` is too long: a simulation lasts 400d at the most"));
    }
    Ok(total)
}

fn gate(text: &str) -> Result<ConditionType, String> {
    ConditionType::ALL.into_iter().find(|gate| gate.as_str().eq_ignore_ascii_case(text)).ok_or_else(|| {
        let near = did_you_mean(text, ConditionType::ALL.iter().map(|gate| gate.as_str()));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        format!("`{text}` is no gate of a stage: the gates are beforeEntry, onSuccess and onFailure{hint}")
    })
}

/// `#N` at the end.
fn numbered(text: &str) -> Result<(&str, Option<u32>), String> {
    let Some((before, number)) = text.rsplit_once('#') else { return Ok((text, None)) };
    match number.parse::<u32>() {
        Ok(number) if number > 0 => Ok((before, Some(number))),
        _ => Err(format!("`#{number}` counts runs from 1: write it like #2")),
    }
}

fn part(segments: &[&str]) -> Result<Option<Part>, String> {
    Ok(match segments {
        [] => None,
        [name] => Some(Part { gate: None, name: (*name).to_owned() }),
        [of, name] => Some(Part { gate: Some(gate(of)?), name: (*name).to_owned() }),
        _ => return Err("too many slashes: write Stage/Action, or Stage/gate/Rule".to_owned()),
    })
}

/// `Stage/Action[#N]` or `Stage/gate/Rule[#N]`.
pub fn run(text: &str) -> Result<Run, String> {
    let (path, nth) = numbered(text)?;
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err("write Stage/Action, or Stage/gate/Rule".to_owned());
    }
    match (segments[0], part(&segments[1..])?) {
        (stage, Some(part)) => Ok(Run { target: Target { stage: stage.to_owned(), part }, nth }),
        (_, None) => Err("the stage alone is not enough: write Stage/Action, or Stage/gate/Rule".to_owned()),
    }
}

/// `RUN=DURATION`.
pub fn length(text: &str) -> Result<Length, String> {
    let Some((before, after)) = text.rsplit_once('=') else {
        return Err("write it as Stage/Action=DURATION, like Build/Compile=12m".to_owned());
    };
    Ok(Length { run: run(before)?, length: duration(after)? })
}

/// A time, or `Stage[/Action][#N][+DURATION]`.
pub fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(after) = duration(text) {
        return Ok(Moment::After(after));
    }
    let (place, plus) = match text.rsplit_once('+') {
        Some((place, plus)) => (place, duration(plus)?),
        None => (text, Duration::ZERO),
    };
    let (path, nth) = numbered(place)?;
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err("write a time like 5m, or while something runs: Stage, Stage/Action, Stage/Action+30s".to_owned());
    }
    Ok(Moment::During { stage: segments[0].to_owned(), part: part(&segments[1..])?, nth: nth.unwrap_or(1), plus })
}

/// `WHAT@WHEN`, or `WHAT` alone where there is a moment that suggests itself.
fn at(text: &str) -> Result<(&str, Option<Moment>), String> {
    match text.rsplit_once('@') {
        Some((what, when)) => Ok((what, Some(moment(when)?))),
        None => Ok((text, None)),
    }
}

fn stage(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', '#', '+']) {
        return Err(format!("`{text}` is no stage: write the stage's name alone"));
    }
    Ok(text.to_owned())
}

fn planned(name: &str, text: &str, deed: Deed, moment: Moment) -> Planned {
    Planned { deed, moment, option: format!("--{name} {text}") }
}

/// `--start WHEN`.
pub fn start(text: &str) -> Result<Planned, String> {
    Ok(planned("start", text, Deed::Start, moment(text)?))
}

/// `--update WHEN`.
pub fn update(text: &str) -> Result<Planned, String> {
    Ok(planned("update", text, Deed::Update, moment(text)?))
}

/// `--stop [EXECUTION@]WHEN[,abandon]`.
pub fn stop(text: &str) -> Result<Planned, String> {
    let (which, abandon) = match text.split_once(',') {
        None => (text, false),
        Some((which, "abandon")) => (which, true),
        Some((_, other)) => return Err(format!("`,{other}` is not known here: write `,abandon`, or nothing")),
    };
    let (execution, when) = match which.split_once('@') {
        None => (None, which),
        Some((number, when)) => match number.parse::<u64>() {
            Ok(number) if number > 0 => (Some(number), when),
            _ => return Err(format!("`{number}` is no execution: write its number, like 2@{when}")),
        },
    };
    Ok(planned("stop", text, Deed::Stop { execution, abandon }, moment(when)?))
}

/// `--retry STAGE[@WHEN][,all]`.
pub fn retry(text: &str) -> Result<Planned, String> {
    let (which, mode) = match text.split_once(',') {
        None => (text, RetryMode::FailedActions),
        Some((which, "all")) => (which, RetryMode::AllActions),
        Some((_, other)) => return Err(format!("`,{other}` is not known here: write `,all`, or nothing")),
    };
    let (name, when) = at(which)?;
    let stage = stage(name)?;
    let moment = when.unwrap_or_else(|| Moment::Ended(stage.clone()));
    Ok(planned("retry", text, Deed::Retry { stage, mode }, moment))
}

/// `--rollback STAGE@WHEN`.
pub fn rollback(text: &str) -> Result<Planned, String> {
    let (name, when) = at(text)?;
    let Some(moment) = when else { return Err(format!("say when: {name}@20m")) };
    Ok(planned("rollback", text, Deed::Rollback { stage: stage(name)? }, moment))
}

/// `--override STAGE/GATE[@WHEN]`.
pub fn overriding(text: &str) -> Result<Planned, String> {
    let (path, when) = at(text)?;
    let Some((name, of)) = path.split_once('/') else {
        return Err(format!("say which gate: {path}/beforeEntry or {path}/onSuccess"));
    };
    let (stage, gate) = (stage(name)?, gate(of)?);
    if gate == ConditionType::OnFailure {
        return Err("AWS overrides beforeEntry and onSuccess conditions only".to_owned());
    }
    let moment = when.unwrap_or_else(|| Moment::HeldBack(stage.clone(), gate));
    Ok(planned("override", text, Deed::Override { stage, gate }, moment))
}

/// `--disable STAGE[/outbound][@WHEN]`; without a time it is so from the beginning.
pub fn disable(text: &str) -> Result<Planned, String> {
    transition("disable", text, false)
}

/// `--enable STAGE[/outbound]@WHEN`.
pub fn enable(text: &str) -> Result<Planned, String> {
    transition("enable", text, true)
}

fn transition(option: &str, text: &str, enable: bool) -> Result<Planned, String> {
    let (path, when) = at(text)?;
    let moment = match when {
        Some(moment) => moment,
        None if enable => return Err(format!("say when: {path}@30m")),
        None => Moment::After(Duration::ZERO),
    };
    let (name, outbound) = match path.split_once('/') {
        None | Some((_, "inbound")) => (path.split('/').next().unwrap_or_default(), false),
        Some((name, "outbound")) => (name, true),
        Some((name, other)) => return Err(format!("`{other}` is no transition: write {name}, or {name}/outbound")),
    };
    Ok(planned(option, text, Deed::Transition { stage: stage(name)?, outbound, enable }, moment))
}

/// `2030-01-31T17:00:00Z`, or a day alone.
pub fn instant(text: &str) -> Result<towpath_model::time::Timestamp, String> {
    let wrong = || format!("`{text}` is no time: write it in UTC, like 2030-01-31T17:00:00Z or 2030-01-31");
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let time = time.strip_suffix('Z').unwrap_or(time);
    let numbers = |text: &str, separator: char| -> Option<Vec<i64>> {
        text.split(separator).map(|n| if n.len() > 4 { None } else { n.parse::<u32>().ok().map(i64::from) }).collect()
    };
    let (Some(day), Some(time)) = (numbers(day, '-'), numbers(time, ':')) else { return Err(wrong()) };
    let [year, month, date] = day[..] else { return Err(wrong()) };
    let (hour, minute, second) = match time[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(wrong()),
    };
    if !(1970..=9000).contains(&year) || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
        return Err(wrong());
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months = &lengths[..usize::try_from(month - 1).unwrap_or_default()];
    if !(1..=lengths[months.len()]).contains(&date) {
        return Err(wrong());
    }
    let before = year - 1;
    let days = before * 365 + before / 4 - before / 100 + before / 400 + months.iter().sum::<i64>() + date - 719_163;
    Ok(towpath_model::time::Timestamp(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(duration("90s"), Ok(seconds(90)));
        assert_eq!(duration("1h30m"), Ok(seconds(5400)));
        assert_eq!(duration("2d"), Ok(seconds(172_800)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "5", "m", "5 m", "-5m", "1.5h", "5x", "401d", "99999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn runs_and_moments_are_read() {
        let deploy = Target::new("Deploy", None, "Ship");
        assert_eq!(run("Deploy/Ship"), Ok(Run { target: deploy.clone(), nth: None }));
        assert_eq!(run("Deploy/Ship#2"), Ok(Run { target: deploy, nth: Some(2) }));
        let rule = Target::new("Deploy", Some(ConditionType::OnSuccess), "Alarm");
        assert_eq!(run("Deploy/onsuccess/Alarm").map(|run| run.target), Ok(rule));
        assert_eq!(moment("5m"), Ok(Moment::After(seconds(300))));
        let during = Moment::During { stage: "Deploy".into(), part: None, nth: 1, plus: Duration::ZERO };
        assert_eq!(moment("Deploy"), Ok(during));
        let part = Some(Part { gate: None, name: "Ship".into() });
        let during = Moment::During { stage: "Deploy".into(), part, nth: 3, plus: seconds(30) };
        assert_eq!(moment("Deploy/Ship#3+30s"), Ok(during));
        for wrong in ["Deploy", "Deploy/", "/Ship", "a/b/c", "Deploy/Ship#0", "Deploy/Ship#x", "a/onSuccess/b/c"] {
            assert!(run(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(
            run("Deploy/onSucess/Alarm").unwrap_err(),
            "`onSucess` is no gate of a stage: the gates are beforeEntry, onSuccess and onFailure; did you mean \
             `onSuccess`?"
        );
    }

    #[test]
    fn deeds_are_read() {
        let read = |planned: Result<Planned, String>| planned.map(|p| (p.deed, p.moment)).unwrap();
        let after = |s| Moment::After(seconds(s));
        assert_eq!(read(stop("3m")), (Deed::Stop { execution: None, abandon: false }, after(180)));
        assert_eq!(read(stop("2@3m,abandon")), (Deed::Stop { execution: Some(2), abandon: true }, after(180)));
        let retry_all = Deed::Retry { stage: "Deploy".into(), mode: RetryMode::AllActions };
        assert_eq!(read(retry("Deploy@10m,all")), (retry_all.clone(), after(600)));
        assert_eq!(read(retry("Deploy,all")), (retry_all, Moment::Ended("Deploy".into())));
        let (stage, gate) = ("Prod".to_owned(), ConditionType::OnSuccess);
        assert_eq!(
            read(overriding("Prod/onSuccess")),
            (Deed::Override { stage: stage.clone(), gate }, Moment::HeldBack(stage.clone(), gate))
        );
        let closed = Deed::Transition { stage, outbound: true, enable: false };
        assert_eq!(read(disable("Prod/outbound")), (closed, after(0)));
        assert!(enable("Prod").is_err() && rollback("Prod").is_err() && overriding("Prod").is_err());
        assert!(overriding("Prod/onFailure").is_err() && stop("3m,now").is_err() && stop("x@3m").is_err());
    }

    #[test]
    fn instants_are_read_in_utc() {
        let text = |text| instant(text).map(towpath_model::time::Timestamp::iso8601);
        assert_eq!(text("2030-01-31T17:05:09Z"), Ok("2030-01-31T17:05:09.000Z".into()));
        assert_eq!(text("2028-02-29"), Ok("2028-02-29T00:00:00.000Z".into()));
        assert_eq!(text("1970-01-01 00:00"), Ok("1970-01-01T00:00:00.000Z".into()));
        for wrong in ["2029-02-29", "2030-13-01", "2030-01-01T24:00", "yesterday", "2030-01", "-1-1-1"] {
            assert!(text(wrong).is_err(), "{wrong:?}");
        }
    }
}
