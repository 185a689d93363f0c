"""CloudFormation's stacks and change sets with what moto's never do: operations that take time, resources that fail, rollbacks,
the events of both with the token of who asked, capabilities, nested stacks, empty change sets. StackSets are in stacksets.py.

A stack goes one step further each time DescribeStacks looks at it, a change set with DescribeChangeSet. Failures are told before:

    cfn = CloudFormation()
    cfn.fail("Bucket", "ferry-site already exists")       # or "Child.Bucket" in a nested stack
"""

import copy
import types
import uuid

from scripted import templates
from scripted.stacksets import StackSets
from scripted.templates import STACK, invalid
from scripted_aws import AwsError, Script, now

UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
NO_UPDATES = "No updates are to be performed."


class Stack:
    def __init__(self, service, call, name, parent=None):
        self.service, self.name, self.parent = service, name, parent
        self.region, self.account = call.region, call.account
        self.id = f"arn:aws:cloudformation:{call.region}:{call.account}:stack/{name}/{uuid.uuid4()}"
        self.status, self.reason, self.token = "REVIEW_IN_PROGRESS", None, None
        self.text, self.template, self.parameters, self.tags, self.role = "", {"Resources": {}}, {}, [], None
        self.capabilities, self.policy, self.protected, self.keeps_failed = [], None, False, False
        self.resources, self.events, self.steps = {}, [], []
        self.created, self.changed, self.deleted = now(), None, None
        self.operation = None

    def event(self, logical, kind, physical, status, reason=None):
        told = {"StackId": self.id, "EventId": f"{logical}-{status}-{uuid.uuid4()}", "StackName": self.name,
                "LogicalResourceId": logical, "PhysicalResourceId": physical, "ResourceType": kind, "Timestamp": now(),
                "ResourceStatus": status}
        if reason:
            told["ResourceStatusReason"] = reason
        if self.token:
            told["ClientRequestToken"] = self.token
        if self.operation:
            told["OperationId"] = self.operation
        self.events.insert(0, told)

    def go(self, status, reason=None):
        """Into a status of the stack's own, with its event."""
        self.status, self.reason = status, reason
        # The model's events have no clean-up states, and none of a stack that has only change sets.
        if not any(word in status for word in ("CLEANUP", "REVIEW")):
            self.event(self.name, STACK, self.id, status, reason)

    def begin(self, call, status):
        self.token = call.input.get("ClientRequestToken")
        self.operation = str(uuid.uuid4())
        self.go(status, "User Initiated")
        return {"StackId": self.id, "OperationId": self.operation}

    def look(self):
        if self.steps and not self.service.held:
            self.steps.pop(0)()

    def outputs(self):
        declared = self.template.get("Outputs") or {}
        return {name: templates.value_of(about["Value"], self) for name, about in declared.items()}

    def make(self, name, doing="CREATE"):
        """One resource; gives the reason of its failure, or None."""
        kind = self.template["Resources"][name]["Type"]
        physical = self.resources.get(name, {}).get("physical") or f"{self.name}-{name.lower()}-{uuid.uuid4().hex[:12]}"
        child = None
        if kind == STACK and doing == "CREATE":
            child = self.service.nested(self, name)
            physical = child.id
        self.event(name, kind, physical if kind == STACK else "", f"{doing}_IN_PROGRESS")
        reason = self.service.failure(self, name)
        if child is not None:
            inner = child.create_at_once()
            if inner:
                reason = (f"Embedded stack {child.id} was not successfully created: The following resource(s) failed to create: "
                          f"[{', '.join(inner)}]. ")
        if reason:
            self.event(name, kind, physical if kind == STACK else "", f"{doing}_FAILED", reason)
        else:
            self.event(name, kind, physical, f"{doing}_COMPLETE")
        self.resources[name] = {"physical": physical, "child": child, "kind": kind, "failed": bool(reason)}
        return reason

    def create_at_once(self):
        """As a nested stack; gives the names of what failed."""
        self.go("CREATE_IN_PROGRESS", "User Initiated")
        failed = self.make_all(list(self.template["Resources"]))
        if failed:
            self.go("ROLLBACK_IN_PROGRESS", f"The following resource(s) failed to create: [{', '.join(failed)}]. Rollback requested "
                                            "by user.")
            self.undo(self.resources)
            self.go("ROLLBACK_COMPLETE")
        else:
            self.go("CREATE_COMPLETE")
        return failed

    def make_all(self, names, doing="CREATE"):
        """All that goes before the first failure; what comes after it is cancelled, as with AWS."""
        for at, name in enumerate(names):
            if self.make(name, doing):
                return self.cancelled(names[at:], doing)
        return []

    def cancelled(self, names, doing):
        """What comes of the first one's failure to the others; gives the names of all."""
        for other in names[1:]:
            kind = self.template["Resources"][other]["Type"]
            self.event(other, kind, "", f"{doing}_IN_PROGRESS")
            self.event(other, kind, "", f"{doing}_FAILED", f"Resource {'creation' if doing == 'CREATE' else 'update'} cancelled")
        return names

    def one_by_one(self, names, end):
        """A step for each resource, up to the first failure."""
        def step():
            failed = self.make(names[0])
            if failed:
                end(self.cancelled(names, "CREATE"))
            elif names[1:]:
                self.steps.append(self.one_by_one(names[1:], end))
            else:
                end([])
        return step

    def undo(self, names):
        for name in reversed(list(names)):
            resource = self.resources.pop(name, None)
            if resource:
                self.event(name, resource["kind"], resource["physical"], "DELETE_IN_PROGRESS")
                if resource["child"] is not None:
                    resource["child"].go("DELETE_COMPLETE")
                self.event(name, resource["kind"], resource["physical"], "DELETE_COMPLETE")

    # The operations, as steps that looks take one by one

    def create(self, on_failure):
        def work():
            end(self.make_all(list(self.template["Resources"])))

        def end(failed):
            told = f"The following resource(s) failed to create: [{', '.join(failed)}]. "
            if not failed:
                self.go("CREATE_COMPLETE")
            elif on_failure == "DO_NOTHING":
                self.keeps_failed = True
                self.go("CREATE_FAILED", told)
            elif on_failure == "DELETE":
                self.go("DELETE_IN_PROGRESS", told + "Delete requested by user.")
                self.steps.append(lambda: (self.undo(self.resources), self.gone()))
            else:
                self.go("ROLLBACK_IN_PROGRESS", told + "Rollback requested by user.")
                self.steps.append(roll_back)

        def roll_back():
            stuck = self.service.stuck_rollback(self)
            if stuck:
                self.go("ROLLBACK_FAILED", stuck)
            else:
                self.undo(self.resources)
                self.go("ROLLBACK_COMPLETE")

        slowly = self.service.slow
        self.steps = [lambda: None, self.one_by_one(list(self.template["Resources"]), end) if slowly else work]

    def update(self, wanted, disable_rollback=False):
        before = {name: copy.deepcopy(getattr(self, name)) for name in ("text", "template", "parameters", "tags")}
        old, new = self.template["Resources"], wanted["template"]["Resources"]
        changed = [name for name in new if name in old and (old[name] != new[name] or self.parameters != wanted["parameters"])]
        added, removed = [name for name in new if name not in old], [name for name in old if name not in new]

        def work():
            for name, value in wanted.items():
                setattr(self, name, value)
            failed = self.make_all(changed, "UPDATE") or self.make_all(added)
            told = f"The following resource(s) failed to update: [{', '.join(failed)}]. "
            if not failed:
                self.go("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
                self.steps.append(clean_up)
            elif disable_rollback:
                self.keeps_failed = True
                self.go("UPDATE_FAILED", told)
            else:
                self.go("UPDATE_ROLLBACK_IN_PROGRESS", told)
                self.steps.append(roll_back)

        def clean_up():
            self.undo(removed)
            self.go("UPDATE_COMPLETE")

        def roll_back():
            stuck = self.service.stuck_rollback(self)
            if stuck:
                self.go("UPDATE_ROLLBACK_FAILED", stuck)
                return
            for name, value in before.items():
                setattr(self, name, value)
            self.undo(added)
            self.go("UPDATE_ROLLBACK_COMPLETE")

        self.changed, self.steps, self.cancel = now(), [lambda: None, work], roll_back

    def delete(self):
        def work():
            reason = next(filter(None, (self.service.failure(self, name, "DELETE") for name in self.resources)), None)
            if reason:
                name = next(iter(self.resources))
                self.event(name, self.resources[name]["kind"], self.resources[name]["physical"], "DELETE_FAILED", reason)
                self.go("DELETE_FAILED", f"The following resource(s) failed to delete: [{name}]. ")
            else:
                self.undo(self.resources)
                self.gone()
        self.steps = [lambda: None, work]

    def gone(self):
        self.deleted = now()
        self.go("DELETE_COMPLETE")


class CloudFormation(StackSets, Script):
    service = "cloudformation"

    def __init__(self):
        super().__init__()
        self.stacks, self.sets = [], []
        self.failing, self.undeletable, self.stuck = {}, {}, {}
        # Templates of nested stacks by their URL, before anything is fetched.
        self.templates = {}
        # While held, nothing goes further. Where it is slow, a creation makes one resource at a look.
        self.held = self.slow = False

    # For scenarios

    def fail(self, resource, reason, times=1):
        """The next so many makings of the resource fail; `Child.Name` in a nested stack."""
        self.failing[resource] = [reason, times]

    def fail_deletion(self, resource, reason):
        self.undeletable[resource] = reason

    def fail_rollback(self, stack, reason):
        """The next rollback of the stack ends in ROLLBACK_FAILED or UPDATE_ROLLBACK_FAILED."""
        self.stuck[stack] = reason

    def put(self, name, status="CREATE_COMPLETE", template='{"Resources": {"Old": {"Type": "AWS::SNS::Topic"}}}', account="123456789012",
            region="us-east-1", **more):
        """A stack that is there already; `more` are attributes, as protected=True."""
        stack = Stack(self, types.SimpleNamespace(region=region, account=account), name)
        stack.text, stack.template, stack.status = template, templates.parsed(template), status
        for key, about in stack.template["Resources"].items():
            stack.resources[key] = {"physical": f"{name}-{key.lower()}", "child": None, "kind": about["Type"], "failed": False}
        for key, value in more.items():
            setattr(stack, key, value)
        self.stacks.append(stack)
        return stack

    def put_set(self, name, stack, template):
        """A change set that is there already, ready to be executed; `stack` is a Stack."""
        self.sets.append({
            "name": name, "id": f"arn:aws:cloudformation:{stack.region}:{stack.account}:changeSet/{name}/{uuid.uuid4()}", "stack": stack,
            "wanted": {"text": template, "template": templates.parsed(template), "parameters": {}, "capabilities": []},
            "kind": "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE", "created": now(), "changes": [], "executed": None,
            "steps": ["CREATE_COMPLETE"], "status": "CREATE_COMPLETE"})

    def of(self, name):
        """The stack of that name, the newest one of deleted ones."""
        return next(stack for stack in reversed(self.stacks) if stack.name == name)

    # What stacks ask

    def failure(self, stack, name, doing="CREATE"):
        path = f"{stack.parent}.{name}" if stack.parent else name
        if doing == "DELETE":
            return self.undeletable.get(path)
        reason, times = self.failing.get(path, (None, 0))
        if times:
            self.failing[path][1] -= 1
        return reason if times else None

    def stuck_rollback(self, stack):
        return self.stuck.pop(stack.name, None)

    def nested(self, stack, name):
        properties = stack.template["Resources"][name].get("Properties") or {}
        text = self._fetched(templates.value_of(properties.get("TemplateURL", ""), stack))
        child = Stack(self, stack, f"{stack.name}-{name}-{uuid.uuid4().hex[:12].upper()}", name)
        child.text, child.template = text, templates.parsed(text)
        given = [{"ParameterKey": key, "ParameterValue": templates.value_of(value, stack)}
                 for key, value in (properties.get("Parameters") or {}).items()]
        child.parameters = templates.parameters_of(child.template, given, {})
        self.stacks.append(child)
        return child

    def _fetched(self, url):
        return self.templates[url] if url in self.templates else templates.fetch(url)

    # The service: stacks

    def _known(self, name):
        for stack in reversed(self.stacks):
            if stack.id == name or (stack.name == name and stack.status != "DELETE_COMPLETE"):
                return stack
        return None

    def _wanted(self, given, stack, direct=True):
        """What a request wants of a stack, as attributes of it."""
        text = templates.text_of(given, stack.text if stack else None, self._fetched)
        template = templates.parsed(text)
        nested = [templates.parsed(self._fetched(resource["Properties"]["TemplateURL"])) for resource in template["Resources"].values()
                  if resource["Type"] == STACK and isinstance((resource.get("Properties") or {}).get("TemplateURL"), str)]
        values = templates.parameters_of(template, given.get("Parameters", []), stack.parameters if stack else {})
        templates.check_capabilities(templates.capabilities_of(template, nested), given.get("Capabilities", []), direct)
        wanted = {"text": text, "template": template, "parameters": values, "capabilities": given.get("Capabilities", [])}
        if "Tags" in given:
            wanted["tags"] = given["Tags"]
        if "RoleARN" in given:
            wanted["role"] = given["RoleARN"]
        if "StackPolicyBody" in given:
            wanted["policy"] = given["StackPolicyBody"]
        return wanted

    def _used_token(self, given):
        token = given.get("ClientRequestToken")
        if token and any(event.get("ClientRequestToken") == token for stack in self.stacks for event in stack.events):
            raise AwsError("TokenAlreadyExistsException", f"The client request token {token} has been used already")

    def create_stack(self, call):
        given = call.input
        self._used_token(given)
        if self._known(given["StackName"]):
            raise AwsError("AlreadyExistsException", f"Stack [{given['StackName']}] already exists")
        if "DisableRollback" in given and "OnFailure" in given:
            raise invalid("You can specify either DisableRollback or OnFailure, but not both.")
        wanted = self._wanted(given, None)
        stack = Stack(self, call, given["StackName"])
        for name, value in wanted.items():
            setattr(stack, name, value)
        stack.protected = given.get("EnableTerminationProtection", False)
        self.stacks.append(stack)
        told = stack.begin(call, "CREATE_IN_PROGRESS")
        stack.create("DO_NOTHING" if given.get("DisableRollback") else given.get("OnFailure", "ROLLBACK"))
        return told

    def _updatable(self, stack):
        if stack.status in UPDATABLE or (stack.status in ("CREATE_FAILED", "UPDATE_FAILED") and stack.keeps_failed):
            return
        raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def update_stack(self, call):
        given, stack = call.input, self._known(call.input["StackName"])
        self._used_token(given)
        if stack is None:
            raise invalid(f"Stack [{given['StackName']}] does not exist")
        self._updatable(stack)
        wanted = self._wanted(given, stack)
        if self._same(stack, wanted) and "StackPolicyBody" not in given:
            raise invalid(NO_UPDATES)
        told = stack.begin(call, "UPDATE_IN_PROGRESS")
        stack.update(wanted, given.get("DisableRollback", False))
        return told

    def _same(self, stack, wanted):
        failed = stack.status in ("CREATE_FAILED", "UPDATE_FAILED")
        return not failed and all(getattr(stack, name) == wanted[name] for name in ("template", "parameters", "tags") if name in wanted)

    def delete_stack(self, call):
        stack = self._known(call.input["StackName"])
        if stack is None or stack.status == "DELETE_COMPLETE":
            return {}
        self._used_token(call.input)
        if stack.protected:
            raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if stack.status.endswith("_IN_PROGRESS") and stack.status not in ("DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS"):
            raise invalid(f"Stack [{stack.id}] cannot be deleted while in status {stack.status}")
        stack.begin(call, "DELETE_IN_PROGRESS")
        stack.delete()
        return {}

    def cancel_update_stack(self, call):
        stack = self._known(call.input["StackName"])
        if stack is None:
            raise invalid(f"Stack [{call.input['StackName']}] does not exist")
        if stack.status != "UPDATE_IN_PROGRESS":
            raise invalid(f"CancelUpdateStack cannot be called from current stack status {stack.status}")
        stack.go("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
        stack.steps = [stack.cancel]
        return {}

    def describe_stacks(self, call):
        name = call.input.get("StackName")
        found = [stack for stack in self.stacks if stack.status != "DELETE_COMPLETE"] if name is None else [self._known(name)]
        if found == [None]:
            raise invalid(f"Stack with id {name} does not exist")
        for stack in found:
            stack.look()
        # Looked at, one may be gone; by its name it is not found any more.
        if name is not None and found[0].status == "DELETE_COMPLETE" and name != found[0].id:
            raise invalid(f"Stack with id {name} does not exist")
        return {"Stacks": [self._told(stack) for stack in found]}

    def _told(self, stack):
        hidden = {name for name, about in (stack.template.get("Parameters") or {}).items() if str(about.get("NoEcho", "")).lower() == "true"}
        told = {"StackId": stack.id, "StackName": stack.name, "CreationTime": stack.created, "StackStatus": stack.status,
                "DisableRollback": False, "EnableTerminationProtection": stack.protected, "Tags": stack.tags,
                "Capabilities": stack.capabilities,
                "Parameters": [{"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
                               for name, value in stack.parameters.items()]}
        for name, value in (("StackStatusReason", stack.reason), ("LastUpdatedTime", stack.changed), ("DeletionTime", stack.deleted),
                            ("RoleARN", stack.role)):
            if value:
                told[name] = value
        if stack.status.endswith("_COMPLETE") and stack.status not in ("ROLLBACK_COMPLETE", "DELETE_COMPLETE"):
            told["Outputs"] = [{"OutputKey": name, "OutputValue": value} for name, value in stack.outputs().items()]
        return told

    def describe_stack_events(self, call):
        stack = self._known(call.input["StackName"])
        if stack is None:
            raise invalid(f"Stack [{call.input['StackName']}] does not exist")
        # Small pages, so that who wants them all has to ask again.
        begin = int(call.input.get("NextToken", "0"))
        more = {"NextToken": str(begin + 10)} if len(stack.events) > begin + 10 else {}
        return {"StackEvents": stack.events[begin:begin + 10], **more}

    def list_stack_resources(self, call):
        stack = self._known(call.input["StackName"])
        if stack is None:
            raise invalid(f"Stack with id {call.input['StackName']} does not exist")
        return {"StackResourceSummaries": [
            {"LogicalResourceId": name, "PhysicalResourceId": about["physical"], "ResourceType": about["kind"],
             "LastUpdatedTimestamp": now(), "ResourceStatus": "CREATE_FAILED" if about["failed"] else "CREATE_COMPLETE"}
            for name, about in stack.resources.items()]}

    def set_stack_policy(self, call):
        stack = self._known(call.input["StackName"])
        if stack is None:
            raise invalid(f"Stack with id {call.input['StackName']} does not exist")
        stack.policy = call.input.get("StackPolicyBody")
        return {}

    def get_template(self, call):
        stack = self._known(call.input["StackName"])
        if stack is None:
            raise invalid(f"Stack with id {call.input['StackName']} does not exist")
        return {"TemplateBody": stack.text, "StagesAvailable": ["Original", "Processed"]}

    def get_template_summary(self, call):
        stack = self._known(call.input["StackName"]) if "StackName" in call.input else None
        template = stack.template if stack else templates.parsed(templates.text_of(call.input, None, self._fetched))
        parameters = []
        for name, about in (template.get("Parameters") or {}).items():
            told = {"ParameterKey": name, "ParameterType": about.get("Type", "String"), "NoEcho": bool(about.get("NoEcho"))}
            parameters.append({**told, **({"DefaultValue": str(about["Default"])} if "Default" in about else {})})
        return {"Parameters": parameters, "Capabilities": templates.capabilities_of(template, ()),
                "ResourceTypes": sorted({resource["Type"] for resource in template["Resources"].values()})}

    def validate_template(self, call):
        told = self.get_template_summary(call)
        return {"Parameters": [{key: value for key, value in one.items() if key != "ParameterType"} for one in told["Parameters"]],
                "Capabilities": told["Capabilities"]}

    # Change sets

    def create_change_set(self, call):
        given, stack = call.input, self._known(call.input["StackName"])
        kind = given.get("ChangeSetType", "UPDATE")
        reviewed = stack is not None and stack.status == "REVIEW_IN_PROGRESS"
        if kind == "CREATE" and stack is not None and not reviewed:
            raise invalid(f"Stack [{stack.name}] already exists and cannot be created again with the changeSet [{given['ChangeSetName']}].")
        if kind == "UPDATE" and (stack is None or reviewed):
            raise invalid(f"Stack [{given['StackName']}] does not exist")
        if kind == "UPDATE":
            self._updatable(stack)
        if any(one["stack"] is stack and one["name"] == given["ChangeSetName"] for one in self.sets):
            raise AwsError("AlreadyExistsException", f"ChangeSet [{given['ChangeSetName']}] already exists")
        wanted = self._wanted(given, stack, direct=False)
        if stack is None:
            stack = Stack(self, call, given["StackName"])
            stack.go("REVIEW_IN_PROGRESS", "User Initiated")
            self.stacks.append(stack)
        old, new = stack.template["Resources"], wanted["template"]["Resources"]
        changes = [("Add", name) for name in new if name not in old] + [("Remove", name) for name in old if name not in new]
        changes += [("Modify", name) for name in new if name in old and (old[name] != new[name] or stack.parameters != wanted["parameters"])]
        empty = kind == "UPDATE" and self._same(stack, wanted)
        made = {"name": given["ChangeSetName"], "id": call.arn(f"changeSet/{given['ChangeSetName']}/{uuid.uuid4()}"), "stack": stack,
                "wanted": wanted, "kind": kind, "created": now(), "changes": changes, "executed": None,
                "steps": ["CREATE_PENDING", "CREATE_IN_PROGRESS", "FAILED" if empty else "CREATE_COMPLETE"]}
        self.sets.append(made)
        return {"Id": made["id"], "StackId": stack.id}

    def _set(self, given):
        for one in self.sets:
            stack = one["stack"]
            if given["ChangeSetName"] == one["id"] or (
                    given["ChangeSetName"] == one["name"] and given.get("StackName") in (stack.id, stack.name)):
                return one
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{given['ChangeSetName']}] does not exist")

    def describe_change_set(self, call):
        if not call.input["ChangeSetName"].startswith("arn:") and self._known(call.input.get("StackName", "")) is None:
            raise AwsError("ChangeSetNotFound", f"ChangeSet [{call.input['ChangeSetName']}] does not exist")
        one = self._set(call.input)
        status = one["steps"].pop(0) if len(one["steps"]) > 1 else one["steps"][0]
        if status == "DELETED":
            self.sets.remove(one)
            raise AwsError("ChangeSetNotFound", f"ChangeSet [{call.input['ChangeSetName']}] does not exist")
        one["status"] = status
        done = status in ("CREATE_COMPLETE", "FAILED")
        told = {"ChangeSetName": one["name"], "ChangeSetId": one["id"], "StackId": one["stack"].id, "StackName": one["stack"].name,
                "CreationTime": one["created"], "Status": status,
                "ExecutionStatus": one["executed"] or ("AVAILABLE" if status == "CREATE_COMPLETE" else "UNAVAILABLE"),
                "Parameters": [{"ParameterKey": name, "ParameterValue": value} for name, value in one["wanted"]["parameters"].items()],
                "Changes": [{"Type": "Resource", "ResourceChange": {
                    "Action": action, "LogicalResourceId": name,
                    "ResourceType": (one["wanted"]["template"]["Resources"].get(name) or one["stack"].template["Resources"][name])["Type"]}}
                    for action, name in one["changes"]] if done and status != "FAILED" else []}
        if status == "FAILED":
            told["StatusReason"] = NO_CHANGES
        return told

    def delete_change_set(self, call):
        try:
            one = self._set(call.input)
        except AwsError:
            # What is not there needs no deletion.
            return {}
        if one.get("status", "CREATE_PENDING") in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            raise AwsError("InvalidChangeSetStatus", f"ChangeSet [{one['id']}] cannot be deleted in status CREATE_IN_PROGRESS")
        one["steps"], one["status"] = ["DELETE_IN_PROGRESS", "DELETED"], "DELETE_PENDING"
        return {}

    def execute_change_set(self, call):
        one = self._set(call.input)
        self._used_token(call.input)
        stack, status = one["stack"], one["steps"][0]
        if status != "CREATE_COMPLETE" or one["executed"]:
            raise AwsError("InvalidChangeSetStatus", f"ChangeSet [{one['id']}] cannot be executed in its current status of [{status}]")
        if one["kind"] == "CREATE" and stack.status == "REVIEW_IN_PROGRESS":
            for name, value in one["wanted"].items():
                setattr(stack, name, value)
            stack.begin(call, "CREATE_IN_PROGRESS")
            stack.create("DO_NOTHING" if call.input.get("DisableRollback") else "ROLLBACK")
        else:
            self._updatable(stack)
            stack.begin(call, "UPDATE_IN_PROGRESS")
            stack.update(one["wanted"], call.input.get("DisableRollback", False))
        one["executed"] = "EXECUTE_COMPLETE"
        self.sets = [other for other in self.sets if other["stack"] is not stack or other is one]
        return {}
