//! The whole of the orchestrator on a clock that somebody else turns: engine, store and effects are the real ones, what
//! runs outside is scripted, and the same seed gives the same history. `towpath simulate`, the scenarios and the seeded
//! simulation are built on it. Nothing here decides anything about a pipeline, and nothing here waits for real time.
//!
//! ```text
//! let mut world = World::new(Setting { script, ..Setting::default() });
//! world.create(declaration)?;
//! world.advance(Duration::from_mins(5));
//! for entry in world.history() { /* with virtual timestamps */ }
//! ```

mod executor;
mod gateway;
mod outside;
mod random;
mod world;

pub use executor::Virtual;
pub use gateway::{Gateway, Interference, Passage};
pub use outside::{Asked, Disturbance, Ending, Outside, Plan, Script, Work};
pub use random::{Random, mixed};
pub use world::{AnyRole, Setting, World};
