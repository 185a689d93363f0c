"""IAM and STS as people and Terraform use them, and what they then may: users, groups, policies, boundaries, sessions, the
resources of CodePipeline that a policy can name, tags, bucket policies, and roles that lack something."""

import datetime
import json
import os
import re
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from harness import (
    ACCOUNT,
    REGION,
    Pipelines,
    action,
    allow,
    approval,
    bucket,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    refused,
    rehearsal,
    role,
    s3_source,
    source,
    stage,
    wait,
    zipped,
)
from security import INVALID_TOKEN, MISMATCH, keys, send, signed, with_keys

HERE = f"arn:aws:codepipeline:{REGION}:{ACCOUNT}"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def statement(actions, resources="*", effect="Allow", **more):
    return {"Effect": effect, "Action": actions, "Resource": resources, **more}


def user_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:user/{name}"


class Person:
    """An IAM user with a key, and its clients."""

    def __init__(self, name, *statements, attach=()):
        self.name, self.arn, self.iam = name, user_arn(name), client("iam")
        self.iam.create_user(UserName=name)
        if statements:
            self.may(*statements)
        for arn in attach:
            self.iam.attach_user_policy(UserName=name, PolicyArn=arn)
        made = self.iam.create_access_key(UserName=name)["AccessKey"]
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]

    def may(self, *statements):
        self.iam.put_user_policy(UserName=self.name, PolicyName="own", PolicyDocument=document(*statements))

    def client(self, service):
        return with_keys(service, self.key, self.secret)

    def denied(self, what, resource, why="because no identity-based policy allows the {} action"):
        return f"User: {self.arn} is not authorized to perform: {what} on resource: {resource} " + why.format(what)


def session(service, given):
    return with_keys(service, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def gated(name="p", **more):
    """A pipeline that waits at a gate; gives CodePipeline, and the token of the gate."""
    runs = Pipelines()
    runs.api.create_pipeline(pipeline=pipeline(
        name, role("pipeline"), stage("Source", rehearsal("Fetch", "Source")), stage("Gate", approval())), **more)
    return runs, runs.token(name, "Gate")


def people():
    """Users, keys, groups and policies, in the calls that Terraform makes for them."""
    iam = client("iam")
    made = iam.create_user(UserName="ann", Path="/team/", Tags=[{"Key": "Team", "Value": "locks"}])["User"]
    equal(made["Arn"], f"arn:aws:iam::{ACCOUNT}:user/team/ann", "a user's ARN")
    matches(made["UserId"], "AIDA[A-Z2-7]{17}", "a user's id")
    equal(iam.get_user(UserName="ann")["User"]["Tags"], [{"Key": "Team", "Value": "locks"}], "tags of GetUser")
    refused("EntityAlreadyExists", "User with name ann already exists.", iam.create_user, UserName="ann")
    refused("NoSuchEntity", "The user with name bob cannot be found.", iam.get_user, UserName="bob")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    matches(key["AccessKeyId"], "AKIA[A-Z2-7]{16}", "a key's id")
    equal((len(key["SecretAccessKey"]), key["Status"]), (40, "Active"), "the key")
    equal(iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"],
          {"ServiceName": "N/A", "Region": "N/A"}, "a key that was never used")
    who = with_keys("sts", key["AccessKeyId"], key["SecretAccessKey"]).get_caller_identity()
    equal((who["Arn"], who["UserId"], who["Account"]), (made["Arn"], made["UserId"], ACCOUNT), "who that is")
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    equal((used["UserName"], used["AccessKeyLastUsed"]["ServiceName"]), ("ann", "sts"), "its last use")
    for status, code in (("Inactive", "UnrecognizedClientException"), ("Active", None)):
        iam.update_access_key(UserName="ann", AccessKeyId=key["AccessKeyId"], Status=status)
        own = with_keys("codepipeline", key["AccessKeyId"], key["SecretAccessKey"])
        if code:
            refused(code, INVALID_TOKEN, own.list_pipelines)
        else:
            refused("AccessDeniedException", re.compile("User: .*/team/ann is not authorized .*"), own.list_pipelines)
    equal([k["Status"] for k in iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]], ["Active"], "her keys")

    # aws_iam_policy, its update with five versions, and its attachment.
    reads = document(statement("codepipeline:Get*"))
    policy = iam.create_policy(PolicyName="reads", Path="/team/", PolicyDocument=reads, Description="d")["Policy"]
    arn = policy["Arn"]
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=reads, SetAsDefault=True)
    refused("LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an "
            "existing version.", iam.create_policy_version, PolicyArn=arn, PolicyDocument=reads)
    oldest = [v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"] if not v["IsDefaultVersion"]][-1]
    equal(oldest, "v1", "the oldest version")
    iam.delete_policy_version(PolicyArn=arn, VersionId=oldest)
    got = iam.get_policy_version(PolicyArn=arn, VersionId=iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"])
    equal(got["PolicyVersion"]["Document"], json.loads(reads), "the default version's document")
    iam.attach_user_policy(UserName="ann", PolicyArn=arn)
    pages = iam.get_paginator("list_attached_user_policies").paginate(UserName="ann", PaginationConfig={"PageSize": 1})
    equal([p["PolicyArn"] for page in pages for p in page["AttachedPolicies"]], [arn], "attached")
    refused("DeleteConflict", "Cannot delete a policy attached to entities.", iam.delete_policy, PolicyArn=arn)
    refused("NoSuchEntity", "Policy arn:aws:iam::aws:policy/Nothing does not exist or is not attachable.",
            iam.attach_user_policy, UserName="ann", PolicyArn="arn:aws:iam::aws:policy/Nothing")

    # aws_iam_group and aws_iam_group_membership.
    iam.create_group(GroupName="devs")
    iam.add_user_to_group(GroupName="devs", UserName="ann")
    iam.attach_group_policy(GroupName="devs", PolicyArn="arn:aws:iam::aws:policy/AWSCodePipeline_ReadOnlyAccess")
    with_keys("codepipeline", key["AccessKeyId"], key["SecretAccessKey"]).list_pipelines()
    equal([u["UserName"] for u in iam.get_group(GroupName="devs")["Users"]], ["ann"], "members")
    equal([g["GroupName"] for g in iam.list_groups_for_user(UserName="ann")["Groups"]], ["devs"], "her groups")

    # aws_iam_role, up to its deletion.
    trust = document({"Effect": "Allow", "Principal": {"AWS": made["Arn"]}, "Action": "sts:AssumeRole"})
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust, MaxSessionDuration=7200)
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    iam.update_role_description(RoleName="r", Description="new")
    equal(iam.get_role(RoleName="r")["Role"]["Description"], "new", "a description")
    stranger = document({"Effect": "Allow", "Principal": {"AWS": user_arn("nobody")}, "Action": "sts:AssumeRole"})
    refused("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{user_arn("nobody")}"',
            iam.update_assume_role_policy, RoleName="r", PolicyDocument=stranger)
    entities = iam.list_entities_for_policy(PolicyArn=arn)
    equal(([u["UserName"] for u in entities["PolicyUsers"]], [r["RoleName"] for r in entities["PolicyRoles"]]),
          (["ann"], ["r"]), "who has the policy")
    equal(iam.list_instance_profiles_for_role(RoleName="r")["InstanceProfiles"], [], "instance profiles")
    refused("DeleteConflict", "Cannot delete entity, must detach all policies first.", iam.delete_role, RoleName="r")
    iam.detach_role_policy(RoleName="r", PolicyArn=arn)
    iam.delete_role(RoleName="r")

    # aws_iam_user with force_destroy.
    iam.update_user(UserName="ann", NewUserName="anna", NewPath="/")
    for group in iam.list_groups_for_user(UserName="anna")["Groups"]:
        iam.remove_user_from_group(GroupName=group["GroupName"], UserName="anna")
    for found in iam.list_access_keys(UserName="anna")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="anna", AccessKeyId=found["AccessKeyId"])
    equal(iam.list_ssh_public_keys(UserName="anna")["SSHPublicKeys"], [], "SSH keys")
    equal(iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"], [], "virtual devices")
    equal(iam.list_mfa_devices(UserName="anna")["MFADevices"], [], "devices")
    refused("NoSuchEntity", "Login Profile for User anna cannot be found.", iam.delete_login_profile, UserName="anna")
    equal(iam.list_signing_certificates(UserName="anna")["Certificates"], [], "certificates")
    equal(iam.list_service_specific_credentials(UserName="anna")["ServiceSpecificCredentials"], [], "credentials")
    iam.detach_user_policy(UserName="anna", PolicyArn=arn)
    iam.delete_user(UserName="anna")
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=arn)
    refused("UnrecognizedClientException", INVALID_TOKEN, own.list_pipelines)

    for index in range(5):
        iam.create_user(UserName=f"u{index}", Path="/many/")
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix="/many/", PaginationConfig={"PageSize": 2}))
    equal([[u["UserName"] for u in page["Users"]] for page in pages], [["u0", "u1"], ["u2", "u3"], ["u4"]], "pages")
    summary = iam.get_account_summary()["SummaryMap"]
    equal((summary["Users"], summary["UsersQuota"], summary["Policies"]), (5, 5000, 0), "the account's numbers")


def start_but_not_approve():
    """One may start and another approve, by the resources that AWS's permissions reference names."""
    runs, token = gated()
    starter = Person("starter", statement(["codepipeline:StartPipelineExecution", "codepipeline:GetPipeline*"], f"{HERE}:p"))
    approver = Person("approver", statement("codepipeline:PutApprovalResult", f"{HERE}:p/Gate/*"))
    published = Person("published", attach=["arn:aws:iam::aws:policy/AWSCodePipelineApproverAccess"])
    starts, approves, publishes = (who.client("codepipeline") for who in (starter, approver, published))
    answer = {"pipelineName": "p", "stageName": "Gate", "actionName": "Ok", "result": {"status": "Approved", "summary": ""}}

    second = starts.start_pipeline_execution(name="p")["pipelineExecutionId"]
    refused("AccessDeniedException", starter.denied("codepipeline:PutApprovalResult", f"{HERE}:p/Gate/Ok"),
            starts.put_approval_result, token=token, **answer)
    refused("AccessDeniedException", approver.denied("codepipeline:StartPipelineExecution", f"{HERE}:p"),
            approves.start_pipeline_execution, name="p")
    refused("AccessDeniedException", published.denied("codepipeline:StartPipelineExecution", f"{HERE}:p"),
            publishes.start_pipeline_execution, name="p")
    # A pipeline's ARN does not cover its actions, nor one stage another.
    refused("AccessDeniedException", approver.denied("codepipeline:PutApprovalResult", f"{HERE}:p/Source/Fetch"),
            approves.put_approval_result, token=token, **{**answer, "stageName": "Source", "actionName": "Fetch"})
    approves.put_approval_result(token=token, **answer)
    runs.ended("p", runs.first("p"), "Succeeded")
    publishes.put_approval_result(token=runs.token("p", "Gate"), **answer)
    runs.ended("p", second, "Succeeded")
    equal(publishes.get_pipeline(name="p")["pipeline"]["name"], "p", "what the published policy lets read")

    # Stages: retrying needs the stage; of transitions AWS's pages name the pipeline as well as the stage.
    third = starts.start_pipeline_execution(name="p")["pipelineExecutionId"]
    approves.put_approval_result(token=runs.token("p", "Gate"), **{**answer, "result": {"status": "Rejected", "summary": ""}})
    runs.ended("p", third, "Failed")
    operator = Person("operator", statement("codepipeline:RetryStageExecution", f"{HERE}:p"))
    operates = operator.client("codepipeline")
    retry = {"pipelineName": "p", "stageName": "Gate", "pipelineExecutionId": third, "retryMode": "FAILED_ACTIONS"}
    refused("AccessDeniedException", operator.denied("codepipeline:RetryStageExecution", f"{HERE}:p/Gate"),
            operates.retry_stage_execution, **retry)
    operator.may(statement("codepipeline:RetryStageExecution", f"{HERE}:p/Gate"),
                 statement("codepipeline:DisableStageTransition", f"{HERE}:p"),
                 statement("codepipeline:EnableStageTransition", f"{HERE}:p/Gate"))
    operates.retry_stage_execution(**retry)
    gate = {"pipelineName": "p", "stageName": "Gate", "transitionType": "Inbound"}
    operates.disable_stage_transition(reason="later", **gate)
    operates.enable_stage_transition(**gate)
    operator.may(statement("codepipeline:*"), statement("codepipeline:DisableStageTransition", f"{HERE}:p", "Deny"))
    refused("AccessDeniedException", operator.denied(
        "codepipeline:DisableStageTransition", f"{HERE}:p", "with an explicit deny in an identity-based policy"),
        operates.disable_stage_transition, reason="x", **gate)
    # What has no resource of its own is allowed on everything only.
    operator.may(statement("codepipeline:ListPipelines", f"{HERE}:*"))
    refused("AccessDeniedException", operator.denied("codepipeline:ListPipelines", "*"), operates.list_pipelines)
    operator.may({"Effect": "Allow", "NotAction": "codepipeline:Delete*", "Resource": "*"},
                 {"Effect": "Deny", "Action": "codepipeline:Get*", "NotResource": f"{HERE}:p"})
    operates.list_pipelines()
    operates.get_pipeline(name="p")
    refused("AccessDeniedException", operator.denied("codepipeline:DeletePipeline", f"{HERE}:p"),
            operates.delete_pipeline, name="p")
    refused("AccessDeniedException", operator.denied(
        "codepipeline:GetPipeline", f"{HERE}:q", "with an explicit deny in an identity-based policy"),
        operates.get_pipeline, name="q")


def tags_decide():
    """Conditions on the tags of pipelines and of requests."""
    runs, _ = gated(tags=[{"key": "team", "value": "locks"}])
    arn = f"{HERE}:p"
    same = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    ann = Person("ann", statement("codepipeline:*", Condition=same))
    own = ann.client("codepipeline")
    refused("AccessDeniedException", ann.denied("codepipeline:GetPipeline", arn), own.get_pipeline, name="p")
    client("iam").tag_user(UserName="ann", Tags=[{"Key": "team", "Value": "locks"}])
    own.get_pipeline(name="p")
    equal(own.get_pipeline_state(name="p")["pipelineName"], "p", "by its tag")
    # Stages carry the tags of their pipeline.
    own.disable_stage_transition(pipelineName="p", stageName="Gate", transitionType="Inbound", reason="x")
    runs.api.tag_resource(resourceArn=arn, tags=[{"key": "team", "value": "gates"}])
    refused("AccessDeniedException", ann.denied("codepipeline:GetPipeline", arn), own.get_pipeline, name="p")
    ann.may(statement("codepipeline:Get*", Condition={"StringLike": {"codepipeline:ResourceTag/team": "g*"}}))
    own.get_pipeline(name="p")

    # Only such tags may be given and taken.
    ann.may(statement("codepipeline:TagResource", arn, Condition={"StringEquals": {"aws:RequestTag/stage": ["test", "prod"]},
                                                                  "ForAllValues:StringEquals": {"aws:TagKeys": ["stage"]}}),
            statement("codepipeline:UntagResource", arn, Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["stage"]}}))
    own.tag_resource(resourceArn=arn, tags=[{"key": "stage", "value": "test"}])
    for tags in ([{"key": "stage", "value": "mine"}], [{"key": "stage", "value": "prod"}, {"key": "x", "value": ""}]):
        refused("AccessDeniedException", ann.denied("codepipeline:TagResource", arn), own.tag_resource, resourceArn=arn, tags=tags)
    refused("AccessDeniedException", ann.denied("codepipeline:UntagResource", arn), own.untag_resource,
            resourceArn=arn, tagKeys=["team"])
    own.untag_resource(resourceArn=arn, tagKeys=["stage"])

    # Giving tags at creation needs TagResource too.
    pipe = f"arn:aws:iam::{ACCOUNT}:role/pipeline"
    mine = pipeline("mine", pipe, stage("Source", rehearsal("Fetch", "Source")), stage("Gate", approval()))
    pass_role = statement("iam:PassRole", pipe)
    ann.may(statement("codepipeline:CreatePipeline", Condition={"StringEquals": {"aws:RequestTag/team": "locks"}}), pass_role)
    refused("AccessDeniedException", ann.denied("codepipeline:CreatePipeline", f"{HERE}:mine"), own.create_pipeline, pipeline=mine)
    tagged = {"pipeline": mine, "tags": [{"key": "team", "value": "locks"}]}
    refused("AccessDeniedException", ann.denied("codepipeline:TagResource", f"{HERE}:mine"), own.create_pipeline, **tagged)
    ann.may(statement(["codepipeline:CreatePipeline", "codepipeline:TagResource"],
                      Condition={"StringEquals": {"aws:RequestTag/team": "locks"}}), pass_role)
    own.create_pipeline(**tagged)
    told = runs.api.list_tags_for_resource(resourceArn=f"{HERE}:mine")["tags"]
    equal(told, [{"key": "team", "value": "locks"}], "the tags")


def passing_roles():
    """Handing a role to CodePipeline needs iam:PassRole on it, for CodePipeline."""
    pipe, other = role("pipeline"), role("other")
    stages = (stage("Source", rehearsal("Fetch", "Source")), stage("Gate", approval()))
    mine = pipeline("mine", pipe, *stages)
    ann = Person("ann", statement("codepipeline:*"))
    own = ann.client("codepipeline")
    refused("AccessDeniedException", ann.denied("iam:PassRole", pipe), own.create_pipeline, pipeline=mine)
    to = lambda service: {"StringEquals": {"iam:PassedToService": service}}
    ann.may(statement("codepipeline:*"), statement("iam:PassRole", pipe, Condition=to("lambda.amazonaws.com")))
    refused("AccessDeniedException", ann.denied("iam:PassRole", pipe), own.create_pipeline, pipeline=mine)
    ann.may(statement("codepipeline:*"), statement("iam:PassRole", pipe, Condition=to("codepipeline.amazonaws.com")))
    own.create_pipeline(pipeline=mine)
    refused("AccessDeniedException", ann.denied("iam:PassRole", other), own.update_pipeline, pipeline={**mine, "roleArn": other})
    ship = rehearsal("Ship", "Deploy", roleArn=other)
    refused("AccessDeniedException", ann.denied("iam:PassRole", other), own.update_pipeline,
            pipeline=pipeline("mine", pipe, *stages, stage("Deploy", ship)))
    foreign = pipe.replace(ACCOUNT, "210987654321")
    refused("AccessDeniedException", "Cross-account pass role is not allowed.", own.update_pipeline,
            pipeline={**mine, "roleArn": foreign})


def boundaries_and_sessions():
    """Boundaries and session policies take away; roles, external ids and users' own sessions."""
    iam = client("iam")
    gated()
    bound = iam.create_policy(PolicyName="bound", PolicyDocument=document(
        statement(["codepipeline:Get*", "codepipeline:List*", "sts:*", "iam:*"])))["Policy"]["Arn"]
    ann = Person("ann", statement("*"))
    iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=bound)
    own = ann.client("codepipeline")
    own.get_pipeline(name="p")
    no_boundary = "because no permissions boundary allows the {} action"
    refused("AccessDeniedException", ann.denied("codepipeline:DeletePipeline", f"{HERE}:p", no_boundary),
            own.delete_pipeline, name="p")
    equal(iam.get_user(UserName="ann")["User"]["PermissionsBoundary"],
          {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": bound}, "the boundary")
    # She may make users only within the same boundary.
    ann.may(statement("iam:CreateUser", Condition={"StringEquals": {"iam:PermissionsBoundary": bound}}), statement("sts:*"))
    refused("AccessDenied", ann.denied("iam:CreateUser", user_arn("bob")), ann.client("iam").create_user, UserName="bob")
    ann.client("iam").create_user(UserName="bob", PermissionsBoundary=bound)
    iam.delete_user_permissions_boundary(UserName="ann")

    trust = document({"Effect": "Allow", "Principal": {"AWS": ann.arn}, "Action": "sts:AssumeRole",
                      "Condition": {"StringEquals": {"sts:ExternalId": "ticket-7"}}})
    arn = iam.create_role(RoleName="ops", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName="ops", PolicyName="p", PolicyDocument=allow("codepipeline:*", "sts:*"))
    sts = ann.client("sts")
    mine = {"RoleArn": arn, "RoleSessionName": "ann", "ExternalId": "ticket-7"}
    refused("AccessDenied", f"User: {ann.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            sts.assume_role, RoleArn=arn, RoleSessionName="ann", ExternalId="ticket-8")
    given = sts.assume_role(PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AWSCodePipelineApproverAccess"}],
                            Policy=document(statement("codepipeline:ListActionTypes")), **mine)
    holds(0 < given["PackedPolicySize"] <= 100, given["PackedPolicySize"])
    equal(given["AssumedRoleUser"]["Arn"], f"arn:aws:sts::{ACCOUNT}:assumed-role/ops/ann", "the session")
    ops = session("codepipeline", given["Credentials"])
    ops.get_pipeline(name="p")
    ops.list_action_types()
    refused("AccessDeniedException", f"User: {given['AssumedRoleUser']['Arn']} is not authorized to perform: "
            f"codepipeline:DeletePipeline on resource: {HERE}:p because no session policy allows the "
            "codepipeline:DeletePipeline action", ops.delete_pipeline, name="p")
    refused("PackedPolicyTooLarge", re.compile(r"Packed size of session tags consumes \d+% of allotted space\."), sts.assume_role,
            Policy=document(statement("s3:*", "arn:aws:s3:::" + "b" * 1900)),
            PolicyArns=[{"arn": bound}] * 3, **mine)
    refused("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            sts.assume_role, DurationSeconds=7200, **mine)
    chained = session("sts", given["Credentials"])
    refused("AccessDenied", re.compile("User: .*assumed-role/ops/ann is not authorized to perform: sts:AssumeRole .*"),
            chained.assume_role, **mine)

    # A user's own temporary credentials are the user, but not for IAM.
    given = sts.get_session_token(DurationSeconds=900)["Credentials"]
    equal(session("sts", given).get_caller_identity()["Arn"], ann.arn, "who that is")
    refused("InvalidClientTokenId", INVALID_TOKEN, session("iam", given).list_users)
    refused("AccessDenied", "Cannot call GetSessionToken with session credentials", session("sts", given).get_session_token)
    equal(client("sts").get_access_key_info(AccessKeyId=ann.key)["Account"], ACCOUNT, "whose key it is")
    refused("AccessDenied", "Roles may not be assumed by root accounts.", client("sts").assume_role, **mine)


def signatures():
    """Both forms, every way to be wrong; a request that was heard is worth nothing once changed, late, or revoked."""
    ann = Person("ann", statement("*"))
    # The query form, as EKS and Vault use it: the URL is the proof of who made it.
    sts = ann.client("sts")
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    status, answer = send(url)
    equal((status, ann.arn.encode() in answer), (200, True), "a presigned GetCallerIdentity")
    status, answer = send(url.replace("GetCallerIdentity", "GetSessionToken"))
    equal((status, b"<Code>SignatureDoesNotMatch</Code>" in answer), (403, True), "another action under its signature")
    status, answer = send(url + "&X-Amz-Security-Token=x")
    equal((status, b"<Code>InvalidClientTokenId</Code>" in answer), (403, True), "a token that is not the key's")
    short = sts.generate_presigned_url("get_caller_identity", ExpiresIn=1, HttpMethod="GET")
    status, answer = wait("the URL to expire", lambda: next((got for got in [send(short)] if got[0] != 200), None))
    holds(status == 403 and b"Signature expired: " in answer, answer)

    # One captured request, sent again: as it is, changed, and once the key is off.
    endpoint = os.environ["AWS_ENDPOINT_URL"] + "/"
    body = urllib.parse.urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"}).encode()

    def captured(age=datetime.timedelta()):
        request = botocore.awsrequest.AWSRequest("POST", endpoint, data=body,
                                                 headers={"Content-Type": "application/x-www-form-urlencoded"})
        signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(ann.key, ann.secret), "sts", REGION)
        date = datetime.datetime.now(datetime.timezone.utc) - age
        request.context["timestamp"] = date.strftime("%Y%m%dT%H%M%SZ")
        signer._modify_request_before_signing(request)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signer._inject_signature_to_request(request, signer.signature(text, request))
        return dict(request.headers)

    def told(headers, data=body):
        status, answer = send(endpoint, data, headers, "POST")
        return status, answer.decode()

    heard = captured()
    equal((told(heard)[0], told(heard)[0]), (200, 200), "heard and repeated in time")
    status, answer = told(heard, body.replace(b"Caller", b"Called"))
    holds(status == 403 and "<Code>SignatureDoesNotMatch</Code>" in answer, answer)
    later = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)).strftime("%Y%m%dT%H%M%SZ")
    for changed in ({"X-Amz-Date": later}, {"X-Amz-Extra": "x"},
                    {"Authorization": heard["Authorization"].replace(f"/{REGION}/", "/eu-west-1/")}):
        status, answer = told({**heard, **changed})
        holds(status == 403 and "<Code>SignatureDoesNotMatch</Code>" in answer, f"{changed}: {answer}")
    for minutes, message in ((16, "Signature expired: "), (-16, "Signature not yet current: ")):
        status, answer = told(captured(datetime.timedelta(minutes=minutes)))
        holds(status == 403 and "<Code>SignatureDoesNotMatch</Code>" in answer and message in answer, answer)
    equal(told(captured(datetime.timedelta(minutes=14)))[0], 200, "fourteen minutes are not too many")
    broken = {**heard, "Authorization": heard["Authorization"].replace("Signature=", "Sign=")}
    status, answer = told(broken)
    holds(status == 400 and "<Code>IncompleteSignature</Code>" in answer and heard["Authorization"][-64:] not in answer, answer)
    ann.iam.update_access_key(UserName="ann", AccessKeyId=ann.key, Status="Inactive")
    status, answer = told(heard)
    holds(status == 403 and "<Code>InvalidClientTokenId</Code>" in answer, answer)
    equal(signed(b"{}", service="codebuild")[1], "UnknownOperationException", "a scope for another service goes there")

    # Uploads whose chunks are signed, and whose trailer is not.
    bucket("chunks")
    s3 = client("s3", config={"signature_version": "s3v4", "s3": {"payload_signing_enabled": True}})
    s3.put_object(Bucket="chunks", Key="signed", Body=b"x" * 100_000, ChecksumAlgorithm="SHA256")
    equal(len(s3.get_object(Bucket="chunks", Key="signed")["Body"].read()), 100_000, "what arrived")


def bucket_policies():
    """The policy of a bucket decides together with those of the caller."""
    bucket("files")
    s3 = client("s3")
    s3.put_object(Bucket="files", Key="open/a.txt", Body=b"a")
    s3.put_object(Bucket="files", Key="closed/b.txt", Body=b"b")
    ann, eve = Person("ann"), Person("eve", statement("s3:*"))
    theirs = {who.name: who.client("s3") for who in (ann, eve)}
    arn = "arn:aws:s3:::files"

    def put(*statements):
        s3.put_bucket_policy(Bucket="files", Policy=document(*statements))

    def get(who, key):
        return theirs[who].get_object(Bucket="files", Key=key)["Body"].read()

    def no(who, action, resource, why):
        return who.denied(action, f'"{resource}"', why)

    refused("AccessDenied", no(ann, "s3:GetObject", f"{arn}/open/a.txt", "because no identity-based policy allows the {} action"),
            theirs["ann"].get_object, Bucket="files", Key="open/a.txt")
    put({**statement("s3:GetObject", f"{arn}/open/*"), "Principal": {"AWS": ann.arn}},
        {**statement("s3:*", f"{arn}/closed/*", "Deny"), "Principal": {"AWS": eve.arn}})
    equal(get("ann", "open/a.txt"), b"a", "named by the bucket, she needs no policy of her own")
    equal(get("eve", "open/a.txt"), b"a", "her own policy")
    refused("AccessDenied", no(eve, "s3:GetObject", f"{arn}/closed/b.txt", "with an explicit deny in a resource-based policy"),
            theirs["eve"].get_object, Bucket="files", Key="closed/b.txt")
    deleted = theirs["eve"].delete_objects(Bucket="files", Delete={"Objects": [{"Key": "closed/b.txt"}]})
    equal([error["Code"] for error in deleted["Errors"]], ["AccessDenied"], "key by key")

    # What everybody writes into buckets: nothing without TLS. A client on this machine is on no network.
    everybody = {"Principal": "*"}
    put({**statement("s3:*", [arn, f"{arn}/*"], "Deny"), **everybody, "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    equal(get("eve", "closed/b.txt"), b"b", "over loopback")
    put({**statement("s3:PutObject", f"{arn}/*", "Deny"), **everybody,
         "Condition": {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}})
    refused("AccessDenied", no(eve, "s3:PutObject", f"{arn}/c", "with an explicit deny in a resource-based policy"),
            theirs["eve"].put_object, Bucket="files", Key="c", Body=b"c")
    theirs["eve"].put_object(Bucket="files", Key="c", Body=b"c", ServerSideEncryption="AES256")

    # A policy that locks everybody out does not lock out the owner's root user from the policy itself.
    put({**statement("s3:*", [arn, f"{arn}/*"], "Deny"), **everybody})
    refused("AccessDenied", re.compile(".*with an explicit deny in a resource-based policy"), s3.list_objects_v2, Bucket="files")
    refused("AccessDenied", re.compile(".*with an explicit deny in a resource-based policy"),
            theirs["eve"].delete_bucket_policy, Bucket="files")
    holds("Deny" in s3.get_bucket_policy(Bucket="files")["Policy"], "the policy")
    s3.delete_bucket_policy(Bucket="files")

    # Everybody reads, once public access is no longer blocked.
    public = {**statement("s3:GetObject", f"{arn}/open/*"), **everybody}
    refused("AccessDenied", re.compile(".*"), s3.put_bucket_policy, Bucket="files", Policy=document(public))
    s3.delete_public_access_block(Bucket="files")
    put(public)
    base = f"{os.environ['AWS_ENDPOINT_URL']}/files"
    equal(send(f"{base}/open/a.txt"), (200, b"a"), "nobody in particular")
    equal(send(f"{base}/closed/b.txt")[0], 403, "but nothing else")
    equal(send(f"{base}/open/a.txt", b"new", method="PUT")[0], 403, "and only to read")
    put(public, {**statement("s3:GetObject", f"{arn}/open/a.txt", "Deny"), **everybody,
                 "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}})
    equal(send(f"{base}/open/a.txt")[0], 403, "from here a deny")

    for policy, why in (
        (document({**statement("iam:*", arn), **everybody}), "Policy has invalid action"),
        (document({**statement("s3:*", "arn:aws:s3:::other/*"), **everybody}), "Policy has invalid resource"),
        (document({**statement("s3:*", arn), "Principal": {"AWS": user_arn("nobody")}}), "Invalid principal in policy"),
    ):
        refused("MalformedPolicy", why, s3.put_bucket_policy, Bucket="files", Policy=policy)


def service_roles():
    """A role that may not be assumed is refused at once; one that lacks something fails its action, in AWS's words."""
    runs, iam = Pipelines(), client("iam")
    source({"index.html": "hello"})
    bucket("artifacts")
    bucket("site")
    pipe = role("pipeline")
    builder = role("builder", service="codebuild.amazonaws.com")
    client("codebuild").create_project(
        name="make", serviceRole=builder, artifacts={"type": "CODEPIPELINE"},
        source={"type": "CODEPIPELINE", "buildspec": json.dumps({"version": 0.2, "phases": {"build": {"commands": ["true"]}}})},
        environment={"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL"})
    make = action("Make", "Build", "CodeBuild", {"ProjectName": "make"}, inputs=["src"])

    def declared(role_arn=pipe, **more):
        publish = action("Publish", "Deploy", "S3", {"BucketName": "site", "Extract": "true"}, inputs=["src"], **more)
        return pipeline("p", role_arn, stage("Source", s3_source()), stage("Build", make), stage("Deploy", publish))

    def may(*statements):
        iam.put_role_policy(RoleName="pipeline", PolicyName="work", PolicyDocument=document(*statements))

    strange = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    for wrong in (strange, builder):
        refused("InvalidStructureException", f"CodePipeline is not authorized to perform AssumeRole on role {wrong}",
                runs.api.create_pipeline, pipeline=declared(wrong))
    runs.api.create_pipeline(pipeline=declared())
    runs.ended("p", runs.first("p"), "Succeeded")
    refused("InvalidStructureException", f"CodePipeline is not authorized to perform AssumeRole on role {builder}",
            runs.api.update_pipeline, pipeline=declared(builder))
    for acting in (strange, builder):
        refused("InvalidStructureException", f"{pipe} is not authorized to perform AssumeRole on role {acting}",
                runs.api.update_pipeline, pipeline=declared(roleArn=acting))

    def fails(name):
        execution = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
        runs.ended("p", execution, "Failed")
        failed = [row for row in runs.actions("p", execution) if row["status"] == "Failed"]
        equal([row["actionName"] for row in failed], [name], "what failed")
        return failed[0]["output"]["executionResult"]["errorDetails"]

    me = f"arn:aws:sts::{ACCOUNT}:assumed-role/pipeline/codepipeline@p"
    may(statement("codebuild:*"), statement("s3:Put*"))
    told = fails("Fetch")
    equal(told["code"], "PermissionError", "the code")
    matches(told["message"], "The service role or action role doesn’t have the permissions required to access the Amazon S3 "
            f"bucket named source\\. Update the IAM role permissions, and then try again\\. Error: Amazon S3:AccessDenied:.*{me}.*",
            "the message of the source")
    may(statement("s3:*"))
    told = fails("Make")
    equal(told["code"], "JobFailed", "the code")
    matches(told["message"], f"Error calling startBuild: User: {me} is not authorized to perform: codebuild:StartBuild on resource: "
            f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/make because no identity-based policy allows the "
            r"codebuild:StartBuild action \(Service: AWSCodeBuild; .*", "the message of the build")
    may(statement("codebuild:*"), statement("s3:*"), statement("s3:*", "arn:aws:s3:::site/*", "Deny"))
    told = fails("Publish")
    equal(told["code"], "PermissionError", "the code")
    matches(told["message"], "You do not have sufficient permissions to call s3.putObject for the deployment bucket, site\\. .*",
            "the message of the deployment")
    # The bucket's own word counts as much, and so do a managed policy and a boundary of the role.
    may(statement("codebuild:*"), statement("s3:*"))
    client("s3").put_bucket_policy(Bucket="site", Policy=document(
        {**statement("s3:PutObject", "arn:aws:s3:::site/*", "Deny"), "Principal": {"AWS": pipe}}))
    equal(fails("Publish")["code"], "PermissionError", "denied by the bucket")
    client("s3").delete_bucket_policy(Bucket="site")
    bound = iam.create_policy(PolicyName="bound", PolicyDocument=document(statement("s3:*")))["Policy"]["Arn"]
    iam.put_role_permissions_boundary(RoleName="pipeline", PermissionsBoundary=bound)
    told = fails("Make")
    holds("because no permissions boundary allows the codebuild:StartBuild action" in told["message"], told)
    iam.delete_role_permissions_boundary(RoleName="pipeline")
    iam.delete_role_policy(RoleName="pipeline", PolicyName="work")
    equal(fails("Fetch")["code"], "PermissionError", "without any policy")
    iam.attach_role_policy(RoleName="pipeline", PolicyArn="arn:aws:iam::aws:policy/PowerUserAccess")
    execution = runs.api.start_pipeline_execution(name="p")["pipelineExecutionId"]
    runs.ended("p", execution, "Succeeded")


if __name__ == "__main__":
    main([people, start_but_not_approve, tags_decide, passing_roles, boundaries_and_sessions, signatures, bucket_policies,
          service_roles])
