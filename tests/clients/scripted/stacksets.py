"""StackSets, with what moto's never do: operations that take time, one at a time; instances that fail, inside the tolerance or
not; instances that are left outdated.

An operation goes one state further each time DescribeStackSetOperation looks at it. Failures are told before:

    cfn = CloudFormation()                                # StackSets are part of it
    cfn.fail_instance("210987654321", "eu-north-1", "topic already exists")
"""

import math
import uuid

from scripted import templates
from scripted.templates import invalid
from scripted_aws import AwsError, now

# Small pages, so that who wants all instances has to ask again.
PAGE = 2


class StackSets:
    """To be mixed into the script of CloudFormation."""

    def __init__(self):
        super().__init__()
        self.stack_sets, self.bad_instances = {}, {}
        # The accounts of organisational units, for service-managed sets.
        self.units = {}
        self.held_operations = False

    # For scenarios

    def fail_instance(self, account, region, reason, times=1):
        self.bad_instances[account, region] = [reason, times]

    def occupy(self, name):
        """Somebody else's operation runs on the set, until it has been looked at often enough; gives its id."""
        found = self.stack_sets[name]
        identity = str(uuid.uuid4())
        found["operations"][identity] = {"id": identity, "action": "UPDATE", "steps": ["RUNNING", "SUCCEEDED"], "pairs": [], "made": now(),
                                         "results": {}, "preferences": {}, "status": "RUNNING", "done": True}
        return identity

    def instances(self, name):
        """Status by account and Region."""
        return {pair: one["status"] for pair, one in self.stack_sets[name]["instances"].items()}

    # The service

    def _set_of(self, given):
        name = given["StackSetName"].split(":")[0]
        if name not in self.stack_sets:
            raise AwsError("StackSetNotFoundException", f"StackSet {name} not found")
        return self.stack_sets[name]

    def create_stack_set(self, call):
        given = call.input
        if given["StackSetName"] in self.stack_sets:
            known = self.stack_sets[given["StackSetName"]]
            if given.get("ClientRequestToken") and known["given"] == given:
                return {"StackSetId": known["id"]}
            raise AwsError("NameAlreadyExistsException", f"StackSet {given['StackSetName']} already exists")
        text = templates.text_of(given, None, self._fetched)
        template = templates.parsed(text)
        values = templates.parameters_of(template, given.get("Parameters", []), {})
        templates.check_capabilities(templates.capabilities_of(template, ()), given.get("Capabilities", []))
        model = given.get("PermissionModel", "SELF_MANAGED")
        if model == "SERVICE_MANAGED" and ("AdministrationRoleARN" in given or "ExecutionRoleName" in given):
            raise invalid("AdministrationRoleArn and ExecutionRoleName are not allowed with SERVICE_MANAGED")
        if model == "SELF_MANAGED" and "AutoDeployment" in given:
            raise invalid("AutoDeployment can be used with the permission model SERVICE_MANAGED alone")
        if model == "SERVICE_MANAGED" and "AutoDeployment" not in given:
            raise invalid("AutoDeployment is required with the permission model SERVICE_MANAGED")
        made = {"name": given["StackSetName"], "id": f"{given['StackSetName']}:{uuid.uuid4()}", "given": given, "text": text,
                "template": template, "parameters": values, "model": model, "instances": {}, "operations": {},
                "managed": given.get("ManagedExecution", {}).get("Active", False), "region": call.region, "account": call.account}
        self.stack_sets[made["name"]] = made
        return {"StackSetId": made["id"]}

    def _arn(self, found):
        return f"arn:aws:cloudformation:{found['region']}:{found['account']}:stackset/{found['id']}"

    def describe_stack_set(self, call):
        found = self._set_of(call.input)
        given = found["given"]
        told = {"StackSetName": found["name"], "StackSetId": found["id"], "Status": "ACTIVE", "TemplateBody": found["text"],
                "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in found["parameters"].items()],
                "PermissionModel": found["model"], "StackSetARN": self._arn(found), "ManagedExecution": {"Active": found["managed"]},
                "Capabilities": given.get("Capabilities", []), "Tags": given.get("Tags", [])}
        for name in ("Description", "AdministrationRoleARN", "ExecutionRoleName", "AutoDeployment"):
            if name in given:
                told[name] = given[name]
        return {"StackSet": told}

    def _pairs(self, found, given):
        """The accounts and Regions that a request means; None: it means all instances."""
        if "Accounts" in given and "DeploymentTargets" in given:
            raise invalid("You can't specify both Accounts and DeploymentTargets")
        if found["model"] == "SERVICE_MANAGED":
            if "Accounts" in given:
                raise invalid("Accounts cannot be specified for StackSets with SERVICE_MANAGED permissions")
            targets = given.get("DeploymentTargets")
            if targets is None:
                return None
            units = targets.get("OrganizationalUnitIds", [])
            if not units:
                raise invalid("OrganizationalUnitIds are required for StackSets with SERVICE_MANAGED permissions")
            for unit in units:
                if unit not in self.units:
                    raise invalid(f"Organizational unit {unit} does not exist")
            accounts = [(account, unit) for unit in units for account in self.units[unit]]
            kind, wanted = targets.get("AccountFilterType", "NONE"), set(targets.get("Accounts", []))
            if kind == "INTERSECTION":
                accounts = [(account, unit) for account, unit in accounts if account in wanted]
            elif kind == "DIFFERENCE":
                accounts = [(account, unit) for account, unit in accounts if account not in wanted]
            elif kind == "UNION":
                accounts += [(account, None) for account in wanted - {account for account, _ in accounts}]
        elif "DeploymentTargets" in given:
            accounts = [(account, None) for account in given["DeploymentTargets"].get("Accounts", [])]
        elif "Accounts" in given:
            accounts = [(account, None) for account in given["Accounts"]]
        else:
            return None
        if not given.get("Regions"):
            raise invalid("Regions are required when accounts or organizational units are given")
        return [(account, region, unit) for region in given["Regions"] for account, unit in accounts]

    def _operate(self, call, found, action, pairs):
        given = call.input
        preferences = given.get("OperationPreferences", {})
        for one, other in (("FailureToleranceCount", "FailureTolerancePercentage"), ("MaxConcurrentCount", "MaxConcurrentPercentage")):
            if one in preferences and other in preferences:
                raise invalid(f"You can't specify both {one} and {other}")
        identity = given.get("OperationId", str(uuid.uuid4()))
        if identity in found["operations"]:
            raise AwsError("OperationIdAlreadyExistsException", f"The operation id {identity} has been used already")
        running = next((one["id"] for one in found["operations"].values() if one["steps"][0] in ("QUEUED", "RUNNING", "STOPPING")), None)
        if running and not found["managed"]:
            raise AwsError("OperationInProgressException", f"Another Operation on StackSet {self._arn(found)} is in progress: {running}")
        results = {(account, region): {"Status": "PENDING", "unit": unit} for account, region, unit in pairs}
        found["operations"][identity] = {"id": identity, "action": action, "steps": ["RUNNING", "RUNNING", "END"], "pairs": pairs,
                                         "preferences": preferences, "made": now(), "results": results, "status": "RUNNING", "done": False,
                                         "overrides": given.get("ParameterOverrides", [])}
        return {"OperationId": identity}

    def create_stack_instances(self, call):
        found = self._set_of(call.input)
        pairs = self._pairs(found, call.input)
        if pairs is None:
            raise invalid("Accounts or DeploymentTargets are required")
        targets = call.input.get("DeploymentTargets", {})
        if {"Accounts", "OrganizationalUnitIds"} <= targets.keys() and targets.get("AccountFilterType", "UNION") == "UNION":
            raise invalid("AccountFilterType must be INTERSECTION, DIFFERENCE or NONE where accounts and units are given")
        return self._operate(call, found, "CREATE", pairs)

    def update_stack_instances(self, call):
        found = self._set_of(call.input)
        pairs = self._pairs(found, call.input) or []
        self._all_there(found, pairs)
        return self._operate(call, found, "UPDATE", pairs)

    def _all_there(self, found, pairs):
        missing = [(account, region) for account, region, _ in pairs if (account, region) not in found["instances"]]
        if missing:
            raise AwsError("StackInstanceNotFoundException", f"Stack instances {missing} do not exist in the StackSet {found['name']}")

    def update_stack_set(self, call):
        given, found = call.input, self._set_of(call.input)
        if "AutoDeployment" in given and ("DeploymentTargets" in given or "Regions" in given):
            raise invalid("DeploymentTargets and Regions cannot be specified together with AutoDeployment")
        pairs = self._pairs(found, given)
        self._all_there(found, pairs or [])
        text = templates.text_of(given, found["text"], self._fetched)
        template = templates.parsed(text)
        values = templates.parameters_of(template, given.get("Parameters", []), found["parameters"])
        templates.check_capabilities(templates.capabilities_of(template, ()), given.get("Capabilities", []))
        wanted = [(account, region, one["unit"]) for (account, region), one in found["instances"].items()] if pairs is None else pairs
        told = self._operate(call, found, "UPDATE", wanted)
        if (template, values) != (found["template"], found["parameters"]):
            # All of them are outdated before any is updated; the set keeps its change whatever comes of it.
            for one in found["instances"].values():
                one["status"] = "OUTDATED"
        found.update(text=text, template=template, parameters=values, given={**found["given"], **given})
        return told

    def _work(self, found, operation):
        """What comes of the operation: instance by instance, Region by Region, until there are too many failures."""
        preferences, failed_region = operation["preferences"], False
        regions = list(dict.fromkeys(region for _, region, _ in operation["pairs"]))
        for region in regions:
            mine = [(account, unit) for account, where, unit in operation["pairs"] if where == region]
            if "FailureToleranceCount" in preferences:
                tolerated = preferences["FailureToleranceCount"]
            else:
                tolerated = math.floor(len(mine) * preferences.get("FailureTolerancePercentage", 0) / 100)
            failures = 0
            for account, unit in mine:
                pair = (account, region)
                if failed_region or failures > tolerated:
                    operation["results"][pair] = {"Status": "CANCELLED", "unit": unit, "StatusReason":
                                                  "Cancelled since failure tolerance has exceeded"}
                    continue
                reason, times = self.bad_instances.get(pair, (None, 0))
                if times:
                    self.bad_instances[pair][1] -= 1
                    failures += 1
                    operation["results"][pair] = {"Status": "FAILED", "StatusReason": reason, "unit": unit}
                    instance = found["instances"].setdefault(pair, {"unit": unit, "overrides": []})
                    instance.update(status="OUTDATED", reason=reason, detail="FAILED")
                else:
                    operation["results"][pair] = {"Status": "SUCCEEDED", "unit": unit}
                    instance = found["instances"].setdefault(pair, {"unit": unit, "overrides": []})
                    instance.update(status="CURRENT", reason=None, detail="SUCCEEDED")
                    if operation.get("overrides"):
                        instance["overrides"] = operation["overrides"]
            failed_region = failed_region or failures > tolerated
        return "FAILED" if failed_region else "SUCCEEDED"

    def describe_stack_set_operation(self, call):
        found = self._set_of(call.input)
        operation = found["operations"].get(call.input["OperationId"])
        if operation is None:
            raise AwsError("OperationNotFoundException", f"Operation {call.input['OperationId']} not found")
        if len(operation["steps"]) > 1 and not self.held_operations:
            operation["steps"].pop(0)
        if operation["steps"][0] == "END":
            operation["steps"] = [self._work(found, operation)]
        status = operation["status"] = operation["steps"][0]
        told = {"OperationId": operation["id"], "StackSetId": found["id"], "Action": operation["action"], "Status": status,
                "CreationTimestamp": operation["made"], "OperationPreferences": operation["preferences"]}
        if status in ("SUCCEEDED", "FAILED", "STOPPED"):
            failures = sum(1 for one in operation["results"].values() if one["Status"] == "FAILED")
            told.update(EndTimestamp=now(), StatusDetails={"FailedStackInstancesCount": failures})
        return {"StackSetOperation": told}

    def list_stack_set_operations(self, call):
        found = self._set_of(call.input)
        return {"Summaries": [{"OperationId": one["id"], "Action": one["action"], "Status": one["status"], "CreationTimestamp": one["made"]}
                              for one in reversed(found["operations"].values())]}

    def list_stack_set_operation_results(self, call):
        found = self._set_of(call.input)
        operation = found["operations"].get(call.input["OperationId"])
        if operation is None:
            raise AwsError("OperationNotFoundException", f"Operation {call.input['OperationId']} not found")
        wanted = {one["Values"] for one in call.input.get("Filters", []) if one["Name"] == "OPERATION_RESULT_STATUS"}
        told = []
        for (account, region), one in operation["results"].items():
            if not wanted or one["Status"] in wanted:
                more = {"StatusReason": one["StatusReason"]} if "StatusReason" in one else {}
                more.update({"OrganizationalUnitId": one["unit"]} if one["unit"] else {})
                told.append({"Account": account, "Region": region, "Status": one["Status"], **more})
        return {"Summaries": told}

    def list_stack_instances(self, call):
        found = self._set_of(call.input)
        told = []
        for (account, region), one in found["instances"].items():
            if call.input.get("StackInstanceAccount") in (None, account) and call.input.get("StackInstanceRegion") in (None, region):
                more = {"StatusReason": one["reason"]} if one["reason"] else {}
                more.update({"OrganizationalUnitId": one["unit"]} if one["unit"] else {})
                told.append({"StackSetId": found["id"], "Account": account, "Region": region, "Status": one["status"],
                             "StackInstanceStatus": {"DetailedStatus": one["detail"]}, **more})
        begin = int(call.input.get("NextToken", "0"))
        more = {"NextToken": str(begin + PAGE)} if len(told) > begin + PAGE else {}
        return {"Summaries": told[begin:begin + PAGE], **more}

    def stop_stack_set_operation(self, call):
        found = self._set_of(call.input)
        operation = found["operations"].get(call.input["OperationId"])
        if operation is None:
            raise AwsError("OperationNotFoundException", f"Operation {call.input['OperationId']} not found")
        if operation["status"] not in ("QUEUED", "RUNNING"):
            raise AwsError("InvalidOperationException", f"Operation {operation['id']} is {operation['status']} and cannot be stopped")
        operation["steps"], operation["status"] = ["STOPPING", "STOPPING", "STOPPED"], "STOPPING"
        return {}
