//! The configuration that both stack set actions have: targets, Regions, preferences of an operation, and parameters in
//! their two forms.

use aws_sdk_cloudformation::types::{
    CallAs, ConcurrencyMode, DeploymentTargets, Parameter, RegionConcurrencyType, StackInstanceSummary,
    StackSetOperationPreferences,
};
use serde_json::Value;
use towpath_model::action::{ActionInvocation, Outcome};
use towpath_model::catalogue::Property;

use crate::cloudformation::files::{self, FileOf, Files, wrong};
use crate::cloudformation::plan::given;
use crate::limits::TEMPLATE_SETTINGS_BYTES_MAX;

pub const TARGETS: &str = "DeploymentTargets";
pub const REGIONS: &str = "Regions";
const TOLERANCE: &str = "FailureTolerancePercentage";
const CONCURRENT: &str = "MaxConcurrentPercentage";
const CONCURRENCY_TYPE: &str = "RegionConcurrencyType";
const CONCURRENCY_MODES: [&str; 2] = ["SOFT_FAILURE_TOLERANCE", "STRICT_FAILURE_TOLERANCE"];
const CALLERS: [&str; 2] = ["DELEGATED_ADMIN", "SELF"];

/// The keys of every operation.
pub fn properties() -> Vec<Property> {
    vec![
        Property::optional(
            TOLERANCE,
            "Percentage of accounts in which a stack may fail, for each Region, before the operation is stopped there; 0 \
             when absent.",
        ),
        Property::optional(CONCURRENT, "Percentage of accounts that are worked on at once, 1 to 100."),
        Property::optional(
            CONCURRENCY_TYPE,
            "`Sequential`, Region after Region in the order of Regions (when absent), or `Parallel`.",
        ),
        Property::optional("ConcurrencyMode", "How the failure tolerance bounds what is worked on at once.")
            .one_of(&CONCURRENCY_MODES),
        Property::optional(
            "CallAs",
            "`SELF`, the management account (when absent), or `DELEGATED_ADMIN`, a delegated administrator's.",
        )
        .one_of(&CALLERS),
    ]
}

/// Where stacks are to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    pub accounts: Vec<String>,
    /// Organizational units and roots.
    pub units: Vec<String>,
    /// In their order.
    pub regions: Vec<String>,
}

/// What an operation is told beside its targets.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub call_as: Option<CallAs>,
    tolerance: Option<i32>,
    concurrent: Option<i32>,
    concurrency: Option<RegionConcurrencyType>,
    mode: Option<ConcurrencyMode>,
}

fn percentage(action: &ActionInvocation, key: &str, least: i32) -> Result<Option<i32>, String> {
    let Some(text) = given(action, key) else { return Ok(None) };
    let number = text.parse::<i32>().ok().filter(|number| (least..=100).contains(number));
    number
        .map(Some)
        .ok_or_else(|| format!("The value of {key} is '{text}'; it must be a whole number, {least} to 100."))
}

fn one_of<'a>(action: &'a ActionInvocation, key: &str, known: &[&str]) -> Result<Option<&'a str>, String> {
    match given(action, key) {
        Some(value) if !known.contains(&value) => {
            Err(format!("The value of {key} is '{value}'; it must be one of {}.", known.join(", ")))
        }
        value => Ok(value),
    }
}

impl Options {
    pub fn read(action: &ActionInvocation) -> Result<Self, String> {
        let concurrency = given(action, CONCURRENCY_TYPE).map(str::to_ascii_uppercase);
        if let Some(wanted) = concurrency.as_deref().filter(|name| !["PARALLEL", "SEQUENTIAL"].contains(name)) {
            return Err(format!("The value of {CONCURRENCY_TYPE} is '{wanted}'; it must be Sequential or Parallel."));
        }
        Ok(Self {
            call_as: one_of(action, "CallAs", &CALLERS)?.map(CallAs::from),
            tolerance: percentage(action, TOLERANCE, 0)?,
            concurrent: percentage(action, CONCURRENT, 1)?,
            concurrency: concurrency.as_deref().map(RegionConcurrencyType::from),
            mode: one_of(action, "ConcurrencyMode", &CONCURRENCY_MODES)?.map(ConcurrencyMode::from),
        })
    }

    /// With the order of Regions that the configuration has.
    pub fn preferences(&self, regions: &[String]) -> StackSetOperationPreferences {
        StackSetOperationPreferences::builder()
            .set_region_order(Some(regions.to_vec()).filter(|regions| !regions.is_empty()))
            .set_failure_tolerance_percentage(self.tolerance)
            .set_max_concurrent_percentage(self.concurrent)
            .set_region_concurrency_type(self.concurrency.clone())
            .set_concurrency_mode(self.mode.clone())
            .build()
    }
}

/// `a,b` or `a b`, without empty ones.
fn list(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n']).map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

impl Targets {
    /// None where the configuration names none.
    pub async fn read(action: &ActionInvocation, files: &mut Files<'_>) -> Result<Option<Self>, Box<Outcome>> {
        let regions = given(action, REGIONS).map(list).unwrap_or_default();
        let Some(text) = given(action, TARGETS) else {
            if regions.is_empty() {
                return Ok(None);
            }
            return Err(wrong(format!(
                "Action {} has {REGIONS} without {TARGETS}. Name the accounts or organizational units, or remove {REGIONS}.",
                action.action_name
            )));
        };
        if regions.is_empty() {
            return Err(wrong(format!("Action {} has {TARGETS} without {REGIONS}.", action.action_name)));
        }
        let named = if files::split(text).is_some() {
            let file = FileOf::read(action, TARGETS, text).map_err(wrong)?;
            let document = files.json(file, TEMPLATE_SETTINGS_BYTES_MAX).await?;
            texts(&document).ok_or_else(|| {
                wrong(format!(
                    "The file {} of the artifact {} must be a JSON array of account ids or of organizational unit ids.",
                    file.path, file.artifact.name
                ))
            })?
        } else {
            list(text)
        };
        Self::of(named, regions).map(Some).map_err(wrong)
    }

    fn of(named: Vec<String>, regions: Vec<String>) -> Result<Self, String> {
        let mut targets = Self { regions, ..Self::default() };
        for name in named {
            if name.len() == 12 && name.bytes().all(|b| b.is_ascii_digit()) {
                targets.accounts.push(name);
            } else if name.starts_with("ou-") || name.starts_with("r-") {
                targets.units.push(name);
            } else {
                return Err(format!(
                    "{TARGETS} names '{name}', which is neither an account id of 12 digits nor an organizational unit's id \
                     (ou-...) or root's (r-...)."
                ));
            }
        }
        match (targets.accounts.is_empty(), targets.units.is_empty()) {
            (true, true) => Err(format!("{TARGETS} names nothing.")),
            (false, false) => Err(format!(
                "{TARGETS} names accounts and organizational units. For the SERVICE_MANAGED permissions model, you can provide \
                 either the organization root ID or organizational unit IDs; for SELF_MANAGED, only accounts."
            )),
            _ => Ok(targets),
        }
    }

    /// Accounts by themselves, where the set's permissions are managed by the user.
    pub fn accounts(&self, service_managed: bool) -> Option<Vec<String>> {
        (!service_managed).then(|| self.accounts.clone())
    }

    /// Organizational units, where AWS Organizations manages the permissions.
    pub fn deployment_targets(&self, service_managed: bool) -> Option<DeploymentTargets> {
        let units = || Some(self.units.clone());
        service_managed.then(|| DeploymentTargets::builder().set_organizational_unit_ids(units()).build())
    }

    /// The targets and Regions of which some pair has no stack instance yet; None where all have one.
    pub fn missing(&self, instances: &[StackInstanceSummary]) -> Option<Self> {
        let has = |name: &str, region: &str| {
            instances.iter().any(|instance| {
                let is_it = instance.account() == Some(name) || instance.organizational_unit_id() == Some(name);
                is_it && instance.region() == Some(region)
            })
        };
        let lacks = |name: &&String| self.regions.iter().any(|region| !has(name, region));
        let accounts: Vec<String> = self.accounts.iter().filter(lacks).cloned().collect();
        let units: Vec<String> = self.units.iter().filter(lacks).cloned().collect();
        if accounts.is_empty() && units.is_empty() {
            return None;
        }
        let lacking = |region: &&String| accounts.iter().chain(&units).any(|name| !has(name, region));
        let regions = self.regions.iter().filter(lacking).cloned().collect();
        Some(Self { accounts, units, regions })
    }
}

fn texts(document: &Value) -> Option<Vec<String>> {
    document.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Parameters of `key`, in the shorthand or as a JSON file.
pub async fn parameters(
    action: &ActionInvocation,
    key: &str,
    files: &mut Files<'_>,
) -> Result<Option<Vec<Parameter>>, Box<Outcome>> {
    let Some(text) = given(action, key) else { return Ok(None) };
    if text.contains("ParameterKey=") || files::split(text).is_none() {
        return shorthand(key, text).map(Some).map_err(wrong);
    }
    let file = FileOf::read(action, key, text).map_err(wrong)?;
    let document = files.json(file, TEMPLATE_SETTINGS_BYTES_MAX).await?;
    let items = document.as_array().map(|items| items.iter().map(of_file).collect::<Option<Vec<_>>>());
    items.flatten().map(Some).ok_or_else(|| {
        wrong(format!(
            "The file {} of the artifact {} must be a JSON array of {{\"ParameterKey\": \"...\", \"ParameterValue\": \"...\"}}.",
            file.path, file.artifact.name
        ))
    })
}

fn of_file(item: &Value) -> Option<Parameter> {
    let members = item.as_object()?;
    let text = |key: &str| match members.get(key) {
        None => Some(None),
        Some(value) => value.as_str().map(|text| Some(text.to_owned())),
    };
    let previous = match members.get("UsePreviousValue") {
        None => None,
        Some(Value::Bool(previous)) => Some(*previous),
        Some(Value::String(previous)) => Some(previous.parse().ok()?),
        Some(_) => return None,
    };
    Some(
        Parameter::builder()
            .parameter_key(text("ParameterKey")??)
            .set_parameter_value(text("ParameterValue")?)
            .set_use_previous_value(previous)
            .build(),
    )
}

/// The last one is told by CloudFormation alone; it is read over.
const MEMBERS: [&str; 4] = ["ParameterKey", "ParameterValue", "UsePreviousValue", "ResolvedValue"];

/// `ParameterKey=Env,ParameterValue=prod ParameterKey=Size,UsePreviousValue=true`; values with spaces or commas in quotes.
/// A comma that no member follows is part of the value, so that lists need no quotes.
fn shorthand(key: &str, text: &str) -> Result<Vec<Parameter>, String> {
    let wrong = || {
        format!(
            "The value of {key} must be ParameterKey=NAME,ParameterValue=VALUE, or ParameterKey=NAME,UsePreviousValue=true, \
             several separated by spaces; or Artifact::file.json."
        )
    };
    let mut parameters = Vec::new();
    for item in pieces(text, char::is_whitespace).into_iter().filter(|item| !item.is_empty()) {
        let mut members: Vec<(&str, String)> = Vec::new();
        for piece in pieces(&item, |c| c == ',') {
            let known = MEMBERS.into_iter().find_map(|name| {
                let value = piece.strip_prefix(name)?.strip_prefix('=')?;
                Some((name, unquoted(value)))
            });
            if let Some(member) = known {
                members.push(member);
            } else if let Some((_, value)) = members.last_mut() {
                value.push(',');
                value.push_str(&unquoted(&piece));
            } else {
                return Err(wrong());
            }
        }
        let of = |name: &str| members.iter().find(|(member, _)| *member == name).map(|(_, value)| value.clone());
        let previous = of("UsePreviousValue").map(|text| text.to_ascii_lowercase().parse::<bool>()).transpose();
        let previous = previous.map_err(|_| wrong())?;
        let named = of("ParameterKey").filter(|name| !name.is_empty()).ok_or_else(wrong)?;
        let parameter = Parameter::builder()
            .parameter_key(named)
            .set_parameter_value(of("ParameterValue"))
            .set_use_previous_value(previous)
            .build();
        parameters.push(parameter);
    }
    Ok(parameters)
}

/// Splits where `at` holds, but not within quotes.
fn pieces(text: &str, at: impl Fn(char) -> bool) -> Vec<String> {
    let (mut list, mut quote) = (vec![String::new()], None);
    for c in text.chars() {
        match quote {
            None if at(c) => {
                list.push(String::new());
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            None | Some(_) => {}
        }
        if let Some(last) = list.last_mut() {
            last.push(c);
        }
    }
    list
}

fn unquoted(text: &str) -> String {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(parameters: &[Parameter]) -> Vec<(&str, Option<&str>, Option<bool>)> {
        parameters.iter().map(|p| (p.parameter_key().unwrap(), p.parameter_value(), p.use_previous_value())).collect()
    }

    #[test]
    fn parameters_in_the_shorthand() {
        let read = shorthand(
            "Parameters",
            "ParameterKey=Env,ParameterValue=prod ParameterKey=Zones,ParameterValue=a,b,c \
             ParameterKey=Size,UsePreviousValue=true\n ParameterKey=Ami,ParameterValue=/ami,ResolvedValue=ami-1 \
             ParameterKey=Text,ParameterValue=\"two words, a comma\"",
        )
        .unwrap();
        let want = [
            ("Env", Some("prod"), None),
            ("Zones", Some("a,b,c"), None),
            ("Size", None, Some(true)),
            ("Ami", Some("/ami"), None),
            ("Text", Some("two words, a comma"), None),
        ];
        assert_eq!(told(&read), want);
        for bad in ["Env=prod", "ParameterValue=prod", "ParameterKey=A,UsePreviousValue=perhaps"] {
            assert!(shorthand("Parameters", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn targets_are_accounts_or_units() {
        let of =
            |names: &[&str]| Targets::of(names.iter().map(|n| (*n).to_owned()).collect(), vec!["eu-west-1".to_owned()]);
        assert_eq!(of(&["ou-ab12-cdef3456", "r-ab12"]).unwrap().units.len(), 2);
        assert_eq!(of(&["111122223333", "444455556666"]).unwrap().accounts.len(), 2);
        assert!(of(&["111122223333", "r-ab12"]).unwrap_err().contains("names accounts and organizational units"));
        assert!(of(&["11112222"]).unwrap_err().contains("neither an account id of 12 digits"));
        assert_eq!(of(&[]), Err("DeploymentTargets names nothing.".to_owned()));
    }

    #[test]
    fn only_pairs_without_an_instance_are_missing() {
        let instance = |account: &str, unit: Option<&str>, region: &str| {
            let made = StackInstanceSummary::builder().account(account).region(region);
            made.set_organizational_unit_id(unit.map(str::to_owned)).build()
        };
        let name = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let targets = Targets {
            accounts: name(&["111122223333", "444455556666"]),
            units: Vec::new(),
            regions: name(&["eu-west-1", "eu-north-1"]),
        };
        let mut instances =
            vec![instance("111122223333", None, "eu-west-1"), instance("111122223333", None, "eu-north-1")];
        let missing = targets.missing(&instances).unwrap();
        assert_eq!((missing.accounts, missing.regions), (name(&["444455556666"]), targets.regions.clone()));
        instances.push(instance("444455556666", None, "eu-west-1"));
        let missing = targets.missing(&instances).unwrap();
        assert_eq!((missing.accounts, missing.regions), (name(&["444455556666"]), name(&["eu-north-1"])));
        instances.push(instance("444455556666", None, "eu-north-1"));
        assert_eq!(targets.missing(&instances), None);
        let units = Targets { accounts: Vec::new(), units: name(&["ou-ab12-cdef3456"]), ..targets };
        let instances = [instance("777788889999", Some("ou-ab12-cdef3456"), "eu-west-1")];
        assert_eq!(units.missing(&instances).unwrap().regions, name(&["eu-north-1"]));
    }
}
