//! Git by way of the `git` command: repositories that Towpath keeps, commits that it fetches, and the passwords that AWS
//! derives from access keys. Both the services (which serve repositories) and the providers (which fetch from them) stand
//! on this room, and neither may depend on the other.
//!
//! A command never sees this machine's settings or the user's, runs no hooks, and gets credentials through its
//! environment alone: not in arguments, URLs or files. Must not know HTTP, permissions, pipelines or AWS's shapes.

pub mod bare;
pub mod clone_ref;
pub mod command;
pub mod commit;
pub mod fetch;
pub mod limits;
pub mod password;
pub mod write;

pub use bare::Bare;
pub use clone_ref::{CloneRef, Origin};
pub use command::GitError;
pub use commit::{Commit, Person};
pub use fetch::{Access, Bounds, FetchError, Reason, Remote};
