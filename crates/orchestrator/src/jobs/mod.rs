//! Jobs of custom and of partners' action types and of functions: made with the decision that starts the action, taken by job
//! workers or handed to functions, and ended by their result or by whatever else ends the action.
//!
//! A job is a document that changes under compare-and-swap together with the pipeline's own rows, so a result is used
//! exactly once. What a result means for the pipeline is the engine's business alone.

mod door;
mod function;
mod offer;
mod partner;
mod record;
mod results;
mod worker;

pub(crate) use function::{CurrentJob, lambda_type, unanswered};

pub use door::{Door, PartnerClient, PartnerClients};
pub use partner::{PartnerJob, PartnerJobDetails};
pub use record::JobStatus;
pub use results::{JobFailure, JobProgress, JobRevision, JobSuccess};
pub use worker::{Job, JobDetails};
