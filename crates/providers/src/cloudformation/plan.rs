//! The configuration of a CloudFormation action, read, and the files it names. Keys that a mode does not use are ignored, as
//! on AWS.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Capability, Parameter, Tag};
use serde_json::{Map, Value};
use towpath_model::action::{ActionInvocation, Outcome};

use super::deeds::Mode;
use super::files::{FileOf, Files, wrong};
use super::overrides::{self, Given, text_of};
use super::template::{self, Template};
use crate::limits::{STACK_NAME_CHARS_MAX, TEMPLATE_BYTES_MAX, TEMPLATE_SETTINGS_BYTES_MAX};
use crate::provider::Call;

pub const CAPABILITIES: [&str; 3] = ["CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"];
const TEMPLATE_PATH: &str = "TemplatePath";
const TEMPLATE_CONFIGURATION: &str = "TemplateConfiguration";

pub struct Plan<'a> {
    pub mode: Mode,
    pub stack: &'a str,
    /// Empty in modes that have none.
    pub change_set: &'a str,
    pub role: Option<&'a str>,
    /// Empty in modes that have none.
    pub capabilities: Vec<Capability>,
    pub output_file: Option<&'a str>,
    template: Option<FileOf<'a>>,
    configuration: Option<FileOf<'a>>,
    overrides: BTreeMap<String, Given>,
}

/// What a stack or change set is made of.
pub struct Settings {
    pub template: Template,
    pub parameters: Option<Vec<Parameter>>,
    /// None leaves a stack's tags as they are; an empty list removes them.
    pub tags: Option<Vec<Tag>>,
    pub policy: Option<String>,
}

/// A value that is there and not empty.
pub fn given<'a>(action: &'a ActionInvocation, key: &str) -> Option<&'a str> {
    action.config(key).map(str::trim).filter(|value| !value.is_empty())
}

/// A value that the mode, or the type, needs.
pub fn required<'a>(action: &'a ActionInvocation, key: &str, what_for: &str) -> Result<&'a str, String> {
    given(action, key)
        .ok_or_else(|| format!("The configuration of action {} lacks {key}{what_for}.", action.action_name))
}

/// A letter, then letters, digits and hyphens.
pub fn name<'a>(key: &str, value: &'a str) -> Result<&'a str, String> {
    let fits = value.len() <= STACK_NAME_CHARS_MAX
        && value.starts_with(|c: char| c.is_ascii_alphabetic())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if fits {
        return Ok(value);
    }
    Err(format!(
        "The value of {key} is '{value}'; it must begin with a letter and have at most {STACK_NAME_CHARS_MAX} letters, digits \
         and hyphens."
    ))
}

pub fn capabilities(value: &str) -> Result<Vec<Capability>, String> {
    let read = |name: &str| {
        if CAPABILITIES.contains(&name) {
            return Ok(Capability::from(name));
        }
        Err(format!("Capabilities names '{name}'; there are {}.", CAPABILITIES.join(", ")))
    };
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(read).collect()
}

impl<'a> Plan<'a> {
    pub fn read(action: &'a ActionInvocation) -> Result<Self, String> {
        let wanted = required(action, "ActionMode", "")?;
        let (_, mode) = *Mode::ALL.iter().find(|(name, _)| *name == wanted).ok_or_else(|| {
            let known = Mode::ALL.map(|(name, _)| name).join(", ");
            format!("The value of ActionMode is '{wanted}'; it must be one of {known}.")
        })?;
        let what_for = format!(", which the action mode {} needs", mode.name());
        let needed = |key: &str, needs: bool| if needs { required(action, key, &what_for).map(Some) } else { Ok(None) };
        let change_set = needed("ChangeSetName", mode.uses_change_set())?;
        let role = needed("RoleArn", mode != Mode::ChangeSetExecute)?;
        let template = needed(TEMPLATE_PATH, mode.uses_template())?;
        let configuration = match (mode, given(action, TEMPLATE_CONFIGURATION)) {
            (Mode::DeleteOnly, _) | (_, None) => None,
            // Its policy is set once the change set has been executed. AWS reads nothing, so nothing has to be there.
            (Mode::ChangeSetExecute, Some(text)) => FileOf::read(action, TEMPLATE_CONFIGURATION, text).ok(),
            (_, Some(text)) => Some(FileOf::read(action, TEMPLATE_CONFIGURATION, text)?),
        };
        let of_template = |key: &str| given(action, key).filter(|_| mode.uses_template());
        let output_file = given(action, "OutputFileName").filter(|_| mode.has_outputs());
        if let Some(file) = output_file
            && (file.contains(['/', '\\']) || file == "." || file == "..")
        {
            return Err(format!(
                "The value of OutputFileName is '{file}'; it must be the name of a file, without a path."
            ));
        }
        Ok(Self {
            mode,
            stack: name("StackName", required(action, "StackName", "")?)?,
            change_set: change_set.map(|value| name("ChangeSetName", value)).transpose()?.unwrap_or_default(),
            role,
            capabilities: of_template("Capabilities").map(capabilities).transpose()?.unwrap_or_default(),
            output_file,
            template: template.map(|text| FileOf::read(action, TEMPLATE_PATH, text)).transpose()?,
            configuration,
            overrides: of_template(overrides::KEY).map(overrides::parse).transpose()?.unwrap_or_default(),
        })
    }

    /// Reads the template, the configuration file and what the overrides name.
    pub async fn settings(&self, cx: &Call<'_>, action: &ActionInvocation) -> Result<Settings, Box<Outcome>> {
        let Some(template) = self.template else {
            return Err(wrong(format!("The action mode {} has no template.", self.mode.name())));
        };
        let mut files = Files::new(cx, action);
        let configuration = match self.configuration {
            Some(file) => Configuration::read(&mut files, file).await?,
            None => Configuration::default(),
        };
        let overrides = overrides::resolve(cx, action, &mut files, self.overrides.clone()).await?;
        let template = Template::prepare(cx, action, &mut files, template, TEMPLATE_BYTES_MAX).await?;
        let mut values = configuration.parameters;
        values.extend(overrides);
        let parameter =
            |(key, value): (String, String)| Parameter::builder().parameter_key(key).parameter_value(value).build();
        let tag = |(key, value): (String, String)| Tag::builder().key(key).value(value).build();
        let parameters: Vec<Parameter> = values.into_iter().map(parameter).collect();
        Ok(Settings {
            template,
            parameters: Some(parameters).filter(|list| !list.is_empty()),
            tags: configuration.tags.map(|tags| tags.into_iter().map(tag).collect()),
            policy: configuration.policy,
        })
    }

    /// How many resources the template declares, where it can be read and says so.
    pub async fn resources(&self, cx: &Call<'_>, action: &ActionInvocation) -> Option<usize> {
        let text = Files::new(cx, action).text(self.template?, TEMPLATE_BYTES_MAX).await.ok()?;
        template::resources(&text)
    }

    /// The stack policy of the configuration file alone.
    pub async fn policy(&self, cx: &Call<'_>, action: &ActionInvocation) -> Result<Option<String>, Box<Outcome>> {
        match self.configuration {
            Some(file) => Ok(Configuration::read(&mut Files::new(cx, action), file).await?.policy),
            None => Ok(None),
        }
    }
}

/// `{"Parameters": {...}, "Tags": {...}, "StackPolicy": {...}}`, each of them optional.
#[derive(Default)]
struct Configuration {
    parameters: BTreeMap<String, String>,
    tags: Option<BTreeMap<String, String>>,
    policy: Option<String>,
}

impl Configuration {
    async fn read(files: &mut Files<'_>, file: FileOf<'_>) -> Result<Self, Box<Outcome>> {
        let document = files.json(file, TEMPLATE_SETTINGS_BYTES_MAX).await?;
        Self::of(&document).map_err(|why| {
            wrong(format!("The template configuration {} of the artifact {} {why}.", file.path, file.artifact.name))
        })
    }

    fn of(document: &Value) -> Result<Self, String> {
        let members = document.as_object().ok_or("is no JSON object")?;
        let object = |key: &str| match members.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(format!("has {key}, which must be a JSON object")),
        };
        Ok(Self {
            parameters: object("Parameters")?
                .map(|values| texts("Parameters", values))
                .transpose()?
                .unwrap_or_default(),
            tags: object("Tags")?.map(|values| texts("Tags", values)).transpose()?,
            policy: object("StackPolicy")?.map(|policy| Value::Object(policy.clone()).to_string()),
        })
    }
}

fn texts(key: &str, values: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
    let text = |(name, value): (&String, &Value)| {
        text_of(value).map(|text| (name.clone(), text)).ok_or_else(|| format!("has {key}.{name}, which must be a text"))
    };
    values.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let of = |text: &str| Configuration::of(&serde_json::from_str(text).unwrap());
        let read =
            of(r#"{"Parameters": {"Env": "prod", "Count": 2}, "Tags": {}, "StackPolicy": {"Statement": []}}"#).unwrap();
        assert_eq!(read.parameters, BTreeMap::from([("Count".into(), "2".into()), ("Env".into(), "prod".into())]));
        assert_eq!((read.tags, read.policy.as_deref()), (Some(BTreeMap::new()), Some(r#"{"Statement":[]}"#)));
        assert!(of("{}").unwrap().tags.is_none(), "tags are left alone");
        for (text, told) in [
            ("[]", "is no JSON object"),
            (r#"{"Parameters": []}"#, "has Parameters, which must be a JSON object"),
            (r#"{"Tags": {"a": ["b"]}}"#, "has Tags.a, which must be a text"),
            (r#"{"StackPolicy": "allow"}"#, "has StackPolicy, which must be a JSON object"),
        ] {
            assert_eq!(of(text).err().as_deref(), Some(told), "{text}");
        }
    }

    #[test]
    fn capabilities_by_name() {
        assert_eq!(
            capabilities("CAPABILITY_IAM, CAPABILITY_AUTO_EXPAND"),
            Ok(vec![Capability::CapabilityIam, Capability::CapabilityAutoExpand])
        );
        let error = capabilities("CAPABILITY_EVERYTHING").unwrap_err();
        assert!(error.contains("there are CAPABILITY_AUTO_EXPAND, CAPABILITY_IAM"), "{error}");
    }

    #[test]
    fn names() {
        assert_eq!(name("StackName", "ferry-1"), Ok("ferry-1"));
        for bad in ["1ferry", "ferry_1", "", &"n".repeat(129)] {
            assert!(name("StackName", bad).is_err(), "{bad}");
        }
    }
}
