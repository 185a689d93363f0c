"""The main job with the stock AWS CLI: every step is one `aws` command, as a person would type it."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import botocore.session

import record
from harness import PATIENCE_SECONDS, equal, holds, main, trust, wait, allow

AWS = pathlib.Path(sys.executable).parent / "aws"

BUILDSPEC = """\
version: 0.2
env:
  exported-variables: [RELEASE]
phases:
  build:
    commands:
      - RELEASE=r-$CODEBUILD_BUILD_NUMBER
      - mkdir out && tr a-z A-Z < page.txt > out/page.txt
      - echo "made $RELEASE"
artifacts:
  base-directory: out
  files: ["*"]
"""


OPERATIONS = {
    botocore.xform_name(name, "-"): name
    for name in botocore.session.get_session().get_service_model("codepipeline").operation_names
}


def run(*arguments):
    done = subprocess.run([AWS, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    if arguments[0] == "codepipeline":
        error = re.search(r"An error occurred \((\w+)\)", done.stderr)
        if done.returncode == 0 or error:
            record.note("AWS CLI", OPERATIONS[arguments[1]], error and error[1])
    return done


def aws(*arguments):
    """The answer of a command that must succeed; JSON where it has any."""
    done = run(*arguments, "--output", "json")
    if done.returncode != 0:
        raise AssertionError(f"aws {' '.join(arguments)}: {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout


def refusal(code, message, *arguments):
    done = run(*arguments)
    holds(done.returncode in (254, 255), f"exit {done.returncode}: {done.stdout}{done.stderr}")
    holds(f"({code})" in done.stderr and message in done.stderr, done.stderr)


def role(name, service, directory):
    document = directory / "trust.json"
    document.write_text(trust(service))
    arn = aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", f"file://{document}")["Role"]["Arn"]
    policy = directory / "policy.json"
    policy.write_text(allow("s3:*", "codebuild:*", "logs:*"))
    aws("iam", "put-role-policy", "--role-name", name, "--policy-name", "work", "--policy-document", f"file://{policy}")
    return arn


def declaration(arn):
    def action(name, category, provider, configuration, inputs=(), outputs=(), **more):
        return {"name": name, "actionTypeId": {"category": category, "owner": "AWS", "provider": provider, "version": "1"},
                "configuration": configuration, "inputArtifacts": [{"name": n} for n in inputs],
                "outputArtifacts": [{"name": n} for n in outputs], **more}

    source = {"S3Bucket": "source", "S3ObjectKey": "app.zip", "PollForSourceChanges": "false"}
    return {"pipeline": {
        "name": "site", "roleArn": arn, "artifactStore": {"type": "S3", "location": "artifacts"},
        "stages": [
            {"name": "Source", "actions": [action("Fetch", "Source", "S3", source, outputs=["src"])]},
            {"name": "Build", "actions": [
                action("Make", "Build", "CodeBuild", {"ProjectName": "site"}, ["src"], ["built"], namespace="Build")]},
            {"name": "Gate", "actions": [action("Ok", "Approval", "Manual", {})]},
            {"name": "Deploy", "actions": [action("Put", "Deploy", "S3", {
                "BucketName": "site", "Extract": "true", "ObjectKey": "#{Build.RELEASE}"}, ["built"])]},
        ]}}


def main_job():
    with tempfile.TemporaryDirectory() as path:
        directory = pathlib.Path(path)
        archive = directory / "app.zip"
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("page.txt", "hello from the command line\n")
            made.writestr("buildspec.yml", BUILDSPEC)
        for bucket in ("source", "artifacts", "site"):
            aws("s3", "mb", f"s3://{bucket}")
        aws("s3api", "put-bucket-versioning", "--bucket", "source", "--versioning-configuration", "Status=Enabled")
        aws("s3", "cp", str(archive), "s3://source/app.zip")
        arn = role("pipeline", "codepipeline.amazonaws.com", directory)
        builder = role("builder", "codebuild.amazonaws.com", directory)
        aws("codebuild", "create-project", "--name", "site", "--source", "type=CODEPIPELINE", "--artifacts",
            "type=CODEPIPELINE", "--environment",
            "type=LINUX_CONTAINER,image=aws/codebuild/standard:7.0,computeType=BUILD_GENERAL1_SMALL", "--service-role", builder)
        file = directory / "pipeline.json"
        file.write_text(json.dumps(declaration(arn)))
        aws("codepipeline", "create-pipeline", "--cli-input-json", f"file://{file}")

        def gate():
            stages = aws("codepipeline", "get-pipeline-state", "--name", "site")["stageStates"]
            return stages[2]["actionStates"][0].get("latestExecution", {}).get("token")

        token = wait("the approval", gate)
        aws("codepipeline", "put-approval-result", "--pipeline-name", "site", "--stage-name", "Gate", "--action-name", "Ok",
            "--result", "summary=fine,status=Approved", "--token", token)

        def ended():
            rows = aws("codepipeline", "list-pipeline-executions", "--pipeline-name", "site")["pipelineExecutionSummaries"]
            return rows[0]["status"] if rows[0]["status"] != "InProgress" else None

        equal(wait("the end", ended), "Succeeded", "the execution")
        page = directory / "page.txt"
        aws("s3", "cp", "s3://site/r-1/page.txt", str(page))
        equal(page.read_text(), "HELLO FROM THE COMMAND LINE\n", "the deployed object")
        log = aws("logs", "filter-log-events", "--log-group-name", "/aws/codebuild/site", "--filter-pattern", '"made r-1"')
        holds(any(event["message"].strip() == "made r-1" for event in log["events"]), f"the log: {log}")
        ids = aws("codebuild", "list-builds")["ids"]
        build = aws("codebuild", "batch-get-builds", "--ids", *ids)["builds"][0]
        equal((len(ids), build["buildStatus"]), (1, "SUCCEEDED"), "the build")


def refusals():
    refusal("PipelineNotFoundException", "The account with AWS account ID '123456789012' does not include a pipeline named 'q'",
            "codepipeline", "get-pipeline", "--name", "q")
    refusal("NoSuchBucket", "The specified bucket does not exist", "s3api", "list-objects-v2", "--bucket", "nobody")
    refusal("NoSuchEntity", "nobody", "iam", "get-role", "--role-name", "nobody")
    refusal("ResourceNotFoundException", "The specified log group does not exist", "logs", "filter-log-events",
            "--log-group-name", "nobody")


def job_worker():
    """A job worker made of the stock CLI, and the calls that show and steer stages and their conditions."""
    with tempfile.TemporaryDirectory() as path:
        directory = pathlib.Path(path)
        arn = role("pipeline", "codepipeline.amazonaws.com", directory)
        made = aws("codepipeline", "create-custom-action-type", "--category", "Build", "--provider", "Farm", "--action-version", "1",
                   "--settings", json.dumps({"entityUrlTemplate": "https://farm.example/{Config:Project}"}),
                   "--configuration-properties", "name=Project,required=true,key=true,secret=false,queryable=true,type=String",
                   "--input-artifact-details", "minimumCount=0,maximumCount=1",
                   "--output-artifact-details", "minimumCount=0,maximumCount=1", "--tags", "key=team,value=locks")
        equal(made["actionType"]["id"]["owner"], "Custom", "owner")

        def action(name, owner, category, provider, configuration=None, **more):
            kind = {"category": category, "owner": owner, "provider": provider, "version": "1"}
            return {"name": name, "actionTypeId": kind, "configuration": configuration or {}, **more}

        check = {"name": "IsOn", "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "VariableCheck", "version": "1"},
                 "configuration": {"Variable": "#{variables.Go}", "Operator": "EQ", "Value": "yes"}}
        declared = {"pipeline": {
            "name": "farm", "roleArn": arn, "artifactStore": {"type": "S3", "location": "artifacts"}, "pipelineType": "V2",
            "variables": [{"name": "Go", "defaultValue": "yes"}],
            "stages": [
                {"name": "Source", "actions": [action("Fetch", "Custom", "Source", "Rehearsal", outputArtifacts=[{"name": "src"}])]},
                {"name": "Work", "actions": [action("Grow", "Custom", "Build", "Farm", {"Project": "ferry"})],
                 "onSuccess": {"conditions": [{"result": "FAIL", "rules": [check]}]}},
            ]}}
        file = directory / "farm.json"
        file.write_text(json.dumps(declared))
        aws("codepipeline", "create-pipeline", "--cli-input-json", f"file://{file}")

        def work(call, *arguments):
            kind = "category=Build,owner=Custom,provider=Farm,version=1"
            jobs = wait("a job", lambda: aws(
                "codepipeline", "poll-for-jobs", "--action-type-id", kind, "--query-param", "Project=ferry")["jobs"])
            job = jobs[0]
            got = aws("codepipeline", "acknowledge-job", "--job-id", job["id"], "--nonce", job["nonce"])
            equal(got, {"status": "InProgress"}, "acknowledged")
            details = aws("codepipeline", "get-job-details", "--job-id", job["id"])["jobDetails"]
            equal(details["data"]["pipelineContext"]["pipelineName"], "farm", "details")
            equal(aws("codepipeline", call, "--job-id", job["id"], *arguments), "", "an empty answer")
            return details["data"]["pipelineContext"]["pipelineExecutionId"]

        def ended(execution, want):
            def look():
                got = aws("codepipeline", "get-pipeline-execution", "--pipeline-name", "farm", "--pipeline-execution-id", execution)
                return got["pipelineExecution"]["status"] == want
            wait(f"{execution} to be {want}", look)

        first = work("put-job-success-result", "--execution-details", "summary=grown,externalExecutionId=7,percentComplete=100")
        ended(first, "Succeeded")
        aws("codepipeline", "start-pipeline-execution", "--name", "farm")
        second = work("put-job-failure-result", "--failure-details", "type=JobFailed,message=drought")
        ended(second, "Failed")
        place = ("--pipeline-name", "farm", "--stage-name", "Work")
        back = aws("codepipeline", "rollback-stage", *place, "--target-pipeline-execution-id", first)["pipelineExecutionId"]
        equal(work("put-job-success-result"), back, "the rollback's job")
        ended(back, "Succeeded")
        third = aws("codepipeline", "start-pipeline-execution", "--name", "farm", "--variables", "name=Go,value=no")
        third = third["pipelineExecutionId"]
        work("put-job-success-result")
        ended(third, "Failed")
        rules = aws("codepipeline", "list-rule-executions", "--pipeline-name", "farm", "--filter", f"pipelineExecutionId={third}")
        equal([(r["ruleName"], r["status"]) for r in rules["ruleExecutionDetails"]], [("IsOn", "Failed")], "rule executions")
        equal(aws("codepipeline", "override-stage-condition", *place, "--pipeline-execution-id", third,
                  "--condition-type", "ON_SUCCESS"), "", "overridden")
        ended(third, "Succeeded")
        names = {t["id"]["provider"] for t in aws("codepipeline", "list-rule-types")["ruleTypes"]}
        holds({"VariableCheck", "DeploymentWindow"} <= names, names)
        refusal("JobNotFoundException", "does not exist", "codepipeline", "get-job-details", "--job-id",
                "00000000-0000-4000-8000-000000000000")
        aws("codepipeline", "delete-custom-action-type", "--category", "Build", "--provider", "Farm", "--action-version", "1")


if __name__ == "__main__":
    main([main_job, refusals, job_worker])
