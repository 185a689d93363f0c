"""InspectorScan through the shipped binary: the list of components is made in a real build of the embedded CodeBuild, by a
script in place of `inspector-sbomgen`; Amazon Inspector is a scripted endpoint that takes what botocore's model of ScanSbom
takes, because nobody plays that service. The registry is moto's. Run by the Rust tests of the `towpath` command, one scenario
at a time.
"""

import http.server
import io
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import zipfile

import botocore.session
import botocore.validate

from harness import Pipelines, Server, action, bucket, client, equal, holds, main, matches, pipeline, role, s3_source, source
from harness import stage
from rules import Moto

CONFIG = """\
[sandbox]
kind = "host"

[realm.lab]
url = "{inspector}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["InspectorScan"]

[realm.lab.endpoints]
ecr = "{registry}"
"""

# Lists the files of a directory, or an image by its name; for an image it insists on a password.
GENERATOR = """\
#!/bin/sh
set -e
case "$1" in
directory) names=$(ls) ;;
container) test -n "$INSPECTOR_SBOMGEN_PASSWORD"; names=$3 ;;
esac
components=
for name in $names; do components="$components,{\\"type\\":\\"library\\",\\"name\\":\\"$name\\"}"; done
printf '{"bomFormat":"CycloneDX","specVersion":"1.5","components":[%s]}' "${components#,}" > "$5"
echo listed $names
"""


class Inspector:
    """Finds in each component what its name begins with: critical-, high-, medium- or low-."""

    def __init__(self):
        self.asked = []
        shape = botocore.session.get_session().get_service_model("inspector-scan").operation_model("ScanSbom").input_shape
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                report = botocore.validate.ParamValidator().validate(body, shape)
                if self.path != "/scan/sbom" or report.has_errors():
                    status, answer = 400, {"message": report.generate_report(), "reason": "FIELD_VALIDATION_FAILED"}
                else:
                    status, answer = 200, {"sbom": outer.scan(body["sbom"])}
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                if status != 200:
                    self.send_header("x-amzn-errortype", "ValidationException")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def scan(self, sbom):
        names = [component["name"] for component in sbom["components"]]
        self.asked.append(names)
        worst = [name.split("-")[0] for name in names]
        found = [{"id": f"CVE-{n}", "ratings": [{"severity": severity}]}
                 for n, severity in enumerate(worst) if severity in ("critical", "high", "medium", "low")]
        return {**sbom, "vulnerabilities": found}

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def scans():
    """A source tree and an image; the output artifact, the variable, a threshold, the log, and a missing generator."""
    with Inspector() as inspector, Moto() as moto, tempfile.TemporaryDirectory() as directory:
        tools = pathlib.Path(directory) / "tools"
        tools.mkdir()
        os.environ["PATH"] = os.pathsep.join([str(tools), os.environ["PATH"]])
        with Server(directory, CONFIG.format(inspector=inspector.url, registry=moto.url)) as server:
            runs, arn = Pipelines(), role()
            source({"high-lib": "a", "low-lib": "b", "fine": "c"})
            bucket("artifacts")

            def scan(name, keys, **more):
                act = action("Inspect", "Invoke", "InspectorScan", keys, outputs=["sbom"], namespace="Found", **more)
                declared = pipeline(name, arn, stage("Source", s3_source()), stage("Scan", act), pipelineType="V2")
                runs.api.create_pipeline(pipeline=declared)
                return runs.first(name)

            def row(name, execution):
                return next(row for row in runs.actions(name, execution) if row["actionName"] == "Inspect")

            def sbom(name, execution):
                place = row(name, execution)["output"]["outputArtifacts"][0]["s3location"]
                body = client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
                archive = zipfile.ZipFile(io.BytesIO(body))
                equal(archive.namelist(), ["sbom.json"], "the one file")
                return json.loads(archive.read("sbom.json"))

            of_source = {"InspectorRunMode": "SourceCodeScan", "CriticalThreshold": "0", "HighThreshold": "1"}
            runs.ended("none", scan("none", of_source, inputs=["src"]), "Failed")
            error = runs.action_latest("none", "Scan", "Inspect")["errorDetails"]
            equal(error["code"], "ConfigurationError", "without a generator")
            matches(error["message"], "inspector-sbomgen is not installed where builds run.*")

            generator = tools / "inspector-sbomgen"
            generator.write_text(GENERATOR)
            generator.chmod(0o755)
            execution = scan("tree", of_source, inputs=["src"])
            runs.ended("tree", execution, "Succeeded")
            equal(sorted(inspector.asked[-1]), ["fine", "high-lib", "low-lib"], "what was asked")
            told = row("tree", execution)["output"]
            equal(told["outputVariables"], {"HighestScannedSeverity": "high"}, "the variable")
            equal(told["executionResult"]["externalExecutionSummary"],
                  "Vulnerabilities: 0 critical, 1 high, 0 medium, 1 low", "the summary")
            holds(told["executionResult"]["externalExecutionUrl"].startswith(server.url), told)
            equal(len(sbom("tree", execution)["vulnerabilities"]), 2, "in the artifact")
            logs = subprocess.run([server.binary, "logs", "tree", "--action", "Inspect"], capture_output=True, text=True,
                                  timeout=60)
            holds("listed fine high-lib low-lib" in logs.stdout, logs.stdout + logs.stderr)

            execution = scan("strict", {**of_source, "HighThreshold": "0"}, inputs=["src"])
            runs.ended("strict", execution, "Failed")
            error = runs.action_latest("strict", "Scan", "Inspect")["errorDetails"]
            equal((error["code"], error["message"]), (
                "JobFailed", "The scan found more vulnerabilities than allowed: 1 of severity high, where 0 are allowed."), "over")

            of_image = {"InspectorRunMode": "ECRImageScan", "ECRRepositoryName": "towline/web", "ImageTag": "v7"}
            execution = scan("image", of_image)
            runs.ended("image", execution, "Succeeded")
            matches(inspector.asked[-1][0], r"123456789012\.dkr\.ecr\.us-east-1\.amazonaws\.com/towline/web:v7", "the image")
            holds("HighestScannedSeverity" not in row("image", execution)["output"]["outputVariables"], "nothing was found")
            holds("PASSWORD" not in json.dumps(sbom("image", execution)), "no password is left")


if __name__ == "__main__":
    main([scans])
