"""Deployments to EC2's instances and to EKS through the shipped binary: whole pipelines, as AWS's tutorials have them, and the
ways in which they fail. Run by the Rust tests of the `towpath` command, one scenario at a time.

Systems Manager and EKS are scripted endpoints (scripted_aws.py); EC2, Elastic Load Balancing, CloudWatch Logs and the S3 that
instances read are moto's server. `kubectl` and `helm` are scripts of this file.
"""

import json
import os
import pathlib
import tempfile

from aws_cli import aws as aws_cli
from deploy_world import World, at, deploy, elsewhere, logs
from harness import Server, equal, holds, main, matches, wait
from rules import Moto
from scripted.eks import Eks
from scripted.ssm import Ssm
from scripted_aws import ScriptedAws, denied, throttled


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
            with Server(directory, scripted.realm("EC2", more=more)) as server:
                instances = Instances(moto, ssm)
                world = World(BUNDLE)
                scripted.on("ssm.SendCommand", throttled(), times=2)
                scripted.on("ssm.ListCommandInvocations", throttled(), times=1)
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
                matches(result["externalExecutionUrl"],
                        r"https://console\.aws\.amazon\.com/systems-manager/run-command/[0-9a-f-]{36}\?region=us-east-1", "link")
                equal(world.latest("p")["percentComplete"], 100, "percent")
                lines = logs(server, "p")
                holds(any(line.endswith(f"{instances.ids[2]} AFTER_DEPLOY Succeeded") for line in lines), lines)

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
                # The AWS CLI goes through the pages by itself.
                told = aws_cli("codepipeline", "list-deploy-action-execution-targets", "--pipeline-name", "p",
                               "--action-execution-id", row["actionExecutionId"], "--filters", "name=TARGET_STATUS,values=Succeeded",
                               "--page-size", "2")
                equal([one["targetId"] for one in told["targets"]], instances.ids, "by the AWS CLI")

                # The same artifact again is there already.
                second = world.again("p", "Succeeded")
                listed = api.list_deploy_action_execution_targets(actionExecutionId=world.row("p", second)["actionExecutionId"])
                equal([one["status"] for one in listed["targets"]], ["Skipped"] * 3, "skipped")


def ec2_failures():
    """A script that fails, with its words; the next execution begins with the instance on which it failed; a stop cancels."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        ssm = Ssm(pathlib.Path(directory) / "instances")
        with ScriptedAws(ssm) as scripted:
            more = elsewhere(moto, "s3", "ec2", "elastic_load_balancing_v2")
            with Server(directory, scripted.realm("EC2", more=more)) as server:
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

                holds(any("AFTER_DEPLOY Failed: hooks/fail.sh exit 3: no port" in line for line in logs(server, "p")), "its log")
                scripted.on("ssm.SendCommand", denied(), times=1)
                code, message = world.error("denied", vms(TargetDirectory="/srv/ferry"))
                equal(code, "PermissionError", message)
                holds(message.startswith("The provided role does not have sufficient permissions to access SSM. Error calling "
                                         "sendCommand: User: "), message)
                code, message = world.error("group", vms(TargetDirectory="/srv/ferry", TargetGroupNameList="other"))
                equal(code, "ConfigurationError", message)
                holds(message.startswith("Error calling describeTargetGroups: One or more target groups not found"), message)
                code, message = world.error("none", deploy("EC2", InstanceTagKey="role", InstanceTagValue="db", InstanceType="EC2",
                                                           TargetDirectory="/srv"))
                equal(code, "ConfigurationError", message)
                holds(message.startswith("There are no running instances with the tag role=db"), message)

                ssm.held = True
                first = world.declare("q", vms(TargetDirectory="/srv/ferry"))
                wait("the command", lambda: len(ssm.batches()) == 2)
                wait("its progress", lambda: world.latest("q").get("percentComplete") == 0)
                world.runs.api.stop_pipeline_execution(pipelineName="q", pipelineExecutionId=first, abandon=True)
                wait("the cancellation", lambda: ssm.cancelled)


# EKS


# Tells what it was called with, and does what a line of the manifest or the chart says.
TOOL = """#!/bin/sh
echo "$(basename "$0") $*" | sed "s#$PWD/##g"
cp "$KUBECONFIG" "{seen}"
for last; do :; done
test -f "$last" || last="$4/Chart.yaml"
cat "$last"
sed -n 's/^# run: //p' "$last" > "$HOME/commands"
. "$HOME/commands"
"""
CLUSTER_FILES = {
    "k8s/web.yaml": "image: web:$TAG\n", "k8s/bad.yaml": "# run: echo 'error: no such kind' >&2; exit 1\n",
    "k8s/slow.yaml": "# run: touch {begun}; sleep 600\n",
    "k8s/stranger.yaml": "# run: echo 'error: You must be logged in to the server (Unauthorized)' >&2; exit 1\n",
    "k8s/forbidden.yaml": "# run: echo 'Error from server (Forbidden): secrets is forbidden' >&2; exit 1\n",
    "charts/ferry/Chart.yaml": "name: ferry\n", "charts/production.yaml": "tag: ${TAG}\n",
}


class Cluster:
    """A cluster of scripted EKS, its log groups at moto's server, and tools that tell what they are given."""

    def __init__(self, directory, moto):
        self.moto, self.seen, self.begun = moto, pathlib.Path(directory) / "seen", pathlib.Path(directory) / "begun"
        tools = pathlib.Path(directory) / "tools"
        tools.mkdir()
        for name in ("kubectl", "helm"):
            (tools / name).write_text(TOOL.replace("{seen}", str(self.seen)))
            (tools / name).chmod(0o755)
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
        self.more = f'\n[realm.lab.endpoints]\ncloudwatch_logs = "{moto.url}"\n'
        self.files = {name: text.replace("{begun}", str(self.begun)) for name, text in CLUSTER_FILES.items()}

    def stream(self, row, pipeline="p"):
        events = at(self.moto, "logs").get_log_events(logGroupName=f"/aws/codepipeline/{pipeline}",
                                                      logStreamName=row["actionExecutionId"])["events"]
        return [event["message"] for event in events]


def apply(manifest, **keys):
    return deploy("EKS", ClusterName="harbour", ManifestFiles=manifest, **keys)


TAG = [{"name": "TAG", "value": "v2"}]


def eks():
    """Manifests with a variable and a chart with values, each with a token that the cluster's authenticator would take, and the
    log of it."""
    script = Eks()
    script.cluster("harbour")
    with Moto() as moto, ScriptedAws(script) as scripted, tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(directory, moto)
        with Server(directory, scripted.realm("EKS", assume=True, more=cluster.more)) as server:
            world = World(cluster.files)
            scripted.on("eks.DescribeCluster", throttled(), times=2)
            row = world.shipped("p", {**apply("k8s/web.yaml", Namespace="ferry"), "environmentVariables": TAG})
            config = json.loads(cluster.seen.read_text())
            equal(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:1", "the cluster")
            caller = script.identity(config["users"][0]["user"]["token"], "harbour")
            matches(caller, r"arn:aws:sts::\d{12}:assumed-role/pipeline/codepipeline@p", "who it is to the cluster")
            lines = ["$ kubectl apply --namespace ferry --filename k8s/web.yaml",
                     "kubectl apply --namespace ferry --filename k8s/web.yaml", "image: web:v2"]
            equal(cluster.stream(row)[1:], lines, "the log")
            holds(any(line.endswith("image: web:v2") for line in logs(server, "p")), "as towpath shows it")
            equal(row["output"]["outputVariables"], {"EKSClusterName": "harbour"}, "variables")
            result = row["output"]["executionResult"]
            equal((result["externalExecutionId"], result["externalExecutionSummary"]),
                  (row["actionExecutionId"], "kubectl deployed to harbour."), "result")
            matches(result["logStreamARN"], r"arn:aws:logs:us-east-1:\d{12}:log-group:/aws/codepipeline/p:log-stream:"
                                            + row["actionExecutionId"], "the log's ARN")
            holds("#logsV2:log-groups/log-group/$252Faws$252Fcodepipeline$252Fp" in result["externalExecutionUrl"], result)

            chart = deploy("EKS", ClusterName="harbour", HelmReleaseName="ferry", HelmChartLocation="charts/ferry",
                           HelmValuesFiles="charts/production.yaml", Namespace="ferry")
            row = world.shipped("helm", {**chart, "environmentVariables": TAG})
            lines = ["helm upgrade --install ferry charts/ferry --namespace ferry --wait --values charts/production.yaml", "tag: v2"]
            equal(cluster.stream(row, "helm")[2:], lines, "the chart's log")


def eks_failures():
    """What a tool refuses, who the cluster does not let in, what is missing; and a stop that ends the tool."""
    script = Eks()
    script.cluster("harbour")
    script.cluster("young", "CREATING")
    with Moto() as moto, ScriptedAws(script) as scripted, tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(directory, moto)
        with Server(directory, scripted.realm("EKS", assume=True, more=cluster.more)):
            world = World(cluster.files)
            code, message = world.error("bad", apply("k8s/bad.yaml"))
            equal(code, "JobFailed", message)
            holds(message.startswith("kubectl apply --namespace default --filename k8s/bad.yaml failed (exit status: 1): ")
                  and message.endswith("error: no such kind"), message)
            for name, manifest, words in [
                ("stranger", "k8s/stranger.yaml", f"The role {world.arn} needs an access entry of the cluster."),
                ("forbidden", "k8s/forbidden.yaml", "The access entry of the role does not allow it in Kubernetes (RBAC)."),
            ]:
                code, message = world.error(name, apply(manifest))
                equal(code, "PermissionError", message)
                holds(message.endswith(words), message)
            for name, declared, words in [
                ("gone", deploy("EKS", ClusterName="none", ManifestFiles="k8s/web.yaml"),
                 "Error calling describeCluster: No cluster found for name: none."),
                ("young", deploy("EKS", ClusterName="young", ManifestFiles="k8s/web.yaml"), "The cluster young is CREATING; only"),
                ("file", apply("k8s/none.yaml"), "The artifact has no file k8s/none.yaml."),
                ("chart", deploy("EKS", ClusterName="harbour", HelmReleaseName="a", HelmChartLocation="b"),
                 "The artifact has no chart at b"),
            ]:
                code, message = world.error(name, declared)
                equal(code, "ConfigurationError", message)
                holds(message.startswith(words), message)
            scripted.on("eks.DescribeCluster", denied(), times=1)
            code, message = world.error("denied", apply("k8s/web.yaml"))
            equal(code, "PermissionError", message)
            holds(message.startswith("The provided role does not have sufficient permissions to access EKS. Error calling "
                                     "describeCluster: User: "), message)

            execution = world.declare("slow", apply("k8s/slow.yaml"))
            wait("the tool", cluster.begun.exists)
            wait("its progress", lambda: world.latest("slow").get("summary") == "kubectl deploys to harbour.")
            world.runs.api.stop_pipeline_execution(pipelineName="slow", pipelineExecutionId=execution, abandon=True)
            wait("the end of the tool", lambda: not running(cluster.seen.parent / "tools" / "kubectl"))


def running(program):
    """Whether a process runs this script."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(program).encode() in (process / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            # It ended meanwhile.
            continue
    return False


if __name__ == "__main__":
    main([ec2_instances, ec2_failures, eks, eks_failures])
