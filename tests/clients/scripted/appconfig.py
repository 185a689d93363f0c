"""AppConfig: hosted configurations, their validators, and deployments that go on, are rolled back by an alarm, or are stopped.

A deployment goes one state further each time GetDeployment looks at it. What comes of the next one is told before:

    app = AppConfig()
    app.profile("abc1234", "def5678")
    app.environment("abc1234", "env1234")
    app.next("abc1234", "env1234", rolled_back("CLOUDWATCH_ALARM", "ferry-5xx is in ALARM"))
"""

import json

from scripted_aws import AwsError, Course, Script, now

CONTENT_MAX = 1024 * 1024
PREDEFINED = {"AppConfig.AllAtOnce": (0, 100.0, 10), "AppConfig.Linear50PercentEvery30Seconds": (1, 50.0, 1),
              "AppConfig.Linear20PercentEvery6Minutes": (30, 20.0, 30), "AppConfig.Canary10Percent20Minutes": (20, 10.0, 10)}
RUNNING = ("DEPLOYING", "BAKING", "VALIDATING", "ROLLING_BACK")
SUCCEEDS = (("DEPLOYING", 50.0), ("BAKING", 100.0), ("COMPLETE", 100.0))


class rolled_back:
    """The deployment is taken back, by USER, APPCONFIG, CLOUDWATCH_ALARM or INTERNAL_ERROR."""

    def __init__(self, by, description, states=(("DEPLOYING", 20.0), ("ROLLING_BACK", 20.0), ("ROLLED_BACK", 20.0))):
        self.by, self.description, self.states = by, description, states


class AppConfig(Script):
    service = "appconfig"

    def __init__(self):
        self.profiles, self.environments, self.deployments = {}, {}, []
        self.expected = {}
        self.strategies = set()
        # Version labels and contents of each profile, by number.
        self.versions = {}

    # For scenarios

    def profile(self, application, name, uri="hosted", kind="AWS.Freeform", invalid=None):
        """`invalid` takes a content and gives the validator's reason, or None."""
        self.profiles[application, name] = {"uri": uri, "kind": kind, "invalid": invalid}

    def environment(self, application, name):
        self.environments[application, name] = True

    def next(self, application, environment, course):
        """What comes of the environment's next deployments, in order: states with percentages, or `rolled_back`."""
        self.expected.setdefault((application, environment), []).append(course)

    # The service

    def _profile(self, given):
        found = self.profiles.get((given["ApplicationId"], given["ConfigurationProfileId"]))
        if found is None:
            raise AwsError("ResourceNotFoundException", "Configuration Profile not found.", ResourceName="ConfigurationProfile")
        return found

    def _environment(self, given):
        if given["ApplicationId"] not in {application for application, _ in self.environments}:
            raise AwsError("ResourceNotFoundException", "Application not found.", ResourceName="Application")
        if (given["ApplicationId"], given["EnvironmentId"]) not in self.environments:
            raise AwsError("ResourceNotFoundException", "Environment not found.", ResourceName="Environment")

    def get_configuration_profile(self, call):
        found = self._profile(call.input)
        return {"ApplicationId": call.input["ApplicationId"], "Id": call.input["ConfigurationProfileId"], "Name": "settings",
                "LocationUri": found["uri"], "Type": found["kind"]}

    def get_environment(self, call):
        self._environment(call.input)
        running = self._running(call.input)
        return {"ApplicationId": call.input["ApplicationId"], "Id": call.input["EnvironmentId"], "Name": "prod",
                "State": "DEPLOYING" if running else "READY_FOR_DEPLOYMENT"}

    def create_hosted_configuration_version(self, call):
        given, profile = call.input, self._profile(call.input)
        if profile["uri"] != "hosted":
            raise AwsError("BadRequestException", "Hosted configuration versions can be created only for profiles whose location is "
                                                  "hosted.")
        if len(given["Content"]) > CONTENT_MAX:
            raise AwsError("PayloadTooLargeException", "Configuration content is too large.", Measure="KILOBYTES", Limit=1024.0,
                           Size=len(given["Content"]) / 1024)
        versions = self.versions.setdefault((given["ApplicationId"], given["ConfigurationProfileId"]), [])
        if "LatestVersionNumber" in given and given["LatestVersionNumber"] != len(versions):
            raise AwsError("ConflictException", "The latest version is another one.")
        if given.get("VersionLabel") in [one["label"] for one in versions if one["label"]]:
            raise AwsError("ConflictException", f"Version label {given['VersionLabel']} is in use.")
        if profile["kind"] == "AWS.AppConfig.FeatureFlags":
            try:
                json.loads(given["Content"])
            except ValueError as error:
                raise AwsError("BadRequestException", "Feature flags are JSON.", Reason="InvalidConfiguration") from error
        versions.append({"content": given["Content"], "type": given["ContentType"], "label": given.get("VersionLabel"),
                         "description": given.get("Description")})
        told = {name: given[name] for name in ("Description", "VersionLabel") if name in given}
        return {"ApplicationId": given["ApplicationId"], "ConfigurationProfileId": given["ConfigurationProfileId"],
                "VersionNumber": len(versions), "Content": given["Content"], "ContentType": given["ContentType"], **told}

    def list_hosted_configuration_versions(self, call):
        self._profile(call.input)
        versions = self.versions.get((call.input["ApplicationId"], call.input["ConfigurationProfileId"]), [])
        wanted = call.input.get("VersionLabel")
        return {"Items": [{"ApplicationId": call.input["ApplicationId"], "ConfigurationProfileId": call.input["ConfigurationProfileId"],
                           "VersionNumber": number, "ContentType": one["type"], **({"VersionLabel": one["label"]} if one["label"] else {})}
                          for number, one in enumerate(versions, 1) if wanted in (None, one["label"])]}

    def _running(self, given):
        return next((one for one in self.deployments if one["place"] == (given["ApplicationId"], given["EnvironmentId"])
                     and one["course"].now[0] in RUNNING), None)

    def start_deployment(self, call):
        given, profile = call.input, self._profile(call.input)
        self._environment(given)
        strategy = given["DeploymentStrategyId"]
        if strategy not in PREDEFINED and strategy not in self.strategies:
            raise AwsError("ResourceNotFoundException", "Deployment Strategy not found.", ResourceName="DeploymentStrategy")
        running = self._running(given)
        if running:
            raise AwsError("ConflictException", f"Deployment number {running['number']} already in progress.")
        versions = self.versions.get((given["ApplicationId"], given["ConfigurationProfileId"]), [])
        if profile["uri"] == "hosted":
            number = given["ConfigurationVersion"]
            if not number.isdigit() or not 0 < int(number) <= len(versions):
                raise AwsError("ResourceNotFoundException", f"Hosted configuration version {number} not found.",
                               ResourceName="HostedConfigurationVersion")
            reason = profile["invalid"] and profile["invalid"](versions[int(number) - 1]["content"])
            if reason:
                told = [{"Constraint": "type", "Location": "$", "Reason": reason, "Type": "JSON_SCHEMA", "Value": ""}]
                raise AwsError("BadRequestException", "Error invoking validator: the configuration is not valid.",
                               Reason="InvalidConfiguration", Details={"InvalidConfiguration": told})
        place = (given["ApplicationId"], given["EnvironmentId"])
        waiting = self.expected.get(place, [])
        ending = waiting.pop(0) if waiting else SUCCEEDS
        states = ending.states if isinstance(ending, rolled_back) else ending
        number = 1 + sum(1 for one in self.deployments if one["place"] == place)
        made = {"place": place, "number": number, "course": Course(*states), "ending": ending, "given": given, "started": now(),
                "events": [{"EventType": "DEPLOYMENT_STARTED", "TriggeredBy": "USER", "Description": "Deployment started",
                            "OccurredAt": now()}]}
        self.deployments.append(made)
        return self._told(made, states[0])

    def _told(self, made, look):
        given, (state, percent) = made["given"], look
        told = {"ApplicationId": made["place"][0], "EnvironmentId": made["place"][1], "DeploymentNumber": made["number"],
                "ConfigurationProfileId": given["ConfigurationProfileId"], "ConfigurationName": "settings",
                "ConfigurationLocationUri": self.profiles[made["place"][0], given["ConfigurationProfileId"]]["uri"],
                "ConfigurationVersion": given["ConfigurationVersion"], "State": state, "StartedAt": made["started"],
                "EventLog": made["events"][::-1]}
        if "Description" in given:
            told["Description"] = given["Description"]
        if given["DeploymentStrategyId"] in PREDEFINED:
            minutes, growth, bake = PREDEFINED[given["DeploymentStrategyId"]]
            told.update(DeploymentDurationInMinutes=minutes, GrowthFactor=growth, FinalBakeTimeInMinutes=bake, GrowthType="LINEAR")
        else:
            told["DeploymentStrategyId"] = given["DeploymentStrategyId"]
        if percent:
            told["PercentageComplete"] = float(percent)
        if state not in RUNNING:
            told["CompletedAt"] = now()
        return told

    def _deployment(self, given):
        self._environment(given)
        for one in self.deployments:
            if one["place"] == (given["ApplicationId"], given["EnvironmentId"]) and one["number"] == given["DeploymentNumber"]:
                return one
        raise AwsError("ResourceNotFoundException", "Deployment not found.", ResourceName="Deployment")

    def get_deployment(self, call):
        made = self._deployment(call.input)
        look = made["course"].look()
        kinds = {event["EventType"] for event in made["events"]}
        ending = made["ending"]
        if look[0] in ("ROLLING_BACK", "ROLLED_BACK") and "ROLLBACK_STARTED" not in kinds and isinstance(ending, rolled_back):
            made["events"].append({"EventType": "ROLLBACK_STARTED", "TriggeredBy": ending.by, "Description": ending.description,
                                   "OccurredAt": now()})
        if look[0] == "ROLLED_BACK" and "ROLLBACK_COMPLETED" not in kinds:
            made["events"].append({"EventType": "ROLLBACK_COMPLETED", "TriggeredBy": "APPCONFIG", "Description": "Rollback completed",
                                   "OccurredAt": now()})
        return self._told(made, look)

    def stop_deployment(self, call):
        made = self._deployment(call.input)
        state, percent = made["course"].now
        if state not in ("DEPLOYING", "BAKING") and not call.input.get("AllowRevert"):
            raise AwsError("BadRequestException", f"Deployment {made['number']} is {state} and cannot be stopped.")
        made["events"].append({"EventType": "ROLLBACK_STARTED", "TriggeredBy": "USER", "Description": "Deployment stopped by a user",
                               "OccurredAt": now()})
        made["course"].go(("ROLLED_BACK", percent))
        return self._told(made, ("ROLLED_BACK", percent))

    def list_deployments(self, call):
        self._environment(call.input)
        place = (call.input["ApplicationId"], call.input["EnvironmentId"])
        found = [one for one in reversed(self.deployments) if one["place"] == place]
        names = ("DeploymentNumber", "ConfigurationName", "ConfigurationVersion", "State", "StartedAt", "PercentageComplete")
        told = [self._told(one, one["course"].now) for one in found]
        return {"Items": [{name: one[name] for name in names if name in one} for one in told][:call.input.get("MaxResults", 50)]}
