"""Connections to git hosts and the sources that use them: CodeStarSourceConnection and GitHub version 1, over HTTP with
tokens and over SSH, with statuses written back. Each scenario starts its own server and its own git hosts.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading

from git_hosts import GitHost, SshHost, git
from harness import (
    ABSENT_ID,
    ACCOUNT,
    EVERYTHING,
    REGION,
    Pipelines,
    Server,
    Wire,
    action,
    bucket,
    client,
    equal,
    holds,
    main,
    matches,
    pipeline,
    refused,
    role,
    stage,
    wait,
)

TOKEN = "glpat-Zx81-a-token-nobody-else-sees"
OTHER = "ghp-0another-token"
FILES = {"index.html": "<p>one", "docs/read.md": "text"}
USE = ("codeconnections:UseConnection", "codestar-connections:UseConnection")
NOT_FOUND = "Resource not found. Verify the connection resource ARN and try again."


def towpath(server, *arguments, secret=None, code=0):
    """The command, against the server; gives what it printed."""
    command = [server.binary, "connection", *arguments, "--endpoint-url", server.url, "--data-dir", str(server.data)]
    done = subprocess.run(command, input=secret, capture_output=True, text=True, timeout=60)
    equal(done.returncode, code, f"exit code ({done.stdout}{done.stderr})")
    return done.stdout + done.stderr


def connected(server, name, url, secret=TOKEN, kind="GitHub", service="codeconnections", more=()):
    """A connection that is available."""
    arn = client(service).create_connection(ConnectionName=name, ProviderType=kind)["ConnectionArn"]
    told = towpath(server, "set-token", arn, "--url", url, *more, secret=secret + "\n")
    equal(told, f"{arn} is AVAILABLE.\n", "what the command says")
    return arn


def from_connection(arn, repository, name="Take", branch="main", **configuration):
    keys = {"ConnectionArn": arn, "FullRepositoryId": repository, "BranchName": branch, **configuration}
    return action(name, "Source", "CodeStarSourceConnection", keys, outputs=["src"], namespace="Src")


def from_github(owner, repo, token, name="Take", branch="main"):
    keys = {"Owner": owner, "Repo": repo, "Branch": branch, "OAuthToken": token, "PollForSourceChanges": "false"}
    return action(name, "Source", "GitHub", keys, owner="ThirdParty", outputs=["src"], namespace="Src")


def to_site(name="Put"):
    keys = {"BucketName": "site", "Extract": "true", "ObjectKey": "#{Src.BranchName}"}
    return action(name, "Deploy", "S3", keys, inputs=["src"])


def prepared(actions=(*EVERYTHING, *USE)):
    bucket("artifacts")
    bucket("site")
    return role(actions=actions)


def ran(source, name="ferry", role_arn=None, want="Succeeded"):
    """A pipeline from this source to the site; gives its first execution and its actions by name."""
    pipelines = Pipelines()
    role_arn = role_arn or f"arn:aws:iam::{ACCOUNT}:role/pipeline"
    declared = pipeline(name, role_arn, stage("Source", source), stage("Release", to_site()), pipelineType="V2")
    pipelines.api.create_pipeline(pipeline=declared)
    execution = pipelines.first(name)
    pipelines.ended(name, execution, want)
    return execution, {row["actionName"]: row for row in pipelines.actions(name, execution)}


def failure(source, name, role_arn=None):
    _, actions = ran(source, name, role_arn, want="Failed")
    return actions["Take"]["output"]["executionResult"].get("errorDetails")


def site(key):
    return client("s3").get_object(Bucket="site", Key=key)["Body"].read().decode()


def api():
    """Both services, by every operation: ARNs, tags, pages, errors."""
    with tempfile.TemporaryDirectory() as directory, Server(directory) as server:
        for service, foreign in [("codeconnections", "codestar-connections"), ("codestar-connections", "s3")]:
            connections = client(service)
            tags = [{"Key": "team", "Value": "ferry"}]
            made = connections.create_connection(ConnectionName="hub", ProviderType="GitHub", Tags=tags)
            arn = made["ConnectionArn"]
            matches(arn, rf"arn:aws:{service}:{REGION}:{ACCOUNT}:connection/[0-9a-f-]{{36}}")
            equal(made["Tags"], tags)
            got = connections.get_connection(ConnectionArn=arn)["Connection"]
            want = {
                "ConnectionName": "hub",
                "ConnectionArn": arn,
                "ProviderType": "GitHub",
                "OwnerAccountId": ACCOUNT,
                "ConnectionStatus": "PENDING",
            }
            equal(got, want)
            refused(
                "ValidationException",
                "Either ProviderType or HostArn must be specified.",
                connections.create_connection,
                ConnectionName="x",
            )
            refused(
                "ValidationException",
                "A connection of the provider type GitLabSelfManaged needs a HostArn.",
                connections.create_connection,
                ConnectionName="x",
                ProviderType="GitLabSelfManaged",
            )
            host = connections.create_host(
                Name="our gitlab", ProviderType="GitLabSelfManaged", ProviderEndpoint="https://gitlab.example.com"
            )["HostArn"]
            matches(host, rf"arn:aws:{service}:{REGION}:{ACCOUNT}:host/our-gitlab-[0-9a-f]{{8}}")
            on_host = connections.create_connection(ConnectionName="own", HostArn=host)["ConnectionArn"]
            got = connections.get_connection(ConnectionArn=on_host)["Connection"]
            equal((got["ProviderType"], got["HostArn"]), ("GitLabSelfManaged", host))
            connections.update_host(HostArn=host, ProviderEndpoint="https://git.example.com")
            got = connections.get_host(HostArn=host)
            equal((got["Name"], got["ProviderEndpoint"], got["Status"]), ("our gitlab", "https://git.example.com", "AVAILABLE"))
            equal([row["HostArn"] for row in connections.list_hosts()["Hosts"] if service in row["HostArn"]], [host])
            refused(
                "ResourceUnavailableException",
                "The host has connections. Delete all connections of the host before you delete it.",
                connections.delete_host,
                HostArn=host,
            )
            # Pages, and filters.
            seen, token = [], None
            while True:
                more = {"NextToken": token} if token else {}
                page = connections.list_connections(MaxResults=1, **more)
                seen += [row["ConnectionArn"] for row in page["Connections"]]
                token = page.get("NextToken")
                if not token:
                    break
            equal([found for found in sorted(seen) if service in found], sorted([arn, on_host]))
            listed = connections.list_connections(HostArnFilter=host)["Connections"]
            equal([row["ConnectionArn"] for row in listed], [on_host])
            # Tags.
            connections.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "b"}, {"Key": "x", "Value": ""}])
            connections.untag_resource(ResourceArn=arn, TagKeys=["x", "y"])
            equal(connections.list_tags_for_resource(ResourceArn=arn)["Tags"], [{"Key": "team", "Value": "b"}])
            # What is not there.
            missing = arn[:-36] + ABSENT_ID
            for call in (connections.get_connection, connections.delete_connection):
                refused("ResourceNotFoundException", NOT_FOUND, call, ConnectionArn=missing)
            refused("ResourceNotFoundException", NOT_FOUND, connections.get_host, HostArn=host[:-1] + "x")
            connections.delete_connection(ConnectionArn=on_host)
            connections.delete_host(HostArn=host)
            connections.delete_connection(ConnectionArn=arn)
            refused("ResourceNotFoundException", NOT_FOUND, connections.get_connection, ConnectionArn=arn)
        # JSON 1.0, as the model says.
        wire = Wire("codeconnections", "com.amazonaws.codeconnections.CodeConnections_20231201")
        status, headers, _ = wire.post("ListConnections", "{}", Content_Type="application/x-amz-json-1.0")
        equal((status, headers["content-type"]), (200, "application/x-amz-json-1.0"))
        status, _, body = wire.post("PutConnectionCredential", json.dumps({"ConnectionArn": missing, "Token": TOKEN}))
        equal((status, json.loads(body)["__type"]), (400, "ResourceNotFoundException"))
        status, _, body = wire.post("PutConnectionCredential", json.dumps({"ConnectionArn": 5, "Token": TOKEN}))
        holds(status == 400 and TOKEN.encode() not in body, "a broken request is not repeated")


def permissions():
    """Each operation needs its own permission; a secret is stored by whoever may finish a connection."""
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        iam = client("iam")
        iam.create_user(UserName="dev")
        key = iam.create_access_key(UserName="dev")["AccessKey"]
        keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        connections = client("codeconnections", **keys)
        for call, arguments in [
            (connections.list_connections, {}),
            (connections.create_connection, {"ConnectionName": "x", "ProviderType": "GitHub"}),
        ]:
            refused("AccessDeniedException", re.compile("User: .*/dev is not authorized to perform: .*"), call, **arguments)
        statement = {
            "Effect": "Allow",
            "Action": "codeconnections:*",
            "Resource": "*",
            "Condition": {"StringEqualsIfExists": {"codeconnections:ProviderType": "GitHub"}},
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="dev", PolicyName="p", PolicyDocument=document)
        connections.create_connection(ConnectionName="x", ProviderType="GitHub")
        refused(
            "AccessDeniedException",
            re.compile(".*codeconnections:CreateConnection.*"),
            connections.create_connection,
            ConnectionName="x",
            ProviderType="GitLab",
        )


def through_connection():
    """CreateConnection, a token, a pipeline: the commit arrives with its variables, and the token is seen nowhere."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Watch(TOKEN), Server(
        directory
    ) as server:
        commit = hub.repositories.make("towline-co/ferry", FILES, message="The first\n\nWith more")
        prepared()
        arn = connected(server, "hub", hub.url)
        equal(client("codeconnections").get_connection(ConnectionArn=arn)["Connection"]["ConnectionStatus"], "AVAILABLE")
        equal(json.loads(towpath(server, "list", "--format", "json"))["Connections"][0]["ConnectionArn"], arn)
        execution, actions = ran(from_connection(arn, "towline-co/ferry"))
        equal((site("main/index.html"), site("main/docs/read.md")), ("<p>one", "text"))
        variables = actions["Take"]["output"]["outputVariables"]
        when = variables.pop("AuthorDate")
        matches(when, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
        want = {
            "AuthorDisplayName": "Ada",
            "AuthorEmail": "ada@example.com",
            "AuthorId": "ada@example.com",
            "BranchName": "main",
            "CommitId": commit,
            "CommitMessage": "The first\n\nWith more",
            "ConnectionArn": arn,
            "FullRepositoryName": "towline-co/ferry",
            "ProviderType": "GitHub",
        }
        equal(variables, want)
        revisions = Pipelines().api.get_pipeline_execution(pipelineName="ferry", pipelineExecutionId=execution)
        revision = revisions["pipelineExecution"]["artifactRevisions"][0]
        equal(revision["revisionId"], commit)
        summary = {"ProviderType": "GitHub", "CommitMessage": "The first\n\nWith more"}
        equal(json.loads(revision["revisionSummary"]), summary)
        holds(f"Commit={commit}" in revision["revisionUrl"], revision["revisionUrl"])
        # A newer commit is taken, an older one by its id.
        newer = hub.repositories.commit("towline-co/ferry", {"index.html": "<p>two"})
        pipelines = Pipelines()
        started = pipelines.api.start_pipeline_execution(name="ferry")["pipelineExecutionId"]
        pipelines.ended("ferry", started, "Succeeded")
        equal(site("main/index.html"), "<p>two")
        pinned = pipelines.api.start_pipeline_execution(
            name="ferry", sourceRevisions=[{"actionName": "Take", "revisionType": "COMMIT_ID", "revisionValue": commit}]
        )["pipelineExecutionId"]
        pipelines.ended("ferry", pinned, "Succeeded")
        equal(site("main/index.html"), "<p>one")
        holds(newer != commit, "two commits")
        holds(TOKEN not in json.dumps(pipelines.actions("ferry", pinned), default=str), "no answer has the token")
        nowhere(server, TOKEN)


class Watch:
    """Keeps every command line of the gits that are started in its time, and looks at those of all other processes. The
    server has to start after it."""

    def __init__(self, secret):
        self.secret, self.found, self.over = secret.encode(), [], threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.path = os.environ["PATH"]
        self.directory = tempfile.TemporaryDirectory()
        self.lines = pathlib.Path(self.directory.name) / "lines"

    def __enter__(self):
        program = pathlib.Path(self.directory.name) / "git"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> {self.lines}\nexec {shutil.which("git")} "$@"\n')
        program.chmod(0o755)
        os.environ["PATH"] = f"{self.directory.name}:{self.path}"
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        self.thread.join()
        os.environ["PATH"] = self.path
        if kind is None:
            equal(self.found, [], "command lines with the secret")
            lines = self.lines.read_bytes()
            holds(b"fetch --quiet" in lines and b"ls-remote" in lines, "git was seen at work")
            holds(self.secret not in lines, "a command line of git has the secret")
        self.directory.cleanup()

    def look(self):
        while not self.over.is_set():
            for place in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = place.read_bytes()
                except OSError:
                    continue
                if self.secret in line:
                    self.found.append(line)
            self.over.wait(0.01)


def nowhere(server, secret):
    """No file of the data directory but the database has the secret, nor has the log."""
    encoded = [secret.encode(), base64.b64encode(secret.encode())]
    for path in server.data.rglob("*"):
        if path.is_file() and not re.search(r"\.(db|sqlite)[0-9]?(-wal|-shm)?$", path.name):
            body = path.read_bytes()
            holds(not any(form in body for form in encoded), f"{path} has the secret")
    log = pathlib.Path(server.log.name).read_text(errors="replace")
    holds(secret not in log, "the log has the secret")


def refusals():
    """Each thing that can be wrong is named, in AWS's words where they are known."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        hub.repositories.make("towline-co/ferry", FILES)
        prepared()
        arn = connected(server, "hub", hub.url)
        details = failure(from_connection(arn, "towline-co/ferry", branch="nowhere"), "no-branch")
        equal(details["code"], "ConfigurationError")
        equal(details["message"], "[GitHub] No Branch [nowhere] found for FullRepositoryName [towline-co/ferry]")
        for repository in ("towline-co/nothing", "Towline-co/Ferry"):
            details = failure(from_connection(arn, repository), "no-repository-" + repository[0])
            equal(details["code"], "ConfigurationError")
            matches(details["message"], re.escape(f"[GitHub] No repository found for FullRepositoryName [{repository}].") + ".*")
        pending = client("codeconnections").create_connection(ConnectionName="new", ProviderType="GitLab")["ConnectionArn"]
        details = failure(from_connection(pending, "towline-co/ferry"), "pending")
        equal((details["code"], details["message"]), ("ConfigurationError", f"Connection {pending} is not available"))
        missing = arn[:-36] + ABSENT_ID
        details = failure(from_connection(missing, "towline-co/ferry"), "missing")
        equal((details["code"], details["message"]), ("ConfigurationError", f"Connection {missing} not found"))
        wrong = connected(server, "wrong", hub.url, OTHER)
        details = failure(from_connection(wrong, "towline-co/ferry"), "wrong-token")
        matches(details["message"], re.escape(f"[GitHub] The git host refused the credential of connection {wrong}.") + ".*")
        # A role that may not use it, or may use it for another repository only.
        narrow = role("narrow", EVERYTHING)
        words = f"Unable to use Connection: {arn}. The provided role does not have sufficient permissions."
        details = failure(from_connection(arn, "towline-co/ferry"), "no-permission", narrow)
        equal((details["code"], details["message"]), ("PermissionError", words))
        statement = {
            "Effect": "Allow",
            "Action": list(USE),
            "Resource": arn,
            "Condition": {"StringEquals": {"codeconnections:FullRepositoryId": "towline-co/other"}},
        }
        document = {"Version": "2012-10-17", "Statement": [statement]}
        iam = client("iam")
        iam.put_role_policy(RoleName="narrow", PolicyName="use", PolicyDocument=json.dumps(document))
        equal(failure(from_connection(arn, "towline-co/ferry"), "other-repository", narrow)["message"], words)
        statement["Condition"] = {
            "StringEquals": {
                "codeconnections:FullRepositoryId": "towline-co/ferry",
                "codeconnections:ProviderAction": "GitPull",
                "codeconnections:ProviderPermissionsRequired": "read_only",
            }
        }
        iam.put_role_policy(RoleName="narrow", PolicyName="use", PolicyDocument=json.dumps(document))
        ran(from_connection(arn, "towline-co/ferry"), "allowed", narrow)
        # A token that was revoked serves nobody, whatever was fetched with it.
        hub.tokens.clear()
        pipelines = Pipelines()
        again = pipelines.api.start_pipeline_execution(name="allowed")["pipelineExecutionId"]
        pipelines.ended("allowed", again, "Failed")
        told = json.dumps(pipelines.told("allowed", again))
        holds("refused the credential" in told, told)
        nowhere(server, TOKEN)
        # Secrets that cannot be one are refused, and say so without themselves.
        for more, secret in ([["--url", "ssh://host"], TOKEN], [["--url", "file:///x"], TOKEN], [[], "two\nlines"]):
            told = towpath(server, "set-token", pending, *more, secret=secret, code=2)
            holds("ValidationException" in told and secret not in told, told)
        told = towpath(server, "set-token", missing, secret=TOKEN, code=2)
        holds("ResourceNotFoundException" in told, told)


def gitlab_subgroups():
    """A repository in a subgroup, through a connection of the other prefix and one that towpath.toml has."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as lab:
        secret = pathlib.Path(directory) / "token"
        secret.write_text(TOKEN + "\n")
        wanted = f"arn:aws:codestar-connections:{REGION}:{ACCOUNT}:connection/0f0e0d0c-1111-4222-8333-444455556666"
        config = f"""
[connections.lab]
provider-type = "GitLab"
url = "{lab.url}"
token-file = "token"

[connections.known]
provider-type = "GitLab"
arn = "{wanted}"
url = "{lab.url}"
username = "ada"
token = "{TOKEN}"
"""
        with Server(directory, config) as server:
            lab.repositories.make("group/sub/deep/ferry", FILES)
            prepared()
            rows = client("codeconnections").list_connections()["Connections"]
            arns = {row["ConnectionName"]: row["ConnectionArn"] for row in rows}
            equal({row["ConnectionStatus"] for row in rows}, {"AVAILABLE"})
            equal(arns["known"], wanted)
            _, actions = ran(from_connection(arns["lab"], "group/sub/deep/ferry"), "one")
            equal(actions["Take"]["output"]["outputVariables"]["ProviderType"], "GitLab")
            ran(from_connection(wanted, "group/sub/deep/ferry"), "two")
            refused(
                "ResourceUnavailableException",
                f"The connection {wanted} is configured in towpath.toml. Remove [connections.known] there.",
                client("codestar-connections").delete_connection,
                ConnectionArn=wanted,
            )
            nowhere(server, TOKEN)
            # The same name has the same ARN after a restart; a table that is gone leaves its connection pending.
            server.terminate()
            server.config.write_text(config.split("[connections.known]")[0])
            server.start()
            rows = client("codeconnections").list_connections()["Connections"]
            equal({row["ConnectionName"]: row["ConnectionStatus"] for row in rows}, {"lab": "AVAILABLE", "known": "PENDING"})
            equal(next(row["ConnectionArn"] for row in rows if row["ConnectionName"] == "lab"), arns["lab"])


def over_ssh():
    """A repository over SSH: the key is stored once, the host's key is checked."""
    with tempfile.TemporaryDirectory() as directory, SshHost(f"{directory}/ssh") as host, Server(directory) as server:
        wait("sshd", host.up)
        host.repositories.make("team/ferry", FILES)
        prepared()
        connections = client("codeconnections")

        def stored(name, key="client", known=None):
            arn = connections.create_connection(ConnectionName=name, ProviderType="GitHub")["ConnectionArn"]
            more = []
            if known:
                path = pathlib.Path(directory) / f"known-{name}"
                path.write_text(host.known_hosts(known))
                more = ["--known-hosts", str(path)]
            towpath(server, "set-ssh-key", arn, "--url", host.url, *more, secret=host.key(key))
            return arn

        ran(from_connection(stored("first-seen"), "team/ferry"), "first-seen")
        equal(site("main/index.html"), "<p>one")
        ran(from_connection(stored("known", known="host"), "team/ferry"), "known")
        details = failure(from_connection(stored("impostor", known="stranger"), "team/ferry"), "impostor")
        holds("host key" in details["message"].lower(), details)
        details = failure(from_connection(stored("stranger", key="stranger"), "team/ferry"), "stranger")
        holds("refused the credential" in details["message"], details)
        details = failure(from_connection(stored("absent"), "team/nothing"), "absent")
        holds("No repository found" in details["message"], details)
        body = host.key().splitlines()[2]
        nowhere(server, body)
        equal([path for path in (server.data / "connections" / "keys").glob("*")], [], "keys that stay")


def github_version_1():
    """The first version of the GitHub action: a token in the definition, masked wherever it is shown."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Watch(TOKEN):
        with Server(directory, f'[source.Take]\ngithub-url = "{hub.url}"\n') as server:
            commit = hub.repositories.make("towline-co/ferry", FILES, message="Sail")
            prepared(EVERYTHING)
            _, actions = ran(from_github("towline-co", "ferry", TOKEN))
            equal(site("main/index.html"), "<p>one")
            variables = actions["Take"]["output"]["outputVariables"]
            equal(set(variables), {"AuthorDate", "BranchName", "CommitId", "CommitMessage", "CommitterDate", "CommitUrl", "RepositoryName"})
            equal((variables["CommitId"], variables["CommitMessage"], variables["RepositoryName"]), (commit, "Sail", "ferry"))
            equal(variables["CommitUrl"], f"{hub.url}/towline-co/ferry/commit/{commit}")
            codepipeline = client("codepipeline")
            read = codepipeline.get_pipeline(name="ferry")["pipeline"]
            equal(read["stages"][0]["actions"][0]["configuration"]["OAuthToken"], "****")
            holds(TOKEN not in json.dumps(actions, default=str), "an answer has the token")
            # Sending the mask back keeps the token, as long as the rest of the action stays.
            read["stages"][1]["actions"][0]["configuration"]["ObjectKey"] = "again"
            codepipeline.update_pipeline(pipeline=read)
            pipelines = Pipelines()
            again = codepipeline.start_pipeline_execution(name="ferry")["pipelineExecutionId"]
            pipelines.ended("ferry", again, "Succeeded")
            equal(site("again/index.html"), "<p>one")
            for name, source, words in [
                ("no-branch", from_github("towline-co", "ferry", TOKEN, branch="nowhere"), "The branch nowhere does not exist"),
                ("no-repository", from_github("towline-co", "nothing", TOKEN), "does not exist"),
                ("wrong", from_github("towline-co", "ferry", OTHER), "Could not access the GitHub repository"),
            ]:
                details = failure(source, name)
                holds(words in details["message"], details)
                holds(TOKEN not in details["message"] and OTHER not in details["message"], "a message has the token")
            nowhere(server, TOKEN)


def git_clients():
    """Stock git and AWS's own credential helper clone through a connection; nothing is pushed."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        hub.repositories.make("towline-co/ferry", FILES)
        last = hub.repositories.commit("towline-co/ferry", {"a": "b"})
        arn = connected(server, "hub", hub.url)
        url = f"{server.url}/git-http/{ACCOUNT}/{REGION}/{arn.split('/')[1]}/towline-co/ferry.git"
        aws = pathlib.Path(sys.executable).parent / "aws"
        settings = ["-c", f"credential.helper=!{aws} codecommit credential-helper --ignore-host-check $@", "-c", "credential.UseHttpPath=true"]
        env = {"AWS_SHARED_CREDENTIALS_FILE": os.environ["AWS_SHARED_CREDENTIALS_FILE"], "AWS_DEFAULT_REGION": REGION, "AWS_CONFIG_FILE": "/dev/null"}
        work = pathlib.Path(directory) / "work"
        git(*settings, "clone", "--quiet", url, str(work), env=env)
        equal(git("log", "--format=%H %s", directory=work).splitlines()[0], f"{last} next")
        equal(len(git("log", "--format=%H", directory=work).splitlines()), 2)
        (work / "c").write_text("d")
        git("add", "c", directory=work)
        git("commit", "--quiet", "-m", "mine", directory=work)
        pushed = git(*settings, "push", "--quiet", "origin", "main", directory=work, check=False, env=env)
        holds(pushed.returncode != 0 and "read-only" in pushed.stderr, pushed.stderr)
        nobody = git("-c", "credential.helper=", "ls-remote", url, check=False)
        holds(nobody.returncode != 0, "nobody reads without credentials")


def statuses():
    """Pending, then success or failure, on GitHub, GitLab and Bitbucket (scripted endpoints, see git_hosts.py)."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub:
        with Server(directory, f'[source.Take]\ngithub-url = "{hub.url}"\n') as server:
            commit = hub.repositories.make("towline-co/ferry", FILES)
            prepared()
            # Trouble passes: the first two answers are no answers.
            hub.trouble += [(503, b""), (429, b"", [("Retry-After", "0")])]
            github = connected(server, "github", hub.url)
            execution, _ = ran(from_connection(github, "towline-co/ferry"), "one")
            lab = connected(server, "gitlab", hub.url, kind="GitLab")
            ran(from_connection(lab, "towline-co/ferry"), "two")
            bucket_org = connected(server, "bitbucket", hub.url, kind="Bitbucket", more=["--api-url", f"{hub.url}/2.0"])
            ran(from_connection(bucket_org, "towline-co/ferry"), "three")
            broken = from_connection(github, "towline-co/ferry", branch="main")
            pipelines = Pipelines()
            keys = {"BucketName": "no-such-bucket", "Extract": "true"}
            declared = pipeline(
                "four",
                f"arn:aws:iam::{ACCOUNT}:role/pipeline",
                stage("Source", broken),
                stage("Release", action("Put", "Deploy", "S3", keys, inputs=["src"])),
            )
            pipelines.api.create_pipeline(pipeline=declared)
            pipelines.ended("four", pipelines.first("four"), "Failed")
            ran(from_github("towline-co", "ferry", TOKEN), "five")

            def told(host, name):
                rows = [row for row in hub.statuses if row[0] == host and row[4] == f"towpath/{name}"]
                # At least once: the same twice in a row is once.
                states = [row[3] for row in rows]
                return [state for at, state in enumerate(states) if at == 0 or states[at - 1] != state]

            for host, name, want in [
                ("GitHub", "one", ["pending", "success"]),
                ("GitLab", "two", ["pending", "success"]),
                ("Bitbucket", "three", ["INPROGRESS", "SUCCESSFUL"]),
                ("GitHub", "four", ["pending", "failure"]),
                ("GitHub", "five", ["pending", "success"]),
            ]:
                wait(f"the statuses of {name} on {host}: {want}", lambda: told(host, name) == want)
            row = next(row for row in hub.statuses if row[4] == "towpath/one")
            equal((row[1], row[2]), ("towline-co/ferry", commit))
            equal(row[5], f"{server.url}/console/pipelines/one/executions/{execution}")
            nowhere(server, TOKEN)


if __name__ == "__main__":
    main([api, permissions, through_connection, refusals, gitlab_subgroups, over_ssh, github_version_1, git_clients, statuses])
