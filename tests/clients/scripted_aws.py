"""An AWS endpoint that a scenario scripts: for services, and for their failures, that nothing here can play.

It is no AWS and does not pretend to be one. What it knows of a service is the API model that AWS publishes with boto3: the
request is parsed by it, and refused where the model refuses it (a missing member, a length, a pattern, an enum); the answer
and the errors are held to it too. What the service then does is a script: a class with a method per operation (scripted/*.py),
or an answer that the scenario gives for one operation. An operation that no script has fails the scenario.

    with ScriptedAws(CodeDeploy()) as aws, Server(directory, aws.realm("CodeDeploy")):
        aws.on("codedeploy.GetDeployment", throttled(), times=3)
        ...
        equal(aws.inputs("codedeploy.CreateDeployment")[0]["revision"], ..., "what was asked for")

Requests must be signed, by the realm's own keys or by those of a role that was assumed here: STS is always there.
"""

import datetime
import http.server
import json
import pathlib
import sys
import threading
import traceback
import urllib.parse
import uuid
import warnings

import boto3
import botocore.loaders
import botocore.session
import botocore.validate
from botocore import xform_name
from botocore.config import Config
from moto.core.model import ServiceModel
from moto.core.parse import PROTOCOL_PARSERS, RequestParserError
from moto.core.serialize import SerializationContext, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.datastructures import MultiDict

import shapes
from harness import ACCOUNT
from scripted import wire

KEY, SECRET = "testing", "testing"

# Models that botocore has no more, in its own layout.
MODELS = pathlib.Path(__file__).parent / "scripted" / "models"

# Errors that any operation of any service may answer (CommonErrors); the models leave them out.
COMMON = {
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InternalError",
    "InternalFailure", "InvalidAction", "InvalidClientTokenId", "InvalidParameterCombination", "InvalidParameterValue",
    "InvalidSignatureException", "MalformedInput", "MissingParameter", "NotAuthorized", "OptInRequired", "RequestExpired",
    "RequestLimitExceeded", "SerializationException", "ServiceUnavailable", "ServiceUnavailableException",
    "SignatureDoesNotMatch", "SlowDown", "Throttling", "ThrottlingException", "UnauthorizedOperation",
    "UnknownOperationException", "UnrecognizedClientException", "ValidationError", "ValidationException",
}

# How services name a request that breaks their model, in this order, where the operation lists one of them.
REFUSALS = ("ValidationException", "ValidationError", "InvalidParameterException", "InvalidParametersException",
            "InvalidParameterValueException", "ArgumentException", "BadRequestException", "InvalidRequestException")


class AwsError(Exception):
    """An error of the service. It must be one of the operation's own, or one that all services share."""

    def __init__(self, code, message="", status=None, **members):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status
        vars(self).update(members)


class Unanswered(Exception):
    """No answer of the service's at all: a page of a proxy, or a connection that is cut."""

    def __init__(self, status=None, body=b""):
        super().__init__(status)
        self.status, self.body = status, body


class Call:
    """One request: what it asks, and who asks."""

    def __init__(self, service, operation, given, region, caller, role, account, protocol):
        self.protocol = protocol
        self.service, self.operation, self.input, self.region = service, operation, given, region
        self.caller, self.role, self.account = caller, role, account
        # The error code it got, or None.
        self.refused = None
        self.output = None
        # As it came, with members that the model does not know, and the id of its answer.
        self.body, self.request_id = b"", str(uuid.uuid4())

    @property
    def name(self):
        return f"{self.service}.{self.operation}"

    def arn(self, rest, service=None):
        return f"arn:aws:{service or self.service}:{self.region}:{self.account}:{rest}"

    def __repr__(self):
        return f"{self.name}{'' if self.refused is None else ' -> ' + self.refused}"


class Script:
    """A service: `service` is boto3's name of it, and each operation a method as boto3 names it, from a Call to an output."""

    service = None
    # The endpoint it stands behind.
    aws = None

    def answers(self, operation):
        return getattr(self, xform_name(operation), None)

    def plain(self, method, path, headers, body):
        """Status, headers and body for a request that is not signed, such as a presigned one; None: it is another's."""
        return None


class Course:
    """The states that something goes through, one further each time it is looked at; the last one stays."""

    def __init__(self, *states):
        self.states = list(states)
        self.seen = []

    def look(self):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        self.seen.append(state)
        return state

    @property
    def now(self):
        return self.states[0]

    def go(self, *states):
        """What comes instead of the rest."""
        self.states = list(states)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


# Faults for `on`


def throttled(message="Rate exceeded"):
    """Too many requests, as the protocol of the service says it."""
    def answer(call):
        protocol = call.protocol
        code = {"query": "Throttling", "ec2": "RequestLimitExceeded", "rest-xml": "SlowDown"}.get(protocol, "ThrottlingException")
        raise AwsError(code, message, {"ec2": 503, "rest-xml": 503, "rest-json": 429}.get(protocol, 400))
    return answer


def unavailable(status=503):
    """A page of a proxy in place of an answer."""
    def answer(_):
        raise Unanswered(status, f"<html><body><h1>{status}</h1></body></html>".encode())
    return answer


def hung_up():
    """The connection is cut after the request."""
    def answer(_):
        raise Unanswered
    return answer


def denied(action=None, message=None):
    """The caller may not do that."""
    def answer(call):
        code = {"query": "AccessDenied", "rest-xml": "AccessDenied", "ec2": "UnauthorizedOperation"}.get(
            call.protocol, "AccessDeniedException")
        told = message or (f"User: {call.caller} is not authorized to perform: {action or call.service + ':' + call.operation} "
                           "because no identity-based policy allows the action")
        raise AwsError(code, told, 403)
    return answer


class Sts(Script):
    """Who assumes a role gets keys; who signs with them is known as that role's session."""

    service = "sts"

    def __init__(self):
        self.sessions = {}

    def assume_role(self, call):
        given = call.input
        key, secret, token = "ASIA" + uuid.uuid4().hex[:16].upper(), uuid.uuid4().hex, uuid.uuid4().hex
        account, name = given["RoleArn"].split(":")[4], given["RoleArn"].rsplit("/", 1)[-1]
        session = f"arn:aws:sts::{account}:assumed-role/{name}/{given['RoleSessionName']}"
        self.sessions[key] = {"secret": secret, "token": token, "role": given["RoleArn"], "caller": session}
        ends = now() + datetime.timedelta(seconds=given.get("DurationSeconds", 3600))
        keys = {"AccessKeyId": key, "SecretAccessKey": secret, "SessionToken": token, "Expiration": ends}
        return {"Credentials": keys, "AssumedRoleUser": {"AssumedRoleId": f"AROAEXAMPLE:{given['RoleSessionName']}", "Arn": session}}

    def get_caller_identity(self, call):
        return {"UserId": "AIDAEXAMPLE", "Account": call.account, "Arn": call.caller}


class ScriptedAws:
    """The endpoint. `forward` leads the requests of whole services to another one, such as S3's to moto's server."""

    def __init__(self, *scripts, forward=None):
        self.sts = Sts()
        self.scripts = {script.service: script for script in (self.sts, *scripts)}
        self.models = {name: _model(name) for name in self.scripts}
        self.routes = {name: wire.routes(model) for name, model in self.models.items() if model.protocol.startswith("rest-")}
        self.forward = forward or {}
        self.calls = []
        # What makes the scenario fail at its end: unknown operations, scripts that broke, answers that the model refuses.
        self.wrong = []
        # Requests that the model refuses, and those with a wrong signature; taken by `refusals`, or the scenario fails.
        self.refused = []
        self.lock = threading.RLock()
        self.answers = {}
        outer = self
        for script in scripts:
            script.aws = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                outer._serve(self)

            do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = do_HEAD = handle_one

            def log_message(self, *_):
                pass

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                # Clients may hang up.
                pass

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    # For scenarios

    def realm(self, *providers, name="lab", assume=False, more=""):
        """A table of towpath.toml that leads these providers here."""
        listed = ", ".join(f'"{provider}"' for provider in providers)
        return (f'\n[realm.{name}]\nurl = "{self.url}"\naccess-key-id = "{KEY}"\nsecret-access-key = "{SECRET}"\n'
                f"assume-roles = {'true' if assume else 'false'}\nproviders = [{listed}]\n{more}")

    def client(self, service, region="us-east-1", **options):
        """boto3's own client of this endpoint."""
        config = Config(**{"retries": {"total_max_attempts": 1, "mode": "standard"}, "s3": {"addressing_style": "path"},
                           **options.pop("config", {})})
        options = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, **options}
        session = botocore.session.get_session()
        session.get_component("data_loader").search_paths.append(str(MODELS))
        session = boto3.Session(botocore_session=session)
        return session.client(service, endpoint_url=self.url, region_name=region, config=config, **options)

    def on(self, name, answer, times=None, when=None):
        """Answers an operation (`service.Operation`) instead of its script, so many times, where `when` holds of the call.

        The answer is an output, an AwsError, or a function from the call to an output.
        """
        service, operation = name.split(".")
        if service not in self.models or operation not in self.models[service].operation_names:
            raise AssertionError(f"there is no operation {name} among the scripted services {sorted(self.models)}")
        with self.lock:
            self.answers.setdefault(name, []).append([answer, times, when])

    def called(self, name):
        """The calls of an operation so far."""
        with self.lock:
            return [call for call in self.calls if call.name == name]

    def inputs(self, name):
        return [call.input for call in self.called(name)]

    def refusals(self):
        """What the model refused; asking says that the scenario meant it."""
        with self.lock:
            taken, self.refused = self.refused, []
        return taken

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind, *_):
        self.server.shutdown()
        self.server.server_close()
        told = self.wrong + [f"refused by the model: {text}" for text in self.refused]
        if told and kind is None:
            raise AssertionError("at the scripted AWS endpoint:\n" + "\n".join(told))
        if told:
            print("at the scripted AWS endpoint:", *told, sep="\n", file=sys.stderr)

    # The wire

    def _serve(self, request):
        body = wire.body(request)
        try:
            status, headers, answer = self._answer(request, body)
        except Unanswered as fault:
            if fault.status is None:
                request.close_connection = True
                request.connection.close()
                return
            status, headers, answer = fault.status, {"Content-Type": "text/html"}, fault.body
        except Exception:
            # A fault of a script is the scenario's; the client gets something that it does not repeat.
            with self.lock:
                self.wrong.append(f"{request.command} {request.path}:\n{traceback.format_exc()}")
            status, headers, answer = wire.unscripted(request, "the script broke")
        request.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(answer)

    def _answer(self, request, body):
        scope = wire.scope(request)
        if scope and scope["service"] in self.forward:
            return wire.forwarded(self.forward[scope["service"]], request, body)
        if scope is None:
            with self.lock:
                plain = [script.plain(request.command, request.path, request.headers, body) for script in self.scripts.values()]
            for answer in filter(None, plain):
                return answer
        found = self._operation(request, body, scope)
        if isinstance(found, str):
            with self.lock:
                self.wrong.append(f"{request.command} {request.path}: {found}")
            return wire.unscripted(request, found)
        service, operation, protocol, parameters = found
        model = self.models[service].operation_model(operation)
        caller, role = self._caller(request, body, scope)
        # A request that cannot be told from another's is answered by the account of the role.
        account = role.split(":")[4] if role else ACCOUNT
        call = Call(service, operation, {}, scope["region"] if scope else "us-east-1", caller, role, account,
                    protocol)
        call.body = body
        serializer = get_serializer_class(service, protocol)(model, SerializationContext(call.request_id))
        try:
            if caller is None:
                code = "SignatureDoesNotMatch" if protocol in ("query", "rest-xml") else "InvalidSignatureException"
                raise self._refusal(call, code, _unsigned(scope), 403)
            call.input = self._parsed(call, model, request, body, parameters)
            with self.lock:
                self.calls.append(call)
                call.output = self._scripted(call) or {}
            self._check_output(call, model)
            answer = serializer.serialize(call.output)
        except AwsError as error:
            call.refused = error.code
            known = {shape.name for shape in model.error_shapes} | {shape.error_code for shape in model.error_shapes}
            if error.code not in known | COMMON:
                with self.lock:
                    self.wrong.append(f"{call.name} is scripted to answer {error.code}, which its model does not list")
            with warnings.catch_warnings():
                # What all services share is in no model.
                warnings.simplefilter("ignore")
                answer = serializer.serialize(error)
            answer["status_code"] = error.status or answer["status_code"]
        told = answer["body"]
        told = told.encode() if isinstance(told, str) else told or b""
        return answer["status_code"], {**answer["headers"], "x-amzn-RequestId": call.request_id}, told

    def _operation(self, request, body, scope):
        """Service, operation, protocol and the parameters of the path; or why there is none.

        Some services take more than one protocol: which one is seen from the request.
        """
        address = urllib.parse.urlsplit(request.path)
        target = request.headers.get("x-amz-target")
        named = f"signed for {scope['service']} " if scope else ""
        if target:
            prefix, _, operation = target.rpartition(".")
            for name, model in self.models.items():
                if model.metadata.get("targetPrefix") == prefix:
                    return self._scripted_operation(name, operation, "json")
            return f"a request {named}to {target}, whose service has no script"
        form = dict(urllib.parse.parse_qsl(address.query, keep_blank_values=True))
        if "x-www-form-urlencoded" in request.headers.get("content-type", ""):
            form.update(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        if "Action" in form:
            for name, model in self.models.items():
                same = model.signing_name == scope["service"] if scope else True
                spoken = set(model.metadata.get("protocols", [model.protocol])) & {"query", "ec2"}
                if spoken and model.api_version == form.get("Version") and same:
                    return self._scripted_operation(name, form["Action"], *spoken)
            return f"a request {named}for {form['Action']} of version {form.get('Version')}, whose service has no script"
        for name, routes in self.routes.items():
            if scope and self.models[name].signing_name != scope["service"]:
                continue
            for method, pattern, names, query, marks, operation in routes:
                matched = pattern.fullmatch(address.path)
                marked = all(mark in form or mark in request.headers for mark in marks)
                if matched and marked and method == request.command and query.items() <= form.items():
                    given = dict(zip(names, matched.groups()))
                    return self._scripted_operation(name, operation, self.models[name].protocol, given)
        return f"a request {named}for {request.command} {request.path} that no scripted service has"

    def _scripted_operation(self, service, operation, protocol, parameters=None):
        if operation not in self.models[service].operation_names:
            return f"{service} has no operation {operation}"
        if self.scripts[service].answers(operation) is None and f"{service}.{operation}" not in self.answers:
            return f"{service}.{operation} is not scripted"
        return service, operation, protocol, parameters or {}

    def _caller(self, request, body, scope):
        """Who signed the request, and with which role; None where the signature is not right."""
        if scope is None:
            return None, None
        session = self.sts.sessions.get(scope["key"])
        if session is None and scope["key"] != KEY:
            return None, None
        if session is not None and request.headers.get("x-amz-security-token") != session["token"]:
            return None, None
        if wire.signature(request, body, scope, session["secret"] if session else SECRET) != scope["signature"]:
            return None, None
        if session is None:
            return f"arn:aws:iam::{ACCOUNT}:user/{KEY}", None
        return session["caller"], session["role"]

    def _refusal(self, call, code, message, status=None):
        with self.lock:
            self.refused.append(f"{call.name}: {code}: {message}")
        return AwsError(code, message, status)

    def _parsed(self, call, model, request, body, parameters):
        """The request by the model; what the model refuses is refused here."""
        protocol, shape = call.protocol, model.input_shape
        if shape is None:
            return {}
        if protocol in ("json", "rest-json") and not (shape.serialization.get("payload") and _is_raw(shape)):
            self._check_json(call, model, body)
        values = MultiDict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.path).query, keep_blank_values=True))
        if protocol in ("query", "ec2"):
            values.update(MultiDict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True)))
        raw = protocol.startswith("rest-") and _is_raw(shape)
        asked = {"body": b"" if raw else body, "headers": request.headers, "method": request.command,
                 "url_params": parameters, "url_path": request.path, "values": values}
        try:
            parsed = PROTOCOL_PARSERS[protocol](model).parse(asked)
        except (RequestParserError, ValueError, TypeError, AttributeError) as error:
            raise self._refusal(call, "MalformedInput" if protocol in ("query", "ec2") else "SerializationException", str(error))
        if raw:
            # moto's parser takes a payload for text.
            parsed[shape.serialization["payload"]] = body
        found = list(shapes.violations(wire.by_wire_name(parsed, shape), shape))
        if not found:
            report = botocore.validate.ParamValidator().validate(parsed, shape)
            found = [report.generate_report()] if report.has_errors() else []
        if found:
            errors = "error" if len(found) == 1 else "errors"
            raise self._refusal(call, _refusal_code(model, protocol), f"{len(found)} validation {errors} detected: {'; '.join(found)}")
        return parsed

    def _check_json(self, call, model, body):
        shape = model.input_shape
        payload = shape.serialization.get("payload")
        try:
            given = json.loads(body or b"{}")
        except ValueError as error:
            raise self._refusal(call, "SerializationException", str(error))
        found = next(wire.mistyped(given, shape.members[payload] if payload else shape), None)
        if found:
            raise self._refusal(call, "SerializationException", found)

    def _scripted(self, call):
        for entry in self.answers.get(call.name, []):
            answer, times, when = entry
            if times == 0 or (when and not when(call)):
                continue
            if times is not None:
                entry[1] -= 1
            if isinstance(answer, Exception):
                raise answer
            return answer(call) if callable(answer) else answer
        script = self.scripts[call.service].answers(call.operation)
        if script is None:
            raise RuntimeError(f"{call.name}: the answers given for it are used up, and it is not scripted")
        return script(call)

    def _check_output(self, call, model):
        if model.output_shape is None:
            if call.output:
                raise RuntimeError(f"{call.name} has no output, but is scripted to answer {call.output}")
            return
        report = botocore.validate.ParamValidator().validate(call.output, model.output_shape)
        found = [report.generate_report()] if report.has_errors() else []
        found = found or list(shapes.violations(wire.by_wire_name(call.output, model.output_shape), model.output_shape))
        if found:
            raise RuntimeError(f"the script of {call.name} answers what its model refuses: {found}")


def _model(service):
    if not (MODELS / service).is_dir():
        return get_service_model(service)
    loader = botocore.loaders.Loader(extra_search_paths=[str(MODELS)])
    return ServiceModel(loader.load_service_model(service, "service-2"), service)


def _unsigned(scope):
    if scope is None:
        return "The request is not signed."
    return "The security token included in the request is invalid, or the signature does not match."


def _is_raw(shape):
    payload = shape.serialization.get("payload")
    return payload is not None and shape.members[payload].type_name in ("blob", "string")


def _refusal_code(model, protocol):
    listed = {shape.name for shape in model.error_shapes}
    for code in REFUSALS:
        if code in listed:
            return code
    return "ValidationError" if protocol in ("query", "ec2", "rest-xml") else "ValidationException"
