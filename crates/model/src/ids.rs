//! One registry of id and name types. An id is opaque text; a name is AWS's text of that kind.
//! Ids are drawn from an `IdSource` that the caller passes in, never from the environment.

use serde::{Deserialize, Serialize};

macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == *other
            }
        }
    )*};
}

text_types! {
    /// One incarnation of a pipeline: deleting and creating the same name gives a new id.
    PipelineId;
    /// `pipelineExecutionId`, a lower-case UUID.
    ExecutionId;
    /// `actionExecutionId`, a lower-case UUID, new for every attempt.
    ActionExecutionId;
    /// A row of the outbox.
    TaskId;
    PipelineName;
    StageName;
    ActionName;
    ArtifactName;
    Namespace;
}

/// Draws ids. The orchestrator passes one over the system's random source, the simulation a seeded one.
pub trait IdSource {
    /// 128 unpredictable bits.
    fn bits(&mut self) -> u128;

    /// A lower-case version-4 UUID.
    fn uuid(&mut self) -> String {
        let b = (self.bits() & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let hex = format!("{b:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// `length` characters of `[A-Za-z0-9]`, the random part of an artifact key.
    fn alphanumeric(&mut self, length: usize) -> String {
        const SET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(length);
        let mut bits = 0u128;
        for i in 0..length {
            if i % 16 == 0 {
                bits = self.bits();
            }
            text.push(char::from(SET[(bits % 62) as usize]));
            bits /= 62;
        }
        text
    }
}

/// The account and Region that a request is about; state is kept per scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    pub account: String,
    pub region: String,
}

impl Scope {
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self { account: account.into(), region: region.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u128);
    impl IdSource for Fixed {
        fn bits(&mut self) -> u128 {
            self.0
        }
    }

    #[test]
    fn uuid_carries_version_and_variant() {
        assert_eq!(Fixed(0).uuid(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(Fixed(u128::MAX).uuid(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn alphanumeric_has_the_length_and_alphabet() {
        let text = Fixed(u128::MAX / 3).alphanumeric(20);
        assert_eq!(text.len(), 20);
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
