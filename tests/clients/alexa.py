"""Alexa skills, driven through the shipped binary, against a scripted endpoint that stands for Login with Amazon and the Skill
Management API: nobody here has an Alexa skill. It answers what their public documentation says. Run by the Rust tests of the
`towpath` command, one scenario at a time.
"""

import contextlib
import http.server
import io
import json
import tempfile
import threading
import urllib.parse
import zipfile

from harness import Pipelines, Server, action, bucket, equal, holds, main, matches, pipeline, role, s3_source, source, stage, wait

REALM = """\
[realm.alexa]
url = "{url}"
access-key-id = "unused"
secret-access-key = "unused"
assume-roles = false
providers = ["AlexaSkillsKit"]
"""
SKILL, SECRET, TOKEN = "amzn1.ask.skill.ferry", "hush-of-the-profile", "Atza|hush"


class Alexa:
    """One developer, one skill. An import goes one status further each time it is looked at."""

    def __init__(self):
        self.tokens, self.uploads, self.imports, self.calls = 0, [], [], []
        self.statuses = ["IN_PROGRESS", "SUCCEEDED"]
        self.errors, self.conflicts, self.refuses = [], 0, None

    def __enter__(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, answer = owner.answer(self.command, self.path, self.headers, body)
                text = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = any

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def answer(self, method, path, headers, body):
        self.calls.append((method, path))
        if (method, path) == ("POST", "/auth/o2/token"):
            form = dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True))
            if self.refuses or form.get("client_secret") != SECRET or form.get("grant_type") != "refresh_token":
                return 400, {}, {"error": self.refuses or "invalid_client", "error_description": "Client authentication failed"}
            self.tokens += 1
            return 200, {}, {"access_token": TOKEN, "token_type": "bearer", "expires_in": 3600, "refresh_token": "r"}
        if method == "PUT" and path == "/package?X-Amz-Signature=a%2Fb":
            self.uploads.append(body)
            return 200, {}, None
        if headers.get("Authorization") != TOKEN:
            return 401, {}, {"message": "Token is invalid/expired"}
        if (method, path) == ("POST", "/v1/skills/uploads"):
            return 201, {}, {"uploadUrl": f"{self.url}/package?X-Amz-Signature=a%2Fb", "expiresAt": "later"}
        if method == "POST" and path == f"/v1/skills/{SKILL}/imports":
            if self.conflicts:
                self.conflicts -= 1
                return 409, {}, {"message": "The skill is being changed."}
            self.imports.append(list(self.statuses))
            return 202, {"Location": f"/v1/skills/imports/import-{len(self.imports)}"}, None
        if method == "GET" and path.startswith("/v1/skills/imports/import-"):
            states = self.imports[int(path.rsplit("-", 1)[1]) - 1]
            status = states.pop(0) if len(states) > 1 else states[0]
            return 200, {}, {"status": status, "errors": self.errors, "skill": {"skillId": SKILL, "resources": []}}
        return 404, {}, {"message": f"There is no {method} {path}"}


@contextlib.contextmanager
def standing():
    with Alexa() as alexa, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=alexa.url)) as server:
        bucket("artifacts")
        source({"skill.json": '{"manifest": {}}', "interactionModel/custom/en-US.json": "{}", "lambda/index.js": "code"})
        yield alexa, server, Pipelines()


def declared(arn, **keys):
    keys = {"ClientId": "amzn1.application-oa2-client.ferry", "ClientSecret": SECRET, "RefreshToken": "Atzr|hush", "SkillId": SKILL, **keys}
    deploy = action("Voice", "Deploy", "AlexaSkillsKit", keys, owner="ThirdParty", inputs=["src"])
    return pipeline("p", arn, stage("Source", s3_source()), stage("Deploy", deploy))


def error_of(runs, execution):
    row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Voice")
    return row["output"]["executionResult"]["errorDetails"]


def a_skill():
    """A package that is imported, through a skill that is busy and a server that is killed; secrets are masked."""
    with standing() as (alexa, server, runs):
        alexa.conflicts, alexa.statuses = 1, ["IN_PROGRESS"]
        told = runs.api.create_pipeline(pipeline=declared(role()))["pipeline"]["stages"][1]["actions"][0]["configuration"]
        equal((told["ClientSecret"], told["RefreshToken"], told["SkillId"]), ("****", "****", SKILL), "what is shown")
        execution = runs.first("p")
        wait("the import", lambda: "IN_PROGRESS" in runs.action_latest("p", "Deploy", "Voice").get("summary", ""))
        server.kill()
        alexa.imports[0][:] = ["SUCCEEDED"]
        server.start()
        runs = Pipelines()
        runs.ended("p", execution, "Succeeded")
        equal(len(alexa.imports), 1, "imports")
        held = zipfile.ZipFile(io.BytesIO(alexa.uploads[-1]))
        equal(sorted(held.namelist()), ["interactionModels/custom/en-US.json", "skill.json"], "the package")
        log = server.told()
        holds(all(secret not in log for secret in (SECRET, TOKEN, "Atzr|hush")), "a secret is in the server's log")


def failures():
    """What Login with Amazon, the skill and the artifact may lack, each in words of its own."""
    with standing() as (alexa, _, runs):
        arn = role()
        alexa.statuses, alexa.errors = ["FAILED"], [{"code": "BAD_MODEL", "message": "There are no intents."}]
        runs.api.create_pipeline(pipeline=declared(arn))
        execution = runs.first("p")
        runs.ended("p", execution, "Failed")
        equal(error_of(runs, execution), {
            "code": "JobFailed", "message": "The import of the skill package is FAILED. BAD_MODEL: There are no intents."}, "why")
        for keys, code, words in [
            ({"SkillId": "gone"}, "ConfigurationError", r".*There is no POST /v1/skills/gone/imports.*"),
            ({"ClientSecret": "wrong"}, "ConfigurationError", r"Login with Amazon does not sign in with .*: invalid_client: Client .*"),
        ]:
            runs.api.update_pipeline(pipeline=declared(arn, **keys))
            execution = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            runs.ended("p", execution, "Failed")
            error = error_of(runs, execution)
            equal(error["code"], code, error["message"])
            matches(error["message"], words, "why")


if __name__ == "__main__":
    main([a_skill, failures])
