"""A CodeBuild in another realm, for scenarios: a scripted endpoint and no CodeBuild. It takes what botocore's model of
CodeBuild takes, reads a build's sources from the S3 it is given, writes artifacts to where it is told, and logs to the
CloudWatch Logs it is given. A build "runs" by packing its sources again with one file more; a batch does so once for all.
"""

import http.server
import io
import json
import threading
import time
import uuid
import zipfile

import botocore.session
import botocore.validate

ACCOUNT = "123456789012"


class CodeBuild:
    """Builds go on until they were asked about once; so a pipeline polls."""

    def __init__(self, s3, logs, region="us-east-1"):
        self.s3, self.logs, self.region = s3, logs, region
        self.model = botocore.session.get_session().get_service_model("codebuild")
        self.started, self.stopped, self.builds, self.batches, self.tokens = [], [], {}, {}, {}
        self.hold = False

    def __enter__(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                operation = self.headers["X-Amz-Target"].split(".")[1]
                status, answer = owner.answer(operation, body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("x-amzn-requestid", str(uuid.uuid4()))
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def answer(self, operation, body):
        shape = self.model.operation_model(operation).input_shape
        report = botocore.validate.ParamValidator().validate(body, shape)
        if report.has_errors():
            return 400, {"__type": "InvalidInputException", "message": report.generate_report()}
        return 200, getattr(self, operation)(body)

    def StartBuild(self, body):
        return {"build": self.begin(body, self.builds, "build")}

    def StartBuildBatch(self, body):
        return {"buildBatch": self.begin(body, self.batches, "build-batch")}

    def begin(self, body, kept, kind):
        token = body["idempotencyToken"]
        if token not in self.tokens:
            self.started.append(body)
            identifier = f"{body['projectName']}:{uuid.uuid4()}"
            self.tokens[token] = identifier
            arn = f"arn:aws:codebuild:{self.region}:{ACCOUNT}:{kind}/{identifier}"
            kept[identifier] = {"id": identifier, "arn": arn, "request": body, "asked": 0, "status": "IN_PROGRESS"}
        return self.shown(kept[self.tokens[token]])

    def BatchGetBuilds(self, body):
        return {"builds": [self.asked(self.builds[i]) for i in body["ids"] if i in self.builds]}

    def BatchGetBuildBatches(self, body):
        return {"buildBatches": [self.asked(self.batches[i]) for i in body["ids"] if i in self.batches]}

    def StopBuild(self, body):
        return {"build": self.stop(self.builds[body["id"]])}

    def StopBuildBatch(self, body):
        return {"buildBatch": self.stop(self.batches[body["id"]])}

    def stop(self, work):
        work["status"] = "STOPPED"
        self.stopped.append(work["id"])
        return self.shown(work)

    def asked(self, work):
        work["asked"] += 1
        if work["status"] == "IN_PROGRESS" and not self.hold and work["asked"] > 1:
            self.run(work)
        return self.shown(work)

    def run(self, work):
        """Packs the source again, with a file that says what it saw."""
        body = work["request"]
        bucket, key = body["sourceLocationOverride"].split("/", 1)
        source = zipfile.ZipFile(io.BytesIO(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name in source.namelist():
                archive.writestr(name, source.read(name))
            archive.writestr("built.txt", f"built from {len(source.namelist())} files")
        key = body.get("encryptionKeyOverride")
        how = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key} if key else {}
        for artifact in [body["artifactsOverride"], *body.get("secondaryArtifactsOverride", [])]:
            if artifact["type"] == "S3":
                place = "/".join(part for part in (artifact["path"], artifact["name"]) if part)
                self.s3.put_object(Bucket=artifact["location"], Key=place, Body=made.getvalue(), **how)
        group, stream = f"/aws/codebuild/{body['projectName']}", work["id"].split(":")[1]
        if not self.logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            self.logs.create_log_group(logGroupName=group)
        self.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        lines = ["[Container] Running command make", "built elsewhere"]
        now = int(time.time() * 1000)
        events = [{"timestamp": now + at, "message": line + "\n"} for at, line in enumerate(lines)]
        self.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
        arn = f"arn:aws:logs:{self.region}:{ACCOUNT}:log-group:{group}:log-stream:{stream}"
        work["logs"] = {"groupName": group, "streamName": stream, "cloudWatchLogsArn": arn}
        work["status"] = "SUCCEEDED"

    def shown(self, work):
        shown = {"id": work["id"], "arn": work["arn"], "projectName": work["request"]["projectName"]}
        if "build-batch" in work["arn"]:
            summary = {"buildStatus": work["status"]}
            shown["buildBatchStatus"], shown["complete"] = work["status"], work["status"] != "IN_PROGRESS"
            shown["buildGroups"] = [{"identifier": "one", "currentBuildSummary": summary}]
            return shown
        shown["buildStatus"], shown["buildComplete"] = work["status"], work["status"] != "IN_PROGRESS"
        if "logs" in work:
            shown["logs"] = work["logs"]
            shown["exportedEnvironmentVariables"] = [{"name": "TAG", "value": "v7"}]
        return shown
