"""The ECR source, driven through the shipped binary: images of moto's registry through a realm of towpath.toml. Run by the
Rust tests of the `towpath` command, one scenario at a time.
"""

import io
import json
import re
import tempfile
import zipfile

import boto3 as aws

from harness import REGION, Pipelines, Server, action, bucket, client, equal, holds, main, matches, pipeline
from harness import rehearsal, role, stage
from rules import Moto

REALM = """\
[rehearsal]
enabled = true

[realm.lab]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["ECR"]
"""


def at(moto, service):
    return aws.client(service, endpoint_url=moto.url, region_name=REGION, aws_access_key_id="testing",
                      aws_secret_access_key="testing")


def manifest(layer):
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    blob = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 32654, "digest": f"sha256:{layer * 64}"}
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7023, "digest": f"sha256:{layer * 64}"}
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [blob]})


def push(registry, tag, layer):
    pushed = registry.put_image(repositoryName="towline/web", imageTag=tag, imageManifest=manifest(layer))
    return pushed["image"]["imageId"]["imageDigest"]


def image(**more):
    return action("Image", "Source", "ECR", {"RepositoryName": "towline/web", "ImageTag": "stable", **more}, outputs=["img"],
                  namespace="Img")


def declared(name, arn, source):
    show = "#{Img.ImageURI} #{Img.RegistryId} #{Img.RepositoryName}"
    return pipeline(name, arn, stage("Source", source), stage("Use", rehearsal("Use", inputs=["img"], Message=show)),
                    pipelineType="V2")


def images():
    """The tag's image, a pinned digest, and the file that tells of it."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=moto.url)):
        registry = at(moto, "ecr")
        registry.create_repository(repositoryName="towline/web")
        # A registry forgets an image that no tag is left of; AWS's keeps it.
        push(registry, "first", "a")
        old, new = push(registry, "stable", "a"), push(registry, "stable", "b")
        holds(old != new, "two images")
        runs, arn = Pipelines(), role()
        bucket("artifacts")
        runs.api.create_pipeline(pipeline=declared("p", arn, image()))
        first = runs.first("p")
        runs.ended("p", first, "Succeeded")
        rows = {row["actionName"]: row for row in runs.actions("p", first)}
        told = registry.describe_images(repositoryName="towline/web", imageIds=[{"imageTag": "stable"}])["imageDetails"][0]
        account = told["registryId"]
        uri = f"{account}.dkr.ecr.{REGION}.amazonaws.com/towline/web@{new}"
        variables = {"ImageDigest": new, "ImageTag": "stable", "ImageURI": uri, "RegistryId": account,
                     "RepositoryName": "towline/web"}
        equal(rows["Image"]["output"]["outputVariables"], variables, "output variables")
        equal(rows["Use"]["output"]["executionResult"]["externalExecutionSummary"], f"{uri} {account} towline/web", "used")
        place = rows["Image"]["output"]["outputArtifacts"][0]["s3location"]
        body = client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
        archive = zipfile.ZipFile(io.BytesIO(body))
        equal(archive.namelist(), ["imageDetail.json"], "the one file")
        detail = json.loads(archive.read("imageDetail.json"))
        matches(detail.pop("ImagePushedAt"), r"[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d UTC \d{4}", "ImagePushedAt")
        equal(detail, {"ImageSizeInBytes": str(told["imageSizeInBytes"]), "ImageDigest": new, "Version": "1.0",
                       "RegistryId": account, "RepositoryName": "towline/web", "ImageURI": uri, "ImageTags": ["stable"]},
              "imageDetail.json")
        revision = runs.api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=first)["pipelineExecution"]
        equal(revision["artifactRevisions"][0]["revisionId"], new, "the revision")

        pinned = {"actionName": "Image", "revisionType": "IMAGE_DIGEST", "revisionValue": old}
        second = runs.api.start_pipeline_execution(name="p", sourceRevisions=[pinned])["pipelineExecutionId"]
        runs.ended("p", second, "Succeeded")
        rows = {row["actionName"]: row for row in runs.actions("p", second)}
        got = rows["Image"]["output"]["outputVariables"]
        equal((got["ImageDigest"], "ImageTag" in got), (old, False), "the pinned one")


def missing():
    """A repository, an image and a realm that are not there, each in words of its own."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=moto.url)):
        registry = at(moto, "ecr")
        registry.create_repository(repositoryName="towline/web")
        runs, arn = Pipelines(), role()
        bucket("artifacts")
        for name, source, words in [
            ("tag", image(), r"The image with tag 'stable' does not exist in the Amazon ECR repository named towline/web\. .*"
                             r"Error Code: ImageNotFoundException.*"),
            ("repository", image(RepositoryName="none"), r"The Amazon ECR repository named none does not exist in Region .*"
                                                         r"Error Code: RepositoryNotFoundException.*"),
        ]:
            runs.api.create_pipeline(pipeline=declared(name, arn, source))
            runs.ended(name, runs.first(name), "Failed")
            error = runs.action_latest(name, "Source", "Image")["errorDetails"]
            equal(error["code"], "ConfigurationError", name)
            matches(error["message"], words, name)
    with tempfile.TemporaryDirectory() as directory, Server(directory, "[rehearsal]\nenabled = true\n"):
        runs, arn = Pipelines(), role()
        bucket("artifacts")
        runs.api.create_pipeline(pipeline=declared("p", arn, image()))
        runs.ended("p", runs.first("p"), "Failed")
        error = runs.action_latest("p", "Source", "Image")["errorDetails"]
        holds(error["message"].startswith("Action Image needs Amazon ECR, which is not embedded in Towpath"), error["message"])
        holds(re.search(r'`providers = \["ECR"\]`', error["message"]), error["message"])


if __name__ == "__main__":
    main([images, missing])
