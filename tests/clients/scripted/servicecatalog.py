"""Service Catalog's products: versions (provisioning artifacts) that are being created, are available, or failed.

A version goes one state further each time DescribeProvisioningArtifact looks at it:

    catalog = ServiceCatalog()
    catalog.product("prod-abcd1234efgh5")
    catalog.next("prod-abcd1234efgh5", "CREATING", "FAILED")
"""

import json
import urllib.error
import urllib.parse
import urllib.request
import uuid

import yaml

from scripted import templates
from scripted_aws import AwsError, Course, Script, now


class ServiceCatalog(Script):
    service = "servicecatalog"

    def __init__(self):
        self.products, self.expected, self.tokens = {}, {}, {}
        # What lies behind the URLs of templates that nothing here serves.
        self.templates = {}

    # For scenarios

    def product(self, product, kind="CLOUD_FORMATION_TEMPLATE", name="Mooring"):
        self.products[product] = {"kind": kind, "name": name, "artifacts": {}}

    def next(self, product, *states):
        self.expected.setdefault(product, []).append(states)

    def artifacts(self, product):
        return list(self.products[product]["artifacts"].values())

    # The service

    def _product(self, identity):
        if identity not in self.products:
            raise AwsError("ResourceNotFoundException", f"Product {identity} not found.")
        return self.products[identity]

    def describe_product_as_admin(self, call):
        product = self._product(call.input["Id"])
        summary = {"ProductId": call.input["Id"], "Name": product["name"], "Type": product["kind"]}
        return {"ProductViewDetail": {"ProductViewSummary": summary, "Status": "AVAILABLE", "CreatedTime": now()},
                "ProvisioningArtifactSummaries": [{"Id": one["id"], "Name": one["name"]} for one in product["artifacts"].values()]}

    def list_provisioning_artifacts(self, call):
        product = self._product(call.input["ProductId"])
        return {"ProvisioningArtifactDetails": [self._detail(one) for one in product["artifacts"].values()]}

    def _detail(self, one):
        told = {"Id": one["id"], "Name": one["name"], "Type": one["type"], "CreatedTime": one["made"], "Active": True,
                "Guidance": "DEFAULT"}
        return {**told, **({"Description": one["description"]} if one["description"] else {})}

    def create_provisioning_artifact(self, call):
        given, product = call.input["Parameters"], self._product(call.input["ProductId"])
        token = (call.input["ProductId"], call.input["IdempotencyToken"])
        if token in self.tokens:
            before, made = self.tokens[token]
            if before != given:
                raise AwsError("InvalidParametersException", "The idempotency token was used with other parameters.")
            return {"ProvisioningArtifactDetail": self._detail(made), "Info": made["info"], "Status": made["course"].now}
        if given.get("Type", "CLOUD_FORMATION_TEMPLATE") != product["kind"]:
            raise AwsError("InvalidParametersException", f"The type {given.get('Type')} is not that of the product.")
        info = given.get("Info") or {}
        if set(info) != {"LoadTemplateFromURL"}:
            raise AwsError("InvalidParametersException", "Info needs LoadTemplateFromURL.")
        url = info["LoadTemplateFromURL"]
        if not given.get("DisableTemplateValidation"):
            _check(self.templates[url] if url in self.templates else _fetched(url))
        states = self.expected.get(call.input["ProductId"], [])
        made = {"id": "pa-" + uuid.uuid4().hex[:13], "name": given.get("Name", ""), "description": given.get("Description"),
                "type": product["kind"], "made": now(), "info": info, "course": Course(*(states.pop(0) if states else
                                                                                       ("CREATING", "AVAILABLE")))}
        product["artifacts"][made["id"]] = made
        self.tokens[token] = (given, made)
        return {"ProvisioningArtifactDetail": self._detail(made), "Info": info, "Status": made["course"].now}

    def _artifact(self, given):
        product = self._product(given["ProductId"])
        if given["ProvisioningArtifactId"] not in product["artifacts"]:
            raise AwsError("ResourceNotFoundException", f"Provisioning artifact {given['ProvisioningArtifactId']} not found.")
        return product["artifacts"][given["ProvisioningArtifactId"]]

    def describe_provisioning_artifact(self, call):
        made = self._artifact(call.input)
        return {"ProvisioningArtifactDetail": self._detail(made), "Info": made["info"], "Status": made["course"].look()}

    def delete_provisioning_artifact(self, call):
        made = self._artifact(call.input)
        del self.products[call.input["ProductId"]]["artifacts"][made["id"]]
        return {}


def _fetched(url):
    """AWS reads templates of S3 and GitHub by HTTPS; here any address."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise AwsError("InvalidParametersException", f"Invalid TemplateURL: {url}")
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read(templates.OBJECT_MAX).decode()
    except urllib.error.URLError as error:
        raise AwsError("InvalidParametersException", "S3 error: Access Denied") from error


def _check(text):
    try:
        templates.parsed(text)
    except AwsError as error:
        raise AwsError("InvalidParametersException", f"Invalid templateBody. {error.message}") from error
    except (ValueError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise AwsError("InvalidParametersException", "Invalid templateBody. The template could not be parsed.") from error
