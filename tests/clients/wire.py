"""What only a raw request shows: encodings, headers, request ids, timestamps, errors before any operation."""

import json
import re
import time

from harness import (
    ACCOUNT,
    Pipelines,
    Wire,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    rehearsal,
    role,
    stage,
)

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# The body limit of the front door; AWS's own is smaller.
BODY_MAX = 8 * 1024 * 1024


def not_found(name):
    return f"The account with AWS account ID '{ACCOUNT}' does not include a pipeline named '{name}'"


def one_pipeline(name="p"):
    stages = (stage("Source", rehearsal("Fetch", "Source")), stage("Work", rehearsal("Make")))
    client("codepipeline").create_pipeline(pipeline=pipeline(name, role(), *stages))
    return name


def failure(wire, operation, body, **headers):
    status, got, answer = wire.post(operation, body, **headers)
    told = json.loads(answer)
    equal(got["x-amzn-errortype"], told["__type"], "the header names the same error")
    equal(got["content-type"], "application/x-amz-json-1.1", "content type of an error")
    matches(got["x-amzn-requestid"], UUID, "request id of an error")
    return status, told["__type"], told.get("message")


def answers():
    wire = Wire()
    one_pipeline()
    status, headers, body = wire.post("GetPipeline", b'{"name":"p","nobodyKnows":{"a":1}}')
    equal(status, 200, "an unknown member is ignored on the wire")
    equal(headers["content-type"], "application/x-amz-json-1.1", "content type")
    matches(headers["x-amzn-requestid"], UUID, "request id")
    _, others, again = wire.post("GetPipeline", b'{"name":"p","version":null}')
    holds(others["x-amzn-requestid"] != headers["x-amzn-requestid"], "every request has an id of its own")
    equal(again, body, "null is absent")
    created = json.loads(body)["metadata"]["created"]
    holds(isinstance(created, (int, float)) and abs(created - time.time()) < 3600, f"epoch seconds: {created}")
    matches(re.search(rb'"created":([0-9.]+)', body).group(1).decode(), r"\d{10}(\.\d{1,3})?", "milliseconds at most")
    holds(b"null" not in body, "what is absent is left out")
    status, _, body = wire.post("DeletePipeline", b'{"name":"never-was"}')
    equal((status, body), (200, b""), "an operation without output answers an empty body")
    status, _, body = wire.post("DeleteWebhook", b'{"name":"never-was"}')
    equal((status, body), (200, b"{}"), "an output without members is an empty object")
    for empty in (b"", b" \n", b"{}"):
        equal(wire.post("ListPipelines", empty)[0], 200, f"{empty!r} is an empty request")
    # Both spellings of the one type, and parameters of it.
    for good in ("application/x-amz-json-1.0", "application/x-amz-json-1.1; charset=utf-8", "Application/X-Amz-JSON-1.1"):
        equal(wire.post("GetPipeline", b'{"name":"p"}', Content_Type=good)[0], 200, good)


def refusals():
    wire = Wire()
    one_pipeline()
    name = b'{"name":"p"}'
    equal(failure(wire, "GetPipeline", b'{"name":"q"}'), (400, "PipelineNotFoundException", not_found("q")), "a modeled error")
    equal(
        failure(wire, "GetPipeline", b"{}"),
        (400, "ValidationException",
         "1 validation error detected: Value at 'name' failed to satisfy constraint: Member must not be null"),
        "a required member",
    )
    # Malformed bodies.
    for body in (b"{not json", b'{"name":"p"', b'{"name":"p"}}', b'{"name":"\xff"}', b"'p'", b"name=p",
                 b'{"name":' + b"[" * 10_000):
        status, code, message = failure(wire, "GetPipeline", body)
        equal((status, code), (400, "SerializationException"), f"{body[:40]!r}")
        holds(message.startswith("Could not parse request body into json: "), message)
    for body, message in (
        (b"[]", "Start of list found where not expected"),
        (b'"p"', "STRING_VALUE can not be converted to a Structure"),
        (b"7", "NUMBER_VALUE can not be converted to a Structure"),
        (b"null", "NULL_VALUE can not be converted to a Structure"),
        (b"true", "TRUE_VALUE can not be converted to a Structure"),
    ):
        equal(failure(wire, "GetPipeline", body), (400, "SerializationException", message), f"{body!r}")
    # No operation.
    for target in ("CodePipeline_20150709.Nothing", "CodePipeline_20150709.", "CodePipeline_20150709", ".GetPipeline", "GetPipeline",
                   "CodePipeline_20150709.getpipeline", "CodePipeline_20150708.GetPipeline", "CodeBuild_20161006.GetPipeline", None):
        equal(failure(wire, "", name, X_Amz_Target=target), (400, "UnknownOperationException", None), f"target {target}")
    equal(failure(wire, "GetPipeline", name, method="PUT"), (400, "UnknownOperationException", None), "another method")
    # No content type of this protocol; a browser's form is none.
    for content_type in ("application/json", "text/plain", "application/x-www-form-urlencoded", ""):
        equal(
            failure(wire, "GetPipeline", name, Content_Type=content_type),
            (400, "UnknownOperationException",
             f"The Content-Type is '{content_type}'; it must be application/x-amz-json-1.1."), content_type,
        )
    equal(
        failure(wire, "GetPipeline", name, Content_Type=None),
        (400, "UnknownOperationException", "The Content-Type is missing; it must be application/x-amz-json-1.1."), "none",
    )
    equal(wire.post("GetPipeline", name)[0], 200, "the connection still serves")


def body_limit():
    wire = Wire()
    one_pipeline()
    fits = b'{"name":"p","filler":"' + b"x" * (BODY_MAX - 24) + b'"}'
    equal(len(fits), BODY_MAX, "the largest body")
    equal(wire.post("GetPipeline", fits)[0], 200, "it is read")
    status, code, message = failure(Wire(), "GetPipeline", fits + b" ")
    equal((status, code), (413, "RequestEntityTooLargeException"), "one byte more")
    equal(message, "The request payload exceeds the maximum allowed size.", "message")
    equal(wire.post("GetPipeline", b'{"name":"p"}')[0], 200, "the server goes on")


def other_services():
    """The same front door answers for every JSON service."""
    for service, prefix, operation in (("codebuild", "CodeBuild_20161006", "ListProjects"),
                                       ("logs", "Logs_20140328", "DescribeLogGroups")):
        wire = Wire(service, prefix)
        status, headers, _ = wire.post(operation, b"{}")
        equal(status, 200, operation)
        matches(headers["x-amzn-requestid"], UUID, "request id")
        equal(failure(wire, operation, b"{")[:2], (400, "SerializationException"), f"{service}: malformed")
        equal(failure(wire, "Nothing", b"{}")[:2], (400, "UnknownOperationException"), f"{service}: no operation")
        equal(
            failure(wire, operation, b"{}", X_Amz_Target="CodePipeline_20150709.ListPipelines"),
            (400, "UnknownOperationException", None), f"{service}: an operation of another service",
        )


def secrets():
    """A secret configuration value is a mask in every answer but a job's."""
    api = client("codepipeline")
    runs = Pipelines(api)
    wire = Wire()
    properties = [{"name": "Key", "required": True, "key": False, "secret": True}]
    none = {"minimumCount": 0, "maximumCount": 1}
    api.create_custom_action_type(
        category="Build", provider="Vault", version="1", configurationProperties=properties, inputArtifactDetails=none,
        outputArtifactDetails=none,
    )
    make = {
        "name": "Make", "configuration": {"Key": "hunter2-in-clear"},
        "actionTypeId": {"category": "Build", "owner": "Custom", "provider": "Vault", "version": "1"},
    }
    declared = pipeline("p", role(), stage("Source", rehearsal("Fetch", "Source")), stage("Work", make))

    def told(operation, **body):
        status, _, answer = wire.post(operation, json.dumps(body).encode())
        equal(status, 200, f"{operation}: {answer}")
        holds(b"hunter2" not in answer, f"{operation} shows a secret: {answer}")
        return answer

    holds(b'"****"' in told("CreatePipeline", pipeline=declared), "masked when created")
    runs.running("p", "Work", "Make")
    masked = json.loads(told("GetPipeline", name="p"))["pipeline"]
    holds(b'"****"' in told("UpdatePipeline", pipeline=masked), "masked when updated")
    for operation, body in (
        ("GetPipelineState", {"name": "p"}), ("ListActionExecutions", {"pipelineName": "p"}), ("ListPipelines", {}),
        ("ListPipelineExecutions", {"pipelineName": "p"}), ("ListActionTypes", {}),
        ("GetPipelineExecution", {"pipelineName": "p", "pipelineExecutionId": runs.first("p")}),
    ):
        told(operation, **body)
    rows = api.list_action_executions(pipelineName="p")["actionExecutionDetails"]
    made = next(row["input"] for row in rows if row["actionName"] == "Make")
    equal((made["configuration"], made["resolvedConfiguration"]), ({"Key": "****"}, {"Key": "****"}), "in the history")
    hook = {
        "name": "hook", "targetPipeline": "p", "targetAction": "Fetch", "filters": [], "authentication": "GITHUB_HMAC",
        "authenticationConfiguration": {"SecretToken": "hunter2-of-the-hook"},
    }
    holds(b'"****"' in told("PutWebhook", webhook=hook), "a webhook's secret")
    holds(b'"****"' in told("ListWebhooks"), "and when listed")


if __name__ == "__main__":
    main([answers, refusals, body_limit, other_services, secrets])
