//! What one seed stands for: definitions, commands at their times, and faults. All of it is data, so that a failing case
//! can be made smaller piece by piece.

use std::time::Duration;

use towpath_model::declaration::{ConditionType, PipelineDeclaration};
use towpath_orchestrator::simulation::Random;

use crate::seeded::declare;

#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    /// The definition that is created, and those it may be updated to.
    pub versions: Vec<PipelineDeclaration>,
    pub commands: Vec<(Duration, Command)>,
    pub faults: Vec<Fault>,
    /// Two processes share the store.
    pub shared: bool,
}

/// What a client asks for. `pick` chooses among the executions that are there by then.
#[derive(Debug, Clone)]
pub enum Command {
    Create { version: usize },
    Start { token: Option<u64> },
    Stop { pick: u64, abandon: bool },
    Retry { pick: u64, stage: u64, all: bool },
    Rollback { pick: u64, stage: u64 },
    Override { pick: u64, stage: u64, gate: ConditionType },
    Transition { stage: u64, outbound: bool, enable: bool },
    Answer { pick: u64, approved: bool, stale: bool },
    Update { version: usize },
    Delete,
}

#[derive(Debug, Clone)]
pub enum Fault {
    /// The process dies before its so-many-th write, or after it.
    Crash { write: u64, after: bool },
    /// The so-many-th write fails.
    WriteFails { write: u64 },
    /// The clock on the wall is set.
    Jump { at: Duration, millis: i64 },
    /// The so-many-th last word of a provider arrives once more, and perhaps says the opposite.
    Again { answer: u64, delay: Duration, opposite: bool },
}

const MINUTES: u64 = 25;

pub fn of(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let versions = declare::versions(&mut random);
    let mut commands = vec![(Duration::ZERO, Command::Create { version: 0 })];
    let count = 4 + random.below(22);
    for _ in 0..count {
        // In bursts, so that commands meet.
        let burst = random.below(MINUTES) * 60;
        let at = Duration::from_secs(burst) + Duration::from_millis(random.below(4) * random.below(2_000));
        commands.push((at, command(&mut random, versions.len())));
    }
    if commands.iter().any(|(_, command)| matches!(command, Command::Delete)) {
        let at = Duration::from_mins(random.below(MINUTES));
        commands.push((at, Command::Create { version: random.index(versions.len()) }));
    }
    commands.sort_by_key(|(at, _)| *at);
    let mut faults = Vec::new();
    for _ in 0..random.below(4) {
        faults.push(Fault::Crash { write: random.below(90), after: random.percent(50) });
    }
    for _ in 0..random.below(3) {
        faults.push(Fault::WriteFails { write: random.below(90) });
    }
    for _ in 0..random.below(3) {
        let forward = random.percent(60);
        let millis = i64::try_from(random.below(if forward { 3_600_000 } else { 240_000 })).unwrap_or(0);
        let at = Duration::from_secs(random.below(MINUTES * 60));
        faults.push(Fault::Jump { at, millis: if forward { millis } else { -millis } });
    }
    for _ in 0..random.below(4) {
        let delay = Duration::from_millis(random.below(2) * random.below(90_000));
        faults.push(Fault::Again { answer: random.below(30), delay, opposite: random.percent(40) });
    }
    Case { seed, versions, commands, faults, shared: random.percent(25) }
}

fn command(random: &mut Random, versions: usize) -> Command {
    let (pick, stage) = (random.next(), random.next());
    match random.below(100) {
        0..34 => Command::Start { token: random.percent(30).then(|| random.below(3)) },
        34..44 => Command::Stop { pick, abandon: random.percent(50) },
        44..56 => Command::Retry { pick, stage, all: random.percent(40) },
        56..62 => Command::Rollback { pick, stage },
        62..68 => Command::Override {
            pick,
            stage,
            gate: if random.percent(50) { ConditionType::BeforeEntry } else { ConditionType::OnSuccess },
        },
        68..80 => Command::Transition { stage, outbound: random.percent(30), enable: random.percent(50) },
        80..94 => Command::Answer { pick, approved: random.percent(65), stale: random.percent(15) },
        94..99 => Command::Update { version: random.index(versions) },
        _ => Command::Delete,
    }
}
