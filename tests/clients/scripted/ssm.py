"""Systems Manager as an EC2 deployer sees it: agents that answer or not, and shell commands that really run.

An instance is a directory of this machine: `/opt/codepipeline` and `/srv` of a command are folders in it. What a command prints
is cut to 2,500 characters, as ListCommandInvocations does it.
"""

import pathlib
import subprocess
import threading
import uuid

from scripted_aws import AwsError, Script, now

OUTPUT_MAX = 2500


class Ssm(Script):
    service = "ssm"

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.nodes = {}
        self.commands = {}
        self.cancelled = []
        # Commands stay in progress while it is set.
        self.held = False

    # For scenarios

    def node(self, identity, ping="Online", platform="Linux", tags=()):
        self.nodes[identity] = {"ping": ping, "platform": platform, "tags": dict(tags)}

    def place(self, identity):
        """The directory that an instance is."""
        return self.root / identity

    def batches(self):
        """Instances of each command, in the order in which they were sent."""
        return [sorted(one["InstanceId"] for one in command["invocations"]) for command in self.commands.values()]

    # The service

    def describe_instance_information(self, call):
        def wanted(identity):
            for filter in call.input.get("Filters", []):
                key, values = filter["Key"], filter["Values"]
                tags = self.nodes[identity]["tags"]
                if key == "InstanceIds":
                    found = identity in values
                elif key == "tag-key":
                    found = any(value in tags for value in values)
                elif key.startswith("tag:"):
                    found = tags.get(key[4:]) in values
                else:
                    raise AwsError("InvalidFilterKey", f"The filter key {key} is not known here")
                if not found:
                    return False
            return True

        listed = [{"InstanceId": identity, "PingStatus": node["ping"], "PlatformType": node["platform"]}
                  for identity, node in self.nodes.items() if wanted(identity)]
        return {"InstanceInformationList": listed}

    def send_command(self, call):
        given = call.input
        if given["DocumentName"] != "AWS-RunShellScript":
            raise AwsError("InvalidDocument", f"The document {given['DocumentName']} is not known here")
        if set(given.get("Parameters", {})) - {"commands", "workingDirectory", "executionTimeout"}:
            raise AwsError("InvalidParameters", f"The document has no such parameters: {sorted(given['Parameters'])}")
        for identity in given["InstanceIds"]:
            if self.nodes.get(identity, {}).get("ping") != "Online":
                raise AwsError("InvalidInstanceId", f"Instances [[{identity}]] not in a valid state for account {call.account}")
        command = str(uuid.uuid4())
        made = [{"CommandId": command, "InstanceId": identity, "Comment": given.get("Comment", ""), "RequestedDateTime": now(),
                 "DocumentName": given["DocumentName"], "Status": "InProgress", "StatusDetails": "InProgress", "CommandPlugins": []}
                for identity in given["InstanceIds"]]
        self.commands[command] = {"invocations": made, "input": given}
        if not self.held:
            for invocation in made:
                script = "\n".join(given["Parameters"]["commands"])
                threading.Thread(target=self._run, args=(invocation, script), daemon=True).start()
        return {"Command": {"CommandId": command, "DocumentName": given["DocumentName"], "Comment": given.get("Comment", ""),
                            "InstanceIds": given["InstanceIds"], "Status": "Pending", "StatusDetails": "Pending"}}

    def _run(self, invocation, script):
        place = self.place(invocation["InstanceId"])
        place.mkdir(parents=True, exist_ok=True)
        for path in ("/opt/codepipeline", "/srv"):
            script = script.replace(f"'{path}", f"'{place}{path}")
        file = place / f"{invocation['CommandId']}.sh"
        file.write_text(script)
        ran = subprocess.run(["sh", str(file)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        output = ran.stdout + (f"\n----------ERROR-------\n{ran.stderr}" if ran.stderr else "")
        status = "Success" if ran.returncode == 0 else "Failed"
        with self.aws.lock:
            if invocation["Status"] != "InProgress":
                return
            invocation.update(Status=status, StatusDetails=status, CommandPlugins=[
                {"Name": "aws:runShellScript", "Status": status, "StatusDetails": status, "ResponseCode": ran.returncode,
                 "Output": output[:OUTPUT_MAX]}])

    def list_command_invocations(self, call):
        given = call.input
        found = [one for command in self.commands.values() for one in command["invocations"]]
        if "CommandId" in given:
            if given["CommandId"] not in self.commands:
                raise AwsError("InvalidCommandId", "The command does not exist")
            found = [one for one in found if one["CommandId"] == given["CommandId"]]
        for filter in given.get("Filters", []):
            if filter["key"] == "InvokedAfter":
                found = [one for one in found if one["RequestedDateTime"].strftime("%Y-%m-%dT%H:%M:%SZ") >= filter["value"]]
            elif filter["key"] == "DocumentName":
                found = [one for one in found if one["DocumentName"] == filter["value"]]
        shown = [dict(one) for one in found]
        for one in shown:
            if not given.get("Details"):
                one.pop("CommandPlugins")
        return {"CommandInvocations": shown}

    def cancel_command(self, call):
        command = self.commands.get(call.input["CommandId"])
        if command is None:
            raise AwsError("InvalidCommandId", "The command does not exist")
        self.cancelled.append(call.input["CommandId"])
        for one in command["invocations"]:
            if one["Status"] == "InProgress":
                one.update(Status="Cancelled", StatusDetails="Cancelled")
        return {}
