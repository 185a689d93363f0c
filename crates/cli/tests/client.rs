//! The screens of the commands that speak to a server, over a scripted API: what a person sees at 80 and at 140 columns,
//! what a program reads, and what is said when something is wrong. The commands against a real server are in
//! `tests/clients/cli_client.py`.

#[path = "client/script.rs"]
mod script;

use clap::Parser as _;
use serde_json::json;
use towpath_cli::args::{Cli, Command};
use towpath_cli::commands::{approval, history, list, logs, retry, rollback, start, status, stop, transition};
use towpath_cli::errors::ExpectedError;
use towpath_cli::remote::Remote;

use script::{Answers, Screen, execution, pipeline_of_everything};

/// Runs a command line; answers its exit code and everything it wrote.
async fn run(answers: &Answers, screen: Screen, words: &str) -> String {
    let arguments = std::iter::once("towpath").chain(words.split(' '));
    let command = Cli::try_parse_from(arguments).expect("a command line").command;
    let written = script::Written::default();
    let remote = |json: bool| script::remote(answers, screen, &written, json);
    let result = dispatch(&command, remote).await;
    let code = match &result {
        Ok(code) => *code,
        Err(error) => error.exit_code(),
    };
    let told = result.err().map(|error| error.render()).unwrap_or_default();
    format!("$ towpath {words}\n{}{told}=> {code}\n", written.text())
}

async fn dispatch<'a>(command: &Command, remote: impl Fn(bool) -> Remote<'a>) -> Result<u8, ExpectedError> {
    let json =
        |args: &towpath_cli::remote::RemoteArgs| matches!(args.format, towpath_cli::commands::validate::Format::Json);
    match command {
        Command::List(args) => list::run(args, remote(json(&args.remote))).await,
        Command::Status(args) => status::run(args, remote(json(&args.remote))).await,
        Command::History(args) => history::run(args, remote(json(&args.remote))).await,
        Command::Logs(args) => logs::run(args, remote(json(&args.remote))).await,
        Command::Start(args) => start::run(args, remote(json(&args.remote))).await,
        Command::Approve(args) => approval::run(&args.answer.options(args.reject), remote(false)).await,
        Command::Reject(args) => approval::run(&args.answer.options(true), remote(false)).await,
        Command::Retry(args) => retry::run(args, remote(json(&args.remote))).await,
        Command::Stop(args) => stop::run(args, remote(json(&args.remote))).await,
        Command::Rollback(args) => rollback::run(args, remote(json(&args.remote))).await,
        Command::Enable(args) => transition::enable(args, remote(json(&args.which.remote))).await,
        Command::Disable(args) => transition::disable(args, remote(json(&args.which.remote))).await,
        other => panic!("{other:?} speaks to no server"),
    }
}

const NARROW: Screen = Screen::Terminal(80);
const WIDE: Screen = Screen::Terminal(140);

#[tokio::test]
async fn a_status_shows_everything_that_holds_a_pipeline() {
    let answers = pipeline_of_everything();
    for (name, screen) in [("status_80", NARROW), ("status_140", WIDE), ("status_lines", Screen::Lines)] {
        insta::assert_snapshot!(name, run(&answers, screen, "status shop").await);
    }
}

#[tokio::test]
async fn lists_and_histories_fit_the_terminal() {
    let answers = pipeline_of_everything();
    for (name, screen) in [("80", NARROW), ("140", WIDE), ("lines", Screen::Lines)] {
        let mut text = String::new();
        for words in ["list", "list nothing-like-it", "history shop", "history shop --execution 22222222"] {
            text += &run(&answers, screen, words).await;
            text += "\n";
        }
        insta::assert_snapshot!(format!("tables_{name}"), text);
    }
}

#[tokio::test]
async fn json_is_the_apis_own() {
    let answers = pipeline_of_everything();
    let mut text = String::new();
    for words in [
        "list --format json",
        "history shop --limit 1 --format json",
        "retry shop Deploy --format json",
        "disable shop Deploy --outbound --format json",
        "stop shop --execution 22222222-aaaa-4000-8000-000000000002 --abandon --reason enough --format json",
    ] {
        text += &run(&answers, Screen::Lines, words).await;
    }
    insta::assert_snapshot!(text);
    let status = run(&answers, Screen::Lines, "status shop --format json").await;
    let document: serde_json::Value =
        serde_json::from_str(status.split_once('\n').unwrap().1.rsplit_once("=> ").unwrap().0).unwrap();
    assert_eq!(document["executionMode"], "QUEUED");
    assert_eq!(document["stageStates"][0]["stageName"], "Source");
    assert_eq!(
        document["stageStates"][0]["actionStates"][0]["latestExecution"]["lastStatusChange"],
        "2026-10-01T13:38:20.000Z"
    );
    assert_eq!(document["pipelineExecutionSummaries"].as_array().unwrap().len(), 2, "those that run");
}

#[tokio::test]
async fn changes_are_asked_for_with_what_the_state_tells() {
    let answers = pipeline_of_everything();
    let mut text = String::new();
    for words in [
        "approve shop",
        "reject shop Gate/Review --summary late",
        "retry shop",
        "retry shop Deploy --mode all",
        "rollback shop Deploy",
        "rollback shop Deploy --to 11111111",
        "enable shop Deploy",
        "disable shop Gate --reason freeze",
        "stop shop --execution 3333",
        "start shop --var Target=staging",
    ] {
        text += &run(&answers, Screen::Lines, words).await;
        text += &answers.changes();
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn what_is_wrong_is_said_with_a_way_out() {
    let answers = pipeline_of_everything();
    let mut text = String::new();
    for words in [
        "status shpo",
        "history nothing-like-it",
        "status shop --execution 9",
        "approve shop Gate/Nope",
        "retry shop Deplyo",
        "retry shop Test",
        "enable shop Nowhere",
        "stop shop",
        "logs shop --action Nope",
        "rollback shop Test",
    ] {
        text += &run(&answers, Screen::Lines, words).await;
        text += "\n";
    }
    for (code, message) in [
        ("Unreachable", "no answer from http://127.0.0.1:7400/: Connection refused (os error 111)"),
        ("UnrecognizedClientException", "The security token included in the request is invalid."),
        (
            "AccessDeniedException",
            "User: arn:aws:iam::1:user/u is not authorized to perform: codepipeline:ListPipelines",
        ),
        ("ThrottlingException", "Rate exceeded"),
        ("SomethingNewException", ""),
    ] {
        answers.fail("ListPipelines", code, message);
        text += &run(&answers, Screen::Lines, "list").await;
        text += "\n";
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn watching_tells_changes_until_nothing_goes_on_by_itself() {
    let answers = pipeline_of_everything();
    let waiting = run(&answers, Screen::Lines, "status shop --watch --execution 33333333").await;
    answers.end(3, "Failed");
    let ended = run(&answers, Screen::Lines, "status shop --watch --execution 33333333 --format json").await;
    insta::assert_snapshot!(format!("{waiting}\n{ended}"));
}

#[tokio::test]
async fn a_live_board_is_redrawn_and_stays() {
    let answers = pipeline_of_everything();
    answers.end(3, "Succeeded");
    let shown = run(&answers, Screen::Terminal(80), "status shop --watch --execution 33333333").await;
    assert!(shown.contains("\u{1b}[?2026h") && shown.contains("✓ Succeeded  execution 33333333"), "{shown}");
    assert!(shown.ends_with("=> 0\n"), "{shown}");
}

#[tokio::test]
async fn a_pipeline_that_never_ran_is_shown() {
    let answers = Answers::default();
    answers.set("ListPipelines", json!({"pipelines": [{"name": "new", "version": 1}]}));
    answers.set("ListPipelineExecutions", json!({"pipelineExecutionSummaries": []}));
    let text = run(&answers, NARROW, "list").await + &run(&answers, NARROW, "history new").await;
    assert_eq!(
        text,
        "$ towpath list\nPIPELINE  STATUS\nnew       · never run\n=> 0\n\
         $ towpath history new\nThe pipeline `new` was never run.\n=> 0\n"
    );
}

#[tokio::test]
async fn several_executions_at_one_approval_are_asked_about() {
    let answers = pipeline_of_everything();
    answers.in_parallel(&[execution(4, "InProgress"), execution(5, "InProgress")]);
    let text = run(&answers, Screen::Lines, "approve shop").await
        + &run(&answers, Screen::Lines, "approve shop --execution 44444444").await
        + &answers.changes()
        + &run(&answers, NARROW, "status shop").await;
    insta::assert_snapshot!(text);
}
