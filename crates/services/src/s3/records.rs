//! What S3 keeps in the document store: buckets, the state of each key, versions, multipart uploads and their parts, and
//! how object keys become document keys. Stored shapes stop in this module's parent: none is ever sent to a client, and
//! nothing here reads or writes anything.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::{Algorithm, Sum};

/// Buckets, all under one partition because their names are global: key = bucket name.
pub(super) const BUCKETS: &str = "s3.bucket";
/// The one partition of [`BUCKETS`].
pub(super) const ALL: &str = "all";
/// Per bucket (the partition): one [`KeyState`] for every key that has a version. Key = [`encode`]d object key.
pub(super) const KEYS: &str = "s3.key";
/// Per bucket (the partition): every [`Version`]. Key = [`version_key`], so that a key's newest version sorts first.
pub(super) const VERSIONS: &str = "s3.version";
/// Per bucket (the partition): every [`Upload`] in progress. Key = [`version_key`] with the upload id.
pub(super) const UPLOADS: &str = "s3.upload";
/// Per upload (the partition): every [`Part`]. Key = [`part_key`].
pub(super) const PARTS: &str = "s3.part";

/// The version id of what was written while versioning was off or suspended.
pub(super) const NULL: &str = "null";

/// Ends an encoded key. Sorts before every byte that can follow inside one.
const END: char = '\u{1}';

/// An object key in a form that stays in order when a suffix follows it: NUL, SOH and STX are escaped, so [`END`]
/// cannot occur inside.
pub(super) fn encode(key: &str) -> String {
    let mut out = String::with_capacity(key.len() + 40);
    for c in key.chars() {
        match c {
            '\u{0}' => out.push_str("\u{2}\u{1}"),
            '\u{1}' => out.push_str("\u{2}\u{2}"),
            '\u{2}' => out.push_str("\u{2}\u{3}"),
            other => out.push(other),
        }
    }
    out
}

/// The inverse of [`encode`].
pub(super) fn decode(encoded: &str) -> String {
    let mut out = String::with_capacity(encoded.len());
    let mut chars = encoded.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{2}' => out.push(match chars.next() {
                Some('\u{1}') => '\u{0}',
                Some('\u{2}') => '\u{1}',
                _ => '\u{2}',
            }),
            other => out.push(other),
        }
    }
    out
}

/// The document key of a version (or an upload) of an object.
pub(super) fn version_key(key: &str, id: &str) -> String {
    let mut out = encode(key);
    out.push(END);
    out.push_str(id);
    out
}

/// Every version of exactly this key starts with this.
pub(super) fn version_prefix(key: &str) -> String {
    version_key(key, "")
}

/// Splits what [`version_key`] made.
pub(super) fn split_version_key(stored: &str) -> Option<(String, &str)> {
    // The id has no END in it; the key has none either, except as the second half of an escape.
    let at = stored.rfind(END)?;
    Some((decode(&stored[..at]), &stored[at + 1..]))
}

pub(super) fn part_key(number: i32) -> String {
    format!("{number:05}")
}

/// The name of a file of bytes: 128 random bits. Each is referred to by exactly one version or part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct BlobId(pub(super) u128);

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl BlobId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != 32 {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl From<BlobId> for String {
    fn from(id: BlobId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for BlobId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not the name of a file of bytes"))
    }
}

/// A run of bytes inside one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Segment {
    pub blob: BlobId,
    pub offset: u64,
    pub len: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Versioning {
    #[default]
    Off,
    Enabled,
    Suspended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ownership {
    BucketOwnerEnforced,
    BucketOwnerPreferred,
    ObjectWriter,
}

impl Ownership {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "BucketOwnerEnforced" => Some(Self::BucketOwnerEnforced),
            "BucketOwnerPreferred" => Some(Self::BucketOwnerPreferred),
            "ObjectWriter" => Some(Self::ObjectWriter),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PublicAccess {
    pub block_acls: bool,
    pub ignore_acls: bool,
    pub block_policy: bool,
    pub restrict_buckets: bool,
}

impl PublicAccess {
    /// What every new bucket has.
    pub(super) const BLOCKED: Self =
        Self { block_acls: true, ignore_acls: true, block_policy: true, restrict_buckets: true };
}

pub(super) type Tags = BTreeMap<String, String>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bucket {
    pub account: String,
    pub region: String,
    pub created_ms: u64,
    pub versioning: Versioning,
    /// A canned ACL by its wire name.
    pub acl: String,
    /// `None`: the controls were deleted, which means `ObjectWriter`.
    pub ownership: Option<Ownership>,
    pub public_access: Option<PublicAccess>,
    pub policy: Option<String>,
    pub tags: Option<Tags>,
    /// The bucket-key flag of its default encryption, kept to be told again.
    pub key_reuse: bool,
}

impl Bucket {
    pub(super) fn acls_enabled(&self) -> bool {
        self.ownership != Some(Ownership::BucketOwnerEnforced)
    }

    /// Whether a public ACL counts when a stranger asks.
    pub(super) fn honours_public_acls(&self) -> bool {
        self.acls_enabled() && !self.public_access.is_some_and(|block| block.ignore_acls)
    }
}

/// The headers that travel with an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Headers {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    /// As an HTTP date.
    pub expires: Option<String>,
    pub redirect: Option<String>,
    pub metadata: BTreeMap<String, String>,
    /// Asked to be encrypted with AWS KMS.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kms: bool,
}

/// A finished part of an object that was uploaded in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartInfo {
    pub number: i32,
    pub size: u64,
    pub sum: Option<Sum>,
}

/// One version of one object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    /// The second half of this document's key. Grows as versions get older.
    pub sort: String,
    /// Written with versioning off or suspended: its id on the wire is `null`.
    pub null: bool,
    pub delete_marker: bool,
    pub modified_ms: u64,
    pub size: u64,
    /// Without quotes.
    pub etag: String,
    pub sum: Option<Sum>,
    pub segments: Vec<Segment>,
    /// Empty for an object that was put whole.
    pub parts: Vec<PartInfo>,
    pub headers: Headers,
    pub storage_class: String,
    pub acl: String,
    pub owner: String,
    pub tags: Tags,
    /// The multipart upload that made it, so that a repeated completion is recognised.
    pub upload: Option<String>,
}

impl Version {
    /// The version id as clients know it.
    pub(super) fn id(&self) -> &str {
        if self.null { NULL } else { &self.sort }
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            sort: self.sort.clone(),
            delete_marker: self.delete_marker,
            modified_ms: self.modified_ms,
            size: self.size,
            etag: self.etag.clone(),
            storage_class: self.storage_class.clone(),
            owner: self.owner.clone(),
            algorithm: self.sum.as_ref().map(|sum| (sum.algorithm, sum.full)),
        }
    }
}

/// What a listing tells about the newest version of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub sort: String,
    pub delete_marker: bool,
    pub modified_ms: u64,
    pub size: u64,
    pub etag: String,
    pub storage_class: String,
    pub owner: String,
    /// With whether it covers the full object.
    pub algorithm: Option<(Algorithm, bool)>,
}

/// What is true of a key as a whole; every change of the key rewrites it, so two writers cannot both win.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyState {
    pub latest: Summary,
    /// Where the one version with the id `null` is, if there is one.
    pub null_sort: Option<String>,
}

/// A multipart upload in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    pub started_ms: u64,
    pub initiator: String,
    pub headers: Headers,
    pub storage_class: String,
    pub acl: String,
    pub tags: Tags,
    pub algorithm: Algorithm,
    /// The checksum of the object covers its bytes rather than the checksums of its parts.
    pub full: bool,
    /// The client named the algorithm, so its parts must bring their checksums.
    pub algorithm_asked: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub modified_ms: u64,
    pub size: u64,
    /// Hexadecimal MD5.
    pub etag: String,
    pub sum: Sum,
    pub segments: Vec<Segment>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_keys_keep_their_order_and_come_back() {
        let mut keys =
            vec!["a", "a\u{0}", "a\u{1}b", "a\u{2}", "a\u{3}", "a/b", "a/", "ab", "\u{0}", "é", "\u{10FFFF}", ""];
        keys.sort_unstable();
        let mut stored: Vec<_> = keys.iter().map(|key| version_key(key, "00")).collect();
        stored.sort();
        let back: Vec<_> = stored.iter().filter_map(|key| split_version_key(key)).map(|(key, _)| key).collect();
        assert_eq!(back, keys);
    }

    #[test]
    fn a_blob_id_is_32_digits_or_nothing() {
        let id = BlobId(0xab);
        assert_eq!(BlobId::parse(&id.to_string()), Some(id));
        assert_eq!(BlobId::parse("../../etc/passwd"), None);
        assert_eq!(BlobId::parse(&"z".repeat(32)), None);
    }
}
