//! The AWS services that Towpath embeds, so that no account is needed: each speaks its service's protocol and keeps its
//! state in documents or files. No pipeline decisions here; a service knows only what its AWS counterpart knows.

pub mod ambient;
pub mod call;
pub mod codebuild;
pub mod codecommit;
pub mod connections;
pub mod git;
pub mod identity;
pub mod lambda;
pub mod logs;
pub mod s3;
