"""CloudFormation's templates, as far as its stacks need them: JSON and YAML with its tags, parameters, capabilities, outputs."""

import json
import re
import urllib.error
import urllib.request

import yaml

from scripted_aws import AwsError

BODY_MAX = 51_200
OBJECT_MAX = 1_000_000
NAMED = {"AWS::IAM::Role": "RoleName", "AWS::IAM::User": "UserName", "AWS::IAM::Group": "GroupName",
         "AWS::IAM::ManagedPolicy": "ManagedPolicyName", "AWS::IAM::InstanceProfile": "InstanceProfileName"}
STACK = "AWS::CloudFormation::Stack"


class _Loader(yaml.SafeLoader):
    pass


def _tagged(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tagged)
# Dates stay text, as in JSON.
_Loader.yaml_implicit_resolvers = {
    key: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for key, found in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def invalid(text):
    return AwsError("ValidationError", text)


def parsed(text):
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)
    except (ValueError, yaml.YAMLError) as error:
        kind = "JSON" if text.lstrip().startswith("{") else "YAML"
        raise invalid(f"Template format error: {kind} not well-formed. ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict):
        raise invalid("Template format error: unsupported structure.")
    if not isinstance(found.get("Resources"), dict) or not found["Resources"]:
        raise invalid("Template format error: At least one Resources member must be defined.")
    for name, resource in found["Resources"].items():
        if not isinstance(resource, dict) or "Type" not in resource:
            raise invalid(f"Template format error: [/Resources/{name}] resource definition is malformed")
    return found


def text_of(given, kept, fetched):
    """The template's text of a request: its body, what its URL leads to, or the previous one."""
    if "TemplateBody" in given:
        if len(given["TemplateBody"].encode()) > BODY_MAX:
            raise invalid("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                          f"length less than or equal to {BODY_MAX}")
        return given["TemplateBody"]
    if "TemplateURL" in given:
        return fetched(given["TemplateURL"])
    if given.get("UsePreviousTemplate") and kept:
        return kept
    raise invalid("Either Template URL or Template Body must be specified.")


def fetch(url):
    """AWS takes objects of S3 alone; here any address, a presigned one of the server's own S3."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            body = answer.read(OBJECT_MAX + 1)
    except (urllib.error.URLError, ValueError) as error:
        raise invalid("S3 error: Access Denied\nFor more information check "
                      "http://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html") from error
    if len(body) > OBJECT_MAX:
        raise invalid(f"Template may not exceed {OBJECT_MAX} bytes in size.")
    return body.decode()


def parameters_of(template, given, previous):
    """The values of all parameters; refused are those that the template lacks, and those without a value."""
    declared = template.get("Parameters") or {}
    strange = [one["ParameterKey"] for one in given if one["ParameterKey"] not in declared]
    if strange:
        raise invalid(f"Parameters: [{', '.join(sorted(strange))}] do not exist in the template")
    values, told = {}, {one["ParameterKey"]: one for one in given}
    for name, about in declared.items():
        one = told.get(name)
        if one is not None and one.get("UsePreviousValue"):
            if "ParameterValue" in one:
                raise invalid(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true and non empty value "
                              "for a parameter")
            if name not in previous:
                raise invalid(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter key "
                              "not in the previous template")
            values[name] = previous[name]
        elif one is not None:
            values[name] = one.get("ParameterValue", "")
        elif "Default" in about:
            values[name] = str(about["Default"])
    missing = [name for name in declared if name not in values]
    if missing:
        raise invalid(f"Parameters: [{', '.join(sorted(missing))}] must have values")
    for name, value in values.items():
        about = declared[name]
        if "AllowedValues" in about and value not in map(str, about["AllowedValues"]):
            raise invalid(f"Parameter '{name}' must be one of AllowedValues")
        if "AllowedPattern" in about and not re.fullmatch(about["AllowedPattern"], value):
            raise invalid(f"Parameter '{name}' must match pattern {about['AllowedPattern']}")
    return values


def capabilities_of(template, nested):
    """What has to be acknowledged, with the templates of nested stacks."""
    needed = set()
    for one in (template, *nested):
        for resource in one["Resources"].values():
            if resource["Type"].startswith("AWS::IAM::"):
                named = NAMED.get(resource["Type"]) in (resource.get("Properties") or {})
                needed.add("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
        if one.get("Transform"):
            needed.add("CAPABILITY_AUTO_EXPAND")
    if "CAPABILITY_NAMED_IAM" in needed:
        needed.discard("CAPABILITY_IAM")
    return sorted(needed)


def check_capabilities(needed, given, direct=True):
    given = set(given)
    if "CAPABILITY_NAMED_IAM" in given:
        given.add("CAPABILITY_IAM")
    # A change set shows what macros make of a template, so they need no acknowledgement.
    missing = [one for one in needed if one not in given and (direct or one != "CAPABILITY_AUTO_EXPAND")]
    if missing:
        raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(missing)}]")


def value_of(expression, stack):
    """An output's value: references and substitutions of parameters, physical ids and attributes."""
    pseudo = {"AWS::StackName": stack.name, "AWS::StackId": stack.id, "AWS::Region": stack.region, "AWS::AccountId": stack.account,
              "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}

    def named(name):
        if name in pseudo:
            return pseudo[name]
        if name in stack.parameters:
            return stack.parameters[name]
        if name in stack.resources:
            return stack.resources[name]["physical"]
        return attribute(name) if "." in name else name

    def attribute(path):
        name, _, rest = path.partition(".")
        child = stack.resources.get(name, {}).get("child")
        if child is not None and rest.startswith("Outputs."):
            return child.outputs().get(rest.removeprefix("Outputs."), "")
        return f"{stack.resources.get(name, {}).get('physical', name)}.{rest}"

    if isinstance(expression, dict) and len(expression) == 1:
        kind, inner = next(iter(expression.items()))
        if kind == "Ref":
            return named(inner)
        if kind == "Fn::GetAtt":
            return attribute(inner if isinstance(inner, str) else ".".join(inner))
        if kind == "Fn::Sub":
            text, more = inner if isinstance(inner, list) else (inner, {})
            own = {key: value_of(one, stack) for key, one in more.items()}
            return re.sub(r"\$\{([^!}][^}]*)\}", lambda part: own.get(part[1]) or named(part[1]), text)
        if kind == "Fn::Join":
            return inner[0].join(value_of(one, stack) for one in inner[1])
        raise invalid(f"Template error: {kind} is not evaluated here")
    return str(expression)
