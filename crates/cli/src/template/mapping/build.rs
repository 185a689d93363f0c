//! `AWS::CodeBuild::Project`.

use super::super::shape::{Object, Shape, TAG, may, needs};
use super::{Mapping, entry, take};
use crate::document::{Node, Value};

static PROJECT: Object = Object {
    what: "a CodeBuild project",
    fields: &[
        may("Name", "name", Shape::Text),
        may("Description", "description", Shape::Text),
        needs("Source", "source", Shape::Object(&SOURCE)),
        may("SecondarySources", "secondarySources", Shape::List(&Shape::Object(&SOURCE))),
        may("SourceVersion", "sourceVersion", Shape::Text),
        may("SecondarySourceVersions", "secondarySourceVersions", Shape::List(&Shape::Object(&VERSION))),
        needs("Artifacts", "artifacts", Shape::Object(&ARTIFACTS)),
        may("SecondaryArtifacts", "secondaryArtifacts", Shape::List(&Shape::Object(&ARTIFACTS))),
        may("Cache", "cache", Shape::Object(&CACHE)),
        needs("Environment", "environment", Shape::Object(&ENVIRONMENT)),
        needs("ServiceRole", "serviceRole", Shape::Text),
        may("TimeoutInMinutes", "timeoutInMinutes", Shape::Whole),
        may("QueuedTimeoutInMinutes", "queuedTimeoutInMinutes", Shape::Whole),
        may("AutoRetryLimit", "autoRetryLimit", Shape::Whole),
        may("ConcurrentBuildLimit", "concurrentBuildLimit", Shape::Whole),
        may("EncryptionKey", "encryptionKey", Shape::Text),
        may("Tags", "tags", Shape::List(&Shape::Object(&TAG))),
        may("VpcConfig", "vpcConfig", Shape::Object(&VPC)),
        may("BadgeEnabled", "badgeEnabled", Shape::Flag),
        may("LogsConfig", "logsConfig", Shape::Object(&LOGS)),
        may("FileSystemLocations", "fileSystemLocations", Shape::List(&Shape::Object(&FILE_SYSTEM))),
        may("BuildBatchConfig", "buildBatchConfig", Shape::Object(&BATCH)),
        may(
            "Triggers",
            "",
            Shape::Left("builds that a repository starts come with the events; pipelines start theirs"),
        ),
        may("Visibility", "", Shape::Left("builds are shown to whoever may see the project")),
        may("ResourceAccessRole", "", Shape::Left("it is for public builds")),
    ],
};

static SOURCE: Object = Object {
    what: "a source",
    fields: &[
        needs("Type", "type", Shape::Text),
        may("Location", "location", Shape::Text),
        may("GitCloneDepth", "gitCloneDepth", Shape::Whole),
        may("GitSubmodulesConfig", "gitSubmodulesConfig", Shape::Object(&SUBMODULES)),
        may("BuildSpec", "buildspec", Shape::Text),
        may("Auth", "auth", Shape::Object(&AUTH)),
        may("ReportBuildStatus", "reportBuildStatus", Shape::Flag),
        may("BuildStatusConfig", "buildStatusConfig", Shape::Object(&STATUS)),
        may("InsecureSsl", "insecureSsl", Shape::Flag),
        may("SourceIdentifier", "sourceIdentifier", Shape::Text),
    ],
};

static SUBMODULES: Object =
    Object { what: "the submodules", fields: &[needs("FetchSubmodules", "fetchSubmodules", Shape::Flag)] };

static AUTH: Object = Object {
    what: "the access to a source",
    fields: &[needs("Type", "type", Shape::Text), may("Resource", "resource", Shape::Text)],
};

static STATUS: Object = Object {
    what: "the build status",
    fields: &[may("Context", "context", Shape::Text), may("TargetUrl", "targetUrl", Shape::Text)],
};

static VERSION: Object = Object {
    what: "a source version",
    fields: &[
        needs("SourceIdentifier", "sourceIdentifier", Shape::Text),
        may("SourceVersion", "sourceVersion", Shape::Text),
    ],
};

static ARTIFACTS: Object = Object {
    what: "the artifacts",
    fields: &[
        needs("Type", "type", Shape::Text),
        may("Location", "location", Shape::Text),
        may("Path", "path", Shape::Text),
        may("NamespaceType", "namespaceType", Shape::Text),
        may("Name", "name", Shape::Text),
        may("Packaging", "packaging", Shape::Text),
        may("OverrideArtifactName", "overrideArtifactName", Shape::Flag),
        may("EncryptionDisabled", "encryptionDisabled", Shape::Flag),
        may("ArtifactIdentifier", "artifactIdentifier", Shape::Text),
    ],
};

static CACHE: Object = Object {
    what: "the cache",
    fields: &[
        needs("Type", "type", Shape::Text),
        may("Location", "location", Shape::Text),
        may("Modes", "modes", Shape::List(&Shape::Text)),
        may("CacheNamespace", "cacheNamespace", Shape::Text),
    ],
};

static ENVIRONMENT: Object = Object {
    what: "the environment",
    fields: &[
        needs("Type", "type", Shape::Text),
        needs("Image", "image", Shape::Text),
        needs("ComputeType", "computeType", Shape::Text),
        may("EnvironmentVariables", "environmentVariables", Shape::List(&Shape::Object(&VARIABLE))),
        may("PrivilegedMode", "privilegedMode", Shape::Flag),
        may("Certificate", "certificate", Shape::Text),
        may("RegistryCredential", "registryCredential", Shape::Object(&REGISTRY)),
        may("ImagePullCredentialsType", "imagePullCredentialsType", Shape::Text),
        may("Fleet", "fleet", Shape::Object(&FLEET)),
        may("DockerServer", "dockerServer", Shape::Object(&DOCKER)),
    ],
};

static VARIABLE: Object = Object {
    what: "an environment variable",
    fields: &[
        needs("Name", "name", Shape::Text),
        needs("Value", "value", Shape::Text),
        may("Type", "type", Shape::Text),
    ],
};

static REGISTRY: Object = Object {
    what: "the access to a registry",
    fields: &[
        needs("Credential", "credential", Shape::Text),
        needs("CredentialProvider", "credentialProvider", Shape::Text),
    ],
};

static FLEET: Object = Object { what: "a fleet", fields: &[may("FleetArn", "fleetArn", Shape::Text)] };

static DOCKER: Object = Object {
    what: "a Docker server",
    fields: &[
        needs("ComputeType", "computeType", Shape::Text),
        may("SecurityGroupIds", "securityGroupIds", Shape::List(&Shape::Text)),
    ],
};

static VPC: Object = Object {
    what: "the VPC",
    fields: &[
        may("VpcId", "vpcId", Shape::Text),
        may("Subnets", "subnets", Shape::List(&Shape::Text)),
        may("SecurityGroupIds", "securityGroupIds", Shape::List(&Shape::Text)),
    ],
};

static LOGS: Object = Object {
    what: "the logs",
    fields: &[
        may("CloudWatchLogs", "cloudWatchLogs", Shape::Object(&CLOUDWATCH)),
        may("S3Logs", "s3Logs", Shape::Object(&S3_LOGS)),
    ],
};

static CLOUDWATCH: Object = Object {
    what: "the CloudWatch logs",
    fields: &[
        needs("Status", "status", Shape::Text),
        may("GroupName", "groupName", Shape::Text),
        may("StreamName", "streamName", Shape::Text),
    ],
};

static S3_LOGS: Object = Object {
    what: "the logs in S3",
    fields: &[
        needs("Status", "status", Shape::Text),
        may("Location", "location", Shape::Text),
        may("EncryptionDisabled", "encryptionDisabled", Shape::Flag),
    ],
};

static FILE_SYSTEM: Object = Object {
    what: "a file system",
    fields: &[
        needs("Type", "type", Shape::Text),
        needs("Location", "location", Shape::Text),
        needs("MountPoint", "mountPoint", Shape::Text),
        needs("Identifier", "identifier", Shape::Text),
        may("MountOptions", "mountOptions", Shape::Text),
    ],
};

static BATCH: Object = Object {
    what: "the batch builds",
    fields: &[
        may("ServiceRole", "serviceRole", Shape::Text),
        may("CombineArtifacts", "combineArtifacts", Shape::Flag),
        may("Restrictions", "restrictions", Shape::Object(&RESTRICTIONS)),
        may("TimeoutInMins", "timeoutInMins", Shape::Whole),
        may("BatchReportMode", "batchReportMode", Shape::Text),
    ],
};

static RESTRICTIONS: Object = Object {
    what: "the restrictions",
    fields: &[
        may("MaximumBuildsAllowed", "maximumBuildsAllowed", Shape::Whole),
        may("ComputeTypesAllowed", "computeTypesAllowed", Shape::List(&Shape::Text)),
    ],
};

const ROLE_FORM: &str = "the project's service role is named without its ARN; it is taken to be of this account";

impl Mapping<'_, '_> {
    pub(super) fn project(&mut self) -> Option<Node> {
        let (_, mut made) = self.properties(&PROJECT)?;
        self.named(&mut made, "name");
        // CloudFormation also takes a role's name, which is what `Ref` of a role gives.
        let bare = made.get("serviceRole").and_then(Node::text).filter(|role| !role.starts_with("arn:"));
        if let Some(role) = bare {
            let inputs = self.conversion.resolver.inputs;
            let partition = towpath_model::arn::partition(&inputs.region);
            let arn = format!("arn:{partition}:iam::{}:role/{role}", inputs.account);
            self.conversion.notes.push(ROLE_FORM.to_owned());
            if let Some(role) = take(&mut made, "serviceRole")
                && let Value::Map(entries) = &mut made.value
            {
                let node = Node { span: role.node.span, value: Value::Text(arn) };
                entries.push(entry("serviceRole", role.key_span, node));
            }
        }
        if self.keyless && take(&mut made, "encryptionKey").is_some() {
            self.conversion.notes.push("EncryptionKey is left out: there is no KMS here yet".to_owned());
        }
        Some(made)
    }
}
