"""Pipelines that begin in CodeCommit: a zip of a commit, a full clone by the build, what can be wrong with either, and the
whole way of AWS's tutorials: CodeCommit, CodeBuild, a Lambda function with continuation, a state machine. Each scenario starts
its own server; whatever is committed is pushed by git with AWS's credential helper.
"""

import json
import pathlib
import tempfile
import urllib.request

import boto3 as aws

from codecommit import put, with_helper
from git_hosts import git
from harness import ACCOUNT, EVERYTHING, REGION, Pipelines, Server, action, bucket, client, equal, holds, main, matches
from harness import pipeline, role, stage
from lambda_functions import LOGS, execution_role, log_of, made
from lambda_functions import server as server_with_python
from main_job import codebuild, project
from rules import Moto

# What AWS's guide has a pipeline's role allowed for CodeCommit.
SOURCE = tuple(f"codecommit:{name}" for name in (
    "CancelUploadArchive", "GetBranch", "GetCommit", "GetRepository", "GetUploadArchiveStatus", "UploadArchive"))

BUILDSPEC = """\
version: 0.2
env:
  exported-variables: [PAGES]
phases:
  build:
    commands:
      - if [ -e .git ]; then echo "there is a .git" && exit 1; fi
      - PAGES=$(ls pages | wc -l)
      - mkdir out && cp -r pages version.txt out
      - echo "$CODEBUILD_RESOLVED_SOURCE_VERSION" > out/resolved.txt
artifacts:
  base-directory: out
  files: ["**/*"]
"""

# The whole repository is there, at the commit, with a detached HEAD.
CLONED = """\
version: 0.2
phases:
  build:
    commands:
      - mkdir out
      - git rev-parse HEAD > out/head.txt
      - git log --format=%s > out/log.txt
      - git status --porcelain --untracked-files=no > out/status.txt
      - git rev-parse --is-shallow-repository > out/shallow.txt
      - git symbolic-ref --quiet HEAD || echo detached > out/attached.txt
      - git remote get-url origin > out/origin.txt
      - git branch --remotes --format='%(refname)' > out/branches.txt
      - git show v1:version.txt > out/old-version.txt
      - cp version.txt out
artifacts:
  base-directory: out
  files: ["**/*"]
"""

FILES = {"pages/index.html": "<p>one", "pages/über.html": "<p>two", "version.txt": "1", ".hidden": "h", "buildspec.yml": BUILDSPEC}


class Repository:
    """A repository of the server's and a clone of it."""

    def __init__(self, directory, name="lock-keeper", branch="main"):
        self.api = client("codecommit")
        self.url = self.api.create_repository(repositoryName=name)["repositoryMetadata"]["cloneUrlHttp"]
        self.name, self.branch, self.work = name, branch, pathlib.Path(directory) / f"{name}.work"
        with_helper("clone", "--quiet", self.url, str(self.work))
        git("checkout", "--quiet", "-B", branch, directory=self.work)

    def push(self, files, message, tag=None):
        """Commits files and pushes them; gives the commit."""
        for name, text in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        git("add", "--all", directory=self.work)
        git("commit", "--quiet", "-m", message, directory=self.work)
        if tag:
            git("tag", tag, directory=self.work)
        with_helper("push", "--quiet", "--tags", "origin", self.branch, directory=self.work)
        return git("rev-parse", "HEAD", directory=self.work)


def from_codecommit(repository="lock-keeper", branch="main", name="Take", **configuration):
    keys = {"RepositoryName": repository, "BranchName": branch, "PollForSourceChanges": "false", **configuration}
    return action(name, "Source", "CodeCommit", keys, outputs=["src"], namespace="Src")


def to_site(artifact="built"):
    keys = {"BucketName": "site", "Extract": "true", "ObjectKey": "#{Src.CommitId}"}
    return action("Put", "Deploy", "S3", keys, inputs=[artifact])


def prepared(*builder):
    """Buckets, roles and a CodeBuild project; gives the pipeline's role."""
    bucket("artifacts")
    bucket("site")
    arn = role(actions=(*EVERYTHING, *SOURCE))
    project("build", None, role("builder", (*EVERYTHING, *builder), "codebuild.amazonaws.com"))
    return arn


def build(**more):
    return codebuild("Make", "Build", "build", inputs=["src"], outputs=["built"], namespace="Build", **more)


def site(key):
    return client("s3").get_object(Bucket="site", Key=key)["Body"].read().decode().rstrip("\n")


def rows_of(runs, name, execution):
    return {row["actionName"]: row for row in runs.actions(name, execution)}


def zip_of_a_commit():
    """CodeCommit, CodeBuild, S3: the newest commit, its variables, and an older one on demand."""
    with tempfile.TemporaryDirectory() as directory, Server(directory) as server:
        repository = Repository(directory)
        first = repository.push(FILES, "First\n\nWith more")
        arn, runs = prepared(), Pipelines()
        declared = pipeline("locks", arn, stage("Source", from_codecommit(PollForSourceChanges="true")), stage("Build", build()),
                            stage("Release", to_site()), pipelineType="V2")
        runs.api.create_pipeline(pipeline=declared)
        execution = runs.first("locks")
        runs.ended("locks", execution, "Succeeded")
        equal((site(f"{first}/pages/index.html"), site(f"{first}/pages/über.html"), site(f"{first}/version.txt")), ("<p>one", "<p>two", "1"))
        rows = rows_of(runs, "locks", execution)
        variables = rows["Take"]["output"]["outputVariables"]
        for name in ("AuthorDate", "CommitterDate"):
            matches(variables.pop(name), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
        equal(variables, {"BranchName": "main", "CommitId": first, "CommitMessage": "First\n\nWith more", "RepositoryName": "lock-keeper"})
        equal(rows["Make"]["output"]["outputVariables"]["PAGES"], "2")
        result = rows["Take"]["output"]["executionResult"]
        equal(result["externalExecutionId"], first)
        holds(result["externalExecutionUrl"].startswith(f"{server.url}/console/codecommit/"), result)
        revision = runs.api.get_pipeline_execution(pipelineName="locks", pipelineExecutionId=execution)["pipelineExecution"]["artifactRevisions"][0]
        equal((revision["revisionId"], revision["revisionSummary"]), (first, "First\n\nWith more"))
        listed = runs.api.list_pipeline_executions(pipelineName="locks")["pipelineExecutionSummaries"][0]["sourceRevisions"]
        equal([row["revisionId"] for row in listed], [first])

        second = repository.push({"version.txt": "2"}, "Second")
        again = runs.api.start_pipeline_execution(name="locks")["pipelineExecutionId"]
        runs.ended("locks", again, "Succeeded")
        equal(site(f"{second}/version.txt"), "2")
        # A commit through the API is one like any other.
        third = put(repository.api, "lock-keeper", "version.txt", b"3", parent=second, commitMessage="Third", name="Ann")
        again = runs.api.start_pipeline_execution(name="locks")["pipelineExecutionId"]
        runs.ended("locks", again, "Succeeded")
        equal(site(f"{third}/version.txt"), "3")
        client("s3").delete_object(Bucket="site", Key=f"{first}/version.txt")
        pinned = [{"actionName": "Take", "revisionType": "COMMIT_ID", "revisionValue": first}]
        older = runs.api.start_pipeline_execution(name="locks", sourceRevisions=pinned)["pipelineExecutionId"]
        runs.ended("locks", older, "Succeeded")
        equal(site(f"{first}/version.txt"), "1")
        pinned[0]["revisionValue"] = "0" * 40
        missing = runs.api.start_pipeline_execution(name="locks", sourceRevisions=pinned)["pipelineExecutionId"]
        runs.ended("locks", missing, "Failed")
        details = rows_of(runs, "locks", missing)["Take"]["output"]["executionResult"]["errorDetails"]
        equal(details["code"], "ConfigurationError")
        holds("no commit with the ID 0000000000" in details["message"], details)


def full_clone():
    """CODEBUILD_CLONE_REF: the build has .git, the right commit and the whole history, with its own role's permission."""
    with tempfile.TemporaryDirectory() as directory, Server(directory) as server:
        repository = Repository(directory)
        repository.push({**FILES, "buildspec.yml": CLONED}, "First", tag="v1")
        second = repository.push({"version.txt": "2"}, "Second")
        arn, runs = prepared("codecommit:GitPull"), Pipelines()
        source = from_codecommit(OutputArtifactFormat="CODEBUILD_CLONE_REF")
        declared = pipeline("locks", arn, stage("Source", source), stage("Build", build()), stage("Release", to_site()))
        runs.api.create_pipeline(pipeline=declared)
        execution = runs.first("locks")
        runs.ended("locks", execution, "Succeeded")
        # Read now: what comes later must not change it.
        told = {name: site(f"{second}/{name}.txt") for name in (
            "head", "log", "status", "shallow", "attached", "origin", "branches", "old-version", "version")}
        want = {
            "head": second, "log": "Second\nFirst", "status": "", "shallow": "false", "attached": "detached", "origin": repository.url,
            "branches": "refs/remotes/origin/main", "old-version": "1", "version": "2",
        }
        equal(told, want)
        rows = rows_of(runs, "locks", execution)
        equal(rows["Take"]["output"]["outputVariables"]["CommitId"], second)
        id = rows["Make"]["output"]["executionResult"]["externalExecutionId"]
        started = client("codebuild").batch_get_builds(ids=[id])["builds"][0]
        equal(started["resolvedSourceVersion"], second)
        # What lies in the artifact store is a reference, and no secret.
        location = rows["Take"]["output"]["outputArtifacts"][0]["s3location"]
        reference = json.loads(client("s3").get_object(Bucket=location["bucket"], Key=location["key"])["Body"].read())
        equal((reference["repositoryArn"], reference["commitId"]), (f"arn:aws:codecommit:{REGION}:{ACCOUNT}:lock-keeper", second))
        # Nobody's password stays: neither in the clone's configuration nor in the log.
        log = "".join(event["message"] for event in client("logs").filter_log_events(logGroupName="/aws/codebuild/build")["events"])
        server_log = pathlib.Path(server.log.name).read_text(errors="replace")
        holds("ASIA" not in log and "ASIA" not in server_log, "an access key in a log")

        # An older commit on demand; the branch has moved on.
        repository.push({"version.txt": "3"}, "Third")
        runs.api.update_pipeline(pipeline={**declared, "pipelineType": "V2"})
        pinned = [{"actionName": "Take", "revisionType": "COMMIT_ID", "revisionValue": second}]
        older = runs.api.start_pipeline_execution(name="locks", sourceRevisions=pinned)["pipelineExecutionId"]
        runs.ended("locks", older, "Succeeded")
        equal((site(f"{second}/head.txt"), site(f"{second}/log.txt")), (second, "Second\nFirst"))

        # The build's own role is what counts.
        client("iam").delete_role_policy(RoleName="builder", PolicyName="work")
        client("iam").put_role_policy(RoleName="builder", PolicyName="work", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(EVERYTHING), "Resource": "*"}]}))
        denied = runs.api.start_pipeline_execution(name="locks", sourceRevisions=pinned)["pipelineExecutionId"]
        runs.ended("locks", denied, "Failed")
        id = rows_of(runs, "locks", denied)["Make"]["output"]["executionResult"]["externalExecutionId"]
        phases = client("codebuild").batch_get_builds(ids=[id])["builds"][0]["phases"]
        failed = next(phase for phase in phases if phase.get("phaseStatus") == "FAILED")
        equal(failed["phaseType"], "DOWNLOAD_SOURCE")
        words = f"authorization failed for primary source and source version {second}"
        equal((failed["contexts"][0]["statusCode"], failed["contexts"][0]["message"]), ("CLIENT_ERROR", words))


def refusals():
    """What is missing is named, in AWS's words where they are known."""
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        repository = Repository(directory)
        repository.push(FILES, "First")
        repository.api.create_repository(repositoryName="empty")
        arn, runs = prepared(), Pipelines()

        def failure(name, source, role_arn=arn):
            runs.api.create_pipeline(pipeline=pipeline(name, role_arn, stage("Source", source), stage("Release", to_site("src"))))
            execution = runs.first(name)
            runs.ended(name, execution, "Failed")
            details = rows_of(runs, name, execution)["Take"]["output"]["executionResult"]["errorDetails"]
            return details["code"], details["message"]

        code, message = failure("no-repository", from_codecommit("none"))
        equal(code, "ConfigurationError")
        holds(message.startswith("The AWS CodeCommit repository named none does not exist. none does not exist (Service: AWSCodeCommit; "), message)
        words = "The action failed because no branch named {} was found in the selected AWS CodeCommit repository {}. Make sure you are using the correct branch name, and then try again. Error: "
        for name, (repository_name, branch) in {"no-branch": ("lock-keeper", "next"), "empty": ("empty", "main")}.items():
            code, message = failure(name, from_codecommit(repository_name, branch))
            equal(code, "ConfigurationError")
            holds(message.startswith(words.format(branch, repository_name)), message)
        for left_out in ("GetBranch", "GetCommit", "UploadArchive"):
            allowed = [name for name in SOURCE if not name.endswith(f":{left_out}")]
            narrow = role(f"without-{left_out}", (*EVERYTHING, *allowed))
            code, message = failure(f"without-{left_out}", from_codecommit(), narrow)
            equal(code, "PermissionError", left_out)
            start = "The service role or action role doesn’t have the permissions required to access the AWS CodeCommit repository named lock-keeper. Update the IAM role permissions, and then try again. Error:"
            holds(message.startswith(start), message)
        # GitPull instead of the permission that only pipelines have.
        narrow = role("cloner", (*EVERYTHING, "codecommit:GetBranch", "codecommit:GetCommit", "codecommit:GitPull"))
        runs.api.create_pipeline(pipeline=pipeline("cloner", narrow, stage("Source", from_codecommit()), stage("Release", to_site("src"))))
        runs.ended("cloner", runs.first("cloner"), "Succeeded")
        # A reference is for builds only.
        reference = from_codecommit(OutputArtifactFormat="CODEBUILD_CLONE_REF")
        runs.api.create_pipeline(pipeline=pipeline("reference", arn, stage("Source", reference), stage("Release", to_site("src"))))
        execution = runs.first("reference")
        runs.ended("reference", execution, "Failed")
        details = rows_of(runs, "reference", execution)["Put"]["output"]["executionResult"]["errorDetails"]
        equal(details["code"], "ConfigurationError")
        holds("CODEBUILD_CLONE_REF" in details["message"], details)


# As AWS's tutorial has it: the function looks at what was built, comes back until it is content, and hands on what it found.
HANDLER = """
import io
import json
import zipfile

import boto3

codepipeline = boto3.client("codepipeline")


def handler(event, context):
    job = event["CodePipeline.job"]
    data = job["data"]
    try:
        if "continuationToken" not in data:
            print("first turn of", context.function_name)
            codepipeline.put_job_success_result(jobId=job["id"], continuationToken=json.dumps({"turn": 2}))
            return
        turn = json.loads(data["continuationToken"])["turn"]
        if turn < 3:
            codepipeline.put_job_success_result(jobId=job["id"], continuationToken=json.dumps({"turn": turn + 1}))
            return
        keys = data["artifactCredentials"]
        s3 = boto3.client("s3", aws_access_key_id=keys["accessKeyId"], aws_secret_access_key=keys["secretAccessKey"],
                          aws_session_token=keys["sessionToken"])
        where = data["inputArtifacts"][0]["location"]["s3Location"]
        body = s3.get_object(Bucket=where["bucketName"], Key=where["objectKey"])["Body"].read()
        names = zipfile.ZipFile(io.BytesIO(body)).namelist()
        wanted = data["actionConfiguration"]["configuration"]["UserParameters"]
        if wanted not in names:
            raise RuntimeError(f"{wanted} was not built, only {sorted(names)}")
        report = io.BytesIO()
        with zipfile.ZipFile(report, "w") as archive:
            archive.writestr("flow/input.json", json.dumps({"pages": sum(name.startswith("pages/") for name in names)}))
        where = data["outputArtifacts"][0]["location"]["s3Location"]
        s3.put_object(Bucket=where["bucketName"], Key=where["objectKey"], Body=report.getvalue())
        codepipeline.put_job_success_result(jobId=job["id"], outputVariables={"Turns": str(turn)})
    except Exception as error:
        codepipeline.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": str(error)})
"""

STATES = """\
[realm.states]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["StepFunctions"]
"""


def tutorial():
    """CodeCommit, CodeBuild, a Lambda function with continuation, a state machine: one pipeline, two commits, one of them bad."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory) / "states.toml"
        config.write_text(STATES.format(url=moto.url))
        running = server_with_python(directory)
        running.more += ["--config", str(config)]
        with running:
            told = json.dumps({"stepfunctions": {"execute_state_machine": True}}).encode()
            asked = urllib.request.Request(f"{moto.url}/moto-api/config", method="POST", data=told, headers={"content-type": "application/json"})
            urllib.request.urlopen(asked).close()
            states = aws.client("stepfunctions", endpoint_url=moto.url, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")
            steps = {"Double": {"Type": "Pass", "Parameters": {"twice.$": "States.MathAdd($.pages, $.pages)"}, "End": True}}
            machine = states.create_state_machine(name="locks", roleArn=f"arn:aws:iam::{ACCOUNT}:role/flow", definition=json.dumps(
                {"StartAt": "Double", "States": steps}))["stateMachineArn"]

            repository = Repository(directory)
            first = repository.push(FILES, "Build the locks")
            arn, runs = prepared(), Pipelines()
            client("iam").put_role_policy(RoleName="pipeline", PolicyName="invoke", PolicyDocument=json.dumps(
                {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}]}))
            results = ("codepipeline:PutJobSuccessResult", "codepipeline:PutJobFailureResult")
            made(client("lambda"), "inspect", {"app.py": HANDLER}, execution_role(actions=(*LOGS, *results)), MemorySize=512)

            inspect = action("Inspect", "Invoke", "Lambda", {"FunctionName": "inspect", "UserParameters": "pages/index.html"},
                             inputs=["built"], outputs=["report"], namespace="Check")
            flow = action("Flow", "Invoke", "StepFunctions", {
                "StateMachineArn": machine, "InputType": "FilePath", "Input": "flow/input.json", "ExecutionNamePrefix": "locks"},
                inputs=["report"], outputs=["flowed"], namespace="Flow")
            out = action("Put", "Deploy", "S3", {"BucketName": "site", "Extract": "true", "ObjectKey": "#{Src.CommitId}/#{Check.Turns}"}, inputs=["flowed"])
            declared = pipeline("tutorial", arn, stage("Source", from_codecommit()), stage("Build", build()), stage("Test", inspect),
                                stage("Flow", flow), stage("Release", out), pipelineType="V2")
            runs.api.create_pipeline(pipeline=declared)
            execution = runs.first("tutorial")
            runs.ended("tutorial", execution, "Succeeded")
            rows = rows_of(runs, "tutorial", execution)
            equal([name for name in sorted(rows, key=lambda name: rows[name]["startTime"])], ["Take", "Make", "Inspect", "Flow", "Put"])
            equal(rows["Take"]["output"]["outputVariables"]["CommitId"], first)
            equal(rows["Make"]["output"]["outputVariables"]["PAGES"], "2")
            equal(rows["Inspect"]["output"]["outputVariables"], {"Turns": "3"})
            holds(f":locks-{rows['Flow']['actionExecutionId']}" in rows["Flow"]["output"]["outputVariables"]["ExecutionArn"].replace(":execution:locks:", ":"), rows["Flow"])
            equal(json.loads(site(f"{first}/3/output.json")), {"twice": 4})
            holds("first turn of inspect\n" in log_of("inspect"), "the function's log")

            # A commit that breaks what the function looks for stops there, in the function's words.
            git("rm", "--quiet", "pages/index.html", directory=repository.work)
            bad = repository.push({}, "Lose a page")
            broken = runs.api.start_pipeline_execution(name="tutorial")["pipelineExecutionId"]
            runs.ended("tutorial", broken, "Failed")
            rows = rows_of(runs, "tutorial", broken)
            equal(rows["Take"]["output"]["outputVariables"]["CommitId"], bad)
            details = rows["Inspect"]["output"]["executionResult"]["errorDetails"]
            equal(details["code"], "JobFailed")
            holds("pages/index.html was not built" in details["message"], details)
            holds("Flow" not in rows, "and goes no further")


if __name__ == "__main__":
    main([zip_of_a_commit, full_clone, refusals, tutorial])
