"""The operations of CodePipeline that declare, start and list: answers, documented errors, pagination.

Codes and messages are AWS's, word for word where they are known. Run by the Rust tests of the `towpath` command, one
scenario at a time, against a server of its own.
"""

import re

from harness import (
    ABSENT_ID,
    ACCOUNT,
    REGION,
    Pipelines,
    Wire,
    action,
    approval,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    refused,
    rehearsal,
    role,
    stage,
    status_of,
    wait,
)

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def not_found(name):
    return f"The account with AWS account ID '{ACCOUNT}' does not include a pipeline named '{name}'"


def two_stages(name, arn, *later, **more):
    """A source that is rehearsed, and what the scenario is about."""
    return pipeline(
        name, arn, stage("Source", rehearsal("Fetch", "Source")), stage("Work", *(later or [rehearsal("Make")])), **more
    )


def create_pipeline():
    api = client("codepipeline")
    runs = Pipelines(api)
    arn = role()
    declared = two_stages("one", arn)
    del declared["stages"][0]["actions"][0]["runOrder"]
    del declared["stages"][0]["actions"][0]["inputArtifacts"]
    tags = [{"key": "team", "value": "locks"}]
    created = api.create_pipeline(pipeline=declared, tags=tags)
    equal(created["tags"], tags, "tags are echoed")
    echoed = created["pipeline"]
    equal((echoed["version"], echoed["executionMode"], echoed["pipelineType"]), (1, "SUPERSEDED", "V1"), "filled in")
    fetch = echoed["stages"][0]["actions"][0]
    equal((fetch["runOrder"], fetch["inputArtifacts"]), (1, []), "defaults of an action")
    shown = api.get_pipeline(name="one")
    equal(shown["pipeline"], echoed, "GetPipeline shows what CreatePipeline answered")
    equal(shown["metadata"]["pipelineArn"], f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:one", "ARN")
    equal(shown["metadata"]["created"], shown["metadata"]["updated"], "times of a new pipeline")
    first = runs.first("one")
    runs.ended("one", first, "Succeeded")
    trigger = api.get_pipeline_execution(pipelineName="one", pipelineExecutionId=first)["pipelineExecution"]["trigger"]
    equal(trigger, {"triggerType": "CreatePipeline", "triggerDetail": ROOT}, "trigger")

    v2 = api.create_pipeline(pipeline=two_stages("two", arn, executionMode="QUEUED"))["pipeline"]
    equal(v2["pipelineType"], "V2", "a V2 feature makes the type V2")
    refused(
        "PipelineNameInUseException",
        f"A pipeline with the name 'one' already exists in account '{ACCOUNT}'",
        api.create_pipeline,
        pipeline=declared,
    )


def create_pipeline_refusals():
    api = client("codepipeline")
    arn = role()
    fetch, make = rehearsal("Fetch", "Source"), rehearsal("Make")
    source, work = stage("Source", fetch), stage("Work", make)
    structure, declaration = "InvalidStructureException", "InvalidActionDeclarationException"
    cases = [
        (structure, "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline", [source]),
        (structure, "Pipeline should start with a stage that only contains source actions", [work, stage("B", make)]),
        (structure, "Source actions can only be included in the first stage of the pipeline",
         [source, stage("Work", make, rehearsal("Again", "Source", outputs=["other"]))]),
        ("InvalidStageDeclarationException", "Stage name 'Work' is used more than once", [source, work, work]),
        (declaration, "Action name 'Make' is used more than once in stage 'Work'", [source, stage("Work", make, make)]),
        (declaration,
         "ActionType (Category: 'Build', Provider: 'Jenkins', Owner: 'Custom', Version: '1') in action 'Make' is not "
         "available in region 'US_EAST_1'",
         [source, stage("Work", action("Make", "Build", "Jenkins", owner="Custom"))]),
        (declaration, "Action configuration for action 'Fetch' is missing required configuration 'S3ObjectKey'",
         [stage("Source", action("Fetch", "Source", "S3", {"S3Bucket": "b"}, outputs=["src"])), work]),
        (declaration, "Action configuration for action 'Make' contains unknown configuration 'Colour'",
         [source, stage("Work", action("Make", "Build", "Rehearsal", {"Colour": "red"}, owner="Custom"))]),
        (declaration, "Action Put declares 0 input artifacts which is less than the minimum count (1)",
         [source, stage("Work", action("Put", "Deploy", "S3", {"BucketName": "bucket", "Extract": "true"}))]),
        (declaration, "Action Fetch declares 0 output artifacts which is less than the minimum count (1)",
         [stage("Source", action("Fetch", "Source", "S3", {"S3Bucket": "b", "S3ObjectKey": "k"})), work]),
        (declaration,
         "Input Artifact Bundle nothing in action Make is not declared as Output Artifact Bundle in any of the preceding "
         "actions",
         [source, stage("Work", rehearsal("Make", inputs=["nothing"]))]),
        (declaration,
         "Namespaces must be unique across the pipeline definition. The following occur more than once in the pipeline. "
         "StageName=[Work], ActionName=[Make], Namespace=[N]",
         [stage("Source", {**fetch, "namespace": "N"}), stage("Work", {**make, "namespace": "N"})]),
        (declaration,
         "Valid format for a pipeline execution variable reference is a namespace and a key separated by a period (.). "
         "The following pipeline execution variables are referencing a namespace that does not exist.\n"
         "StageName=[Work], ActionName=[Make], ActionConfigurationKey=[Message], VariableReferenceText=[Nobody.Key]",
         [source, stage("Work", rehearsal("Make", Message="#{Nobody.Key}"))]),
    ]
    for number, (code, message, stages) in enumerate(cases):
        answer = refused(code, message, api.create_pipeline, pipeline=pipeline(f"bad-{number}", arn, *stages))
        equal(status_of(answer), 400, "status")

    variable = {"name": "Target", "defaultValue": "test"}
    with_variables = [
        ("Pipeline variable can only be used with V2 pipelines", {"variables": [variable], "pipelineType": "V1"}, "x"),
        ("Variable names must be unique. The following variable name is already in use: Target",
         {"variables": [variable, variable]}, "x"),
        ("Variables at the pipeline level cannot be used in source actions.\nStageName=[Source], ActionName=[Fetch], "
         "ActionConfigurationKey=[Message], VariableReferenceText=[variables.Target]",
         {"variables": [variable]}, "#{variables.Target}"),
    ]
    for message, more, text in with_variables:
        stages = [stage("Source", rehearsal("Fetch", "Source", Message=text)), work]
        refused(structure, message, api.create_pipeline, pipeline=pipeline("bad", arn, *stages, **more))

    refused(
        "ValidationException",
        "1 validation error detected: Value at 'pipeline.name' failed to satisfy constraint: Member must satisfy regular "
        "expression pattern: [A-Za-z0-9.@\\-_]+",
        api.create_pipeline,
        pipeline=two_stages("not allowed", arn),
    )
    refused(
        "ValidationException",
        re.compile(r"2 validation errors detected: Value at '.*'.*; Value at '.*' failed to satisfy constraint: .*"),
        api.create_pipeline,
        pipeline=two_stages("!", "nobody"),
    )
    absent = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    refused(
        structure,
        f"CodePipeline is not authorized to perform AssumeRole on role {absent}",
        api.create_pipeline,
        pipeline=two_stages("bad", absent),
    )
    other = role("builder", service="codebuild.amazonaws.com")
    refused(
        structure,
        f"CodePipeline is not authorized to perform AssumeRole on role {other}",
        api.create_pipeline,
        pipeline=two_stages("bad", other),
    )
    many = [{"key": f"key-{n}", "value": "v"} for n in range(51)]
    refused("TooManyTagsException", re.compile(".*50.*"), api.create_pipeline, pipeline=two_stages("bad", arn), tags=many)
    reserved = [{"key": "aws:mine", "value": "v"}]
    refused(
        "InvalidTagsException", re.compile(".*aws:mine.*"), api.create_pipeline, pipeline=two_stages("bad", arn), tags=reserved
    )
    equal(api.list_pipelines()["pipelines"], [], "nothing that was refused is there")


def pipeline_limit():
    """The server of this scenario holds twelve pipelines (`[quotas]`)."""
    api = client("codepipeline")
    arn = role()
    for number in range(12):
        api.create_pipeline(pipeline=two_stages(f"p-{number}", arn))
    message = re.compile(r".*its limit of 12\. .*`pipelines-per-region` under \[quotas\].*")
    refused("LimitExceededException", message, api.create_pipeline, pipeline=two_stages("one-more", arn))
    api.delete_pipeline(name="p-3")
    api.create_pipeline(pipeline=two_stages("one-more", arn))


def get_pipeline():
    api = client("codepipeline")
    arn = role()
    api.create_pipeline(pipeline=two_stages("p", arn, rehearsal("Make", Message="first")))
    api.update_pipeline(pipeline=two_stages("p", arn, rehearsal("Make", Message="second")))
    api.update_pipeline(pipeline=two_stages("p", arn, rehearsal("Make", Message="third")))

    def message(**which):
        got = api.get_pipeline(name="p", **which)["pipeline"]
        return got["version"], got["stages"][1]["actions"][0]["configuration"]["Message"]

    equal(message(), (3, "third"), "current")
    equal([message(version=n) for n in (1, 2, 3)], [(1, "first"), (2, "second"), (3, "third")], "every version")
    times = api.get_pipeline(name="p")["metadata"]
    holds(times["created"] < times["updated"], "an update is later than the creation")
    refused("PipelineNotFoundException", not_found("q"), api.get_pipeline, name="q")
    refused("PipelineVersionNotFoundException", re.compile(".*4.*"), api.get_pipeline, name="p", version=4)


def update_pipeline():
    api = client("codepipeline")
    runs = Pipelines(api)
    arn = role()
    declared = two_stages("p", arn, approval())
    api.create_pipeline(pipeline=declared)
    first = runs.first("p")
    token = runs.token("p", "Work")
    answer = api.update_pipeline(pipeline={**declared, "version": 77})["pipeline"]
    equal(answer["version"], 2, "the version of a request is ignored")
    equal(runs.ended("p", first), "Cancelled", "an update cancels what runs")
    refused(
        "InvalidApprovalTokenException",
        "The pipeline p has been updated, and the approval request you responded to is now out of date.",
        runs.answer, name="p", stage_name="Work", token=token,
    )
    latest = runs.action_latest("p", "Work", "Ok")
    equal(latest["summary"], "The approval action has been canceled.", "summary of the approval")
    holds("token" not in latest, "a dead token is not shown")
    refused(
        "StageNotRetryableException", re.compile(".*structure has changed.*"), api.retry_stage_execution,
        pipelineName="p", stageName="Work", pipelineExecutionId=first, retryMode="FAILED_ACTIONS",
    )
    equal(len(api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]), 1, "an update starts nothing")

    # What runs is let finish: the execution ends Cancelled when its action has ended.
    slow = two_stages("slow", arn, rehearsal("Make", Seconds="0.6"), rehearsal("Next", order=2))
    api.create_pipeline(pipeline=slow)
    running = runs.first("slow")
    runs.running("slow", "Work", "Make")
    api.update_pipeline(pipeline=slow)
    equal(runs.ended("slow", running), "Cancelled", "cancelled after its action")
    equal([(row[1], row[2]) for row in runs.told("slow", running)], [("Make", "Succeeded"), ("Fetch", "Succeeded")],
          "the running action ended by itself, the next never started")

    refused("PipelineNotFoundException", not_found("q"), api.update_pipeline, pipeline=two_stages("q", arn))
    refused(
        "InvalidStructureException",
        "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline",
        api.update_pipeline,
        pipeline=pipeline("p", arn, stage("Source", rehearsal("Fetch", "Source"))),
    )
    equal(api.get_pipeline(name="p")["pipeline"]["version"], 2, "a refused update changes nothing")


def delete_pipeline():
    api = client("codepipeline")
    runs = Pipelines(api)
    arn = role()
    equal(status_of(api.delete_pipeline(name="never-was")), 200, "deleting what is not there")
    api.create_pipeline(pipeline=two_stages("p", arn, rehearsal("Make", outcome="hang")))
    runs.running("p", "Work", "Make")
    api.delete_pipeline(name="p")
    for call in (api.get_pipeline, api.get_pipeline_state, api.start_pipeline_execution):
        refused("PipelineNotFoundException", not_found("p"), call, name="p")
    for call in (api.list_pipeline_executions, api.list_action_executions):
        refused("PipelineNotFoundException", not_found("p"), call, pipelineName="p")
    api.create_pipeline(pipeline=two_stages("p", arn))
    equal(api.get_pipeline(name="p")["pipeline"]["version"], 1, "a new pipeline of the same name starts anew")
    equal(len(api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]), 1, "without the old history")


def list_pipelines():
    api = client("codepipeline")
    arn = role()
    names = [f"p-{number:02}" for number in range(0, 10, 2)]
    for name in names:
        api.create_pipeline(pipeline=two_stages(name, arn))
    row = api.list_pipelines()["pipelines"][0]
    equal(sorted(row), ["created", "executionMode", "name", "pipelineType", "updated", "version"], "members of a row")
    seen, token = [], None
    while True:
        page = api.list_pipelines(maxResults=2, **({"nextToken": token} if token else {}))
        holds(len(page["pipelines"]) <= 2, "a page is no longer than asked")
        seen += [found["name"] for found in page["pipelines"]]
        token = page.get("nextToken")
        if token is None:
            break
        # Rows that appear before and behind the page's end neither repeat nor hide any other.
        if len(seen) == 2:
            api.create_pipeline(pipeline=two_stages("a-first", arn))
            api.create_pipeline(pipeline=two_stages("p-05", arn))
    equal(seen, ["p-00", "p-02", "p-04", "p-05", "p-06", "p-08"], "every row once, in order")
    refused("InvalidNextTokenException", re.compile(".+"), api.list_pipelines, nextToken="made-up")


def start_pipeline_execution():
    api = client("codepipeline")
    runs = Pipelines(api)
    arn = role()
    make = rehearsal("Make", Message="to #{variables.Target} as #{variables.Who}")
    variables = [{"name": "Target", "defaultValue": "test"}, {"name": "Who"}]
    api.create_pipeline(pipeline=two_stages("p", arn, make, variables=variables))
    first = api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=runs.first("p"))["pipelineExecution"]
    equal(first["status"], "Failed", "no value for a required variable")
    equal(first["statusSummary"], "Values for required variables haven't been provided: Who", "reason")
    holds("variables" not in first, "nothing was bound")

    def start(**more):
        return api.start_pipeline_execution(name="p", **more)["pipelineExecutionId"]

    given = [{"name": "Who", "value": "me"}, {"name": "nobody-declared", "value": "x"}]
    second = start(variables=given)
    runs.ended("p", second, "Succeeded")
    shown = api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=second)["pipelineExecution"]
    bound = [{"name": "Target", "resolvedValue": "test"}, {"name": "Who", "resolvedValue": "me"}]
    equal(shown["variables"], bound, "bound variables")
    equal(shown["trigger"], {"triggerType": "StartPipelineExecution", "triggerDetail": ROOT}, "trigger")
    made = runs.actions("p", second)[0]
    equal(made["input"]["configuration"]["Message"], "to #{variables.Target} as #{variables.Who}", "as declared")
    equal(made["input"]["resolvedConfiguration"]["Message"], "to test as me", "as resolved")
    # botocore would refuse an empty list by itself; the live service takes it.
    status, _, body = Wire().post("StartPipelineExecution", b'{"name":"p","variables":[]}')
    equal(status, 200, f"an empty list is accepted: {body}")

    token = start(variables=given, clientRequestToken="once-1")
    equal(start(clientRequestToken="once-1"), token, "the same token gives the same execution")
    holds(start(variables=given, clientRequestToken="once-2") != token, "another token another one")
    double = [{"name": "Who", "value": "a"}, {"name": "Who", "value": "b"}]
    message = "Variable names must be unique. The following variable name is already in use: Who"
    for more in ({}, {"clientRequestToken": "once-1"}):
        refused("ValidationException", message, start, variables=double, **more)
    unknown = [{"actionName": "Nobody", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": "1"}]
    for more in ({}, {"clientRequestToken": "once-1"}):
        refused("ValidationException", re.compile(".*Nobody.*"), start, sourceRevisions=unknown, **more)
    refused(
        "ValidationException",
        "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: ^[a-zA-Z0-9-]+$",
        start, clientRequestToken="not allowed",
    )
    refused("PipelineNotFoundException", not_found("q"), api.start_pipeline_execution, name="q")

    pinned = start(variables=given, sourceRevisions=[{**unknown[0], "actionName": "Fetch", "revisionValue": "rev-7"}])
    runs.ended("p", pinned, "Succeeded")
    shown = api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=pinned)["pipelineExecution"]
    equal([r["revisionId"] for r in shown["artifactRevisions"]], ["rev-7"], "the overriding revision")


def execution_cap():
    api = client("codepipeline")
    arn = role()
    for mode in ("QUEUED", "PARALLEL"):
        api.create_pipeline(pipeline=two_stages(mode, arn, approval(), executionMode=mode))
        for _ in range(49):
            api.start_pipeline_execution(name=mode)
        refused(
            "ConcurrentPipelineExecutionsLimitExceededException", re.compile(".*50 concurrent.*"),
            api.start_pipeline_execution, name=mode,
        )
    runs = Pipelines(api)
    waiting = runs.state("QUEUED", "Work")
    equal(waiting["latestExecution"]["status"], "InProgress", "one is inside")
    entered = api.list_action_executions(pipelineName="PARALLEL")["actionExecutionDetails"]
    holds(wait("every parallel execution to wait for its approval", lambda: len([
        row for row in api.get_paginator("list_action_executions").paginate(pipelineName="PARALLEL").search(
            "actionExecutionDetails[]") if row["actionName"] == "Ok"]) == 50), "all at once")
    holds(entered, "PARALLEL executions have action executions")


def get_pipeline_execution():
    api = client("codepipeline")
    runs = Pipelines(api)
    arn = role()
    for name in ("p", "other"):
        api.create_pipeline(pipeline=two_stages(name, arn))
    execution = runs.first("p")
    runs.ended("p", execution, "Succeeded")
    got = api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=execution)["pipelineExecution"]
    equal(
        sorted(got),
        ["artifactRevisions", "executionMode", "pipelineExecutionId", "pipelineName", "pipelineVersion", "status", "trigger"],
        "members",
    )
    equal((got["pipelineVersion"], got["executionMode"]), (1, "SUPERSEDED"), "version and mode")
    equal(got["artifactRevisions"][0]["name"], "src", "revision of the source's artifact")
    refused("PipelineNotFoundException", not_found("q"), api.get_pipeline_execution, pipelineName="q", pipelineExecutionId=execution)
    for name, id in (("p", ABSENT_ID), ("other", execution)):
        refused(
            "PipelineExecutionNotFoundException",
            f"Pipeline Execution with id '{id}' does not exist in pipeline with name '{name}'",
            api.get_pipeline_execution, pipelineName=name, pipelineExecutionId=id,
        )
    refused(
        "ValidationException",
        "1 validation error detected: Value at 'pipelineExecutionId' failed to satisfy constraint: Member must satisfy "
        "regular expression pattern: [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        api.get_pipeline_execution, pipelineName="p", pipelineExecutionId="7",
    )


def list_pipeline_executions():
    api = client("codepipeline")
    runs = Pipelines(api)
    arn = role()
    api.create_pipeline(pipeline=two_stages("p", arn, approval()))
    api.create_pipeline(pipeline=two_stages("other", arn))
    ids = [runs.first("p")]
    runs.answer("p", "Work", runs.token("p", "Work"))
    runs.ended("p", ids[0], "Succeeded")
    for _ in range(4):
        ids.append(api.start_pipeline_execution(name="p")["pipelineExecutionId"])
        runs.answer("p", "Work", runs.token("p", "Work"), status="Rejected", summary="not this one")
        runs.ended("p", ids[-1], "Failed")
    rows = api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]
    equal([row["pipelineExecutionId"] for row in rows], ids[::-1], "newest first")
    equal(
        sorted(rows[0]),
        ["executionMode", "lastUpdateTime", "pipelineExecutionId", "sourceRevisions", "startTime", "status", "trigger"],
        "members of a row",
    )
    equal(rows[0]["sourceRevisions"][0]["actionName"], "Fetch", "source revision")
    seen, token = [], None
    while True:
        page = api.list_pipeline_executions(pipelineName="p", maxResults=2, **({"nextToken": token} if token else {}))
        seen += [row["pipelineExecutionId"] for row in page["pipelineExecutionSummaries"]]
        token = page.get("nextToken")
        if token is None:
            break
        api.start_pipeline_execution(name="p")
        last = token
    equal(seen, ids[::-1], "every row once, though new ones come")
    succeeded = api.list_pipeline_executions(pipelineName="p", filter={"succeededInStage": {"stageName": "Work"}})
    equal([row["pipelineExecutionId"] for row in succeeded["pipelineExecutionSummaries"]], ids[:1], "succeeded in Work")
    refused("PipelineNotFoundException", not_found("q"), api.list_pipeline_executions, pipelineName="q")
    refused("InvalidNextTokenException", re.compile(".+"), api.list_pipeline_executions, pipelineName="p", nextToken="made-up")
    refused("InvalidNextTokenException", re.compile(".+"), api.list_pipeline_executions, pipelineName="other", nextToken=last)
    refused(
        "ValidationException",
        "1 validation error detected: Value at 'maxResults' failed to satisfy constraint: Member must have value less "
        "than or equal to 100",
        api.list_pipeline_executions, pipelineName="p", maxResults=101,
    )


def list_action_executions():
    api = client("codepipeline")
    runs = Pipelines(api)
    arn = role()
    work = [rehearsal(f"Make{n}", order=n) for n in range(1, 4)]
    api.create_pipeline(pipeline=two_stages("p", arn, *work, approval(order=4)))
    first = runs.first("p")
    runs.answer("p", "Work", runs.token("p", "Work"), status="Rejected", summary="no")
    runs.ended("p", first, "Failed")
    api.retry_stage_execution(pipelineName="p", stageName="Work", pipelineExecutionId=first, retryMode="FAILED_ACTIONS")
    runs.answer("p", "Work", runs.token("p", "Work"), summary="yes")
    runs.ended("p", first, "Succeeded")

    rows = runs.actions("p", first)
    equal([(r["actionName"], r["status"]) for r in rows],
          [("Ok", "Succeeded"), ("Ok", "Failed"), ("Make3", "Succeeded"), ("Make2", "Succeeded"), ("Make1", "Succeeded"),
           ("Fetch", "Succeeded")], "newest first, every attempt")
    holds(all(a["startTime"] >= b["startTime"] for a, b in zip(rows, rows[1:])), "in the order of their starts")
    make = rows[2]
    equal(make["input"]["actionTypeId"], {"category": "Build", "owner": "Custom", "provider": "Rehearsal", "version": "1"}, "type")
    equal((make["stageName"], make["pipelineVersion"], make["input"]["region"]), ("Work", 1, REGION), "where it ran")
    equal((make["output"]["outputArtifacts"], make["output"]["outputVariables"]), ([], {}), "always there")
    fetch = rows[-1]["output"]["outputArtifacts"][0]
    matches(fetch["s3location"]["key"], r"p/src/[0-9A-Za-z]{7}", "key of an artifact")
    equal(rows[0]["updatedBy"], ROOT, "who approved")

    def ids(**chosen):
        got = api.list_action_executions(pipelineName="p", filter=chosen)["actionExecutionDetails"]
        return [row["actionName"] for row in got]

    nested = {"pipelineExecutionId": first, "startTimeRange": "Latest"}
    equal(ids(latestInPipelineExecution=nested), ["Ok", "Make3", "Make2", "Make1", "Fetch"], "latest attempt of each")
    nested["startTimeRange"] = "All"
    equal(ids(latestInPipelineExecution=nested), [row["actionName"] for row in rows], "all attempts")
    nested["pipelineExecutionId"] = ABSENT_ID
    equal(ids(pipelineExecutionId=first, latestInPipelineExecution=nested), [], "an intersection with nothing")

    seen, token = [], None
    while True:
        page = api.list_action_executions(
            pipelineName="p", filter={"pipelineExecutionId": first}, maxResults=4, **({"nextToken": token} if token else {})
        )
        seen += [row["actionExecutionId"] for row in page["actionExecutionDetails"]]
        token = page.get("nextToken")
        if token is None:
            break
        last = token
        second = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        runs.token("p", "Work")
    equal(seen, [row["actionExecutionId"] for row in rows], "every row once, though new ones come")
    absent = f"Pipeline Execution with id '{ABSENT_ID}' does not exist in pipeline with name 'p'"
    for chosen in (
        {"pipelineExecutionId": ABSENT_ID},
        {"latestInPipelineExecution": {"pipelineExecutionId": ABSENT_ID, "startTimeRange": "All"}},
        {"pipelineExecutionId": ABSENT_ID, "latestInPipelineExecution": {"pipelineExecutionId": first, "startTimeRange": "All"}},
    ):
        refused("PipelineExecutionNotFoundException", absent, api.list_action_executions, pipelineName="p", filter=chosen)
    refused("PipelineNotFoundException", not_found("q"), api.list_action_executions, pipelineName="q")
    refused("InvalidNextTokenException", re.compile(".+"), api.list_action_executions, pipelineName="p", nextToken="made-up")
    refused(
        "InvalidNextTokenException", re.compile(".+"), api.list_action_executions, pipelineName="p", nextToken=last,
        filter={"pipelineExecutionId": second},
    )


def list_action_types():
    api = client("codepipeline")
    listed = api.list_action_types()["actionTypes"]

    def named(rows):
        return {(t["id"]["category"], t["id"]["owner"], t["id"]["provider"]) for t in rows}

    aws = {("Source", "AWS", "S3"), ("Build", "AWS", "CodeBuild"), ("Test", "AWS", "CodeBuild"),
           ("Approval", "AWS", "Manual"), ("Compute", "AWS", "Commands"), ("Deploy", "AWS", "S3"), ("Invoke", "AWS", "Lambda"),
           ("Invoke", "AWS", "StepFunctions"), ("Invoke", "AWS", "CodePipeline")}
    rehearsals = {(c, "Custom", "Rehearsal") for c in ("Source", "Build", "Test", "Deploy", "Invoke")}
    equal(named(listed), aws | rehearsals, "what this version has")
    equal(named(api.list_action_types(actionOwnerFilter="AWS")["actionTypes"]), aws, "of AWS")
    equal(named(api.list_action_types(actionOwnerFilter="Custom")["actionTypes"]), rehearsals, "custom ones")
    equal(api.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"], [], "of third parties")
    for entry in listed:
        for found in entry["actionConfigurationProperties"]:
            holds(found["description"], f"{found['name']} of {entry['id']['provider']} says what it is")
    s3 = next(t for t in listed if t["id"]["provider"] == "S3" and t["id"]["category"] == "Source")
    required = sorted(p["name"] for p in s3["actionConfigurationProperties"] if p["required"])
    equal(required, ["S3Bucket", "S3ObjectKey"], "required keys of the S3 source")
    equal((s3["inputArtifactDetails"], s3["outputArtifactDetails"]),
          ({"minimumCount": 0, "maximumCount": 0}, {"minimumCount": 1, "maximumCount": 1}), "artifacts of the S3 source")
    refused("InvalidNextTokenException", re.compile(".+"), api.list_action_types, nextToken="made-up")
    refused(
        "ValidationException",
        re.compile(r"1 validation error detected: Value at 'actionOwnerFilter' failed to satisfy constraint: Member must "
                   r"satisfy enum value set: \[.*\]"),
        api.list_action_types, actionOwnerFilter="Me",
    )


if __name__ == "__main__":
    main([
        create_pipeline, create_pipeline_refusals, pipeline_limit, get_pipeline, update_pipeline, delete_pipeline,
        list_pipelines, start_pipeline_execution, execution_cap, get_pipeline_execution, list_pipeline_executions,
        list_action_executions, list_action_types,
    ])
