//! The functions of `[functions.NAME]`: packed from their directories and made, or brought up to date, before anybody asks for
//! them. A role is made for those that name none.

use serde_json::json;
use towpath_artifacts::pack_directory;
use towpath_services::lambda::Declared;

use super::System;
use super::archives::chain;
use crate::config::{Config, Function};
use crate::errors::ExpectedError;
use crate::host::Api as _;

/// The role of functions that name none. As wide as whoever writes towpath.toml is.
const ROLE: &str = "towpath-functions";
const ACTIONS: [&str; 7] = ["s3:*", "logs:*", "codepipeline:*", "codebuild:*", "lambda:*", "kms:*", "sts:AssumeRole"];

impl System {
    pub(super) async fn declare_functions(&self, config: &Config) -> Result<(), ExpectedError> {
        if config.functions.values().any(|function| function.role.is_none()) {
            self.function_role().await?;
        }
        for (name, function) in &config.functions {
            let declared = self.declared(name, function)?;
            self.front.services.lambda.declare(&self.scope, declared).await.map_err(|error| {
                wrong(format!("the function of [functions.{name}] cannot be made: {}", error.message))
            })?;
        }
        Ok(())
    }

    fn declared(&self, name: &str, function: &Function) -> Result<Declared, ExpectedError> {
        let role = format!("arn:aws:iam::{}:role/{ROLE}", self.scope.account);
        let packed = tempfile::tempdir()
            .map_err(|error| error.to_string())
            .and_then(|room| {
                let zip = room.path().join("code.zip");
                pack_directory(&function.path, |_, _| true, &zip).map_err(|error| chain(&error))?;
                std::fs::read(zip).map_err(|error| error.to_string())
            })
            .map_err(|error| {
                let path = function.path.display();
                wrong(format!("[functions.{name}] path `{path}` cannot be packed: {error}"))
            })?;
        Ok(Declared {
            name: name.to_owned(),
            runtime: function.runtime.clone(),
            handler: function.handler.clone(),
            role: function.role.clone().unwrap_or(role),
            zip: packed,
            environment: function.environment.clone(),
            timeout: i32::try_from(function.timeout.unwrap_or(3)).unwrap_or(i32::MAX),
            memory: i32::try_from(function.memory.unwrap_or(128)).unwrap_or(i32::MAX),
        })
    }

    async fn function_role(&self) -> Result<(), ExpectedError> {
        let doing = || format!("create the role `{ROLE}`");
        let document =
            |statement: serde_json::Value| json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        let trust = document(json!({
            "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
        }));
        let create = json!({"RoleName": ROLE, "AssumeRolePolicyDocument": trust});
        match self.call("iam", "CreateRole", create).await {
            Ok(_) => {}
            Err(error) if error.code.starts_with("EntityAlreadyExists") => return Ok(()),
            Err(error) => return Err(ExpectedError::api(doing())(error)),
        }
        let policy = document(json!({"Effect": "Allow", "Action": ACTIONS, "Resource": "*"}));
        let put = json!({"RoleName": ROLE, "PolicyName": "functions", "PolicyDocument": policy});
        self.call("iam", "PutRolePolicy", put).await.map_err(ExpectedError::api(doing()))?;
        Ok(())
    }
}

fn wrong(message: String) -> ExpectedError {
    ExpectedError::System { message, hint: Some("docs/lambda.md describes [functions.NAME]".to_owned()), usage: true }
}
