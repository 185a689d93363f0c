"""Manual approvals and who is told of them, driven through the shipped binary: a topic of moto's SNS through a realm of
towpath.toml, read through a queue that is subscribed to it. Run by the Rust tests of the `towpath` command, one scenario at
a time.
"""

import datetime
import json
import tempfile

import boto3 as aws

from harness import ACCOUNT, REGION, Pipelines, Server, allow, approval, bucket, client, equal, holds, main, matches
from harness import pipeline, refused, rehearsal, role, stage, wait
from rules import Moto

REALM = """\
[rehearsal]
enabled = true

[realm.lab]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["Manual"]
"""


def at(moto, service):
    return aws.client(service, endpoint_url=moto.url, region_name=REGION, aws_access_key_id="testing",
                      aws_secret_access_key="testing")


class Topic:
    """A topic, and a queue that hears everything that is published to it."""

    def __init__(self, moto, name="releases"):
        self.arn = at(moto, "sns").create_topic(Name=name)["TopicArn"]
        self.queue = at(moto, "sqs")
        self.url = self.queue.create_queue(QueueName=name)["QueueUrl"]
        arn = self.queue.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        at(moto, "sns").subscribe(TopicArn=self.arn, Protocol="sqs", Endpoint=arn)

    def heard(self):
        """The next one: its subject and its message."""

        def look():
            found = self.queue.receive_message(QueueUrl=self.url, MaxNumberOfMessages=1).get("Messages", [])
            for message in found:
                self.queue.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
            return found

        body = json.loads(wait("a notice", look)[0]["Body"])
        return body["Subject"], json.loads(body["Message"])

    def silent(self):
        return "Messages" not in self.queue.receive_message(QueueUrl=self.url)


def gated(name, arn, configuration, **more):
    source = rehearsal("Fetch", "Source", namespace="Src", Variables={"Version": "v7"})
    return pipeline(name, arn, stage("Source", source), stage("Gate", approval(configuration=configuration, **more)),
                    pipelineType="V2")


def notice():
    """The topic is told once; its token answers; who answered is written down."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=moto.url)) as server:
        topic, runs, arn = Topic(moto), Pipelines(), role()
        bucket("artifacts")
        told = {"NotificationArn": topic.arn, "CustomData": "Ship #{Src.Version}?", "ExternalEntityLink": "https://x.example/7"}
        runs.api.create_pipeline(pipeline=gated("ferry", arn, told, timeoutInMinutes=90))
        subject, message = topic.heard()
        equal(subject, "APPROVAL NEEDED: AWS CodePipeline ferry for action Ok", "subject")
        token = runs.token("ferry", "Gate")
        wanted = {
            "region": REGION,
            "consoleLink": message["consoleLink"],
            "approval": {
                "pipelineName": "ferry", "stageName": "Gate", "actionName": "Ok", "token": token,
                "expires": message["approval"]["expires"], "externalEntityLink": "https://x.example/7",
                "approvalReviewLink": f"{message['consoleLink']}#/Gate/Ok/approve/{token}", "customData": "Ship v7?",
            },
        }
        equal(json.dumps(message), json.dumps(wanted), "the message, in AWS's order")
        holds(message["consoleLink"].startswith(server.url), message["consoleLink"])
        matches(message["approval"]["expires"], r"\d{4}-\d\d-\d\dT\d\d:\d\dZ", "expires")
        expires = datetime.datetime.strptime(message["approval"]["expires"], "%Y-%m-%dT%H:%M%z")
        first = runs.first("ferry")

        def lasts(name, until):
            row = next(row for row in runs.actions(name, runs.first(name)) if row["actionName"] == "Ok")
            return (until - row["startTime"]).total_seconds() / 60

        minutes = lasts("ferry", expires)
        holds(89 <= minutes <= 90, f"it expires after {minutes} minutes")

        iam = client("iam")
        iam.create_user(UserName="ada")
        iam.put_user_policy(UserName="ada", PolicyName="p", PolicyDocument=allow("codepipeline:PutApprovalResult"))
        key = iam.create_access_key(UserName="ada")["AccessKey"]
        ada = client("codepipeline", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
        Pipelines(ada).answer("ferry", "Gate", message["approval"]["token"], summary="fine")
        runs.ended("ferry", first, "Succeeded")
        by = f"arn:aws:iam::{ACCOUNT}:user/ada"
        equal(runs.action_latest("ferry", "Gate", "Ok")["lastUpdatedBy"], by, "lastUpdatedBy")
        rows = {row["actionName"]: row for row in runs.actions("ferry", first)}
        equal(rows["Ok"]["updatedBy"], by, "updatedBy")
        holds(topic.silent(), "told once")

        # What is not given is null, and another execution has another token.
        runs.api.create_pipeline(pipeline=gated("plain", arn, {"NotificationArn": topic.arn}))
        _, message = topic.heard()
        equal((message["approval"]["customData"], message["approval"]["externalEntityLink"]), (None, None), "absent")
        days = lasts("plain", datetime.datetime.strptime(message["approval"]["expires"], "%Y-%m-%dT%H:%M%z")) / 60 / 24
        holds(6.999 <= days <= 7, f"without a timeout it expires after {days} days")
        runs.answer("plain", "Gate", message["approval"]["token"], status="Rejected", summary="no")
        runs.ended("plain", runs.first("plain"), "Failed")


def refusals():
    """A topic that is not there, a realm that is not there, and topics that no pipeline may name."""
    gone = f"arn:aws:sns:{REGION}:{ACCOUNT}:gone"
    with Moto() as moto, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=moto.url)):
        runs, arn = Pipelines(), role()
        bucket("artifacts")
        runs.api.create_pipeline(pipeline=gated("p", arn, {"NotificationArn": gone}))
        runs.ended("p", runs.first("p"), "Failed")
        error = runs.action_latest("p", "Gate", "Ok")["errorDetails"]
        equal(error["code"], "ConfigurationError", "code")
        holds(error["message"].startswith(f"No Amazon SNS topic with the ARN {gone} was found."), error["message"])
        for topic, words in [
            ("topic", "The ARN {} you specified for sending notifications for the approval action Ok contains a format error."),
            (f"arn:aws:sqs:{REGION}:{ACCOUNT}:t",
             "The ARN {} has been specified for sending notifications for the approval action Ok, but the AWS service for this "
             "ARN cannot be used to send approval requests."),
            (f"arn:aws:sns:eu-west-1:{ACCOUNT}:t",
             "The ARN {} has been specified for sending notifications for the approval action Ok, but the ARN is not in the "
             "same region as the pipeline."),
        ]:
            refused("InvalidActionDeclarationException", words.format(topic), runs.api.create_pipeline,
                    pipeline=gated("q", arn, {"NotificationArn": topic}))
    with tempfile.TemporaryDirectory() as directory, Server(directory, "[rehearsal]\nenabled = true\n"):
        runs, arn = Pipelines(), role()
        bucket("artifacts")
        runs.api.create_pipeline(pipeline=gated("p", arn, {"NotificationArn": gone}))
        runs.ended("p", runs.first("p"), "Failed")
        error = runs.action_latest("p", "Gate", "Ok")["errorDetails"]
        holds(error["message"].startswith("Action Ok needs Amazon SNS, which is not embedded in Towpath"), error["message"])
        holds('`providers = ["Manual"]`' in error["message"], error["message"])


if __name__ == "__main__":
    main([notice, refusals])
