//! What a configuration value may be, beyond its length.

use towpath_model::catalogue::ValidValues;

/// Whether a value without references is one of those allowed; otherwise what it must be.
pub(crate) fn fits(valid: &ValidValues, value: &str) -> Result<(), String> {
    match valid {
        ValidValues::Any => Ok(()),
        ValidValues::Boolean => {
            if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") {
                Ok(())
            } else {
                Err("it must be true or false".to_owned())
            }
        }
        ValidValues::OneOf(values) => {
            if values.iter().any(|allowed| allowed == value) {
                Ok(())
            } else {
                Err(format!("it must be one of {}", values.join(", ")))
            }
        }
        ValidValues::Json => match serde_json::from_str::<serde_json::Value>(value) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("it must be JSON ({error})")),
        },
        ValidValues::Integer(min, max) => match value.trim().parse::<i64>() {
            Ok(number) if (*min..=*max).contains(&number) => Ok(()),
            _ => Err(format!("it must be a whole number from {min} to {max}")),
        },
        ValidValues::Number => match value.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err("it must be a number".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_takes_its_own() {
        let one_of = ValidValues::OneOf(vec!["a".to_owned(), "b".to_owned()]);
        let table: [(&ValidValues, &str, bool); 14] = [
            (&ValidValues::Any, "", true),
            (&ValidValues::Boolean, "TRUE", true),
            (&ValidValues::Boolean, "yes", false),
            (&one_of, "b", true),
            (&one_of, "B", false),
            (&ValidValues::Json, "[{\"name\":\"x\"}]", true),
            (&ValidValues::Json, "[{]", false),
            (&ValidValues::Integer(1, 5), "5", true),
            (&ValidValues::Integer(1, 5), "6", false),
            (&ValidValues::Integer(1, 5), "five", false),
            (&ValidValues::Integer(-1, 5), " -1 ", true),
            (&ValidValues::Number, "-2.5", true),
            (&ValidValues::Number, "inf", false),
            (&ValidValues::Number, "two", false),
        ];
        for (valid, value, expected) in table {
            assert_eq!(fits(valid, value).is_ok(), expected, "{valid:?} {value:?}");
        }
    }
}
