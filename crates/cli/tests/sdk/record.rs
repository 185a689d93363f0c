//! Which operations of CodePipeline a test called, and what they answered: the lines that docs/api.md is made of. With
//! `TOWPATH_TEST_RECORD=DIR` each process adds lines to a file of its own in DIR. It changes no request and no answer.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use aws_sdk_codepipeline::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_codepipeline::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_codepipeline::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

const VARIABLE: &str = "TOWPATH_TEST_RECORD";

/// Notes what its client calls. Tests run their calls on the thread that bears their name.
#[derive(Debug)]
pub struct Record;

impl Intercept for Record {
    fn name(&self) -> &'static str {
        "Record"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(directory) = std::env::var_os(VARIABLE) else { return Ok(()) };
        let operation = bag.load::<Metadata>().ok_or("a call without an operation")?.name();
        let response = context.response();
        let failed = !response.status().is_success();
        let error = failed.then(|| response.headers().get("x-amzn-errortype").unwrap_or_default());
        let thread = std::thread::current();
        let (file, scenario) = thread.name().and_then(|name| name.split_once("::")).ok_or("a call without a test")?;
        let note = serde_json::json!({
            "operation": operation, "client": "Rust SDK", "file": format!("{file}.rs"), "scenario": scenario, "error": error,
        });
        let path = Path::new(&directory).join(format!("rust-{}.jsonl", std::process::id()));
        let mut lines = OpenOptions::new().create(true).append(true).open(path)?;
        // One write per line: tests of one process may share the file.
        lines.write_all(format!("{note}\n").as_bytes())?;
        Ok(())
    }
}
