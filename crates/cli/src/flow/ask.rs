//! Asks a person about an approval.

use std::io::{BufRead, Write};

use async_trait::async_trait;

use crate::limits;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub stage: String,
    pub action: String,
    /// The approval's `CustomData`: what the author of the pipeline wants the approver to know.
    pub custom_data: Option<String>,
    /// The approval's `ExternalEntityLink`: what to look at.
    pub link: Option<String>,
    pub summary_required: bool,
}

impl Question {
    /// What stands above the prompt, and above the command that approves later.
    pub fn text(&self) -> String {
        let mut text = format!("{}/{} needs approval\n", self.stage, self.action);
        for (label, value) in [("note", &self.custom_data), ("review", &self.link)] {
            if let Some(value) = value {
                text = format!("{text}  {label}: {}\n", crate::display::clean_rows(value));
            }
        }
        text
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub approved: bool,
    pub summary: String,
}

#[async_trait]
pub trait Asker: Send + Sync {
    /// None when nobody can answer any more (the input ended).
    async fn ask(&self, question: &Question) -> Option<Answer>;
}

/// Asks on stderr, reads from stdin.
pub struct TerminalAsker;

#[async_trait]
impl Asker for TerminalAsker {
    async fn ask(&self, question: &Question) -> Option<Answer> {
        let (send, receive) = tokio::sync::oneshot::channel();
        let question = question.clone();
        // A thread of its own: a read from the terminal cannot be called off, and must not hold up the end of the process.
        std::thread::spawn(move || {
            let answer = converse(&question, &mut std::io::stdin().lock(), &mut std::io::stderr());
            let _ = send.send(answer);
        });
        receive.await.ok().flatten()
    }
}

/// The conversation over any pair of streams.
pub fn converse(question: &Question, input: &mut dyn BufRead, output: &mut dyn Write) -> Option<Answer> {
    let mut prompt = |text: &str| -> Option<String> {
        write!(output, "{text}").and_then(|()| output.flush()).ok()?;
        let mut line = String::new();
        let read = input.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim().to_owned())
    };
    let mut first = format!("{}Approve or reject? [a/r] ", question.text());
    let approved = loop {
        match prompt(&first)?.to_lowercase().as_str() {
            "a" | "approve" | "y" | "yes" => break true,
            "r" | "reject" | "n" | "no" => break false,
            _ => "Type `a` to approve or `r` to reject: ".clone_into(&mut first),
        }
    };
    let mut text = if question.summary_required { "Summary: " } else { "Summary (may stay empty): " };
    let summary = loop {
        let summary = prompt(text)?;
        let length = summary.chars().count();
        if length > limits::APPROVAL_SUMMARY_CHARS_MAX {
            text = "At most 512 characters: ";
        } else if length == 0 && question.summary_required {
            text = "This approval asks for a summary: ";
        } else {
            break summary;
        }
    };
    Some(Answer { approved, summary })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(typed: &str, summary_required: bool) -> (Option<Answer>, String) {
        let question = Question {
            stage: "Gate".into(),
            action: "Review".into(),
            custom_data: Some("Ship 1.4?".into()),
            link: Some("https://example.com/1.4".into()),
            summary_required,
        };
        let mut output = Vec::new();
        let answer = converse(&question, &mut typed.as_bytes(), &mut output);
        (answer, String::from_utf8(output).unwrap())
    }

    #[test]
    fn an_unclear_answer_is_asked_again() {
        let (answer, shown) = talk("maybe\na\nlooks good\n", false);
        assert_eq!(answer, Some(Answer { approved: true, summary: "looks good".into() }));
        assert_eq!(
            shown,
            "Gate/Review needs approval\n  note: Ship 1.4?\n  review: https://example.com/1.4\n\
             Approve or reject? [a/r] Type `a` to approve or `r` to reject: Summary (may stay empty): "
        );
    }

    #[test]
    fn a_required_summary_is_insisted_on() {
        let (answer, shown) = talk("r\n\nbroken\n", true);
        assert_eq!(answer, Some(Answer { approved: false, summary: "broken".into() }));
        assert!(shown.ends_with("Summary: This approval asks for a summary: "), "{shown}");
    }

    #[test]
    fn the_end_of_the_input_is_no_answer() {
        assert_eq!(talk("", false).0, None);
        assert_eq!(talk("a\n", true).0, None);
    }
}
