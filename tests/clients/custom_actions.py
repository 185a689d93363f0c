"""Custom action types and their job workers: every call, what it refuses and in which words, what a job carries, and that
a result is used once. Run by the Rust tests of the `towpath` command, one scenario at a time.
"""

import concurrent.futures
import json
import re
import tempfile

import boto3
import botocore.exceptions
from botocore.config import Config

from harness import (
    ABSENT_ID,
    ACCOUNT,
    REGION,
    Pipelines,
    Server,
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
    s3_source,
    source,
    stage,
    status_of,
    wait,
    zipped,
)
from worker import TYPE, Worker, job_action, make_type, prop

FETCH = stage("Source", rehearsal("Fetch", "Source"))
ENDED = "Job with id {} has already terminated"
REPEATED = ("The status of job with id {} is already set to the desired value. It cannot be updated with the same status, "
            "but different result or output variables.")


def not_available(provider="Farm", owner="Custom", category="Build", version="1"):
    return (f"ActionType (Category: '{category}', Owner: '{owner}', Provider: '{provider}', Version: '{version}') is not "
            "available")


def created(runs, arn, *stages, name="p", **more):
    runs.api.create_pipeline(pipeline=pipeline(name, arn, *stages, **more))
    return runs.first(name)


def custom_action_types():
    api = client("codepipeline")
    settings = {
        "entityUrlTemplate": "https://farm.example/p/{Config:Project}",
        "executionUrlTemplate": "https://farm.example/p/{Config:Project}/runs/{ExternalExecutionId}",
        "revisionUrlTemplate": "https://farm.example/edit/{Config:Project}",
        "thirdPartyConfigurationUrl": "https://farm.example/sign-up",
    }
    properties = [
        prop("Project", required=True, queryable=True, description="which project"),
        prop("Token", required=True, secret=True, key=False),
        prop("Fast", type="Boolean"),
    ]
    made = make_type(api, properties=properties, settings=settings, tags=[{"key": "team", "value": "locks"}])
    equal(made["tags"], [{"key": "team", "value": "locks"}], "tags")
    shown = made["actionType"]
    equal(shown["id"], TYPE, "id")
    equal(shown["settings"], settings, "settings")
    equal([(p["name"], p["required"], p["secret"], p["key"], p["queryable"], p.get("type"), p.get("description"))
           for p in shown["actionConfigurationProperties"]],
          [("Project", True, False, True, True, "String", "which project"),
           ("Token", True, True, False, False, "String", None),
           ("Fast", False, False, True, False, "Boolean", None)], "properties")

    def listed(**more):
        rows = api.list_action_types(**more)["actionTypes"]
        return [row for row in rows if row["id"]["provider"] == "Farm"]

    equal(listed(), [shown], "in the list as it was answered")
    equal(listed(actionOwnerFilter="Custom"), [shown], "of its owner")
    equal(listed(actionOwnerFilter="AWS"), [], "of no other")
    holds(all(row["id"]["category"] != "Rule" for row in api.list_action_types()["actionTypes"]), "rules are no actions")
    elsewhere = client("codepipeline", region_name="eu-west-1")
    equal(elsewhere.list_action_types(actionOwnerFilter="Custom")["actionTypes"],
          [row for row in api.list_action_types(actionOwnerFilter="Custom")["actionTypes"] if row["id"]["provider"] != "Farm"],
          "another Region has its own types")

    # The same words again are no error; other words under the same version are.
    again = make_type(api, properties=properties, settings=settings)
    equal(again["actionType"], shown, "repeated")
    taken = re.compile("The action type with category 'Build', provider 'Farm' and version '1' already exists.*never been used.*")
    refused("ActionTypeAlreadyExistsException", taken, make_type, api=api, properties=properties[:2], settings=settings)
    refused("ActionTypeAlreadyExistsException", re.compile(".*'Rehearsal'.*"), make_type, api=api, provider="Rehearsal")

    def broken(message, **more):
        refused("ValidationException", re.compile(message), make_type, api=api, provider="Other", **more)

    broken(".*At most one.*", properties=[prop("A", required=True, queryable=True), prop("B", required=True, queryable=True)])
    broken(".*'A' must be required and must not be secret.*", properties=[prop("A", queryable=True)])
    broken(".*more than once.*", properties=[prop("A"), prop("A")])
    broken(".*minimumCount 2 is greater.*", inputs=(2, 1))
    broken(".*'Token'; only properties that are required and not secret.*", properties=properties,
           settings={"entityUrlTemplate": "https://x/{Config:Token}"})
    broken(".*entityUrlTemplate cannot contain.*", settings={"entityUrlTemplate": "https://x/{ExternalExecutionId}"})
    broken(".*https://.*", settings={"entityUrlTemplate": "javascript:alert(1)"})
    broken(r".*'configurationProperties'.*less than or equal to 10", properties=[prop(f"P{n}") for n in range(11)])
    broken(r".*'inputArtifactDetails\.maximumCount'.*less than or equal to 5", inputs=(0, 6))
    refused("InvalidTagsException", re.compile(".*reserved.*"), make_type, api=api, provider="Other",
            tags=[{"key": "aws:x", "value": "1"}])

    # A definition is held to its type, unknown types are advised on.
    runs = Pipelines(api)
    arn = role()

    def refusal(message, *actions, name="p"):
        refused("InvalidActionDeclarationException", message, api.create_pipeline,
                pipeline=pipeline(name, arn, FETCH, stage("Work", *actions)))

    refusal("Action configuration for action 'Work' is missing required configuration 'Token'", job_action(
        configuration={"Project": "ferry"}))
    refusal("Action configuration for action 'Work' contains unknown configuration 'Colour'", job_action(
        configuration={"Project": "ferry", "Token": "t", "Colour": "red"}))
    refusal(re.compile(".*queryable configuration 'Project'.*at most 20 characters.*"), job_action(
        configuration={"Project": "x" * 21, "Token": "t"}))
    refusal("Action configuration for action 'Work' has an invalid value for configuration 'Fast': it must be true or false",
            job_action(configuration={"Project": "ferry", "Token": "t", "Fast": "maybe"}))
    gone = ("ActionType (Category: 'Build', Provider: '{}', Owner: 'Custom', Version: '1') in action 'Work' is not "
            "available in region 'US_EAST_1'")
    refusal(gone.format("Fram"), job_action(provider="Fram"))

    # Deleted: the words stay taken, the same words bring it back.
    first = created(runs, arn, FETCH, stage("Work", job_action(configuration={"Project": "ferry", "Token": "hush"})))
    worker = Worker(api=api)
    poll = {"actionTypeId": TYPE, "queryParam": {"Project": "ferry"}}
    job = wait("the job", lambda: api.poll_for_jobs(**poll)["jobs"])[0]
    api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
    equal(status_of(api.delete_custom_action_type(category="Build", provider="Farm", version="1")), 200, "deleted")
    equal(status_of(api.delete_custom_action_type(category="Build", provider="Farm", version="1")), 200, "deleted twice")
    equal(listed(), [], "not listed any more")
    refused("ActionTypeNotFoundException", not_available(), api.poll_for_jobs, **poll)
    refusal(gone.format("Farm"), job_action(configuration={"Project": "ferry", "Token": "t"}), name="q")
    declared = api.get_pipeline(name="p")["pipeline"]["stages"][1]["actions"][0]["configuration"]
    equal(declared, {"Project": "ferry", "Token": "****"}, "its secrets stay secret")
    equal(api.get_job_details(jobId=job["id"])["jobDetails"]["data"]["actionConfiguration"]["configuration"]["Token"], "hush",
          "but not from the worker that has the job")
    worker.put(job, executionDetails={"externalExecutionId": "7"})
    runs.ended("p", first, "Succeeded")
    equal(runs.action_latest("p", "Work", "Work")["externalExecutionUrl"], "https://farm.example/p/ferry/runs/7",
          "what ran ends as if nothing had happened")
    second = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    runs.ended("p", second, "Failed")
    equal(runs.action_latest("p", "Work", "Work")["errorDetails"],
          {"code": "ConfigurationError", "message": gone.format("Farm")}, "nothing new starts")
    refused("ActionTypeAlreadyExistsException", taken, make_type, api=api, properties=[])
    make_type(api, properties=properties, settings=settings)
    third = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    job = wait("the job", lambda: api.poll_for_jobs(**poll)["jobs"])[0]
    equal(job["data"]["pipelineContext"]["pipelineExecutionId"], third, "it works again")

    # No more than 50 in a Region.
    have = len([row for row in api.list_action_types(actionOwnerFilter="Custom")["actionTypes"]
                if row["id"]["provider"] != "Rehearsal"])
    for n in range(have, 50):
        make_type(api, provider=f"Many{n}")
    refused("LimitExceededException", re.compile(".*limit of 50.*"), make_type, api=api, provider="OneMore")
    make_type(elsewhere, provider="OneMore")


def a_job():
    """From the poll to the result: what a job carries, what its credentials are good for, and what its result does."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api, properties=[prop("Project", required=True, queryable=True), prop("Token", secret=True)],
              inputs=(1, 1), outputs=(1, 1), settings={
                  "entityUrlTemplate": "https://farm.example/{Config:Project}",
                  "executionUrlTemplate": "https://farm.example/{Config:Project}/{ExternalExecutionId}"})
    version = source({"a.txt": "a"})
    bucket("artifacts")
    bucket("other")
    client("s3").put_object(Bucket="other", Key="theirs", Body=b"theirs")
    arn = role()
    work = job_action(configuration={"Project": "ferry", "Token": "hush"}, inputs=["src"], outputs=["out"], namespace="Farm")
    use = rehearsal("Use", "Test", Message="#{Farm.Version}")
    first = created(runs, arn, stage("Source", s3_source()), stage("Work", work), stage("Test", use))

    refused("ValidationException", re.compile(".*exactly one entry: the queryable property 'Project'.*"), api.poll_for_jobs,
            actionTypeId=TYPE)
    refused("ValidationException", re.compile(".*exactly one entry.*"), api.poll_for_jobs, actionTypeId=TYPE,
            queryParam={"Colour": "red"})
    refused("ActionTypeNotFoundException", not_available("CodeBuild", "AWS"), api.poll_for_jobs,
            actionTypeId={**TYPE, "owner": "AWS", "provider": "CodeBuild"})
    refused("ActionTypeNotFoundException", not_available("Rehearsal"), api.poll_for_jobs,
            actionTypeId={**TYPE, "provider": "Rehearsal"})
    equal(api.poll_for_jobs(actionTypeId=TYPE, queryParam={"Project": "canal"})["jobs"], [], "another project's queue")

    job = wait("the job", lambda: api.poll_for_jobs(
        actionTypeId=TYPE, queryParam={"Project": "ferry"}, maxBatchSize=3)["jobs"])[0]
    equal(api.poll_for_jobs(actionTypeId=TYPE, queryParam={"Project": "ferry"})["jobs"], [], "it is given out once")
    equal(sorted(job), ["accountId", "data", "id", "nonce"], "members of a job")
    equal(job["accountId"], ACCOUNT, "account")
    data = job["data"]
    equal(sorted(data), ["actionConfiguration", "actionTypeId", "artifactCredentials", "inputArtifacts", "outputArtifacts",
                         "pipelineContext"], "members of its data")
    equal(data["actionTypeId"], TYPE, "type")
    equal(data["actionConfiguration"]["configuration"], {"Project": "ferry", "Token": "hush"}, "secrets in clear")
    running = runs.action_latest("p", "Work", "Work")
    equal(data["pipelineContext"], {
        "pipelineName": "p", "stage": {"name": "Work"}, "pipelineExecutionId": first,
        "action": {"name": "Work", "actionExecutionId": running["actionExecutionId"]},
        "pipelineArn": f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:p"}, "context")
    given, made = data["inputArtifacts"][0], data["outputArtifacts"][0]
    equal((given["name"], given["revision"], given["location"]["type"]), ("src", version, "S3"), "input")
    equal((made["name"], made.get("revision"), made["location"]["s3Location"]["bucketName"]), ("out", None, "artifacts"), "output")
    matches(made["location"]["s3Location"]["objectKey"], "p/out/[A-Za-z0-9]{7}", "the output's key is given")

    # The credentials are for this job's artifacts and for nothing else.
    keys = data["artifactCredentials"]
    mine = boto3.client("s3", aws_access_key_id=keys["accessKeyId"], aws_secret_access_key=keys["secretAccessKey"],
                        aws_session_token=keys["sessionToken"], config=Config(retries={"max_attempts": 1}))

    def denied(call, **arguments):
        try:
            call(**arguments)
        except botocore.exceptions.ClientError as error:
            holds(error.response["Error"]["Code"] in ("AccessDenied", "403"), str(error))
            return
        raise AssertionError(f"allowed: {arguments}")

    def at(artifact):
        where = artifact["location"]["s3Location"]
        return {"Bucket": where["bucketName"], "Key": where["objectKey"]}

    equal(mine.get_object(**at(given))["Body"].read()[:2], b"PK", "the input is read")
    mine.put_object(**at(made), Body=zipped({"b.txt": "b"}))
    equal(mine.get_object(**at(given), VersionId="null")["Body"].read()[:2], b"PK", "and its version")
    denied(mine.put_object, **at(given), Body=b"x")
    denied(mine.delete_object, **at(given))
    denied(mine.delete_object, **at(made))
    denied(mine.get_object, **at(made))
    denied(mine.put_object, Bucket="artifacts", Key="p/out/zzzzzzz", Body=b"x")
    denied(mine.get_object, Bucket="other", Key="theirs")
    denied(mine.list_objects_v2, Bucket="artifacts")
    denied(mine.list_buckets)

    # One worker has the job.
    refused("InvalidNonceException", re.compile(f".*{job['id']}.*"), api.acknowledge_job, jobId=job["id"], nonce="guess")
    refused("JobNotFoundException", f"Job with id '{ABSENT_ID}' does not exist", api.acknowledge_job, jobId=ABSENT_ID,
            nonce=job["nonce"])
    refused("InvalidJobStateException", re.compile(".*has not been acknowledged.*"), api.put_job_success_result,
            jobId=job["id"])
    equal(api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"], "InProgress", "acknowledged")
    refused("InvalidNonceException", re.compile(".*already been acknowledged.*"), api.acknowledge_job, jobId=job["id"],
            nonce=job["nonce"])
    details = api.get_job_details(jobId=job["id"])["jobDetails"]
    equal((details["id"], details["accountId"]), (job["id"], ACCOUNT), "details")
    fresh = details["data"].pop("artifactCredentials")
    equal(details["data"], {k: v for k, v in data.items() if k != "artifactCredentials"}, "the same data")
    holds(fresh["sessionToken"] != keys["sessionToken"], "new credentials each time")
    elsewhere = client("codepipeline", region_name="eu-west-1")
    for call, more in ((elsewhere.get_job_details, {}), (elsewhere.put_job_success_result, {})):
        refused("JobNotFoundException", f"Job with id '{job['id']}' does not exist", call, jobId=job["id"], **more)

    # The work goes on in another job; the action stays the same one.
    told = {"summary": "half way", "externalExecutionId": "run-1", "percentComplete": 50}
    refused("ValidationException", "A job can not contain both a continuation token and output variables.",
            api.put_job_success_result, jobId=job["id"], continuationToken="more", outputVariables={"A": "1"})
    api.put_job_success_result(jobId=job["id"], continuationToken="more", executionDetails=told)
    api.put_job_success_result(jobId=job["id"], continuationToken="more", executionDetails=told)
    shown = runs.action_latest("p", "Work", "Work")
    equal([shown[k] for k in ("status", "summary", "externalExecutionId", "percentComplete", "externalExecutionUrl")],
          ["InProgress", "half way", "run-1", 50, "https://farm.example/ferry/run-1"], "progress")
    equal(runs.action_state("p", "Work", "Work")["entityUrl"], "https://farm.example/ferry", "entity")
    jobs = api.poll_for_jobs(actionTypeId=TYPE, queryParam={"Project": "ferry"})["jobs"]
    equal(len(jobs), 1, "one new job, although the result was put twice")
    following = jobs[0]
    holds(following["id"] != job["id"], "a new id")
    equal(following["data"]["continuationToken"], "more", "with the token")
    equal([following["data"][k] for k in ("inputArtifacts", "outputArtifacts", "pipelineContext")],
          [data[k] for k in ("inputArtifacts", "outputArtifacts", "pipelineContext")], "same action, same artifacts")
    refused("JobNotFoundException", f"Job with id '{job['id']}' does not exist", api.get_job_details, jobId=job["id"])
    refused("InvalidJobStateException", REPEATED.format(job["id"]), api.put_job_success_result, jobId=job["id"])

    api.acknowledge_job(jobId=following["id"], nonce=following["nonce"])
    refused("OutputVariablesSizeExceededException", re.compile(".*122880.*"), api.put_job_success_result,
            jobId=following["id"], outputVariables={"A": "x" * 122_880})
    result = {"jobId": following["id"], "outputVariables": {"Version": "1.2.3"},
              "executionDetails": {"summary": "done", "externalExecutionId": "run-2", "percentComplete": 100}}
    equal(status_of(api.put_job_success_result(**result)), 200, "success")
    runs.ended("p", first, "Succeeded")
    equal(runs.action_latest("p", "Test", "Use")["summary"], "1.2.3", "its variables are used")
    row = runs.actions("p", first)[1]
    equal((row["status"], row["output"]["outputVariables"]), ("Succeeded", {"Version": "1.2.3"}), "history")
    equal(row["input"]["configuration"], {"Project": "ferry", "Token": "****"}, "secrets are masked")
    equal(row["input"]["resolvedConfiguration"], {"Project": "ferry", "Token": "****"}, "resolved ones too")
    equal(row["output"]["executionResult"]["externalExecutionUrl"], "https://farm.example/ferry/run-2", "link")
    holds("hush" not in json.dumps(runs.actions("p", first), default=str), "nowhere in clear")

    equal(status_of(api.put_job_success_result(**result)), 200, "an identical repeat")
    refused("InvalidJobStateException", REPEATED.format(following["id"]), api.put_job_success_result,
            **{**result, "outputVariables": {"Version": "9"}})
    refused("InvalidJobStateException", ENDED.format(following["id"]), api.put_job_failure_result, jobId=following["id"],
            failureDetails={"type": "JobFailed", "message": "no"})
    equal(status_of(runs.api.get_pipeline_state(name="p")), 200, "and the state is still readable")


def failures():
    """What a failure says is what the action shows."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api)
    worker = Worker(api=api)
    first = created(runs, role(), FETCH, stage("Work", job_action("A"), job_action("B")))
    refused("JobNotFoundException", f"Job with id '{ABSENT_ID}' does not exist", api.put_job_failure_result, jobId=ABSENT_ID,
            failureDetails={"type": "JobFailed", "message": "x"})
    a = worker.job(first, "A")
    refused("ValidationException", re.compile(r".*'failureDetails\.type'.*enum value set.*"), api.put_job_failure_result,
            jobId=a["id"], failureDetails={"type": "Tired", "message": "x"})
    worker.fail(a, "no such project", "ConfigurationError", externalExecutionId="run-9")
    latest = runs.action_latest("p", "Work", "A")
    equal(latest["errorDetails"], {"code": "ConfigurationError", "message": "no such project"}, "error")
    equal((latest["status"], latest["summary"], latest["externalExecutionId"]), ("Failed", "no such project", "run-9"), "state")
    equal(runs.status("p", first), "InProgress", "the other of its group runs to its end")
    worker.fail(a, "no such project", "ConfigurationError", externalExecutionId="run-9")
    refused("InvalidJobStateException", REPEATED.format(a["id"]), worker.fail, job=a, message="other words")
    refused("InvalidJobStateException", ENDED.format(a["id"]), worker.put, job=a)
    worker.succeed(first, "B")
    runs.ended("p", first, "Failed")

    # A role that cannot be assumed any more fails the action, as it fails one that Towpath runs itself.
    client("iam").create_role(RoleName="short", AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                                                "Principal": {"Service": "codepipeline.amazonaws.com"}}]}))
    second = created(runs, f"arn:aws:iam::{ACCOUNT}:role/short", FETCH, stage("Work", job_action("A")), name="q")
    wait("the action to start", lambda: runs.action_latest("q", "Work", "A").get("status") == "InProgress")
    client("iam").delete_role(RoleName="short")
    equal(worker.poll(), [], "nothing to give out")
    runs.ended("q", second, "Failed")
    error = runs.action_latest("q", "Work", "A")["errorDetails"]
    equal(error["code"], "PermissionError", "why")
    holds("is not authorized to perform AssumeRole on role" in error["message"], error["message"])


def late_results():
    """A result for an action that has ended otherwise is taken and changes nothing; its job is offered to nobody."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api)
    worker = Worker(api=api)
    first = created(runs, role(), FETCH, stage("Work", job_action("A"), job_action("B")))
    a = worker.job(first, "A")
    b = worker.job(first, "B")
    api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=first, abandon=True)
    runs.ended("p", first, "Stopped")
    worker.put(a, outputVariables={"X": "1"})
    worker.put(a)
    worker.fail(a)
    worker.put(b, continuationToken="more")
    equal(worker.offered(), [], "no new job")
    refused("JobNotFoundException", f"Job with id '{a['id']}' does not exist", api.get_job_details, jobId=a["id"])
    equal([row["status"] for row in runs.actions("p", first)[:2]], ["Abandoned"] * 2, "abandoned as before")
    equal(runs.status("p", first), "Stopped", "execution")

    # Never taken: gone from the queue, and a worker that had it in hand finds its nonce of no use.
    second = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    runs.running("p", "Work", "A")
    dispatched = wait("one job", lambda: worker.poll(maxBatchSize=1))
    equal(len(dispatched), 1, "one was asked for")
    api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=second, abandon=True)
    runs.ended("p", second, "Stopped")
    equal(worker.poll(), [], "the other is offered to nobody")
    equal(api.acknowledge_job(jobId=dispatched[0]["id"], nonce=dispatched[0]["nonce"])["status"], "Failed", "too late")

    third = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    a, b = worker.job(third, "A"), worker.job(third, "B")
    api.delete_pipeline(name="p")
    worker.put(a)
    worker.fail(b)
    refused("PipelineNotFoundException", re.compile(".*'p'"), api.get_pipeline_execution, pipelineName="p",
            pipelineExecutionId=third)
    equal(worker.offered(), [], "nothing more")


def custom_source():
    """A worker's source: the revision it tells is the execution's."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api, "Source", "Depot", inputs=(0, 0), outputs=(1, 1))
    make_type(api)
    depot, farm = Worker("Source", "Depot", api=api), Worker(api=api)
    fetch = job_action("Fetch", category="Source", provider="Depot", outputs=["src"])
    first = created(runs, role(), stage("Source", fetch), stage("Work", job_action(inputs=["src"])))
    depot.succeed(first, "Fetch", currentRevision={
        "revision": "r1", "changeIdentifier": "c1", "created": 1_790_000_000, "revisionSummary": "first"})
    job = farm.job(first)
    equal(job["data"]["inputArtifacts"][0]["revision"], "r1", "handed on")
    farm.put(job, currentRevision={"revision": "ignored", "changeIdentifier": "x"})
    runs.ended("p", first, "Succeeded")
    got = api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=first)["pipelineExecution"]
    revision = got["artifactRevisions"][0]
    equal(len(got["artifactRevisions"]), 1, "only a source has a revision")
    equal([revision[k] for k in ("name", "revisionId", "revisionChangeIdentifier", "revisionSummary")],
          ["src", "r1", "c1", "first"], "revision")
    equal(runs.action_state("p", "Source", "Fetch")["currentRevision"]["revisionId"], "r1", "in the state")
    row = api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]
    equal(row["sourceRevisions"], [{"actionName": "Fetch", "revisionId": "r1", "revisionSummary": "first"}], "in the list")


def one_of_many():
    """Many workers at once: each job goes to one of them, and one of many results is used."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api)
    count = 12
    first = created(runs, role(), FETCH, stage("Work", *[job_action(f"A{n}") for n in range(count)]))
    runs.running("p", "Work", f"A{count - 1}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def poll(_):
            return api.poll_for_jobs(actionTypeId=TYPE, maxBatchSize=5)["jobs"]

        def until_empty():
            taken = []
            while len(taken) < count:
                taken += [job for jobs in pool.map(poll, range(8)) for job in jobs]
            return taken

        jobs = until_empty()
        equal(len({job["id"] for job in jobs}), count, "nobody is given another's job")

        def acknowledge(job):
            try:
                return api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"]
            except botocore.exceptions.ClientError as error:
                return error.response["Error"]["Code"]

        for job in jobs:
            got = sorted(pool.map(acknowledge, [job] * 4))
            equal(got, ["InProgress"] + ["InvalidNonceException"] * 3, "one worker has it")

        def put(job, n):
            try:
                api.put_job_success_result(jobId=job["id"], outputVariables={"Winner": str(n)})
                return n
            except botocore.exceptions.ClientError as error:
                equal(error.response["Error"]["Code"], "InvalidJobStateException", "the losers' error")
                return None

        for job in jobs:
            winners = [n for n in pool.map(put, [job] * 6, range(6)) if n is not None]
            equal(len(winners), 1, "one result is used")
            job["winner"] = str(winners[0])
    runs.ended("p", first, "Succeeded")
    rows = {row["actionExecutionId"]: row["output"]["outputVariables"] for row in runs.actions("p", first)}
    for job in jobs:
        of = job["data"]["pipelineContext"]["action"]["actionExecutionId"]
        equal(rows[of], {"Winner": job["winner"]}, "and it is the one that was taken")


def results_survive_a_kill():
    """`kill -9` among results: repeated, each one is taken or known, and every action has ended once."""
    count = 10
    with tempfile.TemporaryDirectory() as directory, Server(directory, "[rehearsal]\nenabled = true\n") as server:
        api = client("codepipeline")
        runs = Pipelines(api)
        make_type(api)
        actions = [job_action(f"A{n}") for n in range(count)]
        first = created(runs, role(), FETCH, stage("One", *actions), stage("Two", *actions))
        worker = Worker(api=api)
        for round_ in ("One", "Two"):
            jobs = [worker.job(first, f"A{n}") for n in range(count)]
            cut = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)

            def put(job):
                try:
                    worker.put(job, outputVariables={"From": job["id"]})
                except cut:
                    return False
                return True

            with concurrent.futures.ThreadPoolExecutor(count) as pool:
                begun = [pool.submit(put, job) for job in jobs]
                concurrent.futures.wait(begun, return_when=concurrent.futures.FIRST_COMPLETED)
                server.kill()
                answered = sum(one.result() for one in begun)
            print(f"{round_}: {answered} of {count} results were answered before the kill")
            server.start()
            for job in jobs:
                worker.put(job, outputVariables={"From": job["id"]})
        runs.ended("p", first, "Succeeded")
        rows = [row for row in runs.actions("p", first) if row["actionName"] != "Fetch"]
        equal(len(rows), 2 * count, "every action once")
        holds(all(row["status"] == "Succeeded" for row in rows), "each with its result")
        equal(len({row["output"]["outputVariables"]["From"] for row in rows}), 2 * count, "of its own job")
        equal(worker.offered(), [], "no job is left")


def permissions():
    """Each call has its IAM action; those of a type are allowed by its ARN."""
    api = client("codepipeline")
    make_type(api)
    runs = Pipelines(api)
    first = created(runs, role(), FETCH, stage("Work", job_action()))
    here = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:"
    farm = here + "actiontype:Custom/Build/Farm/1"
    dev = as_role("dev", [
        {"Effect": "Allow", "Action": ["codepipeline:PollForJobs", "codepipeline:DeleteCustomActionType"], "Resource": farm},
        {"Effect": "Allow", "Action": "codepipeline:AcknowledgeJob", "Resource": "*"}])
    me = f"arn:aws:sts::{ACCOUNT}:assumed-role/dev/me"

    def denied(call, what, resource, **arguments):
        refused("AccessDeniedException",
                f"User: {me} is not authorized to perform: codepipeline:{what} on resource: {resource} because no "
                f"identity-based policy allows the codepipeline:{what} action", call, **arguments)

    worker = Worker(api=dev)
    job = worker.job(first)
    other = {**TYPE, "provider": "Other"}
    denied(dev.poll_for_jobs, "PollForJobs", here + "actiontype:Custom/Build/Other/1", actionTypeId=other)
    denied(make_type, "CreateCustomActionType", farm, api=dev)
    denied(dev.get_job_details, "GetJobDetails", "*", jobId=job["id"])
    denied(dev.put_job_success_result, "PutJobSuccessResult", "*", jobId=job["id"])
    denied(dev.put_job_failure_result, "PutJobFailureResult", "*", jobId=job["id"],
           failureDetails={"type": "JobFailed", "message": "x"})
    denied(dev.list_rule_types, "ListRuleTypes", "*")
    denied(dev.list_rule_executions, "ListRuleExecutions", here + "p", pipelineName="p")
    denied(dev.rollback_stage, "RollbackStage", here + "p/Work", pipelineName="p", stageName="Work",
           targetPipelineExecutionId=first)
    denied(dev.override_stage_condition, "OverrideStageCondition", here + "p/Work", pipelineName="p", stageName="Work",
           pipelineExecutionId=first, conditionType="ON_SUCCESS")
    equal(runs.status("p", first), "InProgress", "nothing happened")
    dev.delete_custom_action_type(category="Build", provider="Farm", version="1")


def as_role(name, statements):
    """A session of a role that root's builder may assume."""
    from security import assumable, builders_sts, with_keys

    arn = assumable(name)
    client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(
        {"Version": "2012-10-17", "Statement": statements}))
    given = builders_sts().assume_role(RoleArn=arn, RoleSessionName="me")["Credentials"]
    return with_keys("codepipeline", given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


if __name__ == "__main__":
    main([custom_action_types, a_job, failures, late_results, custom_source, one_of_many, results_survive_a_kill, permissions])
