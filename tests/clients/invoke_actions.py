"""Invoke actions through the shipped binary: Lambda functions (functions.py) with their whole job protocol, the rule that asks
one, another pipeline, and Step Functions' state machines, which moto's server executes. Run by the Rust tests of the `towpath`
command, one scenario at a time.

`Functions` is a Lambda endpoint in place of AWS's: it takes Invoke with InvocationType Event, as the service's API model has
it, and runs the handler in a process of its own with boto3 and with keys that nobody at Towpath knows, as a function on AWS
has them.
"""

import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

import boto3 as aws

import functions
from harness import ABSENT_ID, ACCOUNT, REGION, Pipelines, Server, action, allow, bucket, client, equal, holds, main, matches
from harness import pipeline, refused, rehearsal, role, s3_source, source, stage, wait, zipped
from rules import Moto, gated, rule

CONFIG = """\
[rehearsal]
enabled = true

[realm.functions]
url = "{functions}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["Lambda", "LambdaInvoke", "Probe"]
jobs-by-id = {by_id}

[realm.states]
url = "{states}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["StepFunctions"]
"""

# What a function on AWS signs with.
STRANGER = {"aws_access_key_id": "ASIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "wJalrXUtnFEMI", "aws_session_token": "token"}
FETCH = stage("Source", rehearsal("Fetch", "Source"))


class Functions:
    """A Lambda endpoint that runs the handlers of functions.py."""

    def __init__(self):
        self.invoked = []
        self.told = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer._answer(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def _answer(self, request):
        body = request.rfile.read(int(request.headers["content-length"]))
        found = re.fullmatch("/2015-03-31/functions/([^/]+)/invocations", urllib.parse.unquote(request.path))
        name = found and found[1].rsplit(":", 1)[-1]
        kind = request.headers["x-amz-invocation-type"]
        if not name or kind != "Event" or not hasattr(functions, name):
            answer = json.dumps({"Type": "User", "Message": f"Function not found: {name}"}).encode()
            request.send_response(404)
            request.send_header("x-amzn-errortype", "ResourceNotFoundException")
            request.send_header("content-length", str(len(answer)))
            request.end_headers()
            request.wfile.write(answer)
            return
        event = json.loads(body)
        self.invoked.append((name, event))
        threading.Thread(target=self._run, args=(name, body), daemon=True).start()
        request.send_response(202)
        request.send_header("content-length", "0")
        request.end_headers()

    def _run(self, name, body):
        code = f"import json, sys, functions; functions.{name}(json.load(sys.stdin), None)"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_SHARED")}
        keys = {key.upper(): value for key, value in STRANGER.items()}
        run = subprocess.run([sys.executable, "-c", code], input=body, cwd=pathlib.Path(__file__).parent, capture_output=True,
                             env={**clean, **keys, "PYTHONDONTWRITEBYTECODE": "1"})
        self.told.append((name, run.returncode, run.stderr.decode()))

    def events(self, name):
        return [event["CodePipeline.job"] for invoked, event in self.invoked if invoked == name]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class World:
    """A server of Towpath's with a Lambda endpoint beside it."""

    def __init__(self, by_id=True, states="http://127.0.0.1:1"):
        self.functions = Functions()
        self.directory = tempfile.TemporaryDirectory()
        config = CONFIG.format(functions=self.functions.url, states=states, by_id="true" if by_id else "false")
        self.server = Server(self.directory.name, config)

    def __enter__(self):
        self.functions.__enter__()
        self.server.__enter__()
        self.runs = Pipelines()
        return self

    def __exit__(self, *_):
        self.server.__exit__()
        self.functions.__exit__()
        self.directory.cleanup()


def invoke(name, function, parameters=None, **more):
    keys = {"FunctionName": function}
    if parameters is not None:
        keys["UserParameters"] = parameters
    return action(name, "Invoke", "Lambda", keys, **more)


def errors(runs, name, stage_name, action_name):
    return runs.action_latest(name, stage_name, action_name)["errorDetails"]


def artifacts():
    """A function reads its input and writes its output with credentials for nothing else; the next action has both."""
    with World() as world:
        runs, arn = world.runs, role()
        source({"a.txt": "a", "b.txt": "b"})
        bucket("artifacts", versioned=True)
        bucket("site")
        client("s3").put_object(Bucket="artifacts", Key="secret.txt", Body=b"secret")
        check = invoke("Check", "smoke", '{"greeting": "hello"}', inputs=["src"], outputs=["report"], namespace="Check")
        pry = invoke("Pry", "prying", inputs=["src"], outputs=["nothing"], order=2)
        deploy = action("Put", "Deploy", "S3", {"BucketName": "site", "Extract": "true", "ObjectKey": "#{Check.Files}"},
                        inputs=["report"])
        runs.api.create_pipeline(pipeline=pipeline("p", arn, stage("Source", s3_source()), stage("Check", check, pry),
                                                   stage("Out", deploy), pipelineType="V2"))
        execution = runs.first("p")
        runs.ended("p", execution, "Succeeded")
        got = client("s3").get_object(Bucket="site", Key="2/report.txt")["Body"].read()
        equal(got, b"hello a.txt b.txt", "what the function made")

        event = world.functions.events("smoke")[0]
        row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Check")
        equal(set(event), {"id", "accountId", "data"}, "of the event")
        equal(event["accountId"], ACCOUNT, "account")
        data = event["data"]
        equal(set(data), {"actionConfiguration", "inputArtifacts", "outputArtifacts", "artifactCredentials"}, "of the data")
        equal(data["actionConfiguration"], {"configuration": {"FunctionName": "smoke", "UserParameters": '{"greeting": "hello"}'}},
              "configuration")
        equal(set(data["artifactCredentials"]), {"accessKeyId", "secretAccessKey", "sessionToken", "expirationTime"}, "keys")
        [given], [made] = data["inputArtifacts"], data["outputArtifacts"]
        equal((given["name"], made["name"], made["revision"]), ("src", "report", None), "artifacts")
        version = runs.api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]["sourceRevisions"][0]
        equal(given["revision"], version["revisionId"], "the revision of the source")
        equal(given["location"]["s3Location"], {
            "bucketName": row["input"]["inputArtifacts"][0]["s3location"]["bucket"],
            "objectKey": row["input"]["inputArtifacts"][0]["s3location"]["key"]}, "where the input is")
        # AWS shows the function and its log, whatever the function tells of itself.
        result = row["output"]["executionResult"]
        equal(result["externalExecutionId"], "smoke", "external id")
        holds(result["externalExecutionUrl"].endswith("/aws/lambda/smoke"), result["externalExecutionUrl"])
        holds("externalExecutionSummary" not in result, "no summary")
        equal(row["output"]["outputVariables"], {"Files": "2"}, "variables")
        # The credentials are in the event alone.
        told = json.dumps([runs.actions("p", execution), runs.api.get_pipeline_state(name="p")], default=str)
        for secret in (data["artifactCredentials"]["secretAccessKey"], event["id"]):
            holds(secret not in told and secret not in world.server.told(), "what the event alone says is shown")


def continuation():
    """A function that asks to go on is asked again with its token, under a new job id, and shows how far it is."""
    with World() as world:
        runs, arn = world.runs, role()
        bucket("artifacts")
        runs.api.create_pipeline(pipeline=pipeline("p", arn, FETCH, stage("Work", invoke("Wait", "patient", namespace="W")),
                                                   pipelineType="V2"))
        execution = runs.first("p")
        wait("the second turn", lambda: len(world.functions.events("patient")) > 1)
        shown = runs.action_latest("p", "Work", "Wait")
        holds(shown.get("summary", "").startswith("turn "), f"its summary is shown: {shown}")
        holds(shown.get("percentComplete") in (30, 60), f"and how far it is: {shown}")
        runs.ended("p", execution, "Succeeded")
        events = world.functions.events("patient")
        equal(len({event["id"] for event in events}), 3, "a job for each turn")
        equal([event["data"].get("continuationToken") for event in events], [None, '{"turn": 2}', '{"turn": 3}'], "tokens")
        equal(runs.actions("p", execution)[0]["output"]["outputVariables"], {"Turns": "3"}, "variables")
        # It is one action, however many turns it took.
        equal(len([row for row in runs.actions("p", execution) if row["actionName"] == "Wait"]), 1, "actions")

        # A server that dies between two turns goes on with the next.
        ended = len(world.functions.told)
        second = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        wait("its first turn to end", lambda: len(world.functions.told) > ended)
        world.server.kill()
        world.server.start()
        runs = Pipelines()
        runs.ended("p", second, "Succeeded")
        tokens = [event["data"].get("continuationToken") for event in world.functions.events("patient")[3:]]
        equal(sorted(set(map(str, tokens))), ["None", '{"turn": 2}', '{"turn": 3}'], "no turn is left out")


def answers():
    """Failures in the function's own words, functions that are not there, and answers that come too late or twice."""
    with World() as world:
        runs, arn = world.runs, role()
        bucket("artifacts")

        def failed(name, function, want):
            runs.api.create_pipeline(pipeline=pipeline(name, arn, FETCH, stage("Work", invoke("Ask", function))))
            execution = runs.first(name)
            runs.ended(name, execution, "Failed")
            error = errors(runs, name, "Work", "Ask")
            equal((error["code"], error["message"]), want, function)
            return execution

        execution = failed("a", "refusing", ("ConfigurationError", "not with me"))
        result = runs.actions("a", execution)[0]["output"]["executionResult"]
        equal(result["externalExecutionSummary"], "not with me", "its words are the summary")
        failed("b", "nobody", ("ConfigurationError", "The AWS Lambda function nobody does not exist."))

        # What the handler returns or throws says nothing: the action waits for an answer.
        for name, function in (("c", "silent"), ("d", "throwing")):
            runs.api.create_pipeline(pipeline=pipeline(name, arn, FETCH, stage("Work", invoke("Ask", function))))
            wait(f"the end of {function}", lambda: any(told[0] == function for told in world.functions.told))
            equal(runs.action_latest(name, "Work", "Ask")["status"], "InProgress", function)
        job = world.functions.events("silent")[0]["id"]
        runs.api.put_job_success_result(jobId=job)
        runs.ended("c", runs.first("c"), "Succeeded")
        runs.api.put_job_success_result(jobId=job)
        refused("InvalidJobStateException", f"Job with id {job} has already terminated", runs.api.put_job_failure_result,
                jobId=job, failureDetails={"type": "JobFailed", "message": "too late"})
        refused("InvalidJobStateException", re.compile(".*already set to the desired value.*"), runs.api.put_job_success_result,
                jobId=job, outputVariables={"A": "b"})

        # Abandoned: the job is nobody's, and an answer is taken without effect.
        job, first = world.functions.events("throwing")[0]["id"], runs.first("d")
        runs.api.stop_pipeline_execution(pipelineName="d", pipelineExecutionId=first, abandon=True)
        runs.ended("d", first, "Stopped")
        runs.api.put_job_success_result(jobId=job, continuationToken="on")
        equal(runs.status("d", first), "Stopped", "and stays so")
        equal(len(world.functions.events("throwing")), 1, "nobody goes on")


def by_id():
    """The id of an open job stands for a function whose keys nobody knows, where the realm says so, and for nothing else."""
    unknown = "UnrecognizedClientException"
    for allowed in (True, False):
        with World(by_id=allowed) as world:
            runs, arn = world.runs, role()
            bucket("artifacts")
            runs.api.create_pipeline(pipeline=pipeline("p", arn, FETCH, stage("Work", invoke("Ask", "silent"))))
            job = wait("the job", lambda: world.functions.events("silent"))[0]["id"]
            stranger = client("codepipeline", **STRANGER)
            anybody = re.compile(".*")
            for call, arguments in [
                (stranger.list_pipelines, {}),
                (stranger.get_pipeline, {"name": "p"}),
                (stranger.put_job_success_result, {"jobId": ABSENT_ID}),
                (stranger.acknowledge_job, {"jobId": job, "nonce": "n"}),
                (stranger.put_third_party_job_success_result, {"jobId": job, "clientToken": "t"}),
                (stranger.start_pipeline_execution, {"name": "p"}),
            ]:
                refused(unknown, anybody, call, **arguments)
            if not allowed:
                refused(unknown, anybody, stranger.get_job_details, jobId=job)
                refused(unknown, anybody, stranger.put_job_success_result, jobId=job)
                equal(runs.action_latest("p", "Work", "Ask")["status"], "InProgress", "nothing came of it")
                continue
            details = stranger.get_job_details(jobId=job)["jobDetails"]
            equal((details["id"], details["accountId"]), (job, ACCOUNT), "the job's own details")
            # Another Region in the signature is the function's own business.
            elsewhere = client("codepipeline", region_name="eu-west-1", **STRANGER)
            elsewhere.put_job_success_result(jobId=job)
            runs.ended("p", runs.first("p"), "Succeeded")
            refused(unknown, anybody, stranger.put_job_success_result, jobId=job)
            refused(unknown, anybody, stranger.get_job_details, jobId=job)

            # A job of a worker is not opened by its id.
            from worker import TYPE, job_action, make_type

            make_type(runs.api)
            runs.api.create_pipeline(pipeline=pipeline("w", arn, FETCH, stage("Work", job_action())))
            polled = wait("the worker's job", lambda: runs.api.poll_for_jobs(actionTypeId=TYPE)["jobs"])[0]
            runs.api.acknowledge_job(jobId=polled["id"], nonce=polled["nonce"])
            refused(unknown, anybody, stranger.put_job_success_result, jobId=polled["id"])


def condition():
    """A rule asks a function: its success opens the gate, its failure does what the condition says."""
    with World() as world:
        runs, arn = world.runs, role()
        bucket("artifacts")

        def declared(name, function, result):
            asked = gated(stage("Build", rehearsal("Make")), "beforeEntry", result,
                          rule("Ask", "LambdaInvoke", {"FunctionName": function, "UserParameters": "strict"}))
            return pipeline(name, arn, FETCH, asked, pipelineType="V2")

        runs.api.create_pipeline(pipeline=declared("p", "patient", "FAIL"))
        runs.ended("p", runs.first("p"), "Succeeded")
        rows = runs.api.list_rule_executions(pipelineName="p")["ruleExecutionDetails"]
        equal([(row["ruleName"], row["status"]) for row in rows], [("Ask", "Succeeded")], "the rule")
        parameters = world.functions.events("patient")[0]["data"]["actionConfiguration"]["configuration"]
        equal(parameters, {"FunctionName": "patient", "UserParameters": "strict"}, "what it was told")

        runs.api.create_pipeline(pipeline=declared("q", "refusing", "FAIL"))
        runs.ended("q", runs.first("q"), "Failed")
        runs.api.create_pipeline(pipeline=declared("r", "refusing", "SKIP"))
        runs.ended("r", runs.first("r"), "Succeeded")
        equal(runs.state("r", "Build")["latestExecution"]["status"], "Skipped", "the stage")


def another_pipeline():
    """A pipeline starts another with variables and a revision, as its role allows, and does not wait for it."""
    with World() as world:
        runs = world.runs
        old = source({"a.txt": "old"})
        client("s3").put_object(Bucket="source", Key="app.zip", Body=zipped({"a.txt": "new"}))
        bucket("artifacts")
        starter = role("starter", ("s3:*", "codepipeline:StartPipelineExecution"))
        second = pipeline("second", role(), stage("Source", s3_source()),
                          stage("Hold", action("Ok", "Approval", "Manual", {"CustomData": "#{variables.Target}"})),
                          variables=[{"name": "Target", "defaultValue": "none"}], pipelineType="V2", executionMode="QUEUED")
        runs.api.create_pipeline(pipeline=second)
        revisions = [{"actionName": "Fetch", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": old}]

        def kick(name="second", **more):
            keys = {"PipelineName": name, **{key: json.dumps(value) for key, value in more.items()}}
            return action("Kick", "Invoke", "CodePipeline", keys)

        def started(name, declared, arn=starter):
            runs.api.create_pipeline(pipeline=pipeline(name, arn, FETCH, stage("Next", declared), pipelineType="V2"))
            return runs.first(name)

        first = started("first", kick(Variables=[{"name": "Target", "value": "prod"}], SourceRevisions=revisions))
        runs.ended("first", first, "Succeeded")
        result = runs.actions("first", first)[0]["output"]["executionResult"]
        made = result["externalExecutionId"]
        holds(result["externalExecutionUrl"].endswith(f"/pipelines/second/executions/{made}"), result["externalExecutionUrl"])
        equal(result["externalExecutionSummary"], f"Started the execution {made} of the pipeline second.", "summary")
        got = runs.api.get_pipeline_execution(pipelineName="second", pipelineExecutionId=made)["pipelineExecution"]
        equal(got["status"], "InProgress", "it is not waited for")
        equal(got["variables"], [{"name": "Target", "resolvedValue": "prod"}], "variables")
        equal(got["trigger"]["triggerType"], "StartPipelineExecution", "trigger")
        matches(got["trigger"]["triggerDetail"], f"arn:aws:sts::{ACCOUNT}:assumed-role/starter/codepipeline@first", "who")
        wait("its source", lambda: runs.api.get_pipeline_execution(
            pipelineName="second", pipelineExecutionId=made)["pipelineExecution"]["artifactRevisions"])
        got = runs.api.get_pipeline_execution(pipelineName="second", pipelineExecutionId=made)["pipelineExecution"]
        equal(got["artifactRevisions"][0]["revisionId"], old, "the revision that was asked for")

        # Refusals, in AWS's words.
        runs.ended("nowhere", started("nowhere", kick("missing")), "Failed")
        error = errors(runs, "nowhere", "Next", "Kick")
        equal(error["code"], "ConfigurationError", "a pipeline that is not there")
        matches(error["message"], "Error calling startPipelineExecution: .*'missing'.*PipelineNotFoundException.*")
        runs.ended("powerless", started("powerless", kick(), role("powerless", ("s3:*",))), "Failed")
        error = errors(runs, "powerless", "Next", "Kick")
        equal(error["code"], "PermissionError", "a role that may not")
        matches(error["message"], ".*not authorized to perform: codepipeline:StartPipelineExecution on resource: .*:second.*")
        refused("InvalidActionDeclarationException", re.compile(".*Variables.*JSON array.*"), runs.api.create_pipeline,
                pipeline=pipeline("bad", starter, FETCH, stage("Next", kick(Variables={"Target": "prod"})), pipelineType="V2"))
        refused("InvalidActionDeclarationException", re.compile(".*V2.*"), runs.api.create_pipeline,
                pipeline=pipeline("v1", starter, FETCH, stage("Next", kick()), pipelineType="V1"))


def step_functions():
    """State machines that moto's server executes: input from an artifact, output as one, failures, and a stop."""
    with Moto() as moto, World(states=moto.url) as world:

        def ask_moto(path, body=None):
            data = json.dumps(body).encode()
            asked = urllib.request.Request(moto.url + path, method="POST", data=data, headers={"content-type": "application/json"})
            urllib.request.urlopen(asked).close()

        ask_moto("/moto-api/config", {"stepfunctions": {"execute_state_machine": True}})
        keys = {"endpoint_url": moto.url, "region_name": REGION, "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        states = aws.client("stepfunctions", **keys)

        def machine(name, state, **more):
            # moto copies the machine that it starts with all others and what they have run, and cannot copy the latter.
            ask_moto("/moto-api/reset")
            definition = {"StartAt": "Only", "States": {"Only": state}}
            return states.create_state_machine(name=name, definition=json.dumps(definition),
                                               roleArn=f"arn:aws:iam::{ACCOUNT}:role/flow", **more)["stateMachineArn"]

        doubling = {"Type": "Pass", "Parameters": {"twice.$": "States.MathAdd($.n, $.n)"}, "End": True}
        double = machine("double", doubling)
        runs, arn = world.runs, role()
        source({"flows/start.json": '{"n": 21}'})
        bucket("artifacts")
        bucket("site")

        def flow(arn_of_machine, **more):
            configuration = {"StateMachineArn": arn_of_machine, **more.pop("keys", {})}
            return action("Flow", "Invoke", "StepFunctions", configuration, **more)

        from_file = flow(double, keys={"InputType": "FilePath", "Input": "flows/start.json", "ExecutionNamePrefix": "rel"},
                         inputs=["src"], outputs=["flow"], namespace="Flow")
        put = action("Put", "Deploy", "S3", {"BucketName": "site", "Extract": "true"}, inputs=["flow"])
        runs.api.create_pipeline(pipeline=pipeline("p", arn, stage("Source", s3_source()), stage("Flow", from_file),
                                                   stage("Out", put), pipelineType="V2"))
        execution = runs.first("p")
        runs.ended("p", execution, "Succeeded")
        got = json.loads(client("s3").get_object(Bucket="site", Key="output.json")["Body"].read())
        equal(got, {"twice": 42}, "what the state machine answered")
        row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Flow")
        made = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:double:rel-{row['actionExecutionId']}"
        equal(row["output"]["outputVariables"], {"StateMachineArn": double, "ExecutionArn": made}, "variables")
        equal(row["output"]["executionResult"]["externalExecutionId"], made, "external id")
        holds(made in row["output"]["executionResult"]["externalExecutionUrl"], "link")

        # Its events, read where it ran.
        told = subprocess.run([world.server.binary, "logs", "p", "--action", "Flow"], capture_output=True, text=True)
        equal(told.returncode, 0, told.stderr)
        names = [line.split()[0] for line in told.stdout.splitlines()]
        equal(names, ["ExecutionStarted", "PassStateEntered", "PassStateExited", "ExecutionSucceeded"], told.stdout + told.stderr)

        def declared(name, flowing):
            runs.api.create_pipeline(pipeline=pipeline(name, arn, FETCH, stage("Flow", flowing), pipelineType="V2"))
            return runs.first(name)

        double = machine("double", doubling)
        literal = declared("literal", flow(double, keys={"Input": '{"n": 4}', "InputType": "Literal"}, namespace="Flow"))
        runs.ended("literal", literal, "Succeeded")
        row = next(row for row in runs.actions("literal", literal) if row["actionName"] == "Flow")
        made = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:double:{row['actionExecutionId']}"
        equal(row["output"]["outputVariables"], {"StateMachineArn": double, "ExecutionArn": made}, "variables")
        ran = states.describe_execution(executionArn=made)
        equal((ran["input"], json.loads(ran["output"])), ('{"n": 4}', {"twice": 8}), "what it was given and what it made")

        broken = machine("broken", {"Type": "Fail", "Error": "Boom", "Cause": "no room"})
        runs.ended("broken", declared("broken", flow(broken)), "Failed")
        error = errors(runs, "broken", "Flow", "Flow")
        equal(error["code"], "JobFailed", "code")
        matches(error["message"], r"The execution arn:\S+ is FAILED\. Error: Boom\. Cause: no room\.")
        runs.ended("gone", declared("gone", flow(double.replace("double", "gone"))), "Failed")
        error = errors(runs, "gone", "Flow", "Flow")
        equal(error["code"], "ConfigurationError", "code")
        matches(error["message"], "Error calling describeStateMachine: .*StateMachineDoesNotExist.*")

        # Abandoned, the execution is stopped too.
        slow = machine("slow", {"Type": "Wait", "Seconds": 300, "End": True})
        first = declared("slow", flow(slow))

        def running():
            return states.list_executions(stateMachineArn=slow, statusFilter="RUNNING")["executions"]

        wait("the execution", running)
        wait("what it is known by", lambda: runs.action_latest("slow", "Flow", "Flow").get("externalExecutionId"))
        runs.api.stop_pipeline_execution(pipelineName="slow", pipelineExecutionId=first, abandon=True)
        runs.ended("slow", first, "Stopped")
        wait("the execution to be stopped", lambda: not running())
        equal(states.list_executions(stateMachineArn=slow)["executions"][0]["status"], "ABORTED", "how it ended")


if __name__ == "__main__":
    main([artifacts, continuation, answers, by_id, condition, another_pipeline, step_functions])
