//! Finding a container engine that speaks the Docker API: Docker, or Podman's service. Must not start containers.

use std::env;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, Docker};

/// Answers on loopback or a local socket come at once.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Making a container can take a while on a slow disk.
const REQUEST_TIMEOUT_SECONDS: u64 = 120;

pub(crate) const HOW_TO_GET_ONE: &str = "install Docker or Podman and start it (`systemctl start docker`, or `systemctl --user start podman.socket`), \
     or set DOCKER_HOST to the address of an engine";

/// Where an engine may listen, best first: what the request says, or what the environment says, or the usual places.
pub(crate) fn candidates(wanted: Option<&str>) -> Vec<String> {
    if let Some(wanted) = wanted {
        return vec![wanted.to_owned()];
    }
    if let Some(host) =
        ["DOCKER_HOST", "CONTAINER_HOST"].iter().find_map(|name| env::var(name).ok().filter(|host| !host.is_empty()))
    {
        return vec![host];
    }
    let mut sockets = vec!["/var/run/docker.sock".to_owned()];
    if let Ok(runtime) = env::var("XDG_RUNTIME_DIR") {
        sockets.extend([format!("{runtime}/docker.sock"), format!("{runtime}/podman/podman.sock")]);
    }
    sockets.push("/run/podman/podman.sock".to_owned());
    if let Ok(home) = env::var("HOME") {
        sockets.extend([format!("{home}/.docker/run/docker.sock"), format!("{home}/.colima/default/docker.sock")]);
    }
    sockets.into_iter().map(|path| format!("unix://{path}")).collect()
}

/// The first engine that answers, or why none does.
pub(crate) fn find(wanted: Option<&str>) -> Result<String, String> {
    let mut reasons = Vec::new();
    for host in candidates(wanted) {
        match ping(&host) {
            Ok(()) => return Ok(host),
            Err(reason) => reasons.push(format!("{host}: {reason}")),
        }
    }
    Err(format!("no container engine answers ({}); {HOW_TO_GET_ONE}", reasons.join("; ")))
}

fn ping(host: &str) -> Result<(), String> {
    if let Some(path) = host.strip_prefix("unix://") {
        if !Path::new(path).exists() {
            return Err("no such socket".to_owned());
        }
        let stream = UnixStream::connect(path).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PING_TIMEOUT)).map_err(|error| error.to_string())?;
        return answer(stream);
    }
    let Some(address) = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://")) else {
        return Err("only unix:// and tcp:// addresses are supported".to_owned());
    };
    let mut addresses = address.trim_end_matches('/').to_socket_addrs().map_err(|error| error.to_string())?;
    let address = addresses.next().ok_or("the name has no address")?;
    let stream = TcpStream::connect_timeout(&address, PING_TIMEOUT).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PING_TIMEOUT)).map_err(|error| error.to_string())?;
    answer(stream)
}

fn answer(mut stream: impl Read + Write) -> Result<(), String> {
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").map_err(|error| error.to_string())?;
    let mut start = [0u8; 12];
    stream.read_exact(&mut start).map_err(|error| error.to_string())?;
    let start = String::from_utf8_lossy(&start);
    if start.ends_with(" 200") { Ok(()) } else { Err(format!("does not speak the Docker API ({start})")) }
}

pub(crate) fn connect(host: &str) -> Result<Docker, bollard::errors::Error> {
    if host.starts_with("unix://") {
        Docker::connect_with_unix(host, REQUEST_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
    } else {
        Docker::connect_with_http(host, REQUEST_TIMEOUT_SECONDS, API_DEFAULT_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_it_looked_and_how_to_get_one() {
        let reason = find(Some("unix:///nowhere/engine.sock")).unwrap_err();
        assert!(
            reason.starts_with(
                "no container engine answers (unix:///nowhere/engine.sock: no such socket); install Docker or Podman"
            ),
            "{reason}"
        );
        assert!(find(Some("ssh://host")).unwrap_err().contains("only unix:// and tcp:// addresses are supported"));
    }

    #[test]
    fn a_server_that_is_no_engine_is_not_taken_for_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let host = format!("tcp://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0u8; 10];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap();
        });
        let reason = find(Some(&host)).unwrap_err();
        server.join().unwrap();
        assert!(reason.contains("does not speak the Docker API (HTTP/1.0 404)"), "{reason}");
    }
}
