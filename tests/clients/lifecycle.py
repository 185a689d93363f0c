"""How executions live: approvals, retries, stops, transitions, superseding, variables, and what GetPipelineState shows.

Outcomes are scripted with the Rehearsal provider. Run by the Rust tests of the `towpath` command, one scenario at a time.
"""

import re

from harness import (
    ABSENT_ID,
    ACCOUNT,
    Pipelines,
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
FETCH = stage("Source", rehearsal("Fetch", "Source"))


def not_found(name):
    return f"The account with AWS account ID '{ACCOUNT}' does not include a pipeline named '{name}'"


def no_stage(stage_name, name="p"):
    return f"Stage with name '{stage_name}' does not exist in pipeline with name '{name}'"


def start(runs, name="p", **more):
    return runs.api.start_pipeline_execution(name=name, **more)["pipelineExecutionId"]


def created(runs, arn, *stages, name="p", **more):
    """Creates the pipeline; gives the execution that its creation started."""
    runs.api.create_pipeline(pipeline=pipeline(name, arn, *stages, **more))
    return runs.first(name)


def put_approval_result():
    runs = Pipelines()
    api = runs.api
    first = created(runs, role(), FETCH, stage("Gate", approval(configuration={"IsSummaryRequired": "true"})),
                    stage("Work", rehearsal("Make")))
    token = runs.token("p", "Gate")
    shown = runs.action_latest("p", "Gate", "Ok")
    equal(sorted(shown), ["actionExecutionId", "status", "token"], "what an open approval shows")
    equal(shown["token"], shown["actionExecutionId"], "the token is the attempt's id")

    def answer(**other):
        given = {"pipelineName": "p", "stageName": "Gate", "actionName": "Ok", "token": token,
                 "result": {"status": "Approved", "summary": "fine"}, **other}
        return api.put_approval_result(**given)

    refused("PipelineNotFoundException", not_found("q"), answer, pipelineName="q")
    refused("StageNotFoundException", no_stage("Nowhere"), answer, stageName="Nowhere")
    refused("ActionNotFoundException", "Action with name 'Nobody' does not exist in stage 'Gate' of pipeline with name 'p'",
            answer, actionName="Nobody")
    refused("InvalidApprovalTokenException", re.compile(".*token is not valid.*'Ok'.*'Gate'.*"), answer, token=ABSENT_ID)
    refused(
        "InvalidApprovalTokenException",
        "Action 'Ok' in stage 'Gate' requires a summary. Provide a summary in the approval result and try again.",
        answer, result={"status": "Approved", "summary": ""},
    )
    refused("ValidationException", re.compile(r".*'result\.summary'.*less than or equal to 512"), answer,
            result={"status": "Approved", "summary": "x" * 513})
    refused("ValidationException", re.compile(r".*'result\.status'.*enum value set: \[.*"), answer,
            result={"status": "Maybe", "summary": "x"})
    refused("ValidationException", re.compile(".*'token'.*regular expression pattern.*"), answer, token="guess")
    equal(runs.status("p", first), "InProgress", "refused answers change nothing")

    holds(answer()["approvedAt"], "the time of the approval")
    runs.ended("p", first, "Succeeded")
    refused("ApprovalAlreadyCompletedException", "The approval action has already been approved or rejected.", answer)
    latest = runs.action_latest("p", "Gate", "Ok")
    equal((latest["status"], latest["summary"], latest["lastUpdatedBy"]), ("Succeeded", "fine", ROOT), "approved")

    second = start(runs)
    token = runs.token("p", "Gate")
    answer(result={"status": "Rejected", "summary": "broken on mobile"})
    runs.ended("p", second, "Failed")
    latest = runs.action_latest("p", "Gate", "Ok")
    equal((latest["status"], latest["summary"]), ("Failed", "broken on mobile"), "rejected")
    holds("errorDetails" not in latest, "a rejection is no error")
    equal(latest["externalExecutionId"], token, "the attempt's id")
    row = runs.actions("p", second)[0]
    equal(row["output"]["executionResult"], {"externalExecutionId": token, "externalExecutionSummary": "broken on mobile"},
          "in the history")
    equal([r[1] for r in runs.told("p", second)], ["Ok", "Fetch"], "nothing after a rejection")


def retry_stage_execution():
    runs = Pipelines()
    api = runs.api
    arn = role()
    first = created(runs, arn, FETCH, stage(
        "Work", rehearsal("Steady"), approval("Ok"), rehearsal("After", order=2)), stage("End", rehearsal("Done")))

    def retry(**other):
        given = {"pipelineName": "p", "stageName": "Work", "pipelineExecutionId": first, "retryMode": "FAILED_ACTIONS"}
        return api.retry_stage_execution(**{**given, **other})

    token = runs.token("p", "Work")
    refused("StageNotRetryableException", re.compile(".*'Source'.*Succeeded.*"), retry, stageName="Source")
    refused("StageNotRetryableException", re.compile(".*not entered the stage.*"), retry, stageName="End")
    refused("StageNotRetryableException", re.compile(".*none of its actions failed.*"), retry)
    refused("StageNotRetryableException", re.compile(".*still in progress.*"), retry, retryMode="ALL_ACTIONS")
    runs.answer("p", "Work", token, status="Rejected", summary="no")
    runs.ended("p", first, "Failed")
    refused("PipelineNotFoundException", not_found("q"), retry, pipelineName="q")
    refused("StageNotFoundException", no_stage("Nowhere"), retry, stageName="Nowhere")
    refused("StageNotRetryableException", re.compile(f".*{ABSENT_ID}.*does not exist.*"), retry, pipelineExecutionId=ABSENT_ID)
    refused("ValidationException", re.compile(".*'retryMode'.*enum value set.*"), retry, retryMode="SOME")

    equal(retry()["pipelineExecutionId"], first, "the same execution goes on")
    runs.answer("p", "Work", runs.token("p", "Work"), status="Rejected", summary="no again")
    runs.ended("p", first, "Failed")
    attempts = sorted(row["actionName"] for row in runs.actions("p", first))
    equal(attempts, ["Fetch", "Ok", "Ok", "Steady"], "only what failed ran again")
    retry(retryMode="ALL_ACTIONS")
    meta = runs.state("p", "Work")["retryStageMetadata"]
    equal(meta, {"manualStageRetryAttempt": 2, "latestRetryTrigger": "ManualStageRetry"}, "retries are counted")
    runs.answer("p", "Work", runs.token("p", "Work"))
    runs.ended("p", first, "Succeeded")
    attempts = sorted(row["actionName"] for row in runs.actions("p", first))
    equal(attempts, ["After", "Done", "Fetch", "Ok", "Ok", "Ok", "Steady", "Steady"], "all of the stage, then the rest")
    refused("StageNotRetryableException", re.compile(".*Succeeded.*"), retry)

    # A later execution that entered the stage takes the right to retry away.
    failing = stage("Work", rehearsal("Break", outcome="fail", Message="no such luck"))
    old = created(runs, arn, FETCH, failing, name="late")
    runs.ended("late", old, "Failed")
    latest = runs.action_latest("late", "Work", "Break")
    equal(latest["errorDetails"], {"code": "JobFailed", "message": "no such luck"}, "reason of the failure")
    runs.ended("late", start(runs, "late"), "Failed")
    refused("NotLatestPipelineExecutionException", re.compile(f".*'Work'.*{old}.*"), retry, pipelineName="late",
            pipelineExecutionId=old)


def retry_while_others_run():
    """A failed action is retried while its neighbours still run."""
    runs = Pipelines()
    first = created(runs, role(), FETCH, stage(
        "Work", rehearsal("Break", outcome="fail"), rehearsal("Slow", Seconds="1.5"), approval("Ok")))
    wait("the failure", lambda: runs.action_latest("p", "Work", "Break").get("status") == "Failed")
    runs.token("p", "Work")
    equal(runs.status("p", first), "InProgress", "others still run")
    runs.api.retry_stage_execution(
        pipelineName="p", stageName="Work", pipelineExecutionId=first, retryMode="FAILED_ACTIONS")
    wait("the second failure", lambda: sum(row["actionName"] == "Break" for row in runs.actions("p", first)) == 2)
    runs.answer("p", "Work", runs.token("p", "Work"))
    runs.ended("p", first, "Failed")
    equal(sorted(r[1] for r in runs.told("p", first)), ["Break", "Break", "Fetch", "Ok", "Slow"], "neighbours ran once")


def stop_pipeline_execution():
    runs = Pipelines()
    api = runs.api
    arn = role()
    first = created(runs, arn, FETCH, stage("Work", approval("Ok"), rehearsal("After", order=2)))

    def stop(execution, **other):
        return api.stop_pipeline_execution(**{"pipelineName": "p", "pipelineExecutionId": execution, **other})

    def not_stoppable(execution, name="p"):
        return (f"The pipeline execution with ID '{execution}' in '{name}' can't be stopped now. Either it does not exist "
                "in the pipeline, or the pipeline execution has no action executions in progress.")

    token = runs.token("p", "Work")
    refused("PipelineNotFoundException", not_found("q"), stop, execution=first, pipelineName="q")
    refused("PipelineExecutionNotStoppableException", not_stoppable(ABSENT_ID), stop, execution=ABSENT_ID)
    refused("ValidationException", re.compile(".*'reason'.*less than or equal to 200"), stop, execution=first, reason="x" * 201)

    # Stop and wait: the approval stays open, its answer counts, nothing starts after it.
    equal(stop(first, reason="lunch")["pipelineExecutionId"], first, "the stopped execution")
    equal(runs.status("p", first), "Stopping", "it waits for its actions")
    refused("DuplicatedStopRequestException", re.compile(f".*{first}.*already stopping.*"), stop, execution=first)
    equal(runs.state("p", "Work")["latestExecution"]["status"], "Stopping", "the stage too")
    refused("ConflictException", re.compile(".*being stopped.*"), api.retry_stage_execution, pipelineName="p",
            stageName="Work", pipelineExecutionId=first, retryMode="FAILED_ACTIONS")
    runs.answer("p", "Work", token)
    runs.ended("p", first, "Stopped")
    got = api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=first)["pipelineExecution"]
    equal(got["statusSummary"], "lunch", "the reason")
    row = api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]
    equal(row["stopTrigger"], {"reason": "lunch"}, "the reason in the list")
    equal(sorted(r[1] for r in runs.told("p", first)), ["Fetch", "Ok"], "After never started")
    refused("PipelineExecutionNotStoppableException", not_stoppable(first), stop, execution=first)
    equal(runs.state("p", "Work")["latestExecution"]["status"], "Stopped", "stage")

    # It is retried where it stopped.
    api.retry_stage_execution(pipelineName="p", stageName="Work", pipelineExecutionId=first, retryMode="FAILED_ACTIONS")
    runs.ended("p", first, "Succeeded")
    equal(sorted(r[1] for r in runs.told("p", first)), ["After", "Fetch", "Ok"], "what had succeeded did not run again")

    # Wait, then abandon: the approval is Abandoned and its token dead.
    second = start(runs)
    token = runs.token("p", "Work")
    stop(second)
    stop(second, abandon=True, reason="enough")
    runs.ended("p", second, "Stopped")
    latest = runs.action_latest("p", "Work", "Ok")
    equal((latest["status"], latest["summary"]), ("Abandoned", "The approval action has been canceled."), "abandoned")
    refused("InvalidApprovalTokenException", "The approval request you responded to has timed out or was canceled.",
            runs.answer, name="p", stage_name="Work", token=token)
    refused("PipelineExecutionNotStoppableException", not_stoppable(second), stop, execution=second, abandon=True)

    # Abandoned actions run again.
    api.retry_stage_execution(pipelineName="p", stageName="Work", pipelineExecutionId=second, retryMode="FAILED_ACTIONS")
    runs.answer("p", "Work", runs.token("p", "Work"))
    runs.ended("p", second, "Succeeded")

    # A hanging action does not hold an abandon; an action that fails while its execution waits leaves it Stopped.
    hanging = created(runs, arn, FETCH, stage("Work", rehearsal("Hang", outcome="hang")), name="hang")
    runs.running("hang", "Work", "Hang")
    stop(hanging, pipelineName="hang", abandon=True)
    runs.ended("hang", hanging, "Stopped")
    failing = created(runs, arn, FETCH, stage("Work", rehearsal("Break", outcome="fail", Seconds="0.5")), name="fail")
    runs.running("fail", "Work", "Break")
    stop(failing, pipelineName="fail")
    runs.ended("fail", failing, "Stopped")
    equal(runs.action_latest("fail", "Work", "Break")["status"], "Failed", "the action still failed")


def stage_transitions():
    runs = Pipelines()
    api = runs.api
    first = created(runs, role(), FETCH, stage("Gate", approval("Ok")), stage("Ship", rehearsal("Put", "Deploy")))
    equal(runs.state("p", "Gate")["inboundTransitionState"], {"enabled": True}, "never touched")
    runs.answer("p", "Gate", runs.token("p", "Gate"))
    runs.ended("p", first, "Succeeded")

    def disable(**other):
        given = {"pipelineName": "p", "stageName": "Ship", "transitionType": "Inbound", "reason": "freeze (friday)"}
        return api.disable_stage_transition(**{**given, **other})

    def enable(**other):
        return api.enable_stage_transition(
            **{"pipelineName": "p", "stageName": "Ship", "transitionType": "Inbound", **other})

    for call in (disable, enable):
        refused("PipelineNotFoundException", not_found("q"), call, pipelineName="q")
        refused("StageNotFoundException", no_stage("Nowhere"), call, stageName="Nowhere")
        refused("ValidationException", re.compile(".*'transitionType'.*enum value set.*"), call, transitionType="Sideways")
    refused("ValidationException", re.compile(r".*'reason'.*regular expression pattern.*"), disable, reason="50% off")
    equal(status_of(enable()), 200, "enabling what is enabled")

    disable()
    shown = runs.state("p", "Ship")["inboundTransitionState"]
    equal((shown["enabled"], shown["disabledReason"], shown["lastChangedBy"]), (False, "freeze (friday)", ROOT), "disabled")
    holds(shown["lastChangedAt"], "when")
    disable(reason="still")
    equal(runs.state("p", "Ship")["inboundTransitionState"]["disabledReason"], "still", "the reason is overwritten")

    def waiting(execution):
        def look():
            inbound = runs.state("p", "Ship").get("inboundExecution")
            return inbound and inbound["pipelineExecutionId"] == execution
        wait(f"{execution} to wait before Ship", look)

    def through_the_gate():
        execution = start(runs)
        runs.answer("p", "Gate", runs.token("p", "Gate"))
        waiting(execution)
        return execution

    second = through_the_gate()
    state = runs.state("p", "Ship")
    equal(state["inboundExecutions"], [{"pipelineExecutionId": second, "status": "InProgress"}], "waiting")
    equal(state["latestExecution"]["pipelineExecutionId"], first, "nobody entered")
    third = through_the_gate()
    equal(runs.ended("p", second), "Superseded", "the newer one takes the place")
    fourth = through_the_gate()
    equal(runs.ended("p", third), "Superseded", "again")
    api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=fourth)
    equal(runs.ended("p", fourth), "Stopped", "a waiting execution is stopped")
    fifth = through_the_gate()
    enable()
    runs.ended("p", fifth, "Succeeded")
    shown = runs.state("p", "Ship")["inboundTransitionState"]
    holds("disabledReason" not in shown and shown["enabled"], "enabled again")
    equal([r[0] for r in runs.told("p", fourth)], ["Gate", "Source"], "the stopped one never entered")

    disable(stageName="Gate", transitionType="Outbound", reason="no exit")
    sixth = start(runs)
    runs.answer("p", "Gate", runs.token("p", "Gate"))
    wait("the gate to be passed", lambda: runs.action_latest("p", "Gate", "Ok").get("status") == "Succeeded")
    equal(runs.status("p", sixth), "InProgress", "held behind the stage")
    enable(stageName="Gate", transitionType="Outbound")
    runs.ended("p", sixth, "Succeeded")


def superseding():
    """A newer execution passes an older one that waits for a busy stage; none inside is ever touched."""
    runs = Pipelines()
    first = created(runs, role(), FETCH, stage("Gate", approval("Ok")))
    token = runs.token("p", "Gate")
    second = start(runs)
    wait("the second to wait", lambda: runs.state("p", "Gate").get("inboundExecution", {}).get("pipelineExecutionId") == second)
    third = start(runs)
    runs.ended("p", second, "Superseded")
    equal(runs.status("p", first), "InProgress", "the one inside")
    runs.answer("p", "Gate", token)
    runs.ended("p", first, "Succeeded")
    runs.answer("p", "Gate", runs.token("p", "Gate"))
    runs.ended("p", third, "Succeeded")


def queued_mode():
    """First come, first served; nobody is superseded."""
    runs = Pipelines()
    ids = [created(runs, role(), FETCH, stage("Gate", approval("Ok")), executionMode="QUEUED")]
    ids += [start(runs) for _ in range(3)]
    wait("three to wait", lambda: len(runs.state("p", "Gate")["inboundExecutions"]) == 3)
    equal([e["pipelineExecutionId"] for e in runs.state("p", "Gate")["inboundExecutions"]], ids[1:], "in order of arrival")
    for execution in ids:
        wait("its turn", lambda: runs.state("p", "Gate")["latestExecution"]["pipelineExecutionId"] == execution)
        runs.answer("p", "Gate", runs.token("p", "Gate"))
        runs.ended("p", execution, "Succeeded")


def variables():
    runs = Pipelines()
    arn = role()
    make = rehearsal("Make", Variables={"Version": "1.2.3", "Nested": "#{Made.Version}"}, namespace="Made")
    # Written so that the declaration itself holds no reference.
    make["configuration"]["Variables"] = make["configuration"]["Variables"].replace("#", "\\u0023")
    use = rehearsal("Use", "Test", Message="#{Made.Version} #{Made.Nested} #{codepipeline.PipelineExecutionId}")
    first = created(runs, arn, FETCH, stage("Build", make), stage("Test", use))
    runs.ended("p", first, "Succeeded")
    row = runs.actions("p", first)[0]
    want = f"1.2.3 #{{Made.Version}} {first}"
    equal(row["input"]["resolvedConfiguration"]["Message"], want, "substituted once, never read again")
    equal(row["output"]["executionResult"]["externalExecutionSummary"], want, "and used")
    built = runs.actions("p", first)[1]
    equal(built["output"]["outputVariables"], {"Version": "1.2.3", "Nested": "#{Made.Version}"}, "output variables")
    equal(built["input"]["namespace"], "Made", "namespace")

    missing = rehearsal("Use", "Test", Message="#{Made.Nothing}")
    second = created(runs, arn, FETCH, stage("Build", make), stage("Test", missing), name="missing")
    runs.ended("missing", second, "Failed")
    latest = runs.action_latest("missing", "Test", "Use")
    equal(
        latest["errorDetails"]["message"],
        "An action in this pipeline failed because one or more variables could not be resolved: Action name=Use. This can "
        "result when a variable is referenced that does not exist. Validate the configuration for this action. "
        "Variable: #{Made.Nothing}",
        "an unknown key of a known namespace",
    )


def get_pipeline_state():
    runs = Pipelines()
    api = runs.api
    first = created(runs, role(), FETCH, stage("Build", rehearsal("Make", Message="made")), stage(
        "Test", rehearsal("Left", "Test", outcome="fail", Message="crooked"), rehearsal("Right", "Test")),
        stage("End", rehearsal("Done")))
    runs.ended("p", first, "Failed")
    state = api.get_pipeline_state(name="p")
    equal((state["pipelineName"], state["pipelineVersion"]), ("p", 1), "which pipeline")
    equal([s["stageName"] for s in state["stageStates"]], ["Source", "Build", "Test", "End"], "stages in order")
    equal([s.get("latestExecution", {}).get("status") for s in state["stageStates"]],
          ["Succeeded", "Succeeded", "Failed", None], "statuses")
    equal([s["inboundExecutions"] for s in state["stageStates"]], [[]] * 4, "nobody waits")
    source, build, test, end = (s["actionStates"] for s in state["stageStates"])
    equal(sorted(source[0]["currentRevision"]), ["created", "revisionChangeId", "revisionId"], "revision of a source")
    holds("currentRevision" not in build[0], "of no other action")
    equal((build[0]["latestExecution"]["status"], build[0]["latestExecution"]["summary"]), ("Succeeded", "made"), "build")
    matches(build[0]["latestExecution"]["externalExecutionId"], "rehearsal-[0-9a-f-]{36}", "external id")
    equal([a["latestExecution"]["status"] for a in test], ["Failed", "Succeeded"], "both ran to their end")
    equal(test[0]["latestExecution"]["errorDetails"], {"code": "JobFailed", "message": "crooked"}, "reason")
    equal(end, [{"actionName": "Done"}], "what has not run has a name only")
    refused("PipelineNotFoundException", not_found("q"), api.get_pipeline_state, name="q")

    # A newer entrant resets what the stage shows.
    api.update_pipeline(pipeline=pipeline("p", f"arn:aws:iam::{ACCOUNT}:role/pipeline", FETCH, stage(
        "Build", approval("Ok"), rehearsal("Make", order=2))))
    start(runs)
    runs.token("p", "Build")
    equal(runs.action_state("p", "Build", "Make"), {"actionName": "Make"}, "not run in the newest execution")


def run_order():
    """A group starts when every lower one has succeeded; a failure lets its group end and starts nothing more."""
    runs = Pipelines()
    arn = role()
    work = stage("Work", rehearsal("A", order=3), rehearsal("B", order=3, Seconds="0.2"), rehearsal("C", order=7),
                 rehearsal("D", order=1))
    first = created(runs, arn, FETCH, work)
    runs.ended("p", first, "Succeeded")
    rows = {row["actionName"]: row for row in runs.actions("p", first)}
    for earlier, later in (("D", "A"), ("D", "B"), ("A", "C"), ("B", "C")):
        holds(rows[earlier]["lastUpdateTime"] <= rows[later]["startTime"], f"{earlier} ends before {later} starts")
    holds(rows["A"]["startTime"] < rows["B"]["lastUpdateTime"], "A and B run side by side")
    failing = stage("Work", rehearsal("A", outcome="fail"), rehearsal("B", Seconds="0.5"), rehearsal("C", order=2))
    second = created(runs, arn, FETCH, failing, name="q")
    runs.ended("q", second, "Failed")
    equal(sorted((r[1], r[2]) for r in runs.told("q", second)),
          [("A", "Failed"), ("B", "Succeeded"), ("Fetch", "Succeeded")], "B ended by itself, C never started")


def bad_configuration_at_run_time():
    """What only shows when an action starts fails the action, and says which key."""
    runs = Pipelines()
    arn = role()
    odd = action("Odd", "Build", "Rehearsal", {"Outcome": "succeed", "Seconds": "soon"}, owner="Custom")
    first = created(runs, arn, FETCH, stage("Work", odd))
    runs.ended("p", first, "Failed")
    details = runs.action_latest("p", "Work", "Odd")["errorDetails"]
    equal(details, {"code": "ConfigurationError",
                    "message": 'Rehearsal: Seconds is "soon"; it must be a number from 0 to 86400'}, "a bad value")


if __name__ == "__main__":
    main([
        put_approval_result, retry_stage_execution, retry_while_others_run, stop_pipeline_execution, stage_transitions,
        superseding, queued_mode, variables, get_pipeline_state, run_order, bad_configuration_at_run_time,
    ])
