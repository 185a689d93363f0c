"""A job worker that a scenario holds in its hand: what a custom action does, and when, is for the scenario to say."""

from harness import action, client, equal, wait

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
