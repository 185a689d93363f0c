//! How scenarios name things: `e1` an execution in the order of starts, `e1 Build` its run of a stage, `e1 Build/A` an
//! action of it, `e1 Build.beforeEntry` a condition and `e1 Build.beforeEntry/R` a rule of it.

use towpath_model::declaration::ConditionType;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// From 1.
    pub execution: u64,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    Execution,
    Stage(String),
    Action(String, String),
    Condition(String, ConditionType),
    Rule(String, ConditionType, String),
}

pub fn execution(text: &str) -> Option<u64> {
    text.strip_prefix('e')?.parse().ok().filter(|number| *number > 0)
}

pub fn gate(text: &str) -> Option<ConditionType> {
    ConditionType::ALL.into_iter().find(|gate| gate.as_str() == text)
}

pub fn parse(text: &str) -> Result<Name, String> {
    let wrong =
        || format!("`{text}` names nothing; write e1, e1 Stage, e1 Stage/Action, e1 Stage.gate or e1 Stage.gate/Rule");
    let (first, rest) = text.split_once(' ').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let execution = execution(first).ok_or_else(wrong)?;
    let Some(rest) = rest else { return Ok(Name { execution, place: Place::Execution }) };
    if rest.contains(' ') {
        return Err(wrong());
    }
    let (head, tail) = rest.split_once('/').map_or((rest, None), |(head, tail)| (head, Some(tail.to_owned())));
    let place = match (head.split_once('.'), tail) {
        (None, None) => Place::Stage(head.to_owned()),
        (None, Some(action)) => Place::Action(head.to_owned(), action),
        (Some((stage, at)), tail) => {
            let at = gate(at).ok_or_else(wrong)?;
            match tail {
                None => Place::Condition(stage.to_owned(), at),
                Some(rule) => Place::Rule(stage.to_owned(), at, rule),
            }
        }
    };
    Ok(Name { execution, place })
}
