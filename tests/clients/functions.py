"""Handlers of Lambda functions as people write them for CodePipeline: they find their job in the event, work on its artifacts
with the credentials it brings, and answer through boto3. They know nothing of Towpath. invoke_actions.py runs them itself, in
the place of AWS; lambda_actions.py zips the module for the embedded Lambda, as it does their counterparts for Node.js,
tests/node/functions.mjs.
"""

import io
import json
import time
import zipfile

import boto3


def artifacts_of(data):
    keys = data["artifactCredentials"]
    return boto3.client("s3", aws_access_key_id=keys["accessKeyId"], aws_secret_access_key=keys["secretAccessKey"],
                        aws_session_token=keys["sessionToken"])


def place(artifact):
    location = artifact["location"]["s3Location"]
    return {"Bucket": location["bucketName"], "Key": location["objectKey"]}


def smoke(event, context):
    """Reads its input, writes its output, and answers with variables; anything that goes wrong is the job's failure."""
    job = event["CodePipeline.job"]
    print("smoke works")
    pipelines = boto3.client("codepipeline")
    try:
        data = job["data"]
        greeting = json.loads(data["actionConfiguration"]["configuration"]["UserParameters"])["greeting"]
        s3 = artifacts_of(data)
        body = s3.get_object(**place(data["inputArtifacts"][0]))["Body"].read()
        names = zipfile.ZipFile(io.BytesIO(body)).namelist()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("report.txt", f"{greeting} {' '.join(sorted(names))}")
        s3.put_object(Body=packed.getvalue(), **place(data["outputArtifacts"][0]))
        pipelines.put_job_success_result(
            jobId=job["id"], outputVariables={"Files": str(len(names))},
            executionDetails={"summary": "mine", "externalExecutionId": "my-own", "percentComplete": 100})
    except Exception as error:
        pipelines.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": str(error)})


def patient(event, context):
    """Needs three turns."""
    job = event["CodePipeline.job"]
    data = job["data"]
    turn = json.loads(data["continuationToken"])["turn"] if "continuationToken" in data else 1
    pipelines = boto3.client("codepipeline")
    if turn < 3:
        pipelines.put_job_success_result(
            jobId=job["id"], continuationToken=json.dumps({"turn": turn + 1}),
            executionDetails={"summary": f"turn {turn}", "percentComplete": turn * 30})
    else:
        pipelines.put_job_success_result(jobId=job["id"], outputVariables={"Turns": str(turn)})


def refusing(event, context):
    job = event["CodePipeline.job"]
    boto3.client("codepipeline").put_job_failure_result(
        jobId=job["id"], failureDetails={"type": "ConfigurationError", "message": "not with me", "externalExecutionId": "e-1"})


def prying(event, context):
    """Tries what its credentials are not for, and fails with what it could do."""
    job = event["CodePipeline.job"]
    s3 = artifacts_of(job["data"])
    input_place, output_place = place(job["data"]["inputArtifacts"][0]), place(job["data"]["outputArtifacts"][0])
    could = []
    for what, call in [
        ("list", lambda: s3.list_objects_v2(Bucket=input_place["Bucket"])),
        ("read the output", lambda: s3.get_object(**output_place)),
        ("write the input", lambda: s3.put_object(Body=b"x", **input_place)),
        ("read another", lambda: s3.get_object(Bucket=input_place["Bucket"], Key="secret.txt")),
    ]:
        try:
            call()
            could.append(what)
        except s3.exceptions.ClientError:
            pass
    pipelines = boto3.client("codepipeline")
    if could:
        pipelines.put_job_failure_result(jobId=job["id"], failureDetails={"type": "JobFailed", "message": str(could)})
    else:
        pipelines.put_job_success_result(jobId=job["id"])


def throwing(event, context):
    raise RuntimeError("thrown before an answer")


def silent(event, context):
    """Ends well and answers nothing, which says nothing."""
    return {"statusCode": 200}


def hanging(event, context):
    """Does not end."""
    print("hanging now")
    time.sleep(3600)


def late(event, context):
    """Answers once an object is there, however long that takes, and says what came of it."""
    job = event["CodePipeline.job"]
    gate = json.loads(job["data"]["actionConfiguration"]["configuration"]["UserParameters"])
    print(f"job {job['id']} waits")
    s3, pipelines = boto3.client("s3"), boto3.client("codepipeline")
    while True:
        try:
            s3.head_object(Bucket=gate["bucket"], Key=gate["key"])
            break
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "404":
                raise
            time.sleep(0.1)
    try:
        pipelines.put_job_success_result(jobId=job["id"], outputVariables={"When": "late"})
        print("its answer was taken")
    except pipelines.exceptions.ClientError as error:
        print(f"its answer was refused: {error.response['Error']['Code']}")
