"""CloudFormation's stack sets as deploy actions, driven through the shipped binary: against moto's server, which makes real stacks in
many accounts and Regions, and against the scripted endpoint, where operations take time and fail. Run by the Rust tests of the
`towpath` command, one scenario at a time.
"""

import json

from cloudformation import again, declared, document, failure, lab, logs, result, scripted
from harness import Pipelines, action, equal, holds, main, matches, rehearsal, role, source, stage, wait
from scripted.cloudformation import CloudFormation
from scripted_aws import denied


def stack_sets():
    """A stack set over two accounts and two Regions, its update, and instances in a third account."""
    with lab() as (there, server):
        runs, arn = Pipelines(), role()
        template = document({"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Ref": "Name"}}}},
                            Parameters={"Name": {"Type": "String"}})
        accounts, regions = ["111122223333", "444455556666"], ["eu-west-1", "eu-north-1"]
        source({"fleet.json": template, "targets.json": json.dumps(accounts)})
        fleet = action("Fleet", "Deploy", "CloudFormationStackSet", {
            "StackSetName": "fleet", "TemplatePath": "src::fleet.json", "Parameters": "ParameterKey=Name,ParameterValue=fleet",
            "DeploymentTargets": "src::targets.json", "Regions": ",".join(regions), "FailureTolerancePercentage": "0",
            "MaxConcurrentPercentage": "100", "RegionConcurrencyType": "Parallel", "PermissionModel": "SELF_MANAGED",
            "AdministrationRoleArn": "arn:aws:iam::123456789012:role/fleet-admin", "ExecutionRoleName": "fleet-execution",
            "Description": "the fleet"}, inputs=["src"], namespace="Fleet")
        more = action("More", "Deploy", "CloudFormationStackInstances", {
            "StackSetName": "fleet", "DeploymentTargets": "777788889999", "Regions": "eu-west-1"}, namespace="More", order=2)
        use = rehearsal("Use", Message="#{Fleet.StackSetId} #{More.OperationId}")
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", fleet, more), stage("Use", use)))
        first = runs.first("p")
        runs.ended("p", first, "Succeeded")
        cloudformation = there.at("cloudformation")
        made = cloudformation.list_stack_instances(StackSetName="fleet")["Summaries"]
        want = {(account, region) for account in accounts for region in regions} | {("777788889999", "eu-west-1")}
        equal({(one["Account"], one["Region"]) for one in made}, want, "stack instances")
        for account, region in sorted(want):
            topics = there.at("sns", region, account).list_topics()["Topics"]
            equal([topic["TopicArn"] for topic in topics], [f"arn:aws:sns:{region}:{account}:fleet"], f"{account} {region}")
        found = cloudformation.describe_stack_set(StackSetName="fleet")["StackSet"]
        set_id = found["StackSetId"]
        equal([found[key] for key in ("AdministrationRoleARN", "ExecutionRoleName", "Description")],
              ["arn:aws:iam::123456789012:role/fleet-admin", "fleet-execution", "the fleet"], "as it was made")
        told, variables = result(runs, "p", first, "Fleet")
        equal(variables, {"StackSetId": set_id, "OperationId": told["externalExecutionId"]}, "variables")
        matches(told["externalExecutionSummary"], r"StackSet fleet operation [0-9a-f-]+ SUCCEEDED")
        holds(told["externalExecutionUrl"].endswith(f"#/stacksets/{set_id}/operations/{told['externalExecutionId']}"), told)
        equal(result(runs, "p", first, "Use")[0]["externalExecutionSummary"],
              f"{set_id} {result(runs, 'p', first, 'More')[1]['OperationId']}", "used by the next action")
        text = logs(server, "p", "--action", "Deploy/Fleet")
        for account in accounts:
            for region in regions:
                holds(f"SUCCEEDED {account} {region}\n" in text, text)

        runs.api.update_pipeline(pipeline=declared("p", arn, stage("Deploy", fleet)))
        second = again(runs, "p")
        runs.ended("p", second, "Succeeded")
        own = result(runs, "p", second, "Fleet")[1]["OperationId"]
        holds(own.endswith("-update"), f"its id is the action's: {own}")
        operations = cloudformation.list_stack_set_operations(StackSetName="fleet")["Summaries"]
        equal([one["Action"] for one in operations if one["OperationId"] == own], ["UPDATE"], "an update of the targets")


def organizations():
    """A stack set whose permissions AWS Organizations manages: units of accounts, two Regions, a failure within the tolerance; then
    more Regions of it by the other action, with parameters of their own."""
    script = CloudFormation()
    unit, other = "ou-abcd-11112222", "ou-abcd-33334444"
    script.units.update({unit: ["111122223333", "444455556666"], other: ["777788889999"]})
    with scripted(script) as (endpoint, _):
        runs, arn = Pipelines(), role()
        template = document({"Topic": {"Type": "AWS::SNS::Topic"}}, Parameters={"Env": {"Type": "String"}})
        source({"fleet.json": template, "units.json": json.dumps([unit])})
        keys = {"StackSetName": "fleet", "TemplatePath": "src::fleet.json", "PermissionModel": "SERVICE_MANAGED",
                "Parameters": "ParameterKey=Env,ParameterValue=prod", "DeploymentTargets": "src::units.json",
                "Regions": "eu-west-1,eu-north-1", "FailureTolerancePercentage": "50", "CallAs": "DELEGATED_ADMIN"}
        fleet = action("Fleet", "Deploy", "CloudFormationStackSet", keys, inputs=["src"])
        more = action("More", "Deploy", "CloudFormationStackInstances", {
            "StackSetName": "fleet", "DeploymentTargets": other, "Regions": "eu-west-1", "CallAs": "DELEGATED_ADMIN",
            "ParameterOverrides": "ParameterKey=Env,ParameterValue=beta,ResolvedValue=beta"}, order=2)
        script.fail_instance("444455556666", "eu-north-1", "topic already exists")
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", fleet, more)))
        first = runs.first("p")
        runs.ended("p", first, "Succeeded")
        matches(result(runs, "p", first, "Fleet")[0]["externalExecutionSummary"], ".*SUCCEEDED; 1 failed stack instances are tolerated")
        equal(runs.action_latest("p", "Deploy", "Fleet")["percentComplete"], 100, "all of it")
        want = {("111122223333", "eu-west-1"): "CURRENT", ("444455556666", "eu-west-1"): "CURRENT",
                ("111122223333", "eu-north-1"): "CURRENT", ("444455556666", "eu-north-1"): "OUTDATED",
                ("777788889999", "eu-west-1"): "CURRENT"}
        equal(script.instances("fleet"), want, "stack instances")
        found = script.stack_sets["fleet"]
        equal(found["instances"]["777788889999", "eu-west-1"]["overrides"], [{"ParameterKey": "Env", "ParameterValue": "beta"}], "overrides")
        equal((found["model"], found["given"]["AutoDeployment"]), ("SERVICE_MANAGED", {"Enabled": False}), "as it was made")
        equal({call.input.get("CallAs") for call in endpoint.calls if "StackSet" in call.operation}, {"DELEGATED_ADMIN"}, "every time")

        # Accounts that join later: only without targets.
        source_keys = {**keys, "OrganizationsAutoDeployment": "EnabledWithStackRetention"}
        runs.api.update_pipeline(pipeline=declared("p", arn, stage("Deploy", {**fleet, "configuration": source_keys})))
        second = again(runs, "p")
        runs.ended("p", second, "Failed")
        code, message = failure(runs, "p", "Deploy", "Fleet")
        holds(code == "ConfigurationError" and message.startswith("Action Fleet has another OrganizationsAutoDeployment"), message)
        alone = {key: value for key, value in source_keys.items() if key not in ("DeploymentTargets", "Regions")}
        runs.api.update_pipeline(pipeline=declared("p", arn, stage("Deploy", {**fleet, "configuration": alone})))
        third = again(runs, "p")
        runs.ended("p", third, "Succeeded")
        equal(script.stack_sets["fleet"]["given"]["AutoDeployment"], {"Enabled": True, "RetainStacksOnAccountRemoval": True}, "changed")
        equal(set(script.instances("fleet").values()), {"CURRENT"}, "all stacks were updated with it")


def stack_set_failures():
    """An operation that fails in one account, one that another operation holds back, one whose failures are tolerated, and one that
    is stopped."""
    script = CloudFormation()
    reason = "Account 444455556666 should have 'AWSCloudFormationStackSetExecutionRole' role with trust relationship"
    with scripted(script) as (endpoint, server):
        runs, arn = Pipelines(), role()
        source({"fleet.json": document({"Topic": {"Type": "AWS::SNS::Topic"}})})

        def fleet(**more):
            keys = {"StackSetName": "fleet", "TemplatePath": "src::fleet.json", "DeploymentTargets": "111122223333,444455556666",
                    "Regions": "eu-west-1", **more}
            return declared("p", arn, stage("Deploy", action("Fleet", "Deploy", "CloudFormationStackSet", keys, inputs=["src"])))

        def summary():
            return runs.action_latest("p", "Deploy", "Fleet").get("summary", "")

        script.fail_instance("444455556666", "eu-west-1", reason)
        runs.api.create_pipeline(pipeline=fleet())
        first = runs.first("p")
        runs.ended("p", first, "Failed")
        own = result(runs, "p", first, "Fleet")[0]["externalExecutionId"]
        equal(failure(runs, "p", "Deploy", "Fleet"),
              ("JobFailed", f"StackSet operation {own} FAILED: 444455556666/eu-west-1: {reason} (1 failed)"), "the first failure")
        text = logs(server, "p", "--action", "Deploy/Fleet")
        holds(f"FAILED 444455556666 eu-west-1: {reason}\n" in text and "SUCCEEDED 111122223333 eu-west-1\n" in text, text)

        other = script.occupy("fleet")
        second = again(runs, "p")
        wait("the other operation", lambda: summary() == "Another operation on StackSet fleet goes on; waiting for its end.")
        script.stack_sets["fleet"]["operations"][other]["steps"] = ["SUCCEEDED"]
        runs.ended("p", second, "Succeeded")
        equal(script.instances("fleet"), {("111122223333", "eu-west-1"): "CURRENT", ("444455556666", "eu-west-1"): "CURRENT"}, "stacks")

        runs.api.update_pipeline(pipeline=fleet(FailureTolerancePercentage="50", ConcurrencyMode="SOFT_FAILURE_TOLERANCE"))
        script.fail_instance("444455556666", "eu-west-1", reason)
        third = again(runs, "p")
        runs.ended("p", third, "Succeeded")
        matches(result(runs, "p", third, "Fleet")[0]["externalExecutionSummary"],
                "StackSet fleet operation .*-update SUCCEEDED; 1 failed stack instances are tolerated")
        preferences = endpoint.inputs("cloudformation.UpdateStackSet")[-1]["OperationPreferences"]
        equal((preferences["FailureTolerancePercentage"], preferences["ConcurrencyMode"]), (50, "SOFT_FAILURE_TOLERANCE"), "preferences")

        # What is not there, and what the role may not do.
        absent = action("More", "Deploy", "CloudFormationStackInstances", {
            "StackSetName": "none", "DeploymentTargets": "111122223333", "Regions": "eu-west-1"})
        runs.api.create_pipeline(pipeline=declared("q", arn, stage("Deploy", absent)))
        runs.ended("q", runs.first("q"), "Failed")
        code, message = failure(runs, "q", "Deploy", "More")
        equal(code, "ConfigurationError", message)
        matches(message, r"StackSet none does not exist\. Create it with a CloudFormationStackSet action\. StackSet none not found "
                         r"\(Service: AmazonCloudFormation; Status Code: 404; Error Code: StackSetNotFoundException; .*")
        endpoint.on("cloudformation.UpdateStackSet", denied(), times=1)
        runs.ended("p", again(runs, "p"), "Failed")
        code, message = failure(runs, "p", "Deploy", "Fleet")
        holds(code == "PermissionError" and "is not authorized to perform: cloudformation:UpdateStackSet" in message, message)

        script.held_operations = True
        fourth = again(runs, "p")
        wait("the operation", lambda: summary().endswith("is going on."))
        runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=fourth, abandon=True)
        runs.ended("p", fourth, "Stopped")
        wait("the operation to be stopped", lambda: endpoint.called("cloudformation.StopStackSetOperation"))


if __name__ == "__main__":
    main([stack_sets, organizations, stack_set_failures])
