"""CodeDeploy's state machine: deployments to instances and to ECS, with the errors and the targets of failed ones.

A deployment goes one state further each time it is looked at. What comes of the next one of a group is told before:

    deploy = CodeDeploy()
    deploy.group("ferry", "blue")                                       # Created, InProgress, Succeeded
    deploy.next("ferry", "blue", failed("HEALTH_CONSTRAINTS", "...", targets=[...]), rolls_back=True)
"""

import hashlib
import random
import string

from scripted_aws import AwsError, Course, Script, now

ENDED = ("Succeeded", "Failed", "Stopped")
NOT_BEGUN = ("Created", "Queued")
SUCCEEDS = ("Created", "InProgress", "Succeeded")


class failed:
    """How a deployment ends badly: its error, and the targets as BatchGetDeploymentTargets tells of them."""

    def __init__(self, code, message, targets=(), states=("Created", "InProgress", "Failed")):
        self.code, self.message, self.targets, self.states = code, message, list(targets), states


def instance(name, event=None, code="Success", script="", message="", log="", status=None):
    """An instance of a deployment; with an event, that one failed there."""
    events = [_event("BeforeInstall", "Succeeded", errorCode="Success", scriptName="", message="Succeeded", logTail="")]
    if event:
        events.append(_event(event, "Failed", errorCode=code, scriptName=script, message=message, logTail=log))
    return {"deploymentTargetType": "InstanceTarget",
            "instanceTarget": {"targetId": name, "status": status or ("Failed" if event else "Succeeded"), "lifecycleEvents": events,
                               "lastUpdatedAt": now()}}


def task_set(name, event=None, code="Success", message="", status=None):
    """The one target of a deployment to ECS."""
    events = [_event("BeforeInstall", "Succeeded"), _event("Install", "Succeeded")]
    if event:
        events.append(_event(event, "Failed", errorCode=code, scriptName="", message=message, logTail=""))
    return {"deploymentTargetType": "ECSTarget",
            "ecsTarget": {"targetId": name, "status": status or ("Failed" if event else "Succeeded"), "lifecycleEvents": events,
                          "lastUpdatedAt": now()}}


def _event(name, status, **diagnostics):
    told = {"lifecycleEventName": name, "status": status, "startTime": now(), "endTime": now()}
    return {**told, "diagnostics": diagnostics} if diagnostics else told


class CodeDeploy(Script):
    service = "codedeploy"

    def __init__(self):
        self.groups = {}
        self.revisions = []
        self.deployments = {}
        self.expected = {}

    # For scenarios

    def group(self, application, name, platform="Server", **more):
        """An application's group; `more` are members of DeploymentGroupInfo."""
        self.groups[application, name] = {"computePlatform": platform, **more}

    def next(self, application, name, ending=SUCCEEDS, rolls_back=False, targets=()):
        """What comes of the group's next deployments, in order: states, or `failed`."""
        self.expected.setdefault((application, name), []).append((ending, rolls_back, list(targets)))

    def of_group(self, application, name):
        return [one for one in self.deployments.values() if (one["app"], one["group"]) == (application, name)]

    # The service

    def _group(self, given, name="deploymentGroupName"):
        application = given["applicationName"]
        if application not in {app for app, _ in self.groups}:
            raise AwsError("ApplicationDoesNotExistException", f"No application found for name: {application}")
        if name is None:
            return None
        if given.get(name) is None:
            raise AwsError("DeploymentGroupNameRequiredException", "Deployment group name is missing")
        group = self.groups.get((application, given[name]))
        if group is None:
            raise AwsError("DeploymentGroupDoesNotExistException", f"No Deployment Group found for name: {given[name]}")
        return group

    def get_application(self, call):
        self._group(call.input, None)
        name = call.input["applicationName"]
        platform = next(group["computePlatform"] for (app, _), group in self.groups.items() if app == name)
        return {"application": {"applicationId": "aaaaaaaa-1111-4aaa-8aaa-000000000000", "applicationName": name,
                                "computePlatform": platform, "linkedToGitHub": False, "createTime": now()}}

    def get_deployment_group(self, call):
        group = self._group(call.input)
        return {"deploymentGroupInfo": {
            "applicationName": call.input["applicationName"], "deploymentGroupName": call.input["deploymentGroupName"],
            "deploymentGroupId": "bbbbbbbb-1111-4bbb-8bbb-000000000000", "deploymentConfigName": "CodeDeployDefault.OneAtATime",
            "serviceRoleArn": f"arn:aws:iam::{call.account}:role/codedeploy", **group}}

    def register_application_revision(self, call):
        group = self._group(call.input, None) or {}
        _check_revision(call.input["revision"], group.get("computePlatform"))
        self.revisions.append(call.input["revision"])
        return {}

    def create_deployment(self, call):
        group = self._group(call.input)
        application, name = call.input["applicationName"], call.input["deploymentGroupName"]
        if "revision" not in call.input:
            raise AwsError("RevisionRequiredException", "Revision is missing")
        _check_revision(call.input["revision"], group["computePlatform"])
        for other in self.of_group(application, name):
            if other["course"].now not in ENDED:
                raise AwsError("DeploymentLimitExceededException",
                               f"The Deployment Group '{name}' already has an active Deployment '{other['id']}'")
        waiting = self.expected.get((application, name), [])
        ending, rolls_back, targets = waiting.pop(0) if waiting else (SUCCEEDS, False, [])
        made = self._made(call, application, name, ending.states if isinstance(ending, failed) else ending)
        made.update(revision=call.input["revision"], description=call.input.get("description"), rolls_back=rolls_back,
                    failure=ending if isinstance(ending, failed) else None, platform=group["computePlatform"],
                    targets=ending.targets if isinstance(ending, failed) else targets, call=call)
        return {"deploymentId": made["id"]}

    def _made(self, call, application, name, states):
        identity = "d-" + "".join(random.choices(string.ascii_uppercase + string.digits, k=9))
        made = {"id": identity, "app": application, "group": name, "course": Course(*states), "created": now(), "creator": "user",
                "rollback": None, "stopped": False, "failure": None, "rolls_back": False, "targets": [], "status": states[0],
                "platform": self.groups[application, name]["computePlatform"], "revision": None, "description": None}
        self.deployments[identity] = made
        return made

    def _found(self, identity):
        if identity not in self.deployments:
            raise AwsError("DeploymentDoesNotExistException", f"The deployment {identity} could not be found")
        return self.deployments[identity]

    def get_deployment(self, call):
        made = self._found(call.input["deploymentId"])
        status = made["status"] = made["course"].look()
        info = {"applicationName": made["app"], "deploymentGroupName": made["group"], "deploymentId": made["id"], "status": status,
                "deploymentConfigName": "CodeDeployDefault.OneAtATime", "createTime": made["created"], "creator": made["creator"],
                "computePlatform": made["platform"], "ignoreApplicationStopFailures": False}
        for name in ("revision", "description"):
            if made[name]:
                info[name] = made[name]
        if status not in NOT_BEGUN:
            info["startTime"] = made["created"]
            info["deploymentOverview"] = _overview(made)
        if status in ENDED:
            info["completeTime"] = now()
        if status == "Failed" and made["failure"]:
            info["errorInformation"] = {"code": made["failure"].code, "message": made["failure"].message}
        if status == "Stopped":
            info["errorInformation"] = {"code": "MANUAL_STOP", "message": "The deployment was stopped by a user."}
        if status in ("Failed", "Stopped") and made["rolls_back"]:
            if made["rollback"] is None:
                back = self._made(call, made["app"], made["group"], SUCCEEDS)
                back["creator"], back["revision"], made["rollback"] = "codeDeployRollback", made["revision"], back["id"]
            info["rollbackInfo"] = {"rollbackDeploymentId": made["rollback"], "rollbackMessage":
                                    f"Deployment {made['id']} was rolled back by the deployment {made['rollback']}."}
        return {"deploymentInfo": info}

    def list_deployments(self, call):
        given = call.input
        if "applicationName" in given:
            self._group(given)
        span, wanted = given.get("createTimeRange", {}), given.get("includeOnlyStatuses")
        ids = [one["id"] for one in self.deployments.values()
               if ("applicationName" not in given or (one["app"], one["group"]) == (given["applicationName"], given["deploymentGroupName"]))
               and ("start" not in span or _naive(one["created"]) >= _naive(span["start"]))
               and ("end" not in span or _naive(one["created"]) <= _naive(span["end"]))
               and (not wanted or one["course"].now in wanted)]
        return {"deployments": ids[::-1]}

    def batch_get_deployments(self, call):
        infos = []
        for identity in call.input["deploymentIds"]:
            if identity in self.deployments:
                one = self.deployments[identity]
                infos.append({"deploymentId": identity, "applicationName": one["app"], "deploymentGroupName": one["group"],
                              "status": one["course"].now, "createTime": one["created"],
                              **({"description": one["description"]} if one["description"] else {})})
        return {"deploymentsInfo": infos}

    def list_deployment_targets(self, call):
        made = self._started(call)
        wanted = call.input.get("targetFilters", {}).get("TargetStatus")
        return {"targetIds": [_of(target)["targetId"] for target in made["targets"] if not wanted or _of(target)["status"] in wanted]}

    def batch_get_deployment_targets(self, call):
        made, wanted = self._started(call), call.input["targetIds"]
        if len(wanted) > 25:
            raise AwsError("InvalidDeploymentTargetIdException", "The maximum number of target IDs is 25.")
        known = {_of(target)["targetId"]: target for target in made["targets"]}
        for name in wanted:
            if name not in known:
                raise AwsError("DeploymentTargetDoesNotExistException", f"The deployment target {name} does not exist.")
        found = []
        for name in wanted:
            target = known[name]
            member = "instanceTarget" if "instanceTarget" in target else "ecsTarget"
            found.append({**target, member: {"deploymentId": made["id"], **target[member]}})
        return {"deploymentTargets": found}

    def _started(self, call):
        made = self._found(call.input["deploymentId"])
        if made["status"] in NOT_BEGUN:
            raise AwsError("DeploymentNotStartedException", f"The specified deployment has not started: {made['id']}")
        return made

    def stop_deployment(self, call):
        made = self._found(call.input["deploymentId"])
        if made["course"].now in ENDED:
            raise AwsError("DeploymentAlreadyCompletedException", f"The deployment {made['id']} is already completed.")
        made["course"].go("Stopped")
        made["stopped"] = True
        return {"status": "Succeeded", "statusMessage": "No more commands will be scheduled for execution in the deployment instances"}


def _check_revision(revision, platform):
    kind = revision.get("revisionType")
    if kind == "S3":
        place = revision.get("s3Location") or {}
        if not place.get("bucket") or not place.get("key"):
            raise AwsError("InvalidRevisionException", "The S3 location needs a bucket and a key")
        if platform == "Server" and place.get("bundleType") not in ("tar", "tgz", "zip"):
            raise AwsError("InvalidRevisionException", f"The bundle type {place.get('bundleType')} is not valid for Server")
        if platform == "ECS" and place.get("bundleType") not in ("YAML", "JSON"):
            raise AwsError("InvalidRevisionException", f"The bundle type {place.get('bundleType')} is not valid for ECS")
        if place.get("eTag", "").startswith('"'):
            raise AwsError("InvalidRevisionException", "The eTag is quoted")
    elif kind == "AppSpecContent":
        if platform == "Server":
            raise AwsError("InvalidRevisionException", "For a Server deployment, revisionType must be S3 or GitHub")
        content = revision.get("appSpecContent") or {}
        text, told = content.get("content", ""), content.get("sha256")
        if not text:
            raise AwsError("InvalidRevisionException", "The AppSpec content is empty")
        if told is not None and told != hashlib.sha256(text.encode()).hexdigest():
            raise AwsError("InvalidRevisionException", "The AppSpec content does not match its sha256")
    else:
        raise AwsError("InvalidRevisionException", f"The revision type {kind} is not known here")


def _naive(time):
    return time.replace(tzinfo=None)


def _of(target):
    return target.get("instanceTarget") or target["ecsTarget"]


def _overview(made):
    counts = {"Pending": 0, "InProgress": 0, "Succeeded": 0, "Failed": 0, "Skipped": 0, "Ready": 0}
    for target in made["targets"]:
        status = _of(target)["status"] if made["status"] in ENDED else "InProgress"
        counts[status if status in counts else "Pending"] += 1
    return counts
