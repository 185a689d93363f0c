"""The rules by which executions live, driven from outside: the actions are custom ones, and the scenario's own job worker
says when each ends and how. Rollback and conditions are in `conditions.py`. Run by the Rust tests of the `towpath`
command, one scenario at a time.
"""

import re

from harness import (
    Pipelines,
    approval,
    bucket,
    client,
    equal,
    holds,
    main,
    pipeline,
    refused,
    role,
    s3_source,
    source,
    stage,
    wait,
    zipped,
)
from worker import Bench, Worker, job_action, make_type, work

# Modes and stages


def superseding():
    """The one inside is never touched; of those that wait in front of a busy stage, the newest stays."""
    b = Bench(work("One"), work("Two"))
    job = b.worker.job(b.first)
    second = b.start()
    b.waiting("One", second)
    third = b.start()
    b.ended(second, "Superseded")
    b.waiting("One", third)
    equal((b.status(b.first), b.latest("One")), ("InProgress", (b.first, "InProgress")), "the one inside")
    equal(b.worker.offered(), [], "who waits has no job")
    b.worker.put(job)
    two = b.worker.job(b.first)
    equal(two["data"]["pipelineContext"]["stage"]["name"], "Two", "it goes on")
    # The stage it left is the next one's; what it holds now is not.
    b.worker.succeed(third)
    b.waiting("Two", third)
    fourth = b.start()
    b.worker.succeed(fourth)
    b.ended(third, "Superseded")
    b.waiting("Two", fourth)
    b.worker.put(two)
    b.ended(b.first, "Succeeded")
    b.worker.succeed(fourth)
    b.ended(fourth, "Succeeded")
    equal(b.ran(second), [], "superseded before it entered")
    equal(b.ran(third), [("One", "Work", "Succeeded")], "superseded between two stages")
    equal([b.status(e) for e in (second, third)], ["Superseded"] * 2, "for good")
    refused("StageNotRetryableException", re.compile(".*"), b.api.retry_stage_execution, pipelineName="p", stageName="Two",
            pipelineExecutionId=third, retryMode="ALL_ACTIONS")


def queued_order():
    """First come, first served, at every stage; a failure lets the next one in."""
    b = Bench(work("One"), work("Two"), executionMode="QUEUED")
    queue = [b.first] + [b.start() for _ in range(3)]
    b.waiting("One", *queue[1:])
    equal(b.stage("One")["inboundExecution"]["pipelineExecutionId"], queue[-1], "the one that is shown alone")
    b.worker.succeed(queue[0])
    held = b.worker.job(queue[0])
    b.worker.succeed(queue[1])
    b.waiting("Two", queue[1])
    b.worker.succeed(queue[2])
    b.waiting("Two", queue[1], queue[2])
    b.worker.break_(queue[3])
    b.ended(queue[3], "Failed")
    b.stop(queue[1])
    b.ended(queue[1], "Stopped")
    b.worker.put(held)
    b.ended(queue[0], "Succeeded")
    b.worker.succeed(queue[2])
    b.ended(queue[2], "Succeeded")
    equal(b.ran(queue[1]), [("One", "Work", "Succeeded")], "a stopped one never enters")


def parallel():
    """Nobody waits for anybody; an execution runs five actions at once; there is no state to show."""
    actions = [job_action(f"A{n}") for n in range(7)]
    b = Bench(work("One", *actions), executionMode="PARALLEL")
    second = b.start()
    wait("both to have jobs", lambda: len(b.worker.offered()) == 10)
    equal([sum(e == one for e, _ in b.worker.offered()) for one in (b.first, second)], [5, 5], "five actions each")
    b.worker.succeed(second, "A0")
    wait("the sixth", lambda: (second, "A5") in b.worker.offered())
    equal((second, "A6") in b.worker.offered(), False, "and no more than it")
    for execution in (second, b.first):
        for name in [a["name"] for a in actions]:
            if (execution, name) != (second, "A0"):
                b.worker.succeed(execution, name)
        b.ended(execution, "Succeeded")
    for shown in b.api.get_pipeline_state(name="p")["stageStates"]:
        equal((shown.get("latestExecution"), shown["inboundExecutions"]), (None, []), "no state in PARALLEL mode")
    refused("UnableToRollbackStageException", re.compile(".*PARALLEL.*"), b.rollback, stage_name="One", target=second)


def execution_cap():
    """50 active executions of a QUEUED pipeline; an ended one makes room."""
    b = Bench(work("One"), executionMode="QUEUED")
    for _ in range(49):
        b.start()
    full = re.compile(".*50.*")
    refused("ConcurrentPipelineExecutionsLimitExceededException", full, b.api.start_pipeline_execution, name="p")
    b.worker.break_(b.first)
    b.ended(b.first, "Failed")
    b.start()
    refused("ConcurrentPipelineExecutionsLimitExceededException", full, b.api.start_pipeline_execution, name="p")


def disabled_transitions():
    """Nothing enters through a disabled transition; who failed inside may be retried all the same."""
    b = Bench(work("One"), work("Two"))

    def disable(**more):
        b.api.disable_stage_transition(
            **{"pipelineName": "p", "stageName": "Two", "transitionType": "Inbound", "reason": "freeze", **more})

    def enable(**more):
        b.api.enable_stage_transition(**{"pipelineName": "p", "stageName": "Two", "transitionType": "Inbound", **more})

    b.worker.succeed(b.first)
    inside = b.worker.job(b.first)
    disable()
    b.worker.fail(inside)
    b.ended(b.first, "Failed")
    b.retry(b.first, "Two")
    b.worker.succeed(b.first)
    b.ended(b.first, "Succeeded")
    second = b.start()
    b.worker.succeed(second)
    b.waiting("Two", second)
    third = b.start()
    b.worker.succeed(third)
    b.ended(second, "Superseded")
    b.waiting("Two", third)
    equal(b.worker.offered(), [], "no job behind the door")
    enable()
    b.worker.succeed(third)
    b.ended(third, "Succeeded")
    disable(stageName="One", transitionType="Outbound", reason="no exit")
    fourth = b.start()
    b.worker.succeed(fourth)
    equal((b.status(fourth), b.latest("One")), ("InProgress", (fourth, "Succeeded")), "it may not leave")
    equal(b.worker.offered(), [], "nothing starts")
    enable(stageName="One", transitionType="Outbound")
    b.worker.succeed(fourth)
    b.ended(fourth, "Succeeded")


# Stop and retry


def stop_and_wait():
    """What runs is used to its end, continued jobs too; nothing new starts."""
    b = Bench(work("One", job_action("A"), job_action("B"), job_action("C", order=2)))
    a, other = b.worker.job(b.first, "A"), b.worker.job(b.first, "B")
    b.stop(b.first, reason="lunch")
    refused("DuplicatedStopRequestException", re.compile(".*already stopping.*"), b.stop, execution=b.first)
    b.worker.put(a, continuationToken="on")
    a = b.worker.job(b.first, "A")
    equal(a["data"]["continuationToken"], "on", "the work goes on in its next job")
    b.worker.put(a)
    equal((b.status(b.first), b.latest("One")), ("Stopping", (b.first, "Stopping")), "B still runs")
    b.worker.fail(other)
    b.ended(b.first, "Stopped")
    equal(b.got(b.first)["statusSummary"], "lunch", "the reason")
    equal(b.listed(b.first)["stopTrigger"], {"reason": "lunch"}, "in the list")
    equal(sorted(b.ran(b.first)), [("One", "A", "Succeeded"), ("One", "B", "Failed")], "C never started")
    b.retry(b.first, "One")
    b.worker.succeed(b.first, "B")
    b.worker.succeed(b.first, "C")
    b.ended(b.first, "Succeeded")
    equal(sum(row[1] == "A" for row in b.ran(b.first)), 1, "what succeeded did not run again")


def stop_and_abandon():
    """Abandoned at once; a second abandon has nothing to stop; abandoned actions run again."""
    b = Bench(work("One", job_action("A"), job_action("B", order=2)))
    a = b.worker.job(b.first, "A")
    b.stop(b.first)
    b.stop(b.first, abandon=True, reason="enough")
    b.ended(b.first, "Stopped")
    refused("PipelineExecutionNotStoppableException", re.compile(f".*{b.first}.*can't be stopped now.*"), b.stop,
            execution=b.first, abandon=True)
    equal(b.action("One", "A")["status"], "Abandoned", "action")
    b.worker.put(a)
    equal((b.status(b.first), b.action("One", "A")["status"]), ("Stopped", "Abandoned"), "a late result changes nothing")
    b.retry(b.first, "One")
    again = b.worker.job(b.first, "A")
    holds(again["id"] != a["id"], "another job")
    b.worker.put(a)
    equal(b.action("One", "A")["status"], "InProgress", "the old job's result is not the new attempt's")
    b.worker.put(again)
    b.worker.succeed(b.first, "B")
    b.ended(b.first, "Succeeded")
    equal(b.ran(b.first), [("One", "A", "Abandoned"), ("One", "A", "Succeeded"), ("One", "B", "Succeeded")], "history")


def retry_modes():
    """FAILED_ACTIONS runs what failed, while others still run if need be; ALL_ACTIONS runs the stage from its beginning."""
    b = Bench(work("One", job_action("A"), job_action("B"), job_action("C"), job_action("D", order=2)))
    b.worker.succeed(b.first, "A")
    b.worker.break_(b.first, "B")
    c = b.worker.job(b.first, "C")
    failed = b.action("One", "B")["actionExecutionId"]
    refused("StageNotRetryableException", re.compile(".*still in progress.*"), b.retry, execution=b.first, stage_name="One",
            mode="ALL_ACTIONS")
    b.retry(b.first, "One")
    again = b.worker.job(b.first, "B")
    holds(b.action("One", "B")["actionExecutionId"] != failed, "a new attempt")
    equal(b.stage("One")["retryStageMetadata"], {"manualStageRetryAttempt": 1, "latestRetryTrigger": "ManualStageRetry"}, "told")
    b.worker.fail(again)
    b.worker.put(c)
    b.ended(b.first, "Failed")
    b.retry(b.first, "One")
    b.worker.succeed(b.first, "B")
    b.worker.break_(b.first, "D")
    b.ended(b.first, "Failed")
    b.retry(b.first, "One", "ALL_ACTIONS")
    for name in "ABC":
        b.worker.succeed(b.first, name)
    b.worker.succeed(b.first, "D")
    b.ended(b.first, "Succeeded")
    equal(b.stage("One")["retryStageMetadata"]["manualStageRetryAttempt"], 3, "three retries")
    attempts = [row[1] for row in b.ran(b.first)]
    equal([attempts.count(name) for name in "ABCD"], [2, 4, 2, 2], "attempts of each")
    latest = b.api.list_action_executions(pipelineName="p", filter={"latestInPipelineExecution": {
        "pipelineExecutionId": b.first, "startTimeRange": "Latest"}})["actionExecutionDetails"]
    equal(sorted((r["actionName"], r["status"]) for r in latest),
          [(n, "Succeeded") for n in ("A", "B", "C", "D", "Fetch")], "the newest of each")
    refused("StageNotRetryableException", re.compile(".*"), b.retry, execution=b.first, stage_name="One")

    # Once a newer execution has entered, the failed one is history.
    second = b.start()
    b.worker.break_(second, "A")
    for name in "BC":
        b.worker.succeed(second, name)
    b.ended(second, "Failed")
    third = b.start()
    b.worker.job(third, "A")
    refused("NotLatestPipelineExecutionException", re.compile(f".*'{second}'.*"), b.retry, execution=second, stage_name="One")
    refused("StageNotFoundException", re.compile(".*'Nowhere'.*"), b.retry, execution=second, stage_name="Nowhere")


def automatic_retry():
    """A stage that declares it is retried once by itself; then it is for people."""
    mode = {"onFailure": {"result": "RETRY", "retryConfiguration": {"retryMode": "ALL_ACTIONS"}}}
    b = Bench(work("One", job_action("A"), job_action("B", order=2), **mode))
    b.worker.succeed(b.first, "A")
    b.worker.break_(b.first, "B")
    b.worker.succeed(b.first, "A")
    equal(b.stage("One")["retryStageMetadata"], {
        "autoStageRetryAttempt": 1, "latestRetryTrigger": "AutomatedStageRetry"}, "told")
    b.worker.break_(b.first, "B")
    b.ended(b.first, "Failed")
    equal(b.worker.offered(), [], "once")
    b.retry(b.first, "One")
    equal(b.stage("One")["retryStageMetadata"], {
        "autoStageRetryAttempt": 1, "manualStageRetryAttempt": 1, "latestRetryTrigger": "ManualStageRetry"}, "told of both")
    b.worker.succeed(b.first, "B")
    b.ended(b.first, "Succeeded")
    equal([row[1:] for row in b.ran(b.first)], [
        ("A", "Succeeded"), ("B", "Failed"), ("A", "Succeeded"), ("B", "Failed"), ("B", "Succeeded")], "attempts")


# Versions


def update_in_mid_run():
    """What runs ends its actions and is Cancelled, what waits at once; the new version starts when it is started."""
    b = Bench(work("One"), work("Two"))
    running = b.worker.job(b.first)
    second = b.start()
    b.waiting("One", second)
    updated = b.api.update_pipeline(pipeline=b.declaration(work("One"), work("Other")))["pipeline"]
    equal(updated["version"], 2, "version")
    b.ended(second, "Cancelled")
    equal(b.status(b.first), "InProgress", "its action still runs")
    b.worker.put(running, executionDetails={"summary": "to the end"})
    b.ended(b.first, "Cancelled")
    equal(b.ran(b.first), [("One", "Work", "Succeeded")], "the result was used")
    equal((b.got(b.first)["pipelineVersion"], b.worker.offered()), (1, []), "nothing of it goes on")
    refused("StageNotRetryableException", re.compile(".*structure has changed.*"), b.retry, execution=b.first,
            stage_name="One", mode="ALL_ACTIONS")
    third = b.start()
    b.worker.succeed(third)
    b.worker.succeed(third)
    b.ended(third, "Succeeded")
    equal((b.got(third)["pipelineVersion"], [row[0] for row in b.ran(third)]), (2, ["One", "Other"]), "the new version")


def mode_change():
    """PARALLEL executions go on with their own definition; those of the other modes are Cancelled."""
    b = Bench(work("One"), executionMode="PARALLEL")
    second = b.start()
    b.api.update_pipeline(pipeline=b.declaration(work("One", job_action("Renamed")), executionMode="PARALLEL"))
    third = b.start()
    b.api.update_pipeline(pipeline=b.declaration(executionMode="QUEUED"))
    fourth = b.start()
    b.worker.succeed(third, "Renamed")
    for execution in (b.first, second):
        b.worker.succeed(execution)
    for execution in (b.first, second, third):
        b.ended(execution, "Succeeded")
    equal([b.got(e)["executionMode"] for e in (b.first, third, fourth)], ["PARALLEL", "PARALLEL", "QUEUED"], "mode of each")
    equal([b.got(e)["pipelineVersion"] for e in (b.first, third, fourth)], [1, 2, 3], "version of each")
    held = b.worker.job(fourth)
    fifth = b.start()
    b.waiting("One", fifth)
    equal(b.latest("One"), (fourth, "InProgress"), "the state is the queue's")
    b.api.update_pipeline(pipeline=b.declaration(executionMode="PARALLEL"))
    b.ended(fifth, "Cancelled")
    b.worker.put(held)
    b.ended(fourth, "Cancelled")
    sixth, seventh = b.start(), b.start()
    for execution in (seventh, sixth):
        b.worker.succeed(execution)
        b.ended(execution, "Succeeded")


def source_revision_override():
    """The revision that StartPipelineExecution names is the one that is fetched, and a retry fetches it again."""
    old = source({"a.txt": "old"})
    new = client("s3").put_object(Bucket="source", Key="app.zip", Body=zipped({"a.txt": "new"}))["VersionId"]
    bucket("artifacts")
    runs = Pipelines()
    make_type(runs.api)
    worker = Worker(api=runs.api)
    runs.api.create_pipeline(pipeline=pipeline(
        "p", role(), stage("Source", s3_source()), work("One", job_action(inputs=["src"])), pipelineType="V2",
        executionMode="PARALLEL"))
    first = runs.first("p")

    def start(value, name="Fetch"):
        return runs.api.start_pipeline_execution(name="p", sourceRevisions=[
            {"actionName": name, "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": value}])["pipelineExecutionId"]

    second = start(old)
    for execution, revision in ((first, new), (second, old)):
        job = worker.job(execution)
        equal(job["data"]["inputArtifacts"][0]["revision"], revision, "the artifact's revision")
        worker.put(job)
        runs.ended("p", execution, "Succeeded")
        got = runs.api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=execution)["pipelineExecution"]
        equal(got["artifactRevisions"][0]["revisionId"], revision, "the execution's")
    refused("ValidationException", re.compile(".*'Nobody'.*"), start, value=old, name="Nobody")
    missing = start("no-such-version")
    runs.ended("p", missing, "Failed")


def approvals_among_jobs():
    """A wait for a person and one for a worker, in one group, each answered by its own."""
    b = Bench(work("One", job_action(), approval("Ok"), job_action("After", order=2)))
    token = b.runs.token("p", "One")
    b.runs.answer("p", "One", token, summary="fine")
    equal(b.worker.offered(), [(b.first, "Work")], "the worker's is still open")
    b.worker.succeed(b.first)
    b.worker.succeed(b.first, "After")
    b.ended(b.first, "Succeeded")


if __name__ == "__main__":
    main([
        superseding, queued_order, parallel, execution_cap, disabled_transitions, stop_and_wait, stop_and_abandon,
        retry_modes, automatic_retry, update_in_mid_run, mode_change, source_revision_override, approvals_among_jobs,
    ])
