"""Every constraint of CodePipeline's model, broken one at a time and all at once; each value at its very limit is taken.

The cases are generated from botocore's service model for all operations, deep members included, and so are the expected codes
and texts (shapes.py). The requests are raw and signed, over one connection: an SDK would refuse most of them by itself.
"""

import copy
import json
import re

import botocore.session

from harness import Wire, equal, holds, main, matches
from shapes import broken, is_scalar, limit, members, pattern, violations

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Entries that one error text spells out; all are counted (docs/deviations.md).
SPELLED_OUT = 100
MODEL = botocore.session.get_session().get_service_model("codepipeline")

# One valid text per pattern, and what to lengthen it with.
SAMPLES = [
    "a", "1", "aa", "aaa", "AWS", "*", "123456789012",
    "00000000-0000-4000-8000-000000000000",
    "arn:aws:iam::123456789012:role/r",
    "arn:aws:lambda:us-east-1:123456789012:function:f",
    "arn:aws:codepipeline:us-east-1:123456789012:nobody",
]


# Valid requests


def sample(shape):
    """A value with every member, that breaks nothing."""
    if shape.type_name == "structure":
        return {name: sample(member) for name, member in members(shape).items()}
    if shape.type_name == "list":
        return [sample(shape.member) for _ in range(max(1, limit(shape, "min") or 0))]
    if shape.type_name == "map":
        return {sample(shape.key): sample(shape.value)}
    if shape.type_name == "string":
        if getattr(shape, "enum", None):
            return shape.enum[0]
        found = next((text for text in SAMPLES if not broken(text, shape)), None)
        holds(found is not None, f"no sample for {shape.name} {pattern(shape)}")
        return found
    if shape.type_name in ("integer", "long"):
        return limit(shape, "min") or 1
    return {"boolean": True, "timestamp": 1790862132.194}[shape.type_name]


def of_length(shape, length):
    """A text of that length that breaks nothing else."""
    text = sample(shape)
    return text + text[-1] * (length - len(text)) if length >= len(text) else text[:length]


# Broken ones: (what is done, the value in place of the valid one). NOTHING stands for a member left out.

NOTHING = object()


def spoiled(shape, value):
    """Values that break what the shape itself says; what is below it is spoiled on its own."""
    most, least = limit(shape, "max"), limit(shape, "min")
    kind = shape.type_name
    if kind == "string":
        if most is not None:
            yield "too long", of_length(shape, most + 1)
        if least:
            yield "too short", of_length(shape, least - 1)
        if pattern(shape):
            bad = next((text for text in ("é", "a b/ä", value + "\n", "\n") if not re.fullmatch(pattern(shape), text, re.ASCII)))
            yield "not of the pattern", bad
        if getattr(shape, "enum", None):
            yield "not of the enum", "Nobody"
            yield "of the enum in another case", value.swapcase()
    elif kind in ("integer", "long"):
        if most is not None:
            yield "too great", most + 1
        if least is not None:
            yield "too small", least - 1
    elif kind == "list":
        if most is not None:
            yield "too many", [copy.deepcopy(value[0]) for _ in range(most + 1)]
        if least:
            yield "too few", []
        yield "a null in it", [*value, None]
    elif kind == "map":
        if most is not None:
            keys = [f"{sample(shape.key)}{number}" for number in range(most + 1)]
            yield "too many", {key: copy.deepcopy(next(iter(value.values()))) for key in keys}
        if least:
            yield "too few", {}
        yield "a null in it", dict.fromkeys(value)
        for what, key in spoiled(shape.key, sample(shape.key)):
            yield f"a key {what}", {key: next(iter(value.values()))}


def at_limits(shape, value):
    """Values at the very edge of what is allowed."""
    most, least = limit(shape, "max"), limit(shape, "min")
    kind = shape.type_name
    if kind == "string" and not getattr(shape, "enum", None):
        for length in {most, least} - {None}:
            text = of_length(shape, length)
            if not broken(text, shape):
                yield f"{length} long", text
    elif kind == "string":
        for text in shape.enum:
            yield text, text
    elif kind in ("integer", "long"):
        for number in {most, least, 2**31 - 1 if most is None else most} - {None}:
            yield str(number), number
    elif kind == "list" and most is not None:
        yield f"{most} in it", [copy.deepcopy(value[0]) for _ in range(most)]
        if not least:
            yield "none in it", []


def mistyped(shape):
    """Values of another JSON type, and what the front end says of each."""
    article = "an" if shape.type_name == "integer" else "a"
    wanted = f"{article} {shape.type_name.capitalize()}"
    said = {
        "text": ("x", f"STRING_VALUE can not be converted to {wanted}"),
        "number": (1.5, f"NUMBER_VALUE can not be converted to {wanted}"),
        "true": (True, f"TRUE_VALUE can not be converted to {wanted}"),
        "false": (False, f"FALSE_VALUE can not be converted to {wanted}"),
        "list": (["x"], "Start of list found where not expected"),
        "structure": ({"x": 1}, "Start of structure or map found where not expected."),
    }
    fits = {
        "structure": {"structure"}, "map": {"structure"}, "list": {"list"}, "string": {"text"}, "boolean": {"true", "false"},
        "integer": set(), "timestamp": {"number"},
    }[shape.type_name]
    for what, (value, message) in said.items():
        if what not in fits:
            yield what, value, message
    if shape.type_name == "integer":
        yield "beyond 32 bits", 2**31, f"NUMBER_VALUE can not be converted to {wanted}"


def places(shape, value, path=()):
    """Every value of a request with its shape: the way to it, from the request itself on."""
    yield path, shape, value
    if shape.type_name == "structure":
        for name, member in members(shape).items():
            yield from places(member, value[name], (*path, name))
    elif shape.type_name == "list":
        yield from places(shape.member, value[0], (*path, 0))
    elif shape.type_name == "map":
        key = next(iter(value))
        yield from places(shape.value, value[key], (*path, key))


def replaced(body, path, value):
    if not path:
        return value
    body = copy.deepcopy(body)
    inside = body
    for step in path[:-1]:
        inside = inside[step]
    if value is NOTHING:
        del inside[path[-1]]
    else:
        inside[path[-1]] = value
    return body


# What is expected


def validation(entries):
    noun = "error" if len(entries) == 1 else "errors"
    return f"{len(entries)} validation {noun} detected: "


def operations():
    for name in sorted(MODEL.operation_names):
        shape = MODEL.operation_model(name).input_shape
        if shape is not None:
            yield name, shape, sample(shape)


def check_refusal(wire, operation, what, body, code, message):
    status, headers, answer = wire.post(operation, json.dumps(body).encode())
    told = json.loads(answer or b"{}")
    where = f"{operation}, {what}: {json.dumps(body)[:300]}"
    equal((status, told.get("__type")), (400, code), f"{where}\n  {told.get('message')}\n  code")
    equal(sorted(told), ["__type", "message"], f"{where}: members")
    equal(headers["x-amzn-errortype"], code, f"{where}: header")
    matches(headers["x-amzn-requestid"], UUID, f"{where}: request id")
    if message is not None:
        equal(told["message"], message, f"{where}: message")
    return told["message"]


def check_violations(wire, operation, what, body, shape):
    entries = list(violations(body, shape))
    holds(entries, f"{operation}, {what}: the case breaks nothing")
    message = check_refusal(wire, operation, what, body, "ValidationException", None)
    start = validation(entries)
    holds(message.startswith(start), f"{operation}, {what}: {message!r} does not start with {start!r}")
    got = message.removeprefix(start).split("; ")
    if len(entries) <= SPELLED_OUT:
        equal(sorted(got), sorted(entries), f"{operation}, {what}: entries")
    else:
        equal(len(got), SPELLED_OUT, f"{operation}, {what}: entries that are spelled out")
        equal(set(got) - set(entries), set(), f"{operation}, {what}: entries")


def check_taken(wire, operation, what, body, shape):
    """The model has nothing against it, so nothing may be said of the model's constraints, whatever else is wrong."""
    equal(list(violations(body, shape)), [], f"{operation}, {what}: the case itself")
    status, _, answer = wire.post(operation, json.dumps(body).encode())
    told = json.loads(answer or b"{}")
    where = f"{operation}, {what}: {json.dumps(body)[:300]}\n  {status} {told}"
    holds(status in (200, 400), where)
    holds(told.get("__type") not in ("SerializationException", "UnknownOperationException", "InternalFailure"), where)
    holds("validation error" not in told.get("message", ""), where)


# The scenarios


def required_members():
    """Each left out, and each null; all of them left out at once."""
    wire, count = Wire(), 0
    for operation, shape, body in operations():
        for path, inner, value in places(shape, body):
            if inner.type_name != "structure":
                continue
            for name in inner.required_members:
                for what, gone in (("left out", NOTHING), ("null", None)):
                    spoilt = replaced(body, (*path, name), gone)
                    check_violations(wire, operation, f"{'.'.join(map(str, (*path, name)))} {what}", spoilt, shape)
                    count += 1
            if inner.required_members:
                optional_only = {name: item for name, item in value.items() if name not in inner.required_members}
                spoilt = replaced(body, path, optional_only)
                check_violations(wire, operation, f"{path} without all it requires", spoilt, shape)
                count += 1
    holds(count > 500, f"{count} cases are too few")
    print(f"{count} requests without what they need")


def constraints():
    """Each length, range, pattern and enum broken alone."""
    wire, count = Wire(), 0
    for operation, shape, body in operations():
        for path, inner, value in places(shape, body):
            for what, bad in spoiled(inner, value):
                check_violations(wire, operation, f"{'.'.join(map(str, path))} {what}", replaced(body, path, bad), shape)
                count += 1
    holds(count > 900, f"{count} cases are too few")
    print(f"{count} broken constraints")


def all_at_once():
    """Everything that can be broken in one request is counted in one message."""
    wire, most = Wire(), 0
    for operation, shape, body in operations():
        spoilt = body
        for path, inner, value in places(shape, body):
            if is_scalar(inner):
                for _, bad in spoiled(inner, value):
                    spoilt = replaced(spoilt, path, bad)
        entries = list(violations(spoilt, shape))
        if entries:
            check_violations(wire, operation, "all at once", spoilt, shape)
            most = max(most, len(entries))
    holds(most > 50, f"{most} at once are too few")
    print(f"up to {most} violations in one message")


def types():
    """Values of another JSON type end the request at once."""
    wire, count = Wire(), 0
    for operation, shape, body in operations():
        for path, inner, value in places(shape, body):
            for what, bad, message in mistyped(inner):
                spoilt = replaced(body, path, bad)
                where = f"{'.'.join(map(str, path))} as {what}"
                check_refusal(wire, operation, where, spoilt, "SerializationException", message)
                count += 1
        status, _, answer = wire.post(operation, json.dumps(body).encode()[:-2])
        told = json.loads(answer)
        equal((status, told["__type"]), (400, "SerializationException"), f"{operation}: half a body")
        holds(told["message"].startswith("Could not parse request body into json: "), told)
        count += 1
    holds(count > 2000, f"{count} cases are too few")
    print(f"{count} wrong types")


def limits():
    """What is at the limit is within it; null stands for absent; unknown members are ignored."""
    wire, count = Wire(), 0
    for operation, shape, body in operations():
        check_taken(wire, operation, "whole", body, shape)
        strange = replaced(body, ("nobodyKnows",), {"a": [1, None]})
        check_taken(wire, operation, "with an unknown member", strange, shape)
        count += 2
        for path, inner, value in places(shape, body):
            for what, good in at_limits(inner, value):
                check_taken(wire, operation, f"{'.'.join(map(str, path))} {what}", replaced(body, path, good), shape)
                count += 1
            if inner.type_name == "structure":
                for name in set(value) - set(inner.required_members):
                    check_taken(wire, operation, f"{path} {name} null", replaced(body, (*path, name), None), shape)
                    count += 1
    holds(count > 800, f"{count} cases are too few")
    print(f"{count} requests at their limits")


if __name__ == "__main__":
    main([required_members, constraints, all_at_once, types, limits])
