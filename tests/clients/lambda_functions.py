"""The embedded Lambda, with boto3 and the AWS CLI: functions in Python, Node and a shell bootstrap, what they see, how they fail,
versions and aliases, events that wait, and what a kill leaves behind.

The Python handlers run under AWS's own runtime interface client, which the tests' environment has, and, where said so, under the
client that Towpath ships, with the system's Python.
"""

import base64
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile

from harness import ABSENT_ID, ACCOUNT, REGION, Server, allow, bucket, client, equal, holds, main, matches, refused, role, wait

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
TESTS_OWN = str(pathlib.Path(sys.executable).parent)
# Generous: a slow machine starts an interpreter slowly. Where a timeout is what is tested, the function sets its own.
TIMEOUT = 60
HOST = '[sandbox]\nkind = "host"\n'
# The Python of the tests, by its own name: it is the first of that name on the PATH.
PYTHON = f"python3.{sys.version_info.minor}"


def server(directory, own_python=False, config=None):
    """A server that finds the tests' Python, with boto3 and awslambdaric, or the system's, with neither."""
    paths = [path for path in os.environ["PATH"].split(":") if path != TESTS_OWN]
    os.environ["PATH"] = ":".join(paths if own_python else [TESTS_OWN, *paths])
    return Server(directory, config)


def packed(files):
    """A zip; what begins with #! may be executed."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if text.startswith("#!") else 0o100644) << 16
            archive.writestr(entry, text)
    return body.getvalue()


def execution_role(name="worker", actions=LOGS):
    return role(name, actions, "lambda.amazonaws.com")


def made(api, name, files, role_arn, runtime=PYTHON, handler="app.handler", **more):
    more.setdefault("Timeout", TIMEOUT)
    api.create_function(
        FunctionName=name, Runtime=runtime, Handler=handler, Role=role_arn, Code={"ZipFile": packed(files)}, **more
    )
    api.get_waiter("function_active_v2").wait(FunctionName=name)


def invoked(api, name, payload=None, **more):
    answer = api.invoke(FunctionName=name, Payload=json.dumps(payload), **more)
    text = answer["Payload"].read()
    return answer, json.loads(text) if text else None


def log_of(name):
    logs = client("logs")
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        return [event["message"] for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []


ECHO = """
import os, sys
print("loading")
def handler(event, context):
    print("seen", event)
    return {
        "event": event,
        "environment": {k: v for k, v in os.environ.items() if k.startswith(("AWS_", "LAMBDA_", "_", "STAGE", "TZ"))},
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "name": context.function_name,
        "left": context.get_remaining_time_in_millis(),
        "pid": os.getpid(),
        "official": "awslambdaric" in sys.modules,
        "client": context.client_context.custom if context.client_context else None,
    }
"""


def life():
    """Create, get, list, update, invoke, delete, as the SDK's waiters and Terraform go about it."""
    with tempfile.TemporaryDirectory() as directory, server(directory):
        api = client("lambda")
        worker = execution_role()
        refused(
            "ResourceNotFoundException", f"Function not found: {ARN}:echo", api.get_function, FunctionName="echo"
        )
        created = api.create_function(
            FunctionName="echo",
            Runtime=PYTHON,
            Handler="app.handler",
            Role=worker,
            Timeout=TIMEOUT,
            Code={"ZipFile": packed({"app.py": ECHO})},
            Environment={"Variables": {"STAGE": "test"}},
            Tags={"team": "tools"},
        )
        equal((created["State"], created["StateReasonCode"], created["Version"]), ("Pending", "Creating", "$LATEST"))
        holds("LastUpdateStatus" not in created, "a function in creation has no update")
        matches(created["LastModified"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")
        equal(created["FunctionArn"], f"{ARN}:echo")
        equal((created["MemorySize"], created["EphemeralStorage"]), (128, {"Size": 512}))
        api.get_waiter("function_active_v2").wait(FunctionName="echo")
        refused(
            "ResourceConflictException",
            "Function already exist: echo",
            api.create_function,
            FunctionName="echo",
            Runtime=PYTHON,
            Handler="a.b",
            Role=worker,
            Code={"ZipFile": packed({"a.py": ""})},
        )
        got = api.get_function(FunctionName="echo")
        equal((got["Tags"], got["Configuration"]["State"]), ({"team": "tools"}, "Active"))
        with urllib.request.urlopen(got["Code"]["Location"]) as zip_:
            equal(zip_.read(), packed({"app.py": ECHO}), "the code comes back as it was")
        equal(len(api.list_functions()["Functions"]), 1)

        answer, told = invoked(api, "echo", {"a": [1, "ü"]}, LogType="Tail")
        equal((answer["StatusCode"], answer["ExecutedVersion"], answer.get("FunctionError")), (200, "$LATEST", None))
        equal((told["event"], told["name"], told["arn"]), ({"a": [1, "ü"]}, "echo", f"{ARN}:echo"))
        holds(told["official"], "it runs under AWS's own runtime interface client")
        equal(told["id"], answer["ResponseMetadata"]["RequestId"], "the request's id is the invocation's")
        holds(0 < told["left"] <= TIMEOUT * 1000, f"time left: {told['left']}")
        seen = told["environment"]
        for name, value in {
            "STAGE": "test",
            "_HANDLER": "app.handler",
            "AWS_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/echo",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{PYTHON}",
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "TZ": ":UTC",
        }.items():
            equal(seen.get(name), value, name)
        tail = base64.b64decode(answer["LogResult"]).decode()
        matches(tail, rf".*START RequestId: {told['id']} Version: \$LATEST\nseen .*END RequestId: {told['id']}\nREPORT .*")
        matches(tail, r".*\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t\n")
        # The process is used again.
        _, again = invoked(api, "echo", {})
        equal(again["pid"], told["pid"], "the process of the first event takes the second")
        lines = log_of("echo")
        equal([line for line in lines if line.startswith("loading")], ["loading\n"])
        equal(len([line for line in lines if line.startswith("REPORT")]), 2)
        context = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
        equal(invoked(api, "echo", {}, ClientContext=context)[1]["client"], {"k": "v"})

        changed = api.update_function_configuration(FunctionName="echo", Environment={"Variables": {"STAGE": "live"}})
        equal(changed["LastUpdateStatus"], "InProgress")
        api.get_waiter("function_updated_v2").wait(FunctionName="echo")
        _, told = invoked(api, "echo", {})
        equal(told["environment"]["STAGE"], "live")
        updated = api.update_function_code(FunctionName="echo", ZipFile=packed({"app.py": "def handler(e, c): return 7"}))
        holds(updated["CodeSha256"] != created["CodeSha256"], "another code has another sum")
        equal(invoked(api, "echo")[1], 7)
        refused(
            "PreconditionFailedException",
            re.compile("The Revision Id provided does not match the latest Revision Id.*"),
            api.update_function_configuration,
            FunctionName="echo",
            RevisionId=ABSENT_ID,
        )

        bucket("code")
        client("s3").put_object(Bucket="code", Key="a.zip", Body=packed({"app.py": "def handler(e, c): return 8"}))
        api.update_function_code(FunctionName="echo", S3Bucket="code", S3Key="a.zip")
        equal(invoked(api, "echo")[1], 8)
        refused(
            "InvalidParameterValueException",
            "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.",
            api.update_function_code,
            FunctionName="echo",
            S3Bucket="code",
            S3Key="none.zip",
        )
        api.put_function_concurrency(FunctionName="echo", ReservedConcurrentExecutions=0)
        refused("TooManyRequestsException", "Rate Exceeded.", api.invoke, FunctionName="echo")
        api.delete_function_concurrency(FunctionName="echo")
        equal(api.invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"], 204)
        api.delete_function(FunctionName="echo")
        refused("ResourceNotFoundException", re.compile("Function not found: .*"), api.invoke, FunctionName="echo")
        equal(api.list_functions()["Functions"], [])


FAILING = """
import os, time
def handler(event, context):
    print("about to", event)
    if event == "raise":
        raise ValueError("boom")
    if event == "hang":
        time.sleep(3600)
    if event == "exit":
        os._exit(3)
    if event == "grow":
        kept = []
        while True:
            kept.append(bytearray(b"x" * 16_000_000))
            time.sleep(0.02)
    if event == "odd":
        return {1, 2}
    if event == "large":
        return "x" * 6_400_000
    return os.getpid()
"""


def failures():
    """How a function fails, and that the next event finds a process that works."""
    with tempfile.TemporaryDirectory() as directory, server(directory):
        api = client("lambda")
        worker = execution_role()
        made(api, "bad", {"app.py": FAILING}, worker)

        def failing(event, **more):
            answer, told = invoked(api, "bad", event, LogType="Tail", **more)
            equal((answer["StatusCode"], answer["FunctionError"]), (200, "Unhandled"))
            return told, base64.b64decode(answer["LogResult"]).decode(), answer["ResponseMetadata"]["RequestId"]

        told, tail, request = failing("raise")
        equal((told["errorType"], told["errorMessage"], told["requestId"]), ("ValueError", "boom", request))
        holds("app.py" in told["stackTrace"][0], "the trace names the file")
        holds("[ERROR] ValueError: boom" in tail, tail)
        told, tail, request = failing("exit")
        equal(told["errorType"], "Runtime.ExitError")
        equal(told["errorMessage"], f"RequestId: {request} Error: Runtime exited with error: exit status 3")
        equal(failing("odd")[0]["errorType"], "Runtime.MarshalError")
        equal(failing("large")[0]["errorType"], "Function.ResponseSizeTooLarge")
        told, tail, request = failing("grow")
        equal(told["errorType"], "Runtime.OutOfMemory")
        api.update_function_configuration(FunctionName="bad", Timeout=1)
        told, tail, request = failing("hang")
        equal(
            told,
            {"errorType": "Sandbox.Timedout", "errorMessage": f"RequestId: {request} Error: Task timed out after 1.00 seconds"},
        )
        holds(f"{request} Task timed out after 1.00 seconds" in tail and "Status: timeout" in tail, tail)
        api.update_function_configuration(FunctionName="bad", Timeout=TIMEOUT)
        holds(isinstance(invoked(api, "bad", "work")[1], int), "after all that the function works")

        for name, text, handler, kind in (
            ("syntax", "def handler(:", "app.handler", "Runtime.UserCodeSyntaxError"),
            ("missing", "", "app.handler", "Runtime.HandlerNotFound"),
            ("module", "", "none.handler", "Runtime.ImportModuleError"),
        ):
            made(api, name, {"app.py": text}, worker, handler=handler)
            answer, told = invoked(api, name, {})
            equal((answer.get("FunctionError"), told["errorType"]), ("Unhandled", kind), name)


def wrong_input():
    """Refusals in Lambda's words."""
    with tempfile.TemporaryDirectory() as directory, server(directory):
        api = client("lambda")
        worker = execution_role()
        usual = {"FunctionName": "f", "Runtime": PYTHON, "Handler": "app.handler", "Role": worker}
        code = {"ZipFile": packed({"app.py": ""})}

        unchecked = client("lambda", config={"parameter_validation": False})

        def create(message, error="InvalidParameterValueException", **more):
            return refused(error, message, unchecked.create_function, **{**usual, "Code": code, **more})

        create(
            "Could not unzip uploaded file. Please check your file, then try to upload again.", Code={"ZipFile": b"no zip"}
        )
        create(
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
            Code={"ZipFile": packed({"../../out.py": "x"})},
        )
        holds(not list(pathlib.Path(directory).rglob("out.py")), "nothing leaves the directory")
        elsewhere = role("elsewhere", (), "codebuild.amazonaws.com")
        create("The role defined for the function cannot be assumed by Lambda.", Role=elsewhere)
        create(re.compile("The runtime parameter of python3.7 is no longer supported.*"), Runtime="python3.7")
        create(re.compile(r".*Reserved keys used in this request: AWS_REGION"), Environment={"Variables": {"AWS_REGION": "x"}})
        create(
            re.compile("1 validation error detected: Value 'a b' at 'functionName' failed to satisfy constraint: Member must "
                       "satisfy regular expression pattern: .*"),
            "ValidationException",
            FunctionName="a b",
        )
        create(
            re.compile("1 validation error detected: Value '64' at 'memorySize' failed to satisfy constraint: .*128"),
            "ValidationException",
            MemorySize=64,
        )
        create(re.compile("SnapStart is not supported.*"), SnapStart={"ApplyOn": "PublishedVersions"})
        made(api, "f", {"app.py": ECHO}, worker)
        refused(
            "InvalidRequestContentException",
            re.compile("Could not parse request body into json: Could not parse payload into json: .*"),
            api.invoke,
            FunctionName="f",
            Payload=b"{not json",
        )
        refused(
            "InvalidParameterValueException",
            "The derived qualifier from the function name does not match the specified qualifier.",
            api.get_function,
            FunctionName="f:1",
            Qualifier="2",
        )
        refused(
            "ResourceNotFoundException",
            f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')",
            api.get_function,
            FunctionName=f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f",
        )
        # A user may do what its policies say, and hand on no role that it was not given.
        iam = client("iam")
        iam.create_user(UserName="dev")
        key = iam.create_access_key(UserName="dev")["AccessKey"]
        dev = client("lambda", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        user = f"arn:aws:iam::{ACCOUNT}:user/dev"
        refused(
            "AccessDeniedException",
            f"User: {user} is not authorized to perform: lambda:InvokeFunction on resource: {ARN}:f because no "
            "identity-based policy allows the lambda:InvokeFunction action",
            dev.invoke,
            FunctionName="f",
        )
        iam.put_user_policy(UserName="dev", PolicyName="work", PolicyDocument=allow("lambda:*"))
        equal(invoked(dev, "f", {})[0]["StatusCode"], 200)
        refused(
            "AccessDeniedException",
            re.compile(f"User: {user} is not authorized to perform: iam:PassRole on resource: {worker} .*"),
            dev.create_function,
            **{**usual, "FunctionName": "g", "Code": code},
        )


def versions():
    """Published versions, aliases with weights, policies, tags."""
    with tempfile.TemporaryDirectory() as directory, server(directory):
        api = client("lambda")
        worker = execution_role()
        made(api, "f", {"app.py": "def handler(e, c): return [1, c.function_version, c.invoked_function_arn]"}, worker)
        first = api.publish_version(FunctionName="f", Description="one")
        equal((first["Version"], first["FunctionArn"]), ("1", f"{ARN}:f:1"))
        equal(api.publish_version(FunctionName="f")["Version"], "1", "nothing has changed")
        api.update_function_code(FunctionName="f", ZipFile=packed({"app.py": "def handler(e, c): return [2]"}))
        refused(
            "InvalidParameterValueException",
            re.compile(r"CodeSHA256 \(x\) is different from current CodeSHA256 in \$LATEST .*"),
            api.publish_version,
            FunctionName="f",
            CodeSha256="x",
        )
        equal(api.publish_version(FunctionName="f")["Version"], "2")
        equal([v["Version"] for v in api.list_versions_by_function(FunctionName="f")["Versions"]], ["$LATEST", "1", "2"])
        alias = api.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
        equal((alias["AliasArn"], "RoutingConfig" in alias), (f"{ARN}:f:live", False))
        answer, told = invoked(api, "f", {}, Qualifier="live")
        equal((answer["ExecutedVersion"], told), ("1", [1, "1", f"{ARN}:f:live"]))
        equal(invoked(api, "f:2", {})[1], [2])
        api.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 1.0}})
        equal(invoked(api, "f", {}, Qualifier="live")[0]["ExecutedVersion"], "2")
        api.update_alias(FunctionName="f", Name="live", RoutingConfig={"AdditionalVersionWeights": {"2": 0.0}})
        equal(invoked(api, "f", {}, Qualifier="live")[0]["ExecutedVersion"], "1")
        refused(
            "ResourceConflictException",
            "Unable to delete version because the following aliases reference it: [live]",
            api.delete_function,
            FunctionName="f",
            Qualifier="1",
        )
        moved = api.update_alias(FunctionName="f", Name="live", FunctionVersion="2", RoutingConfig={})
        equal((moved["FunctionVersion"], "RoutingConfig" in moved), ("2", False))
        api.delete_function(FunctionName="f", Qualifier="1")
        refused("ResourceNotFoundException", f"Function not found: {ARN}:f:1", api.invoke, FunctionName="f", Qualifier="1")
        refused(
            "ResourceNotFoundException",
            f"Cannot find alias arn: {ARN}:f:none",
            api.get_alias,
            FunctionName="f",
            Name="none",
        )
        equal([a["Name"] for a in api.list_aliases(FunctionName="f")["Aliases"]], ["live"])

        told = api.add_permission(
            FunctionName="f",
            StatementId="s3",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn="arn:aws:s3:::b",
            SourceAccount=ACCOUNT,
        )
        statement = json.loads(told["Statement"])
        equal((statement["Principal"], statement["Resource"]), ({"Service": "s3.amazonaws.com"}, f"{ARN}:f"))
        equal(len(json.loads(api.get_policy(FunctionName="f")["Policy"])["Statement"]), 1)
        api.remove_permission(FunctionName="f", StatementId="s3")
        refused(
            "ResourceNotFoundException", "The resource you requested does not exist.", api.get_policy, FunctionName="f"
        )
        api.tag_resource(Resource=f"{ARN}:f", Tags={"a": "1", "b": "2"})
        api.untag_resource(Resource=f"{ARN}:f", TagKeys=["a"])
        equal(api.list_tags(Resource=f"{ARN}:f")["Tags"], {"b": "2"})
        api.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
        equal(api.get_function_event_invoke_config(FunctionName="f")["MaximumRetryAttempts"], 1)
        equal(api.get_account_settings()["AccountUsage"]["FunctionCount"], 1)
        api.delete_alias(FunctionName="f", Name="live")
        equal(api.list_aliases(FunctionName="f")["Aliases"], [])


NODE = """
export const handler = async (event, context) => {
  console.log("seen", event);
  if (event === "throw") throw new TypeError("boom");
  return { event, id: context.awsRequestId, left: context.getRemainingTimeInMillis() > 0, region: process.env.AWS_REGION };
};
export const callback = (event, context, done) => setTimeout(() => done(null, "called back"), 5);
"""

# The whole of a custom runtime, as AWS's documentation has it.
SHELL = """#!/bin/sh
set -eu
while true; do
  headers=$(mktemp)
  event=$(curl -sS -LD "$headers" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  id=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$headers" | tr -d '[:space:]' | cut -d: -f2)
  echo "got $event"
  curl -sS "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$id/response" -d "{\\"shell\\": $event, \\"handler\\": \\"$_HANDLER\\"}" >/dev/null
done
"""


def runtimes():
    """Node, a bootstrap of one's own, and Python without AWS's client."""
    with tempfile.TemporaryDirectory() as directory, server(directory, own_python=True):
        api = client("lambda")
        worker = execution_role()
        holds(shutil.which("node"), "node is not installed: nothing of it can be proven here (Debian: nodejs)")
        made(api, "node", {"index.mjs": NODE}, worker, "nodejs22.x", "index.handler", MemorySize=512)
        answer, told = invoked(api, "node", {"n": 1}, LogType="Tail")
        equal((told["event"], told["left"], told["region"]), ({"n": 1}, True, REGION))
        tail = base64.b64decode(answer["LogResult"]).decode()
        matches(tail, rf".*Z\t{told['id']}\tINFO\tseen \{{ n: 1 \}}\n.*")
        answer, told = invoked(api, "node", "throw")
        equal((answer["FunctionError"], told["errorType"], told["errorMessage"]), ("Unhandled", "TypeError", "boom"))
        equal(told["trace"][0], "TypeError: boom")
        made(api, "callback", {"index.mjs": NODE}, worker, "nodejs22.x", "index.callback", MemorySize=512)
        equal(invoked(api, "callback")[1], "called back")
        made(api, "shell", {"bootstrap": SHELL}, worker, "provided.al2023", "some.thing")
        equal(invoked(api, "shell", [1])[1], {"shell": [1], "handler": "some.thing"})
        holds("got [1]\n" in log_of("shell"), "the output of a bootstrap is its log")
        made(api, "none", {"other": ""}, worker, "provided.al2023", "x")
        equal(invoked(api, "none")[1]["errorType"], "Runtime.InvalidEntrypoint")

        made(api, "own", {"app.py": ECHO}, worker, Environment={"Variables": {"STAGE": "own"}})
        _, told = invoked(api, "own", {"k": "v"})
        equal((told["event"], told["environment"]["STAGE"], told["name"]), ({"k": "v"}, "own", "own"))
        holds(not told["official"], "it runs under Towpath's own client")
        made(api, "bad", {"app.py": FAILING}, worker)
        answer, told = invoked(api, "bad", "raise", LogType="Tail")
        equal((told["errorType"], told["errorMessage"]), ("ValueError", "boom"))
        holds("app.py" in told["stackTrace"][0], f"the trace begins in the handler: {told['stackTrace']}")
        equal(invoked(api, "bad", "odd")[1]["errorType"], "Runtime.MarshalError")
        for name, text, handler, kind in (
            ("syntax", "def handler(:", "app.handler", "Runtime.UserCodeSyntaxError"),
            ("missing", "", "app.handler", "Runtime.HandlerNotFound"),
            ("module", "", "none.handler", "Runtime.ImportModuleError"),
        ):
            made(api, name, {"app.py": text}, worker, handler=handler)
            equal(invoked(api, name, {})[1]["errorType"], kind, name)


CALLING = """
import boto3
def handler(event, context):
    boto3.client("s3").put_object(Bucket="out", Key=event["key"], Body=b"from the handler")
    return boto3.client("sts").get_caller_identity()["Arn"]
"""


def calling_aws():
    """A handler's boto3 reaches Towpath, as its execution role, and may do what that role may."""
    with tempfile.TemporaryDirectory() as directory, server(directory):
        api = client("lambda")
        worker = execution_role(actions=(*LOGS, "s3:PutObject"))
        bucket("out")
        made(api, "call", {"app.py": CALLING}, worker, MemorySize=512)
        answer, told = invoked(api, "call", {"key": "a"})
        equal(told, f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/call")
        equal(client("s3").get_object(Bucket="out", Key="a")["Body"].read(), b"from the handler")
        client("iam").put_role_policy(RoleName="worker", PolicyName="work", PolicyDocument=allow(*LOGS))
        answer, told = invoked(api, "call", {"key": "b"})
        equal((answer["FunctionError"], told["errorType"]), ("Unhandled", "AccessDenied"))
        holds("AccessDenied" in told["errorMessage"], told["errorMessage"])


WRITING = """
import os, time
def handler(event, context):
    with open(event["file"], "a") as out:
        out.write(context.aws_request_id + "\\n")
    if event.get("wait"):
        while not os.path.exists(event["wait"]):
            time.sleep(0.05)
    if event.get("fail"):
        raise RuntimeError("no")
"""


def events():
    """Asynchronous invocations: accepted at once, run once where the function works, not lost by a kill."""
    # They tell by files of the host, which they would not see from a sandbox.
    with tempfile.TemporaryDirectory() as directory, server(directory, config=HOST) as running:
        api = client("lambda")
        worker = execution_role()
        made(api, "write", {"app.py": WRITING}, worker)
        seen, gate = pathlib.Path(directory) / "seen", pathlib.Path(directory) / "gate"

        def lines():
            return seen.read_text().split() if seen.exists() else []

        answer = api.invoke(FunctionName="write", InvocationType="Event", Payload=json.dumps({"file": str(seen)}))
        equal((answer["StatusCode"], answer["Payload"].read()), (202, b""))
        request = answer["ResponseMetadata"]["RequestId"]
        wait("the event to run", lines)
        equal(lines(), [request])

        # No retries: a failing function runs once, which its log tells.
        api.put_function_event_invoke_config(FunctionName="write", MaximumRetryAttempts=0)
        failing = pathlib.Path(directory) / "failing"
        api.invoke(
            FunctionName="write", InvocationType="Event", Payload=json.dumps({"file": str(failing), "fail": True})
        )
        wait("the failing event to run", lambda: failing.exists())
        wait("its end", lambda: any("RuntimeError" in line for line in log_of("write")))
        api.delete_function_event_invoke_config(FunctionName="write")

        # An event that is running when the server is killed is run again; its process does not outlive the server.
        seen.unlink()
        api.invoke(
            FunctionName="write",
            InvocationType="Event",
            Payload=json.dumps({"file": str(seen), "wait": str(gate)}),
        )
        wait("the event to begin", lines)
        running.kill()
        wait("its process to end", lambda: not processes(str(pathlib.Path(directory) / "data")))
        gate.write_text("open")
        running.start()
        wait("the event to run again", lambda: len(lines()) >= 2)
        equal(len(set(lines())), 1, "it is the same event")
        code, _ = running.terminate()
        equal(code, 0)
        wait("every process to end with the server", lambda: not processes(str(pathlib.Path(directory) / "data")))


def processes(mark):
    """The command lines of processes that name a directory."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if mark in command and "serve" not in command:
            found.append(command)
    return found


def aws_cli():
    """The same through the AWS CLI, as its own documentation goes."""
    with tempfile.TemporaryDirectory() as directory, server(directory):
        worker = execution_role()
        (pathlib.Path(directory) / "function.zip").write_bytes(packed({"app.py": ECHO}))

        def aws(*arguments):
            command = [os.path.join(TESTS_OWN, "aws"), *arguments, "--output", "json"]
            run = subprocess.run(command, cwd=directory, capture_output=True, text=True)
            equal(run.returncode, 0, run.stderr)
            return json.loads(run.stdout) if run.stdout.strip() else None

        aws("lambda", "create-function", "--function-name", "cli", "--runtime", PYTHON, "--handler", "app.handler",
            "--role", worker, "--zip-file", "fileb://function.zip", "--timeout", str(TIMEOUT))
        aws("lambda", "wait", "function-active-v2", "--function-name", "cli")
        answer = aws("lambda", "invoke", "--function-name", "cli", "--payload", '{"key": "value"}', "out.json")
        equal((answer["StatusCode"], answer["ExecutedVersion"]), (200, "$LATEST"))
        equal(json.loads((pathlib.Path(directory) / "out.json").read_text())["event"], {"key": "value"})
        equal(aws("lambda", "publish-version", "--function-name", "cli")["Version"], "1")
        aws("lambda", "create-alias", "--function-name", "cli", "--name", "live", "--function-version", "1")
        equal(aws("lambda", "get-function", "--function-name", "cli:live")["Configuration"]["Version"], "1")
        aws("lambda", "delete-function", "--function-name", "cli")


LOOKING = """
import os, pathlib, subprocess, sys
def tried(path):
    try:
        pathlib.Path(path).write_text("x")
        return True
    except OSError:
        return False
def handler(event, context):
    if event == "die":
        os.kill(os.getpid(), 11)
    if event == "grow":
        # By a process that it starts: that counts too.
        subprocess.run([sys.executable, "-c", "import time; kept = b'x' * 200_000_000; time.sleep(60)"])
    kept = pathlib.Path("/tmp/kept")
    seen = kept.exists()
    if os.environ["TMPDIR"] == "/tmp":
        kept.write_text("x")
    return {
        "root": os.environ["LAMBDA_TASK_ROOT"], "here": os.getcwd(), "tmp": os.environ["TMPDIR"], "kept": seen,
        "sees": [path for path in event if os.path.exists(path)],
        "writes": [path for path in ("/x", "/usr/x", os.environ["LAMBDA_TASK_ROOT"] + "/x", os.environ["TMPDIR"] + "/x") if tried(path)],
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "file": __file__,
    }
"""


def sandbox():
    """A function sees its code, its interpreter and a /tmp of its own, and nothing of the server's; [sandbox] is for it too."""
    with tempfile.TemporaryDirectory() as directory:
        with server(directory) as running:
            api = client("lambda")
            worker = execution_role()
            made(api, "look", {"app.py": LOOKING}, worker)
            made(api, "other", {"app.py": LOOKING}, worker)
            data = str(running.data)
            private = [directory, data, f"{data}/credentials", os.environ["HOME"] + "/.profile", str(pathlib.Path(__file__))]
            _, told = invoked(api, "look", private)
            equal((told["root"], told["here"], told["tmp"]), ("/var/task", "/var/task", "/tmp"), "where it is")
            equal((told["sees"], told["file"]), ([], "/var/task/app.py"), "what it sees")
            equal(told["writes"], ["/tmp/x"], "where it writes, root or not")
            holds(told["processes"] < 5, f"it sees its own processes only: {told['processes']}")
            holds(not told["kept"] and invoked(api, "look", [])[1]["kept"], "its /tmp is kept for the next event")
            holds(not invoked(api, "other", [])[1]["kept"], "and is no other's")
            for event, kind, message in (("die", "Runtime.ExitError", "signal: segmentation fault"),
                                         ("grow", "Runtime.OutOfMemory", "signal: killed")):
                _, told = invoked(api, "look", event)
                equal(told["errorType"], kind, event)
                matches(told["errorMessage"], rf"RequestId: \S+ Error: Runtime exited with error: {message}")
            running.terminate()
            wait("every process to end with the server", lambda: not processes(data))

        # On the host, where the operator says so.
        with server(directory, config=HOST) as running:
            _, told = invoked(client("lambda"), "look", private[:1])
            equal(told["sees"], [directory], "the host is seen")
            holds(told["root"].startswith(data), told["root"])

        # Without bubblewrap nothing runs, and whoever asks is told at once what to do.
        os.environ["PATH"] = TESTS_OWN
        with Server(directory):
            for kind in ("RequestResponse", "Event"):
                refused("InvalidRuntimeException",
                        re.compile(r"no sandbox for functions: bwrap is not installed; install the bubblewrap package\. Or set kind = "
                                   r'"host" under \[sandbox\] in towpath\.toml .*'),
                        client("lambda").invoke, FunctionName="look", InvocationType=kind)


def declared():
    """A function of towpath.toml is there, and follows its directory at the next start."""
    with tempfile.TemporaryDirectory() as directory:
        code = pathlib.Path(directory) / "notify"
        code.mkdir()
        (code / "app.py").write_text("import os\ndef handler(e, c): return os.environ['STAGE']\n")
        config = f"""
            [functions.notify]
            path = "notify"
            runtime = "{PYTHON}"
            handler = "app.handler"
            timeout = {TIMEOUT}
            environment = {{ STAGE = "one" }}
        """
        with Server(directory, config) as running:
            api = client("lambda")
            equal(invoked(api, "notify")[1], "one")
            before = api.get_function_configuration(FunctionName="notify")
            equal(before["Role"], f"arn:aws:iam::{ACCOUNT}:role/towpath-functions")
            running.terminate()
            running.start()
            api = client("lambda")
            equal(api.get_function_configuration(FunctionName="notify")["RevisionId"], before["RevisionId"], "untouched")
            running.terminate()
            (code / "app.py").write_text("def handler(e, c): return 'two'\n")
            running.start()
            equal(invoked(client("lambda"), "notify")[1], "two")


if __name__ == "__main__":
    main([life, failures, wrong_input, versions, runtimes, calling_aws, events, aws_cli, sandbox, declared])
