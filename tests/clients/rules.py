"""Rules and actions whose work is done elsewhere, driven through the shipped binary: a CloudWatch alarm of moto's server
through a realm of towpath.toml, the Commands action and rule in a real shell, and an action in another Region. Run by the
Rust tests of the `towpath` command, one scenario at a time.
"""

import os
import subprocess
import sys
import tempfile
import threading

import boto3 as aws

from harness import Pipelines, Server, action, bucket, client, equal, holds, main, pipeline, rehearsal, role, s3_source
from harness import source, stage

REALM = """\
[rehearsal]
enabled = true

[realm.lab]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["CloudWatchAlarm"]
"""


def rule(name, provider, configuration=None, **more):
    declared = {"name": name, "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": provider, "version": "1"}}
    if configuration:
        declared["configuration"] = configuration
    return {**declared, **more}


def gated(declared, gate, result, *rules):
    return {**declared, gate: {"conditions": [{"result": result, "rules": list(rules)}]}}


class Moto:
    """moto's server: a CloudWatch that nobody here wrote."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if "Running on http://" in line:
                self.url = line.split("Running on ")[1].strip()
                # It tells of every request; a pipe that nobody reads would hold it up.
                threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()
                return self
        raise AssertionError("moto's server did not start")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def alarm():
    """An entry condition reads an alarm outside: OK lets in, ALARM does not, and a missing alarm is no answer."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        outside = aws.client("cloudwatch", endpoint_url=moto.url, region_name="us-east-1", aws_access_key_id="testing",
                             aws_secret_access_key="testing")
        outside.put_metric_alarm(AlarmName="ferry-5xx", MetricName="5xx", Namespace="ferry", Statistic="Sum", Period=60,
                                 EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold")
        with Server(directory, REALM.format(url=moto.url)):
            runs, arn = Pipelines(), role()

            def declared(name, alarm_name):
                build = stage("Build", rehearsal("Make"))
                quiet = rule("Quiet", "CloudWatchAlarm", {"AlarmName": alarm_name})
                return pipeline(name, arn, stage("Source", rehearsal("Fetch", "Source")),
                                gated(build, "beforeEntry", "FAIL", quiet), pipelineType="V2")

            def condition(name):
                return runs.state(name, "Build")["beforeEntryConditionState"]["latestExecution"]

            outside.set_alarm_state(AlarmName="ferry-5xx", StateValue="OK", StateReason="calm")
            runs.api.create_pipeline(pipeline=declared("p", "ferry-5xx"))
            runs.ended("p", runs.first("p"), "Succeeded")
            outside.set_alarm_state(AlarmName="ferry-5xx", StateValue="ALARM", StateReason="storm")
            second = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            runs.ended("p", second, "Failed")
            equal(condition("p")["status"], "Failed", "the alarm is on")
            row = runs.api.list_rule_executions(pipelineName="p", filter={"pipelineExecutionId": second})
            equal([(r["ruleName"], r["status"]) for r in row["ruleExecutionDetails"]], [("Quiet", "Failed")], "the rule")
            runs.api.create_pipeline(pipeline=declared("q", "no-such-alarm"))
            runs.ended("q", runs.first("q"), "Failed")
            equal(condition("q")["status"], "Errored", "nobody could be asked")


def commands():
    """One shell for all commands, an artifact and a variable out of it, and a rule that is a command itself."""
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        # The role needs no CodeBuild: the commands are CodePipeline's own builds.
        runs, arn = Pipelines(), role(actions=("s3:*", "logs:*"))
        bucket("artifacts")
        source({"VERSION": "1.4\n", "app.txt": "hello\n"})
        make = action("Make", "Compute", "Commands", inputs=["src"], namespace="Made", commands=[
            "mkdir -p out && cd out", "tr a-z A-Z < ../app.txt > loud.txt", "export RELEASE=$(cat ../VERSION)-$WHO",
        ], outputVariables=["RELEASE"], environmentVariables=[{"name": "WHO", "value": "ada"}])
        make["outputArtifacts"] = [{"name": "built", "files": ["out/*"]}]
        use = action("Use", "Compute", "Commands", inputs=["built"],
                     commands=['test "$(cat out/loud.txt)" = HELLO', "test '#{Made.RELEASE}' = 1.4-ada"])
        lint = rule("Lint", "Commands", commands=["grep -q HELLO out/loud.txt"], inputArtifacts=[{"name": "built"}])
        fails = rule("Fails", "Commands", commands=["echo not good >&2", "exit 3"], inputArtifacts=[{"name": "built"}])
        declared = pipeline("p", arn, stage("Source", s3_source()), gated(stage("Make", make), "onSuccess", "FAIL", lint),
                            gated(stage("Use", use), "onSuccess", "FAIL", fails), pipelineType="V2")
        runs.api.create_pipeline(pipeline=declared)
        first = runs.first("p")
        runs.ended("p", first, "Failed")
        rows = {row["actionName"]: row for row in runs.actions("p", first)}
        equal((rows["Make"]["status"], rows["Use"]["status"]), ("Succeeded", "Succeeded"), "actions")
        equal(rows["Make"]["output"]["outputVariables"], {"RELEASE": "1.4-ada"}, "output variable")
        conditions = [runs.state("p", s)["onSuccessConditionState"]["latestExecution"]["status"] for s in ("Make", "Use")]
        equal(conditions, ["Succeeded", "Failed"], "a command is met when it exits 0")
        groups = [g["logGroupName"] for g in client("logs").describe_log_groups()["logGroups"]]
        holds("/aws/codepipeline/p" in groups, f"the log group of the pipeline: {groups}")


def another_region():
    """What was made in one Region is copied into the store of the Region where it is used."""
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        runs, arn = Pipelines(), role()
        bucket("near")
        aws.client("s3", region_name="eu-west-1", endpoint_url=os.environ["AWS_ENDPOINT_URL"]).create_bucket(
            Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        source({"app.txt": "hello\n"})
        use = action("Use", "Compute", "Commands", inputs=["src"], commands=["grep hello app.txt"], region="eu-west-1")
        declared = pipeline("p", arn, stage("Source", s3_source()), stage("Use", use), pipelineType="V2")
        del declared["artifactStore"]
        declared["artifactStores"] = {
            "us-east-1": {"type": "S3", "location": "near"}, "eu-west-1": {"type": "S3", "location": "far"}}
        runs.api.create_pipeline(pipeline=declared)
        first = runs.first("p")
        runs.ended("p", first, "Succeeded")
        used = {row["actionName"]: row for row in runs.actions("p", first)}["Use"]
        location = used["input"]["inputArtifacts"][0]["s3location"]
        equal((used["input"]["region"], location["bucket"]), ("eu-west-1", "far"), "where it was used")
        holds(client("s3").head_object(Bucket="far", Key=location["key"])["ContentLength"] > 0, "the copy is there")


if __name__ == "__main__":
    main([alarm, commands, another_region])
