//! The facts of one request that conditions and policy variables look at. Key names are case-insensitive.

use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    One(String),
    /// A multivalued key such as `aws:TagKeys`; policy variables cannot use it.
    Many(Vec<String>),
}

impl Value {
    pub fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Value>);

impl Context {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key, replacing an earlier value.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds a key when there is a value for it.
    #[must_use]
    pub fn with_optional(self, key: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    #[must_use]
    pub fn with_many(mut self, key: &str, values: Vec<String>) -> Self {
        self.0.insert(key.to_ascii_lowercase(), Value::Many(values));
        self
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), Value::One(value.into()));
    }

    /// Everything of both; `other` wins.
    #[must_use]
    pub fn merged(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.0.get(&key.to_ascii_lowercase())
        } else {
            self.0.get(key)
        }
    }
}
