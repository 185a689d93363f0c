"""Actions that run in another realm, driven through the shipped binary: moto's server is that realm's S3, STS and
CloudWatch Logs, and in one scenario its CodeBuild. moto starts builds and never runs them, so a scripted endpoint stands in
where a build has to read and write (codebuild_elsewhere.py). The realm's credentials come from a profile whose role moto's
STS gives. Run by the Rust tests of the `towpath` command, one scenario at a time.
"""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import boto3 as aws

from codebuild_elsewhere import CodeBuild
from harness import Pipelines, Server, action, bucket, client, equal, holds, main, pipeline, role, s3_source, source, stage
from harness import wait
from rules import Moto

PROFILE = """\
[profile base]
aws_access_key_id = testing
aws_secret_access_key = testing

[profile lab]
role_arn = arn:aws:iam::123456789012:role/towpath
source_profile = base
"""

REALM = """\
[realm.lab]
url = "{url}"
profile = "lab"
providers = ["CodeBuild"]
{more}

[realm.lab.endpoints]
codebuild = "{builds}"
"""


def outside(moto, service):
    return aws.client(service, endpoint_url=moto.url, region_name="us-east-1", aws_access_key_id="testing",
                      aws_secret_access_key="testing")


@contextlib.contextmanager
def elsewhere(more='staging-bucket = "staging"', builds=None):
    """A server whose CodeBuild actions run in moto's realm; gives moto, the scripted CodeBuild and the server."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        more = more(moto) if callable(more) else more
        outside(moto, "s3").create_bucket(Bucket="staging")
        with CodeBuild(outside(moto, "s3"), outside(moto, "logs")) as scripted:
            profile = pathlib.Path(directory) / "config"
            profile.write_text(PROFILE)
            os.environ["AWS_CONFIG_FILE"] = str(profile)
            config = REALM.format(url=moto.url, builds=builds(moto) if builds else scripted.url, more=more)
            with Server(directory, config) as server:
                yield moto, scripted, server


def declared(name="p", configuration=None, **more):
    """Source, a build elsewhere, and a deployment here of what it made."""
    keys = {"ProjectName": "there", **(configuration or {})}
    build = action("Make", "Build", "CodeBuild", keys, inputs=["src"], outputs=["made"], namespace="Made", **more)
    deploy = action("Site", "Deploy", "S3", {"BucketName": "site", "Extract": "true"}, inputs=["made"])
    return pipeline(name, role(), stage("Source", s3_source()), stage("Build", build), stage("Deploy", deploy))


def prepared():
    source({"page.txt": "hello"})
    for name in ("artifacts", "site"):
        bucket(name)
    return Pipelines()


def made(moto, name):
    """The keys that were staged."""
    found = outside(moto, "s3").list_objects_v2(Bucket="staging").get("Contents", [])
    return sorted(item["Key"].rsplit("/", 1)[1] for item in found if name in item["Key"])


def a_build():
    """Inputs are staged, outputs come back, variables, link and log with them; a crash in between changes nothing."""
    with elsewhere() as (moto, builds, server):
        runs = prepared()
        builds.hold = True
        runs.api.create_pipeline(pipeline=declared())
        execution = runs.first("p")
        wait("the build to start", lambda: builds.started)
        server.kill()
        builds.hold = False
        server.start()
        runs = Pipelines()
        runs.ended("p", execution, "Succeeded")
        equal(len(builds.started), 1, "builds")
        started = builds.started[0]
        holds(started["sourceLocationOverride"].startswith(f"staging/towpath/p/{execution}/"), started)
        equal(made(moto, execution), ["made", "src.zip"], "what was staged")
        site = client("s3")
        equal(site.get_object(Bucket="site", Key="page.txt")["Body"].read(), b"hello", "the page")
        equal(site.get_object(Bucket="site", Key="built.txt")["Body"].read(), b"built from 1 files", "what it made")
        row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Make")
        result = row["output"]["executionResult"]
        identifier = next(iter(builds.builds))
        equal(result["externalExecutionId"], identifier, "the build")
        equal(
            result["externalExecutionUrl"],
            f"https://console.aws.amazon.com/codebuild/home?region=us-east-1#/builds/{identifier}/view/new",
            "the link",
        )
        holds(result["logStreamARN"].endswith(identifier.split(":")[1]), result)
        equal(row["output"]["outputVariables"], {"TAG": "v7"}, "variables")
        # The log is in moto's CloudWatch Logs, which this command knows nothing of.
        logs = subprocess.run([server.binary, "logs", "p"], capture_output=True, text=True, timeout=60)
        equal(logs.returncode, 0, logs.stderr)
        holds("[Container] Running command make\nbuilt elsewhere\n" in logs.stdout, logs.stdout + logs.stderr)


def a_batch():
    """A batch build, its progress and its artifact; and one that is stopped."""
    with elsewhere() as (_, builds, __):
        runs = prepared()
        runs.api.create_pipeline(pipeline=declared(configuration={"BatchEnabled": "true", "CombineArtifacts": "true"}))
        execution = runs.first("p")
        runs.ended("p", execution, "Succeeded")
        equal(builds.started[0]["buildBatchConfigOverride"], {"combineArtifacts": True}, "the override")
        equal(client("s3").get_object(Bucket="site", Key="page.txt")["Body"].read(), b"hello", "the page")
        row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Make")
        result = row["output"]["executionResult"]
        holds("/codesuite/codebuild/123456789012/projects/there/batch/there%3A" in result["externalExecutionUrl"], result)
        builds.hold = True
        second = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        wait("the second batch", lambda: len(builds.started) == 2)
        wait("it to be told", lambda: runs.action_latest("p", "Build", "Make").get("externalExecutionId") in builds.batches
             and runs.action_latest("p", "Build", "Make")["status"] == "InProgress")
        runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=second, abandon=True)
        wait("the batch to be stopped", lambda: builds.stopped)


def without_a_bucket():
    """The action fails at once and says which lines to add; nothing was started."""
    with elsewhere(more="") as (_, builds, __):
        runs = prepared()
        runs.api.create_pipeline(pipeline=declared())
        execution = runs.first("p")
        runs.ended("p", execution, "Failed")
        row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Make")
        error = row["output"]["executionResult"]["errorDetails"]
        equal(error["code"], "ConfigurationError", "the code")
        holds('Add `staging-bucket = "..."` to `[realm.lab]` in towpath.toml' in error["message"], error)
        equal(builds.started, [], "builds")


def kms_key(moto):
    return outside(moto, "kms").create_key(Description="towpath")["KeyMetadata"]["Arn"]


def encrypted():
    """Under a key of the realm's KMS: the source object, what is staged, and what the build leaves there."""
    key = []

    def config(moto):
        key.append(kms_key(moto))
        return f'staging-bucket = "staging"\nstaging-kms-key = "{key[0]}"'

    with elsewhere(config) as (moto, builds, _):
        runs, there = prepared(), outside(moto, "s3")
        runs.api.create_pipeline(pipeline=declared())
        execution = runs.first("p")
        runs.ended("p", execution, "Succeeded")
        equal(builds.started[0]["encryptionKeyOverride"], key[0], "what the build is told")
        staged = [item["Key"] for item in there.list_objects_v2(Bucket="staging")["Contents"]]
        equal(len(staged), 2, "an input and an output")
        for name in staged:
            head = there.head_object(Bucket="staging", Key=name)
            equal((head["ServerSideEncryption"], head["SSEKMSKeyId"]), ("aws:kms", key[0]), name)
        equal(client("s3").get_object(Bucket="site", Key="page.txt")["Body"].read(), b"hello", "the page")
        # The store at home has no such key and keeps none of it.
        row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Make")
        place = row["output"]["outputArtifacts"][0]["s3location"]
        head = client("s3").head_object(Bucket=place["bucket"], Key=place["key"])
        equal((head["ServerSideEncryption"], "SSEKMSKeyId" in head), ("AES256", False), "at home")


def motos_codebuild():
    """moto's own CodeBuild takes the start and answers for the build, which writes nothing."""
    with elsewhere(builds=lambda moto: moto.url) as (moto, _, __):
        project = outside(moto, "codebuild")
        project.create_project(
            name="there",
            source={"type": "S3", "location": "staging/any"},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0",
                         "computeType": "BUILD_GENERAL1_SMALL"},
            serviceRole="arn:aws:iam::123456789012:role/service-role/there",
        )
        runs = prepared()
        test = action("Try", "Test", "CodeBuild", {"ProjectName": "there"}, inputs=["src"])
        runs.api.create_pipeline(pipeline=pipeline("p", role(), stage("Source", s3_source()), stage("Test", test)))
        execution = runs.first("p")
        runs.ended("p", execution, "Succeeded")
        equal(made(moto, execution), ["src.zip"], "what was staged")
        found = project.list_builds_for_project(projectName="there")["ids"]
        row = next(row for row in runs.actions("p", execution) if row["actionName"] == "Try")
        equal([row["output"]["executionResult"]["externalExecutionId"]], found, "the build")
        staged = outside(moto, "s3").list_objects_v2(Bucket="staging")["Contents"][0]["Key"]
        body = outside(moto, "s3").get_object(Bucket="staging", Key=staged)["Body"].read()
        equal(zipfile.ZipFile(io.BytesIO(body)).namelist(), ["page.txt"], "the source")


TREE = """\
name: tree
roleArn: arn:aws:iam::123456789012:role/tree
artifactStore: {type: S3, location: tree-artifacts}
stages:
  - name: Source
    actions:
      - name: Fetch
        namespace: Img
        actionTypeId: {category: Source, owner: AWS, provider: ECR, version: 1}
        configuration: {RepositoryName: web, ImageTag: v7}
        outputArtifacts: [{name: App}]
  - name: Ship
    actions:
      - name: Publish
        actionTypeId: {category: Deploy, owner: AWS, provider: S3, version: 1}
        configuration: {BucketName: tree-site, Extract: true, ObjectKey: "#{Img.RepositoryName}/#{Img.ImageTag}"}
        inputArtifacts: [{name: App}]
"""


def git(directory, *arguments):
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(directory), *who, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def working_tree():
    """`towpath run` on a tree in place of ECR: as it stands, with the revision that it is; and cloned from an address."""
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory) / "home"
        tree = home / "app"
        tree.mkdir(parents=True)
        (home / "pipeline.yaml").write_text(TREE)
        (tree / "page.txt").write_text("one")
        git(tree, "init", "-q", "-b", "main")
        git(tree, "add", ".")
        git(tree, "commit", "-q", "-m", "First page")
        commit = git(tree, "rev-parse", "HEAD")
        server = Server(directory)

        def run(*more):
            command = [server.binary, "run", str(home), "--data-dir", str(server.data), *more]
            return subprocess.run(command, capture_output=True, text=True, timeout=120)

        none = run()
        equal(none.returncode, 2, "nothing stands in")
        holds("--source Fetch=DIR" in none.stderr, none.stderr)
        first = run("--source", f"Fetch={tree}")
        equal(first.returncode, 0, first.stdout + first.stderr)
        holds(f"in place of ECR, revision {commit}\n" in first.stdout, first.stdout)
        (tree / "new.txt").write_text("two")
        second = run("--source", f"Fetch={tree}")
        equal(second.returncode, 0, second.stdout + second.stderr)
        holds(f"in place of ECR, revision {commit}-dirty-" in second.stdout, second.stdout)
        (home / "towpath.toml").write_text(f'[source.Fetch]\nurl = "file://{tree}"\nbranch = "main"\n')
        third = run()
        equal(third.returncode, 0, third.stdout + third.stderr)
        holds(f"in place of ECR, revision {commit}\n" in third.stdout, third.stdout)
        with server:
            rows = client("codepipeline").list_pipeline_executions(pipelineName="tree")["pipelineExecutionSummaries"]
            told = [row["sourceRevisions"][0] for row in reversed(rows)]
            equal([row["revisionId"].split("-")[0] for row in told], [commit] * 3, "revisions")
            holds("-dirty-" in told[1]["revisionId"], told)
            equal(told[0]["revisionSummary"], "First page", "the summary")
            site = client("s3")
            equal(site.get_object(Bucket="tree-site", Key="web/v7/new.txt")["Body"].read(), b"two", "the second run's file")


FUNCTION = """\
import boto3


def handler(event, context):
    job = event["CodePipeline.job"]
    given = job["data"]["actionConfiguration"]["configuration"]["UserParameters"]
    print("asked to", given)
    boto3.client("codepipeline").put_job_success_result(jobId=job["id"], outputVariables={"Told": given})
"""

ASKED = """\
name: asked
roleArn: arn:aws:iam::123456789012:role/asked
artifactStore: {{type: S3, location: asked-artifacts}}
stages:
  - name: Source
    actions:
      - name: Fetch
        actionTypeId: {{category: Source, owner: AWS, provider: S3, version: 1}}
        configuration: {{S3Bucket: asked-source, S3ObjectKey: app.zip}}
        outputArtifacts: [{{name: App}}]
  - name: Tell
    actions:
      - name: Ask
        actionTypeId: {{category: Invoke, owner: AWS, provider: Lambda, version: 1}}
        configuration: {{FunctionName: {name}, UserParameters: wave}}
"""


def function_in_a_run():
    """`towpath run` with a function of towpath.toml; its log and the action's, read by `towpath logs` from the server."""
    os.environ["PATH"] = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory) / "home"
        (home / "functions").mkdir(parents=True)
        (home / "functions" / "app.py").write_text(FUNCTION)
        (home / "pipeline.yaml").write_text(ASKED.format(name="teller"))
        (home / "towpath.toml").write_text(
            f'[functions.teller]\npath = "functions"\nruntime = "python3.{sys.version_info.minor}"\n'
            'handler = "app.handler"\ntimeout = 60\nmemory = 512\n')
        server = Server(directory)
        ran = subprocess.run([server.binary, "run", str(home), "--data-dir", str(server.data)], capture_output=True, text=True,
                             timeout=120)
        equal(ran.returncode, 0, ran.stdout + ran.stderr)
        with server:
            runs = Pipelines()
            row = next(row for row in runs.actions("asked", runs.first("asked")) if row["actionName"] == "Ask")
            equal(row["output"]["outputVariables"], {"Told": "wave"}, "what the function answered")
            logs = subprocess.run([server.binary, "logs", "asked", "--action", "Ask"], capture_output=True, text=True, timeout=60)
            equal(logs.returncode, 0, logs.stderr)
            holds("asked to wave\n" in logs.stdout, logs.stdout + logs.stderr)


if __name__ == "__main__":
    main([a_build, a_batch, without_a_bucket, encrypted, motos_codebuild, working_tree,
          function_in_a_run])
