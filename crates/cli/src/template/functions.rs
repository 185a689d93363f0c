//! CloudFormation's functions, but for references to resources (`references`) and conditions (`resolve`).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::resolve::{Broken, Resolved, Resolver, scalar};
use crate::document::shape::{did_you_mean, plain};
use crate::document::{Node, Span, Value};

/// Functions that stand where a value stands.
const KNOWN: [&str; 14] = [
    "Ref",
    "Fn::Base64",
    "Fn::Cidr",
    "Fn::FindInMap",
    "Fn::GetAZs",
    "Fn::GetAtt",
    "Fn::If",
    "Fn::ImportValue",
    "Fn::Join",
    "Fn::Length",
    "Fn::Select",
    "Fn::Split",
    "Fn::Sub",
    "Fn::ToJsonString",
];

/// What Fn::Cidr may answer.
const CIDR_BLOCKS_MAX: u32 = 256;

impl<'t> Resolver<'t> {
    pub(super) fn function(&mut self, name: &str, argument: &'t Node, span: Span) -> Resolved {
        match name {
            "Ref" => self.reference(argument),
            "Fn::GetAtt" => self.get_att(argument, span),
            "Fn::Sub" => self.sub(argument, span),
            "Fn::Join" => self.join(argument, span),
            "Fn::Split" => self.split(argument, span),
            "Fn::Select" => self.select(argument, span),
            "Fn::If" => self.choose(argument, span),
            "Fn::FindInMap" => self.find_in_map(argument),
            "Fn::ImportValue" => self.import_value(argument, span),
            "Fn::GetAZs" => self.zones(argument, span),
            "Fn::Base64" => {
                let text = self.text(argument, "the argument of Fn::Base64")?;
                self.text_node(STANDARD.encode(text), span).map(Some)
            }
            "Fn::Cidr" => self.cidr(argument, span),
            "Fn::Length" => {
                let items = self.list(argument, "the argument of Fn::Length")?;
                Ok(Some(Node { span, value: Value::Number(items.len().to_string()) }))
            }
            "Fn::ToJsonString" => {
                let value = self.required(argument, "the argument of Fn::ToJsonString")?;
                self.text_node(plain(&value).to_string(), span).map(Some)
            }
            "Fn::And" | "Fn::Or" | "Fn::Not" | "Fn::Equals" => {
                let hint = "declare it in the section Conditions and use its name in Fn::If".to_owned();
                self.broken("bad-function", span, format!("{name} stands only in conditions"), Some(hint))
            }
            "Fn::Transform" => {
                let hint =
                    "import what the template becomes: `aws cloudformation get-template --template-stage Processed`";
                let message = "Fn::Transform is run by CloudFormation itself";
                self.broken("bad-function", span, message, Some(hint.to_owned()))
            }
            other => {
                let hint = did_you_mean(other, KNOWN.into_iter()).map(|near| format!("did you mean `{near}`?"));
                self.broken("bad-function", span, format!("there is no function `{other}`"), hint)
            }
        }
    }

    /// The parts of a function that takes a list of a known length.
    fn parts(&mut self, name: &str, argument: &'t Node, lengths: &[usize], form: &str) -> Result<&'t [Node], Broken> {
        match &argument.value {
            Value::List(items) if lengths.contains(&items.len()) => Ok(items),
            _ => self.broken("bad-function", argument.span, format!("{name} takes {form}"), None),
        }
    }

    fn join(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let parts = self.parts("Fn::Join", argument, &[2], "a delimiter and a list of texts")?;
        let Some(delimiter) = parts[0].text() else {
            return self.broken("bad-function", parts[0].span, "the delimiter of Fn::Join must be text", None);
        };
        let items = self.list(&parts[1], "the second argument of Fn::Join")?;
        let mut joined = String::new();
        for (i, item) in items.iter().enumerate() {
            let Some(text) = scalar(item) else {
                let message = format!("Fn::Join joins texts, and this is {}", item.kind());
                return self.broken("bad-function", item.span, message, None);
            };
            if i > 0 {
                joined.push_str(delimiter);
            }
            self.spend(text.len() + delimiter.len(), span)?;
            joined.push_str(text);
        }
        self.refuse_dynamic(&joined, span)?;
        Ok(Some(Node { span, value: Value::Text(joined) }))
    }

    fn split(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let parts = self.parts("Fn::Split", argument, &[2], "a delimiter and a text")?;
        let Some(delimiter) = parts[0].text().filter(|d| !d.is_empty()) else {
            return self.broken("bad-function", parts[0].span, "the delimiter of Fn::Split must be a text", None);
        };
        let text = self.text(&parts[1], "the second argument of Fn::Split")?;
        self.spend(2 * text.len(), span)?;
        let items = text.split(delimiter).map(|t| Node { span, value: Value::Text(t.to_owned()) }).collect();
        Ok(Some(Node { span, value: Value::List(items) }))
    }

    fn select(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let parts = self.parts("Fn::Select", argument, &[2], "an index and a list")?;
        let index = self.text(&parts[0], "the index of Fn::Select")?;
        let mut items = self.list(&parts[1], "the second argument of Fn::Select")?;
        match index.parse::<usize>() {
            Ok(index) if index < items.len() => Ok(Some(Node { span, ..items.swap_remove(index) })),
            _ => {
                let message = format!("Fn::Select cannot select item {index} of a list of {}", items.len());
                self.broken("bad-function", parts[0].span, message, Some("the first item is 0".to_owned()))
            }
        }
    }

    fn choose(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let form = "the name of a condition and two values";
        let parts = self.parts("Fn::If", argument, &[3], form)?;
        let Some(name) = parts[0].text() else {
            return self.broken("bad-function", span, format!("Fn::If takes {form}"), None);
        };
        // What is not chosen is not looked at: it may name what is not there.
        let chosen = if self.condition(name, parts[0].span)? { &parts[1] } else { &parts[2] };
        self.value(chosen)
    }

    fn find_in_map(&mut self, argument: &'t Node) -> Resolved {
        let form = "the name of a map and two keys";
        let parts = self.parts("Fn::FindInMap", argument, &[3, 4], form)?;
        let default = match parts.get(3).map(|p| (p, p.get("DefaultValue"))) {
            None => None,
            Some((_, Some(default))) => Some(default),
            Some((p, None)) => return self.broken("bad-function", p.span, format!("Fn::FindInMap takes {form}"), None),
        };
        let mut keys = Vec::new();
        for part in &parts[..3] {
            keys.push(self.text(part, "a key of Fn::FindInMap")?);
        }
        let template = self.template;
        let mut found = template.section("Mappings").iter().find(|e| e.key == keys[0]).map(|e| &e.node);
        let mut missing = &parts[0];
        for (key, part) in keys[1..].iter().zip(&parts[1..3]) {
            if let Some(map) = found {
                missing = part;
                found = map.get(key);
            }
        }
        match (found, default) {
            (Some(value), _) => self.value(value),
            (None, Some(default)) => self.value(default),
            (None, None) => {
                let message = format!("Unable to get mapping for {}", keys.join("::"));
                self.broken("unknown-mapping", missing.span, message, None)
            }
        }
    }

    fn import_value(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let name = self.text(argument, "the argument of Fn::ImportValue")?;
        if let Some(value) = self.inputs.imports.get(&name).or_else(|| self.exports.get(&name)) {
            return self.text_node(value.clone(), span).map(Some);
        }
        let message = format!("No export named {name} found.");
        let hint = format!("another stack exports it: give its value with `--import '{name}=VALUE'`");
        self.broken("unknown-export", span, message, Some(hint))
    }

    /// Regions have two to six zones; three is what most have.
    fn zones(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let region = self.text(argument, "the argument of Fn::GetAZs")?;
        let region = if region.is_empty() { self.inputs.region.clone() } else { region };
        let zones = ["a", "b", "c"].map(|zone| Node { span, value: Value::Text(format!("{region}{zone}")) });
        Ok(Some(Node { span, value: Value::List(zones.into()) }))
    }

    fn cidr(&mut self, argument: &'t Node, span: Span) -> Resolved {
        let parts = self.parts("Fn::Cidr", argument, &[2, 3], "an address block, a count and the bits of a subnet")?;
        let block = self.text(&parts[0], "the address block of Fn::Cidr")?;
        let count = self.text(&parts[1], "the count of Fn::Cidr")?;
        let bits = parts.get(2).map(|p| self.text(p, "the bits of Fn::Cidr")).transpose()?;
        let Some(subnets) = subnets(&block, &count, bits.as_deref()) else {
            let message = format!("Fn::Cidr cannot cut {count} blocks out of {block}");
            return self.broken("bad-function", span, message, None);
        };
        let items = subnets.into_iter().map(|s| Node { span, value: Value::Text(s) }).collect();
        Ok(Some(Node { span, value: Value::List(items) }))
    }
}

/// `count` blocks with `bits` host bits each, from the beginning of `block`.
fn subnets(block: &str, count: &str, bits: Option<&str>) -> Option<Vec<String>> {
    let (address, prefix) = block.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u32 = prefix.parse().ok()?;
    let count: u32 = count.parse().ok().filter(|c| (1..=CIDR_BLOCKS_MAX).contains(c))?;
    let (width, first) = match address {
        IpAddr::V4(v4) => (32, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => (128, u128::from(v6)),
    };
    let bits: u32 = bits.map_or(Some(if width == 32 { 8 } else { 64 }), |b| b.parse().ok())?;
    if prefix > width || bits > width - prefix || bits >= 128 {
        return None;
    }
    let room = width - prefix - bits;
    if room < 32 && count > 1 << room {
        return None;
    }
    let first = if prefix == 0 { 0 } else { first >> (width - prefix) << (width - prefix) };
    let blocks = (0..count).map(|i| {
        let address = first + (u128::from(i) << bits);
        let address = match width {
            32 => IpAddr::V4(u32::try_from(address).unwrap_or(u32::MAX).into()),
            _ => IpAddr::V6(address.into()),
        };
        format!("{address}/{}", width - bits)
    });
    Some(blocks.collect())
}

#[cfg(test)]
mod tests {
    use super::subnets;

    #[test]
    fn blocks_are_cut_from_the_beginning() {
        let cut = |block, count, bits| subnets(block, count, bits).map(|s| s.join(" "));
        assert_eq!(cut("10.0.0.0/16", "2", Some("8")).unwrap(), "10.0.0.0/24 10.0.1.0/24");
        assert_eq!(cut("10.0.3.7/24", "2", Some("5")).unwrap(), "10.0.3.0/27 10.0.3.32/27");
        assert_eq!(cut("10.0.0.0/24", "9", Some("5")), None, "only eight fit");
        assert_eq!(cut("2001:db8::/56", "2", None).unwrap(), "2001:db8::/64 2001:db8:0:1::/64");
        assert_eq!(cut("10.0.0.0/8", "1000", Some("8")), None);
        assert_eq!(cut("nonsense", "1", None), None);
    }
}
