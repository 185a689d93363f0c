//! The reference page of an action or rule type, written from its entry alone.

use std::fmt::Write;

use towpath_model::catalogue::{ActionTypeEntry, Bounds, Category, Property, Repeat, ValidValues};

use crate::rules::may_skip;

/// The file name of the page: `source-aws-s3.md`.
pub fn docs_file_name(entry: &ActionTypeEntry) -> String {
    let id = &entry.id;
    format!("{}-{}-{}.md", id.category.as_str(), id.owner.as_str(), id.provider).to_lowercase()
}

/// The page in Markdown.
pub fn docs_page(entry: &ActionTypeEntry) -> String {
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
    if entry.v2_only {
        push(&mut page, format_args!("- Pipelines of type V2 only"));
    }
    if !entry.documentation.is_empty() {
        push(&mut page, format_args!("- AWS documentation: <{}>", entry.documentation));
    }
    page.push_str("\n## Configuration\n\n");
    if entry.properties.is_empty() {
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
    page
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
