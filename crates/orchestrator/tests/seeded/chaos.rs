//! How the outside behaves and what happens to the store's calls in one case. Draws from the case's seed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use towpath_model::action::ActionInvocation;
use towpath_model::ids::ExecutionId;
use towpath_orchestrator::simulation::{
    Asked, Disturbance, Ending, Interference, Passage, Plan, Random, Script, mixed,
};
use towpath_store::{Commit, Committed};

use crate::seeded::case::{Case, Fault};
use crate::seeded::check::Checker;

pub struct Chaos {
    seed: u64,
    random: Mutex<Random>,
    pub checker: Arc<Mutex<Checker>>,
    writes: AtomicU64,
    crashes: Vec<(u64, bool)>,
    failures: Vec<u64>,
    /// Nothing goes wrong any more and everything ends well.
    calm: AtomicBool,
    shared: bool,
    /// In the order in which they were first heard of.
    executions: Mutex<Vec<ExecutionId>>,
}

fn whole<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chaos {
    pub fn new(case: &Case, checker: Arc<Mutex<Checker>>) -> Self {
        let crashes = case.faults.iter().filter_map(|fault| match fault {
            Fault::Crash { write, after } => Some((*write, *after)),
            _ => None,
        });
        let failures = case.faults.iter().filter_map(|fault| match fault {
            Fault::WriteFails { write } => Some(*write),
            _ => None,
        });
        Self {
            seed: case.seed,
            random: Mutex::new(Random::new(mixed(case.seed) ^ 2)),
            checker,
            writes: AtomicU64::new(0),
            crashes: crashes.collect(),
            failures: failures.collect(),
            calm: AtomicBool::new(false),
            shared: case.shared,
            executions: Mutex::default(),
        }
    }

    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Release);
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Acquire)
    }

    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    fn while_(&self, percent: u64, millis: u64) -> Duration {
        let mut random = whole(&self.random);
        if !self.is_calm() && random.percent(percent) {
            Duration::from_millis(1 + random.below(millis))
        } else {
            Duration::ZERO
        }
    }
}

impl Interference for Chaos {
    fn read(&self) -> Duration {
        self.while_(15, 40)
    }

    fn writing(&self) -> Passage {
        let write = self.writes.fetch_add(1, Ordering::AcqRel);
        if self.is_calm() {
            return Passage::After(Duration::ZERO);
        }
        if self.crashes.contains(&(write, false)) {
            return Passage::Crash;
        }
        if self.failures.contains(&write) {
            return Passage::Fails;
        }
        Passage::After(self.while_(40, 60))
    }

    fn is_shared(&self) -> Option<bool> {
        Some(self.shared)
    }

    fn committed(&self, commit: &Commit, committed: &Committed) {
        whole(&self.checker).committed(commit, committed);
    }

    fn written(&self) -> Passage {
        let write = self.writes().saturating_sub(1);
        if !self.is_calm() && self.crashes.contains(&(write, true)) {
            return Passage::Crash;
        }
        Passage::After(self.while_(40, 60))
    }
}

impl Script for Chaos {
    fn plan(&self, action: &ActionInvocation, nth: u32) -> Plan {
        let ordinal = {
            let mut executions = whole(&self.executions);
            let known = executions.iter().position(|id| *id == action.execution_id);
            known.unwrap_or_else(|| {
                executions.push(action.execution_id.clone());
                executions.len() - 1
            })
        };
        // The same work goes the same way whatever else happens, so that smaller cases stay alike.
        let mut key = self.seed ^ mixed(ordinal as u64 + 1) ^ mixed(u64::from(nth) + 1_000);
        for byte in action.stage_name.bytes().chain(action.action_name.bytes()) {
            key = mixed(key ^ u64::from(byte));
        }
        let mut random = Random::new(key ^ action.condition.map_or(0, |gate| 1 + gate as u64));
        if action.condition.is_some() && action.action_type.provider == "VariableCheck" {
            return Plan::Real;
        }
        let duration = Duration::from_millis(random.below(3) * random.below(60_000));
        let ending = match random.below(100) {
            0..72 => Ending::Succeeds { variables: BTreeMap::from([("V".to_owned(), "1".to_owned())]) },
            _ => Ending::failure("the simulation failed it"),
        };
        match random.below(100) {
            _ if self.is_calm() => Plan::Ends(duration, Ending::success()),
            0..88 => Plan::Ends(duration, ending),
            88..95 => Plan::Open,
            _ => Plan::Reported,
        }
    }

    fn disturbance(&self, asked: Asked, action: &ActionInvocation) -> Disturbance {
        if asked == Asked::Start {
            whole(&self.checker).start_called(&action.action_execution_id);
        }
        let (before, after) = (self.while_(30, 3_000), self.while_(30, 3_000));
        let mut random = whole(&self.random);
        if self.is_calm() {
            return Disturbance::default();
        }
        let stuck = random.below(1_000) < 3;
        Disturbance {
            before: if stuck { Duration::from_mins(20) } else { before },
            after,
            unavailable: random.percent(5),
            panics: asked != Asked::Stop && random.below(1_000) < 5,
        }
    }

    fn poll_interval(&self, _: &ActionInvocation) -> Duration {
        Duration::from_secs(10 + whole(&self.random).below(120))
    }
}
