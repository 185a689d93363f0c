//! The API under load, beside moto's server in the same run: 16 connections, every request signed. Towpath verifies the
//! signatures and makes each write durable; moto does neither.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Row;
use crate::{shell, test};

/// Rehearsal actions, so that executions end by themselves, and more pipelines than AWS's quota.
const SETTINGS: &str = "[rehearsal]\nenabled = true\n[quotas]\npipelines-per-region = 1000000\n";
const SECONDS: &str = "5";
const MOTO_START_MAX: Duration = Duration::from_secs(30);

/// A server that ends with the measurement.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn rows(root: &Path, release: &Path, scratch: &Path) -> Result<Vec<Row>, String> {
    shell::say("the API over 16 connections, beside moto");
    let ours = ours(release, scratch)?;
    let moto = moto(root, release)?;
    let row = |what: &str, figure: &str, goal: &'static str| {
        let of = |figures: &serde_json::Value| {
            figures[figure].as_f64().ok_or_else(|| format!("the load has no figure {figure}"))
        };
        let measured = format!("{:.0} (moto {:.0})", of(&ours)?, of(&moto)?);
        Ok(Row { what: what.to_owned(), measured, goal })
    };
    [
        row("API reads per second (GetPipeline)", "reads_per_s", ">= 30,000"),
        row("API small writes per second (TagResource)", "writes_per_s", ">= 15,000"),
        row("API creates per second (each starts an execution)", "creates_per_s", ">= 2,000"),
    ]
    .into_iter()
    .collect()
}

fn ours(release: &Path, scratch: &Path) -> Result<serde_json::Value, String> {
    std::fs::create_dir_all(scratch).map_err(|e| format!("cannot make {}: {e}", scratch.display()))?;
    let settings = scratch.join("towpath.toml");
    std::fs::write(&settings, SETTINGS).map_err(|e| format!("cannot write {}: {e}", settings.display()))?;
    let data = scratch.join("data");
    let mut command = Command::new(release.join("towpath"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(settings).arg("--data-dir").arg(&data);
    let server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut server = Server(server.map_err(|e| format!("the server cannot be started: {e}"))?);
    let mut ready = String::new();
    if let Some(stdout) = server.0.stdout.take() {
        let _ = BufReader::new(stdout).read_line(&mut ready);
    }
    let host = ready.trim().strip_prefix("towpath: ready at http://").ok_or("the server did not become ready")?;
    let keys = std::fs::read_to_string(data.join("credentials")).map_err(|e| format!("no credentials: {e}"))?;
    let key = |name: &str| {
        let line = keys.lines().find_map(|line| line.split_once('=').filter(|(key, _)| key.trim() == name));
        line.map(|(_, value)| value.trim().to_owned()).ok_or_else(|| format!("the credentials have no {name}"))
    };
    load(release, host, &key("aws_access_key_id")?, &key("aws_secret_access_key")?)
}

fn moto(root: &Path, release: &Path) -> Result<serde_json::Value, String> {
    let python = test::python(root)?;
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let host = port.map_err(|e| format!("no port is free: {e}"))?;
    let mut command = Command::new(python);
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &host.port().to_string()]);
    let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _server = Server(server.map_err(|e| format!("moto cannot be started: {e}"))?);
    let latest = Instant::now() + MOTO_START_MAX;
    while std::net::TcpStream::connect(host).is_err() {
        if Instant::now() > latest {
            return Err("moto did not become ready".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    load(release, &host.to_string(), "testing", "testing")
}

fn load(release: &Path, host: &str, access: &str, secret: &str) -> Result<serde_json::Value, String> {
    let output = Command::new(release.join("examples/api_load"))
        .args([host, access, secret, SECONDS])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("the load cannot be started: {e}"))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("the load ended with {} and no figures: {e}", output.status))
}
