"""Starts a Lambda handler. Uses AWS's own runtime interface client (`pip install awslambdaric`) where this Python has it;
otherwise speaks the Lambda Runtime API by itself, with the same contract. Shipped inside of towpath, which writes it here."""

import os
import sys

# The handler's directory comes first, as for the official client; this file's own does not belong on the path.
sys.path[0] = os.environ.get("LAMBDA_TASK_ROOT", os.getcwd())


def official():
    import importlib.util

    return importlib.util.find_spec("awslambdaric") is not None


if official():
    import runpy

    sys.argv = ["awslambdaric", sys.argv[1]]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)
    sys.exit(0)

import datetime
import http.client
import importlib
import json
import logging
import time
import traceback
import types


class Identity:
    def __init__(self, given):
        given = given or {}
        self.cognito_identity_id = given.get("cognitoIdentityId")
        self.cognito_identity_pool_id = given.get("cognitoIdentityPoolId")


class Client:
    def __init__(self, given):
        for name in ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name"):
            setattr(self, name, given.get(name))


class ClientContext:
    def __init__(self, given):
        self.client = Client(given.get("client") or {})
        self.custom = given.get("custom")
        self.env = given.get("env")


class LambdaContext:
    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn")
        self.tenant_id = headers.get("Lambda-Runtime-Aws-Tenant-Id")
        context = headers.get("Lambda-Runtime-Client-Context")
        self.client_context = ClientContext(json.loads(context)) if context else None
        identity = headers.get("Lambda-Runtime-Cognito-Identity")
        self.identity = Identity(json.loads(identity) if identity else None)
        self._deadline = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(self._deadline - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))


class Requests(logging.Filter):
    id = ""

    def filter(self, record):
        record.aws_request_id = Requests.id
        return True


class Formatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record):
        # One event of the log, as Lambda does it: the lines of a traceback are joined by carriage returns.
        return super().format(record).replace("\n", "\r")


class Api:
    def __init__(self):
        self.connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

    def call(self, method, path, body=None, headers=None):
        self.connection.request(method, "/2018-06-01/runtime/" + path, body=body, headers=headers or {})
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def report(self, path, error):
        kind = {"Lambda-Runtime-Function-Error-Type": error["errorType"], "Content-Type": "application/json"}
        self.call("POST", path, json.dumps(error).encode(), kind)


def told(error, request_id, skip=1):
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__)[skip:])
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": frames,
    }


def printed(error):
    lines = ["[ERROR] {}: {}".format(error["errorType"], error["errorMessage"])]
    if error["stackTrace"]:
        lines.append("Traceback (most recent call last):")
        lines += [line.rstrip("\n") for frame in error["stackTrace"] for line in frame.split("\n") if line.strip()]
    print("\r".join(line.replace("  ", "\u00a0\u00a0") for line in lines), flush=True)


def refused(kind, message, frames=()):
    return {"errorMessage": message, "errorType": kind, "requestId": "", "stackTrace": list(frames)}


def load(named):
    """The handler, or the error that keeps it from being found."""
    module, dot, name = named.rpartition(".")
    if not dot or not module or not name:
        return None, refused("Runtime.MalformedHandlerName", f"Bad handler '{named}': not enough values to unpack")
    module = module.replace("/", ".")
    if module.split(".")[0] in sys.builtin_module_names:
        return None, refused(
            "Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module} as a handler module"
        )
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        return None, refused("Runtime.ImportModuleError", f"Unable to import module '{module}': {error}")
    except SyntaxError as error:
        frame = f'  File "{error.filename}" Line {error.lineno}\n    {error.text}'
        return None, refused("Runtime.UserCodeSyntaxError", f"Syntax error in module '{module}': {error}", [frame])
    except Exception as error:
        return None, told(error, "", 0)
    handler = getattr(found, name, None)
    if handler is None:
        return None, refused("Runtime.HandlerNotFound", f"Handler '{name}' missing on module '{module}'")
    return handler, None


def default(value):
    # Lambda's encoder knows one type more than json: decimals.
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def main():
    api = Api()
    log = logging.StreamHandler(sys.stdout)
    log.setFormatter(
        Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")
    )
    log.addFilter(Requests())
    logging.getLogger().addHandler(log)
    handler, wrong = load(sys.argv[1])
    if wrong:
        printed(wrong)
        api.report("init/error", wrong)
        sys.exit(1)
    while True:
        status, headers, event = api.call("GET", "invocation/next")
        if status != 200:
            sys.exit(1)
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        Requests.id = request_id
        trace = headers.get("Lambda-Runtime-Trace-Id")
        if trace:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        try:
            try:
                event = json.loads(event)
            except ValueError as error:
                wrong = refused("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}")
                raise LookupError from error
            result = handler(event, LambdaContext(headers))
            try:
                body = json.dumps(result, default=default, ensure_ascii=False).encode()
            except (TypeError, ValueError) as error:
                wrong = refused("Runtime.MarshalError", f"Unable to marshal response: {error}")
                raise LookupError from error
        except BaseException as error:
            if isinstance(error, SystemExit):
                raise
            found = wrong or told(error, request_id)
            found["requestId"] = request_id
            wrong = None
            printed(found)
            api.report(f"invocation/{request_id}/error", found)
            continue
        sys.stdout.flush()
        api.call("POST", f"invocation/{request_id}/response", body, {"Content-Type": "application/json"})


main()
