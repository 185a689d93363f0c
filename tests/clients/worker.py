"""A job worker that a scenario holds in its hand, and a pipeline of custom actions to hold it against: what an action
does, and when, is for the scenario to say.
"""

from harness import ACCOUNT, Pipelines, action, client, equal, pipeline, rehearsal, role, stage, wait

ROOT = f"arn:aws:iam::{ACCOUNT}:root"
FETCH = stage("Source", rehearsal("Fetch", "Source"))

TYPE = {"category": "Build", "owner": "Custom", "provider": "Farm", "version": "1"}


def make_type(api, category="Build", provider="Farm", version="1", properties=(), inputs=(0, 5), outputs=(0, 5), **more):
    return api.create_custom_action_type(
        category=category, provider=provider, version=version, configurationProperties=list(properties),
        inputArtifactDetails={"minimumCount": inputs[0], "maximumCount": inputs[1]},
        outputArtifactDetails={"minimumCount": outputs[0], "maximumCount": outputs[1]}, **more)


def prop(name, **flags):
    return {"name": name, "required": False, "key": True, "secret": False, "type": "String", **flags}


def job_action(name="Work", configuration=None, category="Build", provider="Farm", **more):
    """An action that ends as the worker says."""
    return action(name, category, provider, configuration, owner="Custom", **more)


class Worker:
    """Takes every job of a type, acknowledges it, and holds it until the scenario asks for it."""

    def __init__(self, category="Build", provider="Farm", version="1", api=None):
        self.api = api or client("codepipeline")
        self.type = {"category": category, "owner": "Custom", "provider": provider, "version": version}
        self.held = {}

    def poll(self, **more):
        return self.api.poll_for_jobs(actionTypeId=self.type, **more)["jobs"]

    def take_all(self):
        for job in self.poll():
            got = self.api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])
            equal(got["status"], "InProgress", "acknowledged")
            context = job["data"]["pipelineContext"]
            self.held.setdefault((context["pipelineExecutionId"], context["action"]["name"]), []).append(job)

    def job(self, execution, name="Work"):
        """The job of an action of an execution, as soon as it is offered."""

        def look():
            if not self.held.get((execution, name)):
                self.take_all()
            return self.held.get((execution, name))

        return wait(f"a job of {name} in {execution}", look).pop(0)

    def offered(self):
        """Who has a job that was not asked for yet; looked up now, without waiting."""
        self.take_all()
        return sorted(key for key, jobs in self.held.items() if jobs)

    def put(self, job, **more):
        self.api.put_job_success_result(jobId=job["id"], **more)

    def fail(self, job, message="broken", kind="JobFailed", **more):
        self.api.put_job_failure_result(jobId=job["id"], failureDetails={"type": kind, "message": message, **more})

    def succeed(self, execution, name="Work", **more):
        job = self.job(execution, name)
        self.put(job, **more)
        return job

    def break_(self, execution, name="Work", message="broken", **more):
        job = self.job(execution, name)
        self.fail(job, message, **more)
        return job


class Bench:
    """A pipeline of custom actions, and the worker that carries them out."""

    def __init__(self, *stages, **more):
        self.runs = Pipelines()
        self.api = self.runs.api
        make_type(self.api)
        self.worker = Worker(api=self.api)
        self.arn = role()
        self.stages = stages
        self.more = more
        self.api.create_pipeline(pipeline=self.declaration())
        self.first = self.runs.first("p")

    def declaration(self, *stages, **more):
        return pipeline("p", self.arn, FETCH, *(stages or self.stages), **{**self.more, **more})

    def start(self, **more):
        return self.api.start_pipeline_execution(name="p", **more)["pipelineExecutionId"]

    def status(self, execution):
        return self.runs.status("p", execution)

    def ended(self, execution, want):
        self.runs.ended("p", execution, want)

    def stage(self, name):
        return self.runs.state("p", name)

    def latest(self, stage_name):
        """Who entered the stage last, and how that stands."""
        got = self.stage(stage_name).get("latestExecution", {})
        return got.get("pipelineExecutionId"), got.get("status")

    def waiting(self, stage_name, *executions):
        wait(f"{executions} to wait before {stage_name}", lambda: [
            e["pipelineExecutionId"] for e in self.stage(stage_name)["inboundExecutions"]] == list(executions))

    def action(self, stage_name, name="Work"):
        return self.runs.action_latest("p", stage_name, name)

    def ran(self, execution):
        """What ran, oldest first, the source left out."""
        rows = [(r["stageName"], r["actionName"], r["status"]) for r in self.runs.actions("p", execution)]
        return [row for row in reversed(rows) if row[1] != "Fetch"]

    def retry(self, execution, stage_name, mode="FAILED_ACTIONS"):
        self.api.retry_stage_execution(
            pipelineName="p", stageName=stage_name, pipelineExecutionId=execution, retryMode=mode)

    def stop(self, execution, **more):
        self.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, **more)

    def rollback(self, stage_name, target, name="p"):
        return self.api.rollback_stage(
            pipelineName=name, stageName=stage_name, targetPipelineExecutionId=target)["pipelineExecutionId"]

    def override(self, execution, stage_name, kind, name="p"):
        return self.api.override_stage_condition(
            pipelineName=name, stageName=stage_name, pipelineExecutionId=execution, conditionType=kind)

    def got(self, execution):
        return self.api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=execution)["pipelineExecution"]

    def listed(self, execution):
        rows = self.api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]
        return next(row for row in rows if row["pipelineExecutionId"] == execution)

    def started_by(self, kind):
        """The newest execution, once it was started that way."""

        def look():
            row = self.api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]
            return row["pipelineExecutionId"] if row["trigger"]["triggerType"] == kind else None

        return wait(f"an execution started by {kind}", look)

    def rules(self, execution, **more):
        return self.api.list_rule_executions(
            pipelineName="p", filter={"pipelineExecutionId": execution}, **more)["ruleExecutionDetails"]


def work(name, *actions, **more):
    return {**stage(name, *(actions or [job_action()])), **more}


def rule(name, provider="Rehearsal", **configuration):
    kind = {"category": "Rule", "owner": "AWS", "provider": provider, "version": "1"}
    declared = {"name": name, "ruleTypeId": kind}
    return {**declared, "configuration": configuration} if configuration else declared


def conditions(result, *rules):
    return {"conditions": [{"result": result, "rules": list(rules)}]}


def is_on(variable="Go"):
    return rule("IsOn", "VariableCheck", Variable=f"#{{variables.{variable}}}", Operator="EQ", Value="yes")


GO = {"variables": [{"name": "Go", "defaultValue": "yes"}]}


def go(value):
    return {"variables": [{"name": "Go", "value": value}]}
