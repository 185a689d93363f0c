"""OpsWorks Stacks: stacks with apps, layers and instances, and deployments that go through the instances.

AWS retired the service, and boto3 has its model no more: models/opsworks here is what the last botocore with it (1.34) says of
the operations below. A deployment goes one step further each time DescribeDeployments asks for it by its id; a step is its status
and how many instances are done. What comes of the next one of an app is told before:

    ops = OpsWorks()
    stack, app = ops.app()
    ops.next(app, fails("web2"))
"""

import uuid

from scripted_aws import AwsError, Script, now


# What comes of a deployment: steps, each a status, how many instances are done, and the names of those that failed.


def succeeds():
    return [("running", 1, ()), ("successful", 2, ())]


def fails(*hosts):
    return [("running", 1, ()), ("failed", 2, hosts)]


def stuck():
    return [("running", 0, ())]


class OpsWorks(Script):
    service = "opsworks"

    def __init__(self):
        self.apps, self.instances, self.deployments, self.expected = {}, {}, {}, {}

    # For scenarios

    def app(self, *hosts, layer="rails"):
        """A stack with one app, one layer and its instances; the ids of stack and app."""
        stack, app = str(uuid.uuid4()), str(uuid.uuid4())
        self.apps[app] = {"stack": stack, "source": {}, "layer": layer}
        for host in hosts or ("web1", "web2"):
            self.instances[str(uuid.uuid4())] = {"stack": stack, "host": host, "layer": layer}
        return stack, app

    def next(self, app, steps):
        self.expected.setdefault(app, []).append(list(steps))

    # The service

    def _app(self, identity):
        if identity not in self.apps:
            raise AwsError("ResourceNotFoundException", f"Unable to find app with ID {identity}")
        return self.apps[identity]

    def describe_apps(self, call):
        wanted = call.input.get("AppIds") or [app for app, one in self.apps.items() if one["stack"] == call.input.get("StackId")]
        return {"Apps": [{"AppId": app, "StackId": self._app(app)["stack"], "Type": "other", "Name": "ferry",
                          "AppSource": self._app(app)["source"]} for app in wanted]}

    def update_app(self, call):
        self._app(call.input["AppId"])["source"] = call.input.get("AppSource", {})
        return {}

    def create_deployment(self, call):
        given = call.input
        if given["Command"]["Name"] != "deploy" or "AppId" not in given:
            raise AwsError("ValidationException", "Please provide an app ID for this command")
        app = self._app(given["AppId"])
        if app["stack"] != given["StackId"]:
            raise AwsError("ResourceNotFoundException", f"Unable to find stack with ID {given['StackId']}")
        layers = given.get("LayerIds")
        told = [one for one, about in self.instances.items()
                if about["stack"] == app["stack"] and (layers is None or about["layer"] in layers)]
        if not told:
            raise AwsError("ValidationException", "Cannot run a command: there are no online instances")
        waiting = self.expected.get(given["AppId"], [])
        identity = str(uuid.uuid4())
        self.deployments[identity] = {"given": given, "steps": waiting.pop(0) if waiting else succeeds(), "made": now(),
                                      "commands": {one: str(uuid.uuid4()) for one in told}, "ended": {}}
        return {"DeploymentId": identity}

    def describe_deployments(self, call):
        given = call.input
        by_id = given.get("DeploymentIds")
        for identity in by_id or ():
            if identity not in self.deployments:
                raise AwsError("ResourceNotFoundException", f"Unable to find deployment with ID {identity}")
            steps = self.deployments[identity]["steps"]
            if len(steps) > 1:
                steps.pop(0)
        return {"Deployments": [self._told(identity, one) for identity, one in self.deployments.items()
                                if (identity in by_id if by_id else one["given"].get("AppId") == given.get("AppId"))]}

    def _told(self, identity, one):
        given = one["given"]
        return {"DeploymentId": identity, "StackId": given["StackId"], "AppId": given["AppId"], "Command": given["Command"],
                "Comment": given.get("Comment", ""), "Status": one["steps"][0][0], "InstanceIds": list(one["commands"]),
                "CreatedAt": _text(one["made"])}

    def describe_commands(self, call):
        if call.input.get("DeploymentId") not in self.deployments:
            raise AwsError("ResourceNotFoundException", f"Unable to find deployment with ID {call.input.get('DeploymentId')}")
        one, told = self.deployments[call.input["DeploymentId"]], []
        _, done, failed = one["steps"][0]
        for place, (instance, command) in enumerate(one["commands"].items()):
            about = {"CommandId": command, "InstanceId": instance, "DeploymentId": call.input["DeploymentId"], "Type": "deploy",
                     "CreatedAt": _text(one["made"]), "Status": "pending"}
            if place < done:
                bad = self.instances[instance]["host"] in failed
                about.update(Status="failed" if bad else "successful", ExitCode=1 if bad else 0,
                             CompletedAt=_text(one["ended"].setdefault(instance, now())),
                             LogUrl=f"https://opsworks-us-east-1-log.s3.amazonaws.com/logs/{command}")
            told.append(about)
        return {"Commands": told}

    def describe_instances(self, call):
        wanted = call.input.get("InstanceIds") or list(self.instances)
        return {"Instances": [{"InstanceId": one, "Hostname": self.instances[one]["host"], "StackId": self.instances[one]["stack"],
                               "Status": "online"} for one in wanted if one in self.instances]}


def _text(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00")
