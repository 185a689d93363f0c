"""Git hosts for scenarios: git's own http-backend behind Basic authentication, a real sshd, and scripted endpoints for
commit statuses.

What speaks git here is git. The status endpoints are scripts: they take what the REST documentation of GitHub, GitLab and
Bitbucket takes, refuse what it refuses, and have never been compared with the hosts themselves.
"""

import base64
import getpass
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse

CLEAN = {
    **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def git(*arguments, directory=None, check=True, env=None, text=None):
    done = subprocess.run(
        ["git", *arguments], cwd=directory, input=text, capture_output=True, timeout=60, env={**CLEAN, **(env or {})}
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip() if check else done


class Repositories:
    """Bare repositories below one directory."""

    def __init__(self, directory):
        self.root = pathlib.Path(directory)
        self.root.mkdir(parents=True, exist_ok=True)

    def make(self, full_id, files, branch="main", message="first"):
        """A repository with one commit; gives its id."""
        bare = self.root / f"{full_id}.git"
        git("init", "--quiet", "--bare", f"--initial-branch={branch}", str(bare))
        return self.commit(full_id, files, branch, message)

    def tag(self, full_id, name, commit):
        git("--git-dir", str(self.root / f"{full_id}.git"), "tag", name, commit)

    def commit(self, full_id, files, branch="main", message="next", submodules=None):
        bare = self.root / f"{full_id}.git"
        work = self.root / f"{full_id.replace('/', '-')}.work"
        shutil.rmtree(work, ignore_errors=True)
        git("clone", "--quiet", str(bare), str(work))
        if git("ls-remote", "--heads", str(bare), branch):
            git("checkout", "--quiet", branch, directory=work)
        else:
            git("checkout", "--quiet", "-B", branch, directory=work)
        for name, text in files.items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name, (url, commit) in (submodules or {}).items():
            git("config", "--file", ".gitmodules", f"submodule.{name}.path", name, directory=work)
            git("config", "--file", ".gitmodules", f"submodule.{name}.url", url, directory=work)
            git("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}", directory=work)
            (work / name).mkdir(exist_ok=True)
        git("add", "--all", directory=work)
        git("commit", "--quiet", "-m", message, directory=work)
        git("push", "--quiet", "origin", branch, directory=work)
        return git("rev-parse", "HEAD", directory=work)

    def has(self, full_id, commit):
        bare = self.root / f"{full_id}.git"
        return bare.exists() and git("--git-dir", str(bare), "cat-file", "-e", commit, check=False).returncode == 0


class GitHost:
    """git http-backend behind tokens, with a status endpoint as GitHub, GitLab and Bitbucket have it."""

    def __init__(self, directory, tokens):
        self.repositories = Repositories(directory)
        self.tokens = set(tokens)
        # What was written: (host, repository, commit, state, context, target_url).
        self.statuses = []
        # Answers that are given before a status is looked at: trouble that passes.
        self.trouble = []
        # Tokens that may read, and write no status.
        self.readers = set()
        # Answers to git, given before anything is looked at.
        self.broken = []
        # What was asked for, and each password that was offered.
        self.requests = []
        self.passwords = []
        # Requests about statuses wait for it.
        self.open = threading.Event()
        self.open.set()
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.handled(b"")

            def do_POST(self):
                self.handled(self.sent())

            def sent(self):
                if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = b""
                while size := int(self.rfile.readline().strip(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def answer(self, status, body=b"", headers=()):
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handled(self, body):
                path, _, query = self.path.partition("?")
                host.requests.append((self.command, path))
                host.passwords.append(host.password(self.headers))
                if path.startswith(("/api/", "/2.0/")):
                    host.open.wait(120)
                    if host.trouble:
                        return self.answer(*host.trouble.pop(0))
                    return self.answer(*host.status(path, self.headers, body))
                if host.broken:
                    return self.answer(*host.broken.pop(0))
                if host.password(self.headers) not in host.tokens:
                    return self.answer(401, b"", [("WWW-Authenticate", 'Basic realm="host"')])
                self.backend(path, query, body)

            def backend(self, path, query, body):
                env = {
                    **CLEAN,
                    "GIT_PROJECT_ROOT": str(host.repositories.root),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": urllib.parse.unquote(path),
                    "QUERY_STRING": query,
                    "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "CONTENT_LENGTH": str(len(body)),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "REMOTE_USER": "somebody",
                }
                done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, timeout=60, env=env)
                head, _, rest = done.stdout.partition(b"\r\n\r\n")
                headers = [line.split(": ", 1) for line in head.decode().split("\r\n") if line]
                status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
                self.answer(status, rest, [pair for pair in headers if pair[0] != "Status"])

        self.handler = Handler
        self.port = 0
        self.start()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        """Again at the same address, after an end."""
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self.handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open.set()
        self.end()

    @staticmethod
    def password(headers):
        scheme, _, rest = headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            return rest
        if scheme == "Basic":
            return base64.b64decode(rest).decode().partition(":")[2]
        return headers.get("PRIVATE-TOKEN")

    def status(self, path, headers, body):
        """One commit status, held to the documentation of the host whose path it is."""
        if self.password(headers) not in self.tokens:
            return 401, {"message": "Bad credentials"}
        if self.password(headers) in self.readers:
            return 403, {"message": "Resource not accessible by personal access token"}
        try:
            given = json.loads(body)
        except ValueError:
            return 400, {"message": "Problems parsing JSON"}
        if found := re.fullmatch(r"/api/v3/repos/([^/]+/[^/]+)/statuses/([0-9a-f]{40})", path):
            return self.github(found[1], found[2], given, headers)
        if found := re.fullmatch(r"/api/v4/projects/([^/]+)/statuses/([0-9a-f]{40})", path):
            return self.gitlab(urllib.parse.unquote(found[1]), found[2], given)
        if found := re.fullmatch(r"/2\.0/repositories/([^/]+/[^/]+)/commit/([0-9a-f]{40})/statuses/build", path):
            return self.bitbucket(found[1], found[2], given)
        return 404, {"message": "Not Found"}

    def github(self, repository, commit, given, headers):
        if not headers.get("User-Agent"):
            return 403, {"message": "Request forbidden by administrative rules."}
        if given.get("state") not in ("error", "failure", "pending", "success"):
            return 422, {"message": "Validation Failed"}
        if len(given.get("description") or "") > 140 or not isinstance(given.get("context", ""), str):
            return 422, {"message": "Validation Failed"}
        if not self.repositories.has(repository, commit):
            return 422, {"message": f"No commit found for SHA: {commit}"}
        self.note("GitHub", repository, commit, given["state"], given["context"], given["target_url"])
        return 201, {"state": given["state"]}

    def gitlab(self, repository, commit, given):
        if given.get("state") not in ("pending", "running", "success", "failed", "canceled", "skipped"):
            return 400, {"error": "state does not have a valid value"}
        if not self.repositories.has(repository, commit):
            return 404, {"message": "404 Commit Not Found"}
        name = given.get("name") or given.get("context") or "default"
        before = [row[3] for row in self.statuses if row[1:3] == (repository, commit) and row[4] == name]
        if before and before[-1] == given["state"]:
            return 400, {"message": f"Cannot transition status via :x from :{given['state']}"}
        self.note("GitLab", repository, commit, given["state"], name, given["target_url"])
        return 201, {"status": given["state"]}

    def bitbucket(self, repository, commit, given):
        if given.get("state") not in ("INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"):
            return 400, {"error": {"message": "Bad request"}}
        if not given.get("key") or len(given["key"]) > 40 or not given.get("url"):
            return 400, {"error": {"message": "Bad request"}}
        if not self.repositories.has(repository, commit):
            return 404, {"error": {"message": "Commit not found"}}
        self.note("Bitbucket", repository, commit, given["state"], given["name"], given["url"])
        return 201, {"state": given["state"]}

    def note(self, *row):
        self.statuses.append(row)


class SshHost:
    """sshd as the current user, on a port and with keys of its own."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.repositories = Repositories(self.directory / "git")
        for name in ("host", "client", "stranger"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.directory / name)], check=True
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = self.directory / "sshd_config"
        authorized = self.directory / "authorized"
        shutil.copy(self.directory / "client.pub", authorized)
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.directory}/host\nPidFile none\n"
            f"AuthorizedKeysFile {authorized}\nStrictModes no\nPasswordAuthentication no\nUsePAM no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        )
        if os.geteuid() == 0:
            # Only root's sshd separates privileges, for which it wants this directory.
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if sshd is None:
            raise AssertionError("there is no sshd; install openssh-server (CONTRIBUTING.md)")
        self.command = [sshd, "-D", "-e", "-f", str(config)]
        self.log = open(self.directory / "sshd.log", "ab")
        self.start()
        self.url = f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.repositories.root}"

    def key(self, name="client"):
        return (self.directory / name).read_text()

    def known_hosts(self, name="host"):
        kind, key, *_ = (self.directory / f"{name}.pub").read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"

    def up(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        return self

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=self.log)

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=10)

    def __exit__(self, *_):
        self.end()
        self.log.close()
