"""The scripts of scripted/*.py held to boto3: each service's whole conversation, with what it refuses and how it fails, as the
deployers have it; those of CloudFormation are in scripted_stacks.py. What a script answers is held to the service's model on the
way. Run by the Rust tests of the `towpath` command, one scenario at a time.
"""

import base64
import datetime
import hashlib
import json
import re
import urllib.request

import botocore.credentials
import botocore.hooks
import botocore.model
import botocore.signers

from harness import equal, holds, main, matches, refused
from scripted.appconfig import AppConfig, rolled_back
from scripted.codedeploy import CodeDeploy, failed, instance, task_set
from scripted.devicefarm import DeviceFarm
from scripted.ecs import Ecs, blue_green, breaker, drains, never, replaced, silent
from scripted.eks import Eks
from scripted.elasticbeanstalk import BUSY, DONE, FAILED, REVERTED, ElasticBeanstalk, fails, stuck
from scripted.lambda_deploy import Lambda
from scripted.opsworks import OpsWorks
from scripted.opsworks import fails as fails_on
from scripted.servicecatalog import ServiceCatalog
from scripted_aws import ScriptedAws

TEMPLATE = json.dumps({"Resources": {"B": {"Type": "AWS::S3::Bucket"}}})


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


def appconfig():
    script = AppConfig()
    script.environment("abc1234", "env1234")
    script.profile("abc1234", "def5678", invalid=lambda content: "no number" if b"NaN" in content else None)
    script.profile("abc1234", "far5678", uri="codepipeline://ferry")
    with ScriptedAws(script) as aws:
        api = aws.client("appconfig")
        place = {"ApplicationId": "abc1234", "ConfigurationProfileId": "def5678"}
        target = {**place, "EnvironmentId": "env1234", "DeploymentStrategyId": "AppConfig.AllAtOnce"}
        here = {"ApplicationId": "abc1234", "EnvironmentId": "env1234"}
        equal(api.get_configuration_profile(**place)["LocationUri"], "hosted", "the profile")

        def version(content):
            return api.create_hosted_configuration_version(**place, Content=content, ContentType="application/json")["VersionNumber"]

        equal((version(b"{}"), version(b"NaN")), (1, 2), "versions")
        first = api.start_deployment(**target, ConfigurationVersion="1", Description="aeid")
        equal((first["DeploymentNumber"], first["State"]), (1, "DEPLOYING"), "started")
        refused("ConflictException", "Deployment number 1 already in progress.", api.start_deployment, **target,
                ConfigurationVersion="1")
        looks = [api.get_deployment(**here, DeploymentNumber=1) for _ in range(3)]
        equal([(look["State"], look["PercentageComplete"]) for look in looks],
              [("DEPLOYING", 50.0), ("BAKING", 100.0), ("COMPLETE", 100.0)], "its course")
        equal([(one["DeploymentNumber"], one["ConfigurationVersion"]) for one in api.list_deployments(**here)["Items"]], [(1, "1")],
              "found again")
        answer = refused("BadRequestException", re.compile(".*not valid."), api.start_deployment, **target, ConfigurationVersion="2")
        equal((answer["Reason"], answer["Details"]["InvalidConfiguration"][0]["Reason"]), ("InvalidConfiguration", "no number"), "why")
        script.next("abc1234", "env1234", rolled_back("CLOUDWATCH_ALARM", "ferry-5xx is in ALARM"))
        api.start_deployment(**target, ConfigurationVersion="1")
        last = [api.get_deployment(**here, DeploymentNumber=2) for _ in range(3)][-1]
        equal((last["State"], [(event["EventType"], event["TriggeredBy"]) for event in last["EventLog"]]), (
            "ROLLED_BACK", [("ROLLBACK_COMPLETED", "APPCONFIG"), ("ROLLBACK_STARTED", "CLOUDWATCH_ALARM"),
                            ("DEPLOYMENT_STARTED", "USER")]), "by an alarm")
        script.next("abc1234", "env1234", [("DEPLOYING", 10.0)])
        api.start_deployment(**target, ConfigurationVersion="1")
        equal(api.stop_deployment(**here, DeploymentNumber=3)["State"], "ROLLED_BACK", "stopped")
        refused("BadRequestException", re.compile(".*cannot be stopped."), api.stop_deployment, **here, DeploymentNumber=3)
        refused("PayloadTooLargeException", re.compile(".*"), api.create_hosted_configuration_version, **place,
                Content=b"x" * (1 << 20) + b"x", ContentType="text/plain")
        refused("BadRequestException", re.compile(".*hosted."), api.create_hosted_configuration_version, ApplicationId="abc1234",
                ConfigurationProfileId="far5678", Content=b"x", ContentType="text/plain")
        refused("ResourceNotFoundException", "Deployment Strategy not found.", api.start_deployment,
                **{**target, "DeploymentStrategyId": "none123"}, ConfigurationVersion="1")


def elasticbeanstalk():
    script = ElasticBeanstalk()
    script.environment("ferry", "ferry-prod")
    with ScriptedAws(script) as aws:
        api = aws.client("elasticbeanstalk")

        def look():
            found = api.describe_environments(ApplicationName="ferry", EnvironmentNames=["ferry-prod"], IncludeDeleted=False)
            return found["Environments"][0]

        def update(label):
            api.create_application_version(ApplicationName="ferry", VersionLabel=label, SourceBundle={
                "S3Bucket": bundles, "S3Key": f"{label}.zip"})
            answer = api.update_environment(ApplicationName="ferry", EnvironmentName="ferry-prod", VersionLabel=label)
            return answer["ResponseMetadata"]["RequestId"]

        def events(request):
            found = api.describe_events(ApplicationName="ferry", EnvironmentName="ferry-prod", RequestId=request)["Events"]
            return [(event["Severity"], event["Message"]) for event in found]

        bundles = api.create_storage_location()["S3Bucket"]
        equal(bundles, "elasticbeanstalk-us-east-1-123456789012", "the bucket")
        request = update("v1")
        equal([(one["Status"], one["VersionLabel"]) for one in (look(), look(), look())],
              [("Updating", "first"), ("Ready", "v1"), ("Ready", "v1")], "its course")
        equal(events(request)[0], ("INFO", DONE), "the last word of that update")
        script.next("ferry-prod", fails())
        request = update("v2")
        refused("InvalidParameterValue", BUSY.format("ferry-prod"), api.update_environment, EnvironmentName="ferry-prod")
        equal([(one["Status"], one["VersionLabel"]) for one in (look(), look())], [("Updating", "v1"), ("Ready", "v1")], "back")
        equal(events(request)[:2], [("ERROR", FAILED), ("ERROR", "[Instance: i-0a1b2c3d] Command failed on instance.")], "why")
        script.next("ferry-prod", stuck())
        request = update("v3")
        equal({look()["Status"] for _ in range(3)}, {"Updating"}, "it takes long")
        api.abort_environment_update(EnvironmentName="ferry-prod")
        equal([look()["Status"] for _ in range(2)], ["Aborting", "Ready"], "aborted")
        equal(events(request)[0], ("ERROR", REVERTED), "as it says")
        refused("InvalidParameterValue", re.compile(".*already exists."), api.create_application_version, ApplicationName="ferry",
                VersionLabel="v1", SourceBundle={"S3Bucket": bundles, "S3Key": "k"})
        refused("InvalidParameterValue", "No Application named 'tug' found.", api.create_application_version, ApplicationName="tug",
                VersionLabel="v1", SourceBundle={"S3Bucket": bundles, "S3Key": "k"})
        equal(api.describe_environments(EnvironmentNames=["none"])["Environments"], [], "none of that name")


def servicecatalog():
    script = ServiceCatalog()
    script.product("prod-abcd1234efgh5")
    url = "https://s3.example/template.json"
    script.templates[url] = TEMPLATE
    script.templates[url + "?bad"] = "{}"
    with ScriptedAws(script) as aws:
        api = aws.client("servicecatalog")
        info = {"Name": "v1", "Type": "CLOUD_FORMATION_TEMPLATE", "Info": {"LoadTemplateFromURL": url}}
        given = {"ProductId": "prod-abcd1234efgh5", "Parameters": info, "IdempotencyToken": "aeid-1"}
        made = api.create_provisioning_artifact(**given)["ProvisioningArtifactDetail"]["Id"]
        equal(api.create_provisioning_artifact(**given)["ProvisioningArtifactDetail"]["Id"], made, "a repeat makes none")
        one = {"ProductId": "prod-abcd1234efgh5", "ProvisioningArtifactId": made}
        equal([api.describe_provisioning_artifact(**one)["Status"] for _ in range(2)], ["CREATING", "AVAILABLE"], "its course")
        script.next("prod-abcd1234efgh5", "CREATING", "FAILED")
        ill = api.create_provisioning_artifact(**{**given, "IdempotencyToken": "aeid-2"})["ProvisioningArtifactDetail"]["Id"]
        one["ProvisioningArtifactId"] = ill
        equal([api.describe_provisioning_artifact(**one)["Status"] for _ in range(2)], ["CREATING", "FAILED"], "it fails")
        api.delete_provisioning_artifact(**one)
        left = api.list_provisioning_artifacts(ProductId="prod-abcd1234efgh5")["ProvisioningArtifactDetails"]
        equal([(found["Id"], found["Name"]) for found in left], [(made, "v1")], "what is left")
        bad = {**given, "IdempotencyToken": "aeid-3", "Parameters": {**info, "Info": {"LoadTemplateFromURL": url + "?bad"}}}
        refused("InvalidParametersException", re.compile("Invalid templateBody. .*"), api.create_provisioning_artifact, **bad)
        refused("ResourceNotFoundException", "Product prod-none not found.", api.list_provisioning_artifacts, ProductId="prod-none")


def devicefarm():
    script = DeviceFarm()
    project = f"{script.prefix}project:{script.project()}"
    with ScriptedAws(script) as aws:
        api = aws.client("devicefarm", region="us-west-2")

        def uploaded(kind, name):
            made = api.create_upload(projectArn=project, name=name, type=kind, contentType="application/octet-stream")["upload"]
            put = urllib.request.Request(made["url"], method="PUT", data=b"PK", headers={"Content-Type": "application/octet-stream"})
            urllib.request.urlopen(put).close()
            looks = [api.get_upload(arn=made["arn"])["upload"] for _ in range(2)]
            equal(looks[0]["status"], "PROCESSING", "first")
            return made["arn"], looks[1]

        app, _ = uploaded("ANDROID_APP", "ferry.apk")
        package, _ = uploaded("INSTRUMENTATION_TEST_PACKAGE", "tests.apk")
        run = {"projectArn": project, "devicePoolArn": script.pool(), "name": "p-aeid"}
        test = {"type": "INSTRUMENTATION", "testPackageArn": package}
        refused("ArgumentException", "An app is needed for this type of test.", api.schedule_run, **run, test=test)
        first = api.schedule_run(**run, appArn=app, test=test)["run"]["arn"]
        looks = [api.get_run(arn=first)["run"] for _ in range(3)]
        equal([(one["status"], one["result"], one["completedJobs"]) for one in looks],
              [("SCHEDULING", "PENDING", 0), ("RUNNING", "PENDING", 2), ("COMPLETED", "PASSED", 4)], "its course")
        equal(api.list_runs(arn=project)["runs"][0]["name"], "p-aeid", "found again")
        script.next("RUNNING", "COMPLETED", result="FAILED", failed=2)
        ill = api.schedule_run(**run, appArn=app, test={"type": "BUILTIN_FUZZ"})["run"]["arn"]
        last = [api.get_run(arn=ill)["run"] for _ in range(2)][-1]
        equal((last["result"], last["counters"]["failed"], last["counters"]["total"]), ("FAILED", 2, 5), "counted")
        script.next("RUNNING")
        third = api.schedule_run(**run, appArn=app, test={"type": "BUILTIN_FUZZ"})["run"]["arn"]
        api.stop_run(arn=third)
        equal([api.get_run(arn=third)["run"]["status"] for _ in range(2)], ["STOPPING", "COMPLETED"], "stopped")
        equal(api.get_run(arn=third)["run"]["result"], "STOPPED", "as asked")
        script.refuse("TEST_PACKAGE", "The archive holds no tests.")
        _, upload = uploaded("APPIUM_NODE_TEST_PACKAGE", "t.zip")
        equal((upload["status"], upload["message"]), ("FAILED", "The archive holds no tests."), "an upload that is no good")
        refused("NotFoundException", re.compile("No project found.*"), api.list_runs, arn=project + "x")


def opsworks():
    script = OpsWorks()
    stack, app = script.app("web1", "web2")
    with ScriptedAws(script) as aws:
        api = aws.client("opsworks")
        equal([one["StackId"] for one in api.describe_apps(AppIds=[app])["Apps"]], [stack], "the app")
        api.update_app(AppId=app, AppSource={"Type": "s3", "Url": "https://s3.example/bundle.zip"})
        equal(api.describe_apps(AppIds=[app])["Apps"][0]["AppSource"]["Url"], "https://s3.example/bundle.zip", "its source")
        given = {"StackId": stack, "AppId": app, "Command": {"Name": "deploy"}, "Comment": "aeid-1"}
        made = api.create_deployment(**given)["DeploymentId"]
        equal([one["Comment"] for one in api.describe_deployments(AppId=app)["Deployments"]], ["aeid-1"], "found again")
        equal([api.describe_deployments(DeploymentIds=[made])["Deployments"][0]["Status"] for _ in range(2)], ["successful"] * 2, "done")
        equal({one["Status"] for one in api.describe_commands(DeploymentId=made)["Commands"]}, {"successful"}, "on both")
        script.next(app, fails_on("web2"))
        made = api.create_deployment(**given, LayerIds=["rails"])["DeploymentId"]
        equal(api.describe_deployments(DeploymentIds=[made])["Deployments"][0]["Status"], "failed", "as told")
        ended = [(one["Status"], one["ExitCode"]) for one in api.describe_commands(DeploymentId=made)["Commands"]]
        equal(ended, [("successful", 0), ("failed", 1)], "on one")
        refused("ResourceNotFoundException", "Unable to find app with ID none", api.describe_apps, AppIds=["none"])
        refused("ValidationException", re.compile("Cannot run a command: .*"), api.create_deployment, **given, LayerIds=["none"])
        refused("ValidationException", re.compile(".*ommand.*"), api.create_deployment, **{**given, "Command": {"Name": "sink"}})
        equal(len(aws.refusals()), 1, "what the model refuses")


def lambda_deploy():
    script = Lambda()
    script.function("ferry-hook", alias="live")
    with ScriptedAws(script) as aws:
        api = aws.client("lambda")
        name = {"FunctionName": "ferry-hook"}

        def statuses(times):
            return [api.get_function_configuration(**name)["LastUpdateStatus"] for _ in range(times)]

        made = api.update_function_code(**name, S3Bucket="box", S3Key="k", S3ObjectVersion="v")
        refused("ResourceConflictException", re.compile(".*in progress.*"), api.publish_version, **name)
        equal(statuses(2), ["InProgress", "Successful"], "its course")
        refused("InvalidParameterValueException", re.compile("CodeSHA256 .*different.*"), api.publish_version, **name, CodeSha256="x")
        equal([api.publish_version(**name, CodeSha256=made["CodeSha256"])["Version"] for _ in range(2)], ["2", "2"], "one version")
        alias = api.get_alias(**name, Name="live")
        equal((alias["FunctionVersion"], "RoutingConfig" in alias), ("1", False), "the alias")
        half = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}}}
        moved = api.update_alias(**name, Name="live", RevisionId=alias["RevisionId"], **half)
        equal(moved["RoutingConfig"], half["RoutingConfig"], "half of it")
        refused("PreconditionFailedException", re.compile(".*Revision Id.*"), api.update_alias, **name, Name="live",
                RevisionId=alias["RevisionId"], FunctionVersion="2")
        api.update_alias(**name, Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}})
        equal(script.alias("ferry-hook", "live")["version"], "2", "all of it")
        equal([(version, weights) for version, weights, _ in script.shifts], [("1", {"2": 0.5}), ("2", {})], "its way")
        script.next("ferry-hook", "InProgress", "Failed", reason="out of disk")
        api.update_function_code(**name, ZipFile=b"PK")
        equal(statuses(2), ["InProgress", "Failed"], "code that is no good")
        equal(api.get_function_configuration(**name)["LastUpdateStatusReason"], "out of disk", "why")
        refused("ResourceNotFoundException", re.compile("Cannot find alias arn: .*"), api.get_alias, **name, Name="none")
        refused("ProvisionedConcurrencyConfigNotFoundException", re.compile(".*"), api.get_provisioned_concurrency_config, **name,
                Qualifier="live")
        refused("InvalidParameterValueException", re.compile("Invalid routing.*"), api.update_alias, **name, Name="live",
                RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}})


def eks():
    script = Eks()
    script.cluster("harbour")
    script.cluster("new", status="CREATING")
    with ScriptedAws(script) as aws:
        api = aws.client("eks")
        told = api.describe_cluster(name="harbour")["cluster"]
        equal((told["status"], told["endpoint"]), ("ACTIVE", "https://127.0.0.1:1"), "the cluster")
        equal("endpoint" in api.describe_cluster(name="new")["cluster"], False, "one that is being made")
        refused("ResourceNotFoundException", "No cluster found for name: none.", api.describe_cluster, name="none")

        # A token as the AWS CLI makes it.
        keys, hooks = botocore.credentials.Credentials("testing", "testing"), botocore.hooks.HierarchicalEmitter()
        signer = botocore.signers.RequestSigner(botocore.model.ServiceId("STS"), "us-east-1", "sts", "v4", keys, hooks)
        asked = {"method": "GET", "url": "https://sts.us-east-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15", "body": {},
                 "headers": {"x-k8s-aws-id": "harbour"}, "context": {}}
        url = signer.generate_presigned_url(asked, region_name="us-east-1", expires_in=60, operation_name="")
        token = "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
        equal(script.identity(token, "harbour"), "arn:aws:iam::123456789012:user/testing", "whose it is")
        for wrong, cluster in ((token, "another"), (token[:-8] + "AAAAAAAA", "harbour"), (token + "=", "harbour"), ("guess", "harbour")):
            try:
                script.identity(wrong, cluster)
            except AssertionError:
                continue
            raise AssertionError(f"taken for good: {wrong} at {cluster}")


if __name__ == "__main__":
    main([codedeploy, ecs, appconfig, elasticbeanstalk, servicecatalog, devicefarm, opsworks, lambda_deploy, eks])
