"""The main job with boto3 alone, as a user would write it: source, build, two tests side by side, approval, deploy.

Buckets, role, CodeBuild project and pipeline are made over the wire; the build runs in a real shell; the deployed
objects are read back byte for byte.
"""

import json

from harness import (
    ACCOUNT,
    REGION,
    Pipelines,
    action,
    approval,
    bucket,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    role,
    s3_source,
    source,
    stage,
    wait,
)

BUILD = """\
version: 0.2
env:
  variables:
    GREETING: hello
  exported-variables: [RELEASE, GREETING]
phases:
  install:
    commands:
      - echo "installing"
  pre_build:
    commands:
      - RELEASE="$(cat VERSION)-$CODEBUILD_BUILD_NUMBER"
  build:
    commands:
      - mkdir -p out/pages
      - sed "s/NAME/$WHO/" page.txt > out/pages/index.html
      - echo "built $RELEASE for $WHO from $CODEBUILD_INITIATOR"
  post_build:
    commands:
      - test "$CODEBUILD_BUILD_SUCCEEDING" = 1
artifacts:
  base-directory: out
  files: ["**/*"]
"""

TEST = """\
version: 0.2
phases:
  build:
    commands:
      - grep -q "$LOOK_FOR" pages/index.html
      - printf '<testsuite name="pages"><testcase classname="page" name="%s" time="0.1"/></testsuite>' "$LOOK_FOR" > report.xml
reports:
  pages:
    files: [report.xml]
    file-format: JUNITXML
"""

FILES = {"VERSION": "1.4", "page.txt": "<p>good morning, NAME</p>\n", "buildspec.yml": BUILD}


def project(name, buildspec, role_arn):
    made = {"type": "CODEPIPELINE"}
    if buildspec:
        made["buildspec"] = buildspec
    return client("codebuild").create_project(
        name=name,
        source=made,
        artifacts={"type": "CODEPIPELINE"},
        environment={
            "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL",
            "environmentVariables": [{"name": "WHO", "value": "nobody"}],
        },
        serviceRole=role_arn,
    )["project"]


def codebuild(name, category, project_name, **more):
    variables = more.pop("variables", {})
    told = [{"name": key, "value": value, "type": "PLAINTEXT"} for key, value in variables.items()]
    configuration = {"ProjectName": project_name}
    if told:
        configuration["EnvironmentVariables"] = json.dumps(told)
    return action(name, category, "CodeBuild", configuration, **more)


def declare():
    arn = role()
    builder = role("builder", service="codebuild.amazonaws.com")
    version = source(FILES)
    bucket("artifacts")
    bucket("site")
    made = project("site", None, builder)
    equal(made["arn"], f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/site", "ARN of the project")
    project("site-test", TEST, builder)
    put = {"BucketName": "site", "Extract": "true", "ObjectKey": "v/#{Build.RELEASE}", "CacheControl": "max-age=60"}
    return version, pipeline(
        "site", arn,
        stage("Source", s3_source(namespace="Source")),
        stage("Build", codebuild("Make", "Build", "site", inputs=["src"], outputs=["built"], namespace="Build",
                                 variables={"WHO": "world"})),
        stage("Test",
              codebuild("Greets", "Test", "site-test", inputs=["built"], variables={"LOOK_FOR": "good morning"}),
              codebuild("Names", "Test", "site-test", inputs=["built"], variables={"LOOK_FOR": "world"})),
        stage("Approve", approval("Ok", {"CustomData": "release #{Build.RELEASE}?"})),
        stage("Deploy", action("Put", "Deploy", "S3", put, inputs=["built"])),
    )


def boto3():
    runs = Pipelines()
    api, s3, builds, logs = runs.api, client("s3"), client("codebuild"), client("logs")
    version, declared = declare()
    api.create_pipeline(pipeline=declared)
    first = runs.first("site")
    token = runs.token("site", "Approve")

    # While it waits: what every service says of the run so far.
    got = api.get_pipeline_execution(pipelineName="site", pipelineExecutionId=first)["pipelineExecution"]
    revision = got["artifactRevisions"][0]
    equal((revision["name"], revision["revisionId"]), ("src", version), "source revision")
    equal(revision["revisionSummary"], f"Amazon S3 version id: {version}", "its summary")
    rows = {row["actionName"]: row for row in runs.actions("site", first)}
    equal(rows["Make"]["output"]["outputVariables"]["RELEASE"], "1.4-1", "exported variable")
    equal(rows["Make"]["output"]["outputVariables"]["GREETING"], "hello", "exported variable with a default")
    equal(rows["Ok"]["input"]["resolvedConfiguration"]["CustomData"], "release 1.4-1?", "resolved in the approval")
    holds(rows["Greets"]["startTime"] < rows["Names"]["lastUpdateTime"], "the tests ran side by side")
    holds(rows["Names"]["startTime"] < rows["Greets"]["lastUpdateTime"], "both ways")
    built = rows["Make"]["output"]["outputArtifacts"][0]["s3location"]
    equal(rows["Greets"]["input"]["inputArtifacts"][0]["s3location"], built, "the tests read what the build wrote")
    matches(built["key"], "site/built/[0-9A-Za-z]{7}", "AWS's key pattern")
    holds(s3.head_object(Bucket=built["bucket"], Key=built["key"])["ContentLength"] > 0, "the artifact is in the bucket")

    # The build, in CodeBuild's words.
    id = rows["Make"]["output"]["executionResult"]["externalExecutionId"]
    build = builds.batch_get_builds(ids=[id])["builds"][0]
    equal((build["buildStatus"], build["buildComplete"], build["buildNumber"]), ("SUCCEEDED", True, 1), "build")
    equal(build["initiator"], "codepipeline/site", "who asked")
    phases = [p["phaseType"] for p in build["phases"]]
    equal(phases, ["SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD",
                   "UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED"], "phases")
    holds(all(p["phaseStatus"] == "SUCCEEDED" for p in build["phases"][:-1]), "each succeeded")
    holds(all("durationInSeconds" in p for p in build["phases"][:-1]), "each has a duration")
    equal(build["exportedEnvironmentVariables"],
          [{"name": "RELEASE", "value": "1.4-1"}, {"name": "GREETING", "value": "hello"}], "exported")
    equal(builds.list_builds_for_project(projectName="site")["ids"], [id], "builds of the project")
    equal(sorted(builds.list_projects()["projects"]), ["site", "site-test"], "projects")

    # Its log, through CloudWatch Logs.
    where = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
    lines, after = [], {}
    while True:
        page = logs.get_log_events(startFromHead=True, limit=5, **where, **after)
        lines += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == after.get("nextToken"):
            break
        after = {"nextToken": page["nextForwardToken"]}
    holds(any("built 1.4-1 for world from codepipeline/site" in line for line in lines), f"the log has the build's words: {lines}")
    found = logs.filter_log_events(logGroupName=where["logGroupName"], filterPattern='"built 1.4-1"')["events"]
    holds(len([e for e in found if e["message"].strip() == "built 1.4-1 for world from codepipeline/site"]) == 1,
          f"found by its words: {found}")

    runs.answer("site", "Approve", token, summary="ship it")
    runs.ended("site", first, "Succeeded")
    page = s3.get_object(Bucket="site", Key="v/1.4-1/pages/index.html")
    equal(page["Body"].read(), b"<p>good morning, world</p>\n", "the deployed object, byte for byte")
    equal((page["ContentType"], page["CacheControl"]), ("text/html", "max-age=60"), "its headers")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="site")["Contents"]]
    equal(keys, ["v/1.4-1/pages/index.html"], "nothing else was deployed")

    # A second run takes a new version of the source and a new build number.
    import harness
    newer = s3.put_object(Bucket="source", Key="app.zip", Body=harness.zipped({**FILES, "VERSION": "1.5"}))["VersionId"]
    second = api.start_pipeline_execution(name="site")["pipelineExecutionId"]
    runs.answer("site", "Approve", runs.token("site", "Approve"))
    runs.ended("site", second, "Succeeded")
    state = runs.action_state("site", "Source", "Fetch")
    equal(state["currentRevision"]["revisionId"], newer, "the new revision")
    equal(s3.get_object(Bucket="site", Key="v/1.5-2/pages/index.html")["Body"].read(), b"<p>good morning, world</p>\n",
          "the second release")

    # An older version on demand.
    pinned = [{"actionName": "Fetch", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": version}]
    api.update_pipeline(pipeline={**declared, "pipelineType": "V2"})
    third = api.start_pipeline_execution(name="site", sourceRevisions=pinned)["pipelineExecutionId"]
    runs.answer("site", "Approve", runs.token("site", "Approve"), status="Rejected", summary="once is enough")
    runs.ended("site", third, "Failed")
    got = api.get_pipeline_execution(pipelineName="site", pipelineExecutionId=third)["pipelineExecution"]
    equal(got["artifactRevisions"][0]["revisionId"], version, "the pinned revision")


def failures():
    """What a failing build, a bad buildspec, a missing bucket, object or permission look like to the owner of a pipeline."""
    runs = Pipelines()
    arn = role()
    builder = role("builder", service="codebuild.amazonaws.com")
    source({"a.txt": "a"})
    bucket("artifacts")
    s3_only = stage("Source", s3_source())

    def outcome(name, *stages, role_arn=arn):
        runs.api.create_pipeline(pipeline=pipeline(name, role_arn, *stages))
        execution = runs.first(name)
        runs.ended(name, execution, "Failed")
        row = next(r for r in runs.actions(name, execution) if r["status"] == "Failed")
        details = row["output"]["executionResult"]["errorDetails"]
        return row, details["code"], details["message"]

    def build(name, buildspec):
        project(name, buildspec, builder)
        return outcome(name, s3_only, stage("Build", codebuild("Make", "Build", name, inputs=["src"])))

    def contexts(row):
        id = row["output"]["executionResult"]["externalExecutionId"]
        phases = client("codebuild").batch_get_builds(ids=[id])["builds"][0]["phases"]
        return {p["phaseType"]: p["contexts"] for p in phases if p.get("contexts")}

    row, code, message = build("command", "version: 0.2\nphases:\n  build:\n    commands:\n      - true\n      - exit 7\n      - touch never\n")
    equal(code, "JobFailed", "a failing command")
    found = contexts(row)["BUILD"][0]
    equal(found, {"statusCode": "COMMAND_EXECUTION_ERROR",
                  "message": "Error while executing command: exit 7. Reason: exit status 7"}, "phase context")
    holds("exit 7" in message, f"the action says what failed: {message}")
    row, code, message = build("version", "version: 0.3\nphases: {}\n")
    equal(code, "JobFailed", "a buildspec of a wrong version")
    found = contexts(row)["DOWNLOAD_SOURCE"][0]
    equal(found["statusCode"], "YAML_FILE_ERROR", "phase context")
    holds("0.3" in found["message"], f"it names the version: {found}")
    row, code, message = build("absent", None)
    equal(contexts(row)["DOWNLOAD_SOURCE"][0]["statusCode"], "YAML_FILE_ERROR", "no buildspec in the source")

    row, code, message = outcome("project", s3_only, stage("Build", codebuild("Make", "Build", "nobody", inputs=["src"])))
    holds("nobody" in message, f"a project that does not exist: {code} {message}")

    later = stage("Gate", approval())
    row, code, message = outcome("bucket", stage("Source", s3_source(bucket_name="no-such-bucket")), later)
    holds("no-such-bucket" in message, f"a bucket that does not exist: {code} {message}")
    row, code, message = outcome("object", stage("Source", s3_source(key="missing.zip")), later)
    holds("missing.zip" in message and "source" in message, f"a source object that is missing: {code} {message}")
    put = action("Put", "Deploy", "S3", {"BucketName": "no-such-site", "Extract": "true"}, inputs=["src"])
    row, code, message = outcome("deploy", s3_only, stage("Deploy", put))
    holds("no-such-site" in message, f"a deployment bucket that does not exist: {code} {message}")

    # Permissions are decided by whoever owns the resource.
    poor = role("poor", actions=None)
    row, code, message = outcome("denied", s3_only, later, role_arn=poor)
    equal(code, "PermissionError", f"a role without permissions ({message})")
    holds("poor" in message and "denied" in message.lower(), message)
    reader = role("reader", actions=("s3:*",))
    row, code, message = outcome("no-builds", s3_only, stage("Build", codebuild("Make", "Build", "command", inputs=["src"])),
                                 role_arn=reader)
    holds("codebuild:StartBuild" in message and "not authorized" in message, f"without CodeBuild: {code} {message}")


def stopping():
    """Stop and abandon ends the build itself; a stopped build and an aborted pipeline leave no process."""
    runs = Pipelines()
    arn = role()
    builder = role("builder", service="codebuild.amazonaws.com")
    source({"a.txt": "a"})
    bucket("artifacts")
    project("slow", "version: 0.2\nphases:\n  build:\n    commands:\n      - echo started\n      - sleep 600\n", builder)
    stages = [stage("Source", s3_source()), stage("Build", codebuild("Make", "Build", "slow", inputs=["src"]))]
    runs.api.create_pipeline(pipeline=pipeline("p", arn, *stages))
    first = runs.first("p")
    builds = client("codebuild")

    def running():
        ids = builds.list_builds_for_project(projectName="slow")["ids"]
        found = builds.batch_get_builds(ids=ids)["builds"] if ids else []
        return next((b for b in found if b["currentPhase"] == "BUILD"), None)

    id = wait("the build to run", running)["id"]
    logs = client("logs")

    def words():
        events = logs.filter_log_events(logGroupName="/aws/codebuild/slow")["events"]
        return any(event["message"].strip() == "started" for event in events)

    wait("the log to show a running build", words)
    runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=first, abandon=True, reason="enough")
    runs.ended("p", first, "Stopped")

    def stopped():
        build = builds.batch_get_builds(ids=[id])["builds"][0]
        return build if build["buildComplete"] else None

    equal(wait("the build to stop", stopped)["buildStatus"], "STOPPED", "the build")
    equal(runs.action_latest("p", "Build", "Make")["status"], "Abandoned", "the action")

    # StopBuild by hand fails the action.
    second = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    id = wait("the build to run", running)["id"]
    equal(builds.stop_build(id=id)["build"]["id"], id, "StopBuild answers the build")
    runs.ended("p", second, "Failed")


if __name__ == "__main__":
    main([boto3, failures, stopping])
