"""The `towpath` command as a client: every step is one command against a server, as a person or a script would type it.
What the server then holds is asked of it with boto3."""

import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import fcntl
import termios
import time

from harness import (
    PATIENCE_SECONDS,
    Pipelines,
    action,
    allow,
    approval,
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

TOWPATH = os.environ["TOWPATH_TEST_BINARY"]
# Listing the scenarios needs no server, and so no directory.
DIRECTORY = pathlib.Path(os.environ.get("TOWPATH_TEST_DIRECTORY", "."))
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


def environment(**changes):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TOWPATH_")}
    for key, value in changes.items():
        clean.pop(key, None)
        if value is not None:
            clean[key] = value
    return clean


def run(*words, code=0, cwd=None, **changes):
    """The command's output; its exit code must be this."""
    done = subprocess.run(
        [TOWPATH, *words], capture_output=True, text=True, timeout=PATIENCE_SECONDS, cwd=cwd, env=environment(**changes)
    )
    if done.returncode != code:
        raise AssertionError(f"towpath {' '.join(words)}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def document(*words, code=0):
    return json.loads(run(*words, "--format", "json", code=code))


def lines(*words, code=0):
    return [json.loads(line) for line in run(*words, "--format", "json", code=code).splitlines()]


def surroundings():
    bucket("artifacts")
    source({"page.txt": b"hello"})
    return role()


def made(name, *stages, **more):
    arn = "arn:aws:iam::123456789012:role/pipeline"
    client("codepipeline").create_pipeline(pipeline=pipeline(name, arn, *stages, **more))


BUILDSPEC = "version: 0.2\nphases:\n  build:\n    commands:\n      - echo line-one\n      - echo line-two\n"


def life():
    """A pipeline's whole life through the command: started, watched, approved, failed, retried, rolled back, stopped."""
    surroundings()
    client("codebuild").create_project(
        name="compile",
        source={"type": "CODEPIPELINE", "buildspec": BUILDSPEC},
        artifacts={"type": "CODEPIPELINE"},
        environment={
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
        },
        serviceRole=role("build", ("logs:*", "s3:*"), "codebuild.amazonaws.com"),
    )
    made(
        "demo",
        stage("Source", s3_source()),
        stage("Build", action("Compile", "Build", "CodeBuild", {"ProjectName": "compile"}, inputs=["src"])),
        stage("Gate", approval("Review", {"CustomData": "Ship it?"})),
        stage("Deploy", rehearsal("Release", "Deploy", inputs=["src"])),
    )
    pipelines = Pipelines()
    first = pipelines.first("demo")

    # Watching without a terminal ends where only a person can go on.
    told = run("status", "demo", "--watch", code=3)
    holds("Gate/Review needs approval" in told, told)
    holds(told.rstrip().endswith("to approve: towpath approve demo Gate/Review"), told)
    board = run("status", "demo")
    holds("? Review" in board and "note: Ship it?" in board and "to reject: towpath reject demo Gate/Review" in board, board)
    holds(re.search(r"^demo +\? Needs approval Gate/Review ", run("list"), re.M), run("list"))

    # The build's log, and only that, where one action is asked for.
    log = run("logs", "demo", "--action", "Build/Compile")
    holds("line-one\n" in log and "line-two\n" in log and "Source/Fetch" not in log, log)
    whole = run("logs", "demo")
    holds("✓ Source/Fetch Succeeded" in whole and "── Build/Compile ──" in whole and "line-one\n" in whole, whole)
    messages = [line["message"] for line in lines("logs", "demo", "--action", "Compile")]
    holds("line-one" in messages, messages)

    matches(run("approve", "demo", "--summary", "fine"), f"Approved Gate/Review of demo, execution {first}\\.\n")
    equal(pipelines.ended("demo", first), "Succeeded")
    run("status", "demo", "--watch")
    equal(pipelines.action_latest("demo", "Gate", "Review")["summary"], "fine")

    # Started, followed to a rejection by another hand.
    second = document("start", "demo")["pipelineExecutionId"]
    wait("the approval", lambda: pipelines.token("demo", "Gate", "Review"))
    run("reject", "demo", "Gate/Review", "--summary", "too late")
    run("status", "demo", "--watch", "--execution", second[:8], code=1)
    history = run("history", "demo", "--execution", second)
    holds("✗ Gate/Review" in history and "too late" in history, history)
    equal(
        [row["status"] for row in document("history", "demo")["pipelineExecutionSummaries"]],
        ["Failed", "Succeeded"],
    )

    # Retried (the stage that failed is found), approved with --watch.
    matches(run("retry", "demo"), f"Retried Gate of demo, execution {second}\\.\n")
    wait("the approval", lambda: pipelines.token("demo", "Gate", "Review"))
    events = lines("approve", "demo", "Review", "--watch")
    equal((events[-1]["type"], events[-1]["state"], events[-1]["executionId"]), ("end", "SUCCEEDED", second))

    # Rolled back: to the last other execution that succeeded there.
    rolled = document("rollback", "demo", "Deploy")
    equal((rolled["targetPipelineExecutionId"], rolled["stageName"]), (first, "Deploy"))
    equal(pipelines.ended("demo", rolled["pipelineExecutionId"]), "Succeeded")
    # What a rollback went back to is what the stage has; the other one is next.
    equal(document("rollback", "demo", "Deploy", "--to", second[:9])["targetPipelineExecutionId"], second)


def transitions_and_stops():
    surroundings()
    made("frozen", stage("Source", s3_source()), stage("Deploy", rehearsal("Release", "Deploy", inputs=["src"])))
    pipelines = Pipelines()
    pipelines.ended("frozen", pipelines.first("frozen"))
    equal(
        run("disable", "frozen", "Deploy", "--reason", "freeze until Monday"),
        "Disabled the transition into Deploy of frozen.\n",
    )
    held = run("start", "frozen", "--watch", code=3)
    holds(held.rstrip().endswith("the transition into Deploy is disabled; to enable it: towpath enable frozen Deploy"), held)
    board = run("status", "frozen")
    holds("⊘ the transition into Deploy is disabled: freeze until Monday by root" in board, board)
    holds("… waiting to enter Deploy: " in board, board)
    holds("no stage `Deplyo`" in run("enable", "frozen", "Deplyo", code=2), "a wrong stage is told")
    equal(document("enable", "frozen", "Deploy")["enabled"], True)
    run("status", "frozen", "--watch")

    made("slow", stage("Source", s3_source()), stage("Gate", approval("Ok")))
    first = pipelines.first("slow")
    wait("the approval", lambda: pipelines.token("slow", "Gate"))
    stopped = document("stop", "slow", "--abandon", "--reason", "wrong branch")
    equal((stopped["pipelineExecutionId"], stopped["abandon"]), (first, True))
    equal(pipelines.ended("slow", first), "Stopped")
    holds("wrong branch" in run("history", "slow"), "the reason is shown")
    holds("no execution of `slow` runs" in run("stop", "slow", code=2), "nothing is left to stop")
    holds("nothing of `slow` waits for approval" in run("approve", "slow", code=2), "nothing is left to approve")


def parallel():
    """In PARALLEL mode every execution has its own board and its own approval."""
    surroundings()
    made("fan", stage("Source", s3_source()), stage("Gate", approval()), executionMode="PARALLEL", pipelineType="V2")
    pipelines = Pipelines()
    first = pipelines.first("fan")
    second = document("start", "fan")["pipelineExecutionId"]
    wait("both gates", lambda: run("status", "fan").count("? Ok") == 2 or None)
    refusal = run("approve", "fan", code=2)
    holds("2 executions of `fan` wait at Gate/Ok" in refusal and first in refusal and second in refusal, refusal)
    matches(run("approve", "fan", "--execution", first[:8]), f"Approved Gate/Ok of fan, execution {first}\\.\n")
    equal(pipelines.ended("fan", first), "Succeeded")
    matches(run("reject", "fan"), f"Rejected Gate/Ok of fan, execution {second}\\.\n")
    equal(pipelines.ended("fan", second), "Failed")


def trust_of(principal):
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def connections():
    """Whose credentials, which endpoint: options, the environment, AWS's files, the server's own key."""
    key = pathlib.Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    url = os.environ["AWS_ENDPOINT_URL"]
    empty = DIRECTORY / "empty"
    empty.mkdir()
    nothing = {"AWS_SHARED_CREDENTIALS_FILE": None, "AWS_ENDPOINT_URL": None, "HOME": str(empty)}
    none = "There are no pipelines in us-east-1."

    # The key that the server wrote, by its data directory, and by the directory the server was started in.
    holds(none in run("list", "--endpoint-url", url, "--data-dir", str(key.parent), **nothing), "--data-dir")
    (empty / ".towpath").mkdir()
    shutil.copy(key, empty / ".towpath" / "credentials")
    holds(none in run("list", "--endpoint-url", url, cwd=empty, **nothing), "the key of this directory")
    shutil.rmtree(empty / ".towpath")

    # The environment, and profiles of AWS's files: keys, a process, a role; endpoint and Region of a profile.
    made_key = client("sts").get_caller_identity()
    equal(made_key["Account"], "123456789012")
    text = key.read_text()
    access, secret = (re.search(rf"{name} *= *(\S+)", text)[1] for name in ("aws_access_key_id", "aws_secret_access_key"))
    holds(none in run("list", AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret, AWS_SHARED_CREDENTIALS_FILE=None), "env")
    # A role is assumed by a user; AWS does not let the root user.
    iam = client("iam")
    iam.create_user(UserName="ann")
    role("reader", ("codepipeline:ListPipelines",))
    iam.update_assume_role_policy(RoleName="reader", PolicyDocument=trust_of("arn:aws:iam::123456789012:user/ann"))
    iam.put_user_policy(UserName="ann", PolicyName="assume", PolicyDocument=allow("sts:AssumeRole"))
    ann = iam.create_access_key(UserName="ann")["AccessKey"]
    printed = json.dumps({"Version": 1, "AccessKeyId": access, "SecretAccessKey": secret})
    config = empty / "config"
    config.write_text(
        f"[profile keys]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\nendpoint_url = {url}\n"
        f"region = eu-west-1\n[profile process]\ncredential_process = echo '{printed}'\nendpoint_url = {url}\n"
        f"[profile ann]\naws_access_key_id = {ann['AccessKeyId']}\naws_secret_access_key = {ann['SecretAccessKey']}\n"
        f"[profile reader]\nrole_arn = arn:aws:iam::123456789012:role/reader\nsource_profile = ann\nendpoint_url = {url}\n"
        "[profile sso]\nsso_session = mine\n"
    )
    files = {**nothing, "AWS_CONFIG_FILE": str(config), "AWS_DEFAULT_REGION": None}
    holds("no pipelines in eu-west-1" in run("list", "--profile", "keys", **files), "a profile's keys, endpoint and Region")
    holds(none in run("list", AWS_PROFILE="process", **files), "a profile's process")
    holds(none in run("list", "--profile", "reader", **files), "a profile's role")
    refused = run("start", "demo", "--profile", "reader", code=1, **files)
    holds("AccessDeniedException: " in refused and "assumed-role/reader/towpath" in refused, refused)
    refused = run("list", "--profile", "sso", code=2, **files)
    holds("aws configure export-credentials --profile sso" in refused, refused)

    # What cannot work is said with a way out.
    refused = run("list", "--endpoint-url", url, code=2, cwd=empty, **nothing)
    holds("there are no credentials to sign with" in refused and "hint: name the server's data directory" in refused, refused)
    refused = run("list", code=1, AWS_ACCESS_KEY_ID="AKIDNOBODY", AWS_SECRET_ACCESS_KEY="x", AWS_SHARED_CREDENTIALS_FILE=None)
    holds("UnrecognizedClientException" in refused and "does not know this key" in refused, refused)
    refused = run("list", "--endpoint-url", "http://127.0.0.1:1", code=1)
    holds("Connection refused" in refused and "towpath serve" in refused, refused)
    refused = run("list", "--endpoint-url", "127.0.0.1", code=2)
    holds("begins with neither http:// nor https://" in refused, refused)


def on_a_terminal():
    """The live board is redrawn in place, fits the terminal, goes on over a gate, and leaves the cursor as it was."""
    surroundings()
    made("demo", stage("Source", s3_source()), stage("Gate", approval("Review")))
    pipelines = Pipelines()
    first = pipelines.first("demo")
    wait("the approval", lambda: pipelines.token("demo", "Gate", "Review"))
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    watching = subprocess.Popen(
        [TOWPATH, "status", "demo", "--watch"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(TERM="xterm-256color", NO_COLOR="1"),
    )
    os.close(follower)
    shown = b""
    answered = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if not select.select([leader], [], [], 1)[0]:
            continue
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
        if not answered and "Needs approval".encode() in shown:
            answered = True
            run("approve", "demo")
    equal(watching.wait(PATIENCE_SECONDS), 0, "the exit code")
    os.close(leader)
    text = shown.decode()
    holds(answered, "the gate was shown")
    holds("\x1b[?25l" in text and text.rstrip().endswith("\x1b[?25h"), "the cursor is hidden and comes back")
    holds("\x1b[3" not in text.replace("\x1b[3A", ""), "NO_COLOR is kept")
    last = text.split("\x1b[?2026h")[-1]
    rows = [re.sub(r"\x1b\[[0-9?]*[A-Za-z]", "", row).rstrip("\r") for row in last.split("\n")]
    holds(any(row.startswith("✓ Gate") for row in rows), rows)
    holds(all(len(row) <= 60 for row in rows), rows)
    equal(pipelines.status("demo", first), "Succeeded")


def interrupted():
    """Ctrl-C ends the watching, not the execution."""
    surroundings()
    made("demo", stage("Source", s3_source()), stage("Build", rehearsal("Slow", outcome="hang")))
    pipelines = Pipelines()
    first = pipelines.first("demo")
    watching = subprocess.Popen(
        [TOWPATH, "status", "demo", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    seen = watching.stdout.readline()
    holds(f"execution {first} started" in seen, seen)
    watching.send_signal(signal.SIGINT)
    _, told = watching.communicate(timeout=PATIENCE_SECONDS)
    equal((watching.returncode, told), (130, "Watching ended; the execution goes on.\n"))
    equal(pipelines.status("demo", first), "InProgress")


def shells():
    """Completion scripts are what the shells take."""
    for shell in ("bash", "zsh", "fish", "powershell", "elvish"):
        script = run("completions", shell)
        holds("rollback" in script and "endpoint-url" in script, shell)
    bash = shutil.which("bash")
    if bash:
        script = DIRECTORY / "towpath.bash"
        script.write_text(run("completions", "bash"))
        ask = f". {script}; COMP_WORDS=(towpath ro); COMP_CWORD=1; _towpath towpath ro towpath; echo ${{COMPREPLY[*]}}"
        done = subprocess.run([bash, "--norc", "-c", ask], capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        equal(done.stdout.strip(), "rollback", done.stderr)


if __name__ == "__main__":
    main([life, transitions_and_stops, parallel, connections, on_a_terminal, interrupted, shells])
