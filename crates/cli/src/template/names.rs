//! The names and ARNs that resources have. A name that the template leaves out is derived from the account, the Region,
//! the stack and the resource's own logical name, so that importing again finds what the first import made.

use sha2::{Digest, Sha256};
use towpath_model::arn::partition;

use super::Resource;
use super::known::{Form, find};
use super::resolve::{Broken, Resolver, scalar};
use crate::document::Span;

/// What a name is derived from, as random-looking text.
pub(super) struct Hash([u8; 32]);

pub(super) fn hash(parts: &[&str]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part.as_bytes());
    }
    Hash(hasher.finalize().into())
}

impl Hash {
    /// Twelve letters and digits, as CloudFormation ends its names.
    fn suffix(&self) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        self.0.iter().take(12).map(|b| char::from(ALPHABET[usize::from(b % 32)])).collect()
    }

    pub(super) fn uuid(&self) -> String {
        let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
        let hex: String = self.0.iter().take(16).flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl<'t> Resolver<'t> {
    /// The name of a resource: the template's, else a derived one.
    pub fn physical(&mut self, resource: Resource<'t>, span: Span) -> Result<String, Broken> {
        if let Some(known) = self.names.get(resource.logical) {
            return known.clone();
        }
        if self.open_names.contains(&resource.logical) {
            let circle: Vec<&str> = self.open_names.iter().chain([&resource.logical]).copied().collect();
            let message = format!("Circular dependency between resources: [{}]", circle.join(", "));
            return self.broken("cycle", span, message, None);
        }
        self.open_names.push(resource.logical);
        let name = self.find_name(resource);
        self.open_names.pop();
        self.names.insert(resource.logical, name.clone());
        name
    }

    fn find_name(&mut self, resource: Resource<'t>) -> Result<String, Broken> {
        let known = find(resource.kind);
        if let Some(node) = known.name.and_then(|property| resource.property(property))
            && let Some(value) = self.value(node)?
        {
            if let Some(name) = scalar(&value).filter(|name| !name.is_empty()) {
                return Ok(name.to_owned());
            }
            let message = format!("the name of `{}` must be text, not {}", resource.logical, value.kind());
            return self.broken("wrong-type", node.span, message, None);
        }
        let hash = hash(&[&self.inputs.account, &self.inputs.region, self.stack, resource.logical]);
        let whole = format!("{}-{}", self.stack, resource.logical);
        Ok(match known.form {
            Form::Stack(max) => cut(&whole, &hash.suffix(), max),
            Form::Lower(max) => cut(&whole, &hash.suffix(), max).to_lowercase(),
            Form::Logical(max) => cut(resource.logical, &hash.suffix(), max),
            Form::Uuid => hash.uuid(),
        })
    }

    /// What `Ref` or an attribute of a resource is.
    pub(super) fn known(
        &mut self,
        resource: Resource<'t>,
        attribute: Option<&str>,
        span: Span,
    ) -> Result<String, Broken> {
        let known = find(resource.kind);
        let form = match attribute {
            None => Some(known.reference),
            Some(name) => known.attributes.iter().find(|(known, _)| *known == name).map(|(_, form)| *form),
        };
        let Some(form) = form else {
            let attribute = attribute.unwrap_or_default();
            let logical = resource.logical;
            let message = format!("the attribute `{attribute}` of `{logical}` ({}) is not known here", resource.kind);
            let hint = format!("give its value with `--attribute {logical}.{attribute}=VALUE`");
            return self.broken("unknown-attribute", span, message, Some(hint));
        };
        let name = self.physical(resource, span)?;
        let path = if form.contains("{path}") { self.path(resource)? } else { String::new() };
        let region = &self.inputs.region;
        Ok(form
            .replace("{p}", partition(region))
            .replace("{r}", region)
            .replace("{a}", &self.inputs.account)
            .replace("{path}", &path)
            .replace("{n}", &name))
    }

    fn path(&mut self, resource: Resource<'t>) -> Result<String, Broken> {
        match resource.property("Path") {
            Some(node) => self.text(node, "the path"),
            None => Ok("/".to_owned()),
        }
    }
}

/// As much of the beginning as leaves room for the suffix.
fn cut(whole: &str, suffix: &str, max: usize) -> String {
    let kept: String = whole.chars().take(max.saturating_sub(suffix.len() + 1)).collect();
    format!("{}-{suffix}", kept.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_are_stable_and_fit() {
        let suffix = hash(&["123456789012", "us-east-1", "shop", "Artifacts"]).suffix();
        assert_eq!(suffix, hash(&["123456789012", "us-east-1", "shop", "Artifacts"]).suffix());
        assert_ne!(suffix, hash(&["123456789012", "us-east-1", "shopA", "rtifacts"]).suffix());
        assert_eq!(suffix.len(), 12);
        let name = cut(&"a".repeat(90), &suffix, 63);
        assert_eq!(name.len(), 63);
        assert_eq!(hash(&[]).uuid().len(), 36);
    }
}
