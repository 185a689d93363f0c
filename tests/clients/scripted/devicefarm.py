"""Device Farm: uploads that are put to a URL and then processed, and runs with their counters. It is in us-west-2 alone.

Uploads and runs go one state further each time they are looked at. What comes of the next run is told before:

    farm = DeviceFarm()
    project = farm.project()
    farm.next("PENDING", "RUNNING", "COMPLETED", result="FAILED", failed=2)
    farm.refuse("TEST_PACKAGE", "The archive holds no tests.")
"""

import uuid

from scripted_aws import AwsError, Course, Script, now

SPECLESS = ("XCTEST", "BUILTIN_FUZZ")


class DeviceFarm(Script):
    service = "devicefarm"

    def __init__(self, account="123456789012"):
        self.prefix = f"arn:aws:devicefarm:us-west-2:{account}:"
        self.projects, self.pools, self.uploads, self.runs = {}, set(), {}, {}
        self.expected, self.refusals = [], {}

    # For scenarios

    def project(self, identity="edc6a2ba-9b2d-4c2b-a4a1-7f4d1c5f7d5a", name="ferry"):
        """A project; gives its id. Its device pool is `pool`."""
        self.projects[f"{self.prefix}project:{identity}"] = name
        self.pools.add(self.pool(identity))
        return identity

    def pool(self, identity="edc6a2ba-9b2d-4c2b-a4a1-7f4d1c5f7d5a"):
        return f"{self.prefix}devicepool:{identity}/8dc2e6b1-0c8e-4a3e-9d06-6f1c1d6d1f11"

    def next(self, *statuses, result="PASSED", message=None, code=None, passed=3, failed=0, errored=0):
        """What comes of the next runs, in order."""
        self.expected.append({"statuses": statuses or ("SCHEDULING", "RUNNING", "COMPLETED"), "result": result, "message": message,
                              "code": code, "passed": passed, "failed": failed, "errored": errored})

    def refuse(self, ending, message):
        """Uploads whose type ends so fail when they are processed."""
        self.refusals[ending] = message

    # The service

    def answers(self, operation):
        made = super().answers(operation)
        if made is None:
            return None

        def in_its_region(call):
            if call.region != "us-west-2":
                raise RuntimeError(f"Device Farm is asked in {call.region}; it is in us-west-2 alone")
            return made(call)
        return in_its_region

    def _project(self, arn):
        if arn not in self.projects:
            raise AwsError("NotFoundException", f"No project found for arn {arn}")

    def list_projects(self, call):
        return {"projects": [{"arn": arn, "name": name, "created": now()} for arn, name in self.projects.items()]}

    def list_device_pools(self, call):
        self._project(call.input["arn"])
        return {"devicePools": [{"arn": arn, "name": "Top Devices", "type": "CURATED"} for arn in sorted(self.pools)]}

    def get_device_pool(self, call):
        if call.input["arn"] not in self.pools:
            raise AwsError("NotFoundException", f"No device pool found for arn {call.input['arn']}")
        return {"devicePool": {"arn": call.input["arn"], "name": "Top Devices", "type": "CURATED"}}

    def create_upload(self, call):
        given = call.input
        self._project(given["projectArn"])
        identity = str(uuid.uuid4())
        arn = f"{self.prefix}upload:{given['projectArn'].rsplit(':', 1)[-1]}/{identity}"
        self.uploads[arn] = {"name": given["name"], "type": given["type"], "content": given.get("contentType"), "body": None,
                             "url": f"{self.aws.url}/devicefarm-uploads/{identity}", "made": now(), "course": None}
        return {"upload": self._upload(arn, "INITIALIZED")}

    def plain(self, method, path, headers, body):
        """The presigned place of an upload: the bytes with the content type that was told before."""
        for upload in self.uploads.values():
            if self.aws.url + path == upload["url"]:
                if method != "PUT":
                    return 405, {}, b""
                if (headers.get("content-type") or None) != upload["content"]:
                    return 403, {"Content-Type": "application/xml"}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
                upload["body"] = body
                fails = next((text for ending, text in self.refusals.items() if upload["type"].endswith(ending)), None)
                upload["course"] = Course("PROCESSING", "FAILED" if fails else "SUCCEEDED")
                upload["message"] = fails
                return 200, {}, b""
        return None

    def _upload(self, arn, status):
        upload = self.uploads[arn]
        told = {"arn": arn, "name": upload["name"], "type": upload["type"], "status": status, "created": upload["made"],
                "category": "PRIVATE"}
        if upload["content"]:
            told["contentType"] = upload["content"]
        if status == "INITIALIZED":
            told["url"] = upload["url"]
        if status == "FAILED":
            told.update(message=upload["message"], metadata='{"errorMessage": "' + upload["message"] + '"}')
        return told

    def get_upload(self, call):
        arn = call.input["arn"]
        if arn not in self.uploads:
            raise AwsError("NotFoundException", f"No upload found for arn {arn}")
        course = self.uploads[arn]["course"]
        return {"upload": self._upload(arn, course.look() if course else "INITIALIZED")}

    def _ready(self, arn, what):
        upload = self.uploads.get(arn)
        if upload is None:
            raise AwsError("NotFoundException", f"No upload found for arn {arn}")
        if upload["course"] is None or upload["course"].now != "SUCCEEDED":
            raise AwsError("ArgumentException", f"The {what} {arn} is not ready.")
        return upload["type"]

    def schedule_run(self, call):
        given, test = call.input, call.input["test"]
        self._project(given["projectArn"])
        if given.get("devicePoolArn") not in self.pools:
            raise AwsError("NotFoundException", f"No device pool found for arn {given.get('devicePoolArn')}")
        web = test["type"].startswith("APPIUM_WEB_")
        if web == ("appArn" in given):
            raise AwsError("ArgumentException", "A web test has no app." if web else "An app is needed for this type of test.")
        if not web and self._ready(given["appArn"], "app") not in ("ANDROID_APP", "IOS_APP"):
            raise AwsError("ArgumentException", "That is no app.")
        if test["type"] != "BUILTIN_FUZZ":
            package = self._ready(test.get("testPackageArn"), "test package")
            if package != f"{test['type']}_TEST_PACKAGE":
                raise AwsError("ArgumentException", f"A test package of type {package} is not one for {test['type']}.")
        if "testSpecArn" in test:
            if test["type"] in SPECLESS or self._ready(test["testSpecArn"], "test spec") != f"{test['type']}_TEST_SPEC":
                raise AwsError("ArgumentException", "The test spec is not one for this type of test.")
        arn = f"{self.prefix}run:{given['projectArn'].rsplit(':', 1)[-1]}/{uuid.uuid4()}"
        self.next() if not self.expected else None
        plan = self.expected.pop(0)
        self.runs[arn] = {"name": given.get("name", ""), "given": given, "plan": plan, "made": now(), "course": Course(*plan["statuses"])}
        return {"run": self._run(arn, plan["statuses"][0])}

    def _run(self, arn, status):
        run = self.runs[arn]
        plan, jobs = run["plan"], 4
        over = status == "COMPLETED"
        counters = {"total": plan["passed"] + plan["failed"] + plan["errored"], "passed": plan["passed"], "failed": plan["failed"],
                    "warned": 0, "errored": plan["errored"], "stopped": 0, "skipped": 0}
        told = {"arn": arn, "name": run["name"], "type": run["given"]["test"]["type"], "platform": "ANDROID", "created": run["made"],
                "status": status, "result": plan["result"] if over else "PENDING", "totalJobs": jobs,
                "completedJobs": jobs if over else jobs // 2 if status == "RUNNING" else 0}
        if over:
            told.update(counters=counters, stopped=now())
            told.update({name: value for name, value in (("message", plan["message"]), ("resultCode", plan["code"])) if value})
        return told

    def get_run(self, call):
        arn = call.input["arn"]
        if arn not in self.runs:
            raise AwsError("NotFoundException", f"No run found for arn {arn}")
        return {"run": self._run(arn, self.runs[arn]["course"].look())}

    def list_runs(self, call):
        self._project(call.input["arn"])
        return {"runs": [self._run(arn, self.runs[arn]["course"].now) for arn in reversed(self.runs)]}

    def stop_run(self, call):
        arn = call.input["arn"]
        if arn not in self.runs:
            raise AwsError("NotFoundException", f"No run found for arn {arn}")
        run = self.runs[arn]
        if run["course"].now != "COMPLETED":
            run["plan"]["result"] = "STOPPED"
            run["course"].go("STOPPING", "COMPLETED")
        return {"run": self._run(arn, run["course"].now)}
