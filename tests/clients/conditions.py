"""Rollback, the conditions of a stage and their rules, driven from outside: the actions are custom ones that end as the
scenario's own job worker says. Run by the Rust tests of the `towpath` command, one scenario at a time.
"""

import json
import re

from harness import ABSENT_ID, client, equal, holds, main, refused, wait
from worker import GO, ROOT, Bench, conditions, go, is_on, job_action, rule, work

# Rollback


def manual_rollback():
    """One stage runs again with what the target had; the others keep their own."""
    b = Bench(work("One", job_action(outputs=["made"])), work("Two", job_action(inputs=["made"])),
              work("Three"), **GO)

    def through(execution):
        jobs = [b.worker.succeed(execution) for _ in range(3)]
        b.ended(execution, "Succeeded")
        return jobs

    target = through(b.first)
    second = b.start(**go("no"))
    b.worker.succeed(second)
    b.worker.break_(second)
    b.ended(second, "Failed")
    equal([e["pipelineExecutionId"] for e in b.api.list_pipeline_executions(
        pipelineName="p", filter={"succeededInStage": {"stageName": "Two"}})["pipelineExecutionSummaries"]], [b.first],
        "what can be gone back to")

    unable = "UnableToRollbackStageException"
    refused("ValidationException", re.compile(".*'targetPipelineExecutionId'.*"), b.rollback, stage_name="Two", target="last")
    refused("PipelineNotFoundException", re.compile(".*'q'"), b.rollback, stage_name="Two", target=b.first, name="q")
    refused("StageNotFoundException", re.compile(".*'Nowhere'.*"), b.rollback, stage_name="Nowhere", target=b.first)
    refused("PipelineExecutionNotFoundException", re.compile(f".*'{ABSENT_ID}'.*"), b.rollback, stage_name="Two",
            target=ABSENT_ID)
    refused(unable, re.compile(".*did not succeed in that stage.*"), b.rollback, stage_name="Two", target=second)
    refused(unable, re.compile(".*source stage.*"), b.rollback, stage_name="Source", target=b.first)

    back = b.rollback("Two", b.first)
    refused(unable, re.compile(".*another pipeline execution is in the stage.*"), b.rollback, stage_name="Two", target=b.first)
    job = b.worker.job(back)
    equal(job["data"]["inputArtifacts"], target[1]["data"]["inputArtifacts"], "the target's input")
    equal(b.stage("Two")["latestExecution"], {"pipelineExecutionId": back, "status": "InProgress", "type": "ROLLBACK"}, "state")
    b.worker.put(job)
    b.ended(back, "Succeeded")
    equal(b.ran(back), [("Two", "Work", "Succeeded")], "that stage alone")
    equal([b.latest(s) for s in ("One", "Two", "Three")],
          [(second, "Succeeded"), (back, "Succeeded"), (b.first, "Succeeded")], "the other stages keep their own")
    metadata = {"rollbackTargetPipelineExecutionId": b.first}
    got = b.got(back)
    equal((got["executionType"], got["rollbackMetadata"]), ("ROLLBACK", metadata), "execution")
    equal(got["trigger"], {"triggerType": "ManualRollback", "triggerDetail": json.dumps({"AwsUserArn": ROOT}, separators=(",", ":"))},
          "trigger")
    equal(got["variables"], [{"name": "Go", "resolvedValue": "yes"}], "the target's variables")
    equal(got["artifactRevisions"], b.got(b.first)["artifactRevisions"], "and revisions")
    row = b.listed(back)
    equal((row["executionType"], row["rollbackMetadata"]), ("ROLLBACK", metadata), "in the list")
    holds("executionType" not in b.got(b.first) and "rollbackMetadata" not in b.listed(b.first), "standard ones say nothing")
    refused(unable, re.compile(".*itself a rollback.*"), b.rollback, stage_name="Two", target=back)

    # It can be stopped and retried like any other.
    back = b.rollback("Three", b.first)
    b.worker.job(back)
    b.stop(back, abandon=True)
    b.ended(back, "Stopped")
    b.retry(back, "Three")
    b.worker.succeed(back)
    b.ended(back, "Succeeded")

    b.api.update_pipeline(pipeline=b.declaration())
    refused("PipelineExecutionOutdatedException", re.compile(".*version 1.*"), b.rollback, stage_name="Two", target=b.first)


def automatic_rollback():
    """A failure goes back to the last success by itself; without one, and after a failed rollback, it does not."""
    b = Bench(work("One", onFailure={"result": "ROLLBACK"}), work("Two"))
    b.worker.break_(b.first)
    b.ended(b.first, "Failed")
    equal(len(b.api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]), 1, "nothing to go back to")
    good = b.start()
    b.worker.succeed(good)
    b.worker.succeed(good)
    b.ended(good, "Succeeded")
    bad = b.start()
    b.worker.break_(bad)
    b.ended(bad, "Failed")
    back = b.started_by("AutomatedRollback")
    got = b.got(back)
    equal(got["trigger"]["triggerDetail"], json.dumps({"FailedPipelineExecutionId": bad}, separators=(",", ":")), "why")
    equal((got["executionType"], got["rollbackMetadata"]["rollbackTargetPipelineExecutionId"]), ("ROLLBACK", good), "to what")
    b.worker.break_(back)
    b.ended(back, "Failed")
    equal(len(b.api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]), 4, "no rollback of a rollback")
    equal(b.status(bad), "Failed", "the failed one stays failed")
    equal(b.stage("One")["latestExecution"]["type"], "ROLLBACK", "state")


# Conditions


def entry_conditions():
    """FAIL keeps an execution out of the actions, SKIP passes the stage by; a running condition is overridden."""
    b = Bench(work("One", beforeEntry=conditions("FAIL", is_on(), rule("Other"))),
              work("Two", beforeEntry=conditions("SKIP", is_on())), work("Three"), **GO)
    b.worker.succeed(b.first)
    b.worker.succeed(b.first)
    b.worker.succeed(b.first)
    b.ended(b.first, "Succeeded")
    shown = b.stage("One")["beforeEntryConditionState"]
    equal(shown["latestExecution"]["status"], "Succeeded", "met")
    condition = shown["conditionStates"][0]
    equal((condition["latestExecution"]["status"], [r["ruleName"] for r in condition["ruleStates"]]),
          ("Succeeded", ["IsOn", "Other"]), "its rules")
    holds(condition["latestExecution"]["lastStatusChange"], "when")
    equal([r["latestExecution"]["status"] for r in condition["ruleStates"]], ["Succeeded"] * 2, "each met")
    holds("onSuccessConditionState" not in b.stage("One") and "beforeEntryConditionState" not in b.stage("Three"),
          "only what is declared is shown")

    second = b.start(**go("no"))
    b.ended(second, "Failed")
    equal(b.latest("One"), (second, "Failed"), "not entered")
    equal(b.ran(second), [], "no action ran")
    shown = b.stage("One")["beforeEntryConditionState"]
    equal(shown["latestExecution"]["status"], "Failed", "not met")
    holds("IsOn" in shown["latestExecution"]["summary"], shown["latestExecution"]["summary"])
    row = next(r for r in b.rules(second) if r["ruleName"] == "IsOn")
    equal((row["stageName"], row["status"], row["pipelineVersion"], row["pipelineExecutionId"]),
          ("One", "Failed", 1, second), "rule execution")
    equal(row["input"]["ruleTypeId"], {"category": "Rule", "owner": "AWS", "provider": "VariableCheck", "version": "1"}, "type")
    equal((row["input"]["configuration"]["Variable"], row["input"]["resolvedConfiguration"]["Variable"]),
          ("#{variables.Go}", "no"), "configuration")
    equal(row["output"]["executionResult"]["errorDetails"]["code"], "JobFailed", "why")
    holds(all(r["actionName"] == "Fetch" for r in b.runs.actions("p", second)), "rules are no actions")

    # The rules of one execution or of all, in pages, newest first.
    everything = b.api.list_rule_executions(pipelineName="p")["ruleExecutionDetails"]
    equal(len(everything), 5, "two rules twice, one once")
    equal([r["startTime"] for r in everything], sorted((r["startTime"] for r in everything), reverse=True), "newest first")
    pages = b.api.get_paginator("list_rule_executions").paginate(pipelineName="p", PaginationConfig={"PageSize": 2})
    equal([r["ruleExecutionId"] for page in pages for r in page["ruleExecutionDetails"]],
          [r["ruleExecutionId"] for r in everything], "in pages")
    refused("PipelineExecutionNotFoundException", re.compile(".*"), b.rules, execution=ABSENT_ID)
    refused("InvalidNextTokenException", re.compile(".*"), b.api.list_rule_executions, pipelineName="p", nextToken="x")
    refused("PipelineNotFoundException", re.compile(".*'q'"), b.api.list_rule_executions, pipelineName="q")
    refused("ConditionNotOverridableException", re.compile(".*"), b.override, execution=second, stage_name="One",
            kind="BEFORE_ENTRY")


def skipped_stage():
    """SKIP: the actions do not run, the execution goes on; neither retried nor gone back to."""
    b = Bench(work("One"), work("Two", beforeEntry=conditions("SKIP", is_on())), work("Three"), **GO)
    for _ in range(3):
        b.worker.succeed(b.first)
    b.ended(b.first, "Succeeded")
    second = b.start(**go("no"))
    b.worker.succeed(second)
    job = b.worker.job(second)
    equal(job["data"]["pipelineContext"]["stage"]["name"], "Three", "it goes on")
    equal(b.latest("Two"), (second, "Skipped"), "state")
    equal(b.stage("Two")["actionStates"], [{"actionName": "Work"}], "no action ran")
    equal(b.stage("Two")["beforeEntryConditionState"]["latestExecution"]["status"], "Failed", "condition")
    b.worker.put(job)
    b.ended(second, "Succeeded")
    refused("StageNotRetryableException", re.compile(".*Skipped.*"), b.retry, execution=second, stage_name="Two",
            mode="ALL_ACTIONS")
    refused("UnableToRollbackStageException", re.compile(".*did not succeed.*"), b.rollback, stage_name="Two", target=second)
    refused("ConditionNotOverridableException", re.compile(".*"), b.override, execution=second, stage_name="Two",
            kind="BEFORE_ENTRY")
    equal([e["pipelineExecutionId"] for e in b.api.list_pipeline_executions(
        pipelineName="p", filter={"succeededInStage": {"stageName": "Two"}})["pipelineExecutionSummaries"]], [b.first],
        "no target either")


def success_conditions():
    """FAIL fails a stage whose actions succeeded, ROLLBACK goes back to the last success; both can be overridden."""
    b = Bench(work("One", onSuccess=conditions("FAIL", is_on())), work("Two", onSuccess=conditions("ROLLBACK", is_on())), **GO)
    b.worker.succeed(b.first)
    b.worker.succeed(b.first)
    b.ended(b.first, "Succeeded")
    equal(b.stage("Two")["onSuccessConditionState"]["latestExecution"]["status"], "Succeeded", "met")

    second = b.start(**go("no"))
    b.worker.succeed(second)
    b.ended(second, "Failed")
    equal((b.latest("One"), b.action("One")["status"]), ((second, "Failed"), "Succeeded"), "the stage failed, its action did not")
    equal(b.worker.offered(), [], "it does not move on")
    refused("StageNotFoundException", re.compile(".*'Nowhere'.*"), b.override, execution=second, stage_name="Nowhere",
            kind="ON_SUCCESS")
    refused("PipelineNotFoundException", re.compile(".*'q'"), b.override, execution=second, stage_name="One",
            kind="ON_SUCCESS", name="q")
    refused("ValidationException", re.compile(".*'conditionType'.*enum value set.*"), b.override, execution=second,
            stage_name="One", kind="ON_FAILURE")
    refused("ConditionNotOverridableException", re.compile(".*beforeEntry.*"), b.override, execution=second, stage_name="One",
            kind="BEFORE_ENTRY")
    equal(b.override(second, "One", "ON_SUCCESS")["ResponseMetadata"]["HTTPStatusCode"], 200, "overridden")
    equal(b.stage("One")["onSuccessConditionState"]["latestExecution"]["status"], "Overridden", "state")
    holds(ROOT in b.stage("One")["onSuccessConditionState"]["latestExecution"]["summary"], "by whom")
    b.worker.succeed(second)
    # The second stage's condition is not met either: back to the first execution.
    back = b.started_by("AutomatedRollback")
    b.ended(second, "Failed")
    got = b.got(back)
    equal(got["rollbackMetadata"]["rollbackTargetPipelineExecutionId"], b.first, "target")
    equal(got["variables"], [{"name": "Go", "resolvedValue": "yes"}], "with its variables")
    b.worker.succeed(back)
    b.ended(back, "Succeeded")

    third = b.start(**go("no"))
    b.worker.succeed(third)
    b.ended(third, "Failed")
    fourth = b.start()
    b.worker.job(fourth)
    refused("NotLatestPipelineExecutionException", re.compile(f".*'{third}'.*"), b.override, execution=third,
            stage_name="One", kind="ON_SUCCESS")


def running_condition():
    """While its rules run, the stage is held; an override abandons them, a stop ends them."""
    slow = conditions("FAIL", rule("Slow", Outcome="hang"), rule("Quick"))
    b = Bench(work("One", beforeEntry=slow), work("Two", onSuccess=slow))
    wait("the quick rule", lambda: any(
        r["ruleName"] == "Quick" and r["status"] == "Succeeded" for r in b.rules(b.first)))
    equal((b.latest("One"), b.worker.offered()), ((b.first, "InProgress"), []), "the stage is held, no action runs")
    second = b.start()
    b.waiting("One", second)
    b.override(b.first, "One", "BEFORE_ENTRY")
    equal({r["ruleName"]: r["status"] for r in b.rules(b.first)}, {"Slow": "Abandoned", "Quick": "Succeeded"}, "rules")
    shown = b.stage("One")["beforeEntryConditionState"]["conditionStates"][0]
    equal([r["latestExecution"]["status"] for r in shown["ruleStates"]], ["Abandoned", "Succeeded"], "in the state")
    b.worker.succeed(b.first)
    b.worker.succeed(b.first)
    wait("the condition behind Two", lambda: "latestExecution" in b.stage("Two")["onSuccessConditionState"])
    b.override(b.first, "Two", "ON_SUCCESS")
    b.ended(b.first, "Succeeded")
    wait("the second's condition", lambda: b.latest("One")[0] == second)
    b.stop(second)
    b.ended(second, "Stopped")
    equal(b.stage("One")["beforeEntryConditionState"]["latestExecution"]["status"], "Cancelled", "a stop ends the question")
    equal({r["status"] for r in b.rules(second) if r["ruleName"] == "Slow"}, {"Abandoned"}, "and its rules")
    latest = b.api.list_rule_executions(pipelineName="p", filter={"latestInPipelineExecution": {
        "pipelineExecutionId": b.first, "startTimeRange": "Latest"}})["ruleExecutionDetails"]
    equal(len(latest), 4, "the newest of each rule of each gate")


def failure_conditions():
    """The rules of onFailure decide whether a failure goes back."""
    b = Bench(work("One", onFailure=conditions("ROLLBACK", is_on())), **GO)
    b.worker.succeed(b.first)
    b.ended(b.first, "Succeeded")
    second = b.start(**go("no"))
    b.worker.break_(second)
    b.ended(second, "Failed")
    equal(b.stage("One")["onFailureConditionState"]["latestExecution"]["status"], "Failed", "criteria not met")
    equal(b.api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]["pipelineExecutionId"], second,
          "no rollback")
    third = b.start()
    b.worker.break_(third)
    b.ended(third, "Failed")
    back = b.started_by("AutomatedRollback")
    equal(b.got(back)["rollbackMetadata"]["rollbackTargetPipelineExecutionId"], b.first, "criteria met")
    b.worker.succeed(back)
    b.ended(back, "Succeeded")


def rule_types():
    api = client("codepipeline")
    types = api.list_rule_types(ruleOwnerFilter="AWS")["ruleTypes"]
    equal(api.list_rule_types(regionFilter="us-east-1")["ruleTypes"], types, "in every Region")
    known = {t["id"]["provider"]: t for t in types}
    for provider in ("CloudWatchAlarm", "CodeBuild", "Commands", "DeploymentWindow", "LambdaInvoke", "VariableCheck"):
        equal(known[provider]["id"], {"category": "Rule", "owner": "AWS", "provider": provider, "version": "1"}, provider)
    check = known["VariableCheck"]["ruleConfigurationProperties"]
    equal([(p["name"], p["required"]) for p in check], [("Variable", True), ("Operator", True), ("Value", True)], "properties")
    equal(known["VariableCheck"]["inputArtifactDetails"], {"minimumCount": 0, "maximumCount": 0}, "no artifacts")
    holds(known["Commands"]["inputArtifactDetails"]["maximumCount"] > 0, "commands have a source")


if __name__ == "__main__":
    main([
        manual_rollback, automatic_rollback, entry_conditions, skipped_stage, success_conditions, running_condition,
        failure_conditions, rule_types,
    ])
