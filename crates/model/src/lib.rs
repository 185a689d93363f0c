//! The nouns of Towpath: ids, names, ARNs, pipeline declarations, execution state, events, effects and action-type
//! entries. Nothing here performs I/O, reads a clock, draws randomness or knows a wire protocol.

pub mod action;
pub mod arn;
pub mod catalogue;
pub mod declaration;
pub mod effect;
pub mod event;
pub mod history;
pub mod ids;
pub mod limits;
pub mod secret;
pub mod state;
pub mod time;
