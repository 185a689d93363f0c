//! The seeded simulation: a random pipeline, random commands and random faults, drawn from one seed, run by the real
//! engine, store and orchestrator on a virtual clock, with every invariant checked after every write.

pub mod case;
pub mod chaos;
pub mod check;
pub mod declare;
pub mod drive;
pub mod replay;
pub mod shrink;
pub mod views;
