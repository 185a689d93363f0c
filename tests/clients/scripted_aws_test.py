"""The scripted AWS endpoint held to boto3 itself: every protocol there and back, what the models refuse, faults, roles, and that
nothing unknown goes by in silence. Run by the Rust tests of the `towpath` command, one scenario at a time.
"""

import datetime
import http.client
import json
import re
import tempfile
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions

from harness import ACCOUNT, Pipelines, Server, action, allow, bucket, client, equal, holds, main, matches, pipeline, refused
from harness import rehearsal, role, stage, status_of
from scripted_aws import AwsError, Course, Script, ScriptedAws, denied, hung_up, throttled, unavailable

CREATED = datetime.datetime(2026, 3, 1, 12, 0, 5, tzinfo=datetime.timezone.utc)
ROLE = "arn:aws:iam::210987654321:role/team/deployer"


class Deployments(Script):
    """JSON."""

    service = "codedeploy"

    def __init__(self):
        self.course = Course("Created", "InProgress", "Succeeded")

    def create_deployment(self, call):
        if call.input["applicationName"] != "ferry":
            raise AwsError("ApplicationDoesNotExistException", f"No application found for name: {call.input['applicationName']}")
        return {"deploymentId": "d-A1B2C3D4E"}

    def get_deployment(self, call):
        return {"deploymentInfo": {"deploymentId": call.input["deploymentId"], "status": self.course.look(), "createTime": CREATED}}


class Stacks(Script):
    """Query, with lists, maps and a nested structure."""

    service = "cloudformation"

    def create_stack(self, call):
        return {"StackId": call.arn(f"stack/{call.input['StackName']}/51af3dc0-da77-11e4-872e-1234567db123")}

    def describe_stacks(self, call):
        name = call.input["StackName"]
        if name == "none":
            raise AwsError("ValidationError", f"Stack with id {name} does not exist")
        return {"Stacks": [{"StackName": name, "StackStatus": "CREATE_COMPLETE", "CreationTime": CREATED,
                            "Outputs": [{"OutputKey": "Url", "OutputValue": "https://ferry.example/?a=1&b=2"}], "Tags": []}]}

    def execute_change_set(self, call):
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{call.input['ChangeSetName']}] does not exist")


class Configurations(Script):
    """REST with JSON: path, header, query and a raw payload."""

    service = "appconfig"

    def create_hosted_configuration_version(self, call):
        given = call.input
        return {"ApplicationId": given["ApplicationId"], "ConfigurationProfileId": given["ConfigurationProfileId"],
                "VersionNumber": given.get("LatestVersionNumber", 0) + 1, "ContentType": given["ContentType"],
                "Content": given["Content"]}

    def list_deployments(self, call):
        return {"Items": [{"DeploymentNumber": call.input["MaxResults"], "State": "COMPLETE", "StartedAt": CREATED}]}

    def get_deployment(self, call):
        raise AwsError("ResourceNotFoundException", "no such deployment", ResourceName="Deployment")


class Objects(Script):
    """REST with XML."""

    service = "s3"

    def __init__(self):
        self.held = {}

    def put_object(self, call):
        self.held[call.input["Key"]] = call.input
        return {"ETag": '"0123456789abcdef"', "VersionId": "v1"}

    def get_object(self, call):
        if call.input["Key"] not in self.held:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        return {"Body": self.held[call.input["Key"]]["Body"], "ContentType": "text/plain"}

    def get_bucket_location(self, call):
        return {"LocationConstraint": "eu-west-1"}


class Instances(Script):
    """EC2's own form."""

    service = "ec2"

    def describe_instances(self, call):
        ids = [f"i-{value}" for found in call.input["Filters"] for value in found["Values"]]
        return {"Reservations": [{"Instances": [{"InstanceId": one, "LaunchTime": CREATED, "Tags": [{"Key": "fleet", "Value": "a"}]}
                                                for one in ids]}]}


class Balancers(Script):
    """Two services may be signed for by one name."""

    service = "elbv2"

    def describe_target_health(self, call):
        return {"TargetHealthDescriptions": [{"Target": {"Id": "i-1", "Port": 80}, "TargetHealth": {"State": "healthy"}}]}


def fails_at_the_end(words, work):
    """The whole endpoint says in the end what went by."""
    try:
        work()
    except AssertionError as error:
        matches(str(error), words, "what the endpoint says")
    else:
        raise AssertionError(f"nobody was told: {words}")


def protocols():
    scripts = Deployments(), Stacks(), Configurations(), Objects(), Instances(), Balancers()
    with ScriptedAws(*scripts) as aws:
        deploy = aws.client("codedeploy")
        revision = {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k", "bundleType": "zip"}}
        made = deploy.create_deployment(applicationName="ferry", deploymentGroupName="blue", revision=revision)
        equal(made["deploymentId"], "d-A1B2C3D4E", "JSON")
        states = [deploy.get_deployment(deploymentId="d-A1B2C3D4E")["deploymentInfo"] for _ in range(4)]
        equal([state["status"] for state in states], ["Created", "InProgress", "Succeeded", "Succeeded"], "its course")
        equal(states[0]["createTime"], CREATED, "a time")
        equal(aws.inputs("codedeploy.CreateDeployment")[0]["revision"], revision, "what was asked for")
        refused("ApplicationDoesNotExistException", "No application found for name: tug", deploy.create_deployment,
                applicationName="tug", deploymentGroupName="blue")
        equal(aws.called("codedeploy.CreateDeployment")[1].refused, "ApplicationDoesNotExistException", "as recorded")

        stacks = aws.client("cloudformation", region="eu-west-1")
        given = {"StackName": "ferry", "TemplateBody": "{}", "Parameters": [{"ParameterKey": "Size", "ParameterValue": "é&=+ 1"}],
                 "Tags": [], "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"], "DisableRollback": True}
        equal(stacks.create_stack(**given)["StackId"],
              "arn:aws:cloudformation:eu-west-1:123456789012:stack/ferry/51af3dc0-da77-11e4-872e-1234567db123", "query")
        equal(aws.inputs("cloudformation.CreateStack"), [given], "lists, an empty one too")
        found = stacks.describe_stacks(StackName="ferry")["Stacks"][0]
        equal((found["Outputs"][0]["OutputValue"], found["CreationTime"]), ("https://ferry.example/?a=1&b=2", CREATED), "XML")
        refused("ValidationError", "Stack with id none does not exist", stacks.describe_stacks, StackName="none")
        answer = refused("ChangeSetNotFound", "ChangeSet [c] does not exist", stacks.execute_change_set, ChangeSetName="c",
                         StackName="s")
        equal(status_of(answer), 404, "the status of the error's shape")

        configurations = aws.client("appconfig")
        told = configurations.create_hosted_configuration_version(
            ApplicationId="abc1234", ConfigurationProfileId="def5678", Content=b"\x00{}", ContentType="application/json",
            LatestVersionNumber=6)
        equal((told["VersionNumber"], told["Content"].read(), told["ContentType"]), (7, b"\x00{}", "application/json"), "payload")
        found = configurations.list_deployments(ApplicationId="abc1234", EnvironmentId="env1234", MaxResults=3)["Items"][0]
        equal((found["DeploymentNumber"], found["StartedAt"]), (3, CREATED), "the query's number")
        answer = refused("ResourceNotFoundException", "no such deployment", configurations.get_deployment,
                         ApplicationId="abc1234", EnvironmentId="env1234", DeploymentNumber=9)
        equal((status_of(answer), answer["ResourceName"]), (404, "Deployment"), "members of the error")
        equal(aws.inputs("appconfig.GetDeployment")[0]["DeploymentNumber"], 9, "the path's number")

        objects = aws.client("s3")
        equal(objects.put_object(Bucket="box", Key="a/b c.txt", Body=b"hello", ACL="private")["VersionId"], "v1", "REST with XML")
        equal(objects.get_object(Bucket="box", Key="a/b c.txt")["Body"].read(), b"hello", "there and back")
        refused("NoSuchKey", "The specified key does not exist.", objects.get_object, Bucket="box", Key="none")
        equal(objects.get_bucket_location(Bucket="box")["LocationConstraint"], "eu-west-1", "an operation by its query")

        fleet = aws.client("ec2").describe_instances(Filters=[{"Name": "tag:fleet", "Values": ["1", "2"]}])
        instances = fleet["Reservations"][0]["Instances"]
        equal([(one["InstanceId"], one["LaunchTime"]) for one in instances], [("i-1", CREATED), ("i-2", CREATED)], "EC2's form")
        group = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/73e2d6bc24d8a067"
        health = aws.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"][0]
        equal(health["TargetHealth"]["State"], "healthy", "another query service")


def refusals():
    """What the model refuses is refused, in the words of the service; the scenario has to have meant it."""
    with ScriptedAws(Deployments(), Stacks(), Configurations()) as aws:
        unchecked = {"parameter_validation": False}
        deploy = aws.client("codedeploy", config=unchecked)
        refused("ValidationException", re.compile("1 validation error detected: Value at 'applicationName' failed to satisfy "
                                                  "constraint: Member must not be null"), deploy.create_deployment)
        refused("ValidationException", re.compile(".*'deploymentGroupName'.*length less than or equal to 100"),
                deploy.create_deployment, applicationName="ferry", deploymentGroupName="x" * 101)
        refused("ValidationException", re.compile(".*'fileExistsBehavior'.*enum value set.*"), deploy.create_deployment,
                applicationName="ferry", fileExistsBehavior="SHRUG")
        refused("SerializationException", "description is no string", deploy.create_deployment, applicationName="ferry",
                description=7)
        stacks = aws.client("cloudformation", config=unchecked)
        refused("ValidationError", re.compile("2 validation errors detected.*'capabilities'.*'clientRequestToken'.*regular.*"),
                stacks.create_stack, StackName="s", ClientRequestToken="a b", Capabilities=["CAPABILITY_ALL"])
        configurations = aws.client("appconfig", config=unchecked)
        refused("BadRequestException", re.compile(".*'applicationId'.*"), configurations.get_deployment, ApplicationId="ABC",
                EnvironmentId="env1234", DeploymentNumber=1)
        equal(len(aws.refusals()), 6, "and each is known")
        equal(aws.calls, [], "no script has seen them")

    def careless():
        with ScriptedAws(Deployments()) as aws:
            try:
                aws.client("codedeploy", config=unchecked).create_deployment()
            except botocore.exceptions.ClientError:
                pass

    fails_at_the_end(".*refused by the model: codedeploy.CreateDeployment: ValidationException.*applicationName.*", careless)


def unknown():
    """What no script knows, what a script gets wrong, and what its model would not let it say: the scenario fails."""
    def gone(call):
        def work():
            with ScriptedAws(Deployments()) as aws:
                try:
                    call(aws)
                except botocore.exceptions.ClientError as error:
                    holds(status_of(error.response) == 400, "nothing that is repeated")
        return work

    fails_at_the_end(r".*codedeploy\.StopDeployment is not scripted", gone(
        lambda aws: aws.client("codedeploy").stop_deployment(deploymentId="d-1")))
    fails_at_the_end(r".*signed for ecs to AmazonEC2ContainerServiceV20141113\.ListClusters, whose service has no script", gone(
        lambda aws: aws.client("ecs").list_clusters()))
    fails_at_the_end(r".*signed for eks for GET /clusters/c that no scripted service has", gone(
        lambda aws: aws.client("eks").describe_cluster(name="c")))
    fails_at_the_end(r".*signed for cloudformation for ListStacks of version 2010-05-15, whose service has no script", gone(
        lambda aws: aws.client("cloudformation").list_stacks()))

    def scripted(answer):
        def call(aws):
            aws.on("codedeploy.GetDeployment", answer)
            aws.client("codedeploy").get_deployment(deploymentId="d-1")
        return gone(call)

    fails_at_the_end(".*ZeroDivisionError.*", scripted(lambda call: 1 // 0))
    fails_at_the_end(".*Unknown parameter.*Status.*", scripted({"Status": "x"}))
    fails_at_the_end(".*enum value set.*", scripted({"deploymentInfo": {"status": "Confused"}}))
    fails_at_the_end(".*scripted to answer NoSuchBucket, which its model does not list", scripted(AwsError("NoSuchBucket")))
    try:
        ScriptedAws(Deployments()).on("codedeploy.Deploy", {})
        raise AssertionError("an operation that is not there")
    except AssertionError as error:
        matches(str(error), "there is no operation codedeploy.Deploy .*")


def faults():
    """Throttling, pages of proxies and cut lines, so many times, or for some calls alone; stock clients repeat them."""
    with ScriptedAws(Deployments(), Stacks(), Configurations()) as aws:
        deploy = aws.client("codedeploy")
        aws.on("codedeploy.GetDeployment", throttled(), times=2, when=lambda call: call.input["deploymentId"] == "d-1")
        equal(deploy.get_deployment(deploymentId="d-2")["deploymentInfo"]["status"], "Created", "not for this one")
        for _ in range(2):
            refused("ThrottlingException", "Rate exceeded", deploy.get_deployment, deploymentId="d-1")
        equal(deploy.get_deployment(deploymentId="d-1")["deploymentInfo"]["status"], "InProgress", "and over")
        aws.on("cloudformation.DescribeStacks", throttled("slow down"), times=1)
        refused("Throttling", "slow down", aws.client("cloudformation").describe_stacks, StackName="s")
        aws.on("appconfig.ListDeployments", throttled(), times=1)
        listed = {"ApplicationId": "abc1234", "EnvironmentId": "env1234", "MaxResults": 1}
        equal(status_of(refused("ThrottlingException", "Rate exceeded", aws.client("appconfig").list_deployments, **listed)), 429,
              "REST has a status for it")
        aws.on("codedeploy.GetDeployment", unavailable(502), times=1)
        refused("502", re.compile("(?s).*"), deploy.get_deployment, deploymentId="d-1")
        aws.on("codedeploy.GetDeployment", hung_up(), times=1)
        try:
            deploy.get_deployment(deploymentId="d-1")
            raise AssertionError("an answer on a cut line")
        except (botocore.exceptions.ConnectionClosedError, botocore.exceptions.EndpointConnectionError):
            pass
        aws.on("codedeploy.GetDeployment", {"deploymentInfo": {"status": "Failed"}}, times=1)
        equal(deploy.get_deployment(deploymentId="d-1")["deploymentInfo"]["status"], "Failed", "a ready answer")
        equal(deploy.get_deployment(deploymentId="d-1")["deploymentInfo"]["status"], "Succeeded", "the script again")


def identities():
    """Signatures are checked, and it is known which role's session asks."""
    with ScriptedAws(Deployments()) as aws:
        assumed = aws.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="codepipeline")["Credentials"]
        keys = {"aws_access_key_id": assumed["AccessKeyId"], "aws_secret_access_key": assumed["SecretAccessKey"],
                "aws_session_token": assumed["SessionToken"]}
        theirs = aws.client("codedeploy", **keys)
        theirs.get_deployment(deploymentId="d-1")
        aws.client("codedeploy").get_deployment(deploymentId="d-1")
        got = [(call.role, call.account, call.caller) for call in aws.called("codedeploy.GetDeployment")]
        equal(got, [(ROLE, "210987654321", "arn:aws:sts::210987654321:assumed-role/deployer/codepipeline"),
                    (None, "123456789012", "arn:aws:iam::123456789012:user/testing")], "who asked")
        aws.on("codedeploy.GetDeployment", denied(), when=lambda call: call.role == ROLE)
        answer = refused("AccessDeniedException", re.compile(".*assumed-role/deployer/codepipeline is not authorized to perform: "
                                                             "codedeploy:GetDeployment .*"), theirs.get_deployment, deploymentId="d")
        equal(status_of(answer), 403, "its status")
        wrong = re.compile(".*signature does not match.*")
        for changed in ({"aws_secret_access_key": "guess"}, {"aws_access_key_id": "AKIAUNKNOWN"}, {"aws_session_token": "old"}):
            refused("InvalidSignatureException", wrong, aws.client("codedeploy", **{**keys, **changed}).get_deployment,
                    deploymentId="d-1")
        equal(len(aws.refusals()), 3, "each of them")

        # A request that somebody changed on its way.
        signed = botocore.awsrequest.AWSRequest("POST", aws.url + "/", data=b'{"deploymentId": "d-1"}', headers={
            "X-Amz-Target": "CodeDeploy_20141006.GetDeployment", "Content-Type": "application/x-amz-json-1.1"})
        credentials = botocore.credentials.Credentials("testing", "testing")
        botocore.auth.SigV4Auth(credentials, "codedeploy", "us-east-1").add_auth(signed)
        host = urllib.parse.urlsplit(aws.url).netloc
        for body, status in ((b'{"deploymentId": "d-1"}', 200), (b'{"deploymentId": "d-2"}', 403)):
            connection = http.client.HTTPConnection(host)
            connection.request("POST", "/", body=body, headers={**dict(signed.headers), "Host": host})
            answer = connection.getresponse()
            told = json.loads(answer.read())
            equal(answer.status, status, f"{body} ({told})")
            connection.close()
        equal(len(aws.refusals()), 1, "the changed one")


def forwarding():
    """Whole services are led elsewhere."""
    with ScriptedAws(Objects()) as elsewhere, ScriptedAws(Deployments(), forward={"s3": elsewhere.url}) as aws:
        # The signature is over the name that the client knows; elsewhere is moto, which asks for none.
        elsewhere._caller = lambda *_: ("anybody", None)
        objects = aws.client("s3")
        objects.put_object(Bucket="box", Key="k", Body=b"hello")
        equal(objects.get_object(Bucket="box", Key="k")["Body"].read(), b"hello", "through and back")
        equal(len(elsewhere.called("s3.PutObject")), 1, "it was there")
        equal(aws.calls, [], "and not here")


class Images(Script):
    """A registry with one image, and a topic that takes notices."""

    service = "ecr"

    def describe_images(self, call):
        if call.input["repositoryName"] != "towline/web":
            raise AwsError("RepositoryNotFoundException", f"The repository with name '{call.input['repositoryName']}' does not exist")
        return {"imageDetails": [{"registryId": call.account, "repositoryName": "towline/web", "imageDigest": "sha256:" + "a" * 64,
                                  "imageTags": ["stable"], "imageSizeInBytes": 4711, "imagePushedAt": CREATED}]}


class Topics(Script):
    service = "sns"

    def publish(self, call):
        return {"MessageId": "567910cd-659e-55d4-8ccb-5aaf14679dc0"}


class Alarms(Script):
    service = "cloudwatch"

    def describe_alarms(self, call):
        return {"MetricAlarms": [{"AlarmName": name, "StateValue": "OK"} for name in call.input["AlarmNames"]]}


def through_towpath():
    """The server's own clients: JSON, query and what CloudWatch speaks, with the keys of assumed roles, throttled now and then."""
    with ScriptedAws(Images(), Topics(), Alarms()) as aws, tempfile.TemporaryDirectory() as directory:
        other, there = f"arn:aws:iam::{ACCOUNT}:role/registry", "arn:aws:iam::210987654321:role/registry"
        mapped = f'\n[realm.lab.roles]\n"{other}" = "{there}"\n'
        config = "[rehearsal]\nenabled = true\n" + aws.realm("ECR", "Manual", "CloudWatchAlarm", assume=True, more=mapped)
        with Server(directory, config):
            runs, arn = Pipelines(), role()
            bucket("artifacts")
            image = {"RepositoryName": "towline/web", "ImageTag": "stable"}
            topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:gate"
            trust = {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"}]}
            client("iam").create_role(RoleName="registry", AssumeRolePolicyDocument=json.dumps(trust))
            client("iam").put_role_policy(RoleName="registry", PolicyName="work", PolicyDocument=allow("s3:*"))
            aws.on("ecr.DescribeImages", throttled(), times=1)
            take = action("Image", "Source", "ECR", image, outputs=["img"], roleArn=other)
            gate = stage("Gate", action("Ok", "Approval", "Manual", {"NotificationArn": topic}))
            gate["beforeEntry"] = {"conditions": [{"result": "FAIL", "rules": [
                {"name": "Quiet", "ruleTypeId": {"category": "Rule", "owner": "AWS", "provider": "CloudWatchAlarm", "version": "1"},
                 "configuration": {"AlarmName": "ferry-5xx"}}]}]}
            client("iam").put_role_policy(RoleName="pipeline", PolicyName="hop", PolicyDocument=allow("sts:AssumeRole"))
            runs.api.create_pipeline(pipeline=pipeline("p", arn, stage("Source", take), gate, pipelineType="V2"))
            token = runs.token("p", "Gate")
            runs.answer("p", "Gate", token)
            runs.ended("p", runs.first("p"), "Succeeded")
            told = {call.name: (call.role, call.account, call.protocol) for call in aws.calls if call.service != "sts"}
            equal(told, {"ecr.DescribeImages": (there, "210987654321", "json"),
                         "cloudwatch.DescribeAlarms": (arn, ACCOUNT, told["cloudwatch.DescribeAlarms"][2]),
                         "sns.Publish": (arn, ACCOUNT, "query")}, "who asked for what")
            equal(aws.called("ecr.DescribeImages")[0].refused, "ThrottlingException", "at first")
            assumed = [(call.input["RoleArn"], call.role) for call in aws.called("sts.AssumeRole")]
            holds((arn, None) in assumed and (there, arn) in assumed, f"one role by the other: {assumed}")

            # What the service says comes through, and what the caller may not do.
            def fails(name, **configuration):
                broken = action("Image", "Source", "ECR", {**image, **configuration}, outputs=["img"])
                runs.api.create_pipeline(pipeline=pipeline(name, arn, stage("Source", broken), stage("Use", rehearsal("Use"))))
                runs.ended(name, runs.first(name), "Failed")
                return runs.action_latest(name, "Source", "Image")["errorDetails"]

            error = fails("q", RepositoryName="none")
            equal(error["code"], "ConfigurationError", "a repository that is not there")
            matches(error["message"], ".*repository named none does not exist.*RepositoryNotFoundException.*")
            aws.on("ecr.DescribeImages", denied())
            error = fails("r")
            equal(error["code"], "PermissionError", "a role that may not")
            matches(error["message"], ".*is not authorized to perform: ecr:DescribeImages.*")


if __name__ == "__main__":
    main([protocols, refusals, unknown, faults, identities, forwarding, through_towpath])
