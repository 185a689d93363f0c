"""`towpath import` against a server: what it makes is looked at with boto3, as anybody would who deployed with AWS."""

import json
import os
import pathlib
import subprocess
import tempfile

from harness import PATIENCE_SECONDS, allow, client, equal, holds, main, wait, zipped

ROOT = pathlib.Path(__file__).resolve().parents[2]
CDK = ROOT / "crates/cli/tests/import/cdk/cdk.out"


def towpath(*arguments, code=0):
    done = subprocess.run([os.environ["TOWPATH_TEST_BINARY"], *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    holds(done.returncode == code, f"towpath {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def imported(*arguments):
    """The plan of an import that was carried out, as JSON."""
    return json.loads(towpath("import", *arguments, "--yes", "--format", "json").stdout)


def changes(plan):
    return {resource["logicalId"]: resource["change"] for resource in plan["resources"]}


def named(plan, logical):
    return next(resource["name"] for resource in plan["resources"] if resource["logicalId"] == logical)


def cdk_app():
    """An app of two stacks: one exports its buckets, the other has the pipeline, its roles and a key."""
    pipelines = client("codepipeline")
    looked = towpath("import", CDK, "--dry-run").stdout
    for line in ("  create  bucket  cdk-shop-source", "  create  pipeline           cdk-shop", "17 to create",
                 "the artifact store's encryption key is left out", "PipelineEventsRole46BEEA7C (AWS::IAM::Role)"):
        holds(line in looked, looked)
    equal(pipelines.list_pipelines()["pipelines"], [], "pipelines after a dry run")

    plan = imported(CDK, "--parameter", "Shop:Greeting=ahoy")
    equal((set(changes(plan).values()), plan["done"]), ({"create"}, True), "changes")
    left = {resource["logicalId"]: resource["type"] for resource in plan["leftOut"]}
    equal(left["PipelineArtifactsBucketEncryptionKey01D58D69"], "AWS::KMS::Key", "left out")

    declared = pipelines.get_pipeline(name="cdk-shop")["pipeline"]
    equal([s["name"] for s in declared["stages"]], ["Source", "Build", "Deploy"], "stages")
    fetch = declared["stages"][0]["actions"][0]
    equal(fetch["configuration"], {"S3Bucket": "cdk-shop-source", "S3ObjectKey": "shop.zip", "PollForSourceChanges": "false"},
          "the source's configuration")
    site = declared["stages"][2]["actions"][1]["configuration"]["BucketName"]
    equal(site, named(plan, "SiteE53D7754"), "the imported bucket")
    s3 = client("s3")
    equal(s3.get_bucket_versioning(Bucket="cdk-shop-source")["Status"], "Enabled", "versioning of the source")
    store = declared["artifactStore"]["location"]
    blocked = s3.get_public_access_block(Bucket=store)["PublicAccessBlockConfiguration"]
    equal(set(blocked.values()), {True}, "public access")
    statement = json.loads(s3.get_bucket_policy(Bucket=store)["Policy"])["Statement"][0]
    equal(statement["Resource"][0], f"arn:aws:s3:::{store}", "the bucket's policy")
    project = client("codebuild").batch_get_projects(names=[named(plan, "RenderEA451E88")])["projects"][0]
    equal(project["environment"]["environmentVariables"], [{"name": "GREETING", "type": "PLAINTEXT", "value": "ahoy"}],
          "the parameter in the project")

    # Creating has started it, without a source; with one it runs on the roles of the template.
    s3.put_object(Bucket="cdk-shop-source", Key="shop.zip", Body=zipped({"readme": "x"}))
    started = pipelines.start_pipeline_execution(name="cdk-shop")["pipelineExecutionId"]

    def token():
        for stage in pipelines.get_pipeline_state(name="cdk-shop")["stageStates"]:
            for action in stage.get("actionStates", []):
                latest = action.get("latestExecution", {})
                holds(latest.get("status") != "Failed" or stage["latestExecution"]["pipelineExecutionId"] != started,
                      f"{action['actionName']}: {latest}")
                if "token" in latest:
                    return latest["token"]
        return None

    pipelines.put_approval_result(pipelineName="cdk-shop", stageName="Deploy", actionName="Review",
                                  token=wait("the approval", token), result={"status": "Approved", "summary": "ok"})

    def ended():
        got = pipelines.get_pipeline_execution(pipelineName="cdk-shop", pipelineExecutionId=started)
        return got["pipelineExecution"]["status"] not in ("InProgress", "Stopping") and got["pipelineExecution"]["status"]

    equal(wait("the end", ended), "Succeeded", "the execution")
    equal(s3.get_object(Bucket=site, Key="index.html")["Body"].read(), b"ahoy\n", "what was deployed")

    again = imported(CDK, "--parameter", "Shop:Greeting=ahoy")
    equal(set(changes(again).values()), {"keep"}, "changes of a second import")
    changed = changes(imported(CDK))
    equal([logical for logical, change in changed.items() if change != "keep"], ["RenderEA451E88"], "another greeting")
    equal(pipelines.get_pipeline(name="cdk-shop")["pipeline"]["version"], 1, "the pipeline's version")


TEMPLATE = """\
AWSTemplateFormatVersion: 2010-09-09
Parameters:
  Token: {Type: String, NoEcho: true}
  Stage: {Type: String, Default: beta, AllowedValues: [beta, prod]}
Conditions:
  Prod: !Equals [!Ref Stage, prod]
Resources:
  Farm:
    Type: AWS::CodePipeline::CustomActionType
    Properties:
      Category: Build
      Provider: ImportFarm
      Version: "1"
      InputArtifactDetails: {MinimumCount: 1, MaximumCount: 1}
      OutputArtifactDetails: {MinimumCount: 0, MaximumCount: 1}
      ConfigurationProperties:
        - {Name: Field, Required: true, Key: true, Secret: false, Queryable: true, Description: which field}
      Settings: {EntityUrlTemplate: "https://farm.example/{Config:Field}"}
  Store:
    Type: AWS::S3::Bucket
    Properties:
      VersioningConfiguration: {Status: Enabled}
      Tags: [{Key: team, Value: import & co}]
  Shared:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      ManagedPolicyName: !Sub "${AWS::StackName}-shared"
      PolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Action: "s3:*", Resource: [!GetAtt Store.Arn, !Sub "${Store.Arn}/*"]}]
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: import-role
      Description: PLACE
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: [{Effect: Allow, Principal: {Service: codepipeline.amazonaws.com}, Action: "sts:AssumeRole"}]
      ManagedPolicyArns:
        - !Ref Shared
        - !Sub "arn:${AWS::Partition}:iam::aws:policy/AmazonS3ReadOnlyAccess"
        - arn:aws:iam::aws:policy/AWSNobodyKnowsAccess
      Policies:
        - PolicyName: own
          PolicyDocument:
            Version: 2012-10-17
            Statement: [{Effect: Allow, Action: "codebuild:*", Resource: "*"}]
  Pipe:
    Type: AWS::CodePipeline::Pipeline
    DependsOn: Farm
    Properties:
      Name: import-pipe
      RoleArn: !GetAtt Role.Arn
      ArtifactStore: {Type: S3, Location: !Ref Store}
      DisableInboundStageTransitions: [{StageName: Work, Reason: not yet}]
      Tags: [{Key: stage, Value: !Ref Stage}]
      Stages:
        - Name: Source
          Actions:
            - Name: Fetch
              ActionTypeId: {Category: Source, Owner: AWS, Provider: S3, Version: "1"}
              Configuration: {S3Bucket: !Ref Store, S3ObjectKey: in.zip, PollForSourceChanges: false}
              OutputArtifacts: [{Name: Code}]
        - Name: Work
          Actions:
            - Name: Grow
              ActionTypeId: {Category: Build, Owner: Custom, Provider: ImportFarm, Version: !Select [2, !Split ["/", "Build/ImportFarm/1"]]}
              Configuration: {Field: !If [Prod, north, south]}
              InputArtifacts: [{Name: Code}]
  Hook:
    Type: AWS::CodePipeline::Webhook
    Properties:
      Name: import-hook
      TargetPipeline: !Ref Pipe
      TargetPipelineVersion: !GetAtt Pipe.Version
      TargetAction: Fetch
      Authentication: GITHUB_HMAC
      AuthenticationConfiguration: {SecretToken: !Ref Token}
      Filters: [{JsonPath: "$.ref", MatchEquals: "refs/heads/{Branch}"}]
"""


def template_in_place():
    """A template is imported, changed, and imported again: everything is changed in place."""
    pipelines, iam, s3 = client("codepipeline"), client("iam"), client("s3")
    text = TEMPLATE.replace("{Branch}", "main")
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "farm.yaml"
        file.write_text(text.replace("PLACE", "first"))
        done = towpath("import", file, "--yes", "--parameter", "Token=t0psecret", "--format", "json")
        holds("t0psecret" not in done.stdout + done.stderr, "a secret was printed")
        plan = json.loads(done.stdout)
        equal(set(changes(plan).values()), {"create"}, "changes")
        store = named(plan, "Store")
        holds(store.startswith("farm-store-"), store)
        equal(s3.get_bucket_tagging(Bucket=store)["TagSet"], [{"Key": "team", "Value": "import & co"}], "tags of the bucket")
        arn = "arn:aws:iam::123456789012:policy/farm-shared"
        attached = iam.list_attached_role_policies(RoleName="import-role")["AttachedPolicies"]
        equal(sorted(policy["PolicyName"] for policy in attached), ["AmazonS3ReadOnlyAccess", "farm-shared"], "attached policies")
        unknown = next(r["notes"] for r in plan["resources"] if r["logicalId"] == "Role")
        holds(len(unknown) == 1 and "AWSNobodyKnowsAccess is not attached" in unknown[0], unknown)
        declared = pipelines.get_pipeline(name="import-pipe")
        equal(declared["pipeline"]["stages"][1]["actions"][0]["configuration"], {"Field": "south"}, "the condition")
        work = pipelines.get_pipeline_state(name="import-pipe")["stageStates"][1]["inboundTransitionState"]
        equal((work["enabled"], work["disabledReason"]), (False, "not yet"), "the transition")
        resource = declared["metadata"]["pipelineArn"]
        equal(pipelines.list_tags_for_resource(resourceArn=resource)["tags"], [{"key": "stage", "value": "beta"}], "tags")
        hook = pipelines.list_webhooks()["webhooks"][0]
        equal((hook["definition"]["name"], hook["definition"]["targetPipeline"]), ("import-hook", "import-pipe"), "webhook")

        second = imported(file, "--parameter", "Token=t0psecret")
        equal([logical for logical, change in changes(second).items() if change != "keep"], ["Hook"],
              "only a secret cannot be compared")

        iam.put_role_policy(RoleName="import-role", PolicyName="by-hand", PolicyDocument=allow("s3:Get*"))
        file.write_text(text.replace("PLACE", "second").replace('"codebuild:*"', '"logs:*"').replace('"s3:*"', '"s3:Get*"'))
        third = imported(file, "--parameter", "Token=t0psecret", "--parameter", "Stage=prod")
        updated = {logical for logical, change in changes(third).items() if change == "update"}
        equal(updated, {"Shared", "Role", "Pipe", "Hook"}, "what changed")
        notes = next(r["notes"] for r in third["resources"] if r["logicalId"] == "Role")
        holds("keeps policies that the template does not have: by-hand" in notes, notes)
        equal(iam.get_role(RoleName="import-role")["Role"]["Description"], "second", "description")
        own = iam.get_role_policy(RoleName="import-role", PolicyName="own")["PolicyDocument"]
        equal(own["Statement"][0]["Action"], "logs:*", "the role's policy")
        policy = iam.get_policy(PolicyArn=arn)["Policy"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
        equal(version["Document"]["Statement"][0]["Action"], "s3:Get*", "the managed policy")
        declared = pipelines.get_pipeline(name="import-pipe")["pipeline"]
        equal((declared["version"], declared["stages"][1]["actions"][0]["configuration"]), (2, {"Field": "north"}), "pipeline")
        equal(pipelines.list_tags_for_resource(resourceArn=resource)["tags"], [{"key": "stage", "value": "prod"}], "tags")

        # An action type cannot be changed, on AWS either.
        file.write_text(text.replace("which field", "another field"))
        refused = towpath("import", file, "--yes", "--parameter", "Token=t", code=2)
        holds("the custom action type Build/ImportFarm/1 is there already" in refused.stderr, refused.stderr)
        holds("another Version" in refused.stderr, refused.stderr)


def refusals():
    """What is wrong is told before anything is made, and what the server refuses in its own words."""
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "farm.yaml"
        file.write_text(TEMPLATE)
        for arguments, code, words in [
            ([], 2, ["Parameters: [Token] must have values", "farm.yaml:3:3", "--parameter Token=VALUE"]),
            (["--parameter", "Token=t", "--parameter", "Stag=prod"], 2, ["[Stag] do not exist", "did you mean `Stage`?"]),
            (["--parameter", "Token=t", "--parameter", "Stage=gamma"], 2, ["must be one of AllowedValues: beta, prod"]),
            (["--parameter", "Token=t"], 2, ["nobody said yes", "--yes"]),
            (["--parameter", "Token=t", "--endpoint-url", "http://127.0.0.1:1", "--dry-run"], 1, ["cannot ask"]),
        ]:
            done = towpath("import", file, *arguments, code=code)
            for word in words:
                holds(word in done.stderr, f"{arguments}: {word!r} is not in\n{done.stdout}{done.stderr}")
        towpath("import", CDK, "--stack", "Nobody", "--dry-run", code=2)
        only = towpath("import", CDK, "--stack", "Shop", "--dry-run", code=2).stderr
        holds("No export named ShopStorage:ExportsOutputRefSource71E471F1A71A69A9 found." in only, only)
        (pathlib.Path(directory) / "pipeline.json").write_text("{}")
        towpath("import", pathlib.Path(directory) / "pipeline.json", "--dry-run", code=2)
        # A Lambda action is not here yet; the server says so, and what was made before it stays.
        text = TEMPLATE.replace("Category: Build, Owner: Custom, Provider: ImportFarm",
                                "Category: Invoke, Owner: AWS, Provider: NotThere")
        file.write_text(text)
        done = towpath("import", file, "--yes", "--parameter", "Token=t", code=1)
        holds("is not available in region" in done.stderr and "CreatePipeline" in done.stderr, done.stderr)
        equal(client("codepipeline").list_pipelines()["pipelines"], [], "pipelines")


if __name__ == "__main__":
    main([cdk_app, template_in_place, refusals])
