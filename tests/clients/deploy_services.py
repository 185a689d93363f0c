"""Deployments to services that have no state machines of their own here, driven through the shipped binary: Lambda in Towpath's
own and in moto's; AppConfig, Elastic Beanstalk, OpsWorks, Service Catalog and Device Farm at the scripted AWS endpoint, with moto's S3
behind it; an image pushed by a `docker` that is a script. Run by the Rust tests of the `towpath` command, one scenario at a
time.
"""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import tempfile
import urllib.parse
import zipfile

import boto3 as aws

from harness import ACCOUNT, REGION, Pipelines, Server, action, approval, bucket, client, equal, holds, main, matches, pipeline
from harness import role, s3_source, source, stage, trust, wait, zipped
from lambda_functions import execution_role, invoked, made, server
from rules import Moto
from scripted.appconfig import AppConfig, rolled_back
from scripted.cloudformation import CloudFormation
from scripted.devicefarm import DeviceFarm
from scripted.elasticbeanstalk import DONE, ElasticBeanstalk, fails, stuck
from scripted.opsworks import OpsWorks
from scripted.opsworks import fails as fails_on
from scripted.servicecatalog import ServiceCatalog
from scripted_aws import ScriptedAws, throttled

DEPLOYER = ("s3:*", "lambda:*", "logs:*", "iam:PassRole")


def at(moto, service):
    return aws.client(service, endpoint_url=moto.url, region_name=REGION, aws_access_key_id="testing",
                      aws_secret_access_key="testing")


def result(runs, name, execution, action_name):
    row = next(row for row in runs.actions(name, execution) if row["actionName"] == action_name)
    return row["output"].get("executionResult", {}), row


def logged(action_name):
    """What `towpath logs` shows of an action's last execution."""
    ran = subprocess.run([os.environ["TOWPATH_TEST_BINARY"], "logs", "p", "--action", f"Deploy/{action_name}"], capture_output=True,
                         text=True, timeout=60)
    equal(ran.returncode, 0, ran.stderr)
    return ran.stdout


def run(runs, declared, want):
    """Makes the pipeline, or starts it again, and gives the execution when it has ended."""
    name = declared["name"]
    try:
        runs.api.create_pipeline(pipeline=declared)
        execution = runs.first(name)
    except runs.api.exceptions.PipelineNameInUseException:
        runs.api.update_pipeline(pipeline=declared)
        execution = runs.api.start_pipeline_execution(name=name)["pipelineExecutionId"]
    runs.ended(name, execution, want)
    return execution


_roles = {}


def declared(act, name="p"):
    if name not in _roles:
        _roles[name] = role(f"pipeline-{name}", DEPLOYER)
    return pipeline(name, _roles[name], stage("Source", s3_source()), stage("Deploy", act), pipelineType="V2")


def handler(text):
    return {"app.py": f"def handler(event, context):\n    return '{text}'\n"}


# Lambda


def functions():
    """Towpath's own Lambda: a version at once, a share of the traffic that is given back, and a version from before."""
    with tempfile.TemporaryDirectory() as directory, server(directory):
        api, runs = client("lambda"), Pipelines()
        made(api, "hook", handler("one"), execution_role())
        equal(api.publish_version(FunctionName="hook")["Version"], "1", "the first version")
        api.create_alias(FunctionName="hook", Name="live", FunctionVersion="1")
        bucket("artifacts")
        source(handler("two"))

        def deploy(inputs=("src",), **keys):
            configuration = {"FunctionName": "hook", "FunctionAlias": "live", **keys}
            return action("Fn", "Deploy", "Lambda", configuration, inputs=list(inputs), namespace="Fn")

        execution = run(runs, declared(deploy()), "Succeeded")
        told, row = result(runs, "p", execution, "Fn")
        equal(row["output"]["outputVariables"], {"FunctionVersion": "2"}, "the variable")
        equal((told["externalExecutionId"], told["externalExecutionSummary"]), ("2", "live of hook is version 2."), "what is told")
        equal(api.get_alias(FunctionName="hook", Name="live")["FunctionVersion"], "2", "the alias")
        equal(invoked(api, "hook", Qualifier="live")[1], "two", "what runs")
        matches(logged("Fn"), r".*Version 2 of hook is published\..*Version 2 has 100 % of the traffic of live\.\n", "the log")

        client("s3").put_object(Bucket="source", Key="app.zip", Body=zipped(handler("three")))
        runs.api.update_pipeline(pipeline=declared(deploy(DeployStrategy="Canary50Percent30Minutes")))
        execution = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]

        def divided():
            return api.get_alias(FunctionName="hook", Name="live").get("RoutingConfig")

        equal(wait("the share", divided), {"AdditionalVersionWeights": {"3": 0.5}}, "the share")
        wait("both versions to run", lambda: {invoked(api, "hook", Qualifier="live")[1] for _ in range(20)} == {"two", "three"})
        matches(wait("it to be told", lambda: runs.action_latest("p", "Deploy", "Fn").get("summary")),
                r"Version 3 has 50 % of the traffic of live; the next step is at .*Z\.", "the summary")
        runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, abandon=True)
        wait("the traffic to be given back", lambda: not divided())
        equal(api.get_alias(FunctionName="hook", Name="live")["FunctionVersion"], "2", "as before")
        equal({invoked(api, "hook", Qualifier="live")[1] for _ in range(20)}, {"two"}, "one version alone")

        execution = run(runs, declared(deploy((), PublishedTargetVersion="1")), "Succeeded")
        equal(api.get_alias(FunctionName="hook", Name="live")["FunctionVersion"], "1", "back to the first")
        for keys, words in [
            ({"FunctionName": "none"}, r"Error calling getAlias: Cannot find alias arn: .*:function:none:live .*"),
            ({"Alarms": "ferry-5xx"}, r"Action Fn runs in Towpath's own Lambda, beside which there is no Amazon CloudWatch .*"),
        ]:
            execution = run(runs, declared(deploy(**keys)), "Failed")
            error = result(runs, "p", execution, "Fn")[0]["errorDetails"]
            equal(error["code"], "ConfigurationError", error["message"])
            matches(error["message"], words, "why")


REALM = """\
[realm.lab]
url = "{url}"
access-key-id = "testing"
secret-access-key = "testing"
assume-roles = false
providers = ["Lambda"]
"""


def functions_elsewhere():
    """moto's Lambda, whose code comes in the request, and an alarm of its CloudWatch that gives the traffic back."""
    with Moto() as moto, tempfile.TemporaryDirectory() as directory, Server(directory, REALM.format(url=moto.url)):
        api, alarms, runs = at(moto, "lambda"), at(moto, "cloudwatch"), Pipelines()
        trusted = trust("lambda.amazonaws.com")
        worker = at(moto, "iam").create_role(RoleName="worker", AssumeRolePolicyDocument=trusted)["Role"]["Arn"]
        api.create_function(FunctionName="hook", Runtime="python3.12", Handler="app.handler", Role=worker,
                            Code={"ZipFile": zipped(handler("one"))})
        api.publish_version(FunctionName="hook")
        api.create_alias(FunctionName="hook", Name="live", FunctionVersion="1")
        alarms.put_metric_alarm(AlarmName="ferry-5xx", MetricName="5xx", Namespace="ferry", Statistic="Sum", Period=60,
                                EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold")
        alarms.set_alarm_state(AlarmName="ferry-5xx", StateValue="OK", StateReason="calm")
        bucket("artifacts")
        source(handler("two"))
        deploy = action("Fn", "Deploy", "Lambda", {"FunctionName": "hook", "FunctionAlias": "live", "Alarms": "ferry-5xx",
                                                   "DeployStrategy": "Linear25PercentEvery30Minutes"}, inputs=["src"])
        runs.api.create_pipeline(pipeline=declared(deploy))
        execution = runs.first("p")

        def divided():
            return api.get_alias(FunctionName="hook", Name="live").get("RoutingConfig", {}).get("AdditionalVersionWeights")

        equal(wait("the share", divided), {"2": 0.25}, "the share")
        alarms.set_alarm_state(AlarmName="ferry-5xx", StateValue="ALARM", StateReason="storm")
        runs.ended("p", execution, "Failed")
        told = result(runs, "p", execution, "Fn")[0]
        equal(told["errorDetails"], {"code": "JobFailed", "message": "Alarm ferry-5xx is in ALARM"}, "why")
        alias = api.get_alias(FunctionName="hook", Name="live")
        equal((alias["FunctionVersion"], divided() or {}), ("1", {}), "as before")
        matches(logged("Fn"), r".*Version 2 has 25 % of the traffic of live\.\n.*Alarm ferry-5xx is in ALARM\. live is version 1 alone "
                              r"again\.\n.*", "the log")


# The scripted endpoint


@contextlib.contextmanager
def scripted(*scripts, providers, more=""):
    """A server whose actions of these providers run at the scripted endpoint; its S3 is moto's."""
    with Moto() as moto, ScriptedAws(*scripts) as endpoint, tempfile.TemporaryDirectory() as directory:
        realm = endpoint.realm(*providers, more=f'{more}\n[realm.lab.endpoints]\ns3 = "{moto.url}"\n')
        with Server(directory, realm):
            bucket("artifacts")
            yield moto, endpoint, Pipelines()


def appconfig():
    """A hosted configuration that is deployed, one that an alarm rolls back, one that a validator refuses, and a stop."""
    script = AppConfig()
    script.profile("abc1234", "def5678", invalid=lambda content: "no number" if b"NaN" in content else None)
    script.profile("abc1234", "far5678", uri="codepipeline://p")
    script.environment("abc1234", "env1234")
    with scripted(script, providers=["AppConfig"]) as (_, endpoint, runs):
        source({"flags/live.json": '{"beta": true}'})

        def deploy(profile="def5678", path="flags/live.json"):
            keys = {"Application": "abc1234", "Environment": "env1234", "ConfigurationProfile": profile,
                    "InputArtifactConfigurationPath": path, "DeploymentStrategy": "AppConfig.Linear50PercentEvery30Seconds"}
            return declared(action("Flags", "Deploy", "AppConfig", keys, inputs=["src"]))

        execution = run(runs, deploy(), "Succeeded")
        told, row = result(runs, "p", execution, "Flags")
        equal(told["externalExecutionId"], "1", "the deployment")
        matches(told["externalExecutionUrl"], r"https://console\.aws\.amazon\.com/systems-manager/appconfig/.*region=us-east-1", "link")
        version = script.versions["abc1234", "def5678"][0]
        equal((version["content"], version["type"]), (b'{"beta": true}', "application/json"), "what is deployed")
        equal(version["label"], f"towpath-{row['actionExecutionId']}", "whose version it is")
        matches(logged("Flags"), r".*DEPLOYMENT_STARTED Deployment started\n.*", "the deployment's log")

        script.next("abc1234", "env1234", rolled_back("CLOUDWATCH_ALARM", "ferry-5xx is in ALARM"))
        execution = run(runs, deploy(), "Failed")
        error = result(runs, "p", execution, "Flags")[0]["errorDetails"]
        equal(error, {"code": "JobFailed", "message": "Deployment 2 is ROLLED_BACK. Triggered by CLOUDWATCH_ALARM. ferry-5xx is in "
                                                      "ALARM"}, "why")
        matches(logged("Flags"), r".*ROLLBACK_STARTED ferry-5xx is in ALARM\n.*ROLLBACK_COMPLETED .*", "the deployment's log")
        for keys, words in [
            ({"profile": "far5678"}, r"The data of the configuration profile far5678 are at 'codepipeline://p': .*"),
            ({"profile": "abc0000"}, r"Error calling getConfigurationProfile: Configuration Profile not found\. .*"),
            ({"path": "none"}, r"The artifact src has no file none\."),
        ]:
            error = result(runs, "p", run(runs, deploy(**keys), "Failed"), "Flags")[0]["errorDetails"]
            equal(error["code"], "ConfigurationError", error["message"])
            matches(error["message"], words, "why")
        client("s3").put_object(Bucket="source", Key="app.zip", Body=zipped({"flags/live.json": "NaN"}))
        error = result(runs, "p", run(runs, deploy(), "Failed"), "Flags")[0]["errorDetails"]
        matches(error["message"], r"Error calling startDeployment: .* \$: type: no number\.", "what the validator found")

        client("s3").put_object(Bucket="source", Key="app.zip", Body=zipped({"flags/live.json": "{}"}))
        script.next("abc1234", "env1234", [("DEPLOYING", 10.0)])
        runs.api.update_pipeline(pipeline=deploy())
        execution = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        wait("the deployment", lambda: runs.action_latest("p", "Deploy", "Flags").get("percentComplete") == 10)
        runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, abandon=True)
        wait("it to be rolled back", lambda: endpoint.called("appconfig.StopDeployment"))


def elastic_beanstalk():
    """A bundle that is deployed, one that fails, and an update that is aborted."""
    script = ElasticBeanstalk()
    script.environment("ferry", "ferry-prod")
    with scripted(script, providers=["ElasticBeanstalk"]) as (moto, endpoint, runs):
        home = f"elasticbeanstalk-{REGION}-{ACCOUNT}"
        at(moto, "s3").create_bucket(Bucket=home)
        source({"app.py": "print()"})

        def deploy(**keys):
            keys = {"ApplicationName": "ferry", "EnvironmentName": "ferry-prod", **keys}
            return declared(action("Bean", "Deploy", "ElasticBeanstalk", keys, inputs=["src"]))

        execution = run(runs, deploy(), "Succeeded")
        told, row = result(runs, "p", execution, "Bean")
        label = told["externalExecutionId"]
        matches(label, rf"code-pipeline-\d+-{row['actionExecutionId']}", "the label")
        equal(told["externalExecutionSummary"], "Environment update completed successfully.", "the summary")
        bundle = script.versions["ferry", label]["bundle"]
        body = at(moto, "s3").get_object(Bucket=bundle["S3Bucket"], Key=bundle["S3Key"])["Body"].read()
        equal((bundle["S3Bucket"], zipfile.ZipFile(io.BytesIO(body)).namelist()), (home, ["app.py"]), "the bundle")
        equal(script.environments["ferry", "ferry-prod"]["version"], label, "the environment")
        matches(logged("Bean"), rf".*INFO Environment update is starting\.\n.*INFO {DONE}\n", "the update's events")

        script.next("ferry-prod", fails("[Instance: i-1] Command failed on instance."))
        execution = run(runs, deploy(), "Failed")
        equal(result(runs, "p", execution, "Bean")[0]["errorDetails"], {
            "code": "JobFailed",
            "message": "The update of the environment ferry-prod failed. [Instance: i-1] Command failed on instance. Failed to deploy "
                       "application.",
        }, "why")
        matches(logged("Bean"), r".*ERROR \[Instance: i-1\] Command failed on instance\.\n.*ERROR Failed to deploy application\.\n.*",
                "the update's events")
        error = result(runs, "p", run(runs, deploy(EnvironmentName="gone"), "Failed"), "Bean")[0]["errorDetails"]
        equal(error["message"], "The application ferry has no environment gone in Region us-east-1.", "why")

        script.next("ferry-prod", stuck())
        runs.api.update_pipeline(pipeline=deploy())
        execution = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        wait("the update", lambda: runs.action_latest("p", "Deploy", "Bean").get("summary") == "Environment update is starting.")
        runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, abandon=True)
        wait("it to be aborted", lambda: endpoint.called("elasticbeanstalk.AbortEnvironmentUpdate"))


def parallel_copy():
    """The last deployment and, beside it, a copy of its artifact in another bucket: neither waits for the other."""
    script = ElasticBeanstalk()
    script.environment("ferry", "ferry-prod")
    script.next("ferry-prod", stuck())
    with scripted(script, providers=["ElasticBeanstalk"]) as (moto, _, runs):
        at(moto, "s3").create_bucket(Bucket=f"elasticbeanstalk-{REGION}-{ACCOUNT}")
        source({"app.py": "print()"})
        bucket("archive")
        keys = {"ApplicationName": "ferry", "EnvironmentName": "ferry-prod"}
        copy = {"BucketName": "archive", "Extract": "false", "ObjectKey": "releases/{datetime}.zip"}
        made = declared(action("Bean", "Deploy", "ElasticBeanstalk", keys, inputs=["src"], order=2))
        made["stages"][1]["actions"] += [approval("Go"), action("Copy", "Deploy", "S3", copy, inputs=["src"], order=2)]
        runs.api.create_pipeline(pipeline=made)
        execution = runs.first("p")
        runs.answer("p", "Deploy", runs.token("p", "Deploy", "Go"), action_name="Go")
        wait("the copy", lambda: runs.action_latest("p", "Deploy", "Copy").get("status") == "Succeeded")
        wait("the update", lambda: runs.action_latest("p", "Deploy", "Bean").get("summary") == "Environment update is starting.")
        equal(runs.status("p", execution), "InProgress", "the pipeline waits for the deployment")
        found = client("s3").list_objects_v2(Bucket="archive")["Contents"]
        equal(len(found), 1, "copies")
        matches(found[0]["Key"], r"releases/\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\.zip", "its key")
        told, row = result(runs, "p", execution, "Copy")
        equal(told["externalExecutionId"], f"archive/{found[0]['Key']}", "what is told")
        place = row["input"]["inputArtifacts"][0]["s3location"]
        bodies = [client("s3").get_object(Bucket=name, Key=key)["Body"].read()
                  for name, key in (("archive", found[0]["Key"]), (place["bucket"], place["key"]))]
        equal(bodies[0], bodies[1], "the artifact, byte for byte")
        script.environments["ferry", "ferry-prod"]["steps"] = [("Ready", True, [("INFO", DONE)])]
        runs.ended("p", execution, "Succeeded")


def opsworks():
    """An app of a stack: deployed to a layer, failed on an instance, refused. Then AWS, which has none any more."""
    script = OpsWorks()
    stack_id, app = script.app("web1", "web2")

    def deploy(**keys):
        return declared(action("Ops", "Deploy", "OpsWorks", {"Stack": stack_id, "App": app, **keys}, inputs=["src"]))

    with scripted(script, providers=["OpsWorks"], more='staging-bucket = "staging"\n') as (moto, endpoint, runs):
        at(moto, "s3").create_bucket(Bucket="staging")
        source({"app.rb": "puts 1"})
        endpoint.on("opsworks.CreateDeployment", throttled(), times=1)
        execution = run(runs, deploy(Layer="rails"), "Succeeded")
        told, row = result(runs, "p", execution, "Ops")
        identity, asked = next((one, about["given"]) for one, about in script.deployments.items())
        equal((told["externalExecutionId"], told["externalExecutionSummary"]),
              (identity, "The deployment is successful on 2 instances."), "what is told")
        equal((asked["LayerIds"], asked["Command"]), (["rails"], {"Name": "deploy"}), "what is asked")
        matches(asked["Comment"], rf"CodePipeline: p, execution {execution}, action execution {row['actionExecutionId']}", "whose it is")
        _, box, key = urllib.parse.unquote(urllib.parse.urlsplit(script.apps[app]["source"]["Url"]).path).split("/", 2)
        body = at(moto, "s3").get_object(Bucket=box, Key=key)["Body"].read()
        equal(zipfile.ZipFile(io.BytesIO(body)).namelist(), ["app.rb"], "what the instances fetch")
        equal(logged("Ops").count("deploy is successful, exit code 0, log https://"), 2, "a line for each instance")

        script.next(app, fails_on("web2"))
        error = result(runs, "p", run(runs, deploy(), "Failed"), "Ops")[0]["errorDetails"]
        equal(error["code"], "JobFailed", error["message"])
        matches(error["message"], r"The deployment \S+ failed\. web2: deploy is failed, exit code 1, log https://\S+\.", "why")
        for keys, words in [
            ({"App": "none"}, r"Error calling describeApps: Unable to find app with ID none \(Service: AWSOpsWorks; .*"),
            ({"Stack": "none"}, rf"The app {app} is one of the stack {stack_id}, not of none\. .*"),
            ({"Layer": "none"}, r"Error calling createDeployment: Cannot run a command: there are no online instances .*"),
        ]:
            error = result(runs, "p", run(runs, deploy(**keys), "Failed"), "Ops")[0]["errorDetails"]
            equal(error["code"], "ConfigurationError", error["message"])
            matches(error["message"], words, "why")
    _roles.clear()
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        bucket("artifacts")
        source({"app.rb": "puts 1"})
        runs = Pipelines()
        error = result(runs, "p", run(runs, deploy(), "Failed"), "Ops")[0]["errorDetails"]
        equal(error["code"], "JobFailed", error["message"])
        matches(error["message"], r"AWS OpsWorks Stacks was retired on 2024-05-26\. Use a CodeDeploy, EC2 or Commands action .*", "why")


TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


def service_catalog():
    """A version of a product, by keys and by a file; one that fails and is deleted; a template that is none."""
    catalog = ServiceCatalog()
    catalog.product("prod-abcdefgh12345")
    with scripted(catalog, CloudFormation(), providers=["ServiceCatalog"], more='staging-bucket = "staging"\n') as (moto, _, runs):
        at(moto, "s3").create_bucket(Bucket="staging")
        # AWS reads templates with the caller's rights; the scripted services have none.
        read = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::staging/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [read]})
        at(moto, "s3").put_bucket_policy(Bucket="staging", Policy=policy)
        settings = {"SchemaVersion": "1.0", "ProductVersionName": "v5", "ProductVersionDescription": "spring",
                    "ProductType": "CLOUD_FORMATION_TEMPLATE", "Properties": {"TemplateFilePath": "/infra/product.json"}}
        source({"infra/product.json": TEMPLATE, "settings.json": json.dumps(settings), "bad.json": "{}"})
        keys = {"TemplateFilePath": "infra/product.json", "ProductVersionName": "v4", "ProductType": "CLOUD_FORMATION_TEMPLATE",
                "ProductVersionDescription": "winter"}

        def deploy(product="prod-abcdefgh12345", **keys):
            return declared(action("Catalog", "Deploy", "ServiceCatalog", {"ProductId": product, **keys}, inputs=["src"]))

        execution = run(runs, deploy(**keys), "Succeeded")
        told = result(runs, "p", execution, "Catalog")[0]
        run(runs, deploy(ConfigurationFilePath="settings.json"), "Succeeded")
        found = catalog.artifacts("prod-abcdefgh12345")
        equal([(one["name"], one["description"]) for one in found], [("v4", "winter"), ("v5", "spring")], "versions")
        equal(told["externalExecutionId"], found[0]["id"], "the first")

        catalog.next("prod-abcdefgh12345", "CREATING", "FAILED")
        execution = run(runs, deploy(**{**keys, "ProductVersionName": "v6"}), "Failed")
        error = result(runs, "p", execution, "Catalog")[0]["errorDetails"]
        matches(error["message"], r"The version pa-\w+ of the product prod-abcdefgh12345 is FAILED: .*", "why")
        equal(len(catalog.artifacts("prod-abcdefgh12345")), 2, "it is deleted")
        for changed, words in [
            ({**keys, "product": "prod-gone"}, r"Error calling listProvisioningArtifacts: Product prod-gone not found\. .*"),
            ({**keys, "TemplateFilePath": "bad.json"}, r"Error calling validateTemplate: .*"),
        ]:
            error = result(runs, "p", run(runs, deploy(**changed), "Failed"), "Catalog")[0]["errorDetails"]
            equal(error["code"], "ConfigurationError", error["message"])
            matches(error["message"], words, "why")


def device_farm():
    """An app and its tests, uploaded and run; failures with their counts; a run that is stopped."""
    farm = DeviceFarm()
    project = farm.project()
    with scripted(farm, providers=["DeviceFarm"]) as (_, endpoint, runs):
        source({"app.apk": "apk", "tests.zip": "tests", "spec.yml": "version: 0.1"})

        def deploy(**keys):
            keys = {"AppType": "Android", "ProjectId": project, "App": "app.apk", "DevicePoolArn": farm.pool(),
                    "TestType": "APPIUM_NODE", "Test": "tests.zip", "TestSpec": "spec.yml", **keys}
            return declared(action("Phones", "Test", "DeviceFarm", {key: value for key, value in keys.items() if value}, inputs=["src"]))

        execution = run(runs, deploy(RecordVideo="true", JobTimeoutMinutes="20"), "Succeeded")
        told, row = result(runs, "p", execution, "Phones")
        arn, scheduled = next(iter(farm.runs.items()))
        equal((told["externalExecutionId"], scheduled["name"]), (arn, f"p-{row['actionExecutionId']}"), "the run")
        equal(sorted((upload["type"], upload["body"]) for upload in farm.uploads.values()), [
            ("ANDROID_APP", b"apk"), ("APPIUM_NODE_TEST_PACKAGE", b"tests"), ("APPIUM_NODE_TEST_SPEC", b"version: 0.1")], "uploads")
        equal(scheduled["given"]["executionConfiguration"], {"jobTimeoutMinutes": 20, "videoCapture": True}, "what it is told")
        equal(told["externalExecutionSummary"], "The run is PASSED: passed 3 of 3.", "the summary")

        farm.next("RUNNING", "COMPLETED", result="FAILED", failed=2, message="Two tests failed.")
        execution = run(runs, deploy(TestType="BUILTIN_FUZZ", Test="", TestSpec="", FuzzEventCount="10"), "Failed")
        error = result(runs, "p", execution, "Phones")[0]["errorDetails"]
        matches(error["message"], r"The run p-[0-9a-f-]+ is FAILED: passed 3, failed 2 of 5\. Two tests failed\.", "why")
        farm.refuse("ANDROID_APP", "We could not open the file as an APK.")
        error = result(runs, "p", run(runs, deploy(), "Failed"), "Phones")[0]["errorDetails"]
        equal(error, {"code": "JobFailed", "message": "Device Farm does not take app.apk as ANDROID_APP: We could not open the file "
                                                      "as an APK."}, "why")
        farm.refusals.clear()
        farm.next("RUNNING")
        runs.api.update_pipeline(pipeline=deploy())
        execution = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        wait("the run", lambda: runs.action_latest("p", "Deploy", "Phones").get("percentComplete") == 50)
        runs.api.stop_pipeline_execution(pipelineName="p", pipelineExecutionId=execution, abandon=True)
        wait("it to be stopped", lambda: endpoint.called("devicefarm.StopRun"))


# Images

DOCKER = r"""#!/bin/sh
# A docker that builds nothing: it notes what it is asked, and whether the password came.
notes="$(dirname "$0")/notes"
echo "$@" >> "$notes"
case "$1" in
  login) read -r password || true; echo "password=$password" >> "$notes";;
  build) grep -q "FROM scratch" "$3" || { echo "no base" >&2; exit 1; };;
  image) echo "unknown@sha256:1"; echo "$REPOSITORY_URI@sha256:2";;
  context) echo "unix:///run/docker.sock";;
esac
"""


def image():
    """The build of an image: moto's registry is asked, the password reaches docker alone, the digest comes back."""
    config = '[sandbox]\nkind = "host"\n\n' + REALM.replace("Lambda", "ECRBuildAndPublish")
    with Moto() as moto, tempfile.TemporaryDirectory() as directory:
        tools = pathlib.Path(directory) / "tools"
        tools.mkdir()
        (tools / "docker").write_text(DOCKER)
        (tools / "docker").chmod(0o755)
        notes = tools / "notes"
        os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
        with Server(directory, config.format(url=moto.url)):
            uri = at(moto, "ecr").create_repository(repositoryName="ferry")["repository"]["repositoryUri"]
            runs = Pipelines()
            bucket("artifacts")
            source({"docker/Dockerfile": "FROM scratch\n", "other/Dockerfile": "nothing\n"})

            def build(**keys):
                act = action("Image", "Build", "ECRBuildAndPublish", {"ECRRepositoryName": "ferry", "DockerFilePath": "docker",
                                                                      "ImageTags": "latest,1.4.2", **keys},
                             inputs=["src"], namespace="Img")
                return declared(act)

            execution = run(runs, build(), "Succeeded")
            told, row = result(runs, "p", execution, "Image")
            equal(row["output"]["outputVariables"], {"ECRImageDigestId": "sha256:2", "ECRRepositoryName": "ferry"}, "variables")
            equal(told["externalExecutionSummary"], "Pushed ferry:latest, ferry:1.4.2 (sha256:2).", "the summary")
            asked = notes.read_text().splitlines()
            holds(f"build --file docker/Dockerfile --tag {uri}:latest --tag {uri}:1.4.2 ." in asked, asked)
            equal([line for line in asked if line.startswith("push")], [f"push {uri}:latest", f"push {uri}:1.4.2"], "pushes")
            password = next(line.removeprefix("password=") for line in asked if line.startswith("password="))
            holds(password, asked)
            store = client("s3")
            for found in store.list_objects_v2(Bucket="artifacts")["Contents"]:
                body = store.get_object(Bucket="artifacts", Key=found["Key"])["Body"].read()
                held = zipfile.ZipFile(io.BytesIO(body))
                holds(not any(password.encode() in held.read(name) for name in held.namelist()), f"the password is in {found['Key']}")
            for keys, code, words in [
                ({"ECRRepositoryName": "gone"}, "ConfigurationError", r"Unable to push to the Amazon ECR repository named gone\. .*"),
                ({"DockerFilePath": "none"}, "ConfigurationError", r"The artifact src has no Dockerfile at 'none'\. .*"),
                ({"DockerFilePath": "other"}, "JobFailed", r"Build terminated with state: FAILED\. .*"),
            ]:
                error = result(runs, "p", run(runs, build(**keys), "Failed"), "Image")[0]["errorDetails"]
                equal(error["code"], code, error["message"])
                matches(error["message"], words, "why")


if __name__ == "__main__":
    main([functions, functions_elsewhere, appconfig, elastic_beanstalk, parallel_copy, opsworks, service_catalog, device_farm, image])
