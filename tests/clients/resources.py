"""Tags, webhooks, revisions that somebody puts, targets of deployments: whole records, rules, pages, what deletion leaves."""

import concurrent.futures
import json
import re
import urllib.parse

from harness import (
    ABSENT_ID,
    ACCOUNT,
    REGION,
    Pipelines,
    approval,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    refused,
    rehearsal,
    role,
    stage,
    status_of,
)

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


def arn_of(resource, region=REGION, account=ACCOUNT, partition="aws"):
    return f"arn:{partition}:codepipeline:{region}:{account}:{resource}"


def not_found(name):
    return f"The account with AWS account ID '{ACCOUNT}' does not include a pipeline named '{name}'"


def two_stages(name, arn, *later, **more):
    return pipeline(
        name, arn, stage("Source", rehearsal("Fetch", "Source")), stage("Work", *(later or [rehearsal("Make")])), **more
    )


def custom_type(api, **more):
    counts = {"minimumCount": 0, "maximumCount": 1}
    return api.create_custom_action_type(
        category="Build", provider="Farm", version="1", inputArtifactDetails=counts, outputArtifactDetails=counts, **more
    )


def hook(name="hook", target="p", **more):
    return {
        "name": name, "targetPipeline": target, "targetAction": "Fetch",
        "filters": [{"jsonPath": "$.ref", "matchEquals": "refs/heads/main"}],
        "authentication": "UNAUTHENTICATED", "authenticationConfiguration": {}, **more,
    }


def tag(**pairs):
    return [{"key": key, "value": value} for key, value in pairs.items()]


def every_resource():
    """One of each kind that can have tags; gives a function that reads them, and the ARNs."""
    api = client("codepipeline")
    api.create_pipeline(pipeline=two_stages("p", role(), approval()), tags=tag(team="web"))
    custom_type(api, tags=tag(team="web"))
    api.put_webhook(webhook=hook(), tags=tag(team="web"))
    arns = [arn_of("p"), arn_of("actiontype:Custom/Build/Farm/1"), arn_of("webhook:hook")]

    def tags(arn):
        return [(found["key"], found["value"]) for found in api.list_tags_for_resource(resourceArn=arn)["tags"]]

    return api, tags, arns


def tagging():
    api, tags, arns = every_resource()
    for arn in arns:
        equal(tags(arn), [("team", "web")], f"tags given at creation: {arn}")
        answer = api.tag_resource(resourceArn=arn, tags=tag(stage="", team="data", Team="case counts"))
        equal(status_of(answer), 200, "tagged")
        equal(tags(arn), [("team", "data"), ("stage", ""), ("Team", "case counts")], "merged: old keys overwritten")
        api.untag_resource(resourceArn=arn, tagKeys=["team", "never-was"])
        equal(tags(arn), [("stage", ""), ("Team", "case counts")], "untagged; absent keys are ignored")
        api.untag_resource(resourceArn=arn, tagKeys=["stage", "Team"])
        equal(tags(arn), [], "none left")
        api.tag_resource(resourceArn=arn, tags=[])
        api.untag_resource(resourceArn=arn, tagKeys=[])
        api.tag_resource(resourceArn=arn, tags=[{"key": "all letters é 1 +-=._:/@", "value": " spaces and +-=._:/@ "}])
        equal(tags(arn), [("all letters é 1 +-=._:/@", " spaces and +-=._:/@ ")], "every character that is allowed")
        api.untag_resource(resourceArn=arn, tagKeys=["all letters é 1 +-=._:/@"])

        # 50 at most, of what results.
        api.tag_resource(resourceArn=arn, tags=tag(**{f"k{n}": "1" for n in range(49)}))
        too_many = re.compile("A resource may have at most 50 tags; with these tags it would have 51.*")
        refused("TooManyTagsException", too_many, api.tag_resource, resourceArn=arn, tags=tag(k0="9", x="1", y="1"))
        equal(dict(tags(arn))["k0"], "1", "a refused request changes nothing")
        api.tag_resource(resourceArn=arn, tags=tag(k0="9", x="1"))
        equal(len(tags(arn)), 50, "the limit itself")
        refused("TooManyTagsException", re.compile(".*at most 50 tags; the request has 51.*"), api.tag_resource, resourceArn=arn,
                tags=tag(**{f"k{n}": "1" for n in range(51)}))

        # All of them are in one answer; maxResults does not cut it, and no token was ever given out.
        answer = api.list_tags_for_resource(resourceArn=arn, maxResults=1)
        equal((len(answer["tags"]), "nextToken" in answer), (50, False), "one page")
        refused("InvalidNextTokenException", re.compile(".+"), api.list_tags_for_resource, resourceArn=arn, nextToken="made-up")
    # Both spellings that AWS's guide uses name the same action type.
    equal(len(tags(arn_of("actionType:Custom/Build/Farm/1"))), 50, "actionType is actiontype")
    equal(sorted(api.list_webhooks()["webhooks"][0]["tags"], key=str), sorted(
        api.list_tags_for_resource(resourceArn=arns[2])["tags"], key=str), "a webhook shows its tags")


def tag_rules():
    api, tags, arns = every_resource()
    rules = (
        ({"key": "aws:x", "value": "1"}, "tag keys that start with 'aws:' are reserved"),
        ({"key": "AWS:x", "value": "1"}, "tag keys that start with 'aws:' are reserved"),
        ({"key": "  ", "value": "1"}, "a tag key may not be blank or end in a space"),
        ({"key": "x ", "value": "1"}, "a tag key may not be blank or end in a space"),
        ({"key": "x?", "value": "1"}, "allowed are letters, numbers, spaces and + - = . _ : / @"),
        ({"key": "x", "value": "a<b"}, "allowed are letters, numbers, spaces and + - = . _ : / @"),
        ({"key": "x", "value": "\U0001f980"}, "allowed are letters, numbers, spaces and + - = . _ : / @"),
    )
    for one, problem in rules:
        message = f"The tag '{one['key']}' is not valid: {problem}."
        for arn in arns:
            refused("InvalidTagsException", message, api.tag_resource, resourceArn=arn, tags=[one])
        refused("InvalidTagsException", message, api.create_pipeline, pipeline=two_stages("q", "arn:aws:iam::123456789012:role/r"),
                tags=[one])
        refused("InvalidTagsException", message, api.put_webhook, webhook=hook("other"), tags=[one])
        refused("InvalidTagsException", message, custom_type, api=api, tags=[one])
        if one["value"] == "1":
            refused("InvalidTagsException", message, api.untag_resource, resourceArn=arns[0], tagKeys=[one["key"]])
    twice = tag(x="1") + tag(x="2")
    refused("InvalidTagsException", "The tag 'x' is not valid: the key is given more than once.", api.tag_resource,
            resourceArn=arns[0], tags=twice)
    for arn in arns:
        equal(tags(arn), [("team", "web")], "nothing was changed")

    # ARNs: of nothing that is here, of nothing that can have tags, of nothing at all.
    every = (
        (api.list_tags_for_resource, {}), (api.tag_resource, {"tags": tag(a="1")}), (api.untag_resource, {"tagKeys": ["a"]}),
    )
    for resource in (
        arn_of("q"), arn_of("webhook:q"), arn_of("actiontype:Custom/Build/Farm/2"), arn_of("actiontype:Custom/Nothing/Farm/1"),
        arn_of("p", region="eu-west-1"), arn_of("p", account="999999999999"), arn_of("p", partition="aws-cn"),
    ):
        for call, more in every:
            refused("ResourceNotFoundException", f"The resource with the ARN '{resource}' does not exist.", call,
                    resourceArn=resource, **more)
    for resource in (
        arn_of("p/Work"), arn_of("p/Work/Ok"), arn_of("actiontype:AWS/Source/S3/1"), arn_of("actiontype:Custom/Build/Farm"),
        arn_of("webhook:"), arn_of("webhook:a:b"), arn_of("pipeline:p"), arn_of("p/"),
    ):
        message = f"The resource ARN '{resource}' is not valid. Tags belong to pipelines, custom action types and webhooks."
        for call, more in every:
            refused("InvalidArnException", message, call, resourceArn=resource, **more)
    refused(
        "ValidationException",
        "1 validation error detected: Value at 'resourceArn' failed to satisfy constraint: Member must satisfy regular expression "
        r"pattern: arn:aws(-[\w]+)*:codepipeline:.+:[0-9]{12}:.+",
        api.list_tags_for_resource, resourceArn="p",
    )


def tags_of_the_deleted():
    api, tags, arns = every_resource()
    api.delete_webhook(name="hook")
    api.delete_pipeline(name="p")
    api.delete_custom_action_type(category="Build", provider="Farm", version="1")
    for arn in arns:
        refused("ResourceNotFoundException", re.compile(".*does not exist."), api.list_tags_for_resource, resourceArn=arn)
        refused("ResourceNotFoundException", re.compile(".*does not exist."), api.tag_resource, resourceArn=arn, tags=tag(a="1"))
    api.create_pipeline(pipeline=two_stages("p", "arn:aws:iam::123456789012:role/pipeline"))
    custom_type(api)
    api.put_webhook(webhook=hook())
    for arn in arns:
        equal(tags(arn), [], "what is made anew has no old tags")


def tags_at_once():
    """Many clients on one resource: each change is there, and none beyond the limit."""
    api, tags, arns = every_resource()
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        for arn in arns:
            list(pool.map(lambda n: api.tag_resource(resourceArn=arn, tags=tag(**{f"k{n}": str(n)})), range(45)))
            equal(dict(tags(arn)), {"team": "web", **{f"k{n}": str(n) for n in range(45)}}, "none is lost")

            def one_more(n):
                try:
                    return api.tag_resource(resourceArn=arn, tags=tag(**{f"more{n}": ""})) and 1
                except api.exceptions.TooManyTagsException:
                    return 0

            equal(sum(pool.map(one_more, range(30))), 4, "exactly as many as there was room for")
            equal(len(tags(arn)), 50, "and no more")


def user(name, *statements):
    """CodePipeline as a user sees it who may do what the statements say."""
    iam = client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return client("codepipeline", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])


def allow(action, resource="*", **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def permissions():
    """Conditions on tags; the ARNs of stages, actions, webhooks and action types; what one operation needs of another."""
    api, tags, arns = every_resource()
    api.create_pipeline(pipeline=two_stages("q", "arn:aws:iam::123456789012:role/pipeline"))
    denied = re.compile(f"User: arn:aws:iam::{ACCOUNT}:user/.* is not authorized to perform: codepipeline:.* on resource: "
                        f"{re.escape(arn_of(''))}.* because no identity-based policy allows the codepipeline:.* action")

    def no(call, **arguments):
        refused("AccessDeniedException", denied, call, **arguments)

    # Tags of the resource; stages and actions have those of their pipeline.
    for number, key in enumerate(("aws:ResourceTag/team", "codepipeline:ResourceTag/team")):
        web = user(f"web{number}", allow("codepipeline:*", StringEquals={key: "web"}))
        equal(web.get_pipeline(name="p")["pipeline"]["name"], "p", "a pipeline of the team")
        web.disable_stage_transition(pipelineName="p", stageName="Work", transitionType="Inbound", reason="x")
        web.enable_stage_transition(pipelineName="p", stageName="Work", transitionType="Inbound")
        for arn in arns:
            web.tag_resource(resourceArn=arn, tags=tag(more="1"))
        no(web.get_pipeline, name="q")
        no(web.disable_stage_transition, pipelineName="q", stageName="Work", transitionType="Inbound", reason="x")
        no(web.tag_resource, resourceArn=arn_of("q"), tags=tag(team="web"))
        no(web.delete_webhook, name="never-was")

    # Tags of the request.
    condition = {"StringEquals": {"aws:RequestTag/stage": ["test", "live"]}, "ForAllValues:StringEquals": {"aws:TagKeys": ["stage", "x"]}}
    tagger = user("tagger", allow("codepipeline:TagResource", **condition),
                  allow("codepipeline:UntagResource", **{"ForAllValues:StringEquals": {"aws:TagKeys": ["x"]}}))
    tagger.tag_resource(resourceArn=arns[0], tags=tag(stage="test", x="1"))
    for wrong in (tag(stage="other"), tag(x="1"), tag(stage="test", y="1")):
        no(tagger.tag_resource, resourceArn=arns[0], tags=wrong)
    tagger.untag_resource(resourceArn=arns[0], tagKeys=["x"])
    no(tagger.untag_resource, resourceArn=arns[0], tagKeys=["x", "stage"])

    # Making something with tags is tagging it.
    maker = user("maker", allow(["codepipeline:PutWebhook", "codepipeline:CreateCustomActionType"]),
                 allow("codepipeline:TagResource", arn_of("webhook:tagged")))
    maker.put_webhook(webhook=hook("plain"))
    maker.put_webhook(webhook=hook("tagged"), tags=tag(a="1"))
    no(maker.put_webhook, webhook=hook("plain"), tags=tag(a="1"))
    no(custom_type, api=maker, tags=tag(a="1"))

    # ARNs: a webhook needs its pipeline too; one may be allowed one action, one stage, one spelling of an action type.
    hooker = user("hooker", allow("codepipeline:PutWebhook", [arn_of("webhook:mine"), arn_of("p")]))
    hooker.put_webhook(webhook=hook("mine"))
    no(hooker.put_webhook, webhook=hook("other"))
    no(hooker.put_webhook, webhook=hook("mine", target="q"))
    no(hooker.list_webhooks)
    equal(len(user("lister", allow("codepipeline:ListWebhooks", arn_of("webhook:*"))).list_webhooks()["webhooks"]), 4, "webhooks")
    one = user("one", allow(["codepipeline:PutActionRevision", "codepipeline:RetryStageExecution"], arn_of("p/Source/*")),
               allow("codepipeline:ListTagsForResource", arn_of("actiontype:Custom/Build/*")))
    told = {"revisionId": "r", "revisionChangeId": "c", "created": 1790862132}
    equal(one.put_action_revision(pipelineName="p", stageName="Source", actionName="Fetch", actionRevision=told)["newRevision"], True,
          "the one action")
    no(one.put_action_revision, pipelineName="q", stageName="Source", actionName="Fetch", actionRevision=told)
    one.list_tags_for_resource(resourceArn=arn_of("actionType:Custom/Build/Farm/1"))
    no(one.list_tags_for_resource, resourceArn=arns[0])
    # AWS's pages name the stage and the pipeline for transitions: either is enough, and a deny of either holds.
    transition = {"pipelineName": "p", "stageName": "Work", "transitionType": "Inbound"}
    actions = ["codepipeline:EnableStageTransition", "codepipeline:DisableStageTransition"]
    for name, resource in (("by-stage", "p/Work"), ("by-pipeline", "p")):
        user(name, allow(actions, arn_of(resource))).enable_stage_transition(**transition)
        deny = {**allow(actions, arn_of(resource)), "Effect": "Deny"}
        refused("AccessDeniedException", re.compile(".* with an explicit deny in an identity-based policy"),
                user(f"not-{name}", allow("*"), deny).enable_stage_transition, **transition)
    no(user("neither", allow(actions, arn_of("q/*"))).enable_stage_transition, **transition)


def webhooks():
    api = client("codepipeline")
    source = rehearsal("Fetch", "Source", Message="main")
    api.create_pipeline(pipeline=pipeline("p", role(), stage("Source", source), stage("Work", rehearsal("Make"))))
    wanted = hook(
        filters=[{"jsonPath": "$.ref", "matchEquals": "refs/heads/{Message}"}, {"jsonPath": "$.repository['full_name']"}],
        authentication="GITHUB_HMAC", authenticationConfiguration={"SecretToken": "s3cr3t-unique"},
    )
    made = api.put_webhook(webhook=wanted, tags=tag(team="web"))["webhook"]
    shown = {**wanted, "authenticationConfiguration": {"SecretToken": "****"}}
    equal(made["definition"], shown, "definition, its secret masked")
    equal((made["arn"], made["tags"]), (arn_of("webhook:hook"), tag(team="web")), "ARN and tags")
    holds(not {"lastTriggered", "errorCode", "errorMessage"} & set(made), "nothing has happened to it yet")
    url = urllib.parse.urlsplit(made["url"])
    endpoint = urllib.parse.urlsplit(api.meta.endpoint_url)
    equal((url.scheme, url.netloc, url.path), (endpoint.scheme, endpoint.netloc, "/webhooks/trigger"), "URL")
    query = urllib.parse.parse_qs(url.query)
    equal((sorted(query), query["v"]), (["t", "v"], ["1"]), "query of the URL")
    matches(query["t"][0], r"[A-Za-z0-9_-]{100,900}", "token")
    equal(api.list_webhooks()["webhooks"], [made], "listed as it was answered")

    # In place: the URL stays, and so do tags that are not given again.
    changed = api.put_webhook(webhook=hook(authentication="IP", authenticationConfiguration={"AllowedIPRange": "192.0.2.0/24"}))
    equal((changed["webhook"]["url"], changed["webhook"]["tags"]), (made["url"], tag(team="web")), "what stays")
    equal(changed["webhook"]["definition"]["authenticationConfiguration"], {"AllowedIPRange": "192.0.2.0/24"}, "what changes")
    again = api.put_webhook(webhook=hook(), tags=tag(owner="ada"))["webhook"]
    equal((again["tags"], again["definition"]["authenticationConfiguration"]), (tag(owner="ada"), {}), "tags replaced")
    equal(len(api.list_webhooks()["webhooks"]), 1, "still one")
    # The mask sent back keeps the secret; there must be one.
    api.put_webhook(webhook=wanted)
    equal(api.put_webhook(webhook=shown)["webhook"]["definition"], shown, "the mask is taken")
    refused("InvalidWebhookAuthenticationParametersException", re.compile(r'The SecretToken is "\*{4}".*'), api.put_webhook,
            webhook={**shown, "name": "new"})

    # Deleting: no error for what is not there; a webhook of the same name has another URL.
    equal(status_of(api.delete_webhook(name="hook")), 200, "deleted")
    equal(status_of(api.delete_webhook(name="hook")), 200, "deleted again")
    equal(api.list_webhooks()["webhooks"], [], "gone")
    holds(api.put_webhook(webhook=wanted)["webhook"]["url"] != made["url"], "a new URL")
    # The pipeline's end does not end it.
    api.delete_pipeline(name="p")
    equal([found["definition"]["name"] for found in api.list_webhooks()["webhooks"]], ["hook"], "it outlives its pipeline")
    refused("PipelineNotFoundException", not_found("p"), api.put_webhook, webhook=wanted)


def webhook_rules():
    api = client("codepipeline")
    api.create_pipeline(pipeline=two_stages("p", role()))

    def put(**more):
        return api.put_webhook(webhook=hook(**more))

    only = "'authenticationConfig' should contain only one property: '{}'"
    both = {"SecretToken": "s", "AllowedIPRange": "192.0.2.0/24"}
    for authentication, configuration, message in (
        ("GITHUB_HMAC", {}, only.format("SecretToken")),
        ("GITHUB_HMAC", both, only.format("SecretToken")),
        ("GITHUB_HMAC", {"AllowedIPRange": "192.0.2.0/24"}, only.format("SecretToken")),
        ("IP", {}, only.format("AllowedIPRange")),
        ("IP", both, only.format("AllowedIPRange")),
        ("IP", {"AllowedIPRange": "192.0.2.7"}, "The AllowedIPRange '192.0.2.7' is not a CIDR range such as 192.0.2.0/24."),
        ("IP", {"AllowedIPRange": "192.0.2.0/33"}, "The AllowedIPRange '192.0.2.0/33' is not a CIDR range such as 192.0.2.0/24."),
        ("UNAUTHENTICATED", {"SecretToken": "s"}, "'authenticationConfig' should be empty"),
    ):
        refused("InvalidWebhookAuthenticationParametersException", message, put, authentication=authentication,
                authenticationConfiguration=configuration)
    put(authentication="IP", authenticationConfiguration={"AllowedIPRange": "2001:db8::/32"})
    for path in ("ref", "$.", "$[", "$.a[?(@.b==]", "$..", "x$.a"):
        refused("InvalidWebhookFilterPatternException", re.compile(f"The JSONPath expression '{re.escape(path)}' is not valid: .*"),
                put, filters=[{"jsonPath": "$.ref"}, {"jsonPath": path}])
    for path in ("$", "$.ref", "$['ref']", "$.commits[0].id", "$..name", "$.commits[*].added", "$.commits[?(@.distinct == true)].id"):
        put(filters=[{"jsonPath": path, "matchEquals": "x"}])
    put(filters=[])
    refused(
        "InvalidWebhookFilterPatternException",
        "The filter's matchEquals 'refs/heads/{Branch}' refers to 'Branch', which the configuration of action 'Fetch' does not have.",
        put, filters=[{"jsonPath": "$.ref", "matchEquals": "refs/heads/{Branch}"}],
    )
    refused("PipelineNotFoundException", not_found("q"), put, target="q")
    for absent in ("Nobody", "Make"):
        refused("ValidationException", re.compile(f"The target action '{absent}' is not in the first stage of pipeline 'p'.*"), put,
                targetAction=absent)

    # Names, pages, the quota.
    for number in range(299):
        put(name=f"w{number:03}")
    message = re.compile(rf"The number of webhooks in the account '{ACCOUNT}' in region '{REGION}' has reached its limit of 300.*")
    refused("LimitExceededException", message, put, name="one-more")
    put(name="w007")
    listed = [found["definition"]["name"] for page in api.get_paginator("list_webhooks").paginate(PaginationConfig={"PageSize": 70})
              for found in page["webhooks"]]
    equal(listed, ["hook", *[f"w{number:03}" for number in range(299)]], "every one once, by name")
    equal(len(api.list_webhooks()["webhooks"]), 100, "a page without a size")
    first = api.list_webhooks(MaxResults=2)
    # Rows before and behind the page's end change while it is turned.
    for gone in ("hook", "w001"):
        api.delete_webhook(name=gone)
    put(name="a-new-first")
    put(name="w001-new")
    second = api.list_webhooks(MaxResults=2, NextToken=first["NextToken"])
    equal([found["definition"]["name"] for found in first["webhooks"] + second["webhooks"]], ["hook", "w000", "w001-new", "w002"],
          "the next page goes on behind the last row")
    for token in ("made-up", api.list_pipelines(maxResults=1).get("nextToken") or "x"):
        refused("InvalidNextTokenException", re.compile(".+"), api.list_webhooks, NextToken=token)


def webhooks_of_third_parties():
    api = client("codepipeline")
    api.create_pipeline(pipeline=two_stages("p", role()))
    api.put_webhook(webhook=hook())
    for call in (api.register_webhook_with_third_party, api.deregister_webhook_with_third_party):
        refused("WebhookNotFoundException", "The webhook 'nobody' does not exist.", call, webhookName="nobody")
        refused("ValidationException", re.compile("The webhook 'hook' cannot be registered with a third party: .*"), call,
                webhookName="hook")
        refused("ValidationException", "A webhook can only be registered by its name. Give it in webhookName.", call)


def put_action_revision():
    api = client("codepipeline")
    runs = Pipelines(api)
    source = rehearsal("Fetch", "Source", outcome="hang")
    api.create_pipeline(
        pipeline=pipeline("p", role(), stage("Source", source), stage("Work", rehearsal("Make")), executionMode="QUEUED")
    )
    runs.running("p", "Source", "Fetch")

    def put(revision="r-1", change="c-1", stage_name="Source", action_name="Fetch", name="p"):
        told = {"revisionId": revision, "revisionChangeId": change, "created": 1790862132}
        return api.put_action_revision(pipelineName=name, stageName=stage_name, actionName=action_name, actionRevision=told)

    new = put()
    equal(new["newRevision"], True, "a revision nobody has told of")
    execution = new["pipelineExecutionId"]
    got = api.get_pipeline_execution(pipelineName="p", pipelineExecutionId=execution)["pipelineExecution"]
    equal(got["trigger"], {"triggerType": "PutActionRevision", "triggerDetail": ROOT}, "trigger")
    revision = got["artifactRevisions"][0]
    equal((revision["name"], revision["revisionId"], revision["revisionChangeIdentifier"], revision["created"].timestamp()),
          ("src", "r-1", "c-1", 1790862132), "the execution shows the revision from its start")
    row = api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"][0]
    equal((row["pipelineExecutionId"], row["sourceRevisions"]), (execution, [{"actionName": "Fetch", "revisionId": "r-1"}]), "row")
    again = put(change="c-2")
    equal((again["newRevision"], again["pipelineExecutionId"]), (False, execution), "the same revision starts nothing")
    other = put("r-2")
    equal(other["newRevision"], True, "another revision")
    equal(len(api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"]), 3, "executions")
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: put("r-3"), range(20)))
    equal(sum(answer["newRevision"] for answer in answers), 1, "of many that tell at once one is first")
    equal(len({answer["pipelineExecutionId"] for answer in answers}), 1, "and all hear of one execution")

    # A revision that the source found by itself is not new either.
    api.create_pipeline(pipeline=two_stages("found", "arn:aws:iam::123456789012:role/pipeline"))
    first = runs.first("found")
    runs.ended("found", first, "Succeeded")
    used = api.get_pipeline_execution(pipelineName="found", pipelineExecutionId=first)["pipelineExecution"]["artifactRevisions"][0]
    known = put(used["revisionId"], name="found")
    equal((known["newRevision"], known["pipelineExecutionId"]), (False, first), "used by an execution")
    fresh = put("told", name="found")["pipelineExecutionId"]
    runs.ended("found", fresh, "Succeeded")
    state = runs.action_state("found", "Source", "Fetch")
    holds(state["currentRevision"]["revisionId"], "the state shows a revision")

    refused("PipelineNotFoundException", not_found("q"), put, name="q")
    refused("StageNotFoundException", "Stage with name 'Nowhere' does not exist in pipeline with name 'p'", put,
            stage_name="Nowhere")
    refused("ActionNotFoundException", "Action with name 'Nobody' does not exist in stage 'Source' of pipeline with name 'p'", put,
            action_name="Nobody")
    refused("ValidationException", re.compile("Action 'Make' in stage 'Work' is not a source action.*"), put, stage_name="Work",
            action_name="Make")
    active = len(api.list_pipeline_executions(pipelineName="p")["pipelineExecutionSummaries"])
    for number in range(50 - active):
        put(f"more-{number}")
    refused("ConcurrentPipelineExecutionsLimitExceededException", re.compile(".*50 concurrent.*"), put, revision="too-much")
    equal(put()["newRevision"], False, "what is known needs no room")


def deploy_targets():
    api = client("codepipeline")
    runs = Pipelines(api)
    api.create_pipeline(pipeline=two_stages("p", role(), rehearsal("Ship", "Deploy")))
    api.create_pipeline(pipeline=two_stages("other", "arn:aws:iam::123456789012:role/pipeline"))
    execution = runs.first("p")
    runs.ended("p", execution, "Succeeded")
    ids = {row["actionName"]: row["actionExecutionId"] for row in runs.actions("p", execution)}

    def targets(**more):
        answer = api.list_deploy_action_execution_targets(**more)
        holds("nextToken" not in answer, "one page")
        return answer["targets"]

    shipped = ids["Ship"]
    for more in ({"pipelineName": "p"}, {}, {"maxResults": 1}, {"filters": [{"name": "TARGET_STATUS", "values": ["Failed"]}]}):
        equal(targets(actionExecutionId=shipped, **more), [], f"no provider here deploys to targets: {more}")
    absent = "A deploy action execution with the id '{}' does not exist"
    for id in (ABSENT_ID, "never", ids["Fetch"]):
        refused("ActionExecutionNotFoundException", absent.format(id), targets, actionExecutionId=id)
    message = f"{absent.format(shipped)} in pipeline with name 'other'"
    refused("ActionExecutionNotFoundException", message, targets, actionExecutionId=shipped, pipelineName="other")
    refused("PipelineNotFoundException", not_found("q"), targets, actionExecutionId=shipped, pipelineName="q")
    refused("InvalidNextTokenException", re.compile(".+"), targets, actionExecutionId=shipped, nextToken="made-up")
    refused(
        "ValidationException",
        "1 validation error detected: Value at 'filters.1.member.name' failed to satisfy constraint: Member must satisfy enum value "
        "set: [TARGET_STATUS]",
        targets, actionExecutionId=shipped, filters=[{"name": "STATUS", "values": ["x"]}],
    )


if __name__ == "__main__":
    main([
        tagging, tag_rules, tags_of_the_deleted, tags_at_once, permissions, webhooks, webhook_rules,
        webhooks_of_third_parties,
        put_action_revision, deploy_targets,
    ])
