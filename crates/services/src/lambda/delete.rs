//! DeleteFunction: all of a function, or one version.

use towpath_wire::WireError;
use towpath_wire::lambda::DeleteFunctionRequest;

use super::Lambda;
use super::errors::{conflict, invalid, no_function};
use super::names::{LATEST, is_number, parse};
use crate::call::Call;

impl Lambda {
    pub(super) async fn delete_function(&self, call: &Call, input: DeleteFunctionRequest) -> Result<(), WireError> {
        let scope = &call.scope;
        let reference = parse(call, &input.function_name, input.qualifier.as_deref())?;
        self.may(call, &reference.qualified_arn(scope)).await?;
        let function = self.find(scope, &reference.name).await?.ok_or_else(|| no_function(&reference.arn(scope)))?;
        let Some(qualifier) = reference.qualifier.as_deref() else {
            self.remove(scope, &reference.name).await?;
            self.retire(scope, &reference.name);
            return Ok(());
        };
        if qualifier == LATEST {
            return Err(invalid("$LATEST version cannot be deleted without deleting the function."));
        }
        if !is_number(qualifier) {
            return Err(invalid("Deletion of aliases is not currently supported."));
        }
        let holders: Vec<&str> = function
            .value
            .aliases
            .iter()
            .filter(|(_, alias)| alias.version == qualifier || alias.weights.contains_key(qualifier))
            .map(|(name, _)| name.as_str())
            .collect();
        if !holders.is_empty() {
            let holders = holders.join(", ");
            return Err(conflict(format!(
                "Unable to delete version because the following aliases reference it: [{holders}]"
            )));
        }
        // A version that is not there is gone already.
        self.remove_version(scope, &reference.name, qualifier.parse().unwrap_or(0)).await
    }
}
