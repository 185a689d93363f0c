//! Rule / AWS / DeploymentWindow: succeeds while the clock, in a time zone, is inside a window given as a Quartz cron
//! expression; waits for the window otherwise. Every answer is worked out anew from the clock, so a clock that jumps heals
//! at the next poll. How long it may wait is the rule's timeout, which is the engine's.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use towpath_model::action::{ActionInvocation, Outcome, Progress, error_code};
use towpath_model::catalogue::{ActionTypeEntry, Property};
use towpath_model::time::Timestamp as Millis;

use super::cron::Cron;
use super::time_zone;
use crate::limits::WINDOW_INTERVAL_MAX;
use crate::provider::{Call, Provider};

const UTC: &str = "UTC";

pub struct DeploymentWindow {
    entry: ActionTypeEntry,
}

impl Default for DeploymentWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl DeploymentWindow {
    pub fn new() -> Self {
        let properties = vec![
            Property::required(
                "Cron",
                "The window as a Quartz cron expression: seconds (read, of no effect), minutes, hours, day of month, month, \
                 day of week (1 is SUN) and, if any, year. Lists, ranges, steps, `?`, `L` (`L-3` is the third day before \
                 the last), `LW`, `15W`, `6L`, `6#3`. `* * 9-16 ? * MON-FRI` is open from 9:00 to 17:00 on working days.",
            ),
            Property::optional(
                "TimeZone",
                "`Region/City`, `UTC` (when absent), `UTC+HH:MM`, `UTC-HH:MM`, or an abbreviation of 3 to 5 letters.",
            ),
        ];
        Self {
            entry: super::entry("DeploymentWindow", "Waits until the clock is inside a window of time.", properties),
        }
    }
}

/// The configuration, read.
struct Window {
    cron: Cron,
    zone: TimeZone,
    zone_name: String,
}

impl Window {
    fn read(action: &ActionInvocation) -> Result<Self, String> {
        let missing = || format!("The configuration of rule {} lacks Cron.", action.action_name);
        let cron = Cron::parse(action.config("Cron").ok_or_else(missing)?)?;
        let zone_name = action.config("TimeZone").unwrap_or(UTC).to_owned();
        Ok(Self { cron, zone: time_zone::parse(&zone_name)?, zone_name })
    }

    /// The moment the window opens next, as `Mon 2026-10-05 09:00 +02:00 (Europe/Amsterdam)`.
    fn shown(&self, at: &Zoned) -> String {
        format!("{} ({})", at.strftime("%a %Y-%m-%d %H:%M %:z"), self.zone_name)
    }

    fn outcome(&self, now: Millis) -> Outcome {
        // A clock outside of what calendars know is no moment of any window.
        let now = Timestamp::from_millisecond(now.millis()).unwrap_or(Timestamp::MIN);
        let progress = |summary: String| Progress { summary: Some(summary), ..Progress::default() };
        if self.cron.covers(self.zone.to_datetime(now)) {
            let progress = progress(format!("Inside the deployment window ({}).", self.zone_name));
            return Outcome::Succeeded { progress, variables: BTreeMap::new(), revisions: Vec::new() };
        }
        let summary = match self.cron.next(now, &self.zone) {
            Some(at) => format!("Outside the deployment window. It opens next on {}.", self.shown(&at)),
            None => {
                "Outside the deployment window, which does not open any more. Change Cron, or override the condition."
                    .to_owned()
            }
        };
        Outcome::Pending { progress: progress(summary) }
    }
}

fn outcome(cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
    match Window::read(action) {
        Ok(window) => window.outcome(cx.clock.now()),
        Err(message) => Outcome::failed(error_code::CONFIGURATION_ERROR, message),
    }
}

#[async_trait]
impl Provider for DeploymentWindow {
    fn entry(&self) -> &ActionTypeEntry {
        &self.entry
    }

    fn check_value(&self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "Cron" => Cron::parse(value).map(drop),
            "TimeZone" => time_zone::parse(value).map(drop),
            _ => Ok(()),
        }
    }

    async fn start(&self, cx: &Call<'_>, action: &ActionInvocation) -> Outcome {
        outcome(cx, action)
    }

    async fn poll(&self, cx: &Call<'_>, action: &ActionInvocation, _progress: &Progress) -> Outcome {
        outcome(cx, action)
    }

    async fn stop(&self, _cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress) -> Result<(), String> {
        Ok(())
    }

    /// Until the next full minute: no window opens in between, and a clock that was put right is seen soon.
    fn poll_interval(&self, cx: &Call<'_>, _action: &ActionInvocation, _progress: &Progress, _polls: u32) -> Duration {
        let minute = i64::try_from(WINDOW_INTERVAL_MAX.as_millis()).unwrap_or(i64::MAX);
        let left = minute - cx.clock.now().millis().rem_euclid(minute);
        u64::try_from(left).map_or(WINDOW_INTERVAL_MAX, Duration::from_millis)
    }
}
