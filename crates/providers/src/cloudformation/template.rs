//! A template as CloudFormation is given it: in the request where it is short, else as a URL of an object that the realm's
//! own S3 has. A presigned URL, so that CloudFormation needs no permission on the bucket.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use towpath_model::action::{ActionInvocation, Outcome, error_code};

use super::files::{FileOf, Files, wrong};
use crate::limits::{TEMPLATE_BODY_BYTES_MAX, TEMPLATE_URL_SECONDS};
use crate::objects::{S3, Target};
use crate::problem::Kind;
use crate::provider::Call;
use crate::staging;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: Source,
    /// How many resources it declares, where it says so itself.
    pub resources: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Body(String),
    Url(String),
}

/// Of a template, what is counted.
#[expect(clippy::zero_sized_map_values, reason = "the document has a map there; only its keys count")]
#[derive(Deserialize)]
struct Declared {
    #[serde(rename = "Transform")]
    transform: Option<IgnoredAny>,
    #[serde(rename = "Resources")]
    resources: BTreeMap<String, IgnoredAny>,
}

/// None where macros make something else of it, or where it is for CloudFormation to say what is wrong with it.
pub fn resources(text: &str) -> Option<usize> {
    let declared: Declared = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).ok()?
    } else {
        serde_yaml_ng::from_str(text).ok()?
    };
    let is_plain = declared.transform.is_none() && !declared.resources.keys().any(|name| name.starts_with("Fn::"));
    is_plain.then_some(declared.resources.len())
}

impl Template {
    /// Reads the file, `max` bytes at the most, and puts it where CloudFormation reaches it.
    pub async fn prepare(
        cx: &Call<'_>,
        action: &ActionInvocation,
        files: &mut Files<'_>,
        file: FileOf<'_>,
        max: u64,
    ) -> Result<Self, Box<Outcome>> {
        let text = files.text(file, max).await?;
        if text.trim().is_empty() {
            return Err(wrong(format!("The template {} of the artifact {} is empty.", file.path, file.artifact.name)));
        }
        let resources = resources(&text);
        let source = if text.len() <= TEMPLATE_BODY_BYTES_MAX {
            Source::Body(text)
        } else {
            Source::Url(upload(cx, action, file, text).await?)
        };
        Ok(Self { source, resources })
    }

    pub fn body(&self) -> Option<String> {
        if let Source::Body(text) = &self.source { Some(text.clone()) } else { None }
    }

    pub fn url(&self) -> Option<String> {
        if let Source::Url(url) = &self.source { Some(url.clone()) } else { None }
    }
}

/// The same key for every start of the same action. As with staged artifacts, the pipeline's role writes.
async fn upload(
    cx: &Call<'_>,
    action: &ActionInvocation,
    file: FileOf<'_>,
    text: String,
) -> Result<String, Box<Outcome>> {
    let region = cx.realm.region(&action.region);
    let settings = cx.realm.staging();
    // Where the realm has the artifact itself, its bucket will do.
    let at_home = std::ptr::eq(cx.realm, cx.artifacts);
    let (bucket, encryption) = if at_home {
        (file.artifact.bucket.as_str(), action.encryption_key.as_deref())
    } else {
        let bucket = settings.bucket(region).ok_or_else(|| without_bucket(cx, action, file, text.len(), region))?;
        (bucket, settings.key.as_deref())
    };
    let ids = [action.pipeline_name.as_str(), action.execution_id.as_str(), action.action_execution_id.as_str()];
    let key = format!("{}/{}/{}.template", staging::PREFIX, ids.join("/"), file.artifact.name);
    let pipeline = ActionInvocation { role_arn: None, ..action.clone() };
    let store = S3::new(cx.realm, &pipeline, region);
    let target = Target { bucket: bucket.to_owned(), key: key.clone(), ..Target::default() }.encrypted_with(encryption);
    let stored = async {
        store.store(&target, Bytes::from(text)).await?;
        store.presigned(bucket, &key, cx.clock.now(), TEMPLATE_URL_SECONDS).await
    };
    stored.await.map_err(|problem| {
        let code = match problem.kind {
            Kind::AccessDenied => error_code::PERMISSION_ERROR,
            Kind::NotFound | Kind::Rejected | Kind::Transient | Kind::Session => error_code::CONFIGURATION_ERROR,
        };
        Box::new(problem.outcome(
            code,
            format!("Unable to write the template to the bucket '{bucket}' with the key '{key}'. {}", problem.detail()),
        ))
    })
}

fn without_bucket(
    cx: &Call<'_>,
    action: &ActionInvocation,
    file: FileOf<'_>,
    bytes: usize,
    region: &str,
) -> Box<Outcome> {
    let realm = cx.realm.name();
    wrong(format!(
        "The template {} of action {} has {bytes} bytes. CloudFormation takes {TEMPLATE_BODY_BYTES_MAX} with a request and \
         fetches longer ones from S3, but the realm {realm} has no bucket in {region}. Add `staging-bucket = \"...\"` to \
         `[realm.{realm}]` in towpath.toml, the name of a bucket there.",
        file.path, action.action_name
    ))
}

#[cfg(test)]
mod tests {
    use super::resources;

    #[test]
    fn resources_are_counted_where_no_macro_makes_others_of_them() {
        for (text, count) in [
            (r#"{"Resources": {"A": {"Type": "AWS::SNS::Topic"}, "B": {}}}"#, Some(2)),
            ("Resources:\n  A: {Type: AWS::SNS::Topic, Properties: {TopicName: !Sub '${Name}-x'}}\n", Some(1)),
            ("Transform: AWS::Serverless-2016-10-31\nResources: {A: {}}\n", None),
            (r#"{"Resources": {"Fn::ForEach::Topics": []}}"#, None),
            (r#"{"Resources": []}"#, None),
            ("Resources: [", None),
        ] {
            assert_eq!(resources(text), count, "{text}");
        }
    }
}
