//! The embedded S3 as its clients see it: the official SDK against a server on a loopback port.

mod access;
mod boto;
mod buckets;
mod durability;
mod listing;
mod multipart;
mod objects;
mod support;
mod versions;
mod wire;
