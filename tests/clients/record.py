"""Which operations of CodePipeline a scenario called, and what they answered: the lines that docs/api.md is made of.

With TOWPATH_TEST_RECORD=DIR each process adds lines to a file of its own in DIR; without it nothing is written. This only takes
notes: it changes no request and judges no answer.
"""

import json
import os
import pathlib
import sys
import threading

_noted = set()
_lock = threading.Lock()


def note(client, operation, error=None):
    """One call by `client` (boto3, the AWS CLI, or none of them: raw) and its error's code, or none. Repetitions are one line."""
    directory = os.environ.get("TOWPATH_TEST_RECORD")
    if not directory:
        return
    line = json.dumps({
        "operation": operation, "client": client, "file": pathlib.Path(sys.argv[0]).name,
        "scenario": sys.argv[1] if len(sys.argv) > 1 else "", "error": error,
    })
    with _lock:
        if line in _noted:
            return
        _noted.add(line)
        with open(pathlib.Path(directory) / f"python-{os.getpid()}.jsonl", "a", encoding="utf-8") as lines:
            lines.write(line + "\n")


def follow(made):
    """Notes every call of a CodePipeline client of boto3."""

    def called(parsed, model, **_):
        note("boto3", model.name, parsed["Error"]["Code"] if "Error" in parsed else None)

    made.meta.events.register("after-call.codepipeline.*", called)


def raw(target, status, body):
    """Notes a request that was made by hand, by its X-Amz-Target."""
    service, _, operation = (target or "").partition(".")
    if service.startswith("CodePipeline"):
        try:
            code = None if status < 300 else json.loads(body).get("__type")
        except ValueError:
            return
        note("raw", operation, code)
