"""ECS as its deployers see it: services, task definitions with their revisions, and rollouts that end well, ill or never.

A rollout goes one step further each time DescribeServices (of blue/green, DescribeServiceDeployments) looks at it. What comes of
the next update of a service is told before:

    ecs = Ecs()
    ecs.run("web", containers=[{"name": "app", "image": "app:1", "memory": 128}])
    ecs.next("web", breaker(rolls_back=True))        # else: in progress, then complete
"""

import copy
import json
import random

from scripted_aws import AwsError, Script, now

# Members of a described task definition that RegisterTaskDefinition does not take.
OUTPUT_ONLY = ("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt", "registeredBy",
               "deregisteredAt", "deleteRequestedAt")
CODE_DEPLOY = ("Unable to update task definition on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to "
               "trigger a new deployment.")


# What comes of a rollout: steps, each given the service and the deployment. A step that gives True is made again.


def completes(looks=1):
    """So many looks in progress, then complete."""
    return [_goes_on] * looks + [_complete]


def breaker(reason="ECS deployment circuit breaker: tasks failed to start.", rolls_back=False, looks=1, exit_code=1,
            stopped="Essential container in task exited"):
    """The circuit breaker fires; the tasks that did not start tell why."""
    def fires(service, deployment):
        deployment.update(rolloutState="FAILED", rolloutStateReason=reason, failedTasks=3, runningCount=0)
        service.tasks.append({"deployment": deployment["id"], "definition": deployment["taskDefinition"], "reason": stopped,
                              "exit": exit_code})
        service.told(f"(service {service.name}) (deployment {deployment['id']}) deployment failed: tasks failed to start.")
        if rolls_back:
            service.roll_back(deployment)
    return [_goes_on] * looks + [fires]


def never(event="was unable to place a task because no container instance met all of its requirements."):
    """It stays in progress: no circuit breaker, and tasks that do not come up."""
    def stuck(service, deployment):
        _goes_on(service, deployment)
        deployment["failedTasks"] += 1
        # Who only looks does not make it say more.
        if deployment["failedTasks"] == 1:
            service.told(f"(service {service.name}) {event}")
        return True
    return [stuck]


def replaced(looks=1):
    """Somebody else updates the service meanwhile."""
    def other(service, deployment):
        service.deploy(service.ecs.revised(deployment["taskDefinition"]), [_complete])
    return [_goes_on] * looks + [other]


def drains(looks=1):
    """The service is deleted meanwhile."""
    def gone(service, _):
        service.status = "DRAINING"
    return [_goes_on] * looks + [gone]


def silent(looks=1):
    """Without a rolloutState, as a service behind a Classic Load Balancer has it: only counts tell."""
    def counting(_, deployment):
        deployment.pop("rolloutState", None)

    def stable(service, deployment):
        deployment.pop("rolloutState", None)
        deployment.update(runningCount=deployment["desiredCount"], pendingCount=0)
        service.deployments[:] = [deployment]
    return [counting] * looks + [stable]


class blue_green:
    """The course of a service deployment, of a service whose strategy is not ROLLING."""

    def __init__(self, *statuses, reason=None, rollback=None):
        self.statuses = list(statuses or ("PENDING", "IN_PROGRESS", "SUCCESSFUL"))
        self.reason, self.rollback = reason, rollback

    def look(self, _):
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def stop(self, _, rolls):
        self.statuses = ["ROLLBACK_REQUESTED", "ROLLBACK_SUCCESSFUL"] if rolls else ["STOP_REQUESTED", "STOPPED"]


class rolling:
    """The service deployment of a rolling update, which stands as its deployment does."""

    reason = rollback = None

    def __init__(self, deployment):
        self.deployment = deployment

    def look(self, service):
        state = self.deployment.get("rolloutState")
        if state == "FAILED":
            return "ROLLBACK_SUCCESSFUL" if self.deployment["status"] != "PRIMARY" else "STOPPED"
        stable = state == "COMPLETED" or (state is None and service.deployments == [self.deployment]
                                          and self.deployment["runningCount"] == self.deployment["desiredCount"])
        return "SUCCESSFUL" if stable else "IN_PROGRESS"

    def stop(self, service, rolls):
        self.deployment.update(rolloutState="FAILED", rolloutStateReason=f"ECS deployment {self.deployment['id']} was stopped.")
        service.steps = []
        if rolls:
            service.roll_back(self.deployment)


def _goes_on(_, deployment):
    deployment.update(rolloutState="IN_PROGRESS", rolloutStateReason=f"ECS deployment {deployment['id']} in progress.", pendingCount=1)


def _complete(service, deployment):
    deployment.update(rolloutState="COMPLETED", rolloutStateReason=f"ECS deployment {deployment['id']} completed.",
                      pendingCount=0, runningCount=deployment["desiredCount"])
    service.deployments[:] = [deployment]
    service.told(f"(service {service.name}) has reached a steady state.")


class Service:
    def __init__(self, ecs, name, cluster, definition, controller, desired, strategy):
        self.ecs, self.name, self.cluster, self.controller, self.desired = ecs, name, cluster, controller, desired
        self.status, self.strategy, self.definition = "ACTIVE", strategy, definition
        self.deployments, self.events, self.tasks, self.coming, self.steps = [], [], [], [], []
        self.watched, self.rollouts = None, {}
        if controller == "ECS":
            _complete(self, self.deploy(definition, []))

    def deploy(self, definition, steps):
        """A new deployment is the primary one; the others are drained."""
        self.definition = definition
        for other in self.deployments:
            other["status"] = "ACTIVE"
        made = {"id": f"ecs-svc/{random.randrange(10**18, 10**19)}", "status": "PRIMARY", "taskDefinition": definition,
                "desiredCount": self.desired, "pendingCount": 0, "runningCount": 0, "failedTasks": 0, "createdAt": now(),
                "updatedAt": now(), "launchType": "EC2"}
        if self.strategy == "ROLLING":
            made.update(rolloutState="IN_PROGRESS", rolloutStateReason=f"ECS deployment {made['id']} in progress.")
        self.deployments.insert(0, made)
        self.watched = made
        self.steps = list(steps)
        return made

    def roll_back(self, failed):
        """To what ran before, as a deployment of its own."""
        old = next(one["taskDefinition"] for one in self.deployments if one is not failed)
        back = self.deploy(old, [_complete])
        back["rolloutStateReason"] = f"ECS deployment circuit breaker: rolling back to deploymentId {back['id']}."
        self.deployments[:] = [back, failed]

    def told(self, text):
        identity = f"{random.randrange(16**8):08x}-0000-4000-8000-000000000000"
        self.events.insert(0, {"id": identity, "createdAt": now(), "message": text})

    def look(self):
        if self.steps:
            watched = self.watched
            step = self.steps[0]
            if not step(self, watched) and self.steps and self.steps[0] is step and self.watched is watched:
                self.steps.pop(0)


class Ecs(Script):
    service = "ecs"

    def __init__(self, account="123456789012", region="us-east-1"):
        self.place = f"arn:aws:ecs:{region}:{account}:"
        self.services = {}
        self.clusters = {"default"}
        # Revisions of each family, the first one first.
        self.families = {}
        self.tags = {}

    # For scenarios

    def define(self, family="web", containers=None, tags=(), **more):
        """A revision of a task definition that is there already; gives its ARN."""
        containers = containers or [{"name": "app", "image": "registry.example/app:1", "memory": 128}]
        return self._registered({"family": family, "containerDefinitions": containers, **more}, list(tags))

    def run(self, name, cluster="default", family=None, containers=None, controller="ECS", desired=2, strategy="ROLLING", **more):
        """A service that runs and is stable; gives the ARN of its task definition."""
        definition = self.define(family or name, containers, **more)
        self.clusters.add(cluster)
        self.services[cluster, name] = Service(self, name, cluster, definition, controller, desired, strategy)
        return definition

    def next(self, name, steps, cluster="default"):
        """What comes of the service's next updates, in order."""
        self.services[cluster, name].coming.append(steps)

    def of(self, name, cluster="default"):
        return self.services[cluster, name]

    def definition(self, arn):
        family, number = arn.rsplit("/", 1)[-1].split(":")
        return self.families[family][int(number) - 1]

    def revised(self, arn):
        """The same once more, as somebody else would register it."""
        base = {key: value for key, value in self.definition(arn).items() if key not in OUTPUT_ONLY}
        return self._registered(copy.deepcopy(base), [])

    # The service

    def _cluster(self, given):
        name = given.get("cluster", "default").rsplit("/", 1)[-1]
        if name not in self.clusters:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return name

    def _service(self, given, name):
        cluster = self._cluster(given)
        found = self.services.get((cluster, name.rsplit("/", 1)[-1]))
        if found is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        if found.status != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        return found

    def _registered(self, given, tags):
        revisions = self.families.setdefault(given["family"], [])
        made = {**given, "revision": len(revisions) + 1, "status": "ACTIVE", "compatibilities": ["EC2"], "registeredAt": now(),
                "taskDefinitionArn": f"{self.place}task-definition/{given['family']}:{len(revisions) + 1}"}
        revisions.append(made)
        self.tags[made["taskDefinitionArn"]] = tags
        return made["taskDefinitionArn"]

    def register_task_definition(self, call):
        sent = json.loads(call.body)
        wrong = [name for name in OUTPUT_ONLY if name in sent]
        if wrong:
            raise AwsError("InvalidParameterException", f"Members of the answer were sent back: {wrong}")
        given = dict(call.input)
        if not given["containerDefinitions"]:
            raise AwsError("ClientException", "Task definition must have at least one container definition.")
        for container in given["containerDefinitions"]:
            if not container.get("image"):
                raise AwsError("ClientException", "Container.image should not be null or empty.")
        if not any(container.get("essential", True) for container in given["containerDefinitions"]):
            raise AwsError("ClientException", "Invalid setting for container. At least one container has to be essential.")
        if "FARGATE" in given.get("requiresCompatibilities", []):
            if not given.get("cpu"):
                raise AwsError("ClientException", "Fargate requires that 'cpu' be defined at the task level.")
            if not given.get("memory"):
                raise AwsError("ClientException", "Fargate requires that 'memory' be defined at the task level.")
            if given.get("networkMode") != "awsvpc":
                raise AwsError("ClientException", "Fargate only supports network mode 'awsvpc'.")
        tags = given.pop("tags", [])
        arn = self._registered(given, tags)
        return {"taskDefinition": self.definition(arn), **({"tags": tags} if tags else {})}

    def describe_task_definition(self, call):
        named = call.input["taskDefinition"].rsplit("/", 1)[-1]
        family, _, number = named.partition(":")
        revisions = self.families.get(family, [])
        if not revisions or (number and not 0 < int(number) <= len(revisions)):
            raise AwsError("ClientException", "Unable to describe task definition.")
        found = revisions[int(number) - 1] if number else revisions[-1]
        tags = self.tags[found["taskDefinitionArn"]] if "TAGS" in call.input.get("include", []) else []
        return {"taskDefinition": found, **({"tags": tags} if tags else {})}

    def describe_services(self, call):
        cluster = self._cluster(call.input)
        found, failures = [], []
        for name in call.input["services"]:
            name = name.rsplit("/", 1)[-1]
            service = self.services.get((cluster, name))
            if service is None:
                failures.append({"arn": call.arn(f"service/{cluster}/{name}"), "reason": "MISSING"})
            else:
                service.look()
                found.append(self._told(call, service))
        return {"services": found, "failures": failures}

    def _told(self, call, service):
        arn = call.arn(f"service/{service.cluster}/{service.name}")
        told = {"serviceArn": arn, "serviceName": service.name, "clusterArn": call.arn(f"cluster/{service.cluster}"),
                "status": service.status, "desiredCount": service.desired, "taskDefinition": service.definition,
                "runningCount": sum(one["runningCount"] for one in service.deployments),
                "pendingCount": sum(one["pendingCount"] for one in service.deployments),
                "deployments": copy.deepcopy(service.deployments), "events": list(service.events[:100]),
                "deploymentController": {"type": service.controller}, "schedulingStrategy": "REPLICA",
                "deploymentConfiguration": {"maximumPercent": 200, "minimumHealthyPercent": 100, "strategy": service.strategy,
                                            "deploymentCircuitBreaker": {"enable": True, "rollback": False}}}
        if service.rollouts:
            told["currentServiceDeployment"] = list(service.rollouts)[-1]
        return told

    def update_service(self, call):
        service = self._service(call.input, call.input["service"])
        definition = call.input.get("taskDefinition")
        if definition and service.controller == "CODE_DEPLOY":
            raise AwsError("InvalidParameterException", CODE_DEPLOY)
        if definition and service.controller == "EXTERNAL":
            raise AwsError("InvalidParameterException", "Unable to update task definition on services with an EXTERNAL deployment "
                                                        "controller.")
        if definition:
            family, _, number = definition.rsplit("/", 1)[-1].partition(":")
            revisions = self.families.get(family, [])
            if not revisions or (number and not 0 < int(number) <= len(revisions)):
                raise AwsError("ClientException", "TaskDefinition not found.")
            definition = revisions[int(number) - 1 if number else -1]["taskDefinitionArn"]
        # The same task definition again starts nothing, unless it is forced.
        if definition and (definition != service.definition or call.input.get("forceNewDeployment")):
            steps = service.coming.pop(0) if service.coming else None
            arn = call.arn(f"service-deployment/{service.cluster}/{service.name}/{random.randrange(16**20):020x}")
            if service.strategy == "ROLLING":
                service.rollouts[arn] = rolling(service.deploy(definition, completes() if steps is None else steps))
            else:
                service.deploy(definition, [])
                service.rollouts[arn] = steps or blue_green()
        return {"service": self._told(call, service)}

    def describe_service_deployments(self, call):
        found, failures = [], []
        for arn in call.input["serviceDeploymentArns"]:
            service = next((one for one in self.services.values() if arn in one.rollouts), None)
            if service is None:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            course = service.rollouts[arn]
            status = course.look(service)
            if status == "SUCCESSFUL":
                service.deployments[:] = service.deployments[:1]
            told = {"serviceDeploymentArn": arn, "serviceArn": call.arn(f"service/{service.cluster}/{service.name}"),
                    "clusterArn": call.arn(f"cluster/{service.cluster}"), "status": status, "createdAt": now()}
            if course.reason:
                told["statusReason"] = course.reason
            if course.rollback and status.startswith("ROLLBACK"):
                told["rollback"] = {"reason": course.rollback, "startedAt": now()}
            found.append(told)
        return {"serviceDeployments": found, "failures": failures}

    def list_service_deployments(self, call):
        service = self._service(call.input, call.input["service"])
        return {"serviceDeployments": [{"serviceDeploymentArn": arn, "createdAt": now()} for arn in reversed(service.rollouts)]}

    def stop_service_deployment(self, call):
        arn = call.input["serviceDeploymentArn"]
        service = next((one for one in self.services.values() if arn in one.rollouts), None)
        if service is None:
            raise AwsError("ServiceDeploymentNotFoundException", "The service deployment was not found.")
        rolls = call.input.get("stopType", "ROLLBACK") == "ROLLBACK"
        service.rollouts[arn].stop(service, rolls)
        return {"serviceDeploymentArn": arn}

    def list_tasks(self, call):
        cluster, given = self._cluster(call.input), call.input
        if "startedBy" in given and len(set(given) - {"cluster", "startedBy", "desiredStatus"}) > 0:
            raise AwsError("InvalidParameterException", "cannot specify startedBy with other filters")
        arns = []
        for (place, name), service in self.services.items():
            if place == cluster and given.get("serviceName", name).rsplit("/", 1)[-1] == name:
                arns += [self._task(call, service, at) for at, task in enumerate(service.tasks)
                         if given.get("startedBy") in (None, task["deployment"])]
        return {"taskArns": arns if given.get("desiredStatus", "STOPPED") == "STOPPED" or "startedBy" in given else []}

    def _task(self, call, service, at):
        return call.arn(f"task/{service.cluster}/{service.name}{at:016x}")

    def describe_tasks(self, call):
        cluster = self._cluster(call.input)
        known = {self._task(call, service, at): (service, task) for (place, _), service in self.services.items()
                 if place == cluster for at, task in enumerate(service.tasks)}
        tasks, failures = [], []
        for arn in call.input["tasks"]:
            if arn not in known:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            service, task = known[arn]
            container = self.definition(task["definition"])["containerDefinitions"][0]["name"]
            tasks.append({"taskArn": arn, "taskDefinitionArn": task["definition"], "clusterArn": call.arn(f"cluster/{cluster}"), "lastStatus": "STOPPED",
                          "desiredStatus": "STOPPED", "startedBy": task["deployment"], "stoppedReason": task["reason"],
                          "stopCode": "EssentialContainerExited", "stoppedAt": now(),
                          "containers": [{"name": container, "lastStatus": "STOPPED", "exitCode": task["exit"],
                                          "reason": "Error: process exited"}]})
        return {"tasks": tasks, "failures": failures}
