//! What CloudFormation knows of resource types: which property names a resource, what `Ref` gives, and the attributes
//! that follow from the name alone. Types that are not here can still be referred to, with values from the caller.

/// How a name is made where the template gives none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `STACK-LOGICAL-SUFFIX`, at most so long.
    Stack(usize),
    /// The same, in lower case: a bucket's.
    Lower(usize),
    /// `LOGICAL-SUFFIX`.
    Logical(usize),
    /// An id like those of AWS, 8-4-4-4-12.
    Uuid,
}

/// `{p}`, `{r}`, `{a}`, `{n}` and `{path}` stand for partition, Region, account, name and the path of IAM.
#[derive(Debug)]
pub(super) struct Known {
    pub kind: &'static str,
    /// The property that holds the name.
    pub name: Option<&'static str>,
    pub form: Form,
    /// What `Ref` gives.
    pub reference: &'static str,
    pub attributes: &'static [(&'static str, &'static str)],
}

const NAME: &str = "{n}";

const fn known(
    kind: &'static str,
    name: Option<&'static str>,
    form: Form,
    reference: &'static str,
    attributes: &'static [(&'static str, &'static str)],
) -> Known {
    Known { kind, name, form, reference, attributes }
}

pub(super) const UNKNOWN: Known = known("", None, Form::Stack(128), NAME, &[]);

/// Alphabetical.
pub(super) static TYPES: &[Known] = &[
    known(
        "AWS::CloudWatch::Alarm",
        Some("AlarmName"),
        Form::Stack(255),
        NAME,
        &[("Arn", "arn:{p}:cloudwatch:{r}:{a}:alarm:{n}")],
    ),
    known(
        "AWS::CodeBuild::Project",
        Some("Name"),
        Form::Logical(150),
        NAME,
        &[("Arn", "arn:{p}:codebuild:{r}:{a}:project/{n}")],
    ),
    known(
        "AWS::CodeBuild::ReportGroup",
        Some("Name"),
        Form::Logical(128),
        "arn:{p}:codebuild:{r}:{a}:report-group/{n}",
        &[("Arn", "arn:{p}:codebuild:{r}:{a}:report-group/{n}")],
    ),
    known(
        "AWS::CodeCommit::Repository",
        Some("RepositoryName"),
        Form::Uuid,
        NAME,
        &[
            ("Arn", "arn:{p}:codecommit:{r}:{a}:{n}"),
            ("Name", NAME),
            ("CloneUrlHttp", "https://git-codecommit.{r}.amazonaws.com/v1/repos/{n}"),
            ("CloneUrlSsh", "ssh://git-codecommit.{r}.amazonaws.com/v1/repos/{n}"),
        ],
    ),
    known(
        "AWS::CodeConnections::Connection",
        None,
        Form::Uuid,
        "arn:{p}:codeconnections:{r}:{a}:connection/{n}",
        &[("ConnectionArn", "arn:{p}:codeconnections:{r}:{a}:connection/{n}")],
    ),
    known("AWS::CodeDeploy::Application", Some("ApplicationName"), Form::Stack(100), NAME, &[]),
    known("AWS::CodeDeploy::DeploymentGroup", Some("DeploymentGroupName"), Form::Stack(100), NAME, &[]),
    known("AWS::CodePipeline::CustomActionType", None, Form::Stack(100), NAME, &[]),
    known("AWS::CodePipeline::Pipeline", Some("Name"), Form::Stack(100), NAME, &[("Version", "1")]),
    known("AWS::CodePipeline::Webhook", Some("Name"), Form::Stack(100), NAME, &[]),
    known(
        "AWS::CodeStarConnections::Connection",
        None,
        Form::Uuid,
        "arn:{p}:codestar-connections:{r}:{a}:connection/{n}",
        &[("ConnectionArn", "arn:{p}:codestar-connections:{r}:{a}:connection/{n}")],
    ),
    known(
        "AWS::DynamoDB::Table",
        Some("TableName"),
        Form::Stack(255),
        NAME,
        &[("Arn", "arn:{p}:dynamodb:{r}:{a}:table/{n}")],
    ),
    known(
        "AWS::ECR::Repository",
        Some("RepositoryName"),
        Form::Lower(255),
        NAME,
        &[("Arn", "arn:{p}:ecr:{r}:{a}:repository/{n}"), ("RepositoryUri", "{a}.dkr.ecr.{r}.amazonaws.com/{n}")],
    ),
    known(
        "AWS::ECS::Cluster",
        Some("ClusterName"),
        Form::Stack(255),
        NAME,
        &[("Arn", "arn:{p}:ecs:{r}:{a}:cluster/{n}")],
    ),
    known("AWS::Events::Rule", Some("Name"), Form::Stack(64), NAME, &[("Arn", "arn:{p}:events:{r}:{a}:rule/{n}")]),
    known(
        "AWS::IAM::ManagedPolicy",
        Some("ManagedPolicyName"),
        Form::Stack(128),
        "arn:{p}:iam::{a}:policy{path}{n}",
        &[("PolicyArn", "arn:{p}:iam::{a}:policy{path}{n}")],
    ),
    known("AWS::IAM::Policy", Some("PolicyName"), Form::Stack(128), NAME, &[]),
    known("AWS::IAM::Role", Some("RoleName"), Form::Stack(64), NAME, &[("Arn", "arn:{p}:iam::{a}:role{path}{n}")]),
    known("AWS::IAM::User", Some("UserName"), Form::Stack(64), NAME, &[("Arn", "arn:{p}:iam::{a}:user{path}{n}")]),
    known("AWS::KMS::Alias", Some("AliasName"), Form::Stack(255), NAME, &[]),
    known("AWS::KMS::Key", None, Form::Uuid, NAME, &[("Arn", "arn:{p}:kms:{r}:{a}:key/{n}"), ("KeyId", NAME)]),
    known(
        "AWS::Lambda::Function",
        Some("FunctionName"),
        Form::Stack(64),
        NAME,
        &[("Arn", "arn:{p}:lambda:{r}:{a}:function:{n}")],
    ),
    known(
        "AWS::Logs::LogGroup",
        Some("LogGroupName"),
        Form::Stack(255),
        NAME,
        &[("Arn", "arn:{p}:logs:{r}:{a}:log-group:{n}:*")],
    ),
    known(
        "AWS::S3::Bucket",
        Some("BucketName"),
        Form::Lower(63),
        NAME,
        &[
            ("Arn", "arn:{p}:s3:::{n}"),
            ("DomainName", "{n}.s3.amazonaws.com"),
            ("DualStackDomainName", "{n}.s3.dualstack.{r}.amazonaws.com"),
            ("RegionalDomainName", "{n}.s3.{r}.amazonaws.com"),
            ("WebsiteURL", "http://{n}.s3-website-{r}.amazonaws.com"),
        ],
    ),
    known(
        "AWS::SNS::Topic",
        Some("TopicName"),
        Form::Stack(256),
        "arn:{p}:sns:{r}:{a}:{n}",
        &[("TopicArn", "arn:{p}:sns:{r}:{a}:{n}"), ("TopicName", NAME)],
    ),
    known(
        "AWS::SQS::Queue",
        Some("QueueName"),
        Form::Stack(80),
        "https://sqs.{r}.amazonaws.com/{a}/{n}",
        &[("Arn", "arn:{p}:sqs:{r}:{a}:{n}"), ("QueueName", NAME)],
    ),
    known("AWS::SSM::Parameter", Some("Name"), Form::Stack(2048), NAME, &[]),
    known(
        "AWS::SecretsManager::Secret",
        Some("Name"),
        Form::Logical(512),
        "arn:{p}:secretsmanager:{r}:{a}:secret:{n}",
        &[("Id", "arn:{p}:secretsmanager:{r}:{a}:secret:{n}")],
    ),
    known(
        "AWS::StepFunctions::StateMachine",
        Some("StateMachineName"),
        Form::Stack(80),
        "arn:{p}:states:{r}:{a}:stateMachine:{n}",
        &[("Arn", "arn:{p}:states:{r}:{a}:stateMachine:{n}"), ("Name", NAME)],
    ),
];

pub(super) fn find(kind: &str) -> &'static Known {
    TYPES.iter().find(|k| k.kind == kind).unwrap_or(&UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_in_order_and_once() {
        assert!(TYPES.windows(2).all(|w| w[0].kind < w[1].kind));
    }
}
