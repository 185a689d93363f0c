//! What happens between the doors of a stage and outside them: arriving, entering, moving from one run-order group to
//! the next, ending, leaving. Which provider answers what is not known here.

pub(crate) mod condition;
pub(crate) mod door;
pub(crate) mod progress;
pub(crate) mod transition;
