//! Placeholder header; replaced with the room's purpose.
