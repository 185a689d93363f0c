"""Deployments to ECS and with CodeDeploy through the shipped binary: whole pipelines, as AWS's tutorials have them, and the ways in
which they fail. Run by the Rust tests of the `towpath` command, one scenario at a time.

ECS and CodeDeploy are scripted endpoints (scripted_aws.py); the registry and the S3 that instances read are moto's server.
"""

import hashlib
import json
import tempfile

from deploy_world import SOURCE, World, at, deploy, elsewhere, logs
from ecr_source import push
from harness import REGION, Server, action, equal, holds, main, matches, role, stage, wait
from main_job import codebuild, project
from rules import Moto
from scripted.codedeploy import CodeDeploy, failed, instance, task_set
from scripted.ecs import Ecs, blue_green, breaker, never, replaced
from scripted_aws import AwsError, ScriptedAws, denied, hung_up, throttled, unavailable

OTHER_ACCOUNT = "arn:aws:iam::210987654321:role/deployer"
THIRD_ACCOUNT = "arn:aws:iam::321098765432:role/harbour/deployer"


# ECS


def roll(service="ferry", **keys):
    return deploy("ECS", ClusterName="harbour", ServiceName=service, **keys)


IMAGES = json.dumps([{"name": "app", "imageUri": "registry.example/app:2"}])
# What the tutorial's build does after it has pushed the image.
BUILD = """\
version: 0.2
phases:
  build:
    commands:
      - printf '[{"name":"app","imageUri":"registry.example/app:%s"}]' "$(cat version.txt)" > imagedefinitions.json
artifacts:
  files: imagedefinitions.json
"""


def ecs_rollout():
    """The tutorial's pipeline: a build tells the image, the service's own task definition gets it, and its tags; then a rollout
    that fails, and one that somebody else replaces. Disturbances in between are nobody's failure."""
    ecs = Ecs()
    old = ecs.run("ferry", "harbour", containers=[{"name": "app", "image": "registry.example/app:1", "memory": 128},
                                                  {"name": "proxy", "image": "proxy:1", "memory": 64}])
    ecs.tags[old] = [{"key": "team", "value": "harbour"}]
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory:
        with Server(directory, scripted.realm("ECS")) as server:
            made = codebuild("Image", "Build", "image", inputs=["src"], outputs=["built"])
            world = World({"version.txt": "2"}, SOURCE, stage("Build", made))
            project("image", BUILD, role("builder", service="codebuild.amazonaws.com"))
            scripted.on("ecs.DescribeServices", throttled(), times=2)
            scripted.on("ecs.RegisterTaskDefinition", unavailable(), times=1)
            scripted.on("ecs.UpdateService", hung_up(), times=1)
            row = world.shipped("p", deploy("ECS", ["built"], ClusterName="harbour", ServiceName="ferry"))
            new = ecs.of("ferry", "harbour").definition
            matches(new, r".*:task-definition/ferry:2", "a new revision")
            images = {one["name"]: one["image"] for one in ecs.definition(new)["containerDefinitions"]}
            equal(images, {"app": "registry.example/app:2", "proxy": "proxy:1"}, "images")
            equal(ecs.tags[new], ecs.tags[old], "tags")
            wanted = {"cluster": "harbour", "service": "ferry", "taskDefinition": new}
            equal([call.input for call in scripted.called("ecs.UpdateService") if not call.refused][-1], wanted, "update")
            result = row["output"]["executionResult"]
            matches(result["externalExecutionId"], r"ecs-svc/\d+", "external id")
            equal(result["externalExecutionUrl"], f"https://console.aws.amazon.com/ecs/home?region={REGION}#/clusters/harbour/"
                                                  "services/ferry/deployments", "link")
            equal(result["externalExecutionSummary"], "ferry:2: 2 of 2 tasks run.", "summary")
            equal(world.latest("p")["percentComplete"], 100, "percent")
            holds(any(line.endswith("(service ferry) has reached a steady state.") for line in logs(server, "p")), "its events")

            ecs.next("ferry", breaker(rolls_back=True, exit_code=3), cluster="harbour")
            world.again("p", "Failed")
            code, message = world.told("p")
            equal(code, "JobFailed", message)
            matches(message, r"ECS deployment circuit breaker: tasks failed to start\. Last stopped task: Essential container in task "
                             r"exited; container app: exit code 3, Error: process exited\. Last event: .*",
                    "the circuit breaker's words and the task's")
            equal(ecs.of("ferry", "harbour").definition, new, "rolled back")
            wanted = "deployment failed: tasks failed to start."
            holds(any(wanted in line and "JobFailed" not in line for line in logs(server, "p")), "the event that tells it")

            ecs.next("ferry", replaced(), cluster="harbour")
            world.again("p", "Failed")
            matches(world.told("p")[1], r"The deployment of ferry:4 was replaced or rolled back: the service runs ferry:5\..*", "taken")


def ecs_strategies():
    """A service with a blue/green strategy of its own, and a stop that ends its service deployment."""
    ecs = Ecs()
    ecs.run("ferry", "harbour", strategy="BLUE_GREEN")
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory, Server(directory, scripted.realm("ECS")):
        world = World({"imagedefinitions.json": IMAGES})
        world.shipped("p", roll())
        ecs.next("ferry", blue_green("IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL", rollback="An alarm went off."),
                 cluster="harbour")
        world.again("p", "Failed")
        message = world.told("p")[1]
        holds(message.startswith("The service deployment is ROLLBACK_SUCCESSFUL. An alarm went off."), message)

        ecs.next("ferry", blue_green("IN_PROGRESS"), cluster="harbour")
        third = world.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        wait("the third update", lambda: len(scripted.called("ecs.UpdateService")) == 3)
        wait("its progress", lambda: "ecs-svc" in world.latest("p").get("externalExecutionId", ""))
        world.runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=third, abandon=True)
        stopped = wait("the stop", lambda: scripted.inputs("ecs.StopServiceDeployment"))
        equal(stopped[0]["stopType"], "ROLLBACK", "how")


def ecs_stops():
    """A rolling update without end: it shows how far it is, and a stop takes the service back to what ran before."""
    ecs = Ecs()
    old = ecs.run("ferry", "harbour")
    ecs.next("ferry", never(), cluster="harbour")
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory:
        with Server(directory, scripted.realm("ECS")) as server:
            world = World({"imagedefinitions.json": IMAGES})
            execution = world.declare("p", roll())
            wait("its progress", lambda: world.latest("p").get("summary") == "ferry:2: 0 of 2 tasks run.")
            equal(world.latest("p")["percentComplete"], 0, "percent")
            wait("an event", lambda: any("was unable to place a task" in line for line in logs(server, "p")))
            world.runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, abandon=True)
            wait("the rollback", lambda: ecs.of("ferry", "harbour").definition == old)
            equal(world.runs.ended("p", execution), "Stopped", "the execution")


def ecs_refusals():
    """What is missing, in ECS, in the artifact and in the role, each in words of its own."""
    ecs = Ecs()
    ecs.run("ferry", "harbour", containers=[{"name": "web", "image": "web:1", "memory": 128}])
    ecs.run("other", "harbour", controller="CODE_DEPLOY")
    ecs.run("mine", "harbour")
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
        # ECS says it so, not as AccessDeniedException.
        text = "User: x is not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role/tasks"
        scripted.on("ecs.RegisterTaskDefinition", AwsError("ClientException", text), times=1)
        code, message = world.error("passed", roll("mine"))
        equal(code, "PermissionError", message)
        matches(message, r"The provided role does not have sufficient permissions to access ECS\. Error calling "
                         rf"registerTaskDefinition: {text} \(Service: AmazonECS; Status Code: 400; Error Code: ClientException; .*",
                "AWS's words")
        scripted.on("ecs.DescribeServices", denied())
        code, message = world.error("denied", roll())
        equal(code, "PermissionError", message)
        holds("is not authorized to perform: ecs:DescribeServices" in message, message)
        equal(scripted.called("ecs.UpdateService"), [], "nothing was updated")


# CodeDeploy


def codedeploy_instances():
    """A bundle to a deployment group: it lies in the staging bucket, is deployed, and a failure names the script. While another
    deployment of the group goes on, the action waits."""
    script = CodeDeploy()
    script.group("ferry", "canary")
    with Moto() as moto, ScriptedAws(script) as scripted, tempfile.TemporaryDirectory() as directory:
        at(moto, "s3").create_bucket(Bucket="staging")
        with Server(directory, scripted.realm("CodeDeploy", more=elsewhere(moto, "s3"))) as server:
            world = World({"appspec.yml": "version: 0.0\nos: linux\n"})
            canary = deploy("CodeDeploy", ApplicationName="ferry", DeploymentGroupName="canary")
            # What CodePipeline's own policies leave out is not needed.
            scripted.on("codedeploy.ListDeployments", denied(), times=1)
            scripted.on("codedeploy.CreateDeployment", throttled(), times=2)
            scripted.on("codedeploy.GetDeployment", unavailable(), times=1)
            script.next("ferry", "canary", targets=[instance("i-1"), instance("i-2")])
            row = world.shipped("p", canary)
            equal(len(script.of_group("ferry", "canary")), 1, "deployments")
            made = script.of_group("ferry", "canary")[0]
            result = row["output"]["executionResult"]
            equal((result["externalExecutionId"], result["externalExecutionSummary"]), (made["id"], "Deployment Succeeded"), "result")
            equal(result["externalExecutionUrl"],
                  f"https://console.aws.amazon.com/codedeploy/home?region={REGION}#/deployments/{made['id']}", "link")
            equal(world.latest("p")["percentComplete"], 100, "percent")
            place = made["revision"]["s3Location"]
            equal((place["bucket"], place["bundleType"]), ("staging", "zip"), "where the agents find it")
            body = at(moto, "s3").get_object(Bucket="staging", Key=place["key"])
            equal(body["ETag"].strip('"'), place["eTag"], "exactly that object")
            equal(made["description"], f"p {row['actionExecutionId']}", "whose it is")

            told = instance("i-2", "ApplicationStart", "ScriptFailed", "hooks/start.sh", "exit code 3", "no port")
            script.next("ferry", "canary", failed("HEALTH_CONSTRAINTS", "Too many instances failed.", [instance("i-1"), told]), True)
            world.again("p", "Failed")
            code, message = world.told("p")
            equal(code, "JobFailed", message)
            matches(message, r"HEALTH_CONSTRAINTS: Too many instances failed\. \[i-2 ApplicationStart ScriptFailed hooks/start\.sh: "
                             r"exit code 3\] The deployment d-[A-Z0-9]{9} rolls it back\.", "the reason")
            lines = [line for line in logs(server, "p") if "JobFailed" not in line]
            for wanted in ("i-1 Succeeded BeforeInstall", "i-2 Failed ApplicationStart ScriptFailed hooks/start.sh: exit code 3",
                           "i-2 | no port"):
                holds(any(line.endswith(wanted) for line in lines), f"{wanted!r} in {lines}")

            # The rollback goes on; the next deployment waits for its end.
            third = world.runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
            wait("its turn", lambda: any(call.refused == "DeploymentLimitExceededException"
                                         for call in scripted.called("codedeploy.CreateDeployment")))
            wait("what it says", lambda: world.latest("p").get("summary", "").startswith("Waits for a deployment of the group to end."))
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
            wait("its progress", lambda: world.latest("p").get("externalExecutionId") == made["id"])
            world.runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=first, abandon=True)
            wait("the stop", lambda: made["stopped"])
            code, message = world.error("q", deploy("CodeDeploy", ApplicationName="none", DeploymentGroupName="canary"))
            equal(code, "ConfigurationError", message)
            holds(message.startswith("Error calling listDeployments: No application found for name: none"), message)
            scripted.on("codedeploy.CreateDeployment", denied())
            code, message = world.error("r", canary)
            equal(code, "PermissionError", message)
            holds(message.startswith("The provided role does not have sufficient permissions to access CodeDeploy. Error calling "
                                     "createDeployment: User: "), message)
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
REGISTRY = """
[realm.registry]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["ECR"]
"""


def codedeploy_to_ecs():
    """The tutorial's blue/green deployment: task definition and appspec are made of templates and the image of an ECR source."""
    script, ecs = CodeDeploy(), Ecs()
    script.group("ferry-ecs", "blue-green", "ECS")
    with Moto() as moto, ScriptedAws(script, ecs) as scripted, tempfile.TemporaryDirectory() as directory:
        registry = at(moto, "ecr")
        registry.create_repository(repositoryName="towline/web")
        digest = push(registry, "stable", "a")
        with Server(directory, scripted.realm("CodeDeployToECS", assume=True) + REGISTRY.format(url=moto.url)) as server:
            image = action("Image", "Source", "ECR", {"RepositoryName": "towline/web", "ImageTag": "stable"}, outputs=["img"])
            world = World({"taskdef.json": json.dumps(TASK_DEFINITION), "appspec.yaml": APP_SPEC},
                          stage("Source", *SOURCE["actions"], image))
            shift = deploy("CodeDeployToECS", ["src", "img"], ApplicationName="ferry-ecs", DeploymentGroupName="blue-green",
                           TaskDefinitionTemplateArtifact="src", AppSpecTemplateArtifact="src", Image1ArtifactName="img",
                           Image1ContainerName="IMAGE1_NAME")
            script.next("ferry-ecs", "blue-green", ("Created", "InProgress", "Ready", "Succeeded"), targets=[task_set("harbour:ferry")])
            row = world.shipped("p", shift)
            made = script.of_group("ferry-ecs", "blue-green")[0]
            equal(row["output"]["executionResult"]["externalExecutionId"], made["id"], "external id")
            definition = ecs.families["ferry"][0]
            matches(definition["containerDefinitions"][0]["image"], rf"\d+\.dkr\.ecr\.{REGION}\.amazonaws\.com/towline/web@{digest}",
                    "the image")
            content = made["revision"]["appSpecContent"]
            equal(content["content"], APP_SPEC.replace("<TASK_DEFINITION>", definition["taskDefinitionArn"]), "the appspec")
            equal(content["sha256"], hashlib.sha256(content["content"].encode()).hexdigest(), "its hash")
            equal({call.role for call in scripted.called("codedeploy.CreateDeployment")}, {world.arn}, "as the pipeline's role")

            stuck = task_set("harbour:ferry", "AfterAllowTestTraffic", "ScriptFailed", "the test function failed")
            script.next("ferry-ecs", "blue-green", failed("HOOK_EXECUTION_FAILURE", "A hook failed.", [stuck]))
            world.again("p", "Failed")
            equal(world.told("p"), ("JobFailed", "HOOK_EXECUTION_FAILURE: A hook failed. [harbour:ferry AfterAllowTestTraffic "
                                                 "ScriptFailed: the test function failed]"), "the reason")
            holds(len(ecs.families["ferry"]) == 2, "a failed action leaves its revision registered")
            code, message = world.error("q", {**shift, "configuration": {**shift["configuration"], "Image1ContainerName": "OTHER"}})
            equal(code, "ConfigurationError", message)
            holds("The image of the container web is still <IMAGE1_NAME>." in message, message)
            wanted = "harbour:ferry Failed AfterAllowTestTraffic ScriptFailed: the test function failed"
            holds(any(line.endswith(wanted) and "JobFailed" not in line for line in logs(server, "p")), "its events")


def another_account():
    """Two actions, each with a role of another account: the pipeline's role assumes it there, every call of the action is made as
    it, and the artifact, which is here, is read all the same. A role that may not be assumed is told."""
    ecs = Ecs(account="210987654321")
    ecs.run("ferry", "harbour")
    ecs.run("barge", "harbour")
    with ScriptedAws(ecs) as scripted, tempfile.TemporaryDirectory() as directory:
        more = 'accounts = ["210987654321", "321098765432"]\n'
        with Server(directory, scripted.realm("ECS", assume=True, more=more)) as server:
            world = World({"imagedefinitions.json": IMAGES})
            world.shipped("p", {**roll(), "roleArn": OTHER_ACCOUNT}, {**roll("barge"), "name": "Third", "roleArn": THIRD_ACCOUNT})
            updates = {call.input["service"]: call.role for call in scripted.called("ecs.UpdateService")}
            equal(updates, {"ferry": OTHER_ACCOUNT, "barge": THIRD_ACCOUNT}, "whose updates they are")
            calls = [call for call in scripted.calls if call.service == "ecs"]
            equal({call.role for call in calls}, {OTHER_ACCOUNT, THIRD_ACCOUNT}, "and all other calls")
            equal({call.caller for call in calls}, {f"arn:aws:sts::{account}:assumed-role/deployer/codepipeline@p"
                                                    for account in ("210987654321", "321098765432")}, "their sessions")
            assumed = {(call.input["RoleArn"], call.role) for call in scripted.called("sts.AssumeRole")}
            equal(assumed, {(world.arn, None), (OTHER_ACCOUNT, world.arn), (THIRD_ACCOUNT, world.arn)}, "who assumes them")
            holds(any("steady state" in line for line in logs(server, "p")), "its log is read as the same role")

            text = f"User: x is not authorized to perform: sts:AssumeRole on resource: {OTHER_ACCOUNT}s"
            scripted.on("sts.AssumeRole", denied(message=text), when=lambda call: call.input["RoleArn"].endswith("deployers"))
            code, message = world.error("q", {**roll(), "roleArn": OTHER_ACCOUNT + "s"})
            equal(code, "PermissionError", message)
            holds(message.startswith(f"{world.arn} is not authorized to perform AssumeRole on role {OTHER_ACCOUNT}s."), message)


if __name__ == "__main__":
    main([ecs_rollout, ecs_strategies, ecs_stops, ecs_refusals, codedeploy_instances, codedeploy_stops, codedeploy_to_ecs,
          another_account])
