"""CloudFormation as a deploy action, driven through the shipped binary: against moto's server, which makes real stacks at once, and
against the scripted endpoint, where they take time and fail; stack_sets.py has the stack sets. Run by the Rust tests of the
`towpath` command, one scenario at a time.
"""

import contextlib
import io
import json
import re
import subprocess
import tempfile
import zipfile

import boto3 as aws

from harness import REGION, Pipelines, Server, action, approval, bucket, client, equal, holds, main, matches, pipeline
from harness import rehearsal, role, s3_source, source, stage, wait, zipped
from rules import Moto
from scripted.cloudformation import CloudFormation
from scripted_aws import AwsError, ScriptedAws, denied, throttled, unavailable

PROVIDERS = ("CloudFormation", "CloudFormationStackSet", "CloudFormationStackInstances")
MORE = '\n[rehearsal]\nenabled = true\n'
REALM = """\
[realm.lab]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["CloudFormation", "CloudFormationStackSet", "CloudFormationStackInstances"]
staging-bucket = "staging"
"""
CFN_ROLE = "arn:aws:iam::123456789012:role/cloudformation"


def document(resources, **more):
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources, **more})


def queue(name, **more):
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}, **more}


class Lab:
    """moto's server as the realm. It takes templates by URL from itself where that is named localhost."""

    def __init__(self, moto):
        self.url = moto.url.replace("127.0.0.1", "localhost")

    def at(self, service, region=REGION, account=None):
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        if account:
            given = self.at("sts").assume_role(RoleArn=f"arn:aws:iam::{account}:role/look", RoleSessionName="look")["Credentials"]
            keys = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"],
                    "aws_session_token": given["SessionToken"]}
        return aws.client(service, endpoint_url=self.url, region_name=region, **keys)


@contextlib.contextmanager
def lab(realm=REALM):
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        made = Lab(moto)
        made.at("s3").create_bucket(Bucket="staging")
        with Server(directory, realm.format(url=made.url) + MORE) as server:
            bucket("artifacts")
            yield made, server


@contextlib.contextmanager
def scripted(script):
    with ScriptedAws(script) as endpoint, tempfile.TemporaryDirectory() as directory:
        with Server(directory, endpoint.realm(*PROVIDERS) + MORE) as server:
            bucket("artifacts")
            yield endpoint, server


def stack(mode, name="Stack", **more):
    """The action on the stack `ferry`; configuration keys are in capitals."""
    keys = {"ActionMode": mode, "StackName": "ferry"}
    if mode != "CHANGE_SET_EXECUTE":
        keys["RoleArn"] = CFN_ROLE
    if mode not in ("CHANGE_SET_EXECUTE", "DELETE_ONLY"):
        keys["TemplatePath"] = "src::template.json"
        more.setdefault("inputs", ["src"])
    keys.update({key: more.pop(key) for key in list(more) if key[0].isupper()})
    return action(name, "Deploy", "CloudFormation", keys, **more)


def declared(name, arn, *stages):
    return pipeline(name, arn, stage("Source", s3_source()), *stages, pipelineType="V2")


def result(runs, name, execution, action_name):
    row = next(row for row in runs.actions(name, execution) if row["actionName"] == action_name)
    return row["output"]["executionResult"], row["output"].get("outputVariables", {})


def failure(runs, name, stage_name, action_name):
    error = runs.action_latest(name, stage_name, action_name)["errorDetails"]
    return error["code"], error["message"]


def again(runs, name, files=None):
    if files is not None:
        client("s3").put_object(Bucket="source", Key="app.zip", Body=zipped(files))
    return runs.api.start_pipeline_execution(name=name)["pipelineExecutionId"]


def logs(server, *arguments):
    ran = subprocess.run([server.binary, "logs", *arguments], capture_output=True, text=True, timeout=60)
    equal(ran.returncode, 0, ran.stderr)
    return ran.stdout


def change_sets():
    """A change set, an approval, its execution; parameters of a template configuration, of the artifact's place and of a file
    in it."""
    template = document(
        {"Place": {"Type": "AWS::SSM::Parameter", "Properties": {
            "Name": "/ferry/release", "Type": "String",
            "Value": {"Fn::Join": [" ", [{"Ref": "Env"}, {"Ref": "Release"}, {"Ref": "CodeKey"}, {"Ref": "CodeBucket"}]]}}}},
        Parameters={name: {"Type": "String"} for name in ("Env", "Release", "CodeKey", "CodeBucket")})
    settings = {"Parameters": {"Env": "staging", "Release": "of the configuration"}, "Tags": {"team": "canal"},
                "StackPolicy": {"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}}

    def files(release):
        return {"infra/template.json": template, "cfg/staging.json": json.dumps(settings),
                "meta.json": json.dumps({"release": release})}

    overrides = {"CodeBucket": {"Fn::GetArtifactAtt": ["src", "BucketName"]}, "CodeKey": {"Fn::GetArtifactAtt": ["src", "ObjectKey"]},
                 "Release": {"Fn::GetParam": ["src", "meta.json", "release"]}}
    with lab() as (there, _):
        runs, arn = Pipelines(), role()
        source(files("v7"))
        prepare = stack("CHANGE_SET_REPLACE", "Prepare", TemplatePath="src::infra/template.json", ChangeSetName="ferry-next",
                        TemplateConfiguration="src::cfg/staging.json", ParameterOverrides=json.dumps(overrides))
        execute = stack("CHANGE_SET_EXECUTE", "Execute", ChangeSetName="ferry-next", order=3, inputs=["src"],
                        TemplateConfiguration="src::cfg/staging.json")
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", prepare, approval(order=2), execute)))
        first = runs.first("p")
        token = runs.token("p", "Deploy")
        cloudformation = there.at("cloudformation")
        made = cloudformation.describe_stacks(StackName="ferry")["Stacks"][0]
        equal(made["StackStatus"], "REVIEW_IN_PROGRESS", "nothing is made before the approval")
        change_set = cloudformation.describe_change_set(StackName="ferry", ChangeSetName="ferry-next")
        equal({tag["Key"]: tag["Value"] for tag in made["Tags"]}, {"team": "canal"}, "tags")
        told, variables = result(runs, "p", first, "Prepare")
        page = f"changeset/detail?changeSetId={change_set['ChangeSetId']}&stackId={made['StackId']}"
        equal(told["externalExecutionId"], page, "external id")
        equal(told["externalExecutionUrl"], f"https://console.aws.amazon.com/cloudformation/home?region={REGION}#/{page}", "link")
        equal((told["externalExecutionSummary"], variables), ("Change set ferry-next was created.", {}), "what is told")
        runs.answer("p", "Deploy", token)
        runs.ended("p", first, "Succeeded")
        told, _ = result(runs, "p", first, "Execute")
        equal(told["externalExecutionSummary"], "Stack ferry was created.", "the execution")
        equal(told["externalExecutionId"], f"stack/detail?stackId={made['StackId']}", "external id")
        policy = json.loads(cloudformation.get_stack_policy(StackName="ferry")["StackPolicyBody"])
        equal(policy, settings["StackPolicy"], "the policy of the configuration file")

        def written():
            return there.at("ssm").get_parameter(Name="/ferry/release")["Parameter"]["Value"].split(" ")

        env, release, key, place = written()
        equal((env, release, place), ("staging", "v7", "staging"), "what the stack was told")
        holds(key.startswith(f"towpath/p/{first}/") and key.endswith("/src.zip"), key)
        body = there.at("s3").get_object(Bucket=place, Key=key)["Body"].read()
        equal(sorted(zipfile.ZipFile(io.BytesIO(body)).namelist()), sorted(files("v7")), "the artifact is where the stack finds it")

        second = again(runs, "p", files("v8"))
        runs.answer("p", "Deploy", wait("the next token", lambda: _other(runs.token("p", "Deploy"), token)))
        runs.ended("p", second, "Succeeded")
        equal(written()[:2], ["staging", "v8"], "the second release")
        equal(result(runs, "p", second, "Execute")[0]["externalExecutionSummary"], "Stack ferry was updated.", "an update")

        third = again(runs, "p", {**files("v9"), "meta.json": "{}"})
        runs.ended("p", third, "Failed")
        equal(failure(runs, "p", "Deploy", "Prepare"),
              ("ConfigurationError", "Fn::GetParam of the parameter Release: the file meta.json of the artifact src has no key release."),
              "a key that is not there")


def _other(token, old):
    return token if token != old else None


def stacks():
    """A stack with a nested one, its outputs as variables and as an artifact, its events as the log; nothing to update, a template
    that is too long for a request, and a deletion."""
    with lab() as (there, server):
        runs, arn = Pipelines(), role()
        there.at("s3").put_object(Bucket="staging", Key="net.json", Body=document({"Inner": queue("inner")}))
        nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": f"{there.url}/staging/net.json"}}
        template = document({"Net": nested, "Outer": queue("outer")}, Outputs={"Name": {"Value": "ferry-one"}})
        source({"template.json": template})
        make = stack("CREATE_UPDATE", namespace="Stack", Capabilities="CAPABILITY_IAM,CAPABILITY_AUTO_EXPAND",
                     OutputFileName="outputs.json", outputs=["told"])
        use = rehearsal("Use", inputs=["told"], Message="made #{Stack.Name}")
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", make), stage("Use", use)))
        first = runs.first("p")
        runs.ended("p", first, "Succeeded")
        told, variables = result(runs, "p", first, "Stack")
        equal((told["externalExecutionSummary"], variables), ("Stack ferry was created.", {"Name": "ferry-one"}), "outputs")
        equal(result(runs, "p", first, "Use")[0]["externalExecutionSummary"], "made ferry-one", "used by the next action")
        row = next(row for row in runs.actions("p", first) if row["actionName"] == "Stack")
        place = row["output"]["outputArtifacts"][0]["s3location"]
        body = client("s3").get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read()
        equal(json.loads(zipfile.ZipFile(io.BytesIO(body)).read("outputs.json")), {"Name": "ferry-one"}, "the output artifact")
        urls = there.at("sqs").list_queues()["QueueUrls"]
        equal(sorted(url.rsplit("/", 1)[1] for url in urls), ["inner", "outer"], "both stacks' queues")
        text = logs(server, "p", "--action", "Deploy/Stack")
        holds("CREATE_IN_PROGRESS ferry (AWS::CloudFormation::Stack): User Initiated\n" in text, text)
        holds("CREATE_COMPLETE ferry (AWS::CloudFormation::Stack)\n" in text, text)

        second = again(runs, "p")
        runs.ended("p", second, "Succeeded")
        equal(result(runs, "p", second, "Stack")[1], {"Name": "ferry-one"}, "outputs of what stays as it is")

        large = document({"Outer": queue("outer-2")}, Metadata={"Text": "x" * 60_000}, Outputs={"Name": {"Value": "ferry-two"}})
        third = again(runs, "p", {"template.json": large})
        runs.ended("p", third, "Succeeded")
        equal(result(runs, "p", third, "Stack")[1], {"Name": "ferry-two"}, "of a template that came by its URL")
        keys = [item["Key"] for item in there.at("s3").list_objects_v2(Bucket="staging")["Contents"]]
        holds(any(re.fullmatch(f"towpath/p/{third}/[^/]+/src.template", key) for key in keys), keys)

        stack_id = there.at("cloudformation").describe_stacks(StackName="ferry")["Stacks"][0]["StackId"]
        runs.api.create_pipeline(pipeline=declared("q", arn, stage("Deploy", stack("DELETE_ONLY"))))
        gone = runs.first("q")
        runs.ended("q", gone, "Succeeded")
        equal(result(runs, "q", gone, "Stack")[0]["externalExecutionSummary"], "Stack ferry was deleted.", "a deletion")
        equal(there.at("cloudformation").describe_stacks(StackName=stack_id)["Stacks"][0]["StackStatus"], "DELETE_COMPLETE", "it")
        twice = again(runs, "q")
        runs.ended("q", twice, "Succeeded")
        equal(result(runs, "q", twice, "Stack")[0]["externalExecutionSummary"], "Stack ferry does not exist; there is nothing to delete.",
              "nothing to delete")


def failures():
    """A stack that fails in a nested one: the first cause is the error and the events are the log; it cannot be updated then, and
    is replaced."""
    script = CloudFormation()
    script.templates["https://templates.example/net.json"] = document({"Vpc": {"Type": "AWS::EC2::VPC"}, "Queue": queue("q")})
    nested = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": "https://templates.example/net.json"}}
    template = document({"Topic": {"Type": "AWS::SNS::Topic"}, "Net": nested, "Last": queue("last")}, Transform="AWS::LanguageExtensions",
                        Outputs={"Name": {"Value": "ferry"}})
    script.fail("Net.Vpc", "The CIDR is taken")
    with scripted(script) as (endpoint, server):
        runs, arn = Pipelines(), role()
        source({"template.json": template})
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", stack("CREATE_UPDATE"))))
        first = runs.first("p")
        runs.ended("p", first, "Failed")
        code, message = failure(runs, "p", "Deploy", "Stack")
        equal(code, "ConfigurationError", "a capability that is not acknowledged")
        matches(message, r"Requires capabilities : \[CAPABILITY_AUTO_EXPAND\] \(Service: AmazonCloudFormation; Status Code: 400; Error "
                         r"Code: InsufficientCapabilitiesException; Request ID: [0-9a-f-]+\)\. Acknowledge them in .*: Capabilities\.")

        keys = {"Capabilities": "CAPABILITY_AUTO_EXPAND", "namespace": "Made"}
        runs.api.update_pipeline(pipeline=declared("p", arn, stage("Deploy", stack("CREATE_UPDATE", **keys))))
        second = again(runs, "p")
        runs.ended("p", second, "Failed")
        equal(failure(runs, "p", "Deploy", "Stack"), ("JobFailed", "Net/Vpc (AWS::EC2::VPC): The CIDR is taken"), "the first cause")
        failed = script.stacks[0]
        told, _ = result(runs, "p", second, "Stack")
        equal(told["externalExecutionId"], f"stack/detail?stackId={failed.id}", "which stack")
        text = logs(server, "p", "--action", "Deploy/Stack")
        for line in ("CREATE_FAILED Net/Vpc (AWS::EC2::VPC): The CIDR is taken", "ROLLBACK_COMPLETE ferry (AWS::CloudFormation::Stack)"):
            holds(line + "\n" in text, text)

        third = again(runs, "p")
        runs.ended("p", third, "Failed")
        code, message = failure(runs, "p", "Deploy", "Stack")
        equal(code, "ConfigurationError", "what cannot be updated")
        matches(message, rf"Stack:{re.escape(failed.id)} is in ROLLBACK_COMPLETE state and can not be updated\. Delete the stack, or "
                         r"use the action mode REPLACE_ON_FAILURE\.")

        runs.api.update_pipeline(pipeline=declared("p", arn, stage("Deploy", stack("REPLACE_ON_FAILURE", **keys))))
        fourth = again(runs, "p")
        runs.ended("p", fourth, "Succeeded")
        equal(result(runs, "p", fourth, "Stack")[1], {"Name": "ferry"}, "outputs")
        equal((failed.status, script.of("ferry").status), ("DELETE_COMPLETE", "CREATE_COMPLETE"), "the old one and the new one")
        asked = [call.operation for call in endpoint.calls if call.operation in ("CreateStack", "DeleteStack", "UpdateStack")]
        equal(asked, ["CreateStack", "CreateStack", "DeleteStack", "CreateStack"], "what was asked for")
        equal({call.input["RoleARN"] for call in endpoint.called("cloudformation.CreateStack")}, {CFN_ROLE}, "with the role")


def refusals():
    """Change sets that CloudFormation refuses or finds empty, and what the role may not do."""
    script = CloudFormation()
    with scripted(script) as (endpoint, _):
        runs, arn = Pipelines(), role()
        template = document({"Topic": {"Type": "AWS::SNS::Topic"}}, Parameters={"Env": {"Type": "String"}},
                            Outputs={"Name": {"Value": "ferry"}})
        source({"template.json": template})
        wrong = stack("CHANGE_SET_REPLACE", ChangeSetName="next", ParameterOverrides='{"Enf": "prod"}')
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", wrong)))
        runs.ended("p", runs.first("p"), "Failed")
        code, message = failure(runs, "p", "Deploy", "Stack")
        holds(code == "ConfigurationError" and message.startswith("Parameters: [Enf] do not exist in the template (Service: "), message)

        right = stack("CHANGE_SET_REPLACE", ChangeSetName="next", ParameterOverrides='{"Env": "prod"}')
        execute = stack("CHANGE_SET_EXECUTE", "Execute", ChangeSetName="next", order=2)
        runs.api.update_pipeline(pipeline=declared("p", arn, stage("Deploy", right, execute)))
        second = again(runs, "p")
        runs.ended("p", second, "Succeeded")
        equal([result(runs, "p", second, name)[1] for name in ("Stack", "Execute")], [{}, {"Name": "ferry"}], "outputs, when it is there")
        third = again(runs, "p")
        runs.ended("p", third, "Succeeded")
        equal([result(runs, "p", third, name)[1] for name in ("Stack", "Execute")], [{"Name": "ferry"}] * 2, "those of the stack as it is")
        equal([result(runs, "p", third, name)[0]["externalExecutionSummary"] for name in ("Stack", "Execute")],
              ["Change set next was created with no changes.", "Change set next was executed with no change."], "an empty set")
        equal(len(endpoint.called("cloudformation.ExecuteChangeSet")), 1, "executions")

        unknown = stack("CHANGE_SET_EXECUTE", ChangeSetName="none")
        runs.api.create_pipeline(pipeline=declared("unknown", arn, stage("Deploy", unknown)))
        runs.ended("unknown", runs.first("unknown"), "Failed")
        code, message = failure(runs, "unknown", "Deploy", "Stack")
        holds(code == "ConfigurationError" and message.startswith("ChangeSet [none] does not exist (Service: AmazonCloudFormation; "), message)

        # The quotas of CloudFormation are no throttling, and what is refused says by whom.
        for name, answer, want in [
            ("a", AwsError("LimitExceededException", "Stack limit of 2000 reached"),
             ("JobFailed", r"Stack limit of 2000 reached \(Service: AmazonCloudFormation; .*")),
            ("b", denied(), ("PermissionError", "User: .* is not authorized to perform: cloudformation:CreateStack .*")),
        ]:
            endpoint.on("cloudformation.CreateStack", answer, times=5)
            made = stack("CREATE_UPDATE", StackName=name, ParameterOverrides='{"Env": "prod"}')
            runs.api.create_pipeline(pipeline=declared(name, arn, stage("Deploy", made)))
            runs.ended(name, runs.first(name), "Failed")
            code, message = failure(runs, name, "Deploy", "Stack")
            equal(code, want[0], message)
            matches(message, want[1])
            endpoint.answers.clear()


# What each mode does to a stack in each state: C create, U update, D delete, c and u a change set that creates or updates,
# X execute, F refuse; a dash nothing. Of a stack on which somebody else's operation goes on, what it does when that is over.
MODES = ("CREATE_UPDATE", "REPLACE_ON_FAILURE", "DELETE_ONLY", "CHANGE_SET_REPLACE", "CHANGE_SET_EXECUTE")
STATES = """
    DELETE_COMPLETE                              C  C  -  c  F
    REVIEW_IN_PROGRESS                           F  DC D  c  X
    CREATE_COMPLETE                              U  U  D  u  X
    UPDATE_COMPLETE                              U  U  D  u  X
    UPDATE_ROLLBACK_COMPLETE                     U  U  D  u  X
    IMPORT_COMPLETE                              U  U  D  u  X
    IMPORT_ROLLBACK_COMPLETE                     U  U  D  u  X
    CREATE_FAILED                                U  DC D  u  X
    UPDATE_FAILED                                U  U  D  u  X
    ROLLBACK_COMPLETE                            F  DC D  F  F
    ROLLBACK_FAILED                              F  DC D  F  F
    DELETE_FAILED                                F  DC D  F  F
    UPDATE_ROLLBACK_FAILED                       F  DC D  F  F
    IMPORT_ROLLBACK_FAILED                       F  F  D  F  F
    CREATE_IN_PROGRESS                           U  U  D  u  X  CREATE_COMPLETE
    UPDATE_IN_PROGRESS                           U  U  D  u  X  UPDATE_COMPLETE
    UPDATE_COMPLETE_CLEANUP_IN_PROGRESS          U  U  D  u  X  UPDATE_COMPLETE
    ROLLBACK_IN_PROGRESS                         F  DC D  F  F  ROLLBACK_COMPLETE
    UPDATE_ROLLBACK_IN_PROGRESS                  U  U  D  u  X  UPDATE_ROLLBACK_COMPLETE
    UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS U  U  D  u  X  UPDATE_ROLLBACK_COMPLETE
    IMPORT_IN_PROGRESS                           U  U  D  u  X  IMPORT_COMPLETE
    IMPORT_ROLLBACK_IN_PROGRESS                  U  U  D  u  X  IMPORT_ROLLBACK_COMPLETE
    DELETE_IN_PROGRESS                           C  C  -  c  F  DELETE_COMPLETE
"""


def states():
    """Every mode on a stack in every state, side by side; what CloudFormation was asked to do to it, and what came of it."""
    script = CloudFormation()
    template = document({"New": {"Type": "AWS::SNS::Topic"}})
    rows = [row.split() for row in STATES.strip().splitlines()]
    for state, *_, last in rows:
        for mode in MODES:
            stack_name = f"{mode}-{state}".replace("_", "-")
            made = script.put(stack_name, state, keeps_failed=state in ("CREATE_FAILED", "UPDATE_FAILED"))
            if state.endswith("_IN_PROGRESS") and state != "REVIEW_IN_PROGRESS":
                made.steps = [lambda: None, lambda made=made, last=last: made.go(last)]
            if mode == "CHANGE_SET_EXECUTE" and state != "DELETE_COMPLETE":
                script.put_set("next", made, template)
    with scripted(script) as (endpoint, _):
        runs, arn = Pipelines(), role()
        source({"template.json": template})

        def act(mode, state):
            return stack(mode, state, StackName=f"{mode}-{state}".replace("_", "-"), ChangeSetName="next")

        for mode in MODES:
            deploy = stage("Deploy", *[act(mode, state) for state, *_ in rows])
            runs.api.create_pipeline(pipeline=declared(mode, arn, deploy))
        letters = {"CreateStack": "C", "UpdateStack": "U", "DeleteStack": "D", "ExecuteChangeSet": "X"}
        changes = {"CREATE": "c", "UPDATE": "u"}
        for place, mode in enumerate(MODES, start=1):
            execution = runs.first(mode)
            runs.ended(mode, execution)
            told = {row["actionName"]: row for row in runs.actions(mode, execution)}
            for row in rows:
                state, want = row[0], row[place]
                own = {one.id for one in script.stacks if one.name == f"{mode}-{state}".replace("_", "-")}
                own.add(f"{mode}-{state}".replace("_", "-"))
                mine = [call for call in endpoint.calls if call.input.get("StackName") in own and not call.refused]
                asked = [letters[call.operation] for call in mine if call.operation in letters]
                asked += [changes[call.input["ChangeSetType"]] for call in mine if call.operation == "CreateChangeSet"]
                result_of = told[state]["output"]["executionResult"]
                error = result_of.get("errorDetails", {})
                equal(("".join(asked), told[state]["status"]), (want.strip("-F"), "Failed" if want == "F" else "Succeeded"),
                      f"{mode} {state}: {error}")
                if want == "F" and "DELETE" not in state.replace("DELETE_FAILED", ""):
                    end = row[-1] if len(row) > 6 else state
                    equal(error["code"], "ConfigurationError", f"{mode} {state}")
                    matches(error["message"], rf"Stack:arn:\S+ is in {end} state and can not be updated\. .+", f"{mode} {state}")


def live():
    """A stack that takes its time: how far it is, its events as they come, and the same of a change set."""
    script = CloudFormation()
    script.slow = script.held = True
    topics = {name: {"Type": "AWS::SNS::Topic"} for name in ("First", "Second", "Third", "Fourth")}
    with scripted(script) as (_, server):
        runs, arn = Pipelines(), role()
        source({"template.json": document(topics)})
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", stack("CREATE_UPDATE"))))
        first = runs.first("p")
        wait("the stack", lambda: any(one.name == "ferry" for one in script.stacks))
        follows = subprocess.Popen([server.binary, "logs", "p", "--action", "Deploy/Stack", "--follow"], stdout=subprocess.PIPE, text=True)
        try:
            line = follows.stdout.readline()
            holds("CREATE_IN_PROGRESS ferry (AWS::CloudFormation::Stack): User Initiated" in line, line)
            equal(runs.status("p", first), "InProgress", "while it runs")
            script.held = False
            wait("half of it", lambda: len(script.of("ferry").resources) >= 2)
            script.held = True
            latest = wait("how far it is", lambda: _told(runs.action_latest("p", "Deploy", "Stack"), "percentComplete"))
            holds(latest["percentComplete"] in (25, 50, 75), latest)
            equal(latest["summary"], "Stack ferry is being created.", "in words")
            holds(latest["externalExecutionUrl"].endswith(f"stackId={script.of('ferry').id}"), latest)
            lines = [line]
            while "CREATE_COMPLETE Second" not in line:
                line = follows.stdout.readline()
                holds(line, f"the log ended: {lines}")
                lines.append(line)
            equal(runs.status("p", first), "InProgress", "still")
            script.held = False
            runs.ended("p", first, "Succeeded")
            lines += follows.stdout.readlines()
            equal(follows.wait(timeout=60), 0, "with the execution")
        finally:
            follows.kill()
            follows.stdout.close()
        equal(len([line for line in lines if "CREATE_COMPLETE" in line]), 5, f"four resources and the stack, each once: {lines}")
        equal(runs.action_latest("p", "Deploy", "Stack")["percentComplete"], 100, "at the end")


def _told(latest, key):
    return latest if latest.get(key) else None


def deletions():
    """Stacks that cannot be deleted: protected ones, and those with a resource that stays; its reason is the error."""
    script = CloudFormation()
    kept = script.put("kept", protected=True)
    script.put("ferry")
    script.fail_deletion("Old", "The bucket you tried to delete is not empty")
    with scripted(script) as (_, server):
        runs, arn = Pipelines(), role()
        source({"template.json": document({"New": {"Type": "AWS::SNS::Topic"}})})
        pair = stage("Deploy", stack("DELETE_ONLY", "Kept", StackName="kept"), stack("DELETE_ONLY"))
        runs.api.create_pipeline(pipeline=declared("p", arn, pair))
        runs.ended("p", runs.first("p"), "Failed")
        code, message = failure(runs, "p", "Deploy", "Kept")
        holds(code == "ConfigurationError", code)
        holds(message.startswith("Stack [kept] cannot be deleted while TerminationProtection is enabled (Service: "), message)
        equal(kept.status, "CREATE_COMPLETE", "it is left alone")
        want = "Old (AWS::SNS::Topic): The bucket you tried to delete is not empty"
        equal(failure(runs, "p", "Deploy", "Stack"), ("JobFailed", want), "the first cause")
        holds(f"DELETE_FAILED {want}\n" in logs(server, "p", "--action", "Deploy/Stack"), "in the log too")

        # It is replaced once it can be deleted; the log has the end of the old one and the beginning of the new one.
        script.undeletable.clear()
        runs.api.create_pipeline(pipeline=declared("q", arn, stage("Deploy", stack("REPLACE_ON_FAILURE"))))
        runs.ended("q", runs.first("q"), "Succeeded")
        text = logs(server, "q", "--action", "Deploy/Stack")
        order = [text.index(f"{status} ferry (AWS::CloudFormation::Stack)") for status in
                 ("DELETE_IN_PROGRESS", "DELETE_COMPLETE", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")]
        equal(order, sorted(order), text)


def disturbances():
    """Throttling, a proxy's pages and a killed server in between; somebody else's operation is waited for; a stopped action cancels
    its update."""
    script = CloudFormation()
    template = document({"Topic": {"Type": "AWS::SNS::Topic"}})
    foreign = script.put("ferry", "UPDATE_IN_PROGRESS")
    with scripted(script) as (endpoint, server):
        runs, arn = Pipelines(), role()
        source({"template.json": template})
        endpoint.on("cloudformation.DescribeStacks", throttled(), times=6)
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", stack("CREATE_UPDATE"))))
        first = runs.first("p")
        waiting = "Another operation on stack ferry goes on; waiting for its end."
        wait("the other operation", lambda: runs.action_latest("p", "Deploy", "Stack").get("summary") == waiting)
        server.kill()
        foreign.status = "UPDATE_COMPLETE"
        endpoint.on("cloudformation.UpdateStack", unavailable(), times=2)
        server.start()
        runs = Pipelines()
        runs.ended("p", first, "Succeeded")
        equal(len([call for call in endpoint.called("cloudformation.UpdateStack") if not call.refused]) >= 1, True, "the update")
        equal(foreign.status, "UPDATE_COMPLETE", "of the stack")

        script.held = True
        second = again(runs, "p", {"template.json": document({"Other": {"Type": "AWS::SNS::Topic"}})})
        wait("the update", lambda: foreign.status == "UPDATE_IN_PROGRESS")
        wait("what is told of it", lambda: runs.action_latest("p", "Deploy", "Stack").get("summary") == "Stack ferry is being updated.")
        runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=second, abandon=True)
        runs.ended("p", second, "Stopped")
        wait("the update to be cancelled", lambda: endpoint.called("cloudformation.CancelUpdateStack"))
        equal(foreign.status, "UPDATE_ROLLBACK_IN_PROGRESS", "it is rolled back")


def another_account():
    """An action with a role of another account makes its stack there; one without makes it in the pipeline's."""
    with lab(REALM.replace("assume-roles = false", "assume-roles = true")) as (there, _):
        runs, arn = Pipelines(), role()
        source({"template.json": document({"Outer": queue("outer")})})
        theirs = {**stack("CREATE_UPDATE", "Theirs"), "roleArn": "arn:aws:iam::210987654321:role/deployer"}
        ours = stack("CREATE_UPDATE", "Ours", StackName="barge")
        runs.api.create_pipeline(pipeline=declared("p", arn, stage("Deploy", theirs, ours)))
        first = runs.first("p")
        runs.ended("p", first, "Succeeded")
        matches(result(runs, "p", first, "Theirs")[0]["externalExecutionId"],
                rf"stack/detail\?stackId=arn:aws:cloudformation:{REGION}:210987654321:stack/ferry/.*", "its stack")
        for account, names in ((None, ["barge"]), ("210987654321", ["ferry"])):
            found = there.at("cloudformation", account=account).describe_stacks()["Stacks"]
            equal([one["StackName"] for one in found], names, f"stacks of {account or 'the pipeline'}")


if __name__ == "__main__":
    main([change_sets, stacks, failures, refusals, states, live, deletions, disturbances, another_account])
