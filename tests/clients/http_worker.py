"""`towpath worker http` with the shipped descriptions of partners' services, driven through the shipped binary: every partner's
action in a pipeline, the ways it fails, a worker that hands its run on, an action that is abandoned. Run by the Rust tests of the
`towpath` command, one scenario at a time.

`Partners` plays the services, as far as the descriptions know them; nobody of them has seen this.
"""

import base64
import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import urllib.parse
import zipfile
from io import BytesIO

import yaml

from harness import Pipelines, Server, action, bucket, client, equal, holds, main, matches, pipeline, rehearsal, role
from harness import s3_source, source, stage, wait

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples/partners"
CLIENT = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
TOKEN = "a-token-of-their-own"
SECRET = "hush-hush-hush"
HOSTS = ("api.runscope.com", "a.blazemeter.com", "api.ghostinspector.com", "divecloud.nouvola.com",
         "loadrunner-cloud.saas.microfocus.com", "api.snyk.io")
NAMES = ("Runscope", "BlazeMeter", "GhostInspector", "Nouvola", "StormRunnerLoad", "Snyk")
CONFIG = "[rehearsal]\nenabled = true\n" + "".join(
    f'\n[third-party.{name}]\nclient-id = "{CLIENT}"\nclient-token = "{TOKEN}"\n' for name in NAMES)
FETCH = stage("Source", rehearsal("Fetch", "Source"))


class Partners:
    """All the services behind one address, told apart by their paths. `looks` is how often a run is still running."""

    def __init__(self, good=True, looks=1):
        self.good, self.looks, self.asked, self.faults = good, looks, [], []
        self.seen, self.logins, self.ended = {}, 0, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, answer = outer._answer(self, body)
                told = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, request, body):
        address = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
        sent = json.loads(body) if body else None
        self.asked.append((request.command, address.path, query, sent))
        if self.faults:
            return self.faults.pop(0), {"error": f"with {SECRET} in it"}
        for method, path, answer in self.routes():
            matched = re.fullmatch(path, address.path)
            if matched and method == request.command:
                return answer(request.headers, query, sent, *map(urllib.parse.unquote, matched.groups()))
        return 404, {"error": f"nothing at {address.path}"}

    def running(self, run):
        self.seen[run] = self.seen.get(run, 0) + 1
        return self.seen[run] <= self.looks

    def starts(self):
        return [one for one in self.asked if one[0] == "POST" and re.search("trigger|start|execute|/run$|/runs$|/test/", one[1])]

    # The services

    def routes(self):
        return [
            ("POST", "/radar/([^/]+)/trigger", self.runscope_start),
            ("GET", "/buckets/([^/]+)/tests/([^/]+)/results/([^/]+)", self.runscope_result),
            ("POST", "/api/v4/tests/([^/]+)/start", self.blazemeter_start),
            ("GET", "/api/v4/masters/([^/]+)/status", self.blazemeter_status),
            ("POST", "/api/v4/masters/([^/]+)/stop", self.blazemeter_stop),
            ("GET", "/api/v4/masters/([^/]+)", self.blazemeter_master),
            ("POST", "/v1/suites/([^/]+)/execute/", self.ghost_start),
            ("GET", "/v1/suite-results/([^/]+)/", self.ghost_result),
            ("POST", "/api/v1/plans/([^/]+)/run", self.nouvola_start),
            ("GET", "/api/v1/test_instances/([^/]+)", self.nouvola_result),
            ("POST", "/v1/auth-client", self.storm_login),
            ("POST", "/v1/projects/([^/]+)/load-tests/([^/]+)/runs", self.storm_start),
            ("GET", "/v1/test-runs/([^/]+)/status", self.storm_status),
            ("POST", "/v1/test/npm", self.snyk_test),
        ]

    def runscope_start(self, headers, query, sent, trigger):
        if headers["authorization"] != f"Bearer {SECRET}":
            return 401, {"error": {"message": f"{headers['authorization']} is no token"}}
        if trigger == "unknown":
            return 404, {"error": {"message": "no such trigger"}}
        run = {"test_run_id": "run-1", "test_id": "test-1", "bucket_key": "b1"}
        return 201, {"data": {"runs": [run], "runs_started": 1}}

    def runscope_result(self, headers, query, sent, bucket_key, test, run):
        equal((bucket_key, test, run), ("b1", "test-1", "run-1"), "values in the path")
        result = "working" if self.running(run) else "pass" if self.good else "fail"
        return 200, {"data": {"result": result, "assertions_passed": 4, "assertions_failed": 0 if self.good else 2}}

    def blazemeter_start(self, headers, query, sent, test):
        pair = base64.b64encode(f"{SECRET}:{SECRET}".encode()).decode()
        if headers["authorization"] != f"Basic {pair}":
            return 401, {"error": {"message": "no"}}
        return 202, {"result": {"id": 12345678}, "error": None}

    def blazemeter_status(self, headers, query, sent, master):
        if master in self.ended or not self.running(master):
            return 200, {"result": {"status": "ENDED", "progress": 140}}
        return 200, {"result": {"status": "DATA_RECEIVED", "progress": 70}}

    def blazemeter_stop(self, headers, query, sent, master):
        self.ended.append(master)
        return 202, {"result": True}

    def blazemeter_master(self, headers, query, sent, master):
        return 200, {"result": {"reportStatus": "pass" if self.good else "fail", "name": "Quay load", "maxUsers": 20}}

    def ghost_start(self, headers, query, sent, suite):
        equal(sent, {"apiKey": SECRET, "immediate": 1, "startUrl": "https://staging.ferry.example/"}, "what is sent")
        return 200, {"code": "SUCCESS", "data": {"_id": "result-1", "passing": None}}

    def ghost_result(self, headers, query, sent, result):
        if query["apiKey"] != SECRET:
            return 403, {"code": "UNAUTHORIZED"}
        passing = None if self.running(result) else self.good
        return 200, {"code": "SUCCESS", "data": {"passing": passing, "countPassing": 5, "countFailing": 0 if self.good else 1,
                                                 "name": "Checkout"}}

    def nouvola_start(self, headers, query, sent, plan):
        return (200, {"test_id": 5209}) if headers["x-api"] == SECRET else (401, {})

    def nouvola_result(self, headers, query, sent, test):
        if self.running(test):
            return 200, {"status": "Running"}
        return 200, {"status": "Emailed", "outcome": "Pass" if self.good else "Fail"}

    def storm_login(self, headers, query, sent):
        equal((sent, query), ({"client_id": SECRET, "client_secret": SECRET}, {"TENANTID": SECRET}), "the login")
        self.logins += 1
        return 200, {"token": f"session-{self.logins}"}

    def storm_start(self, headers, query, sent, project, test):
        return (200, {"runId": 77}) if headers["authorization"] == f"Bearer session-{self.logins}" else (401, {})

    def storm_status(self, headers, query, sent, run):
        if self.logins == 1:
            return 401, {"message": "the session has ended"}
        if self.running(run):
            return 200, {"status": "in-progress", "detailedStatus": "RUNNING"}
        return 200, {"status": "success" if self.good else "failed", "detailedStatus": "PASSED" if self.good else "FAILED"}

    def snyk_test(self, headers, query, sent):
        if headers["authorization"] != f"token {SECRET}":
            return 401, {}
        equal(base64.b64decode(sent["files"]["target"]["contents"]), b'{"name": "ferry"}', "the file of the artifact")
        equal((sent["encoding"], sent["files"]["additional"]), ("base64", [{"contents": ""}]), "the rest of it")
        return 200, {"ok": self.good, "dependencyCount": 12, "issues": {"vulnerabilities": []}}


# What each action needs, and how it ends: success, failure, the id of the run.
CASES = {
    "Runscope": ("runscope.toml", {"TriggerId": "trigger-1"}, "4 assertions passed",
                 "The run run-1 ended as fail: 2 assertions failed, 4 passed.", "b1/test-1/history/run-1"),
    "BlazeMeter": ("blazemeter.toml", {"TestId": "8412345"}, "Quay load with at most 20 users: pass",
                   "The report of Quay load (12345678) says: fail.", "12345678"),
    "GhostInspector": ("ghost-inspector.toml", {"SuiteId": "suite-1", "StartUrl": "https://staging.ferry.example/"},
                       "Checkout: 5 tests passed", "The suite Checkout failed: 1 tests failed, 5 passed.", "result-1"),
    "Nouvola": ("nouvola.toml", {"PlanId": "4101"}, "The test 5209 ended as Emailed", "The test 5209 ended as Emailed (Fail).", "5209"),
    "StormRunnerLoad": ("stormrunner-load.toml", {"TestId": "41"}, "The run 77 passed", "The run 77 ended as FAILED.", "77"),
    "Snyk": ("snyk.toml", None, "12 dependencies, no known vulnerability", "Snyk found vulnerabilities among 12 dependencies.", None),
}

# The page of that run, where its form is known.
LINKS = {
    "BlazeMeter": "https://a.blazemeter.com/app/#/masters/12345678/summary",
    "GhostInspector": "https://app.ghostinspector.com/suite-results/result-1",
    "Runscope": "https://www.runscope.com/radar/b1/test-1/history/run-1",
    "StormRunnerLoad": "https://loadrunner-cloud.saas.microfocus.com/run-overview/77/dashboard/",
}


def described(partners, file, directory, changes=None):
    """The shipped description, with the doubles in place of the services, and asked for more often."""
    text = (EXAMPLES / file).read_text()
    for host in HOSTS:
        text = text.replace(f"https://{host}/", f"{partners.url}/")
    text = re.sub(r"^every = \d+$", "every = 0.1", text, flags=re.MULTILINE)
    for old, new in (changes or {}).items():
        text = text.replace(old, new)
    path = directory / file
    path.write_text(text)
    return path


class World:
    """A server, the partners, and workers with descriptions that lead to them."""

    def __init__(self, **more):
        self.partners = Partners(**more)

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.server = Server(self.directory.name, CONFIG).start()
        self.partners.__enter__()
        self.runs = Pipelines()
        self.arn = role()
        self.workers = []
        bucket("artifacts")
        source({"package.json": '{"name": "ferry"}'})
        return self

    def __exit__(self, *details):
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
            worker.stderr.close()
        self.server.__exit__(*details)
        self.partners.__exit__(*details)
        self.directory.cleanup()

    def described(self, file, **changes):
        return described(self.partners, file, pathlib.Path(self.directory.name), changes)

    def worker(self, provider, file=None, secret=SECRET, jobs=None, more=()):
        path = file or self.described(CASES[provider][0])
        named = re.findall(r'env = "(\w+)"', path.read_text())
        command = [os.environ["TOWPATH_TEST_BINARY"], "worker", "http", "--service", str(path), "--owner", "ThirdParty",
                   "--category", "Invoke" if provider == "Snyk" else "Test", "--provider", provider, "--poll-every", "0.1", *more]
        command += ["--jobs", str(jobs)] if jobs else []
        clean = {**os.environ, "TOWPATH_CLIENT_TOKEN": TOKEN, **{name: secret for name in named}}
        self.workers.append(subprocess.Popen(command, env=clean, stderr=subprocess.PIPE, text=True))
        return self.workers[-1]

    def start(self, name, provider, configuration=...):
        given = CASES[provider][1] if configuration is ... else configuration
        if provider == "Snyk":
            use = action("Run", "Invoke", provider, given, owner="ThirdParty", inputs=["src"], outputs=["report"])
            first = stage("Source", s3_source())
        else:
            use = action("Run", "Test", provider, given, owner="ThirdParty")
            first = FETCH
        self.runs.api.create_pipeline(pipeline=pipeline(name, self.arn, first, stage("Test", use)))
        return self.runs.first(name)

    def latest(self, name):
        return self.runs.action_latest(name, "Test", "Run")


def partners():
    """Every partner's type is there from the start; its action succeeds with the shipped description, and fails with it."""
    with World() as world:
        for provider, (_, _, summary, message, external_id) in CASES.items():
            world.worker(provider)
            world.partners.good = True
            execution = world.start(provider, provider)
            world.runs.ended(provider, execution, "Succeeded")
            latest = world.latest(provider)
            equal((latest["summary"], latest.get("externalExecutionId")), (summary, external_id), provider)
            equal((latest.get("percentComplete"), latest.get("externalExecutionUrl")), (100, LINKS.get(provider)), f"{provider}'s run")
            equal(len(world.partners.starts()), 1, f"one run of {provider}")
            world.partners.good = False
            again = world.runs.api.start_pipeline_execution(name=provider)["pipelineExecutionId"]
            world.runs.ended(provider, again, "Failed")
            equal(world.latest(provider)["errorDetails"], {"code": "JobFailed", "message": message}, f"{provider} fails")
            world.partners.asked.clear()
            world.partners.seen.clear()
        equal(world.partners.logins, 2, "one login, and another when it had ended")

        # All of them in one pipeline, as examples/partners has it.
        world.partners.good = True
        declared = yaml.safe_load((EXAMPLES / "pipeline.yaml").read_text())
        role(declared["name"])
        bucket(f"{declared['name']}-artifacts")
        source({"package.json": '{"name": "ferry"}'}, name=f"{declared['name']}-source")
        world.runs.api.create_pipeline(pipeline=declared)
        world.runs.ended("partners", world.runs.first("partners"), "Succeeded")

        # What Snyk answered is the output artifact.
        row = next(row for row in world.runs.actions("Snyk", world.runs.first("Snyk")) if row["actionName"] == "Run")
        place = row["output"]["outputArtifacts"][0]["s3location"]
        body = client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
        archive = zipfile.ZipFile(BytesIO(body))
        equal(json.loads(archive.read("result.json"))["dependencyCount"], 12, "the answer")


def as_printed():
    """Every partner's page in docs/providers: its towpath.toml, its commands and its pipeline, and nothing else."""
    pages = {}
    for provider in NAMES:
        category = "invoke" if provider == "Snyk" else "test"
        text = (EXAMPLES.parents[1] / f"docs/providers/{category}-thirdparty-{provider.lower()}.md").read_text()
        pages[provider] = [re.search(f"```{kind}\n(.*?)```", text, re.DOTALL).group(1) for kind in ("toml", "sh", "yaml")]
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(Server(directory, "\n".join(config for config, _, _ in pages.values())))
        services, runs = stack.enter_context(Partners()), Pipelines()
        (directory / "bin").mkdir()
        (directory / "bin/towpath").symlink_to(os.environ["TOWPATH_TEST_BINARY"])
        clean = {**os.environ, "PATH": f"{directory / 'bin'}:{os.environ['PATH']}"}
        for provider, (_, shell, declared) in pages.items():
            described(services, CASES[provider][0], directory)
            # What a reader fills in.
            commands = shell.replace("=...", f"={SECRET}")
            worker = subprocess.Popen(["sh", "-ec", commands], cwd=directory, env=clean, stderr=subprocess.DEVNULL, start_new_session=True)
            stack.callback(worker.wait)
            stack.callback(os.killpg, worker.pid, signal.SIGKILL)
            name = f"tested-with-{provider.lower()}"
            role(name)
            bucket(f"{name}-artifacts")
            source({"package.json": '{"name": "ferry"}'}, name=f"{name}-source")
            runs.api.create_pipeline(pipeline=yaml.safe_load(declared))
        for provider in pages:
            name = f"tested-with-{provider.lower()}"
            runs.ended(name, runs.first(name), "Succeeded")
            result = next(row for row in runs.actions(name, runs.first(name)) if row["actionName"] != "Fetch")["output"]["executionResult"]
            equal(result["externalExecutionSummary"], CASES[provider][2], provider)


def failures():
    """What the service refuses, and what is missing, each as a failure of its own; no secret is shown."""
    with World() as world:
        world.worker("Runscope")

        def fails(name, configuration, code, message):
            world.runs.ended(name, world.start(name, "Runscope", configuration), "Failed")
            error = world.latest(name)["errorDetails"]
            equal(error["code"], code, f"{name} ({error['message']})")
            matches(error["message"], message)
            holds(SECRET not in error["message"], f"the secret in {error['message']}")

        fails("lacking", None, "ConfigurationError",
              "The action's configuration has no TriggerId, which is needed to start the run at Runscope.")
        fails("unknown", {"TriggerId": "unknown"}, "ConfigurationError", "Cannot start the run at Runscope: HTTP 404: .*no such trigger.*")
        equal(world.partners.starts()[-1][1], "/radar/unknown/trigger", "asked once")
        world.partners.faults = [500]
        fails("broken", {"TriggerId": "t"}, "SystemUnavailable", "Cannot start the run at Runscope: HTTP 500: .*with .{3} in it.*")
        equal(len([one for one in world.partners.starts() if one[1] == "/radar/t/trigger"]), 1, "it may have been started")

        # Busy when it is started, gone for a while when it is asked for: nobody notices.
        world.partners.faults = [503, 429]
        world.runs.ended("patient", world.start("patient", "Runscope", {"TriggerId": "p"}), "Succeeded")
        equal(len([one for one in world.partners.starts() if one[1] == "/radar/p/trigger"]), 3, "refused for now, asked again")
        world.workers[0].terminate()
        world.workers[0].wait(timeout=30)
        world.worker("Runscope", secret="another-secret")
        fails("stranger", {"TriggerId": "t"}, "PermissionError", "Cannot start the run at Runscope: HTTP 401: .*Bearer .{3} is no token.*")


def goes_on():
    """A worker ends in mid-run: the next one finds the run, and starts no second one."""
    with World(looks=1_000_000) as world:
        first = world.worker("BlazeMeter", more=("--report-every", "0.2"))
        execution = world.start("p", "BlazeMeter")
        wait("progress", lambda: world.latest("p").get("percentComplete") == 70)
        equal(world.latest("p")["summary"], "BlazeMeter says DATA_RECEIVED", "what is said meanwhile")
        first.terminate()
        equal(first.wait(timeout=30), 0, "it ends by itself")
        asked = len(world.partners.asked)
        second = world.worker("BlazeMeter")
        wait("the second worker to go on with it", lambda: len(world.partners.asked) > asked + 2)
        second.terminate()
        equal(second.wait(timeout=30), 0, "and hands it on")
        equal(world.runs.status("p", execution), "InProgress", "nobody has ended it")
        world.partners.looks = 0
        world.worker("BlazeMeter")
        world.runs.ended("p", execution, "Succeeded")
        equal(len(world.partners.starts()), 1, "one run")


def abandoned():
    """An action that is abandoned has its run stopped."""
    with World(looks=1_000_000) as world:
        world.worker("BlazeMeter")
        execution = world.start("p", "BlazeMeter")
        wait("the run", lambda: world.latest("p").get("externalExecutionId") == "12345678")
        wait("questions for it", lambda: world.partners.seen.get("12345678"))
        world.runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, abandon=True)
        world.runs.ended("p", execution, "Stopped")
        wait("the run to be stopped", lambda: world.partners.ended == ["12345678"])


def own_service():
    """A service of one's own, behind a custom type: variables, files of the output artifact, and a form."""
    with World() as world:
        api = client("codepipeline")
        api.create_custom_action_type(
            category="Test", provider="Lab", version="1",
            configurationProperties=[{"name": "Plan", "required": True, "key": True, "secret": False, "type": "String"}],
            inputArtifactDetails={"minimumCount": 0, "maximumCount": 0}, outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})
        path = pathlib.Path(world.directory.name) / "lab.toml"
        (pathlib.Path(world.directory.name) / "key.txt").write_text(SECRET + "\n")
        path.write_text(f'''
name = "Lab"
external-id = "${{start.test}}"
[secrets]
key = {{ file = "key.txt" }}
[start]
method = "POST"
url = "{world.partners.url}/api/v1/plans/${{config.Plan}}/run"
headers = {{ X-Api = "${{secret.key}}" }}
json = {{ by = "${{job.pipeline}}/${{job.stage}}/${{job.action}}" }}
read = {{ test = "/test_id" }}
[poll]
url = "{world.partners.url}/api/v1/test_instances/${{start.test}}"
read = {{ status = "/status", outcome = "/outcome", all = "" }}
[wait]
status = "${{poll.status}}"
running = ["Running"]
every = 0.1
[result]
status = "${{poll.outcome}}"
succeeded = ["Pass"]
[output]
"reports/test.json" = "${{poll.all}}"
"plan.txt" = "${{config.Plan}}"
[variables]
Test = "${{start.test}}"
''')
        command = [os.environ["TOWPATH_TEST_BINARY"], "worker", "http", "--service", str(path), "--category", "Test", "--provider", "Lab",
                   "--poll-every", "0.1"]
        world.workers.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        use = action("Try", "Test", "Lab", {"Plan": "a/b"}, owner="Custom", outputs=["report"], namespace="Lab")
        show = rehearsal("Show", inputs=["report"], Message="#{Lab.Test}")
        world.runs.api.create_pipeline(pipeline=pipeline("p", world.arn, FETCH, stage("Test", use), stage("Show", show),
                                                         pipelineType="V2"))
        execution = world.runs.first("p")
        world.runs.ended("p", execution, "Succeeded")
        rows = {row["actionName"]: row for row in world.runs.actions("p", execution)}
        equal(rows["Show"]["output"]["executionResult"]["externalExecutionSummary"], "5209", "the variable")
        equal(world.partners.starts()[0][1:], ("/api/v1/plans/a%2Fb/run", {}, {"by": "p/Test/Try"}), "what was sent")
        place = rows["Try"]["output"]["outputArtifacts"][0]["s3location"]
        archive = zipfile.ZipFile(BytesIO(client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()))
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        equal(names, ["plan.txt", "reports/test.json"], "its files")
        equal(json.loads(archive.read("reports/test.json")), {"status": "Emailed", "outcome": "Pass"}, "the answer")


def descriptions():
    """A description that is not good, and a secret that is not there, are told before any job is taken."""
    with World() as world:
        def told(path, **secrets):
            command = [os.environ["TOWPATH_TEST_BINARY"], "worker", "http", "--service", str(path), "--owner", "ThirdParty",
                       "--category", "Test", "--provider", "Runscope", "--client-token", TOKEN]
            done = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, timeout=60)
            equal((done.returncode, done.stdout), (2, ""), f"how it ends ({done.stderr})")
            return done.stderr

        good = world.described("runscope.toml")
        matches(told(good), "(?s).*the secret token of Runscope: the environment variable RUNSCOPE_TOKEN is not set.*")
        matches(told(good.with_name("none.toml")), "(?s).*none.toml: No such file.*")
        for old, new, why in (
                ("/data/result\"", "data.result\"", r"read\.result is `data\.result`; a JSON pointer begins with `/`"),
                ("name = \"Runscope\"", "nome = \"Runscope\"", "nome"),
                ("${config.TriggerId}", "${konfig.TriggerId}", r"`\$\{konfig\.TriggerId\}` is no value")):
            bad = world.described("runscope.toml", **{old: new})
            matches(told(bad, RUNSCOPE_TOKEN=SECRET), f"(?s).*{why}.*")


if __name__ == "__main__":
    main([partners, as_printed, failures, goes_on, abandoned, own_service, descriptions])
