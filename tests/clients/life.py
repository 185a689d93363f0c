"""A whole life of a pipeline, once with boto3 and once with the AWS CLI: everything it needs is made, it is tagged, run,
approved, held up, retried, changed, stopped, looked back upon, listened for, and taken down again with all it needed."""

import json
import pathlib
import re
import tempfile

import main_job as job
from aws_cli import aws, refusal
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
    pipeline,
    refused,
    s3_source,
    stage,
    trust,
    wait,
    zipped,
)

ARN = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:life"
HOOK = {
    "name": "hook", "targetPipeline": "life", "targetAction": "Fetch",
    "filters": [{"jsonPath": "$.ref", "matchEquals": "refs/heads/{S3ObjectKey}"}],
    "authentication": "GITHUB_HMAC", "authenticationConfiguration": {"SecretToken": "s3cr3t-unique"},
}
BUCKETS = ("source", "artifacts", "site")
GONE = f"The account with AWS account ID '{ACCOUNT}' does not include a pipeline named 'life'"
# The executions of one life, newest first.
ENDS = ["Stopped", "Succeeded", "Succeeded"]

BUILDSPEC = """\
version: 0.2
phases:
  build:
    commands:
      - tr a-z A-Z < page.txt > shout.txt
artifacts:
  files: [shout.txt]
"""
FILES = {"page.txt": "hello\n", "buildspec.yml": BUILDSPEC}


def declared(role_arn, **more):
    put = {"BucketName": "site", "Extract": "true"}
    return pipeline(
        "life", role_arn,
        stage("Source", s3_source()),
        stage("Build", job.codebuild("Make", "Build", "life", inputs=["src"], outputs=["built"])),
        stage("Gate", approval()),
        stage("Deploy", action("Put", "Deploy", "S3", put, inputs=["built"])),
        **more,
    )


def boto3():
    runs = Pipelines()
    api, iam, s3, builds = runs.api, client("iam"), client("s3"), client("codebuild")

    # Roles, buckets, project, pipeline.
    arns = {}
    for name, service in (("pipeline", "codepipeline"), ("builder", "codebuild")):
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(f"{service}.amazonaws.com"))
        arns[name] = made["Role"]["Arn"]
        iam.get_waiter("role_exists").wait(RoleName=name)
        iam.put_role_policy(RoleName=name, PolicyName="work", PolicyDocument=allow("s3:*", "codebuild:*", "logs:*"))
    for name in BUCKETS:
        bucket(name, versioned=name == "source")
        s3.get_waiter("bucket_exists").wait(Bucket=name)
    s3.put_object(Bucket="source", Key="app.zip", Body=zipped(FILES))
    s3.get_waiter("object_exists").wait(Bucket="source", Key="app.zip")
    job.project("life", None, arns["builder"])
    made = api.create_pipeline(pipeline=declared(arns["pipeline"]), tags=[{"key": "team", "value": "web"}])
    equal((made["pipeline"]["version"], made["tags"]), (1, [{"key": "team", "value": "web"}]), "created")

    # Tags.
    api.tag_resource(resourceArn=ARN, tags=[{"key": "stage", "value": "test"}, {"key": "team", "value": "data"}])
    api.untag_resource(resourceArn=ARN, tagKeys=["team"])
    tags = pages(api, "list_tags_for_resource", "tags", resourceArn=ARN)
    equal(tags, [{"key": "stage", "value": "test"}], "tags")

    # The first execution: rejected, retried, approved, held before Deploy, let go.
    first = runs.first("life")
    runs.answer("life", "Gate", runs.token("life", "Gate"), status="Rejected", summary="not yet")
    runs.ended("life", first, "Failed")
    refused("PipelineExecutionNotStoppableException", re.compile(f".*{first}.*"), api.stop_pipeline_execution, pipelineName="life",
            pipelineExecutionId=first)
    where = {"pipelineName": "life", "stageName": "Deploy", "transitionType": "Inbound"}
    api.disable_stage_transition(**where, reason="freeze")
    retried = api.retry_stage_execution(
        pipelineName="life", stageName="Gate", pipelineExecutionId=first, retryMode="FAILED_ACTIONS")
    equal(retried["pipelineExecutionId"], first, "the same execution goes on")
    runs.answer("life", "Gate", runs.token("life", "Gate"), summary="now")
    wait("the closed transition", lambda: runs.state("life", "Deploy").get("inboundExecution"))
    holds("Contents" not in s3.list_objects_v2(Bucket="site"), "nothing is deployed")
    api.enable_stage_transition(**where)
    runs.ended("life", first, "Succeeded")
    s3.get_waiter("object_exists").wait(Bucket="site", Key="shout.txt")
    equal(s3.get_object(Bucket="site", Key="shout.txt")["Body"].read(), b"HELLO\n", "the deployed object")

    # A second one of a changed definition; a third is stopped.
    changed = api.update_pipeline(pipeline=declared(arns["pipeline"], pipelineType="V2", executionMode="QUEUED"))
    equal(changed["pipeline"]["version"], 2, "updated")
    got = api.get_pipeline(name="life")["pipeline"]
    equal((got["version"], got["executionMode"]), (2, "QUEUED"), "what is stored")
    equal(api.get_pipeline(name="life", version=1)["pipeline"]["version"], 1, "the old version is kept")
    second = api.start_pipeline_execution(name="life", clientRequestToken="once")["pipelineExecutionId"]
    equal(api.start_pipeline_execution(name="life", clientRequestToken="once")["pipelineExecutionId"], second, "once")
    runs.answer("life", "Gate", runs.token("life", "Gate"))
    runs.ended("life", second, "Succeeded")
    third = api.start_pipeline_execution(name="life")["pipelineExecutionId"]
    runs.token("life", "Gate")
    api.stop_pipeline_execution(pipelineName="life", pipelineExecutionId=third, abandon=True, reason="enough")
    runs.ended("life", third, "Stopped")

    # What happened, page by page.
    rows = pages(api, "list_pipeline_executions", "pipelineExecutionSummaries", pipelineName="life")
    equal([row["pipelineExecutionId"] for row in rows], [third, second, first], "executions")
    equal([row["status"] for row in rows], ENDS, "their ends")
    rows = pages(api, "list_action_executions", "actionExecutionDetails", pipelineName="life")
    equal([row["actionName"] for row in rows if row["pipelineExecutionId"] == first],
          ["Put", "Ok", "Ok", "Make", "Fetch"], "actions of the first")
    equal([row["name"] for row in pages(api, "list_pipelines", "pipelines")], ["life"], "pipelines")
    providers = [row["id"]["provider"] for row in pages(api, "list_action_types", "actionTypes", actionOwnerFilter="AWS")]
    holds({"S3", "CodeBuild", "Manual"} <= set(providers), providers)
    equal(api.list_rule_executions(pipelineName="life")["ruleExecutionDetails"], [], "it has no rules")

    # A webhook of it.
    made = api.put_webhook(webhook=HOOK)["webhook"]
    equal(made["definition"]["authenticationConfiguration"], {"SecretToken": "****"}, "masked")
    equal(pages(api, "list_webhooks", "webhooks"), [made], "webhooks")
    api.delete_webhook(name="hook")
    equal(pages(api, "list_webhooks", "webhooks"), [], "no webhook")

    # Down again.
    api.delete_pipeline(name="life")
    refused("PipelineNotFoundException", GONE, api.get_pipeline, name="life")
    builds.delete_project(name="life")
    for name in BUCKETS:
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=name):
            for found in page.get("Versions", []):
                s3.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
        s3.delete_bucket(Bucket=name)
        s3.get_waiter("bucket_not_exists").wait(Bucket=name)
    for name in arns:
        iam.delete_role_policy(RoleName=name, PolicyName="work")
        iam.delete_role(RoleName=name)
    equal(iam.list_roles()["Roles"], [], "no role is left")
    equal(s3.list_buckets()["Buckets"], [], "no bucket is left")


def pages(api, operation, member, **arguments):
    """All rows, through botocore's paginator, one to a page where the operation can be told so."""
    paginator = api.get_paginator(operation)
    config = {"PageSize": 1} if paginator._limit_key else {}
    found = [page[member] for page in paginator.paginate(**arguments, PaginationConfig=config)]
    if config and operation != "list_tags_for_resource":
        holds(all(len(page) <= 1 for page in found), f"{operation}: pages of one")
    return [row for page in found for row in page]


def aws_cli():
    with tempfile.TemporaryDirectory() as path:
        _aws_cli(pathlib.Path(path))


def _aws_cli(directory):
    def file(name, text):
        (directory / name).write_text(text)
        return f"file://{directory / name}"

    def cp(*arguments):
        return aws("codepipeline", *arguments)

    # Roles, buckets, project, pipeline.
    arns = {}
    for name, service in (("pipeline", "codepipeline"), ("builder", "codebuild")):
        document = file("trust.json", trust(f"{service}.amazonaws.com"))
        arns[name] = aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", document)["Role"]["Arn"]
        aws("iam", "wait", "role-exists", "--role-name", name)
        aws("iam", "put-role-policy", "--role-name", name, "--policy-name", "work", "--policy-document",
            file("policy.json", allow("s3:*", "codebuild:*", "logs:*")))
    for name in BUCKETS:
        aws("s3", "mb", f"s3://{name}")
    aws("s3api", "wait", "bucket-exists", "--bucket", "source")
    aws("s3api", "put-bucket-versioning", "--bucket", "source", "--versioning-configuration", "Status=Enabled")
    (directory / "app.zip").write_bytes(zipped(FILES))
    aws("s3", "cp", str(directory / "app.zip"), "s3://source/app.zip")
    aws("codebuild", "create-project", "--name", "life", "--source", "type=CODEPIPELINE", "--artifacts", "type=CODEPIPELINE",
        "--environment", "type=LINUX_CONTAINER,image=aws/codebuild/standard:7.0,computeType=BUILD_GENERAL1_SMALL",
        "--service-role", arns["builder"])
    made = cp("create-pipeline", "--pipeline", file("life.json", json.dumps(declared(arns["pipeline"]))), "--tags",
              "key=team,value=web")
    equal(made["pipeline"]["version"], 1, "created")

    # Tags.
    cp("tag-resource", "--resource-arn", ARN, "--tags", "key=stage,value=test", "key=team,value=data")
    cp("untag-resource", "--resource-arn", ARN, "--tag-keys", "team")
    equal(cp("list-tags-for-resource", "--resource-arn", ARN)["tags"], [{"key": "stage", "value": "test"}], "tags")

    def state(stage_name):
        stages = cp("get-pipeline-state", "--name", "life")["stageStates"]
        return next(found for found in stages if found["stageName"] == stage_name)

    def open_token():
        latest = state("Gate")["actionStates"][0].get("latestExecution", {})
        return latest.get("token") if latest.get("status") == "InProgress" else None

    def answer(status):
        cp("put-approval-result", "--pipeline-name", "life", "--stage-name", "Gate", "--action-name", "Ok", "--result",
           f"summary=fine,status={status}", "--token", wait("the approval", open_token))

    def ended(execution, want):
        def look():
            got = cp("get-pipeline-execution", "--pipeline-name", "life", "--pipeline-execution-id", execution)
            status = got["pipelineExecution"]["status"]
            return status if status not in ("InProgress", "Stopping") else None
        equal(wait(f"the end of {execution}", look), want, "its end")

    def executions(*arguments):
        return cp("list-pipeline-executions", "--pipeline-name", "life", *arguments)["pipelineExecutionSummaries"]

    # The first execution: rejected, retried, approved, held before Deploy, let go.
    first = executions()[0]["pipelineExecutionId"]
    answer("Rejected")
    ended(first, "Failed")
    where = ("--pipeline-name", "life", "--stage-name", "Deploy", "--transition-type", "Inbound")
    cp("disable-stage-transition", *where, "--reason", "freeze")
    retried = cp("retry-stage-execution", "--pipeline-name", "life", "--stage-name", "Gate", "--pipeline-execution-id", first,
                 "--retry-mode", "FAILED_ACTIONS")
    equal(retried["pipelineExecutionId"], first, "the same execution goes on")
    answer("Approved")
    wait("the closed transition", lambda: state("Deploy").get("inboundExecution"))
    cp("enable-stage-transition", *where)
    ended(first, "Succeeded")
    aws("s3", "cp", "s3://site/shout.txt", str(directory / "shout.txt"))
    equal((directory / "shout.txt").read_text(), "HELLO\n", "the deployed object")

    # A second one of a changed definition; a third is stopped.
    text = json.dumps(declared(arns["pipeline"], pipelineType="V2", executionMode="QUEUED"))
    equal(cp("update-pipeline", "--pipeline", file("life.json", text))["pipeline"]["version"], 2, "updated")
    equal(cp("get-pipeline", "--name", "life")["pipeline"]["executionMode"], "QUEUED", "what is stored")
    second = cp("start-pipeline-execution", "--name", "life")["pipelineExecutionId"]
    answer("Approved")
    ended(second, "Succeeded")
    third = cp("start-pipeline-execution", "--name", "life")["pipelineExecutionId"]
    wait("the approval", open_token)
    cp("stop-pipeline-execution", "--pipeline-name", "life", "--pipeline-execution-id", third, "--abandon", "--reason", "enough")
    ended(third, "Stopped")

    # What happened; the CLI follows the pages.
    equal([(row["pipelineExecutionId"], row["status"]) for row in executions("--page-size", "1")],
          list(zip((third, second, first), ENDS)), "executions")
    rows = cp("list-action-executions", "--pipeline-name", "life", "--page-size", "2", "--filter",
              f"pipelineExecutionId={first}")["actionExecutionDetails"]
    equal([row["actionName"] for row in rows], ["Put", "Ok", "Ok", "Make", "Fetch"], "actions of the first")
    equal([row["name"] for row in cp("list-pipelines")["pipelines"]], ["life"], "pipelines")
    holds("S3" in {row["id"]["provider"] for row in cp("list-action-types")["actionTypes"]}, "action types")

    # A webhook of it.
    made = cp("put-webhook", "--webhook", file("hook.json", json.dumps(HOOK)))["webhook"]
    equal(cp("list-webhooks")["webhooks"], [made], "webhooks")
    cp("delete-webhook", "--name", "hook")
    equal(cp("list-webhooks")["webhooks"], [], "no webhook")

    # Down again.
    cp("delete-pipeline", "--name", "life")
    refusal("PipelineNotFoundException", GONE, "codepipeline", "get-pipeline", "--name", "life")
    aws("codebuild", "delete-project", "--name", "life")
    for found in aws("s3api", "list-object-versions", "--bucket", "source")["Versions"]:
        aws("s3api", "delete-object", "--bucket", "source", "--key", found["Key"], "--version-id", found["VersionId"])
    for name in BUCKETS:
        aws("s3", "rb", f"s3://{name}", "--force")
    aws("s3api", "wait", "bucket-not-exists", "--bucket", "source")
    for name in arns:
        aws("iam", "delete-role-policy", "--role-name", name, "--policy-name", "work")
        aws("iam", "delete-role", "--role-name", name)
    equal(aws("iam", "list-roles")["Roles"], [], "no role is left")


if __name__ == "__main__":
    main([boto3, aws_cli])
