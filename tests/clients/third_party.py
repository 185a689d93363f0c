"""Action types of partners: made and read by UpdateActionType and GetActionType, carried out by a partner's job worker,
which knows its clients by pairs of id and token. Each scenario starts its own server, because the pairs are its
configuration.
"""

import os
import re
import subprocess
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
    action,
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
from invoke_actions import Functions

CLIENT = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"
TOKEN = "a-token-of-their-own"
CONFIG = f"""
[rehearsal]
enabled = true

[third-party.Runscope]
client-id = "{CLIENT}"
client-token = "{TOKEN}"
"""
TYPE = {"category": "Test", "owner": "ThirdParty", "provider": "Runscope", "version": "1"}
FETCH = stage("Source", rehearsal("Fetch", "Source"))


def declared(provider="Runscope", **more):
    return {
        "id": {**TYPE, "provider": provider},
        "executor": {"type": "JobWorker", "configuration": {"jobWorkerExecutorConfiguration": {}}},
        "inputArtifactDetails": {"minimumCount": 0, "maximumCount": 10},
        "outputArtifactDetails": {"minimumCount": 0, "maximumCount": 1},
        **more,
    }


def prop(name, **flags):
    return {"name": name, "optional": True, "key": False, "noEcho": False, **flags}


def test_action(name="Probe", configuration=None, **more):
    return action(name, "Test", "Runscope", configuration, owner="ThirdParty", **more)


def not_available(provider, owner="ThirdParty", category="Test"):
    return (f"ActionType (Category: '{category}', Owner: '{owner}', Provider: '{provider}', Version: '1') is not "
            "available")


def as_partner(api, job, token=TOKEN):
    return api.get_third_party_job_details(jobId=job, clientToken=token)["jobDetails"]


def action_types():
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG):
        api = client("codepipeline")
        refused("ActionTypeNotFoundException", not_available("Probe"), api.get_action_type, **{**TYPE, "provider": "Probe"})
        # Those that AWS lists are there from the start, until their partner says more of them.
        given = api.get_action_type(**TYPE)["actionType"]
        equal((given["executor"]["type"], given.get("properties", [])), ("JobWorker", []), "as it is given")
        listed = {row["id"]["provider"] for row in api.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"]}
        holds({"BlazeMeter", "GhostInspector", "Nouvola", "Runscope", "Snyk", "StormRunnerLoad"} <= listed, f"{listed}")
        whole = declared(
            description="Runs the probes",
            executor={
                "type": "JobWorker", "jobTimeout": 600,
                "policyStatementsTemplate": '{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}',
                "configuration": {"jobWorkerExecutorConfiguration": {
                    "pollingAccounts": [ACCOUNT], "pollingServicePrincipals": ["probe.example"]}},
            },
            permissions={"allowedAccounts": ["*"]},
            properties=[prop("Suite", optional=False, key=True, queryable=True, description="which probes"),
                        prop("Secret", noEcho=True)],
            urls={"configurationUrl": "https://probe.example/connect",
                  "entityUrlTemplate": "https://probe.example/{Config:Suite}",
                  "executionUrlTemplate": "https://probe.example/{Config:Suite}/{ExternalExecutionId}",
                  "revisionUrlTemplate": "https://probe.example/{Config:Suite}/edit"},
        )
        equal(status_of(api.update_action_type(actionType=whole)), 200, "made")
        got = api.get_action_type(**TYPE)["actionType"]
        want = {**whole, "properties": [{"queryable": False, **one} for one in whole["properties"]]}
        equal(got, want, "recorded whole")
        listed = [row for row in api.list_action_types(actionOwnerFilter="ThirdParty")["actionTypes"] if row["id"] == TYPE]
        equal(len(listed), 1, "listed once")
        equal(listed[0]["settings"]["thirdPartyConfigurationUrl"], "https://probe.example/connect", "its page")
        equal([(p["name"], p["required"], p["secret"]) for p in listed[0]["actionConfigurationProperties"]],
              [("Suite", True, False), ("Secret", False, True)], "its properties")

        # A full replacement.
        api.update_action_type(actionType=declared())
        equal(api.get_action_type(**TYPE)["actionType"], {**declared(), "properties": []}, "replaced")

        def broken(message, **more):
            refused("ValidationException", re.compile(message), api.update_action_type, actionType=declared(**more))

        broken(".*needs a lambdaExecutorConfiguration.*", executor={"type": "Lambda", "configuration": {}})
        broken(".*JobWorker has no lambdaExecutorConfiguration.*", executor={
            "type": "JobWorker", "configuration": {"lambdaExecutorConfiguration": {
                "lambdaFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:probe"}}})
        broken(".*configurationUrl must be a URL.*", urls={"configurationUrl": "javascript:alert(1)"})
        broken(".*minimumCount 3 is greater.*", inputArtifactDetails={"minimumCount": 3, "maximumCount": 1})
        broken(".*more than once.*", properties=[prop("A"), prop("A")])
        unchecked = client("codepipeline", config={"parameter_validation": False})
        refused("ValidationException", re.compile(".*jobTimeout.*value greater than or equal to 60.*"),
                unchecked.update_action_type, actionType=declared(executor={**declared()["executor"], "jobTimeout": 59}))

        # Types of Towpath's own can be read and not changed; custom ones are none of these.
        own = {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}
        shown = api.get_action_type(**own)["actionType"]
        equal((shown["id"], shown["inputArtifactDetails"]), (own, {"minimumCount": 1, "maximumCount": 5}), "a type of ours")
        holds("ProjectName" in [p["name"] for p in shown["properties"]], "with its properties")
        refused("ValidationException", re.compile(".*part of Towpath.*"), api.update_action_type,
                actionType=declared(id=own))
        refused("ActionTypeNotFoundException", not_available("Mine", "AWS", "Build"), api.update_action_type,
                actionType=declared(id={**own, "provider": "Mine"}))
        refused("ActionTypeNotFoundException", not_available("Mine", "AWS", "Build"), api.get_action_type,
                **{**own, "provider": "Mine"})
        refused("ValidationException", re.compile(".*'owner'.*AWS.ThirdParty.*"), api.get_action_type,
                **{**TYPE, "owner": "Custom"})

        # Another account's type is not there for pipelines of this one.
        api.update_action_type(actionType=declared(permissions={"allowedAccounts": ["210987654321"]}))
        gone = ("ActionType (Category: 'Test', Provider: 'Runscope', Owner: 'ThirdParty', Version: '1') in action 'Probe' is "
                "not available in region 'US_EAST_1'")
        refused("InvalidActionDeclarationException", gone, api.create_pipeline,
                pipeline=pipeline("p", role(), FETCH, stage("Test", test_action())))
        elsewhere = client("codepipeline", region_name="eu-west-1")
        holds("permissions" not in elsewhere.get_action_type(**TYPE)["actionType"], "another Region has it as it is given")
        refused("ActionTypeNotFoundException", not_available("Probe"), elsewhere.get_action_type, **{**TYPE, "provider": "Probe"})


def a_job():
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG):
        api = client("codepipeline")
        runs = Pipelines(api)
        api.update_action_type(actionType=declared(
            properties=[prop("Suite", optional=False, queryable=True), prop("Secret", noEcho=True)],
            urls={"executionUrlTemplate": "https://probe.example/{Config:Suite}/{ExternalExecutionId}"}))
        version = source({"a.txt": "a"})
        bucket("artifacts")
        probe = test_action(configuration={"Suite": "smoke", "Secret": "hush"}, inputs=["src"], outputs=["report"])
        arn = role()
        api.create_pipeline(pipeline=pipeline("p", arn, stage("Source", s3_source()), stage("Test", probe)))
        first = runs.first("p")

        for other in ("Custom", "AWS"):
            refused("ActionTypeNotFoundException", not_available("Runscope", other), api.poll_for_third_party_jobs,
                    actionTypeId={**TYPE, "owner": other})
        refused("ActionTypeNotFoundException", not_available("Runscope"), api.poll_for_jobs, actionTypeId=TYPE)
        got = wait("the job", lambda: api.poll_for_third_party_jobs(actionTypeId=TYPE, maxBatchSize=2)["jobs"])
        equal([sorted(job) for job in got], [["clientId", "jobId"]], "ids and nothing else")
        equal(got[0]["clientId"], CLIENT, "on whose behalf")
        equal(api.poll_for_third_party_jobs(actionTypeId=TYPE)["jobs"], [], "given out once")
        job = got[0]["jobId"]

        # Nobody without the token learns or does anything; the operations of custom jobs do not see it.
        wrong = re.compile(".*client token is not the one.*")
        failure = {"type": "JobFailed", "message": "no"}
        refused("InvalidClientTokenException", wrong, api.get_third_party_job_details, jobId=job, clientToken="guess")
        refused("InvalidClientTokenException", wrong, api.acknowledge_third_party_job, jobId=job, clientToken="guess",
                nonce="x")
        refused("InvalidClientTokenException", wrong, api.put_third_party_job_success_result, jobId=job,
                clientToken="guess")
        refused("InvalidClientTokenException", wrong, api.put_third_party_job_failure_result, jobId=job,
                clientToken="guess", failureDetails=failure)
        absent = f"Job with id '{job}' does not exist"
        refused("JobNotFoundException", absent, api.get_job_details, jobId=job)
        refused("JobNotFoundException", absent, api.acknowledge_job, jobId=job, nonce="x")
        refused("JobNotFoundException", absent, api.put_job_success_result, jobId=job)
        refused("JobNotFoundException", absent, api.put_job_failure_result, jobId=job, failureDetails=failure)
        refused("JobNotFoundException", f"Job with id '{ABSENT_ID}' does not exist", api.get_third_party_job_details,
                jobId=ABSENT_ID, clientToken=TOKEN)
        refused("InvalidJobException", re.compile(".*not a third-party job.*"), api.get_third_party_job_details,
                jobId="whatever", clientToken=TOKEN)

        details = as_partner(api, job)
        equal(sorted(details), ["data", "id", "nonce"], "members of the details")
        data = details["data"]
        equal(sorted(data), ["actionConfiguration", "actionTypeId", "artifactCredentials", "inputArtifacts",
                             "outputArtifacts", "pipelineContext"], "members of its data")
        equal((details["id"], data["actionTypeId"]), (job, TYPE), "which job")
        equal(data["actionConfiguration"]["configuration"], {"Suite": "smoke", "Secret": "hush"}, "secrets in clear")
        running = runs.action_latest("p", "Test", "Probe")["actionExecutionId"]
        equal(data["pipelineContext"], {"pipelineName": "p", "stage": {"name": "Test"},
                                        "action": {"name": "Probe", "actionExecutionId": running}},
              "neither ARN nor execution")
        equal(data["inputArtifacts"][0]["revision"], version, "input")
        keys = data["artifactCredentials"]
        s3 = boto3.client("s3", aws_access_key_id=keys["accessKeyId"], aws_secret_access_key=keys["secretAccessKey"],
                          aws_session_token=keys["sessionToken"], config=Config(retries={"max_attempts": 1}))
        at = {kind: data[kind][0]["location"]["s3Location"] for kind in ("inputArtifacts", "outputArtifacts")}
        place = lambda where: {"Bucket": where["bucketName"], "Key": where["objectKey"]}
        equal(s3.get_object(**place(at["inputArtifacts"]))["Body"].read()[:2], b"PK", "the input is read")
        s3.put_object(**place(at["outputArtifacts"]), Body=zipped({"r.txt": "r"}), ServerSideEncryption="aws:kms")
        for call, where in ((s3.get_object, {"Bucket": "source", "Key": "app.zip"}),
                            (s3.put_object, place(at["inputArtifacts"]))):
            try:
                call(**where)
                raise AssertionError(f"allowed: {where}")
            except botocore.exceptions.ClientError as error:
                equal(error.response["Error"]["Code"], "AccessDenied", "nothing else")

        mine = {"jobId": job, "clientToken": TOKEN}
        refused("InvalidJobStateException", re.compile(".*Call AcknowledgeThirdPartyJob before.*"),
                api.put_third_party_job_success_result, **mine)
        refused("InvalidNonceException", re.compile(".*"), api.acknowledge_third_party_job, **mine, nonce="guess")
        equal(api.acknowledge_third_party_job(**mine, nonce=details["nonce"])["status"], "InProgress", "acknowledged")
        refused("InvalidNonceException", re.compile(".*already been acknowledged.*"), api.acknowledge_third_party_job,
                **mine, nonce=details["nonce"])
        holds("nonce" not in as_partner(api, job), "no nonce any more")

        # The work goes on in another job.
        told = {"summary": "half", "externalExecutionId": "7", "percentComplete": 50}
        equal(status_of(api.put_third_party_job_success_result(**mine, continuationToken="more", executionDetails=told)), 200,
              "continued")
        latest = runs.action_latest("p", "Test", "Probe")
        equal([latest[k] for k in ("status", "summary", "percentComplete", "externalExecutionUrl")],
              ["InProgress", "half", 50, "https://probe.example/smoke/7"], "progress")
        following = api.poll_for_third_party_jobs(actionTypeId=TYPE)["jobs"][0]["jobId"]
        holds(following != job, "a new id")
        next_details = as_partner(api, following)
        equal(next_details["data"]["continuationToken"], "more", "with the token")
        theirs = {"jobId": following, "clientToken": TOKEN}
        api.acknowledge_third_party_job(**theirs, nonce=next_details["nonce"])
        api.put_third_party_job_success_result(**theirs, executionDetails={"summary": "all passed"})
        runs.ended("p", first, "Succeeded")
        equal(runs.action_latest("p", "Test", "Probe")["summary"], "all passed", "its summary")
        equal(runs.actions("p", first)[0]["input"]["configuration"]["Secret"], "****", "secrets are masked")

        # Repeats and contradictions.
        equal(status_of(api.put_third_party_job_success_result(**theirs, executionDetails={"summary": "all passed"})), 200,
              "an identical repeat")
        refused("InvalidJobStateException", f"Job with id {following} has already terminated",
                api.put_third_party_job_failure_result, **theirs, failureDetails=failure)
        refused("JobNotFoundException", f"Job with id '{following}' does not exist", api.get_third_party_job_details,
                **theirs)

        # A failure is the action's.
        second = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        job = wait("the job", lambda: api.poll_for_third_party_jobs(actionTypeId=TYPE)["jobs"])[0]["jobId"]
        api.acknowledge_third_party_job(jobId=job, clientToken=TOKEN, nonce=as_partner(api, job)["nonce"])
        api.put_third_party_job_failure_result(jobId=job, clientToken=TOKEN, failureDetails={
            "type": "ConfigurationError", "message": "no such suite", "externalExecutionId": "8"})
        runs.ended("p", second, "Failed")
        equal(runs.action_latest("p", "Test", "Probe")["errorDetails"],
              {"code": "ConfigurationError", "message": "no such suite"}, "why")

        # A custom job is not one of theirs.
        api.create_custom_action_type(
            category="Test", provider="Runscope", version="1",
            inputArtifactDetails={"minimumCount": 0, "maximumCount": 1},
            outputArtifactDetails={"minimumCount": 0, "maximumCount": 1})
        api.create_pipeline(pipeline=pipeline(
            "q", arn, FETCH, stage("Test", action("Own", "Test", "Runscope", owner="Custom"))))
        custom = wait("the custom job", lambda: api.poll_for_jobs(actionTypeId={**TYPE, "owner": "Custom"})["jobs"])[0]["id"]
        equal(api.poll_for_third_party_jobs(actionTypeId=TYPE)["jobs"], [], "types of one name stay apart")
        refused("InvalidJobException", re.compile(".*not a third-party job.*"), api.get_third_party_job_details,
                jobId=custom, clientToken=TOKEN)
        refused("JobNotFoundException", f"Job with id '{custom}' does not exist", api.acknowledge_third_party_job,
                jobId=custom, clientToken=TOKEN, nonce="x")


def who_may_poll():
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG):
        api = client("codepipeline")
        api.update_action_type(actionType=declared("Nouvola"))
        refused("ValidationException", re.compile(r".*No client of the provider 'Nouvola'.*\[third-party.Nouvola\].*"),
                api.poll_for_third_party_jobs, actionTypeId={**TYPE, "provider": "Nouvola"})
        api.update_action_type(actionType=declared(executor={"type": "JobWorker", "configuration": {
            "jobWorkerExecutorConfiguration": {"pollingAccounts": ["210987654321"]}}}))
        refused("ValidationException", re.compile(".*not one of the pollingAccounts.*"), api.poll_for_third_party_jobs,
                actionTypeId=TYPE)


def lambda_executor():
    """A function carries the actions of the type out: it is handed the job, and answers as a Lambda action's does."""
    with Functions() as functions, tempfile.TemporaryDirectory() as directory:
        realm = f"""
[realm.functions]
url = "{functions.url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["Runscope"]
jobs-by-id = true
"""
        with Server(directory, CONFIG + realm):
            api = client("codepipeline")
            runs = Pipelines(api)
            function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:patient"
            executor = {"type": "Lambda", "jobTimeout": 900,
                        "configuration": {"lambdaExecutorConfiguration": {"lambdaFunctionArn": function}}}
            kind = declared(executor=executor, properties=[prop("Suite")])
            api.update_action_type(actionType=kind)
            want = {**kind, "properties": [{"queryable": False, **one} for one in kind["properties"]]}
            equal(api.get_action_type(**TYPE)["actionType"], want, "recorded whole")
            refused("ValidationException", re.compile(".*executor of type Lambda: it has no jobs to poll for.*"),
                    api.poll_for_third_party_jobs, actionTypeId=TYPE)
            api.create_pipeline(pipeline=pipeline("p", role(), FETCH, stage("Test", test_action(configuration={"Suite": "all"}))))
            runs.ended("p", runs.first("p"), "Succeeded")
            events = functions.events("patient")
            equal(len(events), 3, "its turns")
            equal(events[0]["data"]["actionConfiguration"], {"configuration": {"Suite": "all"}}, "what it is told")
            # With another executor the next one is a job worker's.
            api.update_action_type(actionType=declared(properties=[prop("Suite")]))
            second = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            job = wait("the job", lambda: api.poll_for_third_party_jobs(actionTypeId=TYPE)["jobs"])[0]["jobId"]
            api.acknowledge_third_party_job(jobId=job, clientToken=TOKEN, nonce=as_partner(api, job)["nonce"])
            api.put_third_party_job_success_result(jobId=job, clientToken=TOKEN)
            runs.ended("p", second, "Succeeded")


def ready_made_worker():
    """`towpath worker command` as a partner's job worker."""
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG):
        api = client("codepipeline")
        runs = Pipelines(api)
        api.update_action_type(actionType=declared(properties=[prop("Suite", optional=False)]))
        source({"a.txt": "a"})
        bucket("artifacts")
        probe = test_action(configuration={"Suite": "smoke"}, inputs=["src"], outputs=["report"])
        api.create_pipeline(pipeline=pipeline("p", role(), stage("Source", s3_source()), stage("Test", probe)))
        command = [os.environ["TOWPATH_TEST_BINARY"], "worker", "command", "--owner", "ThirdParty", "--category", "Test",
                   "--provider", "Runscope", "--poll-every", "0.1", "--jobs", "1", "--", "sh", "-ec",
                   'cp a.txt "$CODEPIPELINE_OUTPUT_report"; echo "suite $CODEPIPELINE_CONFIG_Suite"; '
                   'test -z "$CODEPIPELINE_PIPELINE_ARN$TOWPATH_CLIENT_TOKEN"; '
                   'echo "summary=all passed" >> "$CODEPIPELINE_REPORT"']
        done = subprocess.run(command, env={**os.environ, "TOWPATH_CLIENT_TOKEN": TOKEN}, capture_output=True, text=True,
                              timeout=60)
        equal((done.returncode, done.stdout), (0, "[p/Test/Probe] suite smoke\n"), f"the worker ({done.stderr})")
        runs.ended("p", runs.first("p"), "Succeeded")
        equal(runs.action_latest("p", "Test", "Probe")["summary"], "all passed", "what it reports")


if __name__ == "__main__":
    main([action_types, a_job, who_may_poll, lambda_executor, ready_made_worker])
