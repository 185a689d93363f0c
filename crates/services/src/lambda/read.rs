//! GetFunction, GetFunctionConfiguration, ListFunctions, and what is asked beside them: code signing, provisioned
//! concurrency, the account's settings.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use towpath_wire::WireError;
use towpath_wire::lambda::{
    AccountLimit, AccountUsage, Concurrency, FunctionCodeLocation, FunctionConfiguration, GetAccountSettingsResponse,
    GetFunctionCodeSigningConfigRequest, GetFunctionCodeSigningConfigResponse, GetFunctionConfigurationRequest,
    GetFunctionRequest, GetFunctionResponse, GetProvisionedConcurrencyConfigRequest,
    GetProvisionedConcurrencyConfigResponse, ListFunctionsRequest, ListFunctionsResponse, SERVICE,
};

use super::Lambda;
use super::errors::invalid;
use super::limits::{ACCOUNT_CONCURRENCY, FUNCTIONS_PER_PAGE, UNZIPPED_BYTES_MAX, ZIPPED_BYTES_MAX};
use super::names::{function_arn, parse};
use super::records::Version;
use crate::call::Call;

/// AWS's quota for the code of an account.
const CODE_BYTES_MAX: i64 = 80_530_636_800;

impl Lambda {
    pub(super) async fn get_function(
        &self,
        call: &Call,
        input: GetFunctionRequest,
    ) -> Result<GetFunctionResponse, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        self.may(call, &reference.arn(scope)).await?;
        let function = self.function(scope, &reference).await?;
        let version = self.resolve(scope, &reference, &function).await?;
        let reserved = function.reserved.filter(|_| reference.qualifier.is_none());
        Ok(GetFunctionResponse {
            code: Some(FunctionCodeLocation {
                repository_type: Some("S3".to_owned()),
                location: self.downloads.location(&version.code, self.ambient.now()),
                ..FunctionCodeLocation::default()
            }),
            concurrency: reserved.map(|reserved| Concurrency { reserved_concurrent_executions: Some(reserved) }),
            configuration: Some(shown(call, reference.qualifier.as_deref(), version)),
            tags: Some(function.tags).filter(|tags| !tags.is_empty()),
            tags_error: None,
        })
    }

    pub(super) async fn get_function_configuration(
        &self,
        call: &Call,
        input: GetFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration, WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        self.may(call, &reference.arn(scope)).await?;
        let function = self.function(scope, &reference).await?;
        let version = self.resolve(scope, &reference, &function).await?;
        Ok(shown(call, reference.qualifier.as_deref(), version))
    }

    pub(super) async fn list_functions(
        &self,
        call: &Call,
        input: ListFunctionsRequest,
    ) -> Result<ListFunctionsResponse, WireError> {
        self.may(call, "*").await?;
        let size = page_size(input.max_items);
        let all = input.function_version.is_some();
        // A marker of a page of versions names a version of a function.
        let (mut name, mut number) = match marker(input.marker.as_deref())? {
            Some(marker) => match marker.split_once(':') {
                Some((name, number)) => (Some(name.to_owned()), number.parse::<u64>().ok()),
                None => (Some(marker), None),
            },
            None => (None, None),
        };
        let mut functions: Vec<FunctionConfiguration> = Vec::new();
        // In the middle of a function's versions.
        if let (Some(of), Some(after)) = (&name, number) {
            let found = self.versions(&call.scope, of, after, size + 1).await?;
            if found.len() > size {
                let last = found[size - 1].0;
                functions.extend(found.into_iter().take(size).map(|(_, version)| listed(version)));
                return Ok(list(functions, Some(format!("{of}:{last}"))));
            }
            functions.extend(found.into_iter().map(|(_, version)| listed(version)));
            number = None;
        }
        loop {
            let found = self.functions(&call.scope, name.as_deref(), FUNCTIONS_PER_PAGE).await?;
            if found.is_empty() {
                return Ok(list(functions, None));
            }
            for (of, function) in found {
                if functions.len() >= size {
                    // Everything up to `name` is told.
                    return Ok(list(functions, name));
                }
                functions.push(latest_of_all(call, &of, function.latest, all));
                name = Some(of.clone());
                if all {
                    let room = size - functions.len();
                    let versions = self.versions(&call.scope, &of, 0, room + 1).await?;
                    let more = versions.len() > room;
                    let last = versions.iter().take(room).next_back().map_or(0, |(number, _)| *number);
                    functions.extend(versions.into_iter().take(room).map(|(_, version)| listed(version)));
                    if more {
                        return Ok(list(functions, Some(format!("{of}:{last}"))));
                    }
                }
            }
            debug_assert!(number.is_none(), "a page begins in the middle of one function at most");
        }
    }

    pub(super) async fn get_function_code_signing_config(
        &self,
        call: &Call,
        input: GetFunctionCodeSigningConfigRequest,
    ) -> Result<GetFunctionCodeSigningConfigResponse, WireError> {
        let reference = parse(call, &input.function_name, None)?;
        self.may(call, &reference.arn(&call.scope)).await?;
        self.function(&call.scope, &reference).await?;
        Ok(GetFunctionCodeSigningConfigResponse {
            code_signing_config_arn: String::new(),
            function_name: reference.name,
        })
    }

    pub(super) async fn get_provisioned_concurrency_config(
        &self,
        call: &Call,
        input: GetProvisionedConcurrencyConfigRequest,
    ) -> Result<GetProvisionedConcurrencyConfigResponse, WireError> {
        let reference = parse(call, &input.function_name, Some(&input.qualifier))?;
        self.may(call, &reference.qualified_arn(&call.scope)).await?;
        let function = self.function(&call.scope, &reference).await?;
        self.resolve(&call.scope, &reference, &function).await?;
        Err(WireError::modeled(
            &SERVICE,
            "ProvisionedConcurrencyConfigNotFoundException",
            "No Provisioned Concurrency Config found for this function",
        ))
    }

    pub(super) async fn get_account_settings(&self, call: &Call) -> Result<GetAccountSettingsResponse, WireError> {
        self.may(call, "*").await?;
        let (mut count, mut bytes, mut reserved) = (0, 0, 0);
        let mut after: Option<String> = None;
        loop {
            let found = self.functions(&call.scope, after.as_deref(), FUNCTIONS_PER_PAGE).await?;
            let Some((last, _)) = found.last() else { break };
            after = Some(last.clone());
            for (_, function) in found {
                count += 1;
                bytes += function.latest.config.code_size.unwrap_or_default();
                reserved += function.reserved.unwrap_or_default();
            }
        }
        Ok(GetAccountSettingsResponse {
            account_limit: Some(AccountLimit {
                code_size_unzipped: i64::try_from(UNZIPPED_BYTES_MAX).ok(),
                code_size_zipped: i64::try_from(ZIPPED_BYTES_MAX).ok(),
                concurrent_executions: Some(ACCOUNT_CONCURRENCY),
                total_code_size: Some(CODE_BYTES_MAX),
                unreserved_concurrent_executions: Some(ACCOUNT_CONCURRENCY - reserved),
            }),
            account_usage: Some(AccountUsage { function_count: Some(count), total_code_size: Some(bytes) }),
        })
    }
}

/// A configuration with the ARN by which it was asked for.
fn shown(call: &Call, qualifier: Option<&str>, version: Version) -> FunctionConfiguration {
    let mut config = version.config;
    let name = config.function_name.clone().unwrap_or_default();
    if let Some(qualifier) = qualifier {
        config.function_arn = Some(format!("{}:{qualifier}", function_arn(&call.scope, &name)));
    }
    config
}

fn latest_of_all(call: &Call, name: &str, latest: Version, all: bool) -> FunctionConfiguration {
    let mut config = listed(latest);
    if all {
        config.function_arn = Some(format!("{}:$LATEST", function_arn(&call.scope, name)));
    }
    config
}

/// Lists leave out the states.
pub(super) fn listed(version: Version) -> FunctionConfiguration {
    FunctionConfiguration {
        state: None,
        state_reason: None,
        state_reason_code: None,
        last_update_status: None,
        last_update_status_reason: None,
        last_update_status_reason_code: None,
        runtime_version_config: None,
        ..version.config
    }
}

fn list(functions: Vec<FunctionConfiguration>, after: Option<String>) -> ListFunctionsResponse {
    ListFunctionsResponse { functions: Some(functions), next_marker: after.map(|after| encode(&after)) }
}

pub(super) fn page_size(asked: Option<i32>) -> usize {
    asked
        .and_then(|size| usize::try_from(size).ok())
        .map_or(FUNCTIONS_PER_PAGE, |size| size.clamp(1, FUNCTIONS_PER_PAGE))
}

pub(super) fn encode(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

pub(super) fn marker(given: Option<&str>) -> Result<Option<String>, WireError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
    let decoded = URL_SAFE_NO_PAD.decode(given).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map(Some).ok_or_else(|| invalid("Invalid Marker"))
}
