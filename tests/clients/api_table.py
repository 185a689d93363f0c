"""Writes docs/api.md: for each operation of CodePipeline the scenarios that call it and the errors it was seen to answer.

The scenarios write down what they saw where TOWPATH_TEST_RECORD names a directory:

    mkdir seen && TOWPATH_TEST_RECORD=$PWD/seen cargo xtask test && .venv/bin/python tests/clients/api_table.py seen > docs/api.md
"""

import collections
import json
import pathlib
import sys

import botocore.session

HEAD = """# CodePipeline's operations, and the tests that call them

Written by `tests/clients/api_table.py` from what the scenarios in `tests/clients` saw; do not edit. A number is how many scenarios
of a script call the operation with boto3 or a raw request (the AWS CLI, the Rust SDK and `towpath` itself call them too and are not
counted). Every answer was held to the model: members, types, limits, and error codes that the model lists for the operation.
`negative.py` calls all of them with every constraint of the model broken, and is left out below.

| Operation | Scenarios | Errors seen |
|---|---|---|
"""


def main(directory):
    callers = collections.defaultdict(collections.Counter)
    errors = collections.defaultdict(set)
    for file in sorted(pathlib.Path(directory).glob("*.json")):
        script = file.name.split(".")[0]
        seen = [row for row in json.loads(file.read_text()) if row[0] == "codepipeline"]
        for operation in {row[1] for row in seen}:
            if script != "negative":
                callers[operation][script] += 1
        for _, operation, code in seen:
            if code:
                errors[operation].add(code)
    operations = botocore.session.get_session().get_service_model("codepipeline").operation_names
    rows = []
    for operation in sorted(operations):
        scripts = ", ".join(f"{script} {count}" for script, count in sorted(callers[operation].items()))
        codes = ", ".join(f"`{code}`" for code in sorted(errors[operation]))
        rows.append(f"| {operation} | {scripts or 'none'} | {codes or 'none'} |")
    print(HEAD + "\n".join(rows))
    missing = [operation for operation in operations if not callers[operation]]
    if missing:
        sys.exit(f"no scenario calls {', '.join(sorted(missing))}")


if __name__ == "__main__":
    main(sys.argv[1])
