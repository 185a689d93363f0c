"""The S3 source and a bucket that is not Towpath's: moto's S3 through a realm of towpath.toml, copied into the embedded
artifact store; with every form of source revision override. Run by the Rust tests of the `towpath` command.
"""

import tempfile

import boto3 as aws

from harness import REGION, Pipelines, Server, action, bucket, client, equal, holds, main, pipeline, rehearsal, role, stage
from harness import refused, zipped
from rules import Moto

REALM = """\
[rehearsal]
enabled = true

[realm.lab]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["S3"]
"""


def overrides():
    """The newest version, a version, a key, and a version of a key; and what may not be overridden."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=moto.url)):
        outside = aws.client("s3", endpoint_url=moto.url, region_name=REGION, aws_access_key_id="testing",
                             aws_secret_access_key="testing")
        outside.create_bucket(Bucket="theirs")
        outside.put_bucket_versioning(Bucket="theirs", VersioningConfiguration={"Status": "Enabled"})

        bodies = {text: zipped({"app.txt": text}) for text in ("old", "new", "other", "newer")}

        def put(key, text):
            return outside.put_object(Bucket="theirs", Key=key, Body=bodies[text])["VersionId"]

        old, new = put("app.zip", "old"), put("app.zip", "new")
        other, newer = put("a dir/other+ü.zip", "other"), put("a dir/other+ü.zip", "newer")
        runs, arn = Pipelines(), role()
        bucket("artifacts")

        def declared(name, allowed):
            keys = {"S3Bucket": "theirs", "S3ObjectKey": "app.zip", "AllowOverrideForS3ObjectKey": allowed,
                    "PollForSourceChanges": "false"}
            fetch = action("Fetch", "Source", "S3", keys, outputs=["src"], namespace="Src")
            use = rehearsal("Use", inputs=["src"], Message="#{Src.BucketName} #{Src.ObjectKey} #{Src.VersionId}")
            return pipeline(name, arn, stage("Source", fetch), stage("Use", use), pipelineType="V2")

        def start(name, *pins):
            revisions = [{"actionName": "Fetch", "revisionType": kind, "revisionValue": text} for kind, text in pins]
            given = {"sourceRevisions": revisions} if revisions else {}
            return runs.api.start_pipeline_execution(name=name, **given)["pipelineExecutionId"]

        runs.api.create_pipeline(pipeline=declared("p", "true"))
        runs.ended("p", runs.first("p"), "Succeeded")
        for pins, key, version, text in [
            ([], "app.zip", new, "new"),
            ([("S3_OBJECT_VERSION_ID", old)], "app.zip", old, "old"),
            ([("S3_OBJECT_KEY", "a dir/other+ü.zip")], "a dir/other+ü.zip", newer, "newer"),
            ([("S3_OBJECT_KEY", "a dir/other+ü.zip"), ("S3_OBJECT_VERSION_ID", other)], "a dir/other+ü.zip", other, "other"),
        ]:
            execution = start("p", *pins)
            runs.ended("p", execution, "Succeeded")
            rows = {row["actionName"]: row for row in runs.actions("p", execution)}
            told = rows["Use"]["output"]["executionResult"]["externalExecutionSummary"]
            equal(told, f"theirs {key} {version}", f"variables with {pins}")
            place = rows["Fetch"]["output"]["outputArtifacts"][0]["s3location"]
            equal(place["bucket"], "artifacts", "the embedded store")
            body = client("s3").get_object(Bucket="artifacts", Key=place["key"])["Body"].read()
            holds(body == bodies[text], f"the artifact with {pins}")
            shown = runs.api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=execution)["pipelineExecution"]
            equal(shown["artifactRevisions"][0]["revisionId"], version, f"revision with {pins}")

        for name, pins, words in [
            ("version", [("S3_OBJECT_VERSION_ID", "00000000-0000-4000-8000-000000000000")], "app.zip"),
            ("key", [("S3_OBJECT_KEY", "none.zip")], "The object with key 'none.zip' does not exist"),
        ]:
            execution = start("p", *pins)
            runs.ended("p", execution, "Failed")
            error = runs.action_latest("p", "Source", "Fetch")["errorDetails"]
            equal(error["code"], "ConfigurationError", name)
            holds(words in error["message"], error["message"])

        runs.api.create_pipeline(pipeline=declared("q", "false"))
        runs.ended("q", runs.first("q"), "Succeeded")
        pin = {"actionName": "Fetch", "revisionType": "S3_OBJECT_KEY", "revisionValue": "a dir/other+ü.zip"}
        refused("ValidationException", "The object key of action 'Fetch' cannot be overridden unless its configuration sets "
                "AllowOverrideForS3ObjectKey to true.", runs.api.start_pipeline_execution, name="q", sourceRevisions=[pin])


def encrypted():
    """An object under a key of moto's KMS becomes an artifact as any other; the key stays where it is."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=moto.url)):
        keys = {"endpoint_url": moto.url, "region_name": REGION, "aws_access_key_id": "testing",
                "aws_secret_access_key": "testing"}
        key = aws.client("kms", **keys).create_key(Description="sources")["KeyMetadata"]["Arn"]
        outside = aws.client("s3", **keys)
        outside.create_bucket(Bucket="theirs")
        outside.put_bucket_versioning(Bucket="theirs", VersioningConfiguration={"Status": "Enabled"})
        body = zipped({"app.txt": "under a key"})
        outside.put_object(Bucket="theirs", Key="app.zip", Body=body, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
        head = outside.head_object(Bucket="theirs", Key="app.zip")
        equal((head["ServerSideEncryption"], head["SSEKMSKeyId"]), ("aws:kms", key), "how it lies there")
        runs = Pipelines()
        bucket("artifacts")
        fetch = action("Fetch", "Source", "S3", {"S3Bucket": "theirs", "S3ObjectKey": "app.zip"}, outputs=["src"])
        runs.api.create_pipeline(pipeline=pipeline(
            "p", role(), stage("Source", fetch), stage("Use", rehearsal("Use", inputs=["src"]))))
        execution = runs.first("p")
        runs.ended("p", execution, "Succeeded")
        place = runs.actions("p", execution)[-1]["output"]["outputArtifacts"][0]["s3location"]
        got = client("s3").get_object(Bucket=place["bucket"], Key=place["key"])
        holds(got["Body"].read() == body, "the artifact")
        equal((got["ServerSideEncryption"], "SSEKMSKeyId" in got), ("AES256", False), "the artifact store has its own way")


if __name__ == "__main__":
    main([overrides, encrypted])
