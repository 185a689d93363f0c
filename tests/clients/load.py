"""Two hundred clients at once, reading and writing for a minute: no error that is not AWS's, and no lost write.

Each client remembers what it was told (the versions of its updates, its tags, the executions it started, the approvals it
answered, the transitions it closed) and reads it back as it goes. Half of what it does is to a pipeline of its own, half to one
that it shares with nineteen others. At the end everything is compared with what the server holds; then the server is killed with
-9, started again, and compared once more. TOWPATH_TEST_LOAD_SECONDS is the length, TOWPATH_TEST_SEED repeats its choices.
"""

import collections
import concurrent.futures
import os
import random
import tempfile
import threading
import time
import uuid

import botocore.exceptions

from harness import (
    ACCOUNT, REGION, Server, approval, bucket, client, equal, holds, main, pipeline, rehearsal, role, show, stage, wait,
)

CLIENTS = 200
GROUPS = 10
# boto3's clients may be shared by threads; few of them, each with a connection for every thread that may use it at once.
SDK_CLIENTS = 8
SECONDS = float(os.environ.get("TOWPATH_TEST_LOAD_SECONDS", "60"))
CONFIG = "[rehearsal]\nenabled = true\n"

# What AWS too answers to clients that are at the same pipeline at once. Any other error fails the scenario.
EXPECTED = {
    # Somebody else was faster, or an update or a stop canceled it.
    "PutApprovalResult": {"ApprovalAlreadyCompletedException", "InvalidApprovalTokenException"},
    # It has ended by itself meanwhile.
    "StopPipelineExecution": {"PipelineExecutionNotStoppableException"},
    # 50 executions wait in a QUEUED pipeline, or run in a PARALLEL one.
    "StartPipelineExecution": {"ConcurrentPipelineExecutionsLimitExceededException"},
}


class Told:
    """What the server acknowledged to one client about one pipeline."""

    def __init__(self):
        self.versions = {}
        self.executions = []
        self.stopped = []
        self.answers = {}
        self.tags = {}
        self.transition = None


class Counts:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = collections.Counter()
        self.errors = collections.Counter()

    def follow(self, made):
        def called(http_response, parsed, model, **_):
            with self.lock:
                self.requests[model.name] += 1
                if http_response.status_code >= 300:
                    self.errors[(model.name, http_response.status_code, parsed["Error"]["Code"])] += 1

        made.meta.events.register("after-call.codepipeline.*", called)
        return made


def arn_of(name):
    return f"arn:aws:codepipeline:{REGION}:{ACCOUNT}:{name}"


def declared(name, role_arn, mode, marker):
    """The marker says which update a version came from."""
    gate = [stage("Gate", approval())] if mode != "PARALLEL" else []
    return pipeline(
        name, role_arn, stage("Source", rehearsal("Fetch", "Source")), *gate, stage("Ship", rehearsal("Put", "Deploy")),
        pipelineType="V2", executionMode=mode, variables=[{"name": "Marker", "defaultValue": marker}],
    )


def marker_of(got):
    return got["pipeline"]["variables"][0]["defaultValue"]


class Client:
    def __init__(self, number, api, role_arn, seed):
        self.number, self.api, self.role = number, api, role_arn
        self.rng = random.Random(f"{seed}/{number}")
        self.own = f"own-{number}"
        self.shared, self.shared_mode = group(number)
        self.told = {self.own: Told(), self.shared: Told()}
        self.modes = {self.own: "QUEUED", self.shared: self.shared_mode}

    def call(self, operation, **arguments):
        """The answer, or nothing where AWS too refuses what comes at the same time."""
        try:
            return getattr(self.api, operation)(**arguments)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in EXPECTED.get(error.operation_name, ()):
                return None
            raise

    def run(self, begin, deadline):
        begin.wait()
        marker = f"{self.number}-0"
        made = self.api.create_pipeline(pipeline=declared(self.own, self.role, "QUEUED", marker), tags=[
            {"key": "made-by", "value": str(self.number)}])
        self.told[self.own].versions[made["pipeline"]["version"]] = marker
        self.told[self.own].tags["made-by"] = str(self.number)
        # Everything once, then at random.
        for step in STEPS:
            step(self, self.own)
            step(self, self.shared)
        while time.monotonic() < deadline:
            self.rng.choice(STEPS)(self, self.rng.choice((self.own, self.shared)))

    def update(self, name):
        marker = f"{self.number}-{len(self.told[name].versions) + 1}"
        got = self.call("update_pipeline", pipeline=declared(name, self.role, self.modes[name], marker))
        version = got["pipeline"]["version"]
        known = self.told[name].versions
        holds(all(version > earlier for earlier in known), f"{name}: version {version} after {max(known, default=0)}")
        if name == self.own:
            equal(version, len(known) + 1, f"the version of {name}")
        known[version] = marker

    def tag(self, name):
        key, value = self.rng.choice(self.keys(name)), str(self.rng.random())
        self.call("tag_resource", resourceArn=arn_of(name), tags=[{"key": key, "value": value}])
        self.told[name].tags[key] = value

    def untag(self, name):
        key = self.rng.choice(self.keys(name))
        self.call("untag_resource", resourceArn=arn_of(name), tagKeys=[key])
        self.told[name].tags.pop(key, None)

    def keys(self, name):
        """Keys that nobody else sets; 50 are for all who share a pipeline."""
        return [f"{self.number}-a", f"{self.number}-b"] if name == self.shared else ["a", "b", "c", "d"]

    def start(self, name):
        token = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        got = self.call("start_pipeline_execution", name=name, clientRequestToken=token)
        if got:
            self.told[name].executions.append(got["pipelineExecutionId"])
            again = self.call("start_pipeline_execution", name=name, clientRequestToken=token)
            equal(again["pipelineExecutionId"], got["pipelineExecutionId"], "the same token again")

    def approve(self, name):
        if self.modes[name] == "PARALLEL":
            return
        state = self.call("get_pipeline_state", name=name)["stageStates"][1]["actionStates"][0].get("latestExecution", {})
        if state.get("status") != "InProgress":
            return
        status = self.rng.choice(("Approved", "Approved", "Rejected"))
        summary = f"{self.number} says {status}"
        answered = self.call("put_approval_result", pipelineName=name, stageName="Gate", actionName="Ok", token=state["token"],
                             result={"status": status, "summary": summary})
        if answered:
            holds(state["token"] not in self.told[name].answers, "an approval is answered once")
            self.told[name].answers[state["token"]] = (status, summary)

    def stop(self, name):
        """Only what it started itself: rather what is at the gate than what waits, and not all of it."""
        mine = [found for found in self.told[name].executions if found not in self.told[name].stopped]
        if not mine or self.rng.random() < 0.5:
            return
        at_the_gate = self.call("get_pipeline_state", name=name)["stageStates"][1].get("latestExecution", {})
        execution = at_the_gate.get("pipelineExecutionId")
        execution = execution if execution in mine else self.rng.choice(mine)
        if self.call("stop_pipeline_execution", pipelineName=name, pipelineExecutionId=execution, abandon=True):
            self.told[name].stopped.append(execution)

    def transition(self, name):
        if name == self.shared:
            return
        where = {"pipelineName": name, "stageName": "Ship", "transitionType": "Inbound"}
        if self.told[name].transition:
            self.call("enable_stage_transition", **where)
            self.told[name].transition = None
        else:
            reason = f"closed by {self.number} at {self.rng.random()}"
            self.call("disable_stage_transition", **where, reason=reason)
            self.told[name].transition = reason

    def read_definition(self, name):
        known = self.told[name].versions
        got = self.call("get_pipeline", name=name)
        if name == self.own:
            equal((got["pipeline"]["version"], marker_of(got)), (len(known), known[len(known)]), f"{name} as last updated")
        if known:
            version = self.rng.choice(sorted(known))
            equal(marker_of(self.call("get_pipeline", name=name, version=version)), known[version], f"{name} {version}")

    def read_tags(self, name):
        got = {tag["key"]: tag["value"] for tag in self.call("list_tags_for_resource", resourceArn=arn_of(name))["tags"]}
        wanted = self.told[name].tags
        mine = {*self.keys(name), *wanted}
        equal({key: value for key, value in got.items() if key in mine}, wanted, f"tags of {name} while it is changed")

    def read_execution(self, name):
        started = self.told[name].executions
        if started:
            execution = self.rng.choice(started)
            got = self.call("get_pipeline_execution", pipelineName=name, pipelineExecutionId=execution)
            equal(got["pipelineExecution"]["pipelineExecutionId"], execution, "execution")

    def read_history(self, name):
        listed = self.call("list_pipeline_executions", pipelineName=name, maxResults=20)["pipelineExecutionSummaries"]
        ids = [row["pipelineExecutionId"] for row in listed]
        equal(len(set(ids)), len(ids), "no execution twice on a page")
        rows = self.call("list_action_executions", pipelineName=name, maxResults=20)["actionExecutionDetails"]
        equal(len({row["actionExecutionId"] for row in rows}), len(rows), "no action twice on a page")

    def read_lists(self, name):
        self.call("list_pipelines", maxResults=50)
        self.call("list_action_types", actionOwnerFilter="AWS")


STEPS = [
    Client.update, Client.tag, Client.untag, Client.start, Client.approve, Client.approve, Client.stop, Client.transition,
    Client.read_definition, Client.read_tags, Client.read_execution, Client.read_history, Client.read_lists,
]


def group(number):
    """The shared pipeline of a client, and its mode."""
    chosen = number % GROUPS
    return f"shared-{chosen}", "PARALLEL" if chosen % 2 else "SUPERSEDED"


def two_hundred_clients():
    seed = os.environ.get("TOWPATH_TEST_SEED") or str(random.randrange(2**32))
    print(f"TOWPATH_TEST_SEED={seed}")
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG) as server:
        arn, counts = role(), Counts()
        bucket("artifacts")

        def made():
            return counts.follow(client("codepipeline", config={"max_pool_connections": CLIENTS}))

        apis = [made() for _ in range(SDK_CLIENTS)]
        for number in range(GROUPS):
            name, mode = group(number)
            apis[0].create_pipeline(pipeline=declared(name, arn, mode, "first"))
        clients = [Client(number, apis[number % SDK_CLIENTS], arn, seed) for number in range(CLIENTS)]
        begin = threading.Barrier(CLIENTS)
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(one.run, begin, began + SECONDS) for one in clients]
            failed = [error for done in running if (error := done.exception())]
        took = time.monotonic() - began
        report(counts, took)
        if failed:
            kinds = collections.Counter(f"{type(error).__name__}: {error}"[:600] for error in failed)
            told = "\n".join(f"{number} times {kind}" for kind, number in kinds.most_common(5))
            raise AssertionError(f"{len(failed)} clients failed:\n{told}\nserver: {server.told()}") from failed[0]
        check(clients, apis)
        server.kill()
        server.start()
        check(clients, [made() for _ in range(SDK_CLIENTS)])
        unforeseen = [found for found in counts.errors if found[1] >= 500 or found[2] not in EXPECTED.get(found[0], ())]
        equal(unforeseen, [], "errors that AWS would not answer")
        print(f"{sum(len(t.versions) + len(t.executions) + len(t.answers) for one in clients for t in one.told.values())} "
              "versions, executions and answers were there, before and after the kill")


def report(counts, took):
    total = sum(counts.requests.values())
    print(f"{CLIENTS} clients, {total} requests in {took:.0f} s ({total / took:.0f} per second)")
    for operation, number in counts.requests.most_common():
        print(f"  {operation}: {number}")
    for (operation, status, code), number in sorted(counts.errors.items()):
        print(f"  {status} {code} of {operation}: {number}")


def check(clients, apis):
    """Everything that any client was told, pipeline by pipeline."""
    names = {}
    for one in clients:
        for name, told in one.told.items():
            names.setdefault(name, []).append((one, told))
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        for done in [pool.submit(check_pipeline, apis[number % SDK_CLIENTS], name, told)
                     for number, (name, told) in enumerate(names.items())]:
            done.result()


def check_pipeline(api, name, everybody):
    own = name.startswith("own-")
    # Updates: as many versions as were acknowledged, each with the content of the one it was acknowledged to.
    versions = {} if own else {1: "first"}
    for _, told in everybody:
        equal(set(versions) & set(told.versions), set(), f"{name}: a version acknowledged twice")
        versions.update(told.versions)
    equal(sorted(versions), list(range(1, len(versions) + 1)), f"versions of {name}")
    got = api.get_pipeline(name=name)
    equal((got["pipeline"]["version"], marker_of(got)), (len(versions), versions[len(versions)]), f"{name} at the end")
    for version, marker in versions.items():
        equal(marker_of(api.get_pipeline(name=name, version=version)), marker, f"{name} version {version}")

    tags = {}
    for _, told in everybody:
        tags.update(told.tags)
    got = api.list_tags_for_resource(resourceArn=arn_of(name))["tags"]
    equal({tag["key"]: tag["value"] for tag in got}, tags, f"tags of {name}")

    # Executions: each is in the history, once, and nobody else's are.
    rows = pages(api, "list_pipeline_executions", "pipelineExecutionSummaries", name)
    ids = [row["pipelineExecutionId"] for row in rows]
    equal(len(set(ids)), len(ids), f"{name}: an execution twice")
    started = {execution for _, told in everybody for execution in told.executions}
    equal(sorted(started - set(ids)), [], f"{name}: executions that are lost")
    equal(len(set(ids) - started), 1, f"{name}: besides those started, the one of its creation")
    for _, told in everybody:
        for execution in told.stopped:
            def stopped(execution=execution):
                got = api.get_pipeline_execution(pipelineName=name, pipelineExecutionId=execution)["pipelineExecution"]
                return got["status"] if got["status"] not in ("InProgress", "Stopping") else None
            equal(wait(f"{execution} to stop", stopped), "Stopped", f"{name} {execution} that was stopped")

    # Approvals: each answer is in the history as it was given.
    answers = {}
    for _, told in everybody:
        equal(set(answers) & set(told.answers), set(), f"{name}: an approval taken from two")
        answers.update(told.answers)
    details = pages(api, "list_action_executions", "actionExecutionDetails", name)
    shown = {row["actionExecutionId"]: row for row in details}
    equal(len(shown), len(details), f"{name}: an action twice")
    for token, (status, summary) in answers.items():
        row = shown.get(token) or {}
        got = (row.get("status"), row.get("output", {}).get("executionResult", {}).get("externalExecutionSummary"))
        equal(got, ("Succeeded" if status == "Approved" else "Failed", summary), f"{name}: the answer {show(row)}")

    if own:
        inbound = api.get_pipeline_state(name=name)["stageStates"][2]["inboundTransitionState"]
        reason = everybody[0][1].transition
        equal((inbound["enabled"], inbound.get("disabledReason")), (reason is None, reason), f"transition of {name}")


def pages(api, operation, member, name):
    return [row for page in api.get_paginator(operation).paginate(pipelineName=name) for row in page[member]]


if __name__ == "__main__":
    main([two_hundred_clients])
