"""Who may ask, and what: signatures, sessions, presigned URLs, permissions, and secrets that stay secret."""

import configparser
import datetime
import json
import os
import pathlib
import re
import stat
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials

from harness import (
    ACCOUNT,
    REGION,
    Pipelines,
    action,
    allow,
    approval,
    bucket,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    refused,
    rehearsal,
    role,
    source,
    s3_source,
    stage,
    wait,
)

MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and "
    "signing method. Consult the service documentation for details."
)
S3_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
INVALID_TOKEN = "The security token included in the request is invalid."
UNKNOWN_S3_KEY = "The AWS Access Key Id you provided does not exist in our records."


def keys():
    found = boto3.session.Session().get_credentials().get_frozen_credentials()
    return found.access_key, found.secret_key


def with_keys(service, key, secret, token=None):
    return client(service, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)


def send(url, body=None, headers=None, method="GET"):
    request = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def signed(body, sent=None, date=None, service="codepipeline"):
    """Signs one body and sends another, or signs at another time; gives status, code and message."""
    url = os.environ["AWS_ENDPOINT_URL"] + "/"
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "CodePipeline_20150709.ListPipelines"}
    request = botocore.awsrequest.AWSRequest("POST", url, data=body, headers=headers)
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*keys()), service, REGION)
    if date is None:
        signer.add_auth(request)
    else:
        request.context["timestamp"] = date.strftime("%Y%m%dT%H%M%SZ")
        signer._modify_request_before_signing(request)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(text, request))
    status, answer = send(url, sent if sent is not None else body, dict(request.headers), "POST")
    told = json.loads(answer)
    return status, told.get("__type"), told.get("message")


def signatures():
    key, secret = keys()
    wrong = secret[:-1] + ("x" if secret[-1] != "x" else "y")
    refused("InvalidSignatureException", re.compile(re.escape(MISMATCH) + ".*", re.DOTALL),
            with_keys("codepipeline", key, wrong).list_pipelines)
    refused("SignatureDoesNotMatch", re.compile(re.escape(MISMATCH) + ".*", re.DOTALL),
            with_keys("sts", key, wrong).get_caller_identity)
    refused("SignatureDoesNotMatch", S3_MISMATCH, with_keys("s3", key, wrong).list_buckets)

    stranger = "AKIA" + "A" * 16
    refused("UnrecognizedClientException", INVALID_TOKEN, with_keys("codepipeline", stranger, secret).list_pipelines)
    refused("UnrecognizedClientException", INVALID_TOKEN, with_keys("codebuild", stranger, secret).list_projects)
    refused("InvalidClientTokenId", INVALID_TOKEN, with_keys("sts", stranger, secret).get_caller_identity)
    refused("InvalidAccessKeyId", UNKNOWN_S3_KEY, with_keys("s3", stranger, secret).list_buckets)

    equal(signed(b"{}")[0], 200, "a request signed by hand")
    status, code, message = signed(b'{"maxResults":1}', sent=b'{"maxResults":2}')
    equal((status, code), (400, "InvalidSignatureException"), f"a body changed on its way ({message})")
    now = datetime.datetime.now(datetime.timezone.utc)
    for minutes in (-6, 6):
        date = now + datetime.timedelta(minutes=minutes)
        status, code, message = signed(b"{}", date=date)
        equal((status, code), (400, "InvalidSignatureException"), "a clock that is off")
        matches(message, r"Signature (expired|not yet current): .*", "its message")
    for minutes in (-4, 4):
        equal(signed(b"{}", date=now + datetime.timedelta(minutes=minutes))[0], 200, "a clock that is a little off")
    status, answer = send(os.environ["AWS_ENDPOINT_URL"] + "/", b"{}", {"X-Amz-Target": "CodePipeline_20150709.ListPipelines"}, "POST")
    equal((status, json.loads(answer)["__type"]), (400, "MissingAuthenticationTokenException"), "no signature")


def assumable(name, *actions):
    """A role for the account's own principals."""
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}]}
    iam = client("iam")
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    if actions:
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allow(*actions))
    return arn


def builders_sts():
    """STS as a build sees it: root may not assume roles, so that sessions begin where a service gave one."""
    builder = role("builder", actions=("sts:AssumeRole",), service="codebuild.amazonaws.com")
    file = pathlib.Path(os.environ["TOWPATH_TEST_DIRECTORY"], "session.json")
    command = """printf '["%s","%s","%s"]' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" "$AWS_SESSION_TOKEN" > """ + str(file)
    builds = client("codebuild")
    builds.create_project(
        name="session", serviceRole=builder, artifacts={"type": "NO_ARTIFACTS"},
        source={"type": "NO_SOURCE", "buildspec": json.dumps({"version": 0.2, "phases": {"build": {"commands": [command]}}})},
        environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL"},
        logsConfig={"cloudWatchLogs": {"status": "DISABLED"}})
    id = builds.start_build(projectName="session")["build"]["id"]
    done = wait("the build", lambda: next((b for b in builds.batch_get_builds(ids=[id])["builds"] if b["buildComplete"]), None))
    equal(done["buildStatus"], "SUCCEEDED", "the build")
    return with_keys("sts", *json.loads(file.read_text()))


def sessions():
    arn = assumable("reader", "codepipeline:List*", "s3:ListAllMyBuckets")
    refused("AccessDenied", "Roles may not be assumed by root accounts.", client("sts").assume_role,
            RoleArn=arn, RoleSessionName="me")
    sts = builders_sts()
    matches(sts.get_caller_identity()["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/builder/AWSCodeBuild-.+", "a build's session")
    given = sts.assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    key, secret, token = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    matches(key, "ASIA[A-Z0-9]{16}", "a session's key")
    who = with_keys("sts", key, secret, token).get_caller_identity()["Arn"]
    equal(who, f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/me", "who it is")
    equal(with_keys("codepipeline", key, secret, token).list_pipelines()["pipelines"], [], "what it may")
    with_keys("s3", key, secret, token).list_buckets()

    for what in (None, "nonsense", token[:-8] + "AAAAAAAA"):
        refused("UnrecognizedClientException", INVALID_TOKEN, with_keys("codepipeline", key, secret, what).list_pipelines)
        refused("InvalidClientTokenId", INVALID_TOKEN, with_keys("sts", key, secret, what).get_caller_identity)
        code = "InvalidAccessKeyId" if what is None else "InvalidToken"
        answer = with_keys("s3", key, secret, what)
        try:
            answer.list_buckets()
            raise AssertionError("a session without its token")
        except answer.exceptions.ClientError as error:
            holds(error.response["Error"]["Code"] in ("InvalidToken", code), f"S3: {error}")
    # A role that trusts a service is nobody else's.
    pipe = role("pipeline")
    refused("AccessDenied", f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {pipe}",
            with_keys("sts", key, secret, token).assume_role, RoleArn=pipe, RoleSessionName="me")
    nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    refused("AccessDenied", re.compile(f"User: .* is not authorized to perform: sts:AssumeRole on resource: {nobody}"),
            sts.assume_role, RoleArn=nobody, RoleSessionName="me")


def presigned_urls():
    s3 = client("s3", config={"signature_version": "s3v4"})
    bucket("files")
    s3.put_object(Bucket="files", Key="a b/ü.txt", Body=b"hello")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "files", "Key": "a b/ü.txt"}, ExpiresIn=60)
    equal(send(url), (200, b"hello"), "a presigned GET")
    status, answer = send(url.replace("%C3%BC", "u"))
    equal((status, b"SignatureDoesNotMatch" in answer), (403, True), "another key under the same signature")
    status, answer = send(url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))
    equal((status, b"SignatureDoesNotMatch" in answer), (403, True), "a longer life under the same signature")
    put = s3.generate_presigned_url("put_object", Params={"Bucket": "files", "Key": "new.txt"}, ExpiresIn=60)
    equal(send(put, b"written", method="PUT")[0], 200, "a presigned PUT")
    equal(s3.get_object(Bucket="files", Key="new.txt")["Body"].read(), b"written", "what it wrote")
    equal(send(put, method="GET")[0], 403, "which is good for nothing else")

    short = s3.generate_presigned_url("get_object", Params={"Bucket": "files", "Key": "new.txt"}, ExpiresIn=1)
    status, answer = wait("the URL to expire", lambda: next((got for got in [send(short)] if got[0] != 200), None))
    equal(status, 403, "an expired URL")
    holds(b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in answer, answer)
    unsigned = url.split("?")[0]
    status, answer = send(unsigned)
    equal((status, b"<Code>AccessDenied</Code>" in answer), (403, True), "no signature at all")


def permissions():
    """IAM decides before anything of a pipeline is looked at, in AWS's words."""
    runs = Pipelines()
    pipe = role("pipeline")
    runs.api.create_pipeline(pipeline=pipeline(
        "p", pipe, stage("Source", rehearsal("Fetch", "Source")), stage("Gate", approval())))
    token = runs.token("p", "Gate")
    arn = assumable("dev")
    here = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:p"
    client("iam").put_role_policy(RoleName="dev", PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": ["codepipeline:GetPipelineState", "codepipeline:CreatePipeline"], "Resource": "*"},
            {"Effect": "Deny", "Action": "codepipeline:StopPipelineExecution", "Resource": here}]}))
    given = builders_sts().assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    dev = with_keys("codepipeline", given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    me = f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/me"

    def denied(what, resource, why):
        return f"User: {me} is not authorized to perform: {what} on resource: {resource} {why}"

    def missing(what):
        return f"because no identity-based policy allows the {what} action"

    equal(dev.get_pipeline_state(name="p")["pipelineName"], "p", "what is allowed")
    for what, resource, call, arguments in (
        ("codepipeline:GetPipeline", here, dev.get_pipeline, {"name": "p"}),
        ("codepipeline:GetPipeline", here[:-1] + "absent", dev.get_pipeline, {"name": "absent"}),
        ("codepipeline:PutApprovalResult", here + "/Gate/Ok", dev.put_approval_result,
         {"pipelineName": "p", "stageName": "Gate", "actionName": "Ok", "token": token,
          "result": {"status": "Approved", "summary": ""}}),
        ("codepipeline:DisableStageTransition", here + "/Gate", dev.disable_stage_transition,
         {"pipelineName": "p", "stageName": "Gate", "transitionType": "Inbound", "reason": "x"}),
    ):
        refused("AccessDeniedException", denied(what, resource, missing(what)), call, **arguments)
    refused("AccessDeniedException",
            denied("codepipeline:StopPipelineExecution", here, "with an explicit deny in an identity-based policy"),
            dev.stop_pipeline_execution, pipelineName="p", pipelineExecutionId=runs.first("p"))
    # Handing a role to CodePipeline needs iam:PassRole on it.
    refused("AccessDeniedException", denied("iam:PassRole", pipe, missing("iam:PassRole")), dev.create_pipeline,
            pipeline=pipeline("mine", pipe, stage("Source", rehearsal("Fetch", "Source")), stage("Gate", approval())))
    equal(runs.action_latest("p", "Gate", "Ok")["status"], "InProgress", "nothing happened")


def secrets():
    """The root user's key is in one file that only its owner reads; no log and no page shows it, nor a session's."""
    file = pathlib.Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    equal(stat.S_IMODE(file.stat().st_mode), 0o600, "mode of the credentials file")
    profile = configparser.ConfigParser()
    profile.read(file)
    equal(profile.sections() or list(profile), ["default"], "one profile")
    key, secret = keys()

    # A whole run, with sessions, so that there is something to leak.
    runs = Pipelines()
    source({"a.txt": "a"})
    bucket("artifacts")
    builder = role("builder", service="codebuild.amazonaws.com")
    client("codebuild").create_project(
        name="leaky", serviceRole=builder, artifacts={"type": "CODEPIPELINE"},
        source={"type": "CODEPIPELINE",
                "buildspec": "version: 0.2\nphases:\n  build:\n    commands:\n      - echo \"key $AWS_ACCESS_KEY_ID.\"\n      - env\n"},
        environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL"})
    build = action("Make", "Build", "CodeBuild", {"ProjectName": "leaky"}, inputs=["src"])
    runs.api.create_pipeline(pipeline=pipeline(
        "p", role(), stage("Source", s3_source()), stage("Build", build)))
    runs.ended("p", runs.first("p"), "Succeeded")
    events = client("logs").filter_log_events(logGroupName="/aws/codebuild/leaky")["events"]
    lines = [event["message"].strip() for event in events]
    holds("key ***." in lines, f"AWS's keys are masked in build logs: {lines}")
    holds(not any(re.search("ASIA[A-Z0-9]{16}", line) for line in lines), "no session's key in the log")
    holds(not any(line.startswith("AWS_SECRET_ACCESS_KEY=") and not line.endswith("***") for line in lines), "no secret either")
    holds(not any(secret in line for line in lines), "nor the root user's")

    endpoint = os.environ["AWS_ENDPOINT_URL"]
    pages = b"".join(send(endpoint + path)[1] for path in ("/", "/health", "/metrics", "/console/"))
    log = pathlib.Path(os.environ["TOWPATH_TEST_DIRECTORY"], "server.log").read_text()
    for where, text in (("a page", pages.decode()), ("the server's log", log)):
        holds(secret not in text and key not in text, f"the root user's key is in {where}")


if __name__ == "__main__":
    main([signatures, sessions, presigned_urls, permissions, secrets])
