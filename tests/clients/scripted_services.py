"""The scripts of scripted/*.py held to boto3: each service's whole conversation, with what it refuses and how it fails, as the
deployers have it. What a script answers is held to the service's model on the way. Run by the Rust tests of the `towpath`
command, one scenario at a time.
"""

import datetime
import hashlib
import json
import re

import botocore.exceptions

from harness import equal, holds, main, matches, refused
from scripted.cloudformation import NO_CHANGES, CloudFormation
from scripted.codedeploy import CodeDeploy, failed, instance, task_set
from scripted.ecs import Ecs, blue_green, breaker, drains, never, replaced, silent
from scripted_aws import ScriptedAws


BUCKET = {"Type": "AWS::S3::Bucket"}


def template(*names, **more):
    return json.dumps({"Resources": {name: BUCKET for name in names}, **more})


def cloudformation():
    """Stacks: created, failed with the first cause told, rolled back, replaced, updated, deleted."""
    script = CloudFormation()
    with ScriptedAws(script) as aws:
        api = aws.client("cloudformation")

        def look(name="ferry"):
            return api.describe_stacks(StackName=name)["Stacks"][0]

        def statuses(times, name="ferry"):
            return [look(name)["StackStatus"] for _ in range(times)]

        absent = "Stack with id ferry does not exist"
        refused("ValidationError", absent, api.describe_stacks, StackName="ferry")
        script.fail("Second", "second already exists")
        sized = template("First", "Second", "Third", Parameters={"Size": {"Type": "String"}, "Word": {"Type": "String", "NoEcho": True}},
                         Outputs={"Name": {"Value": {"Fn::Sub": "${AWS::StackName}-${Size}"}}, "Ref": {"Value": {"Ref": "First"}}})
        given = [{"ParameterKey": "Size", "ParameterValue": "XL"}, {"ParameterKey": "Word", "ParameterValue": "hush"}]
        made = api.create_stack(StackName="ferry", TemplateBody=sized, Parameters=given, ClientRequestToken="aeid-create")["StackId"]
        equal(statuses(3), ["CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"], "a failure")
        events = [event for page in api.get_paginator("describe_stack_events").paginate(StackName=made) for event in page["StackEvents"]]
        failures = [(event["LogicalResourceId"], event["ResourceStatusReason"]) for event in reversed(events)
                    if event["ResourceStatus"] == "CREATE_FAILED"]
        equal(failures, [("Second", "second already exists"), ("Third", "Resource creation cancelled")], "the first cause")
        equal({event["ClientRequestToken"] for event in events}, {"aeid-create"}, "whose events")
        equal((events[-1]["ResourceStatusReason"], events[-1]["PhysicalResourceId"]), ("User Initiated", made), "where it began")
        refused("ValidationError", f"Stack:{made} is in ROLLBACK_COMPLETE state and can not be updated.", api.update_stack,
                StackName="ferry", TemplateBody=sized, Parameters=given)
        refused("TokenAlreadyExistsException", re.compile(".*"), api.create_stack, StackName="tug", TemplateBody=sized,
                Parameters=given, ClientRequestToken="aeid-create")
        api.delete_stack(StackName=made, ClientRequestToken="aeid-delete")
        equal(look(made)["StackStatus"], "DELETE_IN_PROGRESS", "by its id")
        equal(look(made)["StackStatus"], "DELETE_COMPLETE", "by its id, for ever")
        refused("ValidationError", absent, api.describe_stacks, StackName="ferry")
        api.delete_stack(StackName="ferry")

        api.create_stack(StackName="ferry", TemplateBody=sized, Parameters=given)
        refused("AlreadyExistsException", "Stack [ferry] already exists", api.create_stack, StackName="ferry", TemplateBody=sized,
                Parameters=given)
        refused("ValidationError", re.compile(".*is in CREATE_IN_PROGRESS state and can not be updated."), api.update_stack,
                StackName="ferry", TemplateBody=sized, Parameters=given)
        equal(statuses(2), ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"], "created")
        told = look()
        outputs = {one["OutputKey"]: one["OutputValue"] for one in told["Outputs"]}
        equal(outputs["Name"], "ferry-XL", "outputs")
        equal({one["ParameterKey"]: one["ParameterValue"] for one in told["Parameters"]}, {"Size": "XL", "Word": "****"}, "secrets")
        refused("ValidationError", "No updates are to be performed.", api.update_stack, StackName="ferry", TemplateBody=sized,
                Parameters=given)
        script.fail("First", "no such size")
        larger = [{"ParameterKey": "Size", "ParameterValue": "XXL"}, {"ParameterKey": "Word", "UsePreviousValue": True}]
        api.update_stack(StackName="ferry", UsePreviousTemplate=True, Parameters=larger)
        equal(statuses(3), ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"], "a failed update")
        equal(look()["Parameters"][0]["ParameterValue"], "XL", "as before")
        api.update_stack(StackName="ferry", UsePreviousTemplate=True, Parameters=larger)
        equal(statuses(3), ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"], "an update")
        script.held = True
        api.update_stack(StackName="ferry", TemplateBody=template("Other"))
        equal(statuses(3), ["UPDATE_IN_PROGRESS"] * 3, "it takes long")
        api.cancel_update_stack(StackName="ferry")
        script.held = False
        equal(statuses(1), ["UPDATE_ROLLBACK_COMPLETE"], "cancelled")
        script.fail_rollback("ferry", "stuck")
        script.fail("Other", "no")
        api.update_stack(StackName="ferry", TemplateBody=template("Other"))
        equal(statuses(3)[-1], "UPDATE_ROLLBACK_FAILED", "not even back")
        script.put("old", "ROLLBACK_COMPLETE")
        script.put("kept", protected=True)
        refused("ValidationError", "Stack [kept] cannot be deleted while TerminationProtection is enabled", api.delete_stack,
                StackName="kept")
        script.fail_deletion("Old", "the bucket is not empty")
        api.delete_stack(StackName="old")
        equal(statuses(2, "old"), ["DELETE_IN_PROGRESS", "DELETE_FAILED"], "a deletion that fails")


def cloudformation_requests():
    """What CloudFormation refuses: capabilities, templates, parameters, change sets in the wrong state; empty change sets; nested
    stacks and where their failures come from."""
    script = CloudFormation()
    with ScriptedAws(script) as aws:
        api = aws.client("cloudformation")

        def created(body, **more):
            api.create_stack(StackName="s", TemplateBody=body, **more)

        role = {"Type": "AWS::IAM::Role", "Properties": {}}
        named = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "pilot"}}
        for resource, more, missing in (
                (role, {}, "CAPABILITY_IAM"), (named, {"Capabilities": ["CAPABILITY_IAM"]}, "CAPABILITY_NAMED_IAM")):
            try:
                created(json.dumps({"Resources": {"R": resource}}), **more)
                raise AssertionError("not refused")
            except botocore.exceptions.ClientError as error:
                equal((error.response["Error"]["Code"], error.response["Error"]["Message"]),
                      ("InsufficientCapabilitiesException", f"Requires capabilities : [{missing}]"), "capabilities")
        macro = template("B", Transform="AWS::Serverless-2016-10-31")
        refused("InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_AUTO_EXPAND]", api.create_stack,
                StackName="s", TemplateBody=macro)
        refused("ValidationError", "Parameters: [Nope] do not exist in the template", api.create_stack, StackName="s",
                TemplateBody=template("B"), Parameters=[{"ParameterKey": "Nope", "ParameterValue": "1"}])
        refused("ValidationError", "Parameters: [Size] must have values", api.create_stack, StackName="s",
                TemplateBody=template("B", Parameters={"Size": {"Type": "String"}}))
        refused("ValidationError", re.compile("Template format error: YAML not well-formed.*"), api.create_stack, StackName="s",
                TemplateBody="Resources: [")
        refused("ValidationError", re.compile("Template format error: At least one Resources member must be defined."),
                api.validate_template, TemplateBody="{}")
        refused("ValidationError", re.compile("S3 error: Access Denied.*", re.DOTALL), api.create_stack, StackName="s",
                TemplateURL="http://127.0.0.1:9/none")
        refused("ValidationError", re.compile(".*length less than or equal to 51200"), api.create_stack, StackName="s",
                TemplateBody=template("B", Description="x" * 51200))
        summary = api.get_template_summary(TemplateBody="Parameters:\n  Size: {Type: String, Default: 1}\nResources:\n  B:\n"
                                                        "    Type: AWS::S3::Bucket\n    Properties: {BucketName: !Ref Size}\n")
        equal([one["ParameterKey"] for one in summary["Parameters"]], ["Size"], "YAML with its tags")

        # Change sets.
        def look(**which):
            while True:
                told = api.describe_change_set(**which)
                if not told["Status"].endswith(("PENDING", "IN_PROGRESS")):
                    return told

        refused("ChangeSetNotFound", "ChangeSet [c] does not exist", api.describe_change_set, ChangeSetName="c", StackName="s")
        first = {"ChangeSetName": "c", "StackName": "s"}
        refused("ValidationError", "Stack [s] does not exist", api.create_change_set, **first, TemplateBody=template("B"))
        made = api.create_change_set(**first, TemplateBody=template("B"), ChangeSetType="CREATE")
        refused("InvalidChangeSetStatus", re.compile(".*cannot be executed in its current status of .CREATE_PENDING."),
                api.execute_change_set, **first)
        refused("InvalidChangeSetStatus", re.compile(".*"), api.delete_change_set, **first)
        equal(look(ChangeSetName=made["Id"])["Changes"][0]["ResourceChange"]["Action"], "Add", "what it will do")
        equal(api.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"], "REVIEW_IN_PROGRESS", "its stack")
        refused("AlreadyExistsException", "ChangeSet [c] already exists", api.create_change_set, **first, TemplateBody=template("B"),
                ChangeSetType="CREATE")
        api.execute_change_set(**first, ClientRequestToken="aeid-exec")
        equal([api.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"] for _ in range(2)],
              ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"], "executed")
        equal(look(ChangeSetName=made["Id"])["ExecutionStatus"], "EXECUTE_COMPLETE", "and over")
        api.create_change_set(ChangeSetName="d", StackName="s", TemplateBody=template("B"))
        empty = look(ChangeSetName="d", StackName="s")
        equal((empty["Status"], empty["ExecutionStatus"], empty["StatusReason"]), ("FAILED", "UNAVAILABLE", NO_CHANGES), "nothing to do")
        api.delete_change_set(ChangeSetName="d", StackName="s")
        equal(api.describe_change_set(ChangeSetName="d", StackName="s")["Status"], "DELETE_IN_PROGRESS", "going")
        refused("ChangeSetNotFound", "ChangeSet [d] does not exist", api.describe_change_set, ChangeSetName="d", StackName="s")

        # A nested stack that fails.
        script.templates["https://s3.example/child.json"] = template("Inner")
        script.fail("Child.Inner", "inner already exists")
        parent = {"Resources": {"Child": {"Type": "AWS::CloudFormation::Stack",
                                          "Properties": {"TemplateURL": "https://s3.example/child.json"}}}}
        api.create_stack(StackName="parent", TemplateBody=json.dumps(parent))
        for _ in range(3):
            status = api.describe_stacks(StackName="parent")["Stacks"][0]["StackStatus"]
        equal(status, "ROLLBACK_COMPLETE", "the parent")
        events = [event for page in api.get_paginator("describe_stack_events").paginate(StackName="parent")
                  for event in page["StackEvents"]]
        failed_one = next(event for event in reversed(events) if event["ResourceStatus"] == "CREATE_FAILED")
        matches(failed_one["ResourceStatusReason"], "Embedded stack arn:.* was not successfully created: .*failed to create: .Inner.. ")
        inner = api.describe_stack_events(StackName=failed_one["PhysicalResourceId"])["StackEvents"]
        holds(any(event.get("ResourceStatusReason") == "inner already exists" for event in inner), "the cause, in the child")
        equal(len(aws.refusals()), 0, "the model refused nothing of it")


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
    main([cloudformation, cloudformation_requests, codedeploy, ecs])
