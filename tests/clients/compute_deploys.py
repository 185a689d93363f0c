"""Deployments to ECS, with CodeDeploy, to EC2's instances and to EKS through the shipped binary: whole pipelines, as AWS's
tutorials have them, and the ways in which they fail. Run by the Rust tests of the `towpath` command, one scenario at a time.

ECS, CodeDeploy, Systems Manager and EKS are scripted endpoints (scripted_aws.py); EC2, Elastic Load Balancing, CloudWatch Logs and
the S3 that instances read are moto's server. `kubectl` is a script of this file.
"""

import hashlib
import json
import os
import pathlib
import re
import tempfile

import boto3 as aws

from harness import REGION, Pipelines, Server, action, bucket, client, equal, holds, main, matches, pipeline, role
from harness import s3_source, source, stage, wait
from rules import Moto
from scripted.codedeploy import CodeDeploy, failed, instance
from scripted.ecs import Ecs, blue_green, breaker
from scripted.eks import Eks
from scripted.ssm import Ssm
from scripted_aws import ScriptedAws, denied, throttled

SOURCE = stage("Source", s3_source())
OTHER_ACCOUNT = "arn:aws:iam::210987654321:role/deployer"


def at(moto, service):
    return aws.client(service, endpoint_url=moto.url, region_name=REGION, aws_access_key_id="testing",
                      aws_secret_access_key="testing")


class World:
    """Pipelines with one deploy action each."""

    def __init__(self, files):
        self.runs, self.arn = Pipelines(), role()
        bucket("artifacts")
        source(files)

    def declare(self, name, deploy):
        self.runs.api.create_pipeline(pipeline=pipeline(name, self.arn, SOURCE, stage("Ship", deploy), pipelineType="V2"))
        return self.runs.first(name)

    def shipped(self, name, deploy):
        execution = self.declare(name, deploy)
        self.runs.ended(name, execution, "Succeeded")
        return self.row(name, execution)

    def error(self, name, deploy):
        """Code and message of the failure."""
        self.runs.ended(name, self.declare(name, deploy), "Failed")
        details = self.runs.action_latest(name, "Ship", deploy["name"])["errorDetails"]
        return details["code"], details["message"]

    def row(self, name, execution):
        return next(row for row in self.runs.actions(name, execution) if row["stageName"] == "Ship")


def deploy(provider, **keys):
    return action("Go", "Deploy", provider, keys, inputs=["src"])


# ECS


def roll(service="ferry", **keys):
    return deploy("ECS", ClusterName="harbour", ServiceName=service, **keys)


IMAGES = json.dumps([{"name": "app", "imageUri": "registry.example/app:2"}])


def ecs_rollout():
    """The tutorial's rolling update: the service's own task definition with a new image, and its tags; then one that fails."""
    ecs = Ecs()
    old = ecs.run("ferry", "harbour", containers=[{"name": "app", "image": "registry.example/app:1", "memory": 128},
                                                  {"name": "proxy", "image": "proxy:1", "memory": 64}])
    ecs.tags[old] = [{"key": "team", "value": "harbour"}]
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory, Server(directory, scripted.realm("ECS")):
        world = World({"imagedefinitions.json": IMAGES})
        scripted.on("ecs.DescribeServices", throttled(), times=2)
        row = world.shipped("p", roll())
        new = ecs.of("ferry", "harbour").definition
        matches(new, r".*:task-definition/ferry:2", "a new revision")
        images = {one["name"]: one["image"] for one in ecs.definition(new)["containerDefinitions"]}
        equal(images, {"app": "registry.example/app:2", "proxy": "proxy:1"}, "images")
        equal(ecs.tags[new], ecs.tags[old], "tags")
        equal(scripted.inputs("ecs.UpdateService"), [{"cluster": "harbour", "service": "ferry", "taskDefinition": new}], "update")
        result = row["output"]["executionResult"]
        matches(result["externalExecutionId"], r"ecs-svc/\d+", "external id")
        equal(result["externalExecutionUrl"], f"https://console.aws.amazon.com/ecs/home?region={REGION}#/clusters/harbour/services/"
                                              "ferry/deployments", "link")

        ecs.next("ferry", breaker(rolls_back=True, exit_code=3), cluster="harbour")
        second = world.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        world.runs.ended("p", second, "Failed")
        error = world.runs.action_latest("p", "Ship", "Go")["errorDetails"]
        equal(error["code"], "JobFailed", "code")
        matches(error["message"], r"ECS deployment circuit breaker: tasks failed to start\. Last stopped task: Essential container "
                                  r"in task exited.*exit code 3.*", "the circuit breaker's words and the task's")
        equal(ecs.of("ferry", "harbour").definition, new, "rolled back")


def ecs_strategies():
    """A service with a blue/green strategy of its own, and a stop that ends its service deployment."""
    ecs = Ecs()
    ecs.run("ferry", "harbour", strategy="BLUE_GREEN")
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory, Server(directory, scripted.realm("ECS")):
        world = World({"imagedefinitions.json": IMAGES})
        world.shipped("p", roll())
        ecs.next("ferry", blue_green("IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL", rollback="An alarm went off."),
                 cluster="harbour")
        second = world.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        world.runs.ended("p", second, "Failed")
        message = world.runs.action_latest("p", "Ship", "Go")["errorDetails"]["message"]
        holds(message.startswith("The service deployment is ROLLBACK_SUCCESSFUL. An alarm went off."), message)

        ecs.next("ferry", blue_green("IN_PROGRESS"), cluster="harbour")
        third = world.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        wait("the third update", lambda: len(scripted.called("ecs.UpdateService")) == 3)
        wait("its progress", lambda: "ecs-svc" in world.runs.action_latest("p", "Ship", "Go").get("externalExecutionId", ""))
        world.runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=third, abandon=True)
        stopped = wait("the stop", lambda: scripted.inputs("ecs.StopServiceDeployment"))
        equal(stopped[0]["stopType"], "ROLLBACK", "how")


def ecs_refusals():
    """What is missing, in ECS, in the artifact and in the role, each in words of its own."""
    ecs = Ecs()
    ecs.run("ferry", "harbour", containers=[{"name": "web", "image": "web:1", "memory": 128}])
    ecs.run("other", "harbour", controller="CODE_DEPLOY")
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory, Server(directory, scripted.realm("ECS")):
        world = World({"imagedefinitions.json": IMAGES, "broken.json": "{"})
        for name, declared, words in [
            ("service", roll("none"), r"The Amazon ECS service none does not exist in the cluster harbour: MISSING\. .*"),
            ("cluster", deploy("ECS", ClusterName="none", ServiceName="ferry"), r"Error calling describeServices: Cluster not found\. .*"),
            ("container", roll(), r"The AWS ECS container app does not exist"),
            ("file", roll(FileName="none.json"), r"Did not find the image definition file none\.json in the input artifacts ZIP file\. .*"),
            ("json", roll(FileName="broken.json"), r"The image definition file broken\.json contains invalid JSON format\. .*"),
            ("controller", roll("other"), r"InvalidParameterException: Unable to update task definition on services with a CODE_DEPLOY .*"),
        ]:
            code, message = world.error(name, declared)
            equal(code, "ConfigurationError", message)
            matches(message, words, name)
        scripted.on("ecs.DescribeServices", denied())
        code, message = world.error("denied", roll())
        equal(code, "PermissionError", message)
        holds("is not authorized to perform: ecs:DescribeServices" in message, message)
        equal(scripted.called("ecs.UpdateService"), [], "nothing was updated")


# CodeDeploy


STAGING = 'staging-bucket = "staging"\n'


def elsewhere(moto, *services):
    """More of a realm: services that are at moto's server."""
    return STAGING + "\n[realm.lab.endpoints]\n" + "".join(f'{service} = "{moto.url}"\n' for service in services)


def codedeploy_instances():
    """A bundle to a deployment group: it lies in the staging bucket, is deployed, and a failure names the script. While another
    deployment of the group goes on, the action waits."""
    script = CodeDeploy()
    script.group("ferry", "canary")
    with Moto() as moto, ScriptedAws(script) as scripted, tempfile.TemporaryDirectory() as directory:
        at(moto, "s3").create_bucket(Bucket="staging")
        with Server(directory, scripted.realm("CodeDeploy", more=elsewhere(moto, "s3"))):
            world = World({"appspec.yml": "version: 0.0\nos: linux\n"})
            canary = deploy("CodeDeploy", ApplicationName="ferry", DeploymentGroupName="canary")
            script.next("ferry", "canary", targets=[instance("i-1"), instance("i-2")])
            row = world.shipped("p", canary)
            made = script.of_group("ferry", "canary")[0]
            result = row["output"]["executionResult"]
            equal((result["externalExecutionId"], result["externalExecutionSummary"]), (made["id"], "Deployment Succeeded"), "result")
            equal(result["externalExecutionUrl"],
                  f"https://console.aws.amazon.com/codedeploy/home?region={REGION}#/deployments/{made['id']}", "link")
            place = made["revision"]["s3Location"]
            equal((place["bucket"], place["bundleType"]), ("staging", "zip"), "where the agents find it")
            body = at(moto, "s3").get_object(Bucket="staging", Key=place["key"])
            equal(body["ETag"].strip('"'), place["eTag"], "exactly that object")
            equal(made["description"], f"p {row['actionExecutionId']}", "whose it is")

            told = instance("i-2", "ApplicationStart", "ScriptFailed", "hooks/start.sh", "exit code 3", "no port")
            script.next("ferry", "canary", failed("HEALTH_CONSTRAINTS", "Too many instances failed.", [instance("i-1"), told]), True)
            second = world.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            world.runs.ended("p", second, "Failed")
            error = world.runs.action_latest("p", "Ship", "Go")["errorDetails"]
            equal(error["code"], "JobFailed", "code")
            matches(error["message"], r"HEALTH_CONSTRAINTS: Too many instances failed\. \[i-2 ApplicationStart ScriptFailed hooks/start\.sh: "
                                      r"exit code 3\] The deployment d-[A-Z0-9]{9} rolls it back\.", "the reason")

            # The rollback goes on; the next deployment waits for its end.
            third = world.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            wait("its turn", lambda: any(call.refused == "DeploymentLimitExceededException"
                                         for call in scripted.called("codedeploy.CreateDeployment")))
            for other in script.of_group("ferry", "canary"):
                if other["creator"] == "codeDeployRollback":
                    other["course"].go("Succeeded")
            world.runs.ended("p", third, "Succeeded")


def codedeploy_stops():
    """A stop with abandon stops the deployment; what is missing is told."""
    script = CodeDeploy()
    script.group("ferry", "canary")
    with Moto() as moto, ScriptedAws(script) as scripted, tempfile.TemporaryDirectory() as directory:
        at(moto, "s3").create_bucket(Bucket="staging")
        with Server(directory, scripted.realm("CodeDeploy", more=elsewhere(moto, "s3"))):
            world = World({"appspec.yml": "version: 0.0\n"})
            script.next("ferry", "canary", ("InProgress",))
            canary = deploy("CodeDeploy", ApplicationName="ferry", DeploymentGroupName="canary")
            first = world.declare("p", canary)
            made = wait("the deployment", lambda: script.of_group("ferry", "canary"))[0]
            wait("its progress", lambda: world.runs.action_latest("p", "Ship", "Go").get("externalExecutionId") == made["id"])
            world.runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=first, abandon=True)
            wait("the stop", lambda: made["stopped"])
            code, message = world.error("q", deploy("CodeDeploy", ApplicationName="none", DeploymentGroupName="canary"))
            equal(code, "ConfigurationError", message)
            holds(message.startswith("Error calling listDeployments: No application found for name: none"), message)
    with ScriptedAws(script) as scripted, tempfile.TemporaryDirectory() as directory:
        with Server(directory, scripted.realm("CodeDeploy")):
            world = World({"appspec.yml": "version: 0.0\n"})
            code, message = world.error("p", canary)
            equal(code, "ConfigurationError", message)
            holds('Add `staging-bucket = "..."` to `[realm.lab]`' in message, message)


TASK_DEFINITION = {"family": "ferry", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
                   "containerDefinitions": [{"name": "web", "image": "<IMAGE1_NAME>", "essential": True}]}
APP_SPEC = ("version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n      Properties:\n        TaskDefinition: "
            "<TASK_DEFINITION>\n")


def codedeploy_to_ecs():
    """The tutorial's blue/green deployment, by a role of another account: task definition and appspec are made of templates."""
    script, ecs = CodeDeploy(), Ecs(account="210987654321")
    script.group("ferry-ecs", "blue-green", "ECS")
    with ScriptedAws(script, ecs) as scripted, tempfile.TemporaryDirectory() as directory:
        with Server(directory, scripted.realm("CodeDeployToECS", assume=True)):
            world = World({"taskdef.json": json.dumps(TASK_DEFINITION), "appspec.yaml": APP_SPEC,
                           "imageDetail.json": json.dumps({"ImageURI": "registry.example/web@sha256:1"})})
            shift = deploy("CodeDeployToECS", ApplicationName="ferry-ecs", DeploymentGroupName="blue-green",
                           TaskDefinitionTemplateArtifact="src", AppSpecTemplateArtifact="src", Image1ArtifactName="src",
                           Image1ContainerName="IMAGE1_NAME")
            world.shipped("p", {**shift, "roleArn": world.arn})
            made = script.of_group("ferry-ecs", "blue-green")[0]
            definition = ecs.families["ferry"][0]
            equal(definition["containerDefinitions"][0]["image"], "registry.example/web@sha256:1", "the image")
            content = made["revision"]["appSpecContent"]
            equal(content["content"], APP_SPEC.replace("<TASK_DEFINITION>", definition["taskDefinitionArn"]), "the appspec")
            equal(content["sha256"], hashlib.sha256(content["content"].encode()).hexdigest(), "its hash")
            holds(all(call.role for call in scripted.called("codedeploy.CreateDeployment")), "as a role")
            code, message = world.error("q", {**shift, "configuration": {**shift["configuration"], "Image1ContainerName": "OTHER"}})
            equal(code, "ConfigurationError", message)
            holds("The image of the container web is still <IMAGE1_NAME>." in message, message)


def another_account():
    """An action with a role of another account: it is assumed there, and every call is made as it."""
    ecs = Ecs(account="210987654321")
    ecs.run("ferry", "harbour")
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory:
        more = 'accounts = ["210987654321"]\n'
        with Server(directory, scripted.realm("ECS", assume=True, more=more)):
            world = World({"imagedefinitions.json": IMAGES})
            bucket_policy("artifacts", OTHER_ACCOUNT)
            world.shipped("p", {**roll(), "roleArn": OTHER_ACCOUNT})
            roles = {call.role for call in scripted.called("ecs.UpdateService") + scripted.called("ecs.RegisterTaskDefinition")}
            equal(roles, {OTHER_ACCOUNT}, "whose calls they are")
            matches(scripted.called("ecs.UpdateService")[0].caller, r"arn:aws:sts::210987654321:assumed-role/deployer/codepipeline@p",
                    "its session")


def bucket_policy(name, principal):
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "s3:*",
                 "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]}
    client("s3").put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


# EC2


class Instances:
    """Instances of moto's EC2 whose agents are scripted, and a target group of moto's with two of them."""

    def __init__(self, moto, ssm, count=3):
        ec2 = at(moto, "ec2")
        image = ec2.describe_images()["Images"][0]["ImageId"]
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "role", "Value": "web"}]}]
        made = ec2.run_instances(ImageId=image, MinCount=count, MaxCount=count, TagSpecifications=tags)["Instances"]
        self.ids = sorted(one["InstanceId"] for one in made)
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
        for identity in self.ids:
            ssm.node(identity)
        self.elb = at(moto, "elbv2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        group = self.elb.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
        self.group = group["TargetGroupArn"]
        self.elb.register_targets(TargetGroupArn=self.group, Targets=[{"Id": one, "Port": 8080} for one in self.ids[:2]])
        at(moto, "s3").create_bucket(Bucket="staging")

    def registered(self):
        health = self.elb.describe_target_health(TargetGroupArn=self.group)["TargetHealthDescriptions"]
        return sorted((one["Target"]["Id"], one["Target"]["Port"]) for one in health
                      if one["TargetHealth"]["State"] not in ("unused", "draining"))


def vms(**keys):
    return deploy("EC2", InstanceTagKey="role", InstanceTagValue="web", InstanceType="EC2", **keys)


BUNDLE = {"index.html": "<p>", "hooks/stop.sh": "echo stopping\n", "hooks/start.sh": "test ! -f \"$BROKEN\"\necho started\n",
          "hooks/fail.sh": "echo no port >&2\nexit 3\n"}


def ec2_instances():
    """In batches, out of the target group and back: the artifact is on each instance, and each is listed with its steps."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        ssm = Ssm(pathlib.Path(directory) / "instances")
        with ScriptedAws(ssm) as scripted:
            more = elsewhere(moto, "s3", "ec2", "elastic_load_balancing_v2")
            with Server(directory, scripted.realm("EC2", more=more)):
                instances = Instances(moto, ssm)
                world = World(BUNDLE)
                keys = {"TargetDirectory": "/srv/ferry", "PreScript": "hooks/stop.sh", "PostScript": "hooks/start.sh", "MaxBatch": "2",
                        "TargetGroupNameList": "web"}
                row = world.shipped("p", vms(**keys))
                equal(ssm.batches(), [instances.ids[:2], instances.ids[2:]], "two batches")
                for identity in instances.ids:
                    equal((ssm.place(identity) / "srv/ferry/index.html").read_text(), "<p>", identity)
                    log = (ssm.place(identity) / "opt/codepipeline/p/Ship/Go/deploy.log").read_text()
                    equal(log, "stopping\nstarted\n", "the log on it")
                equal(instances.registered(), [(one, 8080) for one in instances.ids[:2]], "they serve again")
                result = row["output"]["executionResult"]
                equal((result["externalExecutionId"], result["externalExecutionSummary"]),
                      (row["actionExecutionId"], "3 of 3 targets"), "result")

                api = world.runs.api
                listed = api.list_deploy_action_execution_targets(pipelineName="p", actionExecutionId=row["actionExecutionId"])
                equal([(one["targetId"], one["targetType"], one["status"]) for one in listed["targets"]],
                      [(one, "EC2", "Succeeded") for one in instances.ids], "targets")
                steps = [(event["name"], event["status"]) for event in listed["targets"][0]["events"]]
                names = ["BLOCK_TRAFFIC", "DOWNLOAD_BUNDLE", "BEFORE_DEPLOY", "DEPLOY", "AFTER_DEPLOY", "ALLOW_TRAFFIC"]
                equal(steps, [(name, "Succeeded") for name in names], "steps")
                command = listed["targets"][0]["events"][2]["context"]["ssmCommandId"]
                holds(command in ssm.commands, "the command that did it")
                page = api.list_deploy_action_execution_targets(actionExecutionId=row["actionExecutionId"], maxResults=2)
                equal(len(page["targets"]), 2, "a page")
                rest = api.list_deploy_action_execution_targets(actionExecutionId=row["actionExecutionId"], maxResults=2,
                                                                nextToken=page["nextToken"])
                equal(([one["targetId"] for one in rest["targets"]], "nextToken" in rest), (instances.ids[2:], False), "the rest")
                none = api.list_deploy_action_execution_targets(actionExecutionId=row["actionExecutionId"],
                                                                filters=[{"name": "TARGET_STATUS", "values": ["Failed"]}])
                equal(none["targets"], [], "none failed")

                # The same artifact again is there already.
                second = api.start_pipeline_execution(name="p")["pipelineExecutionId"]
                world.runs.ended("p", second, "Succeeded")
                listed = api.list_deploy_action_execution_targets(actionExecutionId=world.row("p", second)["actionExecutionId"])
                equal([one["status"] for one in listed["targets"]], ["Skipped"] * 3, "skipped")


def ec2_failures():
    """A script that fails, with its words; the next execution begins with the instance on which it failed; a stop cancels."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        ssm = Ssm(pathlib.Path(directory) / "instances")
        with ScriptedAws(ssm) as scripted:
            more = elsewhere(moto, "s3", "ec2", "elastic_load_balancing_v2")
            with Server(directory, scripted.realm("EC2", more=more)):
                instances = Instances(moto, ssm)
                spec = {"version": 0.1, "files": [{"source": "/", "destination": "/srv/ferry"}],
                        "scripts": {"AfterDeploy": [{"location": "hooks/fail.sh", "timeout": 60}]}}
                world = World({**BUNDLE, "deploy.json": json.dumps(spec)})
                code, message = world.error("p", vms(DeploySpec="deploy.json", MaxBatch="34%"))
                equal(code, "JobFailed", message)
                equal(message, f"1 of 3 targets failed, where 0 may (MaxError). {instances.ids[0]} AFTER_DEPLOY hooks/fail.sh exit 3: no "
                               "port", "message")
                equal(len(ssm.batches()), 1, "the others are left alone")
                row = world.row("p", world.runs.first("p"))
                listed = world.runs.api.list_deploy_action_execution_targets(actionExecutionId=row["actionExecutionId"])
                equal([one["status"] for one in listed["targets"]], ["Failed", "Skipped", "Skipped"], "statuses")
                event = listed["targets"][0]["events"][-1]
                equal((event["name"], event["status"], event["context"]["message"]),
                      ("AFTER_DEPLOY", "Failed", "hooks/fail.sh exit 3: no port"), "where")

                code, message = world.error("none", deploy("EC2", InstanceTagKey="role", InstanceTagValue="db", InstanceType="EC2",
                                                           TargetDirectory="/srv"))
                equal(code, "ConfigurationError", message)
                holds(message.startswith("There are no running instances with the tag role=db"), message)

                ssm.held = True
                first = world.declare("q", vms(TargetDirectory="/srv/ferry"))
                wait("the command", lambda: len(ssm.batches()) == 2)
                wait("its progress", lambda: world.runs.action_latest("q", "Ship", "Go").get("percentComplete") == 0)
                world.runs.api.stop_pipeline_execution(pipelineName="q", pipelineExecutionId=first, abandon=True)
                wait("the cancellation", lambda: ssm.cancelled)


# EKS


KUBECTL = """#!/bin/sh
echo "kubectl $1 $2 $3"
cp "$KUBECONFIG" "{seen}"
cat "$5"
grep -q '^fail' "$5" && { echo 'error: no such kind' >&2; exit 1; }
exit 0
"""


def eks_manifests():
    """Manifests with a variable, applied with a token that the cluster's authenticator would take, and the log of it."""
    eks = Eks()
    eks.cluster("harbour")
    with Moto() as moto, ScriptedAws(eks) as scripted, tempfile.TemporaryDirectory() as directory:
        seen, tools = pathlib.Path(directory) / "seen", pathlib.Path(directory) / "tools"
        tools.mkdir()
        (tools / "kubectl").write_text(KUBECTL.replace("{seen}", str(seen)))
        (tools / "kubectl").chmod(0o755)
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
        more = f'\n[realm.lab.endpoints]\ncloudwatch_logs = "{moto.url}"\n'
        with Server(directory, scripted.realm("EKS", assume=True, more=more)):
            world = World({"k8s/web.yaml": "image: web:$TAG\n", "k8s/bad.yaml": "fail\n"})
            kube = deploy("EKS", ClusterName="harbour", ManifestFiles="k8s/web.yaml", Namespace="ferry")
            row = world.shipped("p", {**kube, "environmentVariables": [{"name": "TAG", "value": "v2"}]})
            config = json.loads(seen.read_text())
            equal(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:1", "the cluster")
            caller = eks.identity(config["users"][0]["user"]["token"], "harbour")
            matches(caller, r"arn:aws:sts::\d{12}:assumed-role/pipeline/codepipeline@p", "who it is to the cluster")
            logs = at(moto, "logs").get_log_events(logGroupName="/aws/codepipeline/p", logStreamName=row["actionExecutionId"])
            lines = [event["message"] for event in logs["events"]]
            equal(lines[1:], ["$ kubectl apply --namespace ferry --filename k8s/web.yaml", "kubectl apply --namespace ferry",
                              "image: web:v2"], "the log")
            equal(row["output"]["outputVariables"], {"EKSClusterName": "harbour"}, "variables")

            code, message = world.error("bad", deploy("EKS", ClusterName="harbour", ManifestFiles="k8s/bad.yaml"))
            equal(code, "JobFailed", message)
            holds(message.endswith("error: no such kind"), message)
            code, message = world.error("gone", deploy("EKS", ClusterName="none", ManifestFiles="k8s/web.yaml"))
            equal(code, "ConfigurationError", message)
            code, message = world.error("chart", deploy("EKS", ClusterName="harbour", HelmReleaseName="a", HelmChartLocation="b"))
            holds(re.match("helm is not installed|The artifact has no chart", message), message)


if __name__ == "__main__":
    main([ecs_rollout, ecs_strategies, ecs_refusals, codedeploy_instances, codedeploy_stops, codedeploy_to_ecs, another_account,
          ec2_instances, ec2_failures, eks_manifests])
