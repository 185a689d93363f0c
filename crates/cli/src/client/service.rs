//! The services the client knows: how each is called, signed and found.

use std::borrow::Cow;

use super::protocol::Protocol;

#[derive(Debug)]
pub struct Service {
    /// As the commands call it.
    pub name: &'static str,
    /// As signatures name it.
    pub signing: &'static str,
    /// As AWS's configuration names it: `AWS_ENDPOINT_URL_CLOUDWATCH_LOGS`, `cloudwatch_logs =` in a services section.
    pub id: &'static str,
    pub protocol: Protocol,
    /// IAM has one endpoint and one Region for the whole world.
    pub global: bool,
}

pub const SERVICES: &[Service] = &[
    Service {
        name: "codepipeline",
        signing: "codepipeline",
        id: "CodePipeline",
        protocol: Protocol::Json { prefix: "CodePipeline_20150709" },
        global: false,
    },
    Service {
        name: "codebuild",
        signing: "codebuild",
        id: "CodeBuild",
        protocol: Protocol::Json { prefix: "CodeBuild_20161006" },
        global: false,
    },
    Service {
        name: "codeconnections",
        signing: "codeconnections",
        id: "CodeConnections",
        protocol: Protocol::Json { prefix: "com.amazonaws.codeconnections.CodeConnections_20231201" },
        global: false,
    },
    Service {
        name: "logs",
        signing: "logs",
        id: "CloudWatch Logs",
        protocol: Protocol::Json { prefix: "Logs_20140328" },
        global: false,
    },
    Service {
        name: "iam",
        signing: "iam",
        id: "IAM",
        protocol: Protocol::Query { version: "2010-05-08" },
        global: true,
    },
    Service {
        name: "sts",
        signing: "sts",
        id: "STS",
        protocol: Protocol::Query { version: "2011-06-15" },
        global: false,
    },
    // S3 is no RPC service; its requests go through `Client::send`. It stands here for its endpoint.
    Service { name: "s3", signing: "s3", id: "S3", protocol: Protocol::Query { version: "2006-03-01" }, global: false },
];

pub fn named(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

impl Service {
    /// The Region that a signature names.
    pub fn region<'a>(&self, region: &'a str) -> Cow<'a, str> {
        match (self.global, region.starts_with("cn-")) {
            (true, false) => Cow::Borrowed("us-east-1"),
            (true, true) => Cow::Borrowed("cn-north-1"),
            (false, _) => Cow::Borrowed(region),
        }
    }

    /// AWS's own endpoint.
    pub fn at_aws(&self, region: &str) -> String {
        let china = region.starts_with("cn-");
        let domain = if china { "amazonaws.com.cn" } else { "amazonaws.com" };
        match (self.global, china) {
            (true, false) => format!("https://{}.{domain}", self.name),
            (true, true) => format!("https://{}.cn-north-1.{domain}", self.name),
            (false, _) => format!("https://{}.{region}.{domain}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_and_regions_are_aws_own() {
        let service = |name| named(name).unwrap();
        assert_eq!(service("codepipeline").at_aws("eu-west-1"), "https://codepipeline.eu-west-1.amazonaws.com");
        assert_eq!(service("logs").at_aws("cn-north-1"), "https://logs.cn-north-1.amazonaws.com.cn");
        assert_eq!(service("iam").at_aws("eu-west-1"), "https://iam.amazonaws.com");
        assert_eq!(service("iam").region("eu-west-1"), "us-east-1");
        assert_eq!(service("sts").region("eu-west-1"), "eu-west-1");
        assert!(named("lambda").is_none());
    }
}
