//! `cargo xtask generate [--check]`: models/*.json become crates/wire/src/generated/*.rs. This file holds the tables (which
//! services, which operations, where the live service differs from its model) and the file handling; reading a model is
//! `generate_model`, writing Rust is `generate_render`. The output depends on nothing but the models and these tables.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use crate::Outcome;
use crate::generate_model::Model;
use crate::generate_render::{render_index, render_service};

/// One generated service and the choices that its model does not state.
pub struct ServiceEntry {
    /// The model's file stem and the service name of a SigV4 scope; the module's name is [`Self::module`].
    pub name: &'static str,
    /// `All`, or the operations somebody has asked for.
    pub operations: Operations,
    /// The error code under which constraint failures are reported.
    pub validation_code: &'static str,
    /// Whether constraint failures quote the value (`Value 'x' at 'y' failed ...`), as older front ends do.
    pub quotes_values: bool,
}

impl ServiceEntry {
    pub fn module(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// What both names of the connections service have.
const CONNECTIONS: &[&str] = &[
    "CreateConnection",
    "CreateHost",
    "DeleteConnection",
    "DeleteHost",
    "GetConnection",
    "GetHost",
    "ListConnections",
    "ListHosts",
    "ListTagsForResource",
    "TagResource",
    "UntagResource",
    "UpdateHost",
];

pub enum Operations {
    All,
    Only(&'static [&'static str]),
}

/// Every service that is spoken through generated shapes, alphabetically.
pub const SERVICES: &[ServiceEntry] = &[
    // CodeBuild models no ValidationException; its constraint failures are InvalidInputException.
    ServiceEntry {
        name: "codebuild",
        operations: Operations::All,
        validation_code: "InvalidInputException",
        quotes_values: false,
    },
    // What CodeCommit says of a broken constraint is one of its own exceptions; the service puts it into those words.
    ServiceEntry {
        name: "codecommit",
        operations: Operations::Only(&[
            "BatchGetRepositories",
            "CreateBranch",
            "CreateCommit",
            "CreateRepository",
            "DeleteBranch",
            "DeleteRepository",
            "GetBranch",
            "GetCommit",
            "GetFile",
            "GetRepository",
            "ListBranches",
            "ListRepositories",
            "ListTagsForResource",
            "PutFile",
            "TagResource",
            "UntagResource",
            "UpdateDefaultBranch",
            "UpdateRepositoryDescription",
            "UpdateRepositoryName",
        ]),
        validation_code: "ValidationException",
        quotes_values: false,
    },
    // One service with two names. Neither models the ValidationException that both answer with.
    ServiceEntry {
        name: "codeconnections",
        operations: Operations::Only(CONNECTIONS),
        validation_code: "ValidationException",
        quotes_values: true,
    },
    ServiceEntry {
        name: "codepipeline",
        operations: Operations::All,
        validation_code: "ValidationException",
        quotes_values: false,
    },
    ServiceEntry {
        name: "codestar-connections",
        operations: Operations::Only(CONNECTIONS),
        validation_code: "ValidationException",
        quotes_values: true,
    },
    ServiceEntry {
        name: "iam",
        operations: Operations::Only(&[
            "AddUserToGroup",
            "AttachGroupPolicy",
            "AttachRolePolicy",
            "AttachUserPolicy",
            "CreateAccessKey",
            "CreateGroup",
            "CreatePolicy",
            "CreatePolicyVersion",
            "CreateRole",
            "CreateUser",
            "DeleteAccessKey",
            "DeleteGroup",
            "DeleteGroupPolicy",
            "DeleteLoginProfile",
            "DeletePolicy",
            "DeletePolicyVersion",
            "DeleteRole",
            "DeleteRolePermissionsBoundary",
            "DeleteRolePolicy",
            "DeleteUser",
            "DeleteUserPermissionsBoundary",
            "DeleteUserPolicy",
            "DetachGroupPolicy",
            "DetachRolePolicy",
            "DetachUserPolicy",
            "GetAccessKeyLastUsed",
            "GetAccountSummary",
            "GetGroup",
            "GetGroupPolicy",
            "GetLoginProfile",
            "GetPolicy",
            "GetPolicyVersion",
            "GetRole",
            "GetRolePolicy",
            "GetUser",
            "GetUserPolicy",
            "ListAccessKeys",
            "ListAccountAliases",
            "ListAttachedGroupPolicies",
            "ListAttachedRolePolicies",
            "ListAttachedUserPolicies",
            "ListEntitiesForPolicy",
            "ListGroupPolicies",
            "ListGroups",
            "ListGroupsForUser",
            "ListInstanceProfiles",
            "ListInstanceProfilesForRole",
            "ListMFADevices",
            "ListPolicies",
            "ListPolicyTags",
            "ListPolicyVersions",
            "ListRolePolicies",
            "ListRoleTags",
            "ListRoles",
            "ListSSHPublicKeys",
            "ListServiceSpecificCredentials",
            "ListSigningCertificates",
            "ListUserPolicies",
            "ListUserTags",
            "ListUsers",
            "ListVirtualMFADevices",
            "PutGroupPolicy",
            "PutRolePermissionsBoundary",
            "PutRolePolicy",
            "PutUserPermissionsBoundary",
            "PutUserPolicy",
            "RemoveRoleFromInstanceProfile",
            "RemoveUserFromGroup",
            "SetDefaultPolicyVersion",
            "TagPolicy",
            "TagRole",
            "TagUser",
            "UntagPolicy",
            "UntagRole",
            "UntagUser",
            "UpdateAccessKey",
            "UpdateAssumeRolePolicy",
            "UpdateGroup",
            "UpdateRole",
            "UpdateRoleDescription",
            "UpdateUser",
        ]),
        validation_code: "ValidationError",
        quotes_values: true,
    },
    ServiceEntry {
        name: "lambda",
        operations: Operations::Only(&[
            "AddPermission",
            "CreateAlias",
            "CreateFunction",
            "DeleteAlias",
            "DeleteFunction",
            "DeleteFunctionConcurrency",
            "DeleteFunctionEventInvokeConfig",
            "GetAccountSettings",
            "GetAlias",
            "GetFunction",
            "GetFunctionCodeSigningConfig",
            "GetFunctionConcurrency",
            "GetFunctionConfiguration",
            "GetFunctionEventInvokeConfig",
            "GetPolicy",
            "GetProvisionedConcurrencyConfig",
            "Invoke",
            "ListAliases",
            "ListFunctions",
            "ListTags",
            "ListVersionsByFunction",
            "PublishVersion",
            "PutFunctionConcurrency",
            "PutFunctionEventInvokeConfig",
            "RemovePermission",
            "TagResource",
            "UntagResource",
            "UpdateAlias",
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
            "UpdateFunctionEventInvokeConfig",
        ]),
        validation_code: "ValidationException",
        quotes_values: true,
    },
    // CloudWatch Logs reports constraint failures under its own InvalidParameterException, quoting the value.
    ServiceEntry {
        name: "logs",
        operations: Operations::Only(&[
            "CreateLogGroup",
            "CreateLogStream",
            "DeleteLogGroup",
            "DescribeLogGroups",
            "DescribeLogStreams",
            "FilterLogEvents",
            "GetLogEvents",
            "PutLogEvents",
        ]),
        validation_code: "InvalidParameterException",
        quotes_values: true,
    },
    ServiceEntry {
        name: "sts",
        operations: Operations::Only(&[
            "AssumeRole",
            "GetAccessKeyInfo",
            "GetCallerIdentity",
            "GetFederationToken",
            "GetSessionToken",
        ]),
        validation_code: "ValidationError",
        quotes_values: true,
    },
];

/// A difference between a model and the service it describes.
pub struct Patch {
    pub service: &'static str,
    pub shape: &'static str,
    pub change: Change,
}

pub enum Change {
    Min(i64),
    Max(i64),
    Sensitive,
}

/// Known deviations. The models stay as AWS publishes them; a deviation is a row here with its reason.
pub const PATCHES: &[Patch] = &[
    // The live service accepts `"variables": []` on StartPipelineExecution (the console sends it); the model says 1.
    Patch { service: "codepipeline", shape: "PipelineVariableList", change: Change::Min(0) },
    // The live service's own error text names 50000, not the model's 1000 (aws-cdk #19767, terraform-provider-aws #41023).
    Patch { service: "codepipeline", shape: "ActionConfigurationValue", change: Change::Max(50_000) },
    // A webhook's secret is answered as a mask and must not reach a log, though the model does not mark it.
    Patch { service: "codepipeline", shape: "WebhookAuthConfigurationSecretToken", change: Change::Sensitive },
    // A session token is a credential; only the secret key is marked in the STS model.
    Patch { service: "sts", shape: "tokenType", change: Change::Sensitive },
];

const OUTPUT: &str = "crates/wire/src/generated";

pub fn run(root: &Path, arguments: &[String]) -> Outcome {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask generate [--check]".to_owned()),
    };
    let mut files = vec![("mod.rs".to_owned(), format_rust(root, &render_index(SERVICES))?)];
    for entry in SERVICES {
        let path = root.join("models").join(format!("{}.json", entry.name));
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let model = Model::read(entry, PATCHES, &text)?;
        files.push((format!("{}.rs", entry.module()), format_rust(root, &render_service(entry, &model)?)?));
    }

    let directory = root.join(OUTPUT);
    let mut stale = differing(&directory, &files)?;
    if stale.is_empty() {
        println!("{OUTPUT} is up to date ({} files)", files.len());
        return Ok(ExitCode::SUCCESS);
    }
    if check {
        for name in stale {
            println!("{OUTPUT}/{name} differs from what models/ and xtask/src/generate.rs produce");
        }
        println!("run `cargo xtask generate` and commit the result");
        return Ok(ExitCode::FAILURE);
    }
    fs::create_dir_all(&directory).map_err(|error| format!("cannot create {OUTPUT}: {error}"))?;
    stale.sort();
    for name in stale {
        let path = directory.join(&name);
        match files.iter().find(|(file, _)| *file == name) {
            Some((_, text)) => fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?,
            None => fs::remove_file(&path).map_err(|e| format!("cannot remove {}: {e}", path.display()))?,
        }
        println!("{OUTPUT}/{name}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of files that are missing, different, or no longer generated.
fn differing(directory: &Path, files: &[(String, String)]) -> Result<Vec<String>, String> {
    let mut stale: Vec<String> = files
        .iter()
        .filter(|(name, text)| fs::read_to_string(directory.join(name)).ok().as_deref() != Some(text.as_str()))
        .map(|(name, _)| name.clone())
        .collect();
    let Ok(entries) = fs::read_dir(directory) else { return Ok(stale) };
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !files.iter().any(|(file, _)| *file == name) {
            stale.push(name);
        }
    }
    Ok(stale)
}

/// Formats with the workspace's own rustfmt configuration, so that `cargo fmt --check` and `generate --check` agree.
fn format_rust(root: &Path, source: &str) -> Result<String, String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root.join("rustfmt.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run rustfmt ({error}); install it with `rustup component add rustfmt`"))?;
    // A thread feeds the source, because rustfmt may fill its output pipe before it has read everything.
    let mut stdin = child.stdin.take().ok_or("rustfmt has no standard input")?;
    let text = source.to_owned();
    let feeder = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().map_err(|error| format!("rustfmt did not finish: {error}"))?;
    feeder.join().map_err(|_| "feeding rustfmt panicked")?.map_err(|error| format!("cannot feed rustfmt: {error}"))?;
    if !output.status.success() {
        return Err(format!("rustfmt refused the generated code: {}", String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|_| "rustfmt answered with text that is not UTF-8".to_owned())
}
