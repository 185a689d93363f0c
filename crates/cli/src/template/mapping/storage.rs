//! `AWS::S3::Bucket` and `BucketPolicy`.

use super::super::shape::{Object, Shape, TAG, may, needs};
use super::Mapping;
use crate::document::Node;

const NOT_HERE: &str = "the embedded S3 has none of it";

static BUCKET: Object = Object {
    what: "a bucket",
    fields: &[
        may("BucketName", "bucket", Shape::Text),
        may("VersioningConfiguration", "versioning", Shape::Object(&VERSIONING)),
        may("PublicAccessBlockConfiguration", "publicAccessBlock", Shape::Object(&PUBLIC_ACCESS)),
        may("OwnershipControls", "ownership", Shape::Object(&OWNERSHIP)),
        may("Tags", "tags", Shape::List(&Shape::Object(&TAG))),
        may(
            "BucketEncryption",
            "",
            Shape::Left("objects are encrypted as the embedded S3 does it; there is no KMS here yet"),
        ),
        may("AccessControl", "", Shape::Left("access is given by policies")),
        may("AccelerateConfiguration", "", Shape::Left(NOT_HERE)),
        may("AnalyticsConfigurations", "", Shape::Left(NOT_HERE)),
        may("CorsConfiguration", "", Shape::Left(NOT_HERE)),
        may("IntelligentTieringConfigurations", "", Shape::Left(NOT_HERE)),
        may("InventoryConfigurations", "", Shape::Left(NOT_HERE)),
        may("LifecycleConfiguration", "", Shape::Left(NOT_HERE)),
        may("LoggingConfiguration", "", Shape::Left(NOT_HERE)),
        may("MetadataConfiguration", "", Shape::Left(NOT_HERE)),
        may("MetadataTableConfiguration", "", Shape::Left(NOT_HERE)),
        may("MetricsConfigurations", "", Shape::Left(NOT_HERE)),
        may("NotificationConfiguration", "", Shape::Left("events come with EventBridge")),
        may("ObjectLockConfiguration", "", Shape::Left(NOT_HERE)),
        may("ObjectLockEnabled", "", Shape::Left(NOT_HERE)),
        may("ReplicationConfiguration", "", Shape::Left(NOT_HERE)),
        may("WebsiteConfiguration", "", Shape::Left(NOT_HERE)),
    ],
};

static VERSIONING: Object = Object { what: "the versioning", fields: &[needs("Status", "status", Shape::Text)] };

static PUBLIC_ACCESS: Object = Object {
    what: "the public access block",
    fields: &[
        may("BlockPublicAcls", "BlockPublicAcls", Shape::Flag),
        may("IgnorePublicAcls", "IgnorePublicAcls", Shape::Flag),
        may("BlockPublicPolicy", "BlockPublicPolicy", Shape::Flag),
        may("RestrictPublicBuckets", "RestrictPublicBuckets", Shape::Flag),
    ],
};

static OWNERSHIP: Object =
    Object { what: "the ownership controls", fields: &[needs("Rules", "rules", Shape::List(&Shape::Object(&RULE)))] };

static RULE: Object =
    Object { what: "an ownership rule", fields: &[needs("ObjectOwnership", "objectOwnership", Shape::Text)] };

static POLICY: Object = Object {
    what: "a bucket policy",
    fields: &[needs("Bucket", "bucket", Shape::Text), needs("PolicyDocument", "policy", Shape::Any)],
};

impl Mapping<'_, '_> {
    pub(super) fn bucket(&mut self) -> Option<Node> {
        let (_, mut made) = self.properties(&BUCKET)?;
        self.named(&mut made, "bucket");
        Some(made)
    }

    pub(super) fn bucket_policy(&mut self) -> Option<Node> {
        let (_, made) = self.properties(&POLICY)?;
        made.get("bucket").and_then(Node::text).unwrap_or_default().clone_into(&mut self.name);
        Some(made)
    }
}
