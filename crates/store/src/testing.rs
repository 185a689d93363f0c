//! A real PostgreSQL for tests: one server for all test processes of a machine's user, started by the first that asks and
//! stopped a few seconds after the last has ended; and an empty schema for whoever wants one. Needs the server's programs
//! on this machine and nothing else; as root it runs the server as the user `postgres`, because PostgreSQL refuses root.
//!
//! Never part of the product: only compiled for tests, this crate's and, by the feature `testing`, those of others.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Config, NoTls};

/// Beside the socket's directory, PostgreSQL wants a port for the socket's name.
const PORT: u16 = 5432;
const USER: &str = "towpath";

/// The server and this process's share in it.
struct Server {
    sockets: PathBuf,
    /// Held for the life of the process: while anybody holds it, the server stays.
    _users: File,
}

/// Set where tests that find no PostgreSQL must fail instead of being skipped.
const REQUIRED: &str = "TOWPATH_TEST_POSTGRESQL_REQUIRED";

/// A URL of an empty schema on the test server, or None, said once on stderr, where no PostgreSQL is installed.
///
/// # Panics
/// If one is installed and cannot be started, or does not do what it is told.
pub async fn postgres_url() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static SCHEMAS: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(|| {
        let server = programs().map(|programs| start(&programs).expect("PostgreSQL for the tests starts"));
        if server.is_none() {
            skipped();
        }
        server
    });
    let sockets = &server.as_ref()?.sockets;
    let schema = format!("t_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed));
    let mut config = Config::new();
    config.host_path(sockets).port(PORT).user(USER).dbname("postgres");
    let (client, connection) = config.connect(NoTls).await.expect("the test server answers");
    let running = tokio::spawn(connection);
    // A process of the same number may have been here before.
    let create = format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}");
    client.batch_execute(&create).await.expect("a schema is made");
    drop(client);
    running.await.expect("the connection does not panic").expect("the connection ends well");
    let host = sockets.display().to_string().replace('/', "%2F");
    Some(format!("postgresql:///postgres?host={host}&port={PORT}&user={USER}&options=-csearch_path%3D{schema}"))
}

#[expect(clippy::print_stderr, reason = "a test that proves nothing says so")]
fn skipped() {
    // CI must not be green for want of a server.
    assert!(
        std::env::var_os(REQUIRED).is_none(),
        "{REQUIRED} is set and no PostgreSQL is installed; install `postgresql`"
    );
    eprintln!(
        "SKIPPED: no PostgreSQL is installed here (neither `initdb` on the PATH, nor `pg_config`, nor \
         /usr/lib/postgresql/*/bin); install the package `postgresql` to run this test"
    );
}

/// The directory of PostgreSQL's server programs.
fn programs() -> Option<PathBuf> {
    let has_server = |directory: &PathBuf| directory.join("initdb").is_file() && directory.join("pg_ctl").is_file();
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    if let Some(found) = on_path.into_iter().find(has_server) {
        return Some(found);
    }
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(has_server)
        .collect();
    installed.sort();
    let configured = || {
        let output = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim())).filter(has_server)
    };
    installed.pop().or_else(configured)
}

/// Who runs the server: None for whoever runs the tests.
struct RunAs(Option<(u32, u32)>);

impl RunAs {
    fn find() -> Result<Self, String> {
        // The owner of what we make is who we are.
        if fs::metadata("/proc/self").map_or(1, |found| found.uid()) != 0 {
            return Ok(Self(None));
        }
        let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("read /etc/passwd: {error}"))?;
        let fields =
            users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == "postgres");
        let number = |index: usize| fields.as_ref()?.get(index)?.parse().ok();
        match (number(2), number(3)) {
            (Some(user), Some(group)) => Ok(Self(Some((user, group)))),
            _ => Err("PostgreSQL refuses to run as root, and there is no user `postgres` to run it as".to_owned()),
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn make_directory(&self, path: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("make {}: {error}", path.display());
        fs::DirBuilder::new().mode(0o755).create(path).map_err(failed)?;
        match self.0 {
            Some((user, group)) => chown(path, Some(user), Some(group)).map_err(failed),
            None => Ok(()),
        }
    }
}

fn lock_file(path: &Path) -> Result<File, String> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| format!("open {}: {error}", path.display()))
}

/// Joins the running server or starts it.
fn start(programs: &Path) -> Result<Server, String> {
    let run_as = RunAs::find()?;
    let user = fs::metadata("/proc/self").map_or(0, |found| found.uid());
    let base = std::env::temp_dir().join(format!("towpath-test-postgres-{user}"));
    let said = |error: std::io::Error| format!("lock {}: {error}", base.display());
    fs::create_dir_all(&base).map_err(|error| format!("make {}: {error}", base.display()))?;
    let starting = lock_file(&base.join("starting"))?;
    starting.lock().map_err(said)?;
    // From here on nobody stops the server; who was stopping it has finished.
    let users = lock_file(&base.join("users"))?;
    users.lock_shared().map_err(said)?;
    let server = base.join("server");
    if UnixStream::connect(server.join(format!(".s.PGSQL.{PORT}"))).is_err() {
        start_new(programs, &run_as, &base, &server)?;
    }
    Ok(Server { sockets: server, _users: users })
}

fn start_new(programs: &Path, run_as: &RunAs, base: &Path, server: &Path) -> Result<(), String> {
    let data = server.join("data");
    let pg_ctl = programs.join("pg_ctl");
    if server.exists() {
        // Left by a machine that went down. There may be nothing to stop.
        let _ = run_as.command(&pg_ctl).arg("-D").arg(&data).args(["-m", "immediate", "stop"]).status();
        fs::remove_dir_all(server).map_err(|error| format!("remove {}: {error}", server.display()))?;
    }
    run_as.make_directory(server)?;
    let log = server.join("log");
    let run = |command: &mut Command, what: &str| {
        let status = command.status().map_err(|error| format!("run {what}: {error}"))?;
        let log = || fs::read_to_string(&log).unwrap_or_default();
        if status.success() { Ok(()) } else { Err(format!("{what} failed with {status}: {}", log())) }
    };
    run(
        run_as.command(&programs.join("initdb")).arg("-D").arg(&data).args([
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]),
        "initdb",
    )?;
    // Nothing here has to survive the machine, so nothing waits for the disk.
    let options = format!(
        "-k {} -p {PORT} -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=400 \
         -c shared_buffers=64MB -c autovacuum=off",
        server.display()
    );
    run(
        run_as.command(&pg_ctl).arg("-D").arg(&data).arg("-l").arg(&log).args(["-w", "-o", &options, "start"]),
        "pg_ctl start",
    )?;
    keep(run_as, &pg_ctl, base)
}

/// A process of its own that stops the server and removes its files once no test process is left.
fn keep(run_as: &RunAs, pg_ctl: &Path, base: &Path) -> Result<(), String> {
    let stop_as = match run_as.0 {
        Some((user, group)) => format!("setpriv --reuid {user} --regid {group} --clear-groups"),
        None => String::new(),
    };
    let stop = format!(
        "{stop_as} '{}' -D '{base}/server/data' -m immediate stop; rm -rf '{base}/server'",
        pg_ctl.display(),
        base = base.display()
    );
    Command::new("sh")
        .args(["-c", "while sleep 3; do flock -n -x \"$1\" sh -c \"$2\" && exit; done", "sh"])
        .arg(base.join("users"))
        .arg(stop)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(|_| ())
        .map_err(|error| format!("start what stops the server: {error}"))
}
