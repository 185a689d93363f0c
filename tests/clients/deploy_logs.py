"""`towpath logs` of deployments, driven through the shipped binary: the events of a service, of instances, of an environment, of a
configuration, read in the realm where they happened; while they happen, and when they may not be read. Run by the Rust tests of
the `towpath` command, one scenario at a time. Stacks and stack sets are in cloudformation.py, EKS's tools in host_deploys.py.
"""

import contextlib
import json
import pathlib
import subprocess
import tempfile

from compute_deploys import IMAGES
from deploy_world import at, elsewhere
from harness import ACCOUNT, REGION, Pipelines, Server, action, bucket, equal, holds, main, matches, pipeline, role, s3_source, source
from harness import stage, wait
from host_deploys import BUNDLE, Instances
from rules import Moto
from scripted.appconfig import AppConfig
from scripted.codedeploy import CodeDeploy, failed, instance
from scripted.ecs import Ecs, breaker
from scripted.elasticbeanstalk import ElasticBeanstalk
from scripted.ssm import Ssm
from scripted_aws import ScriptedAws, denied

PROVIDERS = ("AppConfig", "CodeDeploy", "EC2", "ECS", "ElasticBeanstalk")


class World:
    """A pipeline with a deployment of each kind in one stage, and all that they deploy to."""

    def __init__(self, directory, moto):
        self.ecs, self.codedeploy, self.bean, self.flags = Ecs(), CodeDeploy(), ElasticBeanstalk(), AppConfig()
        self.ecs.run("ferry", "harbour")
        self.codedeploy.group("ferry", "canary")
        self.bean.environment("ferry", "ferry-prod")
        self.flags.profile("abc1234", "def5678")
        self.flags.environment("abc1234", "env1234")
        self.ssm = Ssm(pathlib.Path(directory) / "instances")
        self.scripts = (self.ecs, self.codedeploy, self.bean, self.flags, self.ssm)
        self.moto = moto

    def declare(self):
        at(self.moto, "s3").create_bucket(Bucket=f"elasticbeanstalk-{REGION}-{ACCOUNT}")
        self.instances = Instances(self.moto, self.ssm, count=2)
        self.runs = Pipelines()
        bucket("artifacts")
        source({**BUNDLE, "imagedefinitions.json": IMAGES, "appspec.yml": "version: 0.0\nos: linux\n", "flags.json": "{}"})

        def deploy(name, provider, **keys):
            return action(name, "Deploy", provider, keys, inputs=["src"])

        ship = stage(
            "Ship",
            deploy("Roll", "ECS", ClusterName="harbour", ServiceName="ferry"),
            deploy("Hosts", "CodeDeploy", ApplicationName="ferry", DeploymentGroupName="canary"),
            deploy("Bean", "ElasticBeanstalk", ApplicationName="ferry", EnvironmentName="ferry-prod"),
            deploy("Flags", "AppConfig", Application="abc1234", Environment="env1234", ConfigurationProfile="def5678",
                   InputArtifactConfigurationPath="flags.json", DeploymentStrategy="AppConfig.AllAtOnce"),
            deploy("Fleet", "EC2", InstanceTagKey="role", InstanceTagValue="web", InstanceType="EC2", TargetDirectory="/srv/ferry",
                   PostScript="hooks/start.sh"))
        self.runs.api.create_pipeline(pipeline=pipeline("p", role(), stage("Source", s3_source()), ship, pipelineType="V2"))
        return self.runs.first("p")


@contextlib.contextmanager
def world():
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        there = World(directory, moto)
        with ScriptedAws(*there.scripts) as scripted:
            more = elsewhere(moto, "s3", "ec2", "elastic_load_balancing_v2")
            with Server(directory, scripted.realm(*PROVIDERS, more=more)) as server:
                yield server, scripted, there


def logs(server, *arguments):
    ran = subprocess.run([server.binary, "logs", "p", *arguments], capture_output=True, text=True, timeout=60)
    equal(ran.returncode, 0, ran.stderr)
    return ran.stdout


def events():
    """Each deployment's own events, and those of a failure with the end of the script's log."""
    with world() as (server, _, there):
        there.codedeploy.next("ferry", "canary", targets=[instance("i-1"), instance("i-2")])
        execution = there.declare()
        there.runs.ended("p", execution, "Succeeded")

        text = logs(server, "--action", "Ship/Roll")
        equal(text.splitlines()[-1], "(service ferry) has reached a steady state.", "ECS")
        text = logs(server, "--action", "Ship/Hosts")
        equal(sorted(line.split()[:3] for line in text.splitlines()),
              [["i-1", "Succeeded", "BeforeInstall"], ["i-2", "Succeeded", "BeforeInstall"]], "CodeDeploy")
        text = logs(server, "--action", "Ship/Bean")
        equal(text.splitlines()[-1], "INFO Environment update completed successfully.", "Elastic Beanstalk")
        text = logs(server, "--action", "Ship/Flags")
        equal(text, "DEPLOYMENT_STARTED Deployment started\n", "AppConfig")
        text = logs(server, "--action", "Ship/Fleet")
        for identity in there.instances.ids:
            holds(f"{identity} AFTER_DEPLOY Succeeded\n" in text, text)
        whole = logs(server)
        for part in ("(service ferry)", "i-1 Succeeded", "INFO Environment update", "DEPLOYMENT_STARTED", "AFTER_DEPLOY Succeeded"):
            holds(part in whole, f"{part} in {whole}")

        there.ecs.next("ferry", breaker(rolls_back=True, exit_code=3), cluster="harbour")
        told = instance("i-2", "ApplicationStart", "ScriptFailed", "hooks/start.sh", "exit code 3", "no port")
        there.codedeploy.next("ferry", "canary", failed("HEALTH_CONSTRAINTS", "Too many instances failed.", [instance("i-1"), told]))
        second = there.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        there.runs.ended("p", second, "Failed")
        text = logs(server, "--action", "Ship/Hosts")
        matches(text, r"(?s).*i-2 Failed ApplicationStart.*\ni-2 \| no port\n.*", "the script's last words")


def followed():
    """A log that grows is told as it grows, once."""
    with world() as (server, _, there):
        there.flags.next("abc1234", "env1234", [("DEPLOYING", 10.0)])
        execution = there.declare()
        command = [server.binary, "logs", "p", "--action", "Ship/Flags", "--follow", "--format", "json"]
        wait("the deployment", lambda: there.runs.action_latest("p", "Ship", "Flags").get("percentComplete") == 10)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
            first = json.loads(tail.stdout.readline())
            equal((first["stage"], first["action"], first["executionId"]), ("Ship", "Flags", execution), "whose it is")
            holds(first["message"].startswith("DEPLOYMENT_STARTED "), first)
            equal(there.runs.status("p", execution), "InProgress", "while it runs")
            there.runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, abandon=True)
            rest = [json.loads(line)["message"] for line in tail.stdout]
        equal((tail.returncode, sum(message.startswith("DEPLOYMENT_STARTED") for message in rest)), (3, 0), f"to its end: {rest}")


def unreadable():
    """What the role may not read is told with AWS's reason; the action does not mind."""
    with world() as (server, scripted, there):
        execution = there.declare()
        there.runs.ended("p", execution, "Succeeded")
        scripted.on("codedeploy.ListDeploymentTargets", denied("codedeploy:ListDeploymentTargets"))
        ran = subprocess.run([server.binary, "logs", "p", "--action", "Ship/Hosts"], capture_output=True, text=True, timeout=60)
        equal(ran.returncode, 0, ran.stderr)
        matches(ran.stderr, r"(?s).*the log of Ship/Hosts cannot be read in its realm: .*not authorized to perform: "
                            r"codedeploy:ListDeploymentTargets.*", "why")


if __name__ == "__main__":
    main([events, followed, unreadable])
