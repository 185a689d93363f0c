//! Tables of lifecycle commands and of validation rules, and properties over random histories. Everything goes through
//! the public door, `step` and `validate`; `bench` plays the world around it.

mod approvals;
mod artifacts_and_variables;
mod bench;
mod conditions;
mod declare;
mod definition_changes;
mod invariants;
mod modes;
mod outcomes;
mod properties;
mod retry;
mod revisions;
mod rollback;
mod running;
mod stop;
mod transitions;
mod types;
mod validation_actions;
mod validation_shape;
mod validation_structure;
