//! JUnit XML into test cases, with limits: outside bytes. No entity but XML's own five is ever expanded. Must not touch
//! the file system.

use std::io::BufRead;
use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::limits::{REPORT_XML_DEPTH_MAX, TEST_CASE_MESSAGE_CHARS_MAX, TEST_CASE_NAME_CHARS_MAX};
use crate::status::{CaseStatus, TestCase};

/// Hands every test case to `each` until it answers false.
pub(crate) fn read(
    input: impl BufRead,
    raw_data_path: &str,
    each: &mut dyn FnMut(TestCase) -> bool,
) -> Result<(), String> {
    let mut reader = Reader::from_reader(input);
    reader.config_mut().expand_empty_elements = true;
    let mut buffer = Vec::new();
    let mut state = State { raw_data_path, suites: Vec::new(), case: None, outcome: None, depth: 0, found: false };
    loop {
        let event = reader
            .read_event_into(&mut buffer)
            .map_err(|error| format!("{error} at byte {}", reader.error_position()))?;
        match event {
            Event::Eof => break,
            Event::Start(element) => state.open(&element)?,
            Event::End(element) => {
                if let Some(case) = state.close(element.local_name().as_ref())
                    && !each(case)
                {
                    return Ok(());
                }
            }
            Event::Text(text) => state.text(&text.decode().unwrap_or_default()),
            Event::CData(data) => state.text(&data.decode().unwrap_or_default()),
            Event::GeneralRef(reference) => {
                let name = reference.decode().unwrap_or_default();
                let character = reference.resolve_char_ref().ok().flatten().map(String::from);
                let predefined = || quick_xml::escape::resolve_predefined_entity(&name).map(str::to_owned);
                state.text(&character.or_else(predefined).unwrap_or_else(|| format!("&{name};")));
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Empty(_) => {}
        }
        buffer.clear();
    }
    if state.depth > 0 {
        return Err("the file ends inside an element".to_owned());
    }
    if state.found { Ok(()) } else { Err("no <testsuites> or <testsuite> element".to_owned()) }
}

struct State<'a> {
    raw_data_path: &'a str,
    /// Names of the suites around.
    suites: Vec<String>,
    case: Option<TestCase>,
    /// Inside <failure>, <error> or <skipped>: attribute and text so far.
    outcome: Option<(String, String)>,
    depth: usize,
    found: bool,
}

impl State<'_> {
    fn open(&mut self, element: &BytesStart) -> Result<(), String> {
        self.depth += 1;
        if self.depth > REPORT_XML_DEPTH_MAX {
            return Err(format!("elements nested deeper than {REPORT_XML_DEPTH_MAX}"));
        }
        let name = element.local_name();
        if !self.found {
            if !matches!(name.as_ref(), b"testsuites" | b"testsuite") {
                return Err("the root element is not <testsuites> or <testsuite>".to_owned());
            }
            self.found = true;
        }
        match name.as_ref() {
            b"testsuite" => self.suites.push(short(&attribute(element, "name"), TEST_CASE_NAME_CHARS_MAX)),
            b"testcase" => {
                self.case = Some(TestCase {
                    name: short(&attribute(element, "name"), TEST_CASE_NAME_CHARS_MAX),
                    prefix: short(&attribute(element, "classname"), TEST_CASE_NAME_CHARS_MAX),
                    test_suite_name: self.suites.last().cloned().unwrap_or_default(),
                    status: CaseStatus::Succeeded,
                    duration_ns: nanoseconds(&attribute(element, "time")),
                    message: String::new(),
                    raw_data_path: self.raw_data_path.to_owned(),
                });
            }
            outcome @ (b"failure" | b"error" | b"skipped") => {
                let status = match outcome {
                    b"failure" => CaseStatus::Failed,
                    b"error" => CaseStatus::Error,
                    _ => CaseStatus::Skipped,
                };
                // A case that failed and then also could not be torn down stays failed.
                if let Some(case) = &mut self.case
                    && case.status == CaseStatus::Succeeded
                {
                    case.status = status;
                    self.outcome = Some((attribute(element, "message"), String::new()));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if let Some((_, gathered)) = &mut self.outcome
            && gathered.len() < TEST_CASE_MESSAGE_CHARS_MAX * 4
        {
            gathered.push_str(text);
        }
    }

    /// The case that ends here, if one does.
    fn close(&mut self, name: &[u8]) -> Option<TestCase> {
        self.depth = self.depth.saturating_sub(1);
        match name {
            b"testsuite" => {
                self.suites.pop();
            }
            b"failure" | b"error" | b"skipped" => {
                if let (Some((attribute, text)), Some(case)) = (self.outcome.take(), &mut self.case) {
                    let text = text.trim();
                    case.message = short(if text.is_empty() { &attribute } else { text }, TEST_CASE_MESSAGE_CHARS_MAX);
                }
            }
            b"testcase" => return self.case.take(),
            _ => {}
        }
        None
    }
}

fn attribute(element: &BytesStart, name: &str) -> String {
    let Ok(Some(attribute)) = element.try_get_attribute(name) else { return String::new() };
    match attribute.unescape_value() {
        Ok(value) => value.into_owned(),
        Err(_) => String::from_utf8_lossy(&attribute.value).into_owned(),
    }
}

fn short(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

/// Seconds with a fraction; some writers group thousands with commas.
fn nanoseconds(text: &str) -> u64 {
    let seconds: f64 = text.replace(',', "").trim().parse().unwrap_or(0.0);
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(xml: &str) -> Result<Vec<TestCase>, String> {
        let mut cases = Vec::new();
        read(xml.as_bytes(), "out/junit.xml", &mut |case| {
            cases.push(case);
            true
        })?;
        Ok(cases)
    }

    #[test]
    fn reads_what_pytest_and_surefire_write() {
        let cases = cases(
            r#"<?xml version="1.0" encoding="utf-8"?>
            <testsuites name="all"><testsuite name="pytest" tests="5" time="1.5">
              <testcase classname="tests.a" name="test_ok" time="0.001"><system-out>noise</system-out></testcase>
              <testcase classname="tests.a" name="test_bad" time="1,000.25">
                <failure message="short">def f():
&gt;   assert 1 &#60; 0 &amp; more<![CDATA[ <raw> ]]></failure>
                <error message="teardown too"/>
              </testcase>
              <testcase classname="tests.a" name="test_err"><error message="boom &quot;x&quot;"/></testcase>
              <testcase classname="tests.a" name="test_skip"><skipped type="t" message="not here"></skipped></testcase>
              <testsuite name="inner"><testcase name="plain" time="nonsense"/></testsuite>
              <testcase name="after"/>
            </testsuite></testsuites>"#,
        )
        .unwrap();
        let seen: Vec<_> = cases
            .iter()
            .map(|c| (c.name.as_str(), c.status, c.duration_ns, c.message.as_str(), c.test_suite_name.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("test_ok", CaseStatus::Succeeded, 1_000_000, "", "pytest"),
                (
                    "test_bad",
                    CaseStatus::Failed,
                    1_000_250_000_000,
                    "def f():\n>   assert 1 < 0 & more <raw>",
                    "pytest"
                ),
                ("test_err", CaseStatus::Error, 0, "boom \"x\"", "pytest"),
                ("test_skip", CaseStatus::Skipped, 0, "not here", "pytest"),
                ("plain", CaseStatus::Succeeded, 0, "", "inner"),
                ("after", CaseStatus::Succeeded, 0, "", "pytest"),
            ]
        );
        assert_eq!((cases[0].prefix.as_str(), cases[0].raw_data_path.as_str()), ("tests.a", "out/junit.xml"));
    }

    #[test]
    fn refuses_what_is_no_report() {
        assert_eq!(cases("<html/>").unwrap_err(), "the root element is not <testsuites> or <testsuite>");
        assert_eq!(cases("").unwrap_err(), "no <testsuites> or <testsuite> element");
        assert!(cases("<testsuite><testcase>").is_err());
        assert!(cases("<testsuite></testcase></testsuite>").is_err());
        let deep = format!("<testsuite>{}", "<a>".repeat(100));
        assert_eq!(cases(&deep).unwrap_err(), "elements nested deeper than 64");
    }

    #[test]
    fn entities_of_the_file_are_not_expanded() {
        let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
            <testsuite><testcase name="&b;"><failure>&b;</failure></testcase></testsuite>"#;
        let cases = cases(bomb).unwrap();
        assert_eq!((cases[0].name.as_str(), cases[0].message.as_str()), ("&b;", "&b;"));
    }

    #[test]
    fn long_texts_are_cut() {
        let xml = format!(
            "<testsuite><testcase name='{0}'><failure>{1}</failure></testcase></testsuite>",
            "n".repeat(2_000),
            "m".repeat(50_000)
        );
        let case = cases(&xml).unwrap().remove(0);
        assert_eq!((case.name.len(), case.message.len()), (1_000, 5_000));
    }
}
