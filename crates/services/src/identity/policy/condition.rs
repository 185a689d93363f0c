//! Condition operators. Within one key the policy's values are alternatives; for negated operators none may match.

use std::net::IpAddr;

use base64::Engine as _;
use towpath_wire::types::Timestamp;

use super::pattern::{Glob, arn_matches};
use super::{Context, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equals,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Compare),
    Date(Compare),
    Bool,
    Binary,
    IpAddress,
    Arn,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Plain,
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    quantifier: Quantifier,
    test: Test,
    negated: bool,
    if_exists: bool,
}

impl Operator {
    pub fn parse(name: &str) -> Option<Self> {
        let (quantifier, rest) = if let Some(rest) = name.strip_prefix("ForAllValues:") {
            (Quantifier::ForAllValues, rest)
        } else if let Some(rest) = name.strip_prefix("ForAnyValue:") {
            (Quantifier::ForAnyValue, rest)
        } else {
            (Quantifier::Plain, name)
        };
        let (base, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |base| (base, true));
        let (test, negated) = match base {
            "StringEquals" => (Test::StringEquals, false),
            "StringNotEquals" => (Test::StringEquals, true),
            "StringEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, false),
            "StringNotEqualsIgnoreCase" => (Test::StringEqualsIgnoreCase, true),
            "StringLike" => (Test::StringLike, false),
            "StringNotLike" => (Test::StringLike, true),
            "NumericEquals" => (Test::Numeric(Compare::Equals), false),
            "NumericNotEquals" => (Test::Numeric(Compare::Equals), true),
            "NumericLessThan" => (Test::Numeric(Compare::Less), false),
            "NumericLessThanEquals" => (Test::Numeric(Compare::LessOrEqual), false),
            "NumericGreaterThan" => (Test::Numeric(Compare::Greater), false),
            "NumericGreaterThanEquals" => (Test::Numeric(Compare::GreaterOrEqual), false),
            "DateEquals" => (Test::Date(Compare::Equals), false),
            "DateNotEquals" => (Test::Date(Compare::Equals), true),
            "DateLessThan" => (Test::Date(Compare::Less), false),
            "DateLessThanEquals" => (Test::Date(Compare::LessOrEqual), false),
            "DateGreaterThan" => (Test::Date(Compare::Greater), false),
            "DateGreaterThanEquals" => (Test::Date(Compare::GreaterOrEqual), false),
            "Bool" => (Test::Bool, false),
            "BinaryEquals" => (Test::Binary, false),
            "IpAddress" => (Test::IpAddress, false),
            "NotIpAddress" => (Test::IpAddress, true),
            "ArnEquals" | "ArnLike" => (Test::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Test::Arn, true),
            "Null" if !if_exists => (Test::Null, false),
            _ => return None,
        };
        Some(Self { quantifier, test, negated, if_exists })
    }
}

#[derive(Debug, Clone)]
pub struct Condition {
    pub operator: Operator,
    pub key: String,
    pub values: Vec<String>,
}

impl Condition {
    pub fn holds(&self, context: &Context, variables: Option<&Context>) -> bool {
        let Operator { quantifier, test, negated, if_exists } = self.operator;
        let found = context.get(&self.key);
        if test == Test::Null {
            let absent = found.is_none_or(|value| value.as_slice().iter().all(String::is_empty));
            return self
                .values
                .iter()
                .any(|expected| expected.eq_ignore_ascii_case(if absent { "true" } else { "false" }));
        }
        let Some(found) = found else {
            return if_exists
                || match quantifier {
                    Quantifier::Plain => negated,
                    Quantifier::ForAllValues => true,
                    Quantifier::ForAnyValue => false,
                };
        };
        // A value that matches no policy value satisfies a negated operator; that is the NOR over the policy's values.
        let satisfies = |value: &String| self.matches_any(test, value, variables) != negated;
        match (quantifier, found) {
            (Quantifier::Plain, Value::One(value)) => satisfies(value),
            (Quantifier::Plain, Value::Many(values)) if negated => values.iter().all(satisfies),
            (Quantifier::Plain, Value::Many(values)) => values.iter().any(satisfies),
            // An empty text counts as no value for the quantifiers.
            (Quantifier::ForAllValues, values) => {
                values.as_slice().iter().filter(|text| !text.is_empty()).all(satisfies)
            }
            (Quantifier::ForAnyValue, values) => {
                values.as_slice().iter().filter(|text| !text.is_empty()).any(satisfies)
            }
        }
    }

    fn matches_any(&self, test: Test, value: &str, variables: Option<&Context>) -> bool {
        self.values.iter().any(|expected| match test {
            Test::StringEquals => Glob::literal(expected, variables).is_some_and(|text| text == value),
            Test::StringEqualsIgnoreCase => {
                Glob::literal(expected, variables).is_some_and(|text| text.to_lowercase() == value.to_lowercase())
            }
            Test::StringLike => Glob::new(expected, variables).matches(value),
            Test::Numeric(compare) => match (value.trim().parse::<f64>(), expected.trim().parse::<f64>()) {
                (Ok(value), Ok(expected)) => value.partial_cmp(&expected).is_some_and(|order| compare.accepts(order)),
                _ => false,
            },
            Test::Date(compare) => match (instant(value), instant(expected)) {
                (Some(value), Some(expected)) => compare.accepts(value.cmp(&expected)),
                _ => false,
            },
            Test::Bool => value.eq_ignore_ascii_case(expected),
            Test::Binary => {
                let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).ok();
                decode(value).is_some_and(|bytes| decode(expected) == Some(bytes))
            }
            Test::IpAddress => value.parse::<IpAddr>().is_ok_and(|address| in_network(address, expected)),
            Test::Arn => arn_matches(expected, value, variables),
            Test::Null => false,
        })
    }
}

impl Compare {
    fn accepts(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equals => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Milliseconds since the epoch of an ISO 8601 time, a date, or epoch seconds.
fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<i64>()
        && text.len() != 4
    {
        return seconds.checked_mul(1000);
    }
    if let Some(time) = Timestamp::parse_iso(text) {
        return Some(time.as_millis());
    }
    let whole_day = match text.len() {
        4 => format!("{text}-01-01T00:00:00Z"),
        7 => format!("{text}-01T00:00:00Z"),
        _ => format!("{text}T00:00:00Z"),
    };
    Timestamp::parse_iso(&whole_day).map(Timestamp::as_millis)
}

/// Whether `address` lies in `network`, a CIDR block or one address.
fn in_network(address: IpAddr, network: &str) -> bool {
    let (base, length) = network.split_once('/').map_or((network, None), |(base, length)| (base, Some(length)));
    let Ok(base) = base.parse::<IpAddr>() else { return false };
    let (address, base, bits) = match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => (u128::from(u32::from(address)), u128::from(u32::from(base)), 32),
        (IpAddr::V6(address), IpAddr::V6(base)) => (u128::from(address), u128::from(base), 128),
        _ => return false,
    };
    let Some(length) = length.map_or(Some(bits), |text| text.parse::<u32>().ok().filter(|length| *length <= bits))
    else {
        return false;
    };
    let shift = bits - length;
    shift >= 128 || address >> shift == base >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(operator: &str, key: &str, values: &[&str], context: &Context) -> bool {
        let condition = Condition {
            operator: Operator::parse(operator).unwrap_or_else(|| panic!("{operator} is an operator")),
            key: key.to_owned(),
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        condition.holds(context, Some(context))
    }

    #[test]
    fn each_operator_on_present_keys() {
        let context = Context::new()
            .with("aws:SourceAccount", "111122223333")
            .with("aws:SourceArn", "arn:aws:codepipeline:eu-west-1:111122223333:p:x")
            .with("aws:CurrentTime", "2026-05-01T12:00:00Z")
            .with("aws:SourceIp", "10.1.2.3")
            .with("aws:SecureTransport", "true")
            .with("size", "10.5")
            .with("blob", "QUI=");
        let cases = [
            ("StringEquals", "AWS:sourceACCOUNT", &["1", "111122223333"][..], true),
            ("StringNotEquals", "aws:SourceAccount", &["1", "111122223333"], false),
            ("StringEqualsIgnoreCase", "aws:SecureTransport", &["TRUE"], true),
            ("StringLike", "aws:SourceAccount", &["1111*"], true),
            ("StringNotLike", "aws:SourceAccount", &["2*"], true),
            ("ArnLike", "aws:SourceArn", &["arn:aws:codepipeline:eu-west-1:111122223333:*"], true),
            ("ArnEquals", "aws:SourceArn", &["arn:aws:codepipeline:*:111122223333:p*"], true),
            ("ArnLike", "aws:SourceArn", &["arn:aws:*"], false),
            ("ArnNotLike", "aws:SourceArn", &["arn:aws:codebuild:*:*:*"], true),
            ("NumericLessThan", "size", &["10.6"], true),
            ("NumericGreaterThanEquals", "size", &["10.5"], true),
            ("NumericNotEquals", "size", &["10.50"], false),
            ("NumericEquals", "size", &["many"], false),
            ("DateLessThan", "aws:CurrentTime", &["2026-05-02"], true),
            ("DateGreaterThan", "aws:CurrentTime", &["1777636799"], true),
            ("DateEquals", "aws:CurrentTime", &["2026-05-01T14:00:00+02:00"], true),
            ("Bool", "aws:SecureTransport", &["true"], true),
            ("BinaryEquals", "blob", &["QUI="], true),
            ("BinaryEquals", "blob", &["qui="], false),
            ("IpAddress", "aws:SourceIp", &["10.1.0.0/16", "192.168.0.1"], true),
            ("NotIpAddress", "aws:SourceIp", &["10.1.2.3"], false),
            ("IpAddress", "aws:SourceIp", &["::/0"], false),
            ("Null", "aws:SourceIp", &["false"], true),
        ];
        for (operator, key, values, expected) in cases {
            assert_eq!(holds(operator, key, values, &context), expected, "{operator} {key} {values:?}");
        }
    }

    #[test]
    fn absent_keys_fail_positive_and_pass_negated_operators() {
        let context = Context::new();
        for (operator, expected) in [
            ("StringEquals", false),
            ("StringNotEquals", true),
            ("StringEqualsIfExists", true),
            ("StringNotEqualsIfExists", true),
            ("NumericNotEquals", true),
            ("NotIpAddress", true),
            ("ArnLike", false),
            ("Bool", false),
            ("ForAllValues:StringEquals", true),
            ("ForAnyValue:StringEquals", false),
            ("ForAnyValue:StringEqualsIfExists", true),
        ] {
            assert_eq!(holds(operator, "k", &["v"], &context), expected, "{operator}");
        }
        assert!(holds("Null", "k", &["true"], &context));
    }

    #[test]
    fn quantifiers_over_several_values() {
        let context = Context::new().with_many("aws:TagKeys", vec!["a".into(), "b".into()]).with_many("none", vec![]);
        assert!(holds("ForAllValues:StringEquals", "aws:TagKeys", &["a", "b", "c"], &context));
        assert!(!holds("ForAllValues:StringEquals", "aws:TagKeys", &["a"], &context));
        assert!(holds("ForAnyValue:StringLike", "aws:TagKeys", &["b*"], &context));
        assert!(holds("ForAllValues:StringNotEquals", "aws:TagKeys", &["c"], &context));
        assert!(holds("ForAllValues:StringEquals", "none", &["a"], &context));
        assert!(!holds("ForAnyValue:StringEquals", "none", &["a"], &context));
        assert!(holds("StringEquals", "aws:TagKeys", &["b"], &context));
    }

    #[test]
    fn an_unknown_variable_fails_positive_and_passes_negated_operators() {
        let context = Context::new().with("k", "v").with("same", "v");
        assert!(holds("StringEquals", "k", &["${same}"], &context));
        assert!(!holds("StringEquals", "k", &["${missing}"], &context));
        assert!(holds("StringNotEquals", "k", &["${missing}"], &context));
    }

    #[test]
    fn unknown_operators_are_refused() {
        for name in ["StringIs", "NullIfExists", "ForEachValue:StringEquals", ""] {
            assert!(Operator::parse(name).is_none(), "{name}");
        }
    }
}
