"""What a machine can do to a server: data of a newer version, a full disk. Each has its message, and nothing is lost."""

import contextlib
import os
import pathlib
import re
import sqlite3
import subprocess
import tempfile

import botocore.exceptions

from harness import (
    Pipelines,
    Server,
    approval,
    bucket,
    client,
    equal,
    holds,
    main,
    pipeline,
    rehearsal,
    role,
    stage,
    status_of,
    trust,
    wait,
)

CONFIG = '[rehearsal]\nenabled = true\n[sandbox]\nkind = "host"\n'


def serve(data):
    """A start that is expected to fail: exit code, stdout, stderr."""
    command = [os.environ["TOWPATH_TEST_BINARY"], "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def gated(name, arn):
    return pipeline(name, arn, stage("Source", rehearsal("Fetch", "Source")), stage("Gate", approval()))


def newer_data_directory():
    with tempfile.TemporaryDirectory() as directory, Server(directory, CONFIG) as server:
        runs = Pipelines()
        runs.api.create_pipeline(pipeline=gated("p", role()))
        first = runs.first("p")
        token = runs.token("p", "Gate")
        server.terminate()

        def version(change=None):
            with contextlib.closing(sqlite3.connect(server.data / "state.db")) as database:
                if change is not None:
                    database.execute(f"PRAGMA user_version = {change}")
                return database.execute("PRAGMA user_version").fetchone()[0]

        ours = version()
        version(ours + 7)
        code, out, err = serve(server.data)
        equal((code, out), (1, ""), "no ready line")
        holds(f"error: cannot open the data directory `{server.data}`" in err, err)
        holds(str(ours + 7) in err and "newer" in err, f"it says which version: {err}")
        holds("hint: use the newer towpath that wrote it, or another --data-dir" in err, err)
        equal(version(), ours + 7, "the directory is as it was")
        version(ours)
        server.start()
        runs.answer("p", "Gate", token)
        runs.ended("p", first, "Succeeded")


@contextlib.contextmanager
def small_disk(megabytes):
    """A file system of its own, or None where this user may not mount one."""
    with tempfile.TemporaryDirectory() as directory:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", directory],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            yield None, mounted.stderr.strip()
            return
        try:
            yield pathlib.Path(directory), None
        finally:
            subprocess.run(["umount", "--lazy", directory], check=True)


def fill(file):
    """Writes until nothing fits any more."""
    with open(file, "wb", buffering=0) as ballast:
        block = b"\0" * 65536
        while block:
            try:
                ballast.write(block)
            except OSError:
                block = block[: len(block) // 2]


def full_disk():
    with small_disk(24) as (disk, why):
        if disk is None:
            print(f"SKIPPED full_disk: a small file system cannot be mounted here: {why}")
            return
        with Server(disk, CONFIG) as server:
            ballast = disk / "ballast"
            runs = Pipelines(client("codepipeline", retries={"max_attempts": 0, "mode": "standard"}))
            s3 = client("s3", retries={"max_attempts": 0, "mode": "standard"})
            runs.api.create_pipeline(pipeline=gated("p", role()))
            first = runs.first("p")
            token = runs.token("p", "Gate")
            bucket("files")
            s3.put_object(Bucket="files", Key="kept", Body=b"kept")

            fill(ballast)
            answer = failure(s3.put_object, Bucket="files", Key="big", Body=b"x" * 3_000_000)
            equal((answer["Error"]["Code"], status_of(answer)), ("InternalError", 507), "code of S3")
            holds(re.fullmatch("No space left on the disk that holds .*: nothing was stored and nothing is lost. Free some space "
                               "there and repeat the request.", answer["Error"]["Message"]), answer["Error"])
            # The store may still have pages of its own to write into; then it must not lie.
            taken = []
            refusals = []
            for _ in range(300):
                try:
                    taken.append(runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"])
                except botocore.exceptions.ClientError as error:
                    refusals.append(error.response)
                    break
            holds(refusals, "300 executions were started on a full disk")
            full = "No space left on the disk that holds the server's data: nothing was written and nothing is lost. Free some " \
                   "space there and repeat the request."
            equal((refusals[0]["Error"]["Code"], refusals[0]["Error"]["Message"], status_of(refusals[0])),
                  ("InternalFailure", full, 507), "a command on a full disk")
            for code, call, arguments in (
                ("InternalFailure", client("iam").create_role, {"RoleName": "x", "AssumeRolePolicyDocument": trust()}),
                ("InternalFailure", client("logs").create_log_group, {"logGroupName": "x"}),
            ):
                equal((failure(call, **arguments)["Error"]["Code"], failure(call, **arguments)["Error"]["Message"]), (code, full), code)
            equal(runs.api.get_pipeline(name="p")["pipeline"]["version"], 1, "reading goes on")
            holds(f"no space left for `{server.data}/state.db`" in server.told(), f"the log says where: {server.told()}")

            ballast.unlink()
            more = wait("the server to go on by itself", lambda: started(runs))
            s3.put_object(Bucket="files", Key="big", Body=b"x" * 1_000_000)
            server.kill()
            fill(ballast)
            # A start may find room for what it must write; where it does not, it says so and ends.
            try:
                server.start()
                server.kill()
                print("a start on a full disk: it serves")
            except AssertionError:
                print("a start on a full disk:", server.told().strip().splitlines()[-3:])
                holds("hint: free some space and start again; nothing was lost" in server.told(), server.told())
            ballast.unlink()
            server.start()
            # Nothing acknowledged is lost.
            equal(s3.get_object(Bucket="files", Key="kept")["Body"].read(), b"kept", "an object from before")
            equal(s3.head_object(Bucket="files", Key="big")["ContentLength"], 1_000_000, "an object from after")
            pages = runs.api.get_paginator("list_pipeline_executions").paginate(pipelineName="p")
            known = {row["pipelineExecutionId"] for row in pages.search("pipelineExecutionSummaries[]")}
            equal(sorted({first, more, *taken} - known), [], "every acknowledged execution is there")
            runs.answer("p", "Gate", token)
            runs.ended("p", first, "Succeeded")


def failure(call, **arguments):
    try:
        answer = call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response
    raise AssertionError(f"it worked: {answer}")


def started(runs):
    try:
        return runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    except botocore.exceptions.ClientError:
        return None


if __name__ == "__main__":
    main([newer_data_directory, full_disk])
