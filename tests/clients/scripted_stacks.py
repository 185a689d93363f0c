"""The scripts of CloudFormation's stacks, change sets and StackSets (scripted/cloudformation.py, stacksets.py) held to boto3: what
they do, what they refuse, how they fail. Run by the Rust tests of the `towpath` command, one scenario at a time.
"""

import json
import re

import botocore.exceptions

from harness import equal, holds, main, matches, refused
from scripted.cloudformation import NO_CHANGES, CloudFormation
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

        # A slow one, and a change set that is there.
        script.slow = True
        api.create_stack(StackName="slow", TemplateBody=template("A", "B"))
        made = []
        for _ in range(3):
            api.describe_stacks(StackName="slow")
            made.append(len(script.of("slow").resources))
        equal((made, script.of("slow").status), ([0, 1, 2], "CREATE_COMPLETE"), "one after the other")
        script.fail("B", "no")
        api.create_stack(StackName="slower", TemplateBody=template("A", "B", "C"))
        looks = [api.describe_stacks(StackName="slower")["Stacks"][0]["StackStatus"] for _ in range(4)]
        equal(looks[2:], ["ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE"], "up to the first that fails")
        script.slow = False
        script.put_set("ready", script.of("slow"), template("A", "C"))
        api.execute_change_set(ChangeSetName="ready", StackName="slow")
        statuses = [api.describe_stacks(StackName="slow")["Stacks"][0]["StackStatus"] for _ in range(3)]
        equal((statuses[-1], sorted(script.of("slow").resources)), ("UPDATE_COMPLETE", ["A", "C"]), "executed")

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


def stacksets():
    script = CloudFormation()
    script.units["ou-abcd-12345678"] = ["111111111111", "222222222222"]
    with ScriptedAws(script) as aws:
        api = aws.client("cloudformation")
        name = {"StackSetName": "fleet"}
        two = {"Accounts": ["111111111111", "222222222222"], "Regions": ["eu-west-1", "eu-north-1"]}
        refused("StackSetNotFoundException", "StackSet fleet not found", api.describe_stack_set, **name)
        made = api.create_stack_set(**name, TemplateBody=template("B"))["StackSetId"]
        matches(made, "fleet:[0-9a-f-]{36}", "the id")
        refused("NameAlreadyExistsException", "StackSet fleet already exists", api.create_stack_set, **name, TemplateBody=template("B"))

        def ended(operation):
            while True:
                told = api.describe_stack_set_operation(**name, OperationId=operation)["StackSetOperation"]
                if told["Status"] not in ("RUNNING", "QUEUED", "STOPPING"):
                    return told

        script.fail_instance("222222222222", "eu-west-1", "topic already exists")
        first = api.create_stack_instances(**name, **two, OperationId="aeid-1")["OperationId"]
        equal(first, "aeid-1", "the id that was asked for")
        refused("OperationInProgressException", re.compile("Another Operation on StackSet arn:.* is in progress: aeid-1"),
                api.update_stack_set, **name, UsePreviousTemplate=True)
        refused("OperationIdAlreadyExistsException", re.compile(".*"), api.create_stack_instances, **name, **two, OperationId="aeid-1")
        told = ended(first)
        equal((told["Status"], told["StatusDetails"]["FailedStackInstancesCount"]), ("FAILED", 1), "one failed")
        results = api.list_stack_set_operation_results(**name, OperationId=first, Filters=[
            {"Name": "OPERATION_RESULT_STATUS", "Values": "FAILED"}])["Summaries"]
        equal([(one["Account"], one["Region"], one["StatusReason"]) for one in results],
              [("222222222222", "eu-west-1", "topic already exists")], "where and why")
        equal(script.instances("fleet"), {("111111111111", "eu-west-1"): "CURRENT", ("222222222222", "eu-west-1"): "OUTDATED"},
              "the other Region was left out")
        refused("StackInstanceNotFoundException", re.compile(".*"), api.update_stack_set, **name, **two, TemplateBody=template("C"))
        script.fail_instance("222222222222", "eu-north-1", "again")
        tolerant = {"FailureTolerancePercentage": 50, "RegionOrder": two["Regions"]}
        told = ended(api.create_stack_instances(**name, **two, OperationPreferences=tolerant)["OperationId"])
        equal((told["Status"], told["StatusDetails"]["FailedStackInstancesCount"]), ("SUCCEEDED", 1), "inside the tolerance")
        pages = list(api.get_paginator("list_stack_instances").paginate(**name))
        equal((len(pages), sum(len(page["Summaries"]) for page in pages)), (2, 4), "all of them, by pages")
        one = {"Accounts": ["111111111111"], "Regions": ["eu-west-1"]}
        ended(api.update_stack_set(**name, **one, TemplateBody=template("C"))["OperationId"])
        equal(sorted(script.instances("fleet").values()), ["CURRENT", "OUTDATED", "OUTDATED", "OUTDATED"], "the others are outdated")
        running = api.update_stack_set(**name, UsePreviousTemplate=True)["OperationId"]
        api.stop_stack_set_operation(**name, OperationId=running)
        equal(ended(running)["Status"], "STOPPED", "stopped")
        occupied = script.occupy("fleet")
        refused("OperationInProgressException", re.compile(f".*: {occupied}"), api.update_stack_set, **name, UsePreviousTemplate=True)
        ended(occupied)
        refused("ValidationError", re.compile(".*AutoDeployment.*"), api.create_stack_set, StackSetName="x", TemplateBody=template("B"),
                AutoDeployment={"Enabled": True})

        # Service-managed.
        managed = {"StackSetName": "units"}
        refused("ValidationError", re.compile("AutoDeployment is required.*"), api.create_stack_set, **managed, TemplateBody=template("B"),
                PermissionModel="SERVICE_MANAGED")
        api.create_stack_set(**managed, TemplateBody=template("B"), PermissionModel="SERVICE_MANAGED",
                             AutoDeployment={"Enabled": True, "RetainStacksOnAccountRemoval": False})
        refused("ValidationError", re.compile("Accounts cannot be specified.*"), api.create_stack_instances, **managed, **two)
        targets = {"OrganizationalUnitIds": ["ou-abcd-12345678"], "Accounts": ["222222222222"], "AccountFilterType": "DIFFERENCE"}
        operation = api.create_stack_instances(**managed, DeploymentTargets=targets, Regions=["eu-west-1"])["OperationId"]
        while api.describe_stack_set_operation(**managed, OperationId=operation)["StackSetOperation"]["Status"] == "RUNNING":
            pass
        equal(script.instances("units"), {("111111111111", "eu-west-1"): "CURRENT"}, "the unit's accounts, less one")
        refused("ValidationError", re.compile("AccountFilterType must be .*"), api.create_stack_instances, **managed,
                DeploymentTargets={name: value for name, value in targets.items() if name != "AccountFilterType"}, Regions=["eu-west-1"])
        refused("ValidationError", re.compile(".* together with AutoDeployment"), api.update_stack_set, **managed,
                UsePreviousTemplate=True, AutoDeployment={"Enabled": False}, Regions=["eu-west-1"],
                DeploymentTargets={"OrganizationalUnitIds": ["ou-abcd-12345678"]})


if __name__ == "__main__":
    main([cloudformation, cloudformation_requests, stacksets])
