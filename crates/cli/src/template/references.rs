//! `Ref`, `Fn::GetAtt` and `Fn::Sub`: to parameters, to what AWS itself knows (`AWS::Region`), and to resources.

use towpath_model::arn::partition;

use super::names::hash;
use super::resolve::{Broken, Resolved, Resolver, scalar};
use crate::document::shape::did_you_mean;
use crate::document::{Node, Span, Value};

/// One piece of a text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// `a-${Name}-${!Literal}`: `Err` is a placeholder that is not closed.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ()> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        pieces.push(Piece::Text(&rest[..at]));
        let inside = &rest[at + 2..];
        let end = inside.find('}').ok_or(())?;
        match inside[..end].strip_prefix('!') {
            // `${!x}` is written `${x}`.
            Some(literal) => pieces.extend([Piece::Text("${"), Piece::Text(literal), Piece::Text("}")]),
            None => pieces.push(Piece::Name(inside[..end].trim())),
        }
        rest = &inside[end + 1..];
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

impl<'t> Resolver<'t> {
    pub(super) fn reference(&mut self, argument: &'t Node) -> Resolved {
        match argument.text() {
            Some(name) => self.named(name, argument.span),
            None => self.broken("bad-function", argument.span, "Ref takes the name of a parameter or resource", None),
        }
    }

    /// What `Ref` of a name is.
    fn named(&mut self, name: &str, span: Span) -> Resolved {
        if let Some(pseudo) = name.strip_prefix("AWS::") {
            return self.pseudo(pseudo, span);
        }
        if let Some(node) = self.parameter(name) {
            return node.map(|node| Some(placed(node, span)));
        }
        let text = self.resource_reference(name, None, span)?;
        self.text_node(text, span).map(Some)
    }

    fn pseudo(&mut self, name: &str, span: Span) -> Resolved {
        let (account, region) = (&self.inputs.account, &self.inputs.region);
        let text = match name {
            "AccountId" => account.clone(),
            "Region" => region.clone(),
            "Partition" => partition(region).to_owned(),
            "URLSuffix" if region.starts_with("cn-") => "amazonaws.com.cn".to_owned(),
            "URLSuffix" => "amazonaws.com".to_owned(),
            "StackName" => self.stack.to_owned(),
            "StackId" => {
                let id = hash(&[account, region, self.stack]).uuid();
                format!("arn:{}:cloudformation:{region}:{account}:stack/{}/{id}", partition(region), self.stack)
            }
            "NoValue" => return Ok(None),
            "NotificationARNs" => return Ok(Some(Node { span, value: Value::List(Vec::new()) })),
            other => {
                let known = [
                    "AccountId",
                    "Region",
                    "Partition",
                    "URLSuffix",
                    "StackName",
                    "StackId",
                    "NoValue",
                    "NotificationARNs",
                ];
                let hint = did_you_mean(other, known.into_iter()).map(|near| format!("did you mean `AWS::{near}`?"));
                return self.broken("unknown-reference", span, format!("there is no `AWS::{other}`"), hint);
            }
        };
        self.text_node(text, span).map(Some)
    }

    pub(super) fn get_att(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let parts: Option<(String, String)> = match &argument.value {
            Value::List(items) => match items.as_slice() {
                [logical, attribute] => {
                    let attribute = self.text(attribute, "the attribute of Fn::GetAtt")?;
                    logical.text().map(|logical| (logical.to_owned(), attribute))
                }
                // `[Resource, Outputs, Name]` says the same as `[Resource, Outputs.Name]`.
                [logical, rest @ ..] if rest.len() > 1 => {
                    let rest: Option<Vec<&str>> = rest.iter().map(Node::text).collect();
                    logical.text().zip(rest).map(|(logical, rest)| (logical.to_owned(), rest.join(".")))
                }
                _ => None,
            },
            _ => argument.text().and_then(|t| t.split_once('.')).map(|(l, a)| (l.to_owned(), a.to_owned())),
        };
        let Some((logical, attribute)) = parts else {
            let message = "Fn::GetAtt takes the name of a resource and of its attribute";
            return self.broken("bad-function", argument.span, message, None);
        };
        let text = self.resource_reference(&logical, Some(&attribute), argument.span)?;
        self.text_node(text, span).map(Some)
    }

    pub(super) fn sub(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let (text, values) = match &argument.value {
            Value::List(items) => match items.as_slice() {
                [text, values @ Node { value: Value::Map(_), .. }] => (text, Some(values)),
                _ => (argument, None),
            },
            _ => (argument, None),
        };
        let Some(template) = text.text() else {
            return self.broken("bad-function", span, "Fn::Sub takes a text, or a text and a map of values", None);
        };
        let Ok(pieces) = pieces(template) else {
            return self.broken("bad-function", text.span, "a `${` of this text is never closed", None);
        };
        let mut made = String::new();
        let mut whole = true;
        for piece in pieces {
            match piece {
                Piece::Text(text) => {
                    self.spend(text.len() + 1, span)?;
                    made.push_str(text);
                }
                Piece::Name(name) => match self.placeholder(name, values, text.span) {
                    Ok(value) => {
                        self.spend(value.len() + 1, span)?;
                        made.push_str(&value);
                    }
                    Err(Broken) => whole = false,
                },
            }
        }
        if !whole {
            return Err(Broken);
        }
        self.refuse_dynamic(&made, span)?;
        Ok(Some(Node { span, value: Value::Text(made) }))
    }

    fn placeholder(&mut self, name: &str, values: Option<&'t Node>, span: Span) -> Result<String, Broken> {
        if let Some(own) = values.and_then(|v| v.get(name)) {
            return self.text(own, &format!("the value of `{name}` in Fn::Sub"));
        }
        // Names of parameters and pseudo parameters have no dots.
        if let Some((logical, attribute)) = name.split_once('.') {
            return self.resource_reference(logical, Some(attribute), span);
        }
        let Some(node) = self.named(name, span)? else {
            return self.broken("bad-function", span, format!("`${{{name}}}` has no value"), None);
        };
        if let Some(text) = scalar(&node) {
            return Ok(text.to_owned());
        }
        let message = format!("`${{{name}}}` is {}, and Fn::Sub puts in texts only", node.kind());
        let hint = "join it first: [\"${X}\", {\"X\": {\"Fn::Join\": [\",\", ...]}}]".to_owned();
        self.broken("bad-function", span, message, Some(hint))
    }

    /// The text that a reference to a resource stands for.
    fn resource_reference(&mut self, logical: &str, attribute: Option<&str>, span: Span) -> Result<String, Broken> {
        let template = self.template;
        let Some(resource) = template.resource(logical) else {
            let hint = did_you_mean(logical, template.names()).map(|near| format!("did you mean `{near}`?"));
            let message = format!("there is no parameter or resource `{logical}` in the template");
            return self.broken("unknown-reference", span, message, hint);
        };
        if self.in_condition() {
            let message = format!("a condition cannot ask the resource `{logical}`");
            return self.broken("bad-condition", span, message, Some("conditions may use parameters only".to_owned()));
        }
        if let Some((condition, at)) = resource.condition()
            && !self.condition(condition, at)?
        {
            let message = format!("`{logical}` is not made: its condition `{condition}` does not hold");
            let hint = format!("put the reference into Fn::If with `{condition}`");
            return self.broken("unknown-reference", span, message, Some(hint));
        }
        let key = attribute.map_or_else(|| logical.to_owned(), |a| format!("{logical}.{a}"));
        if let Some(given) = self.inputs.attributes.get(&key) {
            return Ok(given.clone());
        }
        self.known(resource, attribute, span)
    }
}

/// A parameter's value at the place where it is used.
fn placed(node: Node, span: Span) -> Node {
    let value = match node.value {
        Value::List(items) => Value::List(items.into_iter().map(|item| placed(item, span)).collect()),
        other => other,
    };
    Node { span, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_cut_out() {
        let read = |text| pieces(text).map(|p| p.into_iter().filter(|p| *p != Piece::Text("")).collect::<Vec<_>>());
        assert_eq!(read("a-${B.C}-d").unwrap(), [Piece::Text("a-"), Piece::Name("B.C"), Piece::Text("-d")]);
        assert_eq!(read("${!A}").unwrap(), [Piece::Text("${"), Piece::Text("A"), Piece::Text("}")]);
        assert_eq!(read("$A $$ {x}").unwrap(), [Piece::Text("$A $$ {x}")]);
        assert_eq!(read("${A").unwrap_err(), ());
    }
}
