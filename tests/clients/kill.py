"""`kill -9` the server, start it again, and nothing acknowledged is lost or done twice.

`random_moments` kills it at 50 random moments (or TOWPATH_TEST_KILLS) while three pipelines build, wait and deploy; the
seed is printed, and TOWPATH_TEST_SEED repeats its choices. What runs outside is counted outside: every build appends to a
file of its own accord.
"""

import collections
import os
import pathlib
import random
import signal
import tempfile
import threading
import uuid

import botocore.exceptions

from harness import (
    Pipelines,
    Server,
    action,
    approval,
    bucket,
    client,
    equal,
    holds,
    main,
    pipeline,
    rehearsal,
    role,
    s3_source,
    source,
    stage,
    wait,
)

CONFIG = '[rehearsal]\nenabled = true\n[sandbox]\nkind = "host"\n'

# What a client sees when its server dies under it.
CUT = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError)


def buildspec(counter, seconds):
    return f"""\
version: 0.2
phases:
  build:
    commands:
      - echo "begin $CODEBUILD_BUILD_ID" >> {counter}
      - echo "one"
      - sleep {seconds}
      - echo "two"
      - echo "end $CODEBUILD_BUILD_ID" >> {counter}
artifacts:
  files: ["*.bin"]
"""


def prepare(directory, seconds, payload):
    """Buckets, roles and a project whose builds count themselves."""
    counter = pathlib.Path(directory) / "counter"
    counter.touch()
    source(payload)
    bucket("artifacts")
    bucket("site")
    builder = role("builder", service="codebuild.amazonaws.com")
    client("codebuild").create_project(
        name="counted", serviceRole=builder, artifacts={"type": "CODEPIPELINE"},
        source={"type": "CODEPIPELINE", "buildspec": buildspec(counter, seconds)},
        environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL"})
    return role(), counter


def put(name, where, artifact):
    keys = {"BucketName": "site", "Extract": "true", "ObjectKey": f"{where}/#{{codepipeline.PipelineExecutionId}}"}
    return stage("Deploy", action(name, "Deploy", "S3", keys, inputs=[artifact]))


def build_stage():
    return stage("Build", action("Make", "Build", "CodeBuild", {"ProjectName": "counted"}, inputs=["src"], outputs=["built"]))


def counted_once(counter, builds):
    """Every build of the project began once and ended once."""
    lines = collections.Counter(counter.read_text().split("\n")[:-1])
    want = collections.Counter(f"{what} {id}" for id in builds for what in ("begin", "end"))
    equal(dict(lines), dict(want), "what the builds say of themselves")


def all_builds():
    pages = client("codebuild").get_paginator("list_builds_for_project").paginate(projectName="counted")
    return [id for page in pages for id in page["ids"]]


class Driver:
    """A user of three pipelines who repeats whatever was not answered."""

    def __init__(self, names, rng):
        self.runs = Pipelines(client("codepipeline", retries={"max_attempts": 0, "mode": "standard"},
                                     config={"connect_timeout": 5, "read_timeout": 20}))
        self.names = names
        self.rng = rng
        self.open = {name: set() for name in names}
        self.started = {name: [] for name in names}
        self.asked = {}

    def step(self):
        for name in self.names:
            self.look(name)
            if len(self.open[name]) < 2:
                # A token makes a repeated start the same start, also across a kill.
                token = self.asked.setdefault(name, f"token-{uuid.UUID(int=self.rng.getrandbits(128))}")
                id = self.runs.api.start_pipeline_execution(name=name, clientRequestToken=token)["pipelineExecutionId"]
                del self.asked[name]
                holds(id not in self.started[name], "another token is another execution")
                self.started[name].append(id)
                self.open[name].add(id)
        self.answer_gate()

    def repeat_unanswered(self):
        """A start that was cut off may have been carried out: its token tells which execution it is."""
        for name, token in list(self.asked.items()):
            id = self.runs.api.start_pipeline_execution(name=name, clientRequestToken=token)["pipelineExecutionId"]
            del self.asked[name]
            self.started[name].append(id)
            self.open[name].add(id)

    def look(self, name):
        for id in list(self.open[name]):
            status = self.runs.status(name, id)
            if status not in ("InProgress", "Stopping"):
                equal(status, "Succeeded", f"{name} {id}: {self.runs.told(name, id)}")
                self.open[name].discard(id)

    def answer_gate(self):
        latest = self.runs.action_latest("gates", "Gate", "Ok")
        if "token" in latest:
            try:
                self.runs.answer("gates", "Gate", latest["token"], summary="go on")
            except self.runs.api.exceptions.ApprovalAlreadyCompletedException:
                # The answer was taken, its acknowledgement cut off.
                pass


def random_moments():
    seed = int(os.environ.get("TOWPATH_TEST_SEED") or random.SystemRandom().getrandbits(32))
    kills = int(os.environ.get("TOWPATH_TEST_KILLS", "50"))
    print(f"TOWPATH_TEST_SEED={seed}, {kills} kills", flush=True)
    rng = random.Random(seed)
    payload = {f"{n:02}.bin": rng.randbytes(20_000) for n in range(12)}
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG) as server:
        try:
            random_kills(server, directory, rng, kills, payload)
        except BaseException:
            print(f"the server's last words:\n{server.told()}")
            raise


def random_kills(server, directory, rng, kills, payload):
    arn, counter = prepare(directory, "0.2", payload)
    fetch = stage("Source", s3_source())
    queued = {"executionMode": "QUEUED"}
    api = client("codepipeline")
    api.create_pipeline(pipeline=pipeline("builds", arn, fetch, build_stage(), put("Put", "builds", "built"), **queued))
    api.create_pipeline(pipeline=pipeline("gates", arn, fetch, stage("Gate", approval()), put("Put", "gates", "src"), **queued))
    api.create_pipeline(pipeline=pipeline(
        "rehearsed", arn, stage("Source", rehearsal("Fetch", "Source")), stage(
            "Work", rehearsal("Left", Seconds="0.2"), rehearsal("Right", Seconds="0.1"), rehearsal("After", order=2)), **queued))
    driver = Driver(("builds", "gates", "rehearsed"), rng)
    for name in driver.names:
        first = driver.runs.first(name)
        driver.started[name].append(first)
        driver.open[name].add(first)

    cuts = 0
    for _ in range(kills):
        killer = threading.Timer(rng.uniform(0.02, 0.6), server.process.send_signal, [signal.SIGKILL])
        killer.start()
        while server.process.poll() is None:
            try:
                driver.step()
            except CUT:
                cuts += 1
                break
        killer.join()
        server.process.wait()
        server.start()

    # In peace, everything that was begun ends; the last kill may have cut off an answer.
    driver.repeat_unanswered()

    def settled():
        for name in driver.names:
            driver.look(name)
        driver.answer_gate()
        return not any(driver.open.values())

    wait("every execution to end", settled, seconds=120)
    s3 = client("s3")
    deployed = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="site"):
        for found in page.get("Contents", []):
            deployed[found["Key"]] = found["Size"]
    for name, actions in (("builds", ["Fetch", "Make", "Put"]), ("gates", ["Fetch", "Ok", "Put"]),
                          ("rehearsed", ["After", "Fetch", "Left", "Right"])):
        rows = api.get_paginator("list_pipeline_executions").paginate(pipelineName=name).search("pipelineExecutionSummaries[]")
        equal(sorted((r["pipelineExecutionId"], r["status"]) for r in rows),
              sorted((id, "Succeeded") for id in driver.started[name]), f"executions of {name}: none more, none less")
        for id in driver.started[name]:
            ran = driver.runs.actions(name, id)
            equal(sorted(row["actionName"] for row in ran), actions, f"each action of {name} {id} once")
            equal({row["status"] for row in ran}, {"Succeeded"}, "no action is left open")
            if name != "rehearsed":
                keys = [key for key in deployed if key.startswith(f"{name}/{id}/")]
                equal(len(keys), len(payload), f"objects of {name} {id}")
    # Bytes of the last and of a random execution of each; all of them have the right size.
    equal(set(deployed.values()), {20_000}, "sizes")
    for name in ("builds", "gates"):
        for id in (driver.started[name][-1], rng.choice(driver.started[name])):
            for file, content in payload.items():
                body = s3.get_object(Bucket="site", Key=f"{name}/{id}/{file}")["Body"].read()
                holds(body == content, f"{name}/{id}/{file} is not what was deployed")
    builds = all_builds()
    equal(len(builds), len(driver.started["builds"]), "one build for each execution")
    counted_once(counter, builds)
    told = {name: len(ids) for name, ids in driver.started.items()}
    print(f"{kills} kills, {cuts} of them under a request; executions {told}; {len(builds)} builds, each once", flush=True)


def processes(word, directory):
    """Ids of the processes whose command line has the word and the directory in it."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if entry.name.isdigit() and word in line and str(directory) in line:
            found.append(int(entry.name))
    return found


def every_kind_of_wait():
    """Each thing that can wait, waited for across a kill."""
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG) as server:
        arn, counter = prepare(directory, "2", {"a.bin": b"a"})
        runs = Pipelines()
        fetch = stage("Source", rehearsal("Fetch", "Source"))

        # An approval: the same token, before and after.
        runs.api.create_pipeline(pipeline=pipeline("gate", arn, fetch, stage("Gate", approval()), stage("End", rehearsal("Done"))))
        first = runs.first("gate")
        token = runs.token("gate", "Gate")
        # Stopping, with an action in flight.
        runs.api.create_pipeline(pipeline=pipeline("stopping", arn, fetch, stage("Gate", approval())))
        stopping = runs.first("stopping")
        stop_token = runs.token("stopping", "Gate")
        runs.api.stop_pipeline_execution(pipelineName="stopping", pipelineExecutionId=stopping, reason="before the kill")
        # A closed door, with somebody before it.
        runs.api.create_pipeline(pipeline=pipeline("door", arn, fetch, stage("Gate", approval()), stage("End", rehearsal("Done"))))
        door = runs.first("door")
        runs.api.disable_stage_transition(pipelineName="door", stageName="End", transitionType="Inbound", reason="freeze")
        runs.answer("door", "Gate", runs.token("door", "Gate"))
        wait("an execution before the door", lambda: runs.state("door", "End")["inboundExecutions"])
        # A build in its middle.
        runs.api.create_pipeline(pipeline=pipeline("build", arn, stage("Source", s3_source()), build_stage(), put("Put", "b", "built")))
        build = runs.first("build")
        wait("the build to begin", lambda: "begin" in counter.read_text())

        server.kill()
        holds("end" not in counter.read_text(), "the build outlives the server")
        # It ends while nobody looks.
        wait("the build to end by itself", lambda: "end" in counter.read_text())
        server.start()
        equal(runs.token("gate", "Gate"), token, "the token after a kill")
        runs.answer("gate", "Gate", token)
        runs.ended("gate", first, "Succeeded")
        equal(runs.status("stopping", stopping), "Stopping", "still stopping")
        runs.answer("stopping", "Gate", stop_token)
        runs.ended("stopping", stopping, "Stopped")
        equal([e["pipelineExecutionId"] for e in runs.state("door", "End")["inboundExecutions"]], [door], "still at the door")
        runs.api.enable_stage_transition(pipelineName="door", stageName="End", transitionType="Inbound")
        runs.ended("door", door, "Succeeded")
        runs.ended("build", build, "Succeeded")
        counted_once(counter, all_builds())
        events = client("logs").filter_log_events(logGroupName="/aws/codebuild/counted")["events"]
        lines = [e["message"].strip() for e in events if e["message"].strip() in ("one", "two")]
        equal(lines, ["one", "two"], "the log is whole, each line once")

        # A runner that is gone is a FAULT of that build, never a silent second run.
        second = runs.api.start_pipeline_execution(name="build")["pipelineExecutionId"]
        wait("the second build to begin", lambda: counter.read_text().count("begin") == 2)
        server.kill()
        runners = processes("build-runner", directory)
        holds(runners, "the runner outlives the server")
        for pid in runners:
            # Its session, and with it the build's shell.
            os.killpg(pid, signal.SIGKILL)
        server.start()
        runs.ended("build", second, "Failed")
        latest = client("codebuild").batch_get_builds(ids=all_builds()[:1])["builds"][0]
        equal((latest["buildStatus"], latest["buildComplete"]), ("FAULT", True), "the build without a runner")
        equal(counter.read_text().count("begin"), 2, "no second run")
        # The pipeline is as usable as before.
        runs.api.retry_stage_execution(
            pipelineName="build", stageName="Build", pipelineExecutionId=second, retryMode="FAILED_ACTIONS")
        runs.ended("build", second, "Succeeded")


def terminate():
    """SIGTERM: exit 0 within 10 s, though a build runs and connections are open; the next start adopts the build."""
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG) as server:
        arn, counter = prepare(directory, "2", {"a.bin": b"a"})
        runs = Pipelines()
        runs.api.create_pipeline(pipeline=pipeline("build", arn, stage("Source", s3_source()), build_stage(), put("Put", "b", "built")))
        build = runs.first("build")
        wait("the build to begin", lambda: "begin" in counter.read_text())
        code, seconds = server.terminate()
        equal(code, 0, "exit code")
        holds(seconds < 10, f"it took {seconds:.1f} s")
        holds("end" not in counter.read_text(), "the build goes on")
        server.start()
        runs.ended("build", build, "Succeeded")
        counted_once(counter, all_builds())
        # Ctrl-C is the same.
        server.process.send_signal(signal.SIGINT)
        equal(server.process.wait(timeout=10), 0, "exit code of Ctrl-C")


if __name__ == "__main__":
    main([random_moments, terminate, every_kind_of_wait])
