"""Lambda as its deployer sees it: code that takes time to arrive, versions that take time to be active, aliases with weights and
revision ids. moto's is done at once, never fails, and takes any weight.

A function goes one state further each time its configuration is looked at. What comes of the next code is told before:

    functions = Lambda()
    functions.function("ferry-hook", alias="live")
    functions.next("ferry-hook", "InProgress", "Failed", reason="The image cannot be read.")
"""

import base64
import hashlib
import uuid

from scripted_aws import AwsError, Course, Script, now


class Lambda(Script):
    service = "lambda"

    def __init__(self):
        self.functions, self.expected = {}, {}
        # Every state that an alias was in: version and weights.
        self.shifts = []

    # For scenarios

    def function(self, name, alias=None, image=False, concurrency=()):
        """A function with version 1; `concurrency` are the states of its alias's provisioned concurrency."""
        self.functions[name] = {"code": "first", "versions": {}, "aliases": {}, "update": Course("Successful"), "reason": None,
                                "image": image, "concurrency": Course(*concurrency) if concurrency else None}
        self._publish(name, Course("Active"))
        if alias:
            self.functions[name]["aliases"][alias] = {"version": "1", "weights": {}, "revision": str(uuid.uuid4())}

    def next(self, name, *statuses, reason=None, version=("Active",)):
        """What comes of the next code of the function, and of the version that is made of it."""
        self.expected.setdefault(name, []).append((statuses or ("Successful",), reason, version))

    def alias(self, name, alias):
        return self.functions[name]["aliases"][alias]

    # The service

    def _found(self, given):
        name = given["FunctionName"].split(":")[-1] if given["FunctionName"].startswith("arn:") else given["FunctionName"].split(":")[0]
        if name not in self.functions:
            raise AwsError("ResourceNotFoundException", f"Function not found: {given['FunctionName']}", Type="User")
        return name, self.functions[name]

    def _publish(self, name, course):
        function = self.functions[name]
        number = str(len(function["versions"]) + 1)
        function["versions"][number] = {"code": function["code"], "course": course}
        return number

    def _told(self, call, name, version="$LATEST", state="Active", update=None):
        function = self.functions[name]
        code = function["code"] if version == "$LATEST" else function["versions"][version]["code"]
        suffix = "" if version == "$LATEST" else f":{version}"
        told = {"FunctionName": name, "FunctionArn": call.arn(f"function:{name}{suffix}"), "Version": version, "State": state,
                "PackageType": "Image" if function["image"] else "Zip", "LastUpdateStatus": update or "Successful",
                "CodeSha256": base64.b64encode(hashlib.sha256(code.encode()).digest()).decode(), "RevisionId": str(uuid.uuid4())}
        if update == "Failed":
            told.update(LastUpdateStatusReason=function["reason"] or "The code could not be used.", LastUpdateStatusReasonCode="InternalError")
        return told

    def update_function_code(self, call):
        name, function = self._found(call.input)
        if function["image"] and "ImageUri" not in call.input:
            raise AwsError("InvalidParameterValueException", "Please provide ImageUri when updating a function with packageType Image.",
                           Type="User")
        if function["update"].now == "InProgress":
            raise AwsError("ResourceConflictException", "The operation cannot be performed at this time. An update is in progress for "
                           f"resource: {call.arn(f'function:{name}')}", Type="User")
        given = call.input
        if "ZipFile" in given:
            code = hashlib.sha256(given["ZipFile"]).hexdigest()
        else:
            code = f"{given['S3Bucket']}/{given['S3Key']}/{given.get('S3ObjectVersion')}"
        waiting = self.expected.get(name, [])
        statuses, function["reason"], function["coming"] = waiting.pop(0) if waiting else (("InProgress", "Successful"), None, ("Active",))
        function["code"], function["update"] = code, Course(*statuses)
        return self._told(call, name, update=function["update"].now)

    def get_function_configuration(self, call):
        name, function = self._found(call.input)
        version = call.input.get("Qualifier", "$LATEST")
        if version in function["aliases"]:
            version = function["aliases"][version]["version"]
        if version == "$LATEST":
            return self._told(call, name, update=function["update"].look())
        if version not in function["versions"]:
            raise AwsError("ResourceNotFoundException", f"Function not found: {call.arn(f'function:{name}:{version}')}", Type="User")
        return self._told(call, name, version, state=function["versions"][version]["course"].look())

    def get_function(self, call):
        return {"Configuration": self.get_function_configuration(call)}

    def publish_version(self, call):
        name, function = self._found(call.input)
        if function["update"].now == "InProgress":
            raise AwsError("ResourceConflictException", "The operation cannot be performed at this time. An update is in progress.",
                           Type="User")
        told = self._told(call, name)
        if call.input.get("CodeSha256", told["CodeSha256"]) != told["CodeSha256"]:
            raise AwsError("InvalidParameterValueException", f"CodeSHA256 ({call.input['CodeSha256']}) is different from current CodeSHA256 "
                           f"in $LATEST ({told['CodeSha256']}). Please try again with the CodeSHA256 in $LATEST.", Type="User")
        last = str(len(function["versions"]))
        if function["versions"][last]["code"] == function["code"]:
            # Unchanged code makes no version.
            return self._told(call, name, last)
        number = self._publish(name, Course(*function.get("coming", ("Active",))))
        return self._told(call, name, number, state=function["versions"][number]["course"].now)

    def _alias(self, call):
        name, function = self._found(call.input)
        if call.input["Name"] not in function["aliases"]:
            raise AwsError("ResourceNotFoundException", f"Cannot find alias arn: {call.arn('function:' + name + ':' + call.input['Name'])}",
                           Type="User")
        return name, function, function["aliases"][call.input["Name"]]

    def _described(self, call, name, alias):
        told = {"AliasArn": call.arn(f"function:{name}:{call.input['Name']}"), "Name": call.input["Name"], "FunctionVersion": alias["version"],
                "RevisionId": alias["revision"]}
        return {**told, **({"RoutingConfig": {"AdditionalVersionWeights": alias["weights"]}} if alias["weights"] else {})}

    def get_alias(self, call):
        name, _, alias = self._alias(call)
        return self._described(call, name, alias)

    def update_alias(self, call):
        name, function, alias = self._alias(call)
        given = call.input
        if given.get("RevisionId", alias["revision"]) != alias["revision"]:
            raise AwsError("PreconditionFailedException", "The Revision Id provided does not match the latest Revision Id. Call the "
                           "GetFunction/GetAlias API to retrieve the latest Revision Id", Type="User")
        version = given.get("FunctionVersion", alias["version"])
        weights = given.get("RoutingConfig", {}).get("AdditionalVersionWeights", alias["weights"])
        for one in (version, *weights):
            if one not in function["versions"]:
                raise AwsError("ResourceNotFoundException", f"Function not found: {call.arn(f'function:{name}:{one}')}", Type="User")
        if len(weights) > 1 or any(not 0.0 <= weight <= 1.0 for weight in weights.values()) or version in weights:
            raise AwsError("InvalidParameterValueException", "Invalid routing config: one other version with a weight between 0 and 1.",
                           Type="User")
        alias.update(version=version, weights=dict(weights), revision=str(uuid.uuid4()))
        self.shifts.append((version, dict(weights), now()))
        return self._described(call, name, alias)

    def get_provisioned_concurrency_config(self, call):
        _, function = self._found(call.input)
        if function["concurrency"] is None:
            raise AwsError("ProvisionedConcurrencyConfigNotFoundException", "No Provisioned Concurrency Config found for this function",
                           Type="User")
        return {"Status": function["concurrency"].look(), "RequestedProvisionedConcurrentExecutions": 1}
