"""`towpath worker command` against a server: what a command is told, what becomes of what it leaves, and how the worker
behaves when it is told to stop or when nobody waits for its work any more.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from harness import (
    Pipelines,
    bucket,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    rehearsal,
    role,
    s3_source,
    source,
    stage,
    wait,
)
from jenkins_server import names_in
from worker import job_action, make_type, prop

FETCH = stage("Source", rehearsal("Fetch", "Source"))


class WorkerProcess:
    """The worker as an operator starts it."""

    def __init__(self, script, *options, provider="Farm", category="Build"):
        self.directory = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.directory.name)
        self.log = open(self.root / "worker.log", "a+")
        # Jobs of the scenario meet here.
        self.place = self.root / "place"
        self.place.mkdir()
        command = [os.environ["TOWPATH_TEST_BINARY"], "worker", "command", "--category", category, "--provider", provider,
                   "--poll-every", "0.1", "--work-dir", str(self.root), *options, "--", "sh", "-ec", script]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        env={**os.environ, "PLACE": str(self.place)})

    def told(self):
        self.log.seek(0)
        return self.log.read()

    def lines(self, title):
        return [line.split("] ", 1)[1] for line in self.told().splitlines() if line.startswith(f"[{title}] ")]

    def file(self, name):
        return self.place / name

    def appears(self, name):
        wait(f"{name} of the command", self.file(name).exists)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()
        self.directory.cleanup()


def created(api, *stages, name="p", **more):
    api.create_pipeline(pipeline=pipeline(name, role(name), *stages, **more))
    return Pipelines(api).first(name)


def a_job():
    """Artifacts in and out, configuration, variables, summary, external id."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api, properties=[prop("Project", required=True, queryable=True), prop("api-key", secret=True)],
              settings={"executionUrlTemplate": "https://farm.example/{Config:Project}/{ExternalExecutionId}"})
    version = source({"src/main.c": "int main;", "run.sh": "echo run"})
    bucket("artifacts")
    work = job_action(configuration={"Project": "ferry", "api-key": "hush hush"}, inputs=["src"], outputs=["bin", "doc-1"],
                      namespace="Farm")
    use = rehearsal("Use", "Test", Message="#{Farm.Version}")
    first = created(api, stage("Source", s3_source()), stage("Work", work), stage("Test", use))
    script = """
        test "$(pwd)" = "$CODEPIPELINE_INPUT_src"
        sh run.sh
        echo oops >&2
        env | grep ^CODEPIPELINE_ | sort > "$PLACE/env"
        cp "$CODEPIPELINE_CONFIGURATION" "$PLACE/configuration"
        mkdir "$CODEPIPELINE_OUTPUT_bin/b" && cp src/main.c "$CODEPIPELINE_OUTPUT_bin/b/main"
        echo words > "$CODEPIPELINE_OUTPUT_doc_1/readme"
        echo Version=1.2=3 >> "$CODEPIPELINE_VARIABLES"
        echo summary=built it >> "$CODEPIPELINE_REPORT"
        echo external-id=77 >> "$CODEPIPELINE_REPORT"
        echo percent=100 >> "$CODEPIPELINE_REPORT"
    """
    with WorkerProcess(script, "--query", "Project=ferry", "--jobs", "1") as worker:
        equal(worker.process.wait(timeout=60), 0, "it ends after its job")
        runs.ended("p", first, "Succeeded")
        equal(sorted(worker.lines("p/Work/Work")), ["oops", "run"], "the command's output")
        told = dict(line.split("=", 1) for line in worker.file("env").read_text().splitlines())
        latest = runs.action_latest("p", "Work", "Work")
        want = {"PIPELINE_NAME": "p", "STAGE_NAME": "Work", "ACTION_NAME": "Work", "EXECUTION_ID": first,
                "ACTION_EXECUTION_ID": latest["actionExecutionId"], "CATEGORY": "Build", "PROVIDER": "Farm", "VERSION": "1",
                "CONFIG_Project": "ferry", "CONFIG_api_key": "hush hush", "REVISION_src": version, "CONTINUATION_TOKEN": ""}
        equal({key: told["CODEPIPELINE_" + key] for key in want}, want, "what it is told")
        equal(json.loads(worker.file("configuration").read_text()), {"Project": "ferry", "api-key": "hush hush"}, "as JSON")
        holds("hush" not in worker.told(), "the worker itself prints no secret")
        equal([entry.name for entry in worker.root.iterdir() if entry.name.startswith("job-")], [], "nothing is left behind")
    equal([latest[k] for k in ("summary", "externalExecutionId", "externalExecutionUrl")],
          ["built it", "77", "https://farm.example/ferry/77"], "what it reports")
    row = runs.actions("p", first)[1]["output"]
    equal(row["outputVariables"], {"Version": "1.2=3"}, "its variables")
    equal(runs.action_latest("p", "Test", "Use")["summary"], "1.2=3", "are used")
    kept = {}
    for artifact in row["outputArtifacts"]:
        where = artifact["s3location"]
        body = client("s3").get_object(Bucket=where["bucket"], Key=where["key"])["Body"].read()
        kept[artifact["name"]] = names_in(body)
    equal(kept, {"bin": ["b/main"], "doc-1": ["readme"]}, "its artifacts")


def failures():
    """Exit codes, kinds of failure, and what a command may do wrong."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api, properties=[prop("Do")])
    bucket("artifacts")
    created(api, FETCH, stage("Work", job_action(configuration={"Do": "true"}, outputs=["out"])), pipelineType="V2")
    with WorkerProcess('eval "$CODEPIPELINE_CONFIG_Do"'):

        def failed(do, kind, message, external=None):
            declared = api.get_pipeline(name="p")["pipeline"]
            declared["stages"][1]["actions"][0]["configuration"] = {"Do": do}
            api.update_pipeline(pipeline=declared)
            execution = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            runs.ended("p", execution, "Failed")
            latest = runs.action_latest("p", "Work", "Work")
            equal(latest["errorDetails"]["code"], kind, "kind of failure")
            matches(latest["errorDetails"]["message"], message)
            equal(latest.get("externalExecutionId"), external, "external id")

        failed("echo one; echo two; exit 3", "JobFailed", r"The command ended with exit code 3\.\none\ntwo")
        failed("kill -9 $$", "JobFailed", r"The command was ended by signal 9\.")
        failed('printf "failure-type=ConfigurationError\\nsummary=no such target\\nexternal-id=9\\n" >> $CODEPIPELINE_REPORT; '
               'exit 1', "ConfigurationError", "no such target\nThe command ended with exit code 1.", "9")
        failed("true", "JobFailed", "The output artifact out is empty: nothing was left in its directory.")
        failed("echo percnet=3 > $CODEPIPELINE_REPORT", "JobFailed", ".*line 1 of CODEPIPELINE_REPORT: there is no `percnet`.*")
        failed('echo "a b=3" > $CODEPIPELINE_VARIABLES', "JobFailed", ".*line 1 of CODEPIPELINE_VARIABLES.*letters.*")
        failed("ln -s /etc/passwd $CODEPIPELINE_OUTPUT_out/p", "JobFailed", "The output artifact out cannot be packed: p is no file.*")

    # An input that is no zip, a command that is not there, a role that may not read.
    execution = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    with WorkerProcess("true") as worker:
        worker.end()
        binary = os.environ["TOWPATH_TEST_BINARY"]
        base = [binary, "worker", "command", "--provider", "Farm", "--jobs", "1", "--poll-every", "0.1"]
        subprocess.run([*base, "--", "no-such-program"], check=True, capture_output=True, timeout=60)
        runs.ended("p", execution, "Failed")
        matches(runs.action_latest("p", "Work", "Work")["errorDetails"]["message"],
                "The command `no-such-program` cannot be started: .*")
        done = subprocess.run([binary, "worker", "command", "--provider", "Fram", "--", "true"], capture_output=True, text=True)
        equal(done.returncode, 1, "a type that is not there ends the worker")
        matches(done.stderr, ".*error: cannot ask for jobs\n  because: ActionType .*'Fram'.* is not available\n.*")
        done = subprocess.run([binary, "worker", "command", "--provider", "Farm", "--owner", "ThirdParty", "--", "true"],
                              capture_output=True, text=True)
        equal(done.returncode, 2, "a partner without its token")
        matches(done.stderr, ".*needs the partner's client token.*TOWPATH_CLIENT_TOKEN.*")


def progress():
    """A running command's report is shown, and the run goes on under the action's next job."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api)
    first = created(api, FETCH, stage("Work", job_action("A"), job_action("B")))
    script = """
        me="$PLACE/$CODEPIPELINE_ACTION_NAME"
        printf 'percent=10\\nsummary=begun\\nexternal-id=5\\n' >> "$CODEPIPELINE_REPORT"
        echo "$CODEPIPELINE_JOB_ID" > "$me.begun"
        while [ ! -e "$me.go" ]; do sleep 0.05; done
        printf 'percent=60\\n' >> "$CODEPIPELINE_REPORT"
        while [ ! -e "$me.end" ]; do sleep 0.05; done
    """
    with WorkerProcess(script, "--report-every", "0.1", "--concurrency", "2") as worker:

        def shown(name, percent):
            wait(f"{percent} % of {name}", lambda: runs.action_latest("p", "Work", name).get("percentComplete") == percent)
            return runs.action_latest("p", "Work", name)

        for name in ("A", "B"):
            worker.appears(f"{name}.begun")
            latest = shown(name, 10)
            equal([latest[k] for k in ("status", "summary", "externalExecutionId")], ["InProgress", "begun", "5"], "begun")
        worker.file("A.go").touch()
        shown("A", 60)
        equal(runs.action_latest("p", "Work", "B")["percentComplete"], 10, "each has its own")
        for name in ("A", "B"):
            worker.file(f"{name}.go").touch()
            worker.file(f"{name}.end").touch()
        runs.ended("p", first, "Succeeded")
        equal(len(list(worker.place.glob("*.begun"))), 2, "each command ran once")
        equal(runs.actions("p", first)[0]["status"], "Succeeded", "and its end is the action's")
        equal(worker.end(), 0, "ended")


def continuation():
    """A command that ends with a token of its own is run again with it, by whichever worker."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api)
    first = created(api, FETCH, stage("Work", job_action()))
    script = """
        case "$CODEPIPELINE_CONTINUATION_TOKEN" in
        "") printf 'continuation-token=step 2\\nsummary=step 1 done\\n' >> "$CODEPIPELINE_REPORT" ;;
        "step 2") while [ ! -e "$PLACE/end" ]; do sleep 0.05; done ;;
        *) exit 9 ;;
        esac
    """
    with WorkerProcess(script) as worker:
        wait("the first step", lambda: runs.action_latest("p", "Work", "Work").get("summary") == "step 1 done")
        worker.file("end").touch()
        runs.ended("p", first, "Succeeded")


def stopping():
    """SIGTERM lets what runs end; a second one stops it; abandoning the action stops its command."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api)
    first = created(api, FETCH, stage("Work", job_action()))
    script = """
        touch "$PLACE/begun.$CODEPIPELINE_EXECUTION_ID"
        trap 'touch "$PLACE/stopped"; exit 1' TERM
        while [ ! -e "$PLACE/end" ]; do sleep 0.05; done
    """

    def begun(worker, execution):
        worker.appears(f"begun.{execution}")

    with WorkerProcess(script) as worker:
        begun(worker, first)
        worker.process.send_signal(signal.SIGTERM)
        wait("it says so", lambda: "no new jobs" in worker.told())
        second = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        worker.file("end").touch()
        runs.ended("p", first, "Succeeded")
        equal(worker.process.wait(timeout=60), 0, "the running one came to its end")
        holds(not worker.file(f"begun.{second}").exists(), "no new one was begun")

    with WorkerProcess(script) as worker:
        begun(worker, second)
        worker.process.send_signal(signal.SIGTERM)
        wait("it says so", lambda: "no new jobs" in worker.told())
        equal(worker.end(), 0, "ended by the second signal")
        holds(worker.file("stopped").exists(), "the command was asked to end")
        runs.ended("p", second, "Failed")
        equal(runs.action_latest("p", "Work", "Work")["errorDetails"], {
            "code": "SystemUnavailable", "message": "The worker was stopped, and the command with it."}, "and the action says so")

    third = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    with WorkerProcess(script) as worker:
        begun(worker, third)
        api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=third, abandon=True)
        runs.ended("p", third, "Stopped")
        worker.appears("stopped")
        wait("it says so", lambda: "nobody waits for this action any more" in worker.told())
        equal(worker.process.poll(), None, "the worker goes on")


def several():
    """Two workers of one type share the jobs; each job is run once."""
    api = client("codepipeline")
    runs = Pipelines(api)
    make_type(api)
    names = [f"A{n}" for n in range(12)]
    with tempfile.TemporaryDirectory() as place:
        script = f'echo "$CODEPIPELINE_ACTION_NAME" >> {place}/ran'
        with WorkerProcess(script, "--concurrency", "3") as one, WorkerProcess(script, "--concurrency", "3") as other:
            first = created(api, FETCH, stage("Work", *[job_action(name) for name in names]))
            runs.ended("p", first, "Succeeded")
            equal([one.end(), other.end()], [0, 0], "both end")
        ran = pathlib.Path(place, "ran").read_text().split()
        equal(sorted(ran), sorted(names), "each once")


def documentation():
    """The walk through of docs/workers.md, as printed."""
    page = pathlib.Path(__file__).parents[2].joinpath("docs", "workers.md").read_text()
    fences = re.findall(r"^```(\w[^\n]*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    steps = [(kind, text) for kind, text in fences if kind in ("sh example", "text")]
    holds(len(steps) >= 7, f"only {len(steps)} steps")
    binary = pathlib.Path(os.environ["TOWPATH_TEST_BINARY"])
    with tempfile.TemporaryDirectory() as directory:
        tools = pathlib.Path(directory, "tools")
        tools.mkdir()
        tools.joinpath("towpath").symlink_to(binary)
        path = [str(tools), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
        env = {**os.environ, "PATH": os.pathsep.join(path)}
        told = ""
        for kind, text in steps:
            if kind == "text":
                holds(text.strip() in told, f"printed is {told!r}, not {text!r}")
                continue
            done = subprocess.run(["sh", "-ec", text], cwd=directory, env=env, capture_output=True, text=True, timeout=120)
            equal(done.returncode, 0, f"{text}\n{done.stdout}{done.stderr}")
            told = done.stdout
    runs = Pipelines(client("codepipeline"))
    runs.ended("ferry", runs.first("ferry"), "Succeeded")
    types = client("codepipeline").list_action_types(actionOwnerFilter="Custom")["actionTypes"]
    holds("DockJenkins" in [row["id"]["provider"] for row in types], "the Jenkins type too")


if __name__ == "__main__":
    main([a_job, failures, progress, continuation, stopping, several, documentation])
