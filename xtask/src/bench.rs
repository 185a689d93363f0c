//! `cargo xtask bench`: measures what DESIGN promises, on optimised builds, and prints a table beside the goals.
//! Nothing here passes or fails; a figure is read together with the machine it was measured on.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::shell;

mod api;

struct Row {
    what: String,
    measured: String,
    goal: &'static str,
}

pub fn run(root: &Path, arguments: &[String]) -> Result<ExitCode, String> {
    let mut clone = false;
    let mut scale = false;
    let mut database = None;
    let mut given = arguments.iter();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--clone" => clone = true,
            "--scale" => scale = true,
            "--database-url" => database = Some(given.next().ok_or("--database-url needs a postgresql:// URL")?),
            unknown => {
                return Err(format!(
                    "there is no argument `{unknown}`; `--clone` also measures clone to first Succeeded, `--scale` reads \
                     over 1,000,000 executions (needs 15 GB), `--database-url URL` the same on an empty PostgreSQL schema"
                ));
            }
        }
    }
    shell::say("building optimised binaries");
    // One invocation, so that both are made of the same libraries with the same features.
    let build = "build --release -p towpath-cli --bin towpath --example api_load -p towpath-orchestrator --example transitions --example scale";
    shell::must(
        Command::new("cargo").args(build.split(' ')).current_dir(root),
        "towpath or its benchmark does not build",
    )?;
    let release = shell::target(root).join("release");
    let scratch = std::env::temp_dir().join(format!("towpath-bench-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).map_err(|e| format!("cannot make {}: {e}", scratch.display()))?;
    let mut rows = transitions(&release, &scratch.join("transitions").display().to_string(), "on SQLite")?;
    if let Some(url) = database {
        rows.extend(transitions(&release, url, "on PostgreSQL")?);
    }
    rows.push(whole_run(root, &release, &scratch)?);
    rows.extend(serve(&release, &scratch)?);
    rows.extend(api::rows(root, &release, &scratch.join("api"))?);
    if scale {
        reads_at_scale(&release, &scratch.join("scale"))?;
    }
    if clone {
        rows.push(clone_to_first(root, &scratch)?);
    }
    let _ = std::fs::remove_dir_all(&scratch);
    print(&rows);
    Ok(ExitCode::SUCCESS)
}

/// Prints one line of figures per fill level as it goes: the whole takes minutes.
fn reads_at_scale(release: &Path, directory: &Path) -> Result<(), String> {
    shell::say("100,000 pipelines and 1,000,000 finished executions; the goal of every read is p99 <= 10 ms");
    std::fs::create_dir_all(directory).map_err(|e| format!("cannot make {}: {e}", directory.display()))?;
    shell::must(Command::new(release.join("examples/scale")).arg(directory), "the scale benchmark failed")
}

fn transitions(release: &Path, place: &str, store: &'static str) -> Result<Vec<Row>, String> {
    shell::say(&format!("transitions and executions, durable, {store}"));
    let output = Command::new(release.join("examples/transitions"))
        .arg(place)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("the benchmark cannot be started: {e}"))?;
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("the benchmark ended with {} and no figures: {e}", output.status))?;
    let figure = |name: &str| figures[name].as_f64().ok_or_else(|| format!("the benchmark has no figure {name}"));
    Ok(vec![
        Row {
            what: format!("action finished -> next started, {store}"),
            measured: format!("p50 {:.2} ms, p99 {:.2} ms", figure("transition_p50_ms")?, figure("transition_p99_ms")?),
            goal: "p50 <= 1 ms, p99 <= 5 ms",
        },
        Row {
            what: format!("durable transitions per second, {store}"),
            measured: format!("{:.0}", figure("transitions_per_s")?),
            goal: ">= 20,000",
        },
        Row {
            what: format!("whole no-op executions (3 stages) per second, {store}"),
            measured: format!("{:.0}", figure("executions_per_s")?),
            goal: ">= 2,000",
        },
    ])
}

fn whole_run(root: &Path, release: &Path, scratch: &Path) -> Result<Row, String> {
    shell::say("`towpath run` of a three-stage no-op pipeline, whole process");
    let mut took = Vec::new();
    for n in 0..21 {
        let begun = Instant::now();
        let done = shell::succeeds(
            Command::new(release.join("towpath"))
                .arg("run")
                .arg(root.join("examples/rehearsal"))
                .arg("--data-dir")
                .arg(scratch.join("run")),
        );
        if !done {
            return Err("`towpath run examples/rehearsal` failed".to_owned());
        }
        // The first one makes the data directory.
        if n > 0 {
            took.push(begun.elapsed());
        }
    }
    let (median, worst) = spread(took);
    Ok(Row {
        what: "`towpath run`, 3 stages, whole process".to_owned(),
        measured: format!("median {median:.0} ms, worst {worst:.0} ms"),
        goal: "<= 50 ms",
    })
}

fn serve(release: &Path, scratch: &Path) -> Result<Vec<Row>, String> {
    shell::say("`towpath serve`: start to ready, and memory at rest");
    let mut took = Vec::new();
    let mut resident = 0;
    for n in 0..11 {
        let begun = Instant::now();
        let mut server = Command::new(release.join("towpath"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(scratch.join("serve"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("the server cannot be started: {e}"))?;
        let mut ready = String::new();
        if let Some(stdout) = server.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut ready);
        }
        if n > 0 {
            took.push(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(200));
        resident = resident_kib(server.id());
        let _ = server.kill();
        let _ = server.wait();
        if !ready.starts_with("towpath: ready at ") {
            return Err("the server did not become ready".to_owned());
        }
    }
    let (median, worst) = spread(took);
    Ok(vec![
        Row {
            what: "start to ready".to_owned(),
            measured: format!("median {median:.0} ms, worst {worst:.0} ms"),
            goal: "<= 25 ms",
        },
        Row {
            what: "idle resident memory".to_owned(),
            measured: format!("{}.{} MB", resident / 1024, resident % 1024 * 10 / 1024),
            goal: "<= 25 MB",
        },
    ])
}

fn resident_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn clone_to_first(root: &Path, scratch: &Path) -> Result<Row, String> {
    shell::say("a clean clone to its first Succeeded pipeline; this takes minutes");
    let clone = scratch.join("clone");
    let begun = Instant::now();
    shell::must(Command::new("git").args(["clone", "--quiet"]).arg(root).arg(&clone), "the checkout cannot be cloned")?;
    shell::must(
        Command::new("cargo")
            .args(["run", "--quiet", "--", "run", "examples/static-site", "--approve", "all"])
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(&clone),
        "the example does not succeed in a clean clone",
    )?;
    let seconds = begun.elapsed().as_secs();
    Ok(Row {
        what: "clone to first Succeeded (crates downloaded before)".to_owned(),
        measured: format!("{} min {} s", seconds / 60, seconds % 60),
        goal: "<= 8 min",
    })
}

/// Median and worst, in milliseconds.
fn spread(mut took: Vec<Duration>) -> (f64, f64) {
    took.sort();
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    (ms(took[took.len() / 2]), ms(took[took.len() - 1]))
}

fn print(rows: &[Row]) {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    println!("Measured on {cores} cores, release build.\n");
    println!("{:<52} {:<32} Goal", "What", "Measured");
    for row in rows {
        println!("{:<52} {:<32} {}", row.what, row.measured, row.goal);
    }
}
