"""A test server that answers as Jenkins's own documentation of its remote access API says. It is a script, not Jenkins: no
Jenkins can be had where these tests run. It is strict where Jenkins is: nothing without signing in, no change without the
crumb of the session, no parameters for a project that takes none, no console of a build that has not started.

Sources: https://www.jenkins.io/doc/book/using/remote-access-api/ and /api/ pages of projects, builds and the queue;
https://www.jenkins.io/doc/book/security/csrf-protection/
"""

import base64
import http.server
import io
import json
import re
import secrets
import threading
import urllib.parse
import zipfile

USER, API_TOKEN = "ci", "11d1f5e0a2a2d74dfc1f0a2a2d74dfc11f"


class Project:
    """`parameters` are (name, kind) pairs; None for a project that takes none."""

    def __init__(self, parameters=None):
        self.parameters = parameters
        self.builds = {}


class Build:
    def __init__(self, number, parameters, files):
        self.number = number
        self.parameters = parameters
        self.files = files
        self.console = b""
        self.result = None
        self.aborted = False
        self.archived = {}


class Jenkins:
    def __init__(self, prefix="", crumbs=True):
        self.prefix = prefix
        self.crumbs = crumbs
        self.projects = {}
        self.queue = {}
        self.sessions = {}
        self.refused = []
        self.calls = []
        self.lock = threading.RLock()
        # Builds leave the queue as soon as they are in it, unless a scenario holds them.
        self.hold = False
        self.broken = 0
        self.server = None

    # What a scenario does with it.

    def project(self, name, parameters=None):
        self.projects[name] = Project(parameters)
        return self.projects[name]

    def build(self, name, number=1):
        return self.projects[name].builds.get(number)

    def say(self, name, text, number=1):
        with self.lock:
            self.build(name, number).console += text.encode()

    def finish(self, name, result="SUCCESS", archived=None, number=1):
        with self.lock:
            build = self.build(name, number)
            build.archived = {path: text.encode() for path, text in (archived or {}).items()}
            build.result = result

    def forget_sessions(self):
        """As after a restart of Jenkins."""
        with self.lock:
            self.sessions.clear()

    def release(self):
        with self.lock:
            self.hold = False
            for item in self.queue.values():
                self._start(item)

    def _start(self, item):
        if item["number"] or item["cancelled"]:
            return
        project = self.projects[item["project"]]
        number = len(project.builds) + 1
        project.builds[number] = Build(number, item["parameters"], item["files"])
        item["number"] = number

    def __enter__(self):
        jenkins = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                jenkins._answer(self, "GET")

            def do_POST(self):
                jenkins._answer(self, "POST")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{self.prefix}"
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    # What it answers.

    def _answer(self, request, method):
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        with self.lock:
            status, headers, answer = self._serve(request, method, body)
        if isinstance(answer, (dict, list)):
            headers = {"Content-Type": "application/json;charset=utf-8", **headers}
            answer = json.dumps(answer).encode()
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _refuse(self, status, why):
        self.refused.append((status, why))
        return status, {"Content-Type": "text/html"}, f"<html><body><h2>HTTP ERROR {status} {why}</h2></body></html>".encode()

    def _serve(self, request, method, body):
        url = urllib.parse.urlsplit(request.path)
        path = url.path
        query = dict(urllib.parse.parse_qsl(url.query))
        self.calls.append((method, path))
        if self.broken:
            self.broken -= 1
            return self._refuse(503, "Please wait while Jenkins is getting ready to work")
        if not path.startswith(self.prefix):
            return self._refuse(404, "Not Found")
        path = path[len(self.prefix):]
        want = "Basic " + base64.b64encode(f"{USER}:{API_TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != want:
            return self._refuse(401, "Unauthorized")
        cookies = dict(pair.strip().split("=", 1) for pair in (request.headers.get("Cookie") or "").split(";") if "=" in pair)
        session = cookies.get("JSESSIONID")
        headers = {}
        if session not in self.sessions:
            session = secrets.token_hex(8)
            self.sessions[session] = secrets.token_hex(16)
            headers["Set-Cookie"] = f"JSESSIONID={session}; Path=/; HttpOnly"
        if path == "/crumbIssuer/api/json" and method == "GET":
            if not self.crumbs:
                return self._refuse(404, "Not Found")
            return 200, headers, {"_class": "hudson.security.csrf.DefaultCrumbIssuer", "crumb": self.sessions[session],
                                  "crumbRequestField": "Jenkins-Crumb"}
        if method == "POST" and self.crumbs and request.headers.get("Jenkins-Crumb") != self.sessions[session]:
            return self._refuse(403, "No valid crumb was included in the request")
        status, more, answer = self._route(method, path, query, request.headers, body)
        return status, {**headers, **more}, answer

    def _route(self, method, path, query, headers, body):
        item = re.fullmatch(r"/queue/item/(\d+)/api/json", path)
        if item and method == "GET":
            return self._item(int(item[1]))
        if path == "/queue/cancelItem" and method == "POST":
            item = self.queue.get(int(query["id"]))
            if not item or item["number"]:
                return self._refuse(404, "Not Found")
            item["cancelled"] = True
            return 204, {}, b""
        job = re.match(r"((?:/job/[^/]+)+)(/.*)?$", path)
        name = job and "/".join(urllib.parse.unquote(part) for part in job[1].split("/job/")[1:])
        if not job or name not in self.projects:
            return self._refuse(404, "Not Found")
        return self._project(method, name, job[1], job[2] or "", query, headers, body)

    def _item(self, number):
        item = self.queue.get(number)
        if not item:
            return self._refuse(404, "Not Found")
        answer = {"_class": "hudson.model.Queue$WaitingItem", "id": number, "cancelled": item["cancelled"],
                  "why": "Waiting for next available executor" if not item["number"] else None}
        if item["number"]:
            answer["executable"] = {"_class": "hudson.model.FreeStyleBuild", "number": item["number"]}
        return 200, {}, answer

    def _project(self, method, name, base, rest, query, headers, body):
        project = self.projects[name]
        if rest == "/api/json" and method == "GET":
            rows = [{"_class": "hudson.model.Cause"}]
            if project.parameters is not None:
                rows.append({"parameterDefinitions": [{"name": n, "type": kind} for n, kind in project.parameters]})
            return 200, {}, {"_class": "hudson.model.FreeStyleProject", "property": rows}
        if rest in ("/build", "/buildWithParameters"):
            if method != "POST":
                return self._refuse(405, "Method Not Allowed")
            return self._begin(project, name, rest, headers, body)
        build = re.fullmatch(r"/(\d+)(/.*)", rest)
        build = build and (project.builds.get(int(build[1])), build[2])
        if not build or not build[0]:
            return self._refuse(404, "Not Found")
        build, rest = build
        if rest == "/api/json" and method == "GET":
            return 200, {}, {
                "_class": "hudson.model.FreeStyleBuild", "building": build.result is None, "result": build.result,
                "url": f"{self.url}{base}/{build.number}/", "timestamp": 1_700_000_000_000, "estimatedDuration": 1000,
                "artifacts": [{"relativePath": path} for path in build.archived]}
        if rest == "/logText/progressiveText" and method == "GET":
            start = int(query["start"])
            more = {"X-More-Data": "true"} if build.result is None else {}
            return 200, {"Content-Type": "text/plain;charset=utf-8", "X-Text-Size": str(len(build.console)), **more}, \
                build.console[start:]
        if rest == "/stop" and method == "POST":
            build.aborted = True
            build.result = build.result or "ABORTED"
            return 302, {"Location": f"{self.url}{base}/{build.number}/"}, b""
        artifact = urllib.parse.unquote(rest.removeprefix("/artifact/"))
        if method == "GET" and rest.startswith("/artifact/") and artifact in build.archived:
            return 200, {"Content-Type": "application/octet-stream"}, build.archived[artifact]
        return self._refuse(404, "Not Found")

    def _begin(self, project, name, rest, headers, body):
        if rest == "/build" and project.parameters:
            return self._refuse(400, "Nothing is submitted")
        if rest == "/buildWithParameters" and project.parameters is None:
            return self._refuse(500, f"{name} is not parameterized")
        parameters, files = form(headers.get("Content-Type") or "", body)
        kinds = dict(project.parameters or ())
        undeclared = [key for key in (*parameters, *files) if key not in kinds]
        if undeclared:
            return self._refuse(400, f"undeclared parameters {undeclared}")
        if [key for key in files if "File" not in kinds[key]] or [key for key in parameters if "File" in kinds[key]]:
            return self._refuse(400, "a file parameter takes a file, and nothing else does")
        number = len(self.queue) + 101
        self.queue[number] = {"project": name, "parameters": parameters, "files": files, "number": None, "cancelled": False}
        if not self.hold:
            self._start(self.queue[number])
        return 201, {"Location": f"{self.url}/queue/item/{number}/"}, b""


def form(kind, body):
    """The fields and the files of a form."""
    if kind.startswith("application/x-www-form-urlencoded") or not body:
        return dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)), {}
    boundary = re.fullmatch(r"multipart/form-data; boundary=(\S+)", kind)[1].encode()
    head, *parts, tail = body.split(b"--" + boundary)
    assert (head, tail) == (b"", b"--\r\n"), (head, tail)
    fields, files = {}, {}
    for part in parts:
        top, content = part.split(b"\r\n\r\n", 1)
        name = re.search(rb'name="([^"]*)"', top)[1].decode()
        content = content.removesuffix(b"\r\n")
        if b"filename=" in top:
            files[name] = content
        else:
            fields[name] = content.decode()
    return fields, files


def names_in(zipped):
    return sorted(zipfile.ZipFile(io.BytesIO(zipped)).namelist())
