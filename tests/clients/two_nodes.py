"""Two servers on one PostgreSQL and one data directory: each serves all of it, and what one leaves the other takes over.

The database is TOWPATH_TEST_DATABASE_URL, an empty one. `random_kills` kills one or the other at random moments; its seed is
printed, and TOWPATH_TEST_SEED repeats its choices. What runs outside is counted outside: every build appends to a file of
its own accord, and the job worker remembers every job it was ever given.
"""

import collections
import concurrent.futures
import contextlib
import os
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
import uuid

from harness import (
    Pipelines,
    Server,
    action,
    approval,
    client,
    equal,
    holds,
    main,
    pipeline,
    refused,
    rehearsal,
    s3_source,
    stage,
    trust,
    wait,
)
from kill import CONFIG, CUT, all_builds, build_stage, counted_once, prepare, put
from worker import Worker, job_action, make_type


# Each costs a lease.
KILLS = 3


class Node(Server):
    """One of several servers on the same database and data directory."""

    def __init__(self, directory, name):
        more = ["--database-url", os.environ["TOWPATH_TEST_DATABASE_URL"]]
        super().__init__(directory, CONFIG, name=name, more=more)
        self.clients = {}

    def api(self, service="codepipeline"):
        # Nothing is repeated behind the scenario's back.
        if service not in self.clients:
            self.clients[service] = client(
                service, endpoint_url=self.url, retries={"max_attempts": 0, "mode": "standard"},
                config={"connect_timeout": 5, "read_timeout": 20})
        return self.clients[service]

    def runs(self):
        return Pipelines(self.api())


@contextlib.contextmanager
def two():
    with tempfile.TemporaryDirectory() as directory:
        a, b = Node(directory, "a"), Node(directory, "b")
        try:
            # Both at once, on nothing: one schema, one root key, one credentials file.
            with concurrent.futures.ThreadPoolExecutor(2) as together:
                for started in [together.submit(a.start), together.submit(b.start)]:
                    started.result()
            yield a, b, directory
        except BaseException:
            print(f"the last words of a:\n{a.told()}\nof b:\n{b.told()}")
            raise
        finally:
            a.__exit__()
            b.__exit__()


def query(sql):
    """One value of the database; whoever tests with PostgreSQL has its client."""
    asked = ["psql", os.environ["TOWPATH_TEST_DATABASE_URL"], "-v", "ON_ERROR_STOP=1", "-Atc", sql]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def documents(collection):
    return int(query(f"SELECT count(*) FROM documents WHERE collection = '{collection}'"))


def nothing_is_left():
    """No task, no open build: what is acknowledged is gone from the outbox."""
    wait("an empty outbox", lambda: query("SELECT count(*) FROM tasks") == "0")
    wait("no open build", lambda: documents("codebuild.open") == 0)


def each_once(runs, name, execution, actions):
    ran = runs.actions(name, execution)
    equal(sorted(row["actionName"] for row in ran), sorted(actions), f"each action of {name} {execution} once")
    equal({row["status"] for row in ran}, {"Succeeded"}, "no action is left open")


def one_state():
    """What one node is told, the other says at once."""
    with two() as (a, b, directory):
        at_a, at_b = a.runs(), b.runs()
        arn, counter = prepare(directory, "1", {"a.bin": b"a"})
        fetch = stage("Source", rehearsal("Fetch", "Source"))

        # Definitions: made here, read, changed and deleted there, and made anew under the same name.
        for first, second in ((at_a, at_b), (at_b, at_a)):
            first.api.create_pipeline(pipeline=pipeline("p", arn, fetch, stage("Gate", approval())))
            got = second.api.get_pipeline(name="p")["pipeline"]
            equal([s["name"] for s in got["stages"]], ["Source", "Gate"], "read on the other node")
            second.api.update_pipeline(pipeline={**got, "pipelineType": "V2", "executionMode": "QUEUED"})
            equal(first.api.get_pipeline(name="p")["pipeline"]["executionMode"], "QUEUED", "changed on the other node")
            equal([p["version"] for p in first.api.list_pipelines()["pipelines"]], [2], "listed")
            first.api.delete_pipeline(name="p")
            refused("PipelineNotFoundException", "The account with AWS account ID '123456789012' does not include a pipeline named 'p'",
                    second.api.get_pipeline, name="p")

        # An execution is started on one, approved on the other; doors close for both.
        at_a.api.create_pipeline(pipeline=pipeline(
            "p", arn, fetch, stage("Gate", approval()), stage("End", rehearsal("Done")), executionMode="QUEUED"))
        first = at_b.first("p")
        at_a.api.disable_stage_transition(pipelineName="p", stageName="End", transitionType="Inbound", reason="freeze")
        token = at_a.token("p", "Gate")
        equal(at_b.token("p", "Gate"), token, "the token on the other node")
        at_b.answer("p", "Gate", token)
        refused("ApprovalAlreadyCompletedException", re.compile(".*"), at_a.answer, name="p", stage_name="Gate", token=token)
        wait("an execution before the door", lambda: at_a.state("p", "End")["inboundExecutions"])
        at_b.api.enable_stage_transition(pipelineName="p", stageName="End", transitionType="Inbound")
        at_a.ended("p", first, "Succeeded")

        # The same token on both nodes at the same moment is one execution; the same approval is answered once.
        with concurrent.futures.ThreadPoolExecutor(8) as together:
            for _ in range(5):
                token = str(uuid.uuid4())
                starts = [together.submit(of.api.start_pipeline_execution, name="p", clientRequestToken=token)
                          for of in (at_a, at_b) * 4]
                ids = {start.result()["pipelineExecutionId"] for start in starts}
                equal(len(ids), 1, "executions of one token")
                open_token = at_a.token("p", "Gate")
                answers = [together.submit(answered, of, "p", "Gate", open_token) for of in (at_a, at_b) * 4]
                equal([answer.result() for answer in answers].count(True), 1, "answers that were taken")
                at_b.ended("p", ids.pop(), "Succeeded")

        # Roles, objects, job workers' types: all of it is in the database and the shared directory.
        a.api("iam").create_role(RoleName="late", AssumeRolePolicyDocument=trust())
        equal(b.api("iam").get_role(RoleName="late")["Role"]["RoleName"], "late", "a role of the other node")
        s3 = [node.api("s3") for node in (a, b)]
        for n in range(10):
            s3[n % 2].put_object(Bucket="site", Key="k", Body=f"{n}".encode())
            equal(s3[1 - n % 2].get_object(Bucket="site", Key="k")["Body"].read(), f"{n}".encode(), "bytes of the other node")
        make_type(at_a.api)
        at_b.api.create_pipeline(pipeline=pipeline("jobs", arn, fetch, stage("Work", job_action())))
        Worker(api=at_a.api).succeed(at_b.first("jobs"))
        at_b.ended("jobs", at_b.first("jobs"), "Succeeded")

        # A build runs where it was started, is read everywhere, and is stopped from anywhere.
        at_a.api.create_pipeline(pipeline=pipeline("build", arn, stage("Source", s3_source()), build_stage()))
        at_b.ended("build", at_a.first("build"), "Succeeded")
        for node in (a, b):
            events = node.api("logs").filter_log_events(logGroupName="/aws/codebuild/counted")["events"]
            equal([e["message"].strip() for e in events if e["message"].strip() in ("one", "two")], ["one", "two"], "its log")
        started = a.api("codebuild").start_build(
            projectName="counted", sourceTypeOverride="NO_SOURCE", artifactsOverride={"type": "NO_ARTIFACTS"},
            buildspecOverride="version: 0.2\nphases: {build: {commands: [sleep 600]}}")["build"]
        builds = b.api("codebuild")
        get = lambda: builds.batch_get_builds(ids=[started["id"]])["builds"][0]
        wait("the build to run", lambda: get()["currentPhase"] == "BUILD")
        equal(builds.stop_build(id=started["id"])["build"]["buildStatus"], "STOPPED", "stopped from the other node")
        nothing_is_left()


def answered(runs, name, stage_name, token):
    try:
        runs.answer(name, stage_name, token)
        return True
    except (runs.api.exceptions.ApprovalAlreadyCompletedException, runs.api.exceptions.InvalidApprovalTokenException):
        return False


def takeover():
    """What a killed node was at is finished by the other, once; it comes back; what leaves in peace leaves at once."""
    with two() as (a, b, directory):
        at_a, at_b = a.runs(), b.runs()
        arn, counter = prepare(directory, "3", {"a.bin": b"a"})
        fetch = stage("Source", rehearsal("Fetch", "Source"))
        # Everything is begun on A, and A alone has it.
        make_type(at_a.api)
        create = lambda *stages: at_a.api.create_pipeline(pipeline=pipeline(*stages))
        create("gate", arn, fetch, stage("Gate", approval()), stage("End", rehearsal("Done")))
        create("jobs", arn, fetch, stage("Work", job_action("Taken"), job_action("Free")), stage("End", rehearsal("Done")))
        create("slow", arn, fetch, stage("Work", rehearsal("Long", Seconds="4")), stage("End", rehearsal("Done")))
        token = at_a.token("gate", "Gate")
        worker = Worker(api=at_b.api)
        taken = worker.job(at_a.first("jobs"), "Taken")
        create("build", arn, stage("Source", s3_source()), build_stage(), put("Put", "b", "built"))
        first = {name: at_a.first(name) for name in ("gate", "jobs", "slow", "build")}
        wait("the build to begin", lambda: "begin" in counter.read_text())

        a.kill()
        begun = time.monotonic()
        holds("end" not in counter.read_text(), "the build outlives its server")
        # What needs nobody's lease goes on at once.
        at_b.answer("gate", "Gate", token)
        at_b.ended("gate", first["gate"], "Succeeded")
        worker.put(taken)
        worker.succeed(first["jobs"], "Free")
        at_b.ended("jobs", first["jobs"], "Succeeded")
        other = time.monotonic() - begun
        for name in ("slow", "build"):
            at_b.ended(name, first[name], "Succeeded")
        print(f"after a kill: answered after {other:.1f} s, all over after {time.monotonic() - begun:.1f} s", flush=True)
        each_once(at_b, "gate", first["gate"], ["Fetch", "Ok", "Done"])
        each_once(at_b, "jobs", first["jobs"], ["Fetch", "Taken", "Free", "Done"])
        each_once(at_b, "slow", first["slow"], ["Fetch", "Long", "Done"])
        each_once(at_b, "build", first["build"], ["Fetch", "Make", "Put"])
        os.environ["AWS_ENDPOINT_URL"] = b.url
        counted_once(counter, all_builds())
        body = b.api("s3").get_object(Bucket="site", Key=f"b/{first['build']}/a.bin")["Body"].read()
        equal(body, b"a", "what was deployed")
        nothing_is_left()

        # It comes back as a node like any other.
        a.start()
        second = at_b.api.start_pipeline_execution(name="build")["pipelineExecutionId"]
        third = at_a.api.start_pipeline_execution(name="gate")["pipelineExecutionId"]
        wait("another build to begin", lambda: counter.read_text().count("begin") == 2)
        # What leaves in peace is nobody's as soon as it is gone, and goes on elsewhere without a lease to wait for.
        code, _ = b.terminate()
        equal(code, 0, "exit code")
        equal((query("SELECT count(*) FROM nodes"), documents("codebuild.node")), ("1", 1), "nodes that are left")
        begun = time.monotonic()
        at_a.ended("build", second, "Succeeded")
        print(f"after SIGTERM: over after {time.monotonic() - begun:.1f} s", flush=True)
        at_a.answer("gate", "Gate", at_a.token("gate", "Gate"))
        at_a.ended("gate", third, "Succeeded")
        os.environ["AWS_ENDPOINT_URL"] = a.url
        counted_once(counter, all_builds())
        nothing_is_left()
        # And the one that was killed finds its temporary files gone.
        equal(len(list((a.data / "scratch").iterdir())), 1, "scratch directories: one, of the living")


def a_node_that_was_only_slow():
    """A node that stands still for longer than its lease has lost its work when it goes on, and does none of it again."""
    with two() as (a, b, directory):
        at_a, at_b = a.runs(), b.runs()
        arn, counter = prepare(directory, "2", {"a.bin": b"a"})
        fetch = stage("Source", rehearsal("Fetch", "Source"))
        make_type(at_a.api)
        create = lambda *stages: at_a.api.create_pipeline(pipeline=pipeline(*stages))
        create("jobs", arn, fetch, stage("Work", job_action("Free")), stage("End", rehearsal("Done")))
        create("slow", arn, fetch, stage("Work", rehearsal("Long", Seconds="3")), stage("End", rehearsal("Done")))
        create("build", arn, stage("Source", s3_source()), build_stage(), put("Put", "b", "built"))
        actions = {"jobs": ["Fetch", "Free", "Done"], "slow": ["Fetch", "Long", "Done"], "build": ["Fetch", "Make", "Put"]}
        first = {name: at_a.first(name) for name in actions}
        wait("the build to begin", lambda: "begin" in counter.read_text())
        a.process.send_signal(signal.SIGSTOP)
        os.environ["AWS_ENDPOINT_URL"] = b.url
        worker = Worker(api=at_b.api)
        worker.succeed(first["jobs"], "Free")
        for name in actions:
            at_b.ended(name, first[name], "Succeeded")
        nothing_is_left()
        a.process.send_signal(signal.SIGCONT)
        # It answers as if nothing had been, and what it still knew of its old work comes to nothing.
        for name in actions:
            equal(at_a.status(name, first[name]), "Succeeded", name)
        second = {name: at_a.api.start_pipeline_execution(name=name)["pipelineExecutionId"] for name in actions}
        worker.succeed(second["jobs"], "Free")
        for name in actions:
            at_a.ended(name, second[name], "Succeeded")
            for id in (first[name], second[name]):
                each_once(at_b, name, id, actions[name])
        equal(len(all_builds()), 2, "builds")
        counted_once(counter, all_builds())
        nothing_is_left()


class Crowd:
    """Users and a job worker who repeat whatever was not answered, at a node that answers."""

    def __init__(self, names, rng):
        self.names = names
        self.rng = rng
        self.started = {name: [] for name in names}
        self.asked = {}
        self.jobs = collections.Counter()

    def start(self, node, name):
        # A token makes a repeated start the same start, on whichever node.
        token = self.asked.setdefault(name, f"token-{uuid.UUID(int=self.rng.getrandbits(128))}")
        id = node.api().start_pipeline_execution(name=name, clientRequestToken=token)["pipelineExecutionId"]
        del self.asked[name]
        holds(id not in self.started[name], "another token is another execution")
        self.started[name].append(id)

    def approve(self, node):
        runs = node.runs()
        latest = runs.action_latest("gates", "Gate", "Ok")
        if "token" in latest:
            answered(runs, "gates", "Gate", latest["token"])

    def work(self, node):
        """Whoever takes a job here keeps it until its result is taken: the node that is asked is not the one that dies."""
        worker = Worker(api=node.api())
        worker.take_all()
        for (execution, name), jobs in worker.held.items():
            for job in jobs:
                self.jobs[execution, name] += 1
                worker.put(job)

    def open(self, node):
        runs = node.runs()
        left = [(name, id) for name in self.names for id in self.started[name] if runs.status(name, id) != "Succeeded"]
        for name, id in left:
            status = runs.status(name, id)
            holds(status in ("InProgress", "Succeeded"), f"{name} {id} is {status}: {runs.told(name, id)}")
        return left


def random_kills():
    seed = int(os.environ.get("TOWPATH_TEST_SEED") or random.SystemRandom().getrandbits(32))
    print(f"TOWPATH_TEST_SEED={seed}", flush=True)
    rng = random.Random(seed)
    payload = {f"{n:02}.bin": rng.randbytes(5_000) for n in range(4)}
    with two() as (a, b, directory):
        arn, counter = prepare(directory, "0.5", payload)
        fetch = stage("Source", s3_source())
        at_a = a.runs()
        make_type(at_a.api)
        queued = {"executionMode": "QUEUED"}
        for name, *stages in (("builds", fetch, build_stage(), put("Put", "builds", "built")),
                              ("gates", fetch, stage("Gate", approval()), put("Put", "gates", "src")),
                              ("jobs", fetch, stage("Work", job_action("Left"), job_action("Right"))),
                              ("rehearsed", fetch, stage("Work", rehearsal("Long", Seconds="0.5"), rehearsal("After", order=2)))):
            at_a.api.create_pipeline(pipeline=pipeline(name, arn, *stages, **queued))
        crowd = Crowd(("builds", "gates", "jobs", "rehearsed"), rng)
        for name in crowd.names:
            crowd.started[name].append(at_a.first(name))

        cuts = 0
        for _ in range(KILLS):
            victim, other = rng.sample([a, b], 2)
            killer = threading.Timer(rng.uniform(0.3, 2), victim.kill)
            killer.start()
            wanted = [name for name in crowd.names for _ in range(3)]
            rng.shuffle(wanted)
            while killer.is_alive() or wanted:
                try:
                    if wanted:
                        crowd.start(rng.choice([victim, other]), wanted[-1])
                        wanted.pop()
                    crowd.approve(rng.choice([victim, other]))
                    crowd.work(other)
                except CUT:
                    cuts += 1
                    killer.join()
            killer.join()
            victim.start()

        def settled():
            node = rng.choice([a, b])
            crowd.approve(node)
            crowd.work(node)
            return not crowd.open(rng.choice([a, b]))

        wait("every execution to end", settled)
        runs = b.runs()
        for name, actions in (("builds", ["Fetch", "Make", "Put"]), ("gates", ["Fetch", "Ok", "Put"]),
                              ("jobs", ["Fetch", "Left", "Right"]), ("rehearsed", ["After", "Fetch", "Long"])):
            rows = runs.api.get_paginator("list_pipeline_executions").paginate(pipelineName=name)
            rows = rows.search("pipelineExecutionSummaries[]")
            equal(sorted((r["pipelineExecutionId"], r["status"]) for r in rows),
                  sorted((id, "Succeeded") for id in crowd.started[name]), f"executions of {name}: none more, none less")
            for id in crowd.started[name]:
                each_once(runs, name, id, actions)
        equal(crowd.jobs, collections.Counter((id, name) for id in crowd.started["jobs"] for name in ("Left", "Right")),
              "each job was given out once")
        s3 = b.api("s3")
        for name in ("builds", "gates"):
            for id in crowd.started[name]:
                for file, content in payload.items():
                    body = s3.get_object(Bucket="site", Key=f"{name}/{id}/{file}")["Body"].read()
                    holds(body == content, f"{name}/{id}/{file} is not what was deployed")
        builds = all_builds()
        equal(len(builds), len(crowd.started["builds"]), "one build for each execution")
        counted_once(counter, builds)
        nothing_is_left()
        told = {name: len(ids) for name, ids in crowd.started.items()}
        print(f"{KILLS} kills, {cuts} requests cut; executions {told}; {len(builds)} builds and {len(crowd.jobs)} jobs, each once", flush=True)


if __name__ == "__main__":
    main([one_state, takeover, a_node_that_was_only_slow, random_kills])
