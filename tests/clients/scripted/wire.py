"""What is below the scripted AWS endpoint: bodies, the places of operations in REST models, JSON's types, and signatures."""

import collections
import hashlib
import hmac
import html
import http.client
import json
import re
import urllib.parse

import shapes


def unscripted(request, why):
    """Told in a way that clients do not repeat."""
    if request.headers.get("x-amz-target") or "json" in request.headers.get("content-type", ""):
        return 400, {"Content-Type": "application/json"}, json.dumps({"__type": "UnscriptedOperation", "message": why}).encode()
    told = f"<ErrorResponse><Error><Code>UnscriptedOperation</Code><Message>{html.escape(why)}</Message></Error></ErrorResponse>"
    return 400, {"Content-Type": "text/xml"}, told.encode()


def by_wire_name(value, shape):
    """The same value with members as they are named on the wire, for `shapes`."""
    if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        return {member.serialization.get("name", name): by_wire_name(value[name], member)
                for name, member in shape.members.items() if name in value}
    if shape.type_name == "list" and isinstance(value, (list, tuple)):
        return [by_wire_name(item, shape.member) for item in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {key: by_wire_name(item, shape.value) for key, item in value.items()}
    return value


def mistyped(value, shape, path=""):
    """Where JSON has another type than the model; moto's parser would convert it."""
    if value is None or getattr(shape, "is_document_type", False):
        return
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, dict):
            yield f"{path or 'the body'} is no structure"
            return
        for name, member in shape.members.items():
            if "location" not in member.serialization:
                name = member.serialization.get("name", name)
                yield from mistyped(value.get(name), member, f"{path}.{name}" if path else name)
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for item in value:
            yield from mistyped(item, shape.member, f"{path}[]")
    elif kind == "map":
        if not isinstance(value, dict):
            yield f"{path} is no map"
            return
        for key, item in value.items():
            yield from mistyped(item, shape.value, f"{path}.{key}")
    elif kind == "timestamp" and isinstance(value, str) and shape.serialization.get("timestampFormat") in ("iso8601", "rfc822"):
        return
    elif not shapes.has_type(value, kind):
        yield f"{path} is no {kind}"


def routes(model):
    """How each operation is known: method, path and its names, fixed query, and marks; the most particular first.

    The marks are the headers and query members it needs, where others have the same method and path.
    """
    found = []
    for name in model.operation_names:
        operation = model.operation_model(name)
        path, _, query = operation.http["requestUri"].partition("?")
        pieces = re.split(r"\{([^}]+)\}", path)
        pattern = "".join(re.escape(piece) if at % 2 == 0 else "(.+)" if piece.endswith("+") else "([^/]+)"
                          for at, piece in enumerate(pieces))
        names = [part.removesuffix("+") for part in pieces[1::2]]
        wanted = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        members = operation.input_shape.members if operation.input_shape else {}
        needed = operation.input_shape.required_members if operation.input_shape else []
        marks = [members[one].serialization.get("name", one) for one in needed
                 if members[one].serialization.get("location") in ("header", "querystring")]
        found.append((operation.http["method"], re.compile(pattern + "/?"), names, wanted, marks, name, "".join(pieces[::2])))
    places = collections.Counter((entry[0], entry[1].pattern, str(entry[3])) for entry in found)
    for entry in found:
        if places[entry[0], entry[1].pattern, str(entry[3])] == 1:
            entry[4].clear()
    return [entry[:6] for entry in sorted(found, key=lambda entry: (-len(entry[3]), -len(entry[6]), -len(entry[4])))]


def body(request):
    if "chunked" not in request.headers.get("transfer-encoding", ""):
        return request.rfile.read(int(request.headers.get("content-length") or 0))
    parts = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    while request.rfile.readline().strip():
        pass
    return b"".join(parts)


def forwarded(url, request, body):
    host = urllib.parse.urlsplit(url).netloc
    connection = http.client.HTTPConnection(host, timeout=60)
    kept = {name: value for name, value in request.headers.items()
            if name.lower() not in ("host", "connection", "transfer-encoding", "content-length")}
    connection.request(request.command, request.path, body=body, headers={**kept, "Host": host, "Content-Length": str(len(body))})
    answer = connection.getresponse()
    told = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), told


# Signatures, as AWS documents version 4 of them


def scope(request):
    header = request.headers.get("authorization", "")
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
                         r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", header)
    if not found:
        return None
    return dict(zip(("key", "date", "region", "service", "headers", "signature"), found.groups()))


def signature(request, body, scope, secret):
    path, _, query = request.path.partition("?")
    if scope["service"] != "s3":
        path = urllib.parse.quote(path, safe="/-_.~")
    pairs = [part.partition("=") for part in query.split("&") if part]
    query = "&".join(f"{name}={value}" for name, _, value in sorted(pairs))
    names = scope["headers"].split(";")
    headers = "".join(f"{name}:{' '.join((request.headers.get(name) or '').split())}\n" for name in names)
    payload = request.headers.get("x-amz-content-sha256", "")
    if not payload.startswith(("UNSIGNED-", "STREAMING-")):
        payload = hashlib.sha256(body).hexdigest()
    canonical = "\n".join((request.command, path or "/", query, headers, scope["headers"], payload))
    day = f"{scope['date']}/{scope['region']}/{scope['service']}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = "\n".join(("AWS4-HMAC-SHA256", request.headers.get("x-amz-date", ""), day, hashed))
    key = f"AWS4{secret}".encode()
    for part in (scope["date"], scope["region"], scope["service"], "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
