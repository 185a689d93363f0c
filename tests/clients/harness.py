"""What every scenario shares: stock clients, the means to wait and to expect, and a server of one's own.

The clients are boto3's own, configured by the environment alone (AWS_ENDPOINT_URL, AWS_SHARED_CREDENTIALS_FILE,
AWS_DEFAULT_REGION), as a user would. Every JSON answer is compared with botocore's model: one that departs from it, by a member, a
type, a limit or an error code, fails the scenario. Nothing here waits a fixed time for something to happen.
"""

import http.client
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import zipfile

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.exceptions
from botocore.config import Config

import record
import shapes

ACCOUNT = "123456789012"
REGION = "us-east-1"
ABSENT_ID = "00000000-0000-4000-8000-000000000000"

# A wait ends as soon as it may; this bound only keeps a broken server from holding the test run.
PATIENCE_SECONDS = 60


# Expecting


def equal(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}:\n  got  {show(got)}\n  want {show(want)}")


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


def matches(got, pattern, what="text"):
    if not isinstance(got, str) or re.fullmatch(pattern, got, re.DOTALL) is None:
        raise AssertionError(f"{what}:\n  got  {got!r}\n  want {pattern}")


def show(value):
    return json.dumps(value, default=str, sort_keys=True)


def refused(code, message, call, /, **arguments):
    """The call fails with exactly this code and message; a compiled pattern is matched. Gives the whole answer."""
    try:
        answer = call(**arguments)
    except botocore.exceptions.ClientError as error:
        got = error.response["Error"]
        equal(got["Code"], code, f"error code ({got.get('Message')})")
        if isinstance(message, re.Pattern):
            holds(message.fullmatch(got["Message"]), f"message {got['Message']!r} is not {message.pattern!r}")
        else:
            equal(got["Message"], message, "error message")
        return error.response
    raise AssertionError(f"expected {code}, got {show(answer)}")


def status_of(response):
    return response["ResponseMetadata"]["HTTPStatusCode"]


def wait(what, look, seconds=PATIENCE_SECONDS):
    """Looks until `look` gives something true, and gives it."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for: {what}")
        time.sleep(0.02)


# Clients

_seen = []


def client(service, **options):
    """A stock client whose answers are held to botocore's model."""
    retries = options.pop("retries", {"max_attempts": 1, "mode": "standard"})
    config = Config(retries=retries, **options.pop("config", {}))
    made = boto3.session.Session().client(service, config=config, **options)
    made.meta.events.register("before-parse.*.*", _compare)
    record.follow(made)
    return made


def _compare(operation_model, response_dict, **_):
    """botocore takes what it gets; we hold it to the model: types, required members, enums, lengths, patterns, error codes."""
    if operation_model.service_model.metadata["protocol"] != "json":
        return
    body = response_dict["body"]
    if response_dict["status_code"] >= 300:
        answer = json.loads(body)
        found = [shapes.wrong_error(operation_model, answer.get("__type"))]
        found += [] if isinstance(answer.get("message", ""), str) else ["the message is no text"]
    else:
        found = shapes.departures(json.loads(body or "{}"), operation_model.output_shape, operation_model.name)
    found = [text for text in found if text]
    if found:
        raise AssertionError(f"not as the model says: {found}")
    holds(response_dict["headers"].get("x-amzn-requestid"), f"an answer of {operation_model.name} without a request id")
    _seen.append(operation_model.name)


class Wire:
    """One connection that stays open, for signed requests no SDK would send."""

    def __init__(self, service="codepipeline", prefix="CodePipeline_20150709"):
        self.endpoint = os.environ["AWS_ENDPOINT_URL"]
        self.host = urllib.parse.urlsplit(self.endpoint).netloc
        self.prefix = prefix
        self.signer = botocore.auth.SigV4Auth(boto3.session.Session().get_credentials(), service, REGION)
        self.connection = http.client.HTTPConnection(self.host, timeout=60)

    def post(self, operation, body, method="POST", **headers):
        """Gives status, headers and body. Headers replace the usual ones; None leaves one out."""
        usual = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{self.prefix}.{operation}"}
        usual.update({name.replace("_", "-"): value for name, value in headers.items()})
        usual = {name: value for name, value in usual.items() if value is not None}
        request = botocore.awsrequest.AWSRequest(method, self.endpoint + "/", data=body, headers=usual)
        self.signer.add_auth(request)
        self.connection.request(method, "/", body=body, headers={**dict(request.headers), "Host": self.host})
        answer = self.connection.getresponse()
        told = answer.read()
        record.raw(usual.get("X-Amz-Target"), answer.status, told)
        return answer.status, answer.headers, told


# What pipelines need


def trust(service="codepipeline.amazonaws.com"):
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
        }
    )


def allow(*actions):
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
    )


EVERYTHING = ("s3:*", "codebuild:*", "logs:*")


def role(name="pipeline", actions=EVERYTHING, service="codepipeline.amazonaws.com"):
    iam = client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(service))["Role"]["Arn"]
    if actions:
        iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=allow(*actions))
    return arn


def zipped(files):
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return body.getvalue()


def bucket(name, versioned=False):
    s3 = client("s3")
    s3.create_bucket(Bucket=name)
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def source(files, name="source", key="app.zip"):
    """A versioned bucket with a zip in it; gives the version."""
    bucket(name, versioned=True)
    return client("s3").put_object(Bucket=name, Key=key, Body=zipped(files))["VersionId"]


def action(name, category, provider, configuration=None, owner="AWS", **more):
    declared = {
        "name": name,
        "actionTypeId": {"category": category, "owner": owner, "provider": provider, "version": "1"},
        "runOrder": more.pop("order", 1),
        "configuration": {key: str(value) for key, value in (configuration or {}).items()},
        "inputArtifacts": [{"name": name} for name in more.pop("inputs", [])],
        "outputArtifacts": [{"name": name} for name in more.pop("outputs", [])],
    }
    if not declared["configuration"]:
        del declared["configuration"]
    return {**declared, **more}


def rehearsal(name, category="Build", outcome="succeed", **more):
    """An action that ends as it is told; Seconds, Message and Variables as keywords."""
    keys = {key: more.pop(key) for key in ("Seconds", "Message") if key in more}
    if "Variables" in more:
        keys["Variables"] = json.dumps(more.pop("Variables"))
    if category == "Source":
        more.setdefault("outputs", ["src"])
    return action(name, category, "Rehearsal", {"Outcome": outcome, **keys}, owner="Custom", **more)


def approval(name="Ok", configuration=None, **more):
    return action(name, "Approval", "Manual", configuration, **more)


def s3_source(name="Fetch", bucket_name="source", key="app.zip", **more):
    keys = {"S3Bucket": bucket_name, "S3ObjectKey": key, "PollForSourceChanges": "false"}
    return action(name, "Source", "S3", keys, outputs=["src"], **more)


def stage(name, *actions):
    return {"name": name, "actions": list(actions)}


def pipeline(name, role_arn, *stages, store="artifacts", **more):
    return {
        "name": name,
        "roleArn": role_arn,
        "artifactStore": {"type": "S3", "location": store},
        "stages": list(stages),
        **more,
    }


class Pipelines:
    """CodePipeline as a scenario uses it."""

    def __init__(self, service=None):
        self.api = service or client("codepipeline")

    def state(self, name, stage_name):
        stages = self.api.get_pipeline_state(name=name)["stageStates"]
        return next(found for found in stages if found["stageName"] == stage_name)

    def action_state(self, name, stage_name, action_name):
        actions = self.state(name, stage_name)["actionStates"]
        return next(found for found in actions if found["actionName"] == action_name)

    def action_latest(self, name, stage_name, action_name):
        return self.action_state(name, stage_name, action_name).get("latestExecution", {})

    def status(self, name, execution):
        got = self.api.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)
        return got["pipelineExecution"]["status"]

    def first(self, name):
        """The execution that CreatePipeline started."""
        rows = self.api.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        return rows[-1]["pipelineExecutionId"]

    def ended(self, name, execution, want=None):
        def look():
            status = self.status(name, execution)
            return status if status not in ("InProgress", "Stopping") else None

        got = wait(f"the end of {name} {execution}", look)
        if want is not None and got != want:
            raise AssertionError(f"{name} {execution} is {got}, not {want}: {show(self.told(name, execution))}")
        return got

    def told(self, name, execution):
        """What each action says of itself; for messages of failed scenarios, and for checks."""
        return [
            (row["stageName"], row["actionName"], row["status"], row["output"].get("executionResult"))
            for row in self.actions(name, execution)
        ]

    def actions(self, name, execution):
        pages = self.api.get_paginator("list_action_executions").paginate(
            pipelineName=name, filter={"pipelineExecutionId": execution}
        )
        return [row for page in pages for row in page["actionExecutionDetails"]]

    def token(self, name, stage_name, action_name="Ok"):
        """The token of the approval, as soon as it is open."""

        def look():
            latest = self.action_latest(name, stage_name, action_name)
            return latest.get("token") if latest.get("status") == "InProgress" else None

        return wait(f"the approval {stage_name}/{action_name}", look)

    def running(self, name, stage_name, action_name):
        """Waits until the action runs."""
        wait(
            f"{stage_name}/{action_name} to run",
            lambda: self.action_latest(name, stage_name, action_name).get("status") == "InProgress",
        )

    def answer(self, name, stage_name, token, status="Approved", summary="", action_name="Ok"):
        return self.api.put_approval_result(
            pipelineName=name,
            stageName=stage_name,
            actionName=action_name,
            result={"status": status, "summary": summary},
            token=token,
        )


# A server of one's own


class Server:
    """The shipped binary, started and ended as a scenario needs it."""

    def __init__(self, directory, config=None, listen="127.0.0.1:0", name="server", more=()):
        self.binary = os.environ["TOWPATH_TEST_BINARY"]
        self.data = pathlib.Path(directory) / "data"
        self.config = None
        if config is not None:
            self.config = pathlib.Path(directory) / "towpath.toml"
            self.config.write_text(config)
        self.listen = listen
        self.more = list(more)
        self.log = open(pathlib.Path(directory) / f"{name}.log", "ab")
        self.process = None
        self.url = None

    def start(self):
        command = [self.binary, "serve", "--listen", self.listen, "--data-dir", str(self.data)]
        if self.config:
            command += ["--config", str(self.config)]
        command += self.more
        # Nobody's own settings reach the server.
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TOWPATH_")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=clean)
        line = self.process.stdout.readline().strip()
        if not line.startswith("towpath: ready at http://"):
            raise AssertionError(f"no ready line but {line!r}, exit {self.process.wait()}:\n{self.told()}")
        self.url = line.removeprefix("towpath: ready at ")
        # Later starts take the same address, as an operator's would.
        self.listen = self.url.removeprefix("http://")
        os.environ["AWS_ENDPOINT_URL"] = self.url
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = str(self.data / "credentials")
        os.environ["AWS_DEFAULT_REGION"] = REGION
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self):
        """SIGTERM; gives the exit code and the seconds it took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        return code, time.monotonic() - begun

    def told(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")[-4000:]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()
        self.log.close()


def main(scenarios):
    """Runs the scenario that the command line names."""
    chosen = {scenario.__name__: scenario for scenario in scenarios}
    if sys.argv[1:] == ["--list"]:
        print("\n".join(chosen))
        return
    if len(sys.argv) != 2 or sys.argv[1] not in chosen:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(chosen)}")
    chosen[sys.argv[1]]()
    print(f"ok: {sys.argv[1]}, {len(_seen)} answers held to the model")
