//! How traffic goes from one version of a function to another: the strategies that a Lambda deployment knows, as steps and
//! pauses. Pure; who carries them out is `lambda_deploy.rs`.
//!
//! | Strategy | Steps | Pause before each but the first |
//! |---|---|---|
//! | `AllAtOnce` | 100 % | none |
//! | `Canary10Percent5Minutes` | 10 %, 100 % | 5 minutes |
//! | `Linear25PercentEvery10Minutes` | 25 %, 50 %, 75 %, 100 % | 10 minutes |

use crate::limits::LAMBDA_SHIFT_MINUTES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    AllAtOnce,
    Canary { percent: u32, minutes: u32 },
    Linear { percent: u32, minutes: u32 },
}

/// The alias whose traffic moves, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift<'a> {
    pub alias: &'a str,
    pub strategy: Strategy,
    /// Names of alarms that end it.
    pub alarms: Vec<&'a str>,
}

impl Strategy {
    /// The configured text, or why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| {
            format!(
                "The value of DeployStrategy is '{text}'{why}. It must be AllAtOnce, Canary<percent>Percent<n>Minutes or \
                 Linear<percent>PercentEvery<n>Minutes, as in Canary10Percent5Minutes."
            )
        };
        let strategy = match text {
            "AllAtOnce" => Self::AllAtOnce,
            _ => Self::stepwise(text).ok_or_else(|| wrong(""))?,
        };
        if let Self::Canary { percent, minutes } | Self::Linear { percent, minutes } = strategy {
            if !(1..=99).contains(&percent) {
                return Err(wrong(", whose percentage is not between 1 and 99"));
            }
            if minutes == 0 {
                return Err(wrong(", whose minutes are 0"));
            }
        }
        if strategy.minutes() > u64::from(LAMBDA_SHIFT_MINUTES_MAX) {
            return Err(wrong(&format!(
                ", which takes {} minutes, where {LAMBDA_SHIFT_MINUTES_MAX} (2 days) are allowed",
                strategy.minutes()
            )));
        }
        Ok(strategy)
    }

    fn stepwise(text: &str) -> Option<Self> {
        let (canary, rest) = match text.strip_prefix("Canary") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("Linear")?),
        };
        let (percent, rest) = rest.split_once("Percent")?;
        let rest = if canary { rest } else { rest.strip_prefix("Every")? };
        let minutes = rest.strip_suffix("Minutes").or_else(|| rest.strip_suffix("Minute"))?;
        let (percent, minutes) = (number(percent)?, number(minutes)?);
        Some(if canary { Self::Canary { percent, minutes } } else { Self::Linear { percent, minutes } })
    }

    /// The new version's percentages, one after the other; the last is always all of it.
    pub fn steps(self) -> Vec<u32> {
        match self {
            Self::AllAtOnce => vec![100],
            Self::Canary { percent, .. } => vec![percent, 100],
            Self::Linear { percent, .. } => {
                (1..=100_u32.div_ceil(percent)).map(|step| (step * percent).min(100)).collect()
            }
        }
    }

    /// Between two steps.
    pub const fn pause_minutes(self) -> u32 {
        match self {
            Self::AllAtOnce => 0,
            Self::Canary { minutes, .. } | Self::Linear { minutes, .. } => minutes,
        }
    }

    /// All pauses together.
    pub fn minutes(self) -> u64 {
        (self.steps().len() as u64).saturating_sub(1) * u64::from(self.pause_minutes())
    }
}

/// Digits alone: a sign or a space is no part of a strategy's name.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_steps_and_pauses() {
        for (text, steps, pause, minutes) in [
            ("AllAtOnce", vec![100], 0, 0),
            ("Canary10Percent5Minutes", vec![10, 100], 5, 5),
            ("Canary1Percent2880Minutes", vec![1, 100], 2880, 2880),
            ("Linear25PercentEvery10Minutes", vec![25, 50, 75, 100], 10, 30),
            ("Linear30PercentEvery1Minute", vec![30, 60, 90, 100], 1, 3),
            ("Linear99PercentEvery1Minutes", vec![99, 100], 1, 1),
        ] {
            let strategy = Strategy::parse(text).unwrap();
            assert_eq!(strategy.steps(), steps, "{text}");
            assert_eq!((strategy.pause_minutes(), strategy.minutes()), (pause, minutes), "{text}");
        }
    }

    #[test]
    fn what_is_no_strategy_says_why() {
        for (text, why) in [
            ("allatonce", "It must be AllAtOnce"),
            ("Canary10Percent", "It must be AllAtOnce"),
            ("Canary+1Percent5Minutes", "It must be AllAtOnce"),
            ("Linear10Percent5Minutes", "It must be AllAtOnce"),
            ("Canary0Percent5Minutes", "not between 1 and 99"),
            ("Linear100PercentEvery5Minutes", "not between 1 and 99"),
            ("Canary10Percent0Minutes", "whose minutes are 0"),
            ("Linear1PercentEvery30Minutes", "takes 2970 minutes, where 2880 (2 days)"),
            ("Canary99999999999Percent1Minute", "It must be AllAtOnce"),
        ] {
            let told = Strategy::parse(text).unwrap_err();
            assert!(told.contains(why) && told.contains(text), "{told}");
        }
    }
}
