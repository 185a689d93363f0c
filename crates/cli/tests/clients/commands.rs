//! `towpath serve` as whoever starts it sees it: what it prints, what it refuses, and how it ends.

use std::net::TcpListener;
use std::process::Output;

use crate::server::{Server, towpath};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code, stdout, stderr.
fn parts(output: &Output) -> (Option<i32>, String, String) {
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_ready_line_is_the_only_line() {
    let server = Server::start();
    assert!(server.url.starts_with("http://127.0.0.1:"), "{}", server.url);
    let credentials =
        std::fs::read_to_string(server.credentials()).expect("the first start writes the root user's key");
    let lines: Vec<&str> = credentials.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines[0], "[default]");
    assert!(lines[1].starts_with("aws_access_key_id"), "{}", lines[1]);
    assert!(lines[2].starts_with("aws_secret_access_key"), "its name only is shown");
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let data = tempfile::tempdir().expect("a directory");
    let output = towpath()
        .args(["serve", "--listen", &address, "--data-dir"])
        .arg(data.path().join("data"))
        .output()
        .expect("towpath runs");
    let (code, out, err) = parts(&output);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.starts_with(&format!("error: cannot listen on {address}: Address already in use")), "{err}");
    assert!(
        err.contains("\n  hint: another program listens there; stop it, or choose another port with --listen"),
        "{err}"
    );
    assert!(!data.path().join("data").exists(), "nothing was made for a server that never was");
}

#[test]
fn a_data_directory_in_use_is_said_and_left_alone() {
    let server = Server::start();
    let output = towpath()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data_dir())
        .output()
        .expect("towpath runs");
    let (code, out, err) = parts(&output);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains(&format!("cannot open the data directory `{}`", server.data_dir().display())), "{err}");
    assert!(err.contains("is in use by process"), "{err}");
    assert!(err.contains("hint: stop the other towpath, or use another --data-dir"), "{err}");
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused_with_a_suggestion() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("towpath.toml");
    std::fs::write(&config, "[rehersal]\nenabled = true\n").expect("the file is written");
    let output = towpath()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("data"))
        .arg("--config")
        .arg(&config)
        .output()
        .expect("towpath runs");
    let (code, out, err) = parts(&output);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains("rehersal") && err.contains("rehearsal") && err.contains("towpath.toml:1:2"), "{err}");
}

#[test]
fn a_directory_that_cannot_be_made_is_said() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "a file").expect("the file is written");
    let output = towpath()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(file.join("data"))
        .output()
        .expect("towpath runs");
    let (code, out, err) = parts(&output);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("cannot open the data directory") && err.contains("Not a directory"), "{err}");
}
