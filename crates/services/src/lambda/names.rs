//! How functions are called: names, qualifiers, ARNs. Pure text.

use towpath_model::ids::Scope;
use towpath_wire::{Dialect, WireError};

use super::errors::{invalid, not_found, validation};
use super::limits::NAME_CHARS_MAX;
use crate::call::Call;

pub(super) const LATEST: &str = "$LATEST";

/// A function as a request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub name: String,
    /// `$LATEST`, a number or an alias.
    pub qualifier: Option<String>,
}

pub(super) fn function_arn(scope: &Scope, name: &str) -> String {
    format!("arn:aws:lambda:{}:{}:function:{name}", scope.region, scope.account)
}

impl Reference {
    pub fn arn(&self, scope: &Scope) -> String {
        function_arn(scope, &self.name)
    }

    /// With its qualifier, where there is one.
    pub fn qualified_arn(&self, scope: &Scope) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.arn(scope)),
            None => self.arn(scope),
        }
    }
}

/// Takes a name, a partial or a whole ARN apart, together with the qualifier given beside it.
pub(super) fn parse(call: &Call, text: &str, qualifier: Option<&str>) -> Result<Reference, WireError> {
    let scope = &call.scope;
    let mut parts: Vec<&str> = text.split(':').collect();
    if parts.first() == Some(&"arn") {
        // The pattern of the model lets every piece be absent; a whole ARN has them all.
        if parts.len() < 7 {
            return Err(invalid(format!("{text} is not a valid function ARN.")));
        }
        let (region, account) = (parts[3], parts[4]);
        if region != scope.region {
            let (here, there) = (&scope.region, region);
            return Err(not_found(format!("Functions from '{there}' are not reachable in this region ('{here}')")));
        }
        check_account(call, account, text)?;
        parts.drain(..6);
    } else if parts.len() > 2 {
        // 123456789012:function:name[:qualifier]
        if parts[1] != "function" || parts.len() > 4 {
            return Err(invalid(format!("{text} is not a valid function name.")));
        }
        check_account(call, parts[0], text)?;
        parts.drain(..2);
    } else if parts.first() == Some(&"function") {
        parts.remove(0);
    }
    let name = parts.first().copied().unwrap_or_default();
    if name.chars().count() > NAME_CHARS_MAX {
        let constraint = format!("Member must have length less than or equal to {NAME_CHARS_MAX}");
        return Err(validation(name, "functionName", &constraint));
    }
    let derived = parts.get(1).copied();
    if let (Some(derived), Some(given)) = (derived, qualifier)
        && derived != given
    {
        return Err(invalid("The derived qualifier from the function name does not match the specified qualifier."));
    }
    let qualifier = derived.or(qualifier).filter(|text| !text.is_empty());
    Ok(Reference { name: name.to_owned(), qualifier: qualifier.map(str::to_owned) })
}

fn check_account(call: &Call, account: &str, text: &str) -> Result<(), WireError> {
    if account == call.scope.account {
        return Ok(());
    }
    let message = format!(
        "User: {} is not authorized to perform: lambda:{} on resource: {text} because no resource-based policy allows \
         the lambda:{} action",
        call.principal.arn, call.operation, call.operation
    );
    Err(WireError::access_denied(Dialect::Rest, message))
}

/// Whether a qualifier is the number of a version.
pub(super) fn is_number(qualifier: &str) -> bool {
    !qualifier.is_empty() && qualifier.bytes().all(|byte| byte.is_ascii_digit())
}
