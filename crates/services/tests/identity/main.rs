//! IAM and STS through the official SDKs: users, groups, roles and their policies, AWS's refusals, sessions that open exactly
//! what their holder, its boundary and their session policies all allow.

#[path = "../loopback/mod.rs"]
mod loopback;

mod evaluation;
mod managed;
mod roles;
mod sessions;
mod users;
mod world;
