//! The reference page of an action or rule type: what its entry says, then what no entry can say, from a file of
//! `crates/providers/pages` ([`Supplement`]): permissions, errors and an example. Says nothing of its own.

use std::fmt::Write;

use towpath_model::catalogue::{ActionTypeEntry, Bounds, Category, Property, Repeat, ValidValues};

use crate::realms::Service;
use crate::rules::may_skip;

/// The sections of a supplement, in their order; the first may be left out.
const SECTIONS: [&str; 4] = ["Notes", "Permissions", "Errors", "Example"];

/// What a page has beside its entry. The file has the name of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supplement<'a> {
    text: &'a str,
    /// A whole pipeline that uses the type, in YAML.
    pub pipeline: &'a str,
    /// The towpath.toml it needs, if any.
    pub config: Option<&'a str>,
}

/// What is wrong with a supplement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupplementError {
    #[error(
        "the sections are {found:?}; they must be \"## Notes\" (may be absent), \"## Permissions\", \"## Errors\" and \"## Example\", in this order"
    )]
    Sections { found: Vec<String> },
    #[error("the section {0} is empty")]
    Empty(&'static str),
    #[error(
        "\"{line}\" is no permission: write \"- `service:Action`: what for\", or one sentence that begins with \"None\""
    )]
    Permission { line: String },
    #[error("the example needs a block that begins with ```yaml and holds a whole pipeline")]
    Example,
}

impl<'a> Supplement<'a> {
    pub fn read(text: &'a str) -> Result<Self, SupplementError> {
        let mut sections: Vec<(&str, &str)> = Vec::new();
        for part in text.split("\n## ").skip(usize::from(!text.starts_with("## "))) {
            let (name, body) = part.split_once('\n').unwrap_or((part, ""));
            sections.push((name.trim_start_matches("## "), body));
        }
        let found: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
        if !text.starts_with("## ") || (found != SECTIONS && found != SECTIONS[1..]) {
            return Err(SupplementError::Sections { found: found.into_iter().map(str::to_owned).collect() });
        }
        let of = |wanted: &'static str| {
            let body = sections.iter().find(|(name, _)| *name == wanted).map_or("", |(_, body)| *body);
            if body.trim().is_empty() { Err(SupplementError::Empty(wanted)) } else { Ok(body) }
        };
        if found.len() == SECTIONS.len() {
            of("Notes")?;
        }
        permissions(of("Permissions")?)?;
        of("Errors")?;
        let example = of("Example")?;
        let pipeline = block(example, "yaml").ok_or(SupplementError::Example)?;
        Ok(Self { text, pipeline, config: block(example, "toml") })
    }
}

fn permissions(body: &str) -> Result<(), SupplementError> {
    if body.trim_start().starts_with("None") {
        return Ok(());
    }
    let mut any = false;
    for line in body.lines().filter(|line| line.starts_with("- ")) {
        any = true;
        let name =
            line.strip_prefix("- `").and_then(|rest| rest.split_once('`')).and_then(|(name, _)| name.split_once(':'));
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !name.is_some_and(|(service, action)| is_word(service) && is_word(action)) {
            return Err(SupplementError::Permission { line: line.to_owned() });
        }
    }
    if any { Ok(()) } else { Err(SupplementError::Permission { line: body.trim().to_owned() }) }
}

/// The first fenced block of this language.
fn block<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("```{language}\n"))?;
    rest.split_once("\n```").map(|(block, _)| block)
}

/// The file name of the page, and of its supplement: `source-aws-s3.md`.
pub fn docs_file_name(entry: &ActionTypeEntry) -> String {
    let id = &entry.id;
    format!("{}-{}-{}.md", id.category.as_str(), id.owner.as_str(), id.provider).to_lowercase()
}

/// The page in Markdown; `service` is the AWS service that the type calls.
pub fn docs_page(entry: &ActionTypeEntry, service: Option<Service>, supplement: &Supplement<'_>) -> String {
    let id = &entry.id;
    let mut page = format!(
        "# {} / {} / {} (version {})\n\n{}\n\n",
        id.category.as_str(),
        id.owner.as_str(),
        id.provider,
        id.version,
        entry.description
    );
    if id.category == Category::Rule {
        push(
            &mut page,
            format_args!("- At `beforeEntry`, with the result {}", if may_skip(id) { "FAIL or SKIP" } else { "FAIL" }),
        );
        push(&mut page, format_args!("- At `onSuccess`, with the result FAIL or ROLLBACK"));
        push(&mut page, format_args!("- At `onFailure`, with the result ROLLBACK"));
    }
    let rule = id.category == Category::Rule;
    let timeout = match (entry.timeout_configurable, rule) {
        (true, true) => "; `timeoutInMinutes` on the rule changes it",
        (true, false) => "; `timeoutInMinutes` on the action changes it",
        (false, _) => "",
    };
    push(&mut page, format_args!("- Input artifacts: {}", bounds(entry.inputs)));
    if !rule {
        push(&mut page, format_args!("- Output artifacts: {}", bounds(entry.outputs)));
    }
    push(&mut page, format_args!("- Timeout: {} minutes{timeout}", entry.default_timeout_minutes));
    push(&mut page, format_args!("- Start repeated after a crash: {}", repeat(entry.repeat)));
    push(&mut page, format_args!("- Realm: {}", realm(service)));
    if entry.v2_only {
        push(&mut page, format_args!("- Pipelines of type V2 only"));
    }
    if !entry.documentation.is_empty() {
        push(&mut page, format_args!("- AWS documentation: <{}>", entry.documentation));
    }
    page.push_str("\n## Configuration\n\n");
    if entry.has_unpublished_keys() {
        page.push_str("Any keys, for the partner's job worker; AWS publishes none.\n");
    } else if entry.properties.is_empty() {
        page.push_str("None.\n");
    } else {
        page.push_str("| Key | Required | Values | Meaning |\n|---|---|---|---|\n");
        for property in &entry.properties {
            push(
                &mut page,
                format_args!(
                    "| `{}` | {} | {} | {} |",
                    property.name,
                    if property.required { "yes" } else { "no" },
                    values(&property.valid),
                    meaning(property)
                ),
            );
        }
    }
    if !entry.output_variables.is_empty() {
        page.push_str("\n## Output variables\n\n");
        for name in &entry.output_variables {
            push(&mut page, format_args!("- `{name}`"));
        }
    }
    push(&mut page, format_args!("\n{}", supplement.text.trim_end()));
    page
}

fn realm(service: Option<Service>) -> String {
    let Some(service) = service else { return "none; no AWS service is called".to_owned() };
    let name = service.name();
    if service.is_beyond_aws() {
        return format!(
            "none is needed: {name} is asked over the Internet, unless a `[realm.NAME]` table takes the action"
        );
    }
    if service.is_embedded() {
        format!("Towpath's own {name}, unless a `[realm.NAME]` table of towpath.toml takes the action")
    } else {
        format!("Towpath has no {name} of its own: `[realm.aws]` in towpath.toml, or another realm's table")
    }
}

fn push(page: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, "{line}");
}

fn bounds(bounds: Bounds) -> String {
    if bounds.min == bounds.max { bounds.min.to_string() } else { format!("{} to {}", bounds.min, bounds.max) }
}

fn values(valid: &ValidValues) -> String {
    match valid {
        ValidValues::Any => "text".to_owned(),
        ValidValues::Boolean => "`true`, `false`".to_owned(),
        ValidValues::OneOf(values) => values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "),
        ValidValues::Json => "JSON".to_owned(),
        ValidValues::Integer(min, max) => format!("{min} to {max}"),
        ValidValues::Number => "a number".to_owned(),
    }
}

fn meaning(property: &Property) -> String {
    let mut text = property.description.clone();
    if property.secret {
        text.push_str(" Secret: stored apart and shown as `****`.");
    }
    if let Some(why) = &property.refused {
        text.push_str(" **Refused:** ");
        text.push_str(why);
    }
    text.replace('|', "\\|")
}

const fn repeat(repeat: Repeat) -> &'static str {
    match repeat {
        Repeat::Token => "one effect, by AWS's client token",
        Repeat::Name => "one effect, by a name made from the action execution id",
        Repeat::Lookup => "one effect, by looking before creating",
        Repeat::SameWrite => "writes the same bytes to the same place again",
        Repeat::Internal => "nothing happens outside Towpath",
        Repeat::AtLeastOnce => "may run twice: AWS offers nothing better",
    }
}
