"""The scripts of scripted/*.py held to boto3: each service's whole conversation, with what it refuses and how it fails, as the
deployers have it. What a script answers is held to the service's model on the way. Run by the Rust tests of the `towpath`
command, one scenario at a time.
"""

import datetime
import hashlib
import re

from harness import equal, holds, main, matches, refused
from scripted.codedeploy import CodeDeploy, failed, instance, task_set
from scripted.ecs import Ecs, blue_green, breaker, drains, never, replaced, silent
from scripted_aws import ScriptedAws


def codedeploy():
    script = CodeDeploy()
    script.group("ferry", "blue")
    script.group("ferry", "green", platform="ECS")
    with ScriptedAws(script) as aws:
        api = aws.client("codedeploy")
        place = {"bucket": "artifacts", "key": "ferry/app.zip", "bundleType": "zip", "version": "v1", "eTag": "abc"}
        revision = {"revisionType": "S3", "s3Location": place}
        blue = {"applicationName": "ferry", "deploymentGroupName": "blue"}
        equal(api.get_deployment_group(**blue)["deploymentGroupInfo"]["computePlatform"], "Server", "the group")
        api.register_application_revision(applicationName="ferry", revision=revision)
        first = api.create_deployment(**blue, revision=revision, description="p aeid-1")["deploymentId"]
        matches(first, r"d-[A-Z0-9]{9}", "the id")
        refused("DeploymentNotStartedException", re.compile(".*"), api.list_deployment_targets, deploymentId=first)
        refused("DeploymentLimitExceededException", f"The Deployment Group 'blue' already has an active Deployment '{first}'",
                api.create_deployment, **blue, revision=revision)
        since = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
        equal(api.list_deployments(**blue, createTimeRange={"start": since})["deployments"], [first], "found again")
        equal(api.batch_get_deployments(deploymentIds=[first])["deploymentsInfo"][0]["description"], "p aeid-1", "by its text")
        looks = [api.get_deployment(deploymentId=first)["deploymentInfo"]["status"] for _ in range(4)]
        equal(looks, ["Created", "InProgress", "Succeeded", "Succeeded"], "its course")
        refused("DeploymentAlreadyCompletedException", re.compile(".*"), api.stop_deployment, deploymentId=first)

        fails = failed("HEALTH_CONSTRAINTS", "Too many individual instances failed.", [
            instance("i-1"), instance("i-2", "AfterInstall", "ScriptFailed", "start.sh", "Script exited 3", "no such port")])
        script.next("ferry", "blue", fails, rolls_back=True)
        second = api.create_deployment(**blue, revision=revision)["deploymentId"]
        looks = [api.get_deployment(deploymentId=second)["deploymentInfo"] for _ in range(3)]
        equal(looks[-1]["errorInformation"], {"code": "HEALTH_CONSTRAINTS", "message": "Too many individual instances failed."}, "why")
        back = looks[-1]["rollbackInfo"]["rollbackDeploymentId"]
        equal(api.get_deployment(deploymentId=back)["deploymentInfo"]["creator"], "codeDeployRollback", "a deployment of its own")
        ids = api.list_deployment_targets(deploymentId=second, targetFilters={"TargetStatus": ["Failed"]})["targetIds"]
        targets = api.batch_get_deployment_targets(deploymentId=second, targetIds=ids)["deploymentTargets"]
        event = targets[0]["instanceTarget"]["lifecycleEvents"][-1]
        equal((ids, event["lifecycleEventName"], event["diagnostics"]["errorCode"]), (["i-2"], "AfterInstall", "ScriptFailed"), "where")
        equal(looks[-1]["deploymentOverview"]["Failed"], 1, "counted")

        text = '{"version": 0.0}'
        spec = {"content": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        script.next("ferry", "green", ("Created", "InProgress", "Ready"), targets=[task_set("harbour:web")])
        third = api.create_deployment(applicationName="ferry", deploymentGroupName="green",
                                      revision={"revisionType": "AppSpecContent", "appSpecContent": spec})["deploymentId"]
        looks = [api.get_deployment(deploymentId=third)["deploymentInfo"]["status"] for _ in range(4)]
        equal(looks[-1], "Ready", "it waits for its traffic")
        equal(api.stop_deployment(deploymentId=third)["status"], "Succeeded", "stopped")
        equal(api.get_deployment(deploymentId=third)["deploymentInfo"]["errorInformation"]["code"], "MANUAL_STOP", "by a user")
        refused("InvalidRevisionException", re.compile(".*sha256"), api.create_deployment, applicationName="ferry",
                deploymentGroupName="green", revision={"revisionType": "AppSpecContent",
                                                       "appSpecContent": {**spec, "content": "{}"}})
        refused("DeploymentGroupDoesNotExistException", "No Deployment Group found for name: red", api.get_deployment_group,
                applicationName="ferry", deploymentGroupName="red")
        refused("ApplicationDoesNotExistException", "No application found for name: tug", api.get_application,
                applicationName="tug")
        refused("DeploymentDoesNotExistException", "The deployment d-000000000 could not be found", api.get_deployment,
                deploymentId="d-000000000")


def ecs():
    script = Ecs()
    for name in ("web", "ill", "stuck", "taken", "gone", "old"):
        script.run(name, tags=[{"key": "team", "value": "dock"}])
    script.run("coded", controller="CODE_DEPLOY")
    script.run("colour", strategy="BLUE_GREEN")
    with ScriptedAws(script) as aws:
        api = aws.client("ecs")

        def look(name):
            return api.describe_services(services=[name])["services"][0]

        def update(name):
            base = api.describe_task_definition(taskDefinition=look(name)["taskDefinition"], include=["TAGS"])
            kept = {key: value for key, value in base["taskDefinition"].items()
                    if key not in ("taskDefinitionArn", "revision", "status", "compatibilities", "registeredAt")}
            kept["containerDefinitions"][0]["image"] = "registry.example/app:2"
            made = api.register_task_definition(**kept, **({"tags": base["tags"]} if base.get("tags") else {}))
            return api.update_service(service=name, taskDefinition=made["taskDefinition"]["taskDefinitionArn"])["service"]

        updated = update("web")
        matches(updated["taskDefinition"], ".*:task-definition/web:2", "the next revision")
        equal([(one["status"], one["rolloutState"]) for one in updated["deployments"]],
              [("PRIMARY", "IN_PROGRESS"), ("ACTIVE", "COMPLETED")], "two deployments")
        equal([look("web")["deployments"][0]["rolloutState"] for _ in range(3)], ["IN_PROGRESS", "COMPLETED", "COMPLETED"], "its course")
        equal(len(look("web")["deployments"]), 1, "the old one is gone")
        matches(look("web")["events"][0]["message"], ".*has reached a steady state.", "said so")
        equal(script.tags[script.of("web").definition], [{"key": "team", "value": "dock"}], "tags came along")

        script.next("ill", breaker(rolls_back=True))
        mine = update("ill")["deployments"][0]
        look("ill")
        seen = look("ill")["deployments"]
        equal([(one["id"] == mine["id"], one["rolloutState"]) for one in seen], [(False, "IN_PROGRESS"), (True, "FAILED")], "fired")
        equal(seen[1]["rolloutStateReason"], "ECS deployment circuit breaker: tasks failed to start.", "its reason")
        tasks = api.list_tasks(startedBy=mine["id"])["taskArns"]
        task = api.describe_tasks(tasks=tasks)["tasks"][0]
        equal((task["stoppedReason"], task["containers"][0]["exitCode"]), ("Essential container in task exited", 1), "its task")
        equal(look("ill")["deployments"][0]["rolloutState"], "COMPLETED", "back on the old one")
        matches(look("ill")["taskDefinition"], ".*/ill:1", "the old one")
        script.next("stuck", never())
        update("stuck")
        equal({look("stuck")["deployments"][0]["rolloutState"] for _ in range(4)}, {"IN_PROGRESS"}, "for ever")
        script.next("taken", replaced())
        mine = update("taken")["deployments"][0]
        look("taken")
        holds(look("taken")["deployments"][0]["id"] != mine["id"], "another deployment is the primary one")
        script.next("gone", drains())
        update("gone")
        look("gone")
        equal(look("gone")["status"], "DRAINING", "the service")
        script.next("old", silent())
        update("old")
        equal(["rolloutState" in look("old")["deployments"][0] for _ in range(2)], [False, False], "counts alone")
        equal((len(look("old")["deployments"]), look("old")["runningCount"]), (1, 2), "stable")

        refused("InvalidParameterException", re.compile("Unable to update task definition on services with a CODE_DEPLOY .*"),
                api.update_service, service="coded", taskDefinition="web:1")
        script.next("colour", blue_green("IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", rollback="an alarm"))
        update("colour")
        current = look("colour")["currentServiceDeployment"]
        looks = [api.describe_service_deployments(serviceDeploymentArns=[current])["serviceDeployments"][0] for _ in range(3)]
        equal((looks[2]["status"], looks[2]["rollback"]["reason"]), ("ROLLBACK_FAILED", "an alarm"), "blue/green")
        equal(api.stop_service_deployment(serviceDeploymentArn=current)["serviceDeploymentArn"], current, "stop")
        equal(api.describe_services(services=["none"])["failures"][0]["reason"], "MISSING", "a service that is not there")
        refused("ClusterNotFoundException", "Cluster not found.", api.describe_services, cluster="c", services=["web"])
        refused("ClientException", "Container.image should not be null or empty.", api.register_task_definition, family="f",
                containerDefinitions=[{"name": "a"}])
        refused("ClientException", "Unable to describe task definition.", api.describe_task_definition, taskDefinition="web:9")


if __name__ == "__main__":
    main([codedeploy, ecs])
