//! Action-type entries: the declarative half of a provider. The entry alone serves ListActionTypes, validates
//! pipelines, draws the console and writes the docs page. No behaviour lives here.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Category {
    Source,
    Build,
    Deploy,
    Test,
    Invoke,
    Approval,
    Compute,
    /// Of rule types only: no action has it.
    Rule,
}

impl Category {
    /// The categories an action may have.
    pub const OF_ACTIONS: [Self; 7] =
        [Self::Source, Self::Build, Self::Deploy, Self::Test, Self::Invoke, Self::Approval, Self::Compute];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "Source",
            Self::Build => "Build",
            Self::Deploy => "Deploy",
            Self::Test => "Test",
            Self::Invoke => "Invoke",
            Self::Approval => "Approval",
            Self::Compute => "Compute",
            Self::Rule => "Rule",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Owner {
    #[serde(rename = "AWS")]
    Aws,
    ThirdParty,
    Custom,
}

impl Owner {
    pub const ALL: [Self; 3] = [Self::Aws, Self::ThirdParty, Self::Custom];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS",
            Self::ThirdParty => "ThirdParty",
            Self::Custom => "Custom",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActionTypeId {
    pub category: Category,
    pub owner: Owner,
    pub provider: String,
    pub version: String,
}

impl ActionTypeId {
    pub fn new(category: Category, owner: Owner, provider: &str, version: &str) -> Self {
        Self { category, owner, provider: provider.to_owned(), version: version.to_owned() }
    }
}

/// What a configuration value may be, beyond its length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValidValues {
    Any,
    /// `true` or `false`, in any case.
    Boolean,
    OneOf(Vec<String>),
    /// Text that must parse as JSON once its variables are resolved.
    Json,
    /// A whole number within these bounds.
    Integer(i64, i64),
    /// Any decimal number.
    Number,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    pub name: String,
    pub required: bool,
    pub secret: bool,
    pub key: bool,
    pub queryable: bool,
    pub description: String,
    pub valid: ValidValues,
    /// Set where the key is AWS's but its service is not here yet: using it is refused with this text.
    pub refused: Option<String>,
}

impl Property {
    pub fn optional(name: &str, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            required: false,
            secret: false,
            key: true,
            queryable: false,
            description: description.to_owned(),
            valid: ValidValues::Any,
            refused: None,
        }
    }

    pub fn required(name: &str, description: &str) -> Self {
        Self { required: true, ..Self::optional(name, description) }
    }

    #[must_use]
    pub fn boolean(self) -> Self {
        Self { valid: ValidValues::Boolean, ..self }
    }

    #[must_use]
    pub fn one_of(self, values: &[&str]) -> Self {
        Self { valid: ValidValues::OneOf(values.iter().map(|v| (*v).to_owned()).collect()), ..self }
    }

    #[must_use]
    pub fn json(self) -> Self {
        Self { valid: ValidValues::Json, ..self }
    }

    #[must_use]
    pub fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    #[must_use]
    pub fn refused(self, why: &str) -> Self {
        Self { refused: Some(why.to_owned()), ..self }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    pub min: usize,
    pub max: usize,
}

impl Bounds {
    pub const fn new(min: usize, max: usize) -> Self {
        Self { min, max }
    }
}

/// How a repeated `start` of the same action execution stays one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Repeat {
    /// AWS client token derived from the action execution id.
    Token,
    /// A resource name derived from the action execution id.
    Name,
    /// Look up before create.
    Lookup,
    /// Writing the same bytes to the same place again changes nothing.
    SameWrite,
    /// Nothing happens outside Towpath.
    Internal,
    /// AWS offers nothing better; may run twice after a crash.
    AtLeastOnce,
}

/// Who carries an action out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Executor {
    /// A provider of the catalogue.
    Provider,
    /// A person, through PutApprovalResult.
    Approval,
    /// A job worker, which polls for jobs and puts their results.
    JobWorker,
    /// A Lambda function, which is handed its jobs.
    Lambda,
}

/// The declarative entry of one action type or rule type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionTypeEntry {
    pub id: ActionTypeId,
    pub description: String,
    pub properties: Vec<Property>,
    pub inputs: Bounds,
    pub outputs: Bounds,
    /// Keys of the variables it emits; empty where they are free (CodeBuild) or none.
    pub output_variables: Vec<String>,
    pub default_timeout_minutes: u32,
    /// `timeoutInMinutes` may be set on the action.
    pub timeout_configurable: bool,
    pub v2_only: bool,
    pub repeat: Repeat,
    pub entity_url_template: Option<String>,
    pub execution_url_template: Option<String>,
    pub revision_url_template: Option<String>,
    pub executor: Executor,
    /// The source artifact keeps a `.zip` suffix in its key (S3 source, observed).
    pub artifact_suffix: Option<String>,
    /// The AWS user guide page the entry was written from.
    pub documentation: String,
}

impl ActionTypeEntry {
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|p| p.name == name)
    }

    pub fn is_secret(&self, key: &str) -> bool {
        self.property(key).is_some_and(|p| p.secret)
    }

    /// Whether every key is taken: of a partner's type that AWS lists without saying what configures it.
    pub fn has_unpublished_keys(&self) -> bool {
        let listed = self.id.owner == Owner::ThirdParty && !self.documentation.is_empty();
        listed && self.executor == Executor::JobWorker && self.properties.is_empty()
    }

    pub fn is_approval(&self) -> bool {
        self.executor == Executor::Approval
    }
}

/// Finds entries: those of the providers' catalogue and the custom action types of an account and Region. Rule types
/// are found like action types, by an id of category Rule.
pub trait ActionTypes: Send + Sync {
    fn find(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry>;
    fn all(&self) -> Vec<&ActionTypeEntry>;

    /// The entry of a type that may be gone by now: nothing new starts with it, but its secrets are still known.
    fn described(&self, id: &ActionTypeId) -> Option<&ActionTypeEntry> {
        self.find(id)
    }

    /// Whether a value without variables is one the type understands, beyond what its entry says (a cron expression, a
    /// time zone, a regular expression); why not, otherwise. Pure.
    fn check_value(&self, _id: &ActionTypeId, _key: &str, _value: &str) -> Result<(), String> {
        Ok(())
    }
}
