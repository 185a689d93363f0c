"""Lambda actions on the embedded Lambda: whole pipelines whose functions, in Python with boto3 (functions.py) and in Node.js
with the AWS SDK (tests/node/functions.mjs), were made by boto3 from zips and run as processes of the shipped binary. They sign
with their execution roles' own credentials and are told nowhere that this is not AWS.
"""

import io
import json
import os
import pathlib
import re
import subprocess
import tempfile
import zipfile

from harness import ACCOUNT, Pipelines, Server, action, bucket, client, equal, holds, main, matches, pipeline
from harness import rehearsal, role, s3_source, source, stage, wait
from lambda_functions import LOGS, PYTHON, log_of, made, packed, server
from rules import gated, rule

HERE = pathlib.Path(__file__).parent
NODE_MODULES = HERE.parent / "node" / "node_modules"
FETCH = stage("Source", rehearsal("Fetch", "Source"))
PIPELINE = ("s3:*", "logs:*", "lambda:InvokeFunction")
ANSWER = ("codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult")
CONFIG = "[rehearsal]\nenabled = true\n"
WRITTEN = {"functions.py": (HERE / "functions.py").read_text()}


def node_code():
    """A zip of the handlers and of what npm has installed for them, as `zip -r` makes one; what Node does not load stays out."""
    holds(NODE_MODULES.is_dir(), f"{NODE_MODULES} is missing: run `cargo xtask test`, which installs it with npm")
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.write(NODE_MODULES.parent / "functions.mjs", "functions.mjs")
        for path in sorted(NODE_MODULES.rglob("*")):
            name = path.relative_to(NODE_MODULES.parent)
            if path.is_file() and path.suffix in (".js", ".mjs", ".cjs", ".json") and "dist-types" not in name.parts:
                archive.write(path, str(name))
    return body.getvalue()


class World:
    """A server with the handlers of one language as functions."""

    def __init__(self, directory, language, *names, **settings):
        self.server = server(directory, config=CONFIG)
        self.server.start()
        self.runs = Pipelines()
        self.arn = role(actions=PIPELINE)
        bucket("artifacts", versioned=True)
        bucket("gates")
        worker = role("worker", (*LOGS, *ANSWER, "s3:GetObject", "s3:ListBucket"), "lambda.amazonaws.com")
        api = client("lambda")
        code = {"ZipFile": packed(WRITTEN)}
        if language == "node":
            # Too large for a request, as such zips are.
            bucket("code")
            client("s3").put_object(Bucket="code", Key="functions.zip", Body=node_code())
            code = {"S3Bucket": "code", "S3Key": "functions.zip"}
        for name in names:
            api.create_function(
                FunctionName=name, Runtime="nodejs22.x" if language == "node" else PYTHON, Handler=f"functions.{name}",
                Role=worker, Code=code, MemorySize=512, Timeout=settings.get(name, 60))
            api.get_waiter("function_active_v2").wait(FunctionName=name)
            # Lambda would run what fails again after a minute.
            api.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.__exit__()

    def declare(self, name, *actions, **more):
        self.runs.api.create_pipeline(pipeline=pipeline(name, self.arn, FETCH, stage("Work", *actions), pipelineType="V2", **more))
        return self.runs.first(name)

    def is_waiting(self, name):
        equal(self.runs.action_latest(name, "Work", "Ask")["status"], "InProgress", f"the action of {name}")

    def abandon(self, name, execution):
        self.runs.api.stop_pipeline_execution(pipelineName=name, pipelineExecutionId=execution, abandon=True)
        self.runs.ended(name, execution, "Stopped")


def invoke(name, function, parameters=None, **more):
    keys = {"FunctionName": function}
    if parameters is not None:
        keys["UserParameters"] = json.dumps(parameters)
    return action(name, "Invoke", "Lambda", keys, **more)


def towpath(*words):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TOWPATH_")}
    done = subprocess.run([os.environ["TOWPATH_TEST_BINARY"], *words], capture_output=True, text=True, timeout=60, env=clean)
    equal(done.returncode, 0, f"towpath {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def logged(function, pattern):
    """Waits for a line of the function's log, and gives what the pattern found."""
    return wait(f"{pattern} in the log of {function}", lambda: re.search(pattern, "".join(log_of(function))))


def whole(language):
    """Input read, output written, variables told, three turns taken; and the log of it all."""
    names = ("smoke", "prying", "patient", "refusing")
    with tempfile.TemporaryDirectory() as directory, World(directory, language, *names) as world:
        runs = world.runs
        source({"a.txt": "a", "b.txt": "b"})
        bucket("site")
        client("s3").put_object(Bucket="artifacts", Key="secret.txt", Body=b"secret")
        check = invoke("Check", "smoke", {"greeting": "hello"}, inputs=["src"], outputs=["report"], namespace="Check")
        pry = invoke("Pry", "prying", inputs=["src"], outputs=["nothing"], order=2)
        patience = invoke("Wait", "patient", order=3, namespace="Wait")
        deploy = action("Put", "Deploy", "S3", {"BucketName": "site", "Extract": "true", "ObjectKey": "#{Check.Files}-#{Wait.Turns}"},
                        inputs=["report"])
        runs.api.create_pipeline(pipeline=pipeline("p", world.arn, stage("Source", s3_source()), stage("Work", check, pry, patience),
                                                   stage("Out", deploy), pipelineType="V2"))
        execution = runs.first("p")
        wait("a turn that is told of", lambda: runs.action_latest("p", "Work", "Wait").get("summary", "").startswith("turn "))
        runs.ended("p", execution, "Succeeded")
        got = client("s3").get_object(Bucket="site", Key="2-3/report.txt")["Body"].read()
        equal(got, b"hello a.txt b.txt", "what the function made of its input")
        rows = {row["actionName"]: row["output"] for row in runs.actions("p", execution)}
        equal((rows["Check"]["outputVariables"], rows["Wait"]["outputVariables"]), ({"Files": "2"}, {"Turns": "3"}), "variables")
        result = rows["Check"]["executionResult"]
        equal(result["externalExecutionId"], "smoke", "external id")
        holds(result["externalExecutionUrl"].endswith("/console/lambda/functions/smoke"), result["externalExecutionUrl"])
        turns = [line for line in log_of("patient") if line.startswith("START")]
        equal(len(turns), 3, "its turns are invocations")

        # The last of its lines are written when its process is done with the event, which its answer does not wait for.
        logged("smoke", "REPORT")
        told = towpath("logs", "p", "--action", "Work/Check")
        holds("smoke works" in told and "START RequestId: " in told and "REPORT RequestId: " in told, told)
        told = towpath("logs", "p")
        holds(told.count("START RequestId: ") == 5, f"all of its functions' logs: {told}")

        first = world.declare("q", invoke("Ask", "refusing"))
        runs.ended("q", first, "Failed")
        error = runs.action_latest("q", "Work", "Ask")["errorDetails"]
        equal((error["code"], error["message"]), ("ConfigurationError", "not with me"), "in the function's own words")


def unanswered(language):
    """A handler that throws, hangs or answers too late: the action waits for an answer, and nothing else ends it."""
    with tempfile.TemporaryDirectory() as directory, World(directory, language, "throwing", "hanging", "late", hanging=1) as world:
        runs = world.runs
        first = world.declare("throw", invoke("Ask", "throwing"))
        logged("throwing", "thrown before an answer")
        world.is_waiting("throw")
        world.abandon("throw", first)

        first = world.declare("hang", invoke("Ask", "hanging"))
        logged("hanging", r"hanging now\n(.|\n)*Task timed out after 1\.00 seconds")
        world.is_waiting("hang")
        world.abandon("hang", first)

        def opened(name):
            client("s3").put_object(Bucket="gates", Key=name, Body=b"")

        # Late, and not too late.
        first = world.declare("slow", invoke("Ask", "late", {"bucket": "gates", "key": "slow"}, namespace="Late"))
        logged("late", "waits")
        world.is_waiting("slow")
        opened("slow")
        runs.ended("slow", first, "Succeeded")
        equal(runs.actions("slow", first)[0]["output"]["outputVariables"], {"When": "late"}, "variables")

        # When its execution is gone, the answer is taken and means nothing.
        first = world.declare("gone", invoke("Ask", "late", {"bucket": "gates", "key": "gone"}))
        wait("its second job", lambda: "".join(log_of("late")).count(" waits") == 2)
        world.abandon("gone", first)
        opened("gone")
        wait("its answer", lambda: "".join(log_of("late")).count("its answer was taken") == 2)
        equal((runs.status("gone", first), runs.actions("gone", first)[0]["status"]), ("Stopped", "Abandoned"), "they stay")

        # When somebody has answered before it, another answer is refused.
        first = world.declare("other", invoke("Ask", "late", {"bucket": "gates", "key": "other"}))
        wait("its third job", lambda: "".join(log_of("late")).count(" waits") == 3)
        job = re.findall(r"job (\S+) waits", "".join(log_of("late")))[-1]
        runs.api.put_job_failure_result(jobId=job, failureDetails={"type": "JobFailed", "message": "given up"})
        runs.ended("other", first, "Failed")
        opened("other")
        logged("late", "its answer was refused: InvalidJobStateException")
        equal(runs.status("other", first), "Failed", "and stays so")


def python():
    whole("python")


def python_unanswered():
    unanswered("python")


def node():
    whole("node")


def node_unanswered():
    unanswered("node")


def permissions():
    """Who may invoke is the pipeline's role's business, who may answer the function's; both are told in the right place."""
    with tempfile.TemporaryDirectory() as directory, World(directory, "python", "smoke", "silent") as world:
        runs = world.runs
        runs.api.create_pipeline(pipeline=pipeline("p", role("powerless", ("s3:*",)), FETCH, stage("Work", invoke("Ask", "silent"))))
        runs.ended("p", runs.first("p"), "Failed")
        error = runs.action_latest("p", "Work", "Ask")["errorDetails"]
        equal(error["code"], "PermissionError", "code")
        matches(error["message"], r"The provided role does not have permissions to perform this action\. Underlying error: .*"
                rf"powerless/.* is not authorized to perform: lambda:InvokeFunction on resource: \S+:function:silent .*")

        mute = role("mute", LOGS, "lambda.amazonaws.com")
        made(client("lambda"), "mute", WRITTEN, mute, handler="functions.refusing", MemorySize=512)
        first = world.declare("q", invoke("Ask", "mute"))
        logged("mute", f"AccessDeniedException.*assumed-role/mute/mute is not authorized to perform: "
                       "codepipeline:PutJobFailureResult")
        world.is_waiting("q")
        world.abandon("q", first)


def condition():
    """The rule LambdaInvoke asks a function of the embedded Lambda."""
    with tempfile.TemporaryDirectory() as directory, World(directory, "python", "patient", "refusing") as world:
        runs = world.runs
        for name, function, want in (("p", "patient", "Succeeded"), ("q", "refusing", "Failed")):
            asked = gated(stage("Build", rehearsal("Make")), "beforeEntry", "FAIL",
                          rule("Ask", "LambdaInvoke", {"FunctionName": function}))
            runs.api.create_pipeline(pipeline=pipeline(name, world.arn, FETCH, asked, pipelineType="V2"))
            runs.ended(name, runs.first(name), want)
            rows = runs.api.list_rule_executions(pipelineName=name)["ruleExecutionDetails"]
            equal([(row["ruleName"], row["status"]) for row in rows], [("Ask", want)], "the rule")


WHERE = """
import json, os, boto3
def handler(event, context):
    job = event["CodePipeline.job"]["id"]
    pipelines = boto3.client("codepipeline")
    pipelines.put_job_success_result(jobId=job, outputVariables={
        "Pipelines": pipelines.meta.endpoint_url, "Queues": boto3.client("sqs").meta.endpoint_url,
        "Told": os.environ["AWS_ENDPOINT_URL_CODEPIPELINE"]})
"""


def public_url():
    """A function is told where CodePipeline is, by the server's public URL, also where its own settings lead elsewhere."""
    with tempfile.TemporaryDirectory() as directory, World(directory, "python") as world:
        public = world.server.url.replace("127.0.0.1", "localhost")
        world.server.terminate()
        world.server.more = ["--public-url", public]
        world.server.start()
        world.runs = Pipelines()
        worker = f"arn:aws:iam::{ACCOUNT}:role/worker"
        elsewhere = "http://queues.example"
        for name, own, queues in (("near", {}, public), ("split", {"AWS_ENDPOINT_URL": elsewhere}, elsewhere)):
            made(client("lambda"), name, {"app.py": WHERE}, worker, MemorySize=512, Environment={"Variables": own})
            first = world.declare(name, invoke("Ask", name, namespace="Where"))
            world.runs.ended(name, first, "Succeeded")
            told = world.runs.actions(name, first)[0]["output"]["outputVariables"]
            equal(told, {"Pipelines": public, "Queues": queues, "Told": public}, f"endpoints of {name}")


def killed():
    """A server that dies takes its functions with it, and the next one runs their events again: the job is answered."""
    with tempfile.TemporaryDirectory() as directory, World(directory, "python", "late", "patient") as world:
        first = world.declare("slow", invoke("Ask", "late", {"bucket": "gates", "key": "slow"}))
        logged("late", "waits")
        world.server.kill()
        world.server.start()
        world.runs = Pipelines()
        wait("the event to run again", lambda: "".join(log_of("late")).count(" waits") == 2)
        jobs = re.findall(r"job (\S+) waits", "".join(log_of("late")))
        equal(len(set(jobs)), 1, "it is the same job")
        client("s3").put_object(Bucket="gates", Key="slow", Body=b"")
        world.runs.ended("slow", first, "Succeeded")


if __name__ == "__main__":
    main([python, python_unanswered, node, node_unanswered, permissions, condition, public_url, killed])
