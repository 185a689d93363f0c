//! Functions that are declared beside the server instead of made through its API: `[functions.NAME]` of towpath.toml. The same
//! rules hold, in the name of the account's owner.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use towpath_model::ids::Scope;
use towpath_wire::WireError;
use towpath_wire::lambda::{
    CreateFunctionRequest, Environment, FunctionCode, UpdateFunctionCodeRequest, UpdateFunctionConfigurationRequest,
};
use towpath_wire::types::{Blob, Sensitive};

use super::Lambda;
use super::check;
use crate::call::{Call, Origin};
use crate::identity::Principal;

/// A function as a file declares it.
#[derive(Debug, Clone)]
pub struct Declared {
    pub name: String,
    pub runtime: String,
    pub handler: String,
    /// The ARN of the execution role, which must be there.
    pub role: String,
    pub zip: Vec<u8>,
    pub environment: BTreeMap<String, String>,
    pub timeout: i32,
    pub memory: i32,
}

impl Lambda {
    /// Makes the function, or brings the one of this name to what is declared. What is the same already stays untouched.
    pub async fn declare(&self, scope: &Scope, declared: Declared) -> Result<(), WireError> {
        let call = |operation: &str| Call {
            principal: Principal::root(&scope.account),
            scope: scope.clone(),
            operation: operation.to_owned(),
            body: Bytes::new(),
            request_id: self.ambient.uuid(),
            origin: Origin::default(),
        };
        let variables: BTreeMap<String, Sensitive> =
            declared.environment.into_iter().map(|(name, value)| (name, Sensitive::new(value))).collect();
        let environment = Some(Environment { variables: Some(variables) });
        let Some(found) = self.find(scope, &declared.name).await? else {
            let input = CreateFunctionRequest {
                code: FunctionCode { zip_file: Some(Blob(declared.zip)), ..FunctionCode::default() },
                environment,
                function_name: declared.name,
                handler: Some(declared.handler),
                memory_size: Some(declared.memory),
                role: declared.role,
                runtime: Some(declared.runtime),
                timeout: Some(declared.timeout),
                ..CreateFunctionRequest::default()
            };
            return Box::pin(self.create_function(&call("CreateFunction"), input)).await.map(drop);
        };
        let latest = found.value.latest;
        if hex::encode(Sha256::digest(&declared.zip)) != latest.code {
            let input = UpdateFunctionCodeRequest {
                function_name: declared.name.clone(),
                zip_file: Some(Blob(declared.zip)),
                ..UpdateFunctionCodeRequest::default()
            };
            Box::pin(self.update_function_code(&call("UpdateFunctionCode"), input)).await?;
        }
        let config = &latest.config;
        let same = config.runtime.as_ref() == Some(&declared.runtime)
            && config.handler.as_ref() == Some(&declared.handler)
            && config.role.as_ref() == Some(&declared.role)
            && config.timeout == Some(declared.timeout)
            && config.memory_size == Some(declared.memory)
            && config.environment == check::environment(environment.clone());
        if same {
            return Ok(());
        }
        let input = UpdateFunctionConfigurationRequest {
            environment,
            function_name: declared.name,
            handler: Some(declared.handler),
            memory_size: Some(declared.memory),
            role: Some(declared.role),
            runtime: Some(declared.runtime),
            timeout: Some(declared.timeout),
            ..UpdateFunctionConfigurationRequest::default()
        };
        Box::pin(self.update_function_configuration(&call("UpdateFunctionConfiguration"), input)).await.map(drop)
    }
}
