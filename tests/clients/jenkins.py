"""`towpath worker jenkins`, against a server scripted from Jenkins's documentation (jenkins_server.py), because no Jenkins
can be had where these tests run.
"""

import os
import re
import signal
import subprocess
import tempfile
import urllib.request

from harness import (
    Pipelines,
    Server,
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
from jenkins_plugin import PROVIDER, jenkins_action, jenkins_type
from jenkins_server import API_TOKEN, USER, Jenkins, names_in
from worker import prop


class WorkerProcess:
    """`towpath worker jenkins`, as an operator starts it."""

    def __init__(self, jenkins, directory, *more, user=USER, token=API_TOKEN):
        number = len([name for name in os.listdir(directory) if name.startswith("worker")])
        self.log = open(os.path.join(directory, f"worker{number}.log"), "a+")
        command = [os.environ["TOWPATH_TEST_BINARY"], "worker", "jenkins", "--url", jenkins.url, "--provider", PROVIDER,
                   "--query", "ProjectName=ferry", "--poll-every", "0.1", *more]
        given = {"TOWPATH_JENKINS_USER": user, "TOWPATH_JENKINS_TOKEN": token} if user else {}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env={**os.environ, **given})

    def told(self):
        self.log.seek(0)
        return self.log.read()

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


class Dock:
    """A server, a Jenkins and a pipeline whose second stage is a Jenkins build."""

    def __init__(self, prefix="", crumbs=True, properties=(), files=None, **work):
        self.directory = tempfile.TemporaryDirectory()
        self.server = Server(self.directory.name)
        self.jenkins = Jenkins(prefix, crumbs)
        self.properties, self.files, self.work = properties, files, work

    def __enter__(self):
        self.server.start()
        self.jenkins.__enter__()
        self.api = client("codepipeline")
        self.runs = Pipelines(self.api)
        jenkins_type(self.api, self.jenkins.url, *self.properties)
        self.version = source(self.files or {"a.txt": "a"})
        bucket("artifacts")
        work = jenkins_action(inputs=["src"], **self.work)
        self.api.create_pipeline(pipeline=pipeline(
            "p", role(), stage("Source", s3_source()), stage("Work", work)))
        self.first = self.runs.first("p")
        return self

    def __exit__(self, *_):
        self.jenkins.__exit__()
        self.server.__exit__()
        self.directory.cleanup()

    def worker(self, *more, **options):
        return WorkerProcess(self.jenkins, self.directory.name, *more, **options)

    def built(self, number=1):
        return wait(f"build {number}", lambda: self.jenkins.build("ferry", number))

    def latest(self):
        return self.runs.action_latest("p", "Work", "Work")


def a_build():
    """Crumb, parameters, queue, console, archived files."""
    properties = [prop("Target"), prop("Unused")]
    with Dock("/ci", properties=properties, files={"src/main.c": "int main;"}, outputs=["out"], namespace="Jenkins",
              configuration={"Target": "arm", "Unused": "x"}) as dock:
        dock.jenkins.project("ferry", [
            ("Target", "StringParameterDefinition"), ("src", "FileParameterDefinition"),
            ("CODEPIPELINE_EXECUTION_ID", "StringParameterDefinition"),
            ("CODEPIPELINE_INPUT_src", "StringParameterDefinition"), ("Theirs", "BooleanParameterDefinition")])
        dock.jenkins.hold = True
        with dock.worker("--report-every", "0.3") as worker:
            wait("the queue", lambda: dock.jenkins.queue)
            wait("the state says so", lambda: "Waiting in Jenkins's queue. Waiting for next available executor" ==
                 dock.latest().get("summary"))
            dock.jenkins.release()
            build = dock.built()
            equal(sorted(build.parameters), ["CODEPIPELINE_EXECUTION_ID", "CODEPIPELINE_INPUT_src", "Target"],
                  "what the project declares and the action has")
            equal((build.parameters["Target"], build.parameters["CODEPIPELINE_EXECUTION_ID"]), ("arm", dock.first), "values")
            equal(names_in(build.files["src"]), ["src/main.c"], "the input artifact as a file")
            with urllib.request.urlopen(build.parameters["CODEPIPELINE_INPUT_src"]) as fetched:
                equal(names_in(fetched.read()), ["src/main.c"], "and as a link")
            dock.jenkins.say("ferry", "Started by user ci\nBuilding \u001b[31min red\u001b[0m\nhalf a li")
            wait("the build in the state", lambda: dock.latest().get("externalExecutionId") == "1")
            latest = dock.latest()
            equal(latest["externalExecutionUrl"], f"{dock.jenkins.url}/job/ferry/1/", "link")
            equal((latest["status"], latest["percentComplete"]), ("InProgress", 99), "never done before it is")
            matches(latest["summary"], "Jenkins build 1 of ferry is running")
            dock.jenkins.say("ferry", "ne\nFinished: SUCCESS\n")
            dock.jenkins.finish("ferry", archived={"bin/ferry": "elf", "notes.txt": "done"})
            dock.runs.ended("p", dock.first, "Succeeded")
            latest = dock.latest()
            equal((latest["summary"], latest["percentComplete"]), ("Jenkins build 1 of ferry ended as SUCCESS", 100), "told")
            row = dock.runs.actions("p", dock.first)[0]["output"]
            equal(row["outputVariables"], {"BuildNumber": "1", "BuildUrl": f"{dock.jenkins.url}/job/ferry/1/"}, "variables")
            where = row["outputArtifacts"][0]["s3location"]
            got = client("s3").get_object(Bucket=where["bucket"], Key=where["key"])
            equal(names_in(got["Body"].read()), ["bin/ferry", "notes.txt"], "the archived files")
            equal(got["ServerSideEncryption"], "aws:kms", "as AWS asks of workers")
            told = worker.told()
            lines = [line.split("] ", 1)[1] for line in told.splitlines() if line.startswith("[p/Work/Work]")]
            equal(lines, ["Started by user ci", "Building in red", "half a line", "Finished: SUCCESS"], "the console, once")
            equal(dock.jenkins.refused, [], "Jenkins had nothing to refuse")
            holds(API_TOKEN not in told and "X-Amz-Signature" not in told, "no secret is printed")
            equal(worker.end(), 0, "it ends when it is told to")


def failures():
    """What Jenkins says is what the action shows."""
    with Dock(outputs=["out"]) as dock, dock.worker() as worker:
        # No such project.
        dock.runs.ended("p", dock.first, "Failed")
        equal(dock.latest()["errorDetails"], {
            "code": "ConfigurationError",
            "message": "Cannot ask for the project ferry: there is no such thing at Jenkins (HTTP 404)."}, "no project")

        def run(number, result, **more):
            execution = dock.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            dock.built(number)
            dock.jenkins.finish("ferry", result, number=number, **more)
            dock.runs.ended("p", execution, "Failed")
            return dock.latest()

        dock.jenkins.project("ferry")
        latest = run(1, "UNSTABLE", archived={"x": "x"})
        equal(latest["errorDetails"]["code"], "JobFailed", "its kind")
        matches(latest["errorDetails"]["message"], r"Jenkins build 1 of ferry ended as UNSTABLE\. http://.*/job/ferry/1/")
        equal(latest["externalExecutionId"], "1", "which build")
        latest = run(2, "SUCCESS")
        matches(latest["errorDetails"]["message"], "The build archived no files for the output artifact out.*archiveArtifacts.*")

        # A session that ends in between, as when Jenkins restarts, is opened again with a new crumb.
        dock.jenkins.forget_sessions()
        run(3, "ABORTED")
        equal([status for status, _ in dock.jenkins.refused], [404, 403], "the old crumb was refused, the new one was not")

        # Taken out of the queue there.
        dock.jenkins.hold = True
        execution = dock.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        item = wait("its place", lambda: [one for one in dock.jenkins.queue.values() if not one["number"]])[0]
        item["cancelled"] = True
        dock.runs.ended("p", execution, "Failed")
        matches(dock.latest()["errorDetails"]["message"], "The build of ferry was taken out of Jenkins's queue.")
        equal(worker.process.poll(), None, "the worker goes on")


def signing_in():
    with Dock(crumbs=False) as dock:
        dock.jenkins.project("ferry", [])
        with dock.worker(token="wrong"):
            dock.runs.ended("p", dock.first, "Failed")
            equal(dock.latest()["errorDetails"], {
                "code": "PermissionError",
                "message": "Cannot ask for the project ferry: Jenkins does not accept the user or the API token (HTTP 401)."},
                "a wrong token")
        # A server without crumbs is asked for none.
        with dock.worker():
            second = dock.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            dock.built()
            dock.jenkins.finish("ferry")
            dock.runs.ended("p", second, "Succeeded")
        worker = dock.worker("--concurrency", "0")
        equal(worker.process.wait(timeout=30), 2, "bad usage")
        worker = dock.worker(user=None, token=None)
        wait("it asks", lambda: "drives Jenkins" in worker.told())
        equal(worker.end(), 0, "without signing in")


def handed_on():
    """A worker that ends leaves its build to the next one; an abandoned action stops the build."""
    with Dock() as dock:
        dock.jenkins.project("ferry")
        with dock.worker() as worker:
            build = dock.built()
            dock.jenkins.say("ferry", "one\n")
            wait("the first line", lambda: "] one" in worker.told())
            equal(worker.end(), 0, "ended in the middle")
        equal((build.result, build.aborted, dock.runs.status("p", dock.first)), (None, False, "InProgress"), "it runs on")
        dock.jenkins.say("ferry", "two\n")
        dock.jenkins.broken = 3
        with dock.worker() as worker:
            wait("the second line", lambda: "] two" in worker.told())
            dock.jenkins.finish("ferry")
            dock.runs.ended("p", dock.first, "Succeeded")
            equal(len(re.findall(r"\] one", worker.told())), 0, "what was shown is not shown again")
        equal(len(dock.jenkins.projects["ferry"].builds), 1, "one build, whoever watched it")

        second = dock.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        with dock.worker() as worker:
            build = dock.built(2)
            dock.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=second, abandon=True)
            dock.runs.ended("p", second, "Stopped")
            wait("the build to be stopped", lambda: build.aborted)
            wait("the worker says so", lambda: "the build was stopped at Jenkins" in worker.told())


if __name__ == "__main__":
    main([a_build, failures, signing_in, handed_on])
