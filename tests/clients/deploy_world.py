"""What scenarios of deploy actions stand on: pipelines of a source and one deployment, a realm that is partly moto's server,
and what `towpath logs` shows of an action.
"""

import subprocess

import boto3 as aws

from harness import REGION, Pipelines, action, bucket, equal, pipeline, role, s3_source, source, stage

SOURCE = stage("Source", s3_source())
STAGING = 'staging-bucket = "staging"\n'


def at(moto, service):
    return aws.client(service, endpoint_url=moto.url, region_name=REGION, aws_access_key_id="testing",
                      aws_secret_access_key="testing")


def elsewhere(moto, *services):
    """More of a realm: services that are at moto's server."""
    return STAGING + "\n[realm.lab.endpoints]\n" + "".join(f'{service} = "{moto.url}"\n' for service in services)


class World:
    """Pipelines with one deploy action each, in the stage Ship, behind the stages that are given."""

    def __init__(self, files, *before):
        self.runs, self.arn = Pipelines(), role()
        self.before = before or (SOURCE,)
        bucket("artifacts")
        source(files)

    def declare(self, name, *deploys):
        declared = pipeline(name, self.arn, *self.before, stage("Ship", *deploys), pipelineType="V2")
        self.runs.api.create_pipeline(pipeline=declared)
        return self.runs.first(name)

    def shipped(self, name, *deploys):
        execution = self.declare(name, *deploys)
        self.runs.ended(name, execution, "Succeeded")
        return self.row(name, execution)

    def again(self, name, want):
        """Another execution, to its end."""
        execution = self.runs.api.start_pipeline_execution(name=name)["pipelineExecutionId"]
        self.runs.ended(name, execution, want)
        return execution

    def error(self, name, deploy):
        """Code and message of the failure."""
        self.runs.ended(name, self.declare(name, deploy), "Failed")
        return self.told(name)

    def told(self, name):
        details = self.latest(name)["errorDetails"]
        return details["code"], details["message"]

    def latest(self, name):
        return self.runs.action_latest(name, "Ship", "Go")

    def row(self, name, execution):
        return next(row for row in self.runs.actions(name, execution) if row["stageName"] == "Ship")


def deploy(provider, inputs=("src",), **keys):
    return action("Go", "Deploy", provider, keys, inputs=list(inputs))


def logs(server, name):
    """The lines that `towpath logs` shows of the deployment."""
    shown = subprocess.run([server.binary, "logs", name, "--action", "Ship/Go"], capture_output=True, text=True, timeout=60)
    equal(shown.returncode, 0, shown.stderr)
    return shown.stdout.splitlines()
