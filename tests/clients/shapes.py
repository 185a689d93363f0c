"""What botocore's service model says of a value: the constraints a request breaks, in AWS's words, and where an answer departs.

This reads the model by itself and shares nothing with the server: what a scenario expects is computed here, from the model that
AWS publishes with boto3.
"""

import functools
import re
import warnings

# Where the live service is known to differ from its own model (the same rows as in xtask's tables, with their sources).
LIVE = {
    "PipelineVariableList": {"min": 0},
    "ActionConfigurationValue": {"max": 50_000},
}

# The same, where only answers differ.
ANSWERS = {
    # Commands, action and rule, takes up to 10 input artifacts, as its own page says; custom types take 5.
    "MaximumArtifactCount": {"max": 10},
    # AWS's own CloudFormationStackSet, CodeDeployToECS and DeviceFarm have more keys, as their pages say; types of others take 10.
    "ActionConfigurationPropertyList": {"max": 22},
    # AWS's own examples of BatchGetBuilds and its siblings show empty lists of what was not found.
    "BuildIds": {"min": 0}, "ProjectNames": {"min": 0}, "ReportArns": {"min": 0}, "ReportGroupArns": {"min": 0},
}

# Codes that any operation may answer (CommonErrors of each service).
COMMON = {
    "AccessDeniedException", "ExpiredTokenException", "IncompleteSignatureException", "InternalFailure",
    "InvalidSignatureException", "MalformedHttpRequestException", "MissingAuthenticationTokenException",
    "RequestEntityTooLargeException", "RequestTimeoutException", "SerializationException", "ServiceUnavailable",
    "ThrottlingException", "UnknownOperationException", "UnrecognizedClientException", "ValidationException",
}

# Answers that the model does not list for the operation, each with its reason.
UNLISTED = {
    # The model lists no error for a pipeline that is not there; clients see this one.
    ("UpdatePipeline", "PipelineNotFoundException"),
    # A modeled shape that no operation lists; its description is about this operation.
    ("CreateCustomActionType", "ActionTypeAlreadyExistsException"),
    # A connection that Towpath's own configuration holds; AWS has no such connections.
    ("DeleteConnection", "ResourceUnavailableException"),
}

NOT_NULL = "Member must not be null"


def limit(shape, name, answer=False):
    if answer and name in ANSWERS.get(shape.name, {}):
        return ANSWERS[shape.name][name]
    return LIVE.get(shape.name, {}).get(name, shape.metadata.get(name))


def pattern(shape):
    return shape.metadata.get("pattern")


def members(shape):
    """Members by their name on the wire."""
    return {member.serialization.get("name", name): member for name, member in shape.members.items()}


def is_scalar(shape):
    return shape.type_name not in ("structure", "list", "map")


# Requests


def violations(value, shape, path=""):
    """Every constraint that a request breaks, as the entries of a ValidationException."""
    def entry(constraint, at=path):
        return f"Value at '{at}' failed to satisfy constraint: {constraint}"

    if shape.type_name == "structure":
        known = members(shape)
        for name, member in known.items():
            below = f"{path}." if path else ""
            below += name[0].lower() + name[1:]
            if value.get(name) is not None:
                yield from violations(value[name], member, below)
            elif name in shape.required_members:
                yield entry(NOT_NULL, below)
    elif shape.type_name == "list":
        if is_scalar(shape.member):
            if any(item is None or broken(item, shape.member) for item in value):
                yield entry(f"Member must satisfy constraint: [{everything(shape.member, None in value)}]")
        else:
            for position, item in enumerate(value, 1):
                below = f"{path}.{position}.member"
                if item is None:
                    yield entry(NOT_NULL, below)
                else:
                    yield from violations(item, shape.member, below)
        yield from map(entry, out_of_bounds(len(value), shape, "length"))
    elif shape.type_name == "map":
        if is_scalar(shape.value):
            if any(item is None or broken(item, shape.value) for item in value.values()):
                held = everything(shape.value, None in value.values())
                yield entry(f"Map value must satisfy constraint: [{held}]")
        else:
            for key, item in value.items():
                below = f"{path}.{key}.member"
                if item is None:
                    yield entry(NOT_NULL, below)
                else:
                    yield from violations(item, shape.value, below)
        if any(broken(key, shape.key) for key in value):
            yield entry(f"Map keys must satisfy constraint: [{everything(shape.key, False)}]")
        yield from map(entry, out_of_bounds(len(value), shape, "length"))
    else:
        yield from map(entry, broken(value, shape))


def broken(value, shape, answer=False):
    """The constraints that a scalar breaks."""
    if shape.type_name == "string":
        found = list(out_of_bounds(len(value), shape, "length", answer))
        if pattern(shape) and not fits(pattern(shape), value):
            found.append(pattern_text(shape))
        if getattr(shape, "enum", None) and value not in shape.enum:
            found.append(enum_text(shape))
        return found
    if shape.type_name in ("integer", "long", "float", "double"):
        return list(out_of_bounds(value, shape, "value", answer))
    return []


# Classes of characters that Java's patterns have and Python's have not, taken widely.
CLASSES = {r"\p{L}": "A-Za-z\u00aa-\U0010ffff", r"\p{IsLetter}": "A-Za-z\u00aa-\U0010ffff", r"\p{N}": "0-9\u00b2-\U0010ffff",
           r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000", r"\p{M}": "\u0300-\U0010ffff",
           r"\p{S}": "$+<=>^`|~\u00a2-\U0010ffff", r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}\u00a1-\U0010ffff", r"\p{Graph}": "!-~",
           r"\p{Alnum}": "A-Za-z0-9", r"\p{Alpha}": "A-Za-z", r"\p{Print}": " -~", r"\p{ASCII}": "\x00-\x7f"}


@functools.cache
def compiled(text):
    """A pattern of the model for Python, or None where it cannot be had: then it holds nothing up."""
    wide = r"\p{" in text
    for name, members_of_it in CLASSES.items():
        text = text.replace(name, members_of_it)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(text, 0 if wide else re.ASCII)
    except re.error:
        return None


def fits(text, value):
    found = compiled(text)
    return found is None or found.fullmatch(value) is not None


def everything(shape, with_null):
    """All that holds for a scalar, as a list or a map of it reports it."""
    what = "length" if shape.type_name in ("string", "blob") else "value"
    held = [bound_text(what, side, limit(shape, name)) for name, side in (("max", "less"), ("min", "greater"))
            if limit(shape, name) is not None]
    if pattern(shape):
        held.append(pattern_text(shape))
    if getattr(shape, "enum", None):
        held.append(enum_text(shape))
    return ", ".join(held + ([NOT_NULL] if with_null else []))


def out_of_bounds(number, shape, what, answer=False):
    most, least = limit(shape, "max", answer), limit(shape, "min", answer)
    if most is not None and number > most:
        yield bound_text(what, "less", most)
    if least is not None and number < least:
        yield bound_text(what, "greater", least)


def bound_text(what, side, bound):
    return f"Member must have {what} {side} than or equal to {bound}"


def pattern_text(shape):
    return f"Member must satisfy regular expression pattern: {pattern(shape)}"


def enum_text(shape):
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"


# Answers


def departures(value, shape, path):
    """Where an answer is not what the model says."""
    if value is None:
        yield f"{path} is null"
    elif shape is None:
        if value != {}:
            yield f"{path} has members, though the operation has no output"
    elif shape.type_name == "structure":
        if not isinstance(value, dict):
            yield f"{path} is no structure: {value!r}"
            return
        known = members(shape)
        for name in shape.required_members:
            if name not in value:
                yield f"{path}.{name} is missing"
        if shape.name == "ActionType" and value.get("id", {}).get("owner") != "AWS":
            keys = len(value.get("actionConfigurationProperties", []))
            yield from (f"{path}: {text}" for text in out_of_bounds(keys, known["actionConfigurationProperties"], "length"))
        for name, inner in value.items():
            if name in known:
                yield from departures(inner, known[name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is unknown"
    elif shape.type_name == "list":
        if not isinstance(value, list):
            yield f"{path} is no list: {value!r}"
            return
        yield from (f"{path}: {text}" for text in out_of_bounds(len(value), shape, "length", answer=True))
        for inner in value:
            yield from departures(inner, shape.member, f"{path}[]")
    elif shape.type_name == "map":
        if not isinstance(value, dict):
            yield f"{path} is no map: {value!r}"
            return
        yield from (f"{path}: {text}" for text in out_of_bounds(len(value), shape, "length", answer=True))
        for key, inner in value.items():
            yield from departures(key, shape.key, f"{path} key")
            yield from departures(inner, shape.value, f"{path}.{key}")
    elif not has_type(value, shape.type_name):
        yield f"{path} is no {shape.type_name}: {value!r}"
    else:
        yield from (f"{path} is {value!r}: {text}" for text in broken(value, shape, answer=True))


def has_type(value, name):
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {
        "string": isinstance(value, str),
        "blob": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": number and isinstance(value, int),
        "long": number and isinstance(value, int),
        "float": number,
        "double": number,
        # Epoch seconds; a person's time is no time on this wire.
        "timestamp": number,
    }[name]


def wrong_error(operation, code):
    """Why this operation may not answer this code, or None."""
    listed = {shape.error_code or shape.name for shape in operation.error_shapes} if operation.error_shapes else set()
    listed |= {shape.name for shape in operation.error_shapes}
    if code in listed | COMMON or (operation.name, code) in UNLISTED:
        return None
    return f"{operation.name} answered {code}, which is neither modeled for it nor common"
