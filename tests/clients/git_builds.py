"""Pipelines whose build clones by itself through a connection, and the ways in which that is refused."""

import json
import pathlib
import subprocess
import sys
import tempfile

from git_hosts import GitHost
from git_sources import FILES, TOKEN, USE, Watch, connected, from_connection, nowhere, ran
from harness import (
    ACCOUNT,
    EVERYTHING,
    REGION,
    Pipelines,
    Server,
    action,
    bucket,
    client,
    equal,
    holds,
    main,
    pipeline,
    role,
    show,
    stage,
    wait,
)

AWS = pathlib.Path(sys.executable).parent / "aws"
BUILDSPEC = """
version: 0.2
phases:
  build:
    commands:
      - git rev-parse HEAD > head.txt
      - git rev-list --count HEAD > count.txt
      - git symbolic-ref --quiet HEAD > branch.txt || echo detached > branch.txt
      - git tag > tags.txt
      - git branch --remotes --format '%(refname)' > remotes.txt
      - git remote get-url origin > origin.txt
      - git status --porcelain --untracked-files=no > changes.txt
      - cat .git/config > config.txt
      - ls -A lib | wc -l > lib.txt
      - env > env.txt
      - echo "$CODEBUILD_RESOLVED_SOURCE_VERSION $CODEBUILD_SOURCE_REPO_URL" > version.txt
artifacts:
  files: ["*.txt"]
"""
HELPED = f"""
version: 0.2
phases:
  build:
    commands:
      - export HOME=$(mktemp --directory)
      - git config --global credential.helper '!{AWS} codecommit credential-helper --ignore-host-check $@'
      - git config --global credential.UseHttpPath true
      - git submodule update --init
      - cat lib/lib.txt > found.txt
artifacts:
  files: [found.txt]
"""


def project(name, role_arn, buildspec=None):
    source = {"type": "CODEPIPELINE", **({"buildspec": buildspec} if buildspec else {})}
    client("codebuild").create_project(
        name=name,
        source=source,
        artifacts={"type": "CODEPIPELINE"},
        environment={
            "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=role_arn,
    )


def cloned(arn, repository, name, project_name, want="Succeeded", role_arn=None):
    """A pipeline whose build clones; gives the execution and its actions by name."""
    source = from_connection(arn, repository, OutputArtifactFormat="CODEBUILD_CLONE_REF")
    build = action("Build", "Build", "CodeBuild", {"ProjectName": project_name}, inputs=["src"], outputs=["out"])
    put = action("Put", "Deploy", "S3", {"BucketName": "site", "Extract": "true", "ObjectKey": name}, inputs=["out"])
    declared = pipeline(
        name,
        role_arn or f"arn:aws:iam::{ACCOUNT}:role/pipeline",
        stage("Source", source),
        stage("Build", build),
        stage("Release", put),
        pipelineType="V2",
    )
    pipelines = Pipelines()
    pipelines.api.create_pipeline(pipeline=declared)
    execution = pipelines.first(name)
    over(pipelines, name, execution)
    if pipelines.status(name, execution) != want:
        raise AssertionError(f"{name} is not {want}: {show(pipelines.told(name, execution))}\n{log(project_name)}")
    return execution, {row["actionName"]: row for row in pipelines.actions(name, execution)}


def over(pipelines, name, execution):
    """Waits for the end: a build that clones is many programs, AWS's own among them, which take their time to start."""
    wait(f"the end of {name}", lambda: pipelines.status(name, execution) not in ("InProgress", "Stopping"), seconds=300)


def log(project_name):
    group = f"/aws/codebuild/{project_name}"
    streams = client("logs").describe_log_streams(logGroupName=group)["logStreams"]
    events = client("logs").get_log_events(logGroupName=group, logStreamName=streams[-1]["logStreamName"])["events"]
    return "".join(event["message"] for event in events)


def prepared(use=USE):
    bucket("artifacts")
    bucket("site")
    role(actions=(*EVERYTHING, *USE))
    return role("builder", actions=(*EVERYTHING, *use), service="codebuild.amazonaws.com")


def read(key):
    return client("s3").get_object(Bucket="site", Key=key)["Body"].read().decode().strip()


def whole_pipeline():
    """Connection, clone by the build, deployment: everything of the repository is there, at the commit that was taken."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Watch(TOKEN), Server(
        directory
    ) as server:
        library = hub.repositories.make("towline-co/lib", {"lib.txt": "from the library"})
        first = hub.repositories.make("towline-co/ferry", {**FILES, "buildspec.yml": BUILDSPEC})
        hub.repositories.tag("towline-co/ferry", "v1", first)
        second = hub.repositories.commit("towline-co/ferry", {"a": "b"}, submodules={"lib": ("../lib.git", library)})
        hub.repositories.commit("towline-co/ferry", {"c": "d"}, branch="topic")
        builder = prepared()
        project("ferry", builder)
        arn = connected(server, "hub", hub.url)
        execution, actions = cloned(arn, "towline-co/ferry", "whole", "ferry")
        equal(actions["Take"]["output"]["outputVariables"]["CommitId"], second)
        url = f"{server.url}/git-http/{ACCOUNT}/{REGION}/{arn.split('/')[1]}/towline-co/ferry.git"
        got = {name: read(f"whole/{name}.txt") for name in ("head", "count", "branch", "tags", "origin", "changes", "lib")}
        want = {
            "head": second, "count": "2", "branch": "detached", "tags": "v1", "origin": url, "changes": "", "lib": "0",
        }
        equal(got, want)
        equal(read("whole/version.txt"), f"{second} {url}")
        holds({"refs/remotes/origin/main", "refs/remotes/origin/topic"} <= set(read("whole/remotes.txt").split()), "branches")
        for name in ("env", "config"):
            holds(TOKEN not in read(f"whole/{name}.txt"), f"{name} has the token")
        # The artifact names the repository and grants nothing.
        place = actions["Take"]["output"]["outputArtifacts"][0]["s3location"]
        reference = json.loads(client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read())
        holds(second in json.dumps(reference) and TOKEN not in json.dumps(reference), reference)
        # An older commit, by its id.
        pipelines = Pipelines()
        pinned = pipelines.api.start_pipeline_execution(
            name="whole", sourceRevisions=[{"actionName": "Take", "revisionType": "COMMIT_ID", "revisionValue": first}]
        )["pipelineExecutionId"]
        over(pipelines, "whole", pinned)
        equal((read("whole/head.txt"), read("whole/count.txt")), (first, "1"))
        nowhere(server, TOKEN)


def submodules():
    """A build fetches its submodules by itself, with its own role and AWS's helper."""
    # The helper is in the test's own Python environment, which a sandbox does not show.
    config = '[sandbox]\nkind = "host"\n'
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(
        directory, config
    ) as server:
        library = hub.repositories.make("towline-co/lib", {"lib.txt": "from the library"})
        hub.repositories.make("towline-co/ferry", FILES)
        hub.repositories.commit("towline-co/ferry", {"a": "b"}, submodules={"lib": ("../lib.git", library)})
        project("helped", prepared(), HELPED)
        arn = connected(server, "hub", hub.url)
        cloned(arn, "towline-co/ferry", "helped", "helped")
        equal(read("helped/found.txt"), "from the library")
        # In a zip there is nothing of it.
        ran(from_connection(arn, "towline-co/ferry"), "zipped")
        keys = {row["Key"] for row in client("s3").list_objects_v2(Bucket="site", Prefix="main/")["Contents"]}
        equal({key for key in keys if key.startswith("main/lib")}, set(), "what there is of the submodule")
        holds("main/.gitmodules" in keys, keys)
        nowhere(server, TOKEN)


def a_run():
    """`towpath run` with a connection of towpath.toml: no server, no API, and no status for the host."""
    arn = f"arn:aws:codeconnections:{REGION}:{ACCOUNT}:connection/0f0e0d0c-1111-4222-8333-444455556666"
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Watch(TOKEN):
        commit = hub.repositories.make("towline-co/ferry", FILES)
        home = pathlib.Path(directory) / "home"
        home.mkdir()
        (home / "token").write_text(TOKEN)
        (home / "towpath.toml").write_text(
            f'[connections.hub]\narn = "{arn}"\nurl = "{hub.url}"\ntoken-file = "token"\napi-url = "{hub.url}/api/v3"\n'
        )
        put = action("Put", "Deploy", "S3", {"BucketName": "site", "Extract": "true", "ObjectKey": "run"}, inputs=["src"])
        declared = pipeline(
            "run",
            f"arn:aws:iam::{ACCOUNT}:role/pipeline",
            stage("Source", from_connection(arn, "towline-co/ferry")),
            stage("Release", put),
            pipelineType="V2",
        )
        (home / "pipeline.json").write_text(json.dumps(declared))
        server = Server(directory)
        command = [server.binary, "run", str(home), "--data-dir", str(server.data)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        equal(done.returncode, 0, done.stdout + done.stderr)
        holds(TOKEN not in done.stdout + done.stderr, "the token is shown")
        equal([path for _, path in hub.requests if "/statuses/" in path], [], "statuses")
        with server:
            equal(read("run/index.html"), "<p>one")
            run = client("codepipeline").list_pipeline_executions(pipelineName="run")["pipelineExecutionSummaries"][0]
            equal(run["sourceRevisions"][0]["revisionId"], commit)
            # Its table is not there any more, nor is the secret.
            row = client("codeconnections").get_connection(ConnectionArn=arn)["Connection"]
            equal((row["ConnectionName"], row["ConnectionStatus"]), ("hub", "PENDING"))
            holds(TOKEN.encode() not in b"".join(path.read_bytes() for path in server.data.rglob("*.db*")), "kept")
        nowhere(server, TOKEN)


def refused_builds():
    """The build's own role counts, what the pipeline's may do does not help; and what is gone is told."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        commit = hub.repositories.make("towline-co/ferry", {**FILES, "buildspec.yml": BUILDSPEC})
        builder = prepared(use=())
        project("ferry", builder)
        arn = connected(server, "hub", hub.url)
        execution, actions = cloned(arn, "towline-co/ferry", "denied", "ferry", want="Failed")
        equal(actions["Take"]["status"], "Succeeded")
        build = actions["Build"]["output"]["executionResult"]["externalExecutionId"]
        phases = client("codebuild").batch_get_builds(ids=[build])["builds"][0]["phases"]
        failed = next(phase for phase in phases if phase.get("phaseStatus") == "FAILED")
        equal(failed["phaseType"], "DOWNLOAD_SOURCE")
        words = f"authorization failed for primary source and source version {commit}"
        equal(failed["contexts"][0]["message"], words)
        # With the permission, for this repository alone.
        statement = {
            "Effect": "Allow",
            "Action": list(USE),
            "Resource": arn,
            "Condition": {"StringEquals": {"codeconnections:FullRepositoryId": "towline-co/ferry"}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        client("iam").put_role_policy(RoleName="builder", PolicyName="use", PolicyDocument=document)
        cloned(arn, "towline-co/ferry", "allowed", "ferry")
        equal(read("allowed/head.txt"), commit)
        nowhere(server, TOKEN)


if __name__ == "__main__":
    main([whole_pipeline, submodules, a_run, refused_builds])
