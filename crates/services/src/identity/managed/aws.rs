//! AWS's own managed policies that are known here: the documents as AWS publishes them, read-only and never out of date
//! on purpose. Others do not exist here (docs/deviations.md).

use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use towpath_model::time::Timestamp;

use super::super::policy::{Kind, Policy};

const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

#[derive(Debug)]
pub struct AwsPolicy {
    pub name: &'static str,
    /// The number of the version whose document this is.
    pub version: u32,
    /// When AWS made that version, as epoch seconds.
    pub created: i64,
    pub document: &'static str,
    parsed: OnceLock<Arc<Policy>>,
}

macro_rules! published {
    ($($name:literal, $version:literal, $created:literal;)*) => {
        [$(AwsPolicy {
            name: $name,
            version: $version,
            created: $created,
            document: include_str!(concat!($name, ".json")),
            parsed: OnceLock::new(),
        }),*]
    };
}

/// In the order of names.
static PUBLISHED: [AwsPolicy; 10] = published![
    "AWSCodePipelineApproverAccess", 3, 1_501_694_698;
    "AWSCodePipelineCustomActionAccess", 1, 1_436_461_374;
    "AWSCodePipeline_FullAccess", 3, 1_710_435_983;
    "AWSCodePipeline_ReadOnlyAccess", 1, 1_596_493_517;
    "AdministratorAccess", 1, 1_423_247_986;
    "AmazonS3FullAccess", 2, 1_632_773_797;
    "AmazonS3ReadOnlyAccess", 3, 1_691_703_099;
    "CloudWatchLogsFullAccess", 3, 1_747_760_826;
    "IAMFullAccess", 2, 1_561_146_000;
    "PowerUserAccess", 12, 1_770_919_154;
];

impl AwsPolicy {
    pub fn all() -> &'static [Self] {
        &PUBLISHED
    }

    pub fn by_arn(arn: &str) -> Option<&'static Self> {
        let name = arn.strip_prefix("arn:aws:iam::aws:policy/")?;
        PUBLISHED.iter().find(|policy| policy.name == name)
    }

    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy/{}", self.name)
    }

    /// AWS's ids are not known; this one is as unlike any other, and always the same.
    pub fn id(&self) -> String {
        let hash = Sha256::digest(self.name.as_bytes());
        let letters = hash.iter().take(17).map(|byte| char::from(ID_ALPHABET[usize::from(byte % 32)]));
        format!("ANPA{}", letters.collect::<String>())
    }

    pub fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created * 1_000)
    }

    pub fn parsed(&self) -> Arc<Policy> {
        let parse = || Arc::new(Policy::parse(self.document, Kind::Identity).unwrap_or_else(|_| Policy::empty()));
        Arc::clone(self.parsed.get_or_init(parse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_policy_is_one() {
        for policy in AwsPolicy::all() {
            Policy::parse(policy.document, Kind::Identity).unwrap_or_else(|error| panic!("{}: {error}", policy.name));
            assert!(AwsPolicy::by_arn(&policy.arn()).is_some_and(|found| found.name == policy.name));
            assert_eq!(policy.id().len(), 21);
        }
        assert!(PUBLISHED.is_sorted_by_key(|policy| policy.name));
        assert!(AwsPolicy::by_arn("arn:aws:iam::aws:policy/ReadOnlyAccess").is_none());
    }
}
