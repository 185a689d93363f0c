"""Elastic Beanstalk's environments: updates that take time and tell by events how they go, with the texts that its own command
line watches for.

An environment goes one step further each time DescribeEnvironments looks at it. What comes of the next update is told before:

    eb = ElasticBeanstalk()
    eb.environment("ferry", "ferry-prod")
    eb.next("ferry-prod", fails("[Instance: i-1] Command failed on instance."))
"""

from scripted_aws import AwsError, Script, now

DONE = "Environment update completed successfully."
FAILED = "Failed to deploy application."
WITH_ERRORS = "Update environment operation is complete, but with errors. For more information, see troubleshooting documentation."
REVERTED = "The environment was reverted to the previous configuration setting."
BUSY = "Environment named {} is in an invalid state for this operation. Must be Ready."


# What comes of an update: steps, each a status, whether the new version is there, and events (severity and text).


def succeeds(looks=1):
    return [("Updating", False, [("INFO", "Deploying new version to instance(s).")])] * looks + [
        ("Ready", True, [("INFO", "New application version was deployed to running EC2 instances."), ("INFO", DONE)])]


def fails(*errors, last=FAILED, looks=1):
    """Back to Ready with the old version, and even Green, as it does."""
    errors = errors or ("[Instance: i-0a1b2c3d] Command failed on instance.",)
    return [("Updating", False, [("ERROR", text) for text in errors])] * looks + [("Ready", False, [("ERROR", last)])]


def quiet(looks=1):
    """Done, and without an event that says so."""
    return [("Updating", False, [])] * looks + [("Ready", True, [])]


def stuck():
    return [("Updating", False, [])]


def terminates(looks=1):
    return [("Updating", False, [])] * looks + [("Terminating", False, [("INFO", "terminateEnvironment is starting.")]),
                                                ("Terminated", False, [])]


class ElasticBeanstalk(Script):
    service = "elasticbeanstalk"

    def __init__(self, version_limit=1000):
        self.environments, self.versions, self.events, self.expected = {}, {}, [], {}
        self.applications, self.limit = set(), version_limit

    # For scenarios

    def environment(self, application, name, version="first", status="Ready"):
        self.applications.add(application)
        self.environments[application, name] = {"version": version, "status": status, "steps": [], "request": None, "to": None,
                                                "health": "Green", "updated": now(), "id": f"e-{len(self.environments):010x}"}

    def next(self, name, steps):
        """What comes of the next updates of the environment of that name, in order."""
        self.expected.setdefault(name, []).append(steps)

    # The service

    def _event(self, application, name, severity, text, request):
        self.events.insert(0, {"EventDate": now(), "Message": text, "ApplicationName": application, "EnvironmentName": name,
                               "Severity": severity, **({"RequestId": request} if request else {})})

    def create_storage_location(self, call):
        return {"S3Bucket": f"elasticbeanstalk-{call.region}-{call.account}"}

    def create_application_version(self, call):
        given = call.input
        application, label = given["ApplicationName"], given["VersionLabel"]
        if application not in self.applications and not given.get("AutoCreateApplication"):
            raise AwsError("InvalidParameterValue", f"No Application named '{application}' found.")
        self.applications.add(application)
        if (application, label) in self.versions:
            raise AwsError("InvalidParameterValue", f"Application Version {label} already exists.")
        if len(self.versions) >= self.limit:
            raise AwsError("TooManyApplicationVersionsException", f"You cannot have more than {self.limit} Application Versions. Either "
                                                                  "remove some Application Versions or request a limit increase.")
        if "SourceBundle" not in given:
            raise AwsError("InvalidParameterCombination", "A version needs a source bundle here.")
        self.versions[application, label] = {"bundle": given["SourceBundle"], "description": given.get("Description"), "made": now()}
        return {"ApplicationVersion": self._version(call, application, label)}

    def _version(self, call, application, label):
        about = self.versions[application, label]
        return {"ApplicationName": application, "VersionLabel": label, "SourceBundle": about["bundle"], "Status": "Unprocessed",
                "DateCreated": about["made"], "DateUpdated": about["made"],
                "ApplicationVersionArn": call.arn(f"applicationversion/{application}/{label}"),
                **({"Description": about["description"]} if about["description"] else {})}

    def describe_application_versions(self, call):
        wanted = call.input.get("VersionLabels")
        return {"ApplicationVersions": [self._version(call, application, label) for application, label in self.versions
                                        if call.input.get("ApplicationName") in (None, application) and (not wanted or label in wanted)]}

    def describe_environments(self, call):
        given, found = call.input, []
        for (application, name), one in self.environments.items():
            if given.get("ApplicationName") in (None, application) and name in (given.get("EnvironmentNames") or [name]) \
                    and one["id"] in (given.get("EnvironmentIds") or [one["id"]]) \
                    and (one["status"] != "Terminated" or given.get("IncludeDeleted", True)):
                self._look(application, name, one)
                found.append(self._told(application, name, one))
        return {"Environments": found}

    def _look(self, application, name, one):
        if not one["steps"]:
            return
        status, arrived, events = one["steps"][0]
        # An update that is stuck stays in its last step.
        if len(one["steps"]) > 1 or status in ("Ready", "Terminated"):
            one["steps"].pop(0)
        one["status"], one["updated"] = status, now()
        if arrived:
            one["version"] = one["to"]
        for severity, text in events:
            self._event(application, name, severity, text, one["request"])

    def _told(self, application, name, one):
        return {"EnvironmentName": name, "EnvironmentId": one["id"], "ApplicationName": application, "VersionLabel": one["version"],
                "Status": one["status"], "AbortableOperationInProgress": one["status"] == "Updating", "Health": one["health"],
                "HealthStatus": "Ok", "DateUpdated": one["updated"], "CNAME": f"{name}.us-east-1.elasticbeanstalk.com"}

    def _environment(self, given):
        for (application, name), one in self.environments.items():
            if given.get("EnvironmentName") in (None, name) and given.get("EnvironmentId") in (None, one["id"]) \
                    and given.get("ApplicationName") in (None, application):
                return application, name, one
        raise AwsError("InvalidParameterValue", f"No Environment found for EnvironmentName = '{given.get('EnvironmentName')}'.")

    def update_environment(self, call):
        application, name, one = self._environment(call.input)
        if one["status"] != "Ready":
            raise AwsError("InvalidParameterValue", BUSY.format(name))
        label = call.input.get("VersionLabel")
        if label is not None and (application, label) not in self.versions:
            raise AwsError("InvalidParameterValue", f"No Application Version named '{label}' found.")
        waiting = self.expected.get(name, [])
        one.update(status="Updating", steps=list(waiting.pop(0) if waiting else succeeds()), to=label, request=call.request_id,
                   updated=now())
        self._event(application, name, "INFO", "Environment update is starting.", call.request_id)
        return self._told(application, name, one)

    def describe_events(self, call):
        given = call.input
        since = given["StartTime"] if "StartTime" in given else None
        found = [event for event in self.events
                 if given.get("ApplicationName") in (None, event["ApplicationName"])
                 and given.get("EnvironmentName") in (None, event["EnvironmentName"])
                 and given.get("RequestId") in (None, event.get("RequestId"))
                 and (since is None or event["EventDate"].replace(tzinfo=None) >= since.replace(tzinfo=None))]
        begin, most = int(given.get("NextToken", "0")), given.get("MaxRecords", 100)
        more = {"NextToken": str(begin + most)} if len(found) > begin + most else {}
        return {"Events": found[begin:begin + most], **more}

    def abort_environment_update(self, call):
        application, name, one = self._environment(call.input)
        if one["status"] != "Updating":
            raise AwsError("InvalidParameterValue", f"Environment named {name} is in an invalid state for this operation. Must be pending "
                                                    "deployment.")
        one["steps"] = [("Aborting", False, [("INFO", "The environment update is being aborted.")]), ("Ready", False, [("ERROR", REVERTED)])]
        return {}
