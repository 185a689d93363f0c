"""A Jenkins with AWS's own CodePipeline plugin: the exact calls that it makes, in their order and with their arguments. They
are those of awslabs/aws-codepipeline-plugin-for-jenkins: AWSCodePipelineSCM, AWSCodePipelineJobCredentialsProvider,
DownloadCallable, PublisherCallable and PublisherTools.
"""

import io
import os
import re
import zipfile

import boto3
from botocore.config import Config

from harness import Pipelines, bucket, client, equal, holds, main, pipeline, refused, role, s3_source, source, stage, wait, zipped
from worker import job_action, make_type, prop

PROVIDER = "DockJenkins"


def jenkins_type(api, url, *more, category="Build"):
    """As actions.md and the user guide define it."""
    make_type(api, category, PROVIDER, properties=[
        prop("ProjectName", required=True, queryable=True, description="Jenkins job"), *more],
        settings={"entityUrlTemplate": f"{url}/job/{{Config:ProjectName}}/",
                  "executionUrlTemplate": f"{url}/job/{{Config:ProjectName}}/{{ExternalExecutionId}}/"})


def jenkins_action(configuration=None, **more):
    return job_action("Work", {"ProjectName": "ferry", **(configuration or {})}, provider=PROVIDER, **more)


def aws_plugin():
    """One build and one test, as the plugin does them."""
    api = client("codepipeline")
    runs = Pipelines(api)
    for category in ("Build", "Test"):
        jenkins_type(api, "https://jenkins.example", category=category)
    source({"a.txt": "a"})
    bucket("artifacts")
    build = jenkins_action(inputs=["src"], outputs=["out"])
    test = job_action("Check", {"ProjectName": "ferry"}, category="Test", provider=PROVIDER, inputs=["out"])
    api.create_pipeline(pipeline=pipeline(
        "p", role(), stage("Source", s3_source()), stage("Build", build), stage("Test", test)))
    first = runs.first("p")

    def poll(category):
        # AWSCodePipelineSCM.pollForJobs
        return api.poll_for_jobs(
            actionTypeId={"category": category, "owner": "Custom", "provider": PROVIDER, "version": "1"},
            maxBatchSize=1, queryParam={"ProjectName": "ferry"})["jobs"]

    def checkout(job):
        # AWSCodePipelineSCM.checkout
        equal(api.acknowledge_job(jobId=job["id"], nonce=job["nonce"])["status"], "InProgress", "acknowledged")
        # DownloadCallable: credentials by GetJobDetails, then each input artifact
        s3 = s3_of(job)
        workspace = {}
        for artifact in job["data"]["inputArtifacts"]:
            got = s3.get_object(**at(artifact))
            kind = got["ContentType"]
            archive = zipfile.ZipFile(io.BytesIO(got["Body"].read()))
            workspace.update({name: archive.read(name) for name in archive.namelist()})
        return workspace, kind

    def s3_of(job):
        # AWSCodePipelineJobCredentialsProvider.refresh
        keys = api.get_job_details(jobId=job["id"])["jobDetails"]["data"]["artifactCredentials"]
        # The plugin's client knows AWS's endpoints alone and addresses buckets by host name, as led here by a proxy.
        return boto3.client("s3", aws_access_key_id=keys["accessKeyId"], aws_secret_access_key=keys["secretAccessKey"],
                            aws_session_token=keys["sessionToken"], config=Config(
                                retries={"max_attempts": 1}, signature_version="s3v4"))

    def at(artifact):
        where = artifact["location"]["s3Location"]
        return {"Bucket": where["bucketName"], "Key": where["objectKey"]}

    def upload(job, artifact, body):
        # PublisherTools.uploadFile: in parts of 5 MB, with SSE-KMS and no key unless the job names one
        holds("encryptionKey" not in job["data"], "the store names no key")
        s3 = s3_of(job)
        begun = s3.create_multipart_upload(**at(artifact), ContentType="application/zip", ServerSideEncryption="aws:kms")
        equal(begun["ServerSideEncryption"], "aws:kms", "encryption of the upload")
        tags = []
        for start in range(0, len(body), 5 * 1024 * 1024):
            part = s3.upload_part(**at(artifact), UploadId=begun["UploadId"], PartNumber=len(tags) + 1,
                                  Body=body[start:start + 5 * 1024 * 1024])
            tags.append({"PartNumber": len(tags) + 1, "ETag": part["ETag"]})
        done = s3.complete_multipart_upload(**at(artifact), UploadId=begun["UploadId"], MultipartUpload={"Parts": tags})
        equal((len(tags), done["ServerSideEncryption"]), (2, "aws:kms"), "uploaded in parts")

    refused("ActionTypeNotFoundException", re.compile(".*'Jenkins'.*"), api.poll_for_jobs, actionTypeId={
        "category": "Build", "owner": "Custom", "provider": "Jenkins", "version": "1"}, maxBatchSize=1,
        queryParam={"ProjectName": "ferry"})
    job = wait("the job of the build", lambda: poll("Build"))[0]
    equal(poll("Build"), [], "polled by the minute, given out once")
    workspace, _ = checkout(job)
    equal(workspace, {"a.txt": b"a"}, "the workspace")
    # AWSCodePipelinePublisher.perform and PublisherTools.putJobResult
    large = {"big.bin": os.urandom(3 * 1024 * 1024).hex(), "b.txt": "b"}
    upload(job, job["data"]["outputArtifacts"][0], zipped(large))
    api.put_job_success_result(jobId=job["id"], executionDetails={"externalExecutionId": "17", "summary": "Finished"})
    latest = runs.action_latest("p", "Build", "Work")
    equal((latest["summary"], latest["externalExecutionUrl"]), ("Finished", "https://jenkins.example/job/ferry/17/"), "build")

    job = wait("the job of the test", lambda: poll("Test"))[0]
    workspace, kind = checkout(job)
    equal((sorted(workspace), kind), (["b.txt", "big.bin"], "application/zip"), "what the build left, and its kind")
    api.put_job_failure_result(jobId=job["id"], failureDetails={
        "externalExecutionId": "18", "message": "Tests failed", "type": "JobFailed"})
    runs.ended("p", first, "Failed")
    latest = runs.action_latest("p", "Test", "Check")
    equal((latest["errorDetails"], latest["externalExecutionUrl"]), (
        {"code": "JobFailed", "message": "Tests failed"}, "https://jenkins.example/job/ferry/18/"), "test")

    # The plugin's S3 client speaks to BUCKET.s3.REGION.amazonaws.com; whoever is led here by that name is understood.
    hosted = boto3.client("s3", config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}))
    def as_aws(request, **_):
        request.url = request.url.replace("/artifacts/", "/", 1)
        request.headers["Host"] = "artifacts.s3.us-east-1.amazonaws.com"
    hosted.meta.events.register("before-sign.s3.HeadObject", as_aws)
    where = at(job["data"]["inputArtifacts"][0])
    holds(hosted.head_object(**where)["ContentLength"] > 5 * 1024 * 1024, "found by AWS's host name")


if __name__ == "__main__":
    main([aws_plugin])
