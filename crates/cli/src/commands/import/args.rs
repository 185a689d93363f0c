//! The command line of `towpath import`, and what every command takes that reads templates.

use std::path::PathBuf;

use clap::Args;

use crate::args::pair;
use crate::client::Connection;
use crate::commands::validate::Format;
use crate::env;
use crate::file::template::Options;

/// Create what a CloudFormation template or a CDK app says about pipelines
///
/// Reads templates (JSON, or YAML with its short functions) and what `cdk synth` wrote, resolves functions with the
/// parameters given, and shows what would be created: pipelines, their webhooks, custom action types and CodeBuild
/// projects, and the roles, policies and buckets that these refer to. What a template has besides is left out, with the
/// reason. Then it is created through the API. Importing again updates what has changed and leaves the rest.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  towpath import template.yaml --parameter Branch=main
  towpath import cdk.out --dry-run                what would be created
  towpath import cdk.out --stack Shop --yes
  towpath import template.yaml --format json --dry-run | jq '.resources[].calls'

Exit codes: 0 done or nothing to do, 1 refused by the server, 2 the template or the usage is wrong, or nobody said yes

JSON: {\"account\", \"region\", \"resources\": [{\"stack\", \"logicalId\", \"type\", \"name\", \"change\", \"calls\", \"notes\"}],
\"leftOut\": [{\"stack\", \"logicalId\", \"type\", \"reason\"}], \"done\"}")]
pub struct ImportArgs {
    /// A template, a directory with template.yaml or template.json, or the directory that `cdk synth` wrote (cdk.out)
    pub path: PathBuf,
    /// Create without asking; without a terminal to ask on this is needed
    #[arg(long, short)]
    pub yes: bool,
    /// Only show what would be created
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// How the plan is shown; JSON has every call that is made
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    pub template: TemplateArgs,
    /// Which stacks of a CDK app; the default is all. May be repeated
    #[arg(long = "stack", value_name = "NAME", help_heading = "CloudFormation templates")]
    pub stacks: Vec<String>,
    #[command(flatten)]
    pub connection: Connection,
    /// The data directory of a server on this machine, for its key
    #[arg(long, value_name = "DIR", env = env::DATA_DIR, hide_env_values = true, help_heading = "Connection")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "CloudFormation templates")]
pub struct TemplateArgs {
    /// A value for a parameter of the template; STACK:NAME=VALUE for one stack of an app. May be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// The value of an export of another stack (Fn::ImportValue). May be repeated
    #[arg(long = "import", value_name = "EXPORT=VALUE", value_parser = pair)]
    pub imports: Vec<(String, String)>,
    /// What a reference to a resource is that is not created here: RESOURCE=VALUE for Ref, RESOURCE.ATTRIBUTE=VALUE for
    /// Fn::GetAtt. May be repeated
    #[arg(long = "attribute", value_name = "RESOURCE[.ATTRIBUTE]=VALUE", value_parser = pair)]
    pub attributes: Vec<(String, String)>,
    /// The name of the stack; names that the template leaves out begin with it. The default is the file's name
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    pub stack_name: Option<String>,
}

/// Which pipeline of a template is meant, and what its parameters are.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "CloudFormation templates")]
pub struct PipelineOfTemplate {
    /// Which pipeline, by its name or logical id, where a template has several
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// Which stacks of a CDK app; the default is all. May be repeated
    #[arg(long = "stack", value_name = "NAME")]
    pub stacks: Vec<String>,
    #[command(flatten)]
    pub template: TemplateArgs,
}

impl PipelineOfTemplate {
    pub fn options(&self) -> Options {
        self.template.options(&self.stacks, self.pipeline.as_deref())
    }
}

impl ImportArgs {
    pub fn request(&self) -> super::Request {
        super::Request {
            path: self.path.clone(),
            yes: self.yes,
            dry_run: self.dry_run,
            format: self.format,
            template: self.template.options(&self.stacks, None),
        }
    }
}

impl TemplateArgs {
    pub fn options(&self, stacks: &[String], pipeline: Option<&str>) -> Options {
        Options {
            parameters: self.parameters.clone(),
            imports: self.imports.clone(),
            attributes: self.attributes.clone(),
            stack_name: self.stack_name.clone(),
            stacks: stacks.to_vec(),
            pipeline: pipeline.map(str::to_owned),
        }
    }
}

fn stack_name(text: &str) -> Result<String, String> {
    let fits = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a stack's name is a letter, then letters, digits and hyphens".to_owned())
    }
}
