"""boto3 against the embedded S3: what its transfer manager, paginators and waiters do on their own."""

import io
import os
import sys
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError

endpoint, scratch = sys.argv[1], sys.argv[2]


def client(key="AKIAOWNER", secret="owner-secret", token=None, **config):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, **config),
    )


def refused(code, status, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        found = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        assert found == (code, status), found
    else:
        raise AssertionError(f"{code} expected")


s3 = client()
s3.create_bucket(Bucket="boto")
s3.get_waiter("bucket_exists").wait(Bucket="boto")
s3.put_bucket_versioning(Bucket="boto", VersioningConfiguration={"Status": "Enabled"})

# The transfer manager: several parts at once, each with its checksum, and ranged reads at once.
body = os.urandom(20 * 1024 * 1024 + 17)
path = os.path.join(scratch, "upload")
with open(path, "wb") as file:
    file.write(body)
transfer = TransferConfig(multipart_threshold=8 * 1024 * 1024, multipart_chunksize=8 * 1024 * 1024)
s3.upload_file(path, "boto", "big", Config=transfer, ExtraArgs={"Metadata": {"m": "1"}})
s3.download_file("boto", "big", path + ".back", Config=transfer)
with open(path + ".back", "rb") as file:
    assert file.read() == body
head = s3.head_object(Bucket="boto", Key="big", ChecksumMode="ENABLED")
assert head["ETag"].endswith('-3"') and head["ChecksumType"] == "COMPOSITE", head
s3.copy({"Bucket": "boto", "Key": "big"}, "boto", "copied", Config=transfer)
assert s3.get_object(Bucket="boto", Key="copied")["Body"].read() == body

s3.upload_fileobj(io.BytesIO(b"small"), "boto", "dir/a b+c.txt")
assert s3.get_object(Bucket="boto", Key="dir/a b+c.txt")["Body"].read() == b"small"
for algorithm in ["CRC32", "SHA1", "SHA256"]:
    put = s3.put_object(Bucket="boto", Key="sum", Body=b"x", ChecksumAlgorithm=algorithm)
    assert put["Checksum" + algorithm] and put["VersionId"]
plain = client(request_checksum_calculation="when_required", response_checksum_validation="when_required")
assert plain.put_object(Bucket="boto", Key="sum", Body=b"plain")["ChecksumCRC64NVME"]
unsigned = client(signature_version="s3v4")
unsigned.put_object(Bucket="boto", Key="sum", Body=io.BytesIO(b"stream"))

names = [name["Key"] for page in s3.get_paginator("list_objects_v2").paginate(
    Bucket="boto", PaginationConfig={"PageSize": 2}) for name in page["Contents"]]
assert names == ["big", "copied", "dir/a b+c.txt", "sum"], names
folded = s3.list_objects_v2(Bucket="boto", Delimiter="/")
assert [prefix["Prefix"] for prefix in folded["CommonPrefixes"]] == ["dir/"]

temporary = client(key="ASIATEMPORARY", secret="temporary-secret", token="the-token")
for signer in [s3, temporary, unsigned]:
    url = signer.generate_presigned_url("get_object", Params={"Bucket": "boto", "Key": "dir/a b+c.txt"}, ExpiresIn=60)
    assert urllib.request.urlopen(url).read() == b"small"
    try:
        urllib.request.urlopen(url.replace("dir/", "other/"))
    except urllib.error.HTTPError as error:
        assert error.code == 403 and b"<Code>SignatureDoesNotMatch</Code>" in error.read()
    else:
        raise AssertionError("a changed URL opened something")
url = s3.generate_presigned_url("put_object", Params={"Bucket": "boto", "Key": "presigned"}, ExpiresIn=60)
urllib.request.urlopen(urllib.request.Request(url, data=b"put", method="PUT", headers={"content-type": ""}))
assert s3.get_object(Bucket="boto", Key="presigned")["Body"].read() == b"put"

refused("NoSuchKey", 404, s3.get_object, Bucket="boto", Key="none")
refused("404", 404, s3.head_object, Bucket="boto", Key="none")
refused("404", 404, s3.head_bucket, Bucket="no-such-bucket")
refused("NoSuchBucket", 404, s3.list_objects_v2, Bucket="no-such-bucket")
refused("InvalidRange", 416, s3.get_object, Bucket="boto", Key="sum", Range="bytes=100-")
refused("PreconditionFailed", 412, s3.put_object, Bucket="boto", Key="sum", IfNoneMatch="*", Body=b"")
refused("NotImplemented", 501, s3.put_object, Bucket="boto", Key="k", ServerSideEncryption="aws:kms", SSEKMSKeyId="mine",
        Body=b"")
kms = {"Bucket": "boto", "Key": "kms"}
told = s3.put_object(**kms, ServerSideEncryption="aws:kms", Body=b"kms")
assert (told["ServerSideEncryption"], told["SSEKMSKeyId"].split("/", 1)[1]) == ("aws:kms", "aws/s3"), told
assert s3.head_object(**kms)["ServerSideEncryption"] == "aws:kms"
assert s3.copy_object(Bucket="boto", Key="plain", CopySource="boto/kms")["ServerSideEncryption"] == "AES256"
assert "SSEKMSKeyId" not in s3.get_object(Bucket="boto", Key="plain")
refused("BucketNotEmpty", 409, s3.delete_bucket, Bucket="boto")

bucket = boto3.resource(
    "s3",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="AKIAOWNER",
    aws_secret_access_key="owner-secret",
).Bucket("boto")
bucket.object_versions.delete()
bucket.delete()
s3.get_waiter("bucket_not_exists").wait(Bucket="boto")
