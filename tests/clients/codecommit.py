"""The embedded CodeCommit: its API with boto3 and with the AWS CLI, and git itself with the AWS CLI's credential helper. Each
scenario starts its own server.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from git_hosts import git
from harness import ACCOUNT, REGION, Server, Wire, allow, client, equal, holds, main, matches, refused

AWS = pathlib.Path(sys.executable).parent / "aws"
ZEROS = "0" * 40
BAD_NAME = re.compile("The repository name is not valid. Repository names can be any valid combination of letters, .*", re.DOTALL)
ANYTHING = re.compile(".*", re.DOTALL)
HELPER = f"credential.helper=!{AWS} codecommit credential-helper --ignore-host-check $@"


def with_helper(*arguments, keys=None, region=REGION, **more):
    """git with AWS's own credential helper, as the user guide sets it up."""
    env = {"AWS_DEFAULT_REGION": region, "AWS_CONFIG_FILE": "/dev/null", **(keys or {})}
    if not keys:
        env["AWS_SHARED_CREDENTIALS_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"]
    return git("-c", HELPER, "-c", "credential.UseHttpPath=true", *arguments, env=env, **more)


def file_of(api, name, path, **more):
    return api.get_file(repositoryName=name, filePath=path, **more)["fileContent"]


def put(api, repository, path, content, parent=None, branch="main", **more):
    if parent:
        more["parentCommitId"] = parent
    return api.put_file(repositoryName=repository, branchName=branch, filePath=path, fileContent=content, **more)["commitId"]


def user(name, *statements):
    """A user who may do this; gives the keys as variables of the environment."""
    iam = client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def repositories():
    """Make, find, list, describe, rename, tag, delete."""
    with tempfile.TemporaryDirectory() as directory, Server(directory) as server:
        api = client("codecommit")
        made = api.create_repository(repositoryName="demo", repositoryDescription="Ferries & <locks>", tags={"team": "quay"})
        metadata = made["repositoryMetadata"]
        created, modified = metadata.pop("creationDate"), metadata.pop("lastModifiedDate")
        equal(created, modified)
        repository_id = metadata.pop("repositoryId")
        matches(repository_id, "[0-9a-f-]{36}")
        arn = f"arn:aws:codecommit:{REGION}:{ACCOUNT}:demo"
        want = {
            "accountId": ACCOUNT,
            "repositoryName": "demo",
            "repositoryDescription": "Ferries & <locks>",
            "cloneUrlHttp": f"{server.url}/v1/repos/demo",
            "Arn": arn,
        }
        equal(metadata, want)
        got = api.get_repository(repositoryName="demo")["repositoryMetadata"]
        equal((got["repositoryId"], got["creationDate"]), (repository_id, created))
        holds("defaultBranch" not in got, "an empty repository has no default branch")
        refused("RepositoryNameExistsException", "Repository named demo already exists", api.create_repository, repositoryName="demo")

        for name in ("b", "A", "c.d_e-f", "n" * 100):
            api.create_repository(repositoryName=name)
        names = [row["repositoryName"] for row in api.list_repositories()["repositories"]]
        equal(names, sorted(["demo", "b", "A", "c.d_e-f", "n" * 100]))
        api.update_repository_description(repositoryName="b", repositoryDescription="last")
        listed = api.list_repositories(sortBy="lastModifiedDate", order="descending")["repositories"]
        equal(listed[0]["repositoryName"], "b")
        got = api.batch_get_repositories(repositoryNames=["demo", "none"])
        equal([row["repositoryId"] for row in got["repositories"]], [repository_id])
        equal(got["repositoriesNotFound"], ["none"])
        equal(client("codecommit", region_name="eu-west-1").list_repositories()["repositories"], [], "another Region's")

        api.tag_resource(resourceArn=arn, tags={"team": "lock", "x": ""})
        api.untag_resource(resourceArn=arn, tagKeys=["x", "y"])
        equal(api.list_tags_for_resource(resourceArn=arn)["tags"], {"team": "lock"})

        commit = put(api, "demo", "a", b"1")
        api.update_repository_name(oldName="demo", newName="renamed")
        refused("RepositoryDoesNotExistException", "demo does not exist", api.get_repository, repositoryName="demo")
        got = api.get_repository(repositoryName="renamed")["repositoryMetadata"]
        equal((got["repositoryId"], got["defaultBranch"]), (repository_id, "main"))
        equal(api.get_branch(repositoryName="renamed", branchName="main")["branch"]["commitId"], commit)
        for old, new, code in [
            ("none", "x", "RepositoryDoesNotExistException"),
            ("renamed", "b", "RepositoryNameExistsException"),
            ("renamed", "../b", "InvalidRepositoryNameException"),
        ]:
            refused(code, ANYTHING, api.update_repository_name, oldName=old, newName=new)

        equal(api.delete_repository(repositoryName="renamed").get("repositoryId"), repository_id)
        holds("repositoryId" not in api.delete_repository(repositoryName="renamed"), "deleting what is gone is no error")
        refused("RepositoryDoesNotExistException", "renamed does not exist", api.get_repository, repositoryName="renamed")
        # The name is free again, and nothing of the old contents is there.
        api.create_repository(repositoryName="renamed")
        equal(api.list_branches(repositoryName="renamed")["branches"], [])

        # Limits.
        refused("InvalidRepositoryDescriptionException", ANYTHING, unchecked().create_repository, repositoryName="x", repositoryDescription="d" * 1001)
        api.create_repository(repositoryName="long", repositoryDescription="ü" * 1000)
        refused("TooManyTagsException", "A repository has at most 50 tags.", api.create_repository, repositoryName="x", tags={str(n): "" for n in range(51)})
        arn = f"arn:aws:codecommit:{REGION}:{ACCOUNT}:b"
        api.tag_resource(resourceArn=arn, tags={str(n): "" for n in range(50)})
        refused("TooManyTagsException", ANYTHING, api.tag_resource, resourceArn=arn, tags={"one": "more"})
        refused("InvalidSystemTagUsageException", ANYTHING, api.tag_resource, resourceArn=arn, tags={"aws:x": "y"})
        for wrong in ("demo", arn.replace(REGION, "eu-west-1"), arn.replace(ACCOUNT, "999999999999"), "arn:aws:s3:::b"):
            refused("InvalidResourceArnException", ANYTHING, api.list_tags_for_resource, resourceArn=wrong)
        refused("RepositoryDoesNotExistException", ANYTHING, api.list_tags_for_resource, resourceArn=arn[:-1] + "none")
        names = [f"r{n}" for n in range(26)]
        refused("MaximumRepositoryNamesExceededException", ANYTHING, api.batch_get_repositories, repositoryNames=names)


def unchecked():
    """A client that sends what the model refuses."""
    return client("codecommit", config={"parameter_validation": False})


def branches():
    """Branches and commits, made by git and by the API."""
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        api = client("codecommit")
        url = api.create_repository(repositoryName="demo")["repositoryMetadata"]["cloneUrlHttp"]
        equal(api.list_branches(repositoryName="demo")["branches"], [])
        refused("CommitDoesNotExistException", ANYTHING, api.get_file, repositoryName="demo", filePath="a")
        first = put(api, "demo", "docs/a.txt", b"one\r\n", name="Ann <x>", email="ann@example.org", commitMessage="First\n\nWith more")
        told = api.get_commit(repositoryName="demo", commitId=first)["commit"]
        equal((told["commitId"], told["parents"], told["message"].rstrip("\n")), (first, [], "First\n\nWith more"))
        equal((told["author"]["name"], told["author"]["email"], told["additionalData"]), ("Ann x", "ann@example.org", ""))
        matches(told["committer"]["date"], r"\d{10} \+0000")
        matches(told["treeId"], "[0-9a-f]{40}")
        equal(file_of(api, "demo", "docs/a.txt"), b"one\r\n")
        second = put(api, "demo", "docs/a.txt", b"two", parent=first)
        for specifier, want in [(first, b"one\r\n"), ("main", b"two"), ("refs/heads/main", b"two"), ("HEAD", b"two")]:
            equal(file_of(api, "demo", "docs/a.txt", commitSpecifier=specifier), want, specifier)

        api.create_branch(repositoryName="demo", branchName="old/one", commitId=first)
        equal(api.list_branches(repositoryName="demo")["branches"], ["main", "old/one"])
        refused("BranchNameExistsException", ANYTHING, api.create_branch, repositoryName="demo", branchName="old/one", commitId=second)
        refused("CommitDoesNotExistException", ANYTHING, api.create_branch, repositoryName="demo", branchName="x", commitId=ZEROS)
        refused("InvalidCommitIdException", ANYTHING, api.create_branch, repositoryName="demo", branchName="x", commitId="main")
        refused("DefaultBranchCannotBeDeletedException", ANYTHING, api.delete_branch, repositoryName="demo", branchName="main")
        api.update_default_branch(repositoryName="demo", defaultBranchName="old/one")
        equal(api.get_repository(repositoryName="demo")["repositoryMetadata"]["defaultBranch"], "old/one")
        equal(file_of(api, "demo", "docs/a.txt"), b"one\r\n", "of the default branch")
        gone = api.delete_branch(repositoryName="demo", branchName="main")["deletedBranch"]
        equal(gone, {"branchName": "main", "commitId": second})
        holds("deletedBranch" not in api.delete_branch(repositoryName="demo", branchName="main"), "again is no error")
        refused("BranchDoesNotExistException", ANYTHING, api.update_default_branch, repositoryName="demo", defaultBranchName="main")
        refused("BranchDoesNotExistException", "Branch main does not exist", api.get_branch, repositoryName="demo", branchName="main")
        refused("CommitIdDoesNotExistException", ANYTHING, api.get_commit, repositoryName="demo", commitId=ZEROS)
        refused("InvalidCommitIdException", ANYTHING, api.get_commit, repositoryName="demo", commitId="--all")

        # More branches than a page has, pushed at once.
        work = pathlib.Path(directory) / "work"
        with_helper("clone", "--quiet", url, str(work))
        lines = "".join(f"create refs/heads/b/{n:04} {first}\n" for n in range(1200))
        subprocess.run(["git", "update-ref", "--stdin"], cwd=work, input=lines, text=True, check=True)
        git("tag", "-a", "v1", "-m", "One", first, directory=work)
        with_helper("push", "--quiet", "origin", "refs/heads/b/*:refs/heads/b/*", "v1", directory=work)
        page = api.list_branches(repositoryName="demo")
        equal(len(page["branches"]), 1000)
        rest = api.list_branches(repositoryName="demo", nextToken=page["nextToken"])
        equal((len(rest["branches"]), "nextToken" in rest), (201, False))
        equal(len(set(page["branches"] + rest["branches"])), 1201)
        refused("InvalidContinuationTokenException", ANYTHING, api.list_branches, repositoryName="demo", nextToken="next")
        equal(file_of(api, "demo", "docs/a.txt", commitSpecifier="v1"), b"one\r\n", "of an annotated tag")


def commits():
    """PutFile, GetFile and CreateCommit, and everything that is refused of them."""
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        api = client("codecommit")
        url = api.create_repository(repositoryName="demo")["repositoryMetadata"]["cloneUrlHttp"]
        refused("ParentCommitDoesNotExistException", ANYTHING, put, api=api, repository="demo", path="a", content=b"x", parent=ZEROS)
        first = put(api, "demo", "bin/run", b"#!/bin/sh\n", fileMode="EXECUTABLE")
        got = api.get_file(repositoryName="demo", filePath="bin/run")
        equal((got["fileMode"], got["fileSize"], got["commitId"]), ("EXECUTABLE", 10, first))

        def at(code, path, content=b"x", message=ANYTHING, branch="main", parent=first, **more):
            refused(code, message, put, api=api, repository="demo", path=path, content=content, branch=branch, parent=parent, **more)

        for path in ("../x", "/etc/passwd", "a//b", ".git/config", "a/../b", "a/.GIT/x", ""):
            at("InvalidPathException", path)
        at("SameFileContentException", "bin/run", b"#!/bin/sh\n")
        at("FileNameConflictsWithDirectoryNameException", "bin")
        at("DirectoryNameConflictsWithFileNameException", "bin/run/x")
        at("ParentCommitIdRequiredException", "a", parent=None)
        at("ParentCommitDoesNotExistException", "a", parent=ZEROS)
        at("InvalidParentCommitIdException", "a", parent="main")
        at("BranchDoesNotExistException", "a", branch="other")
        at("InvalidBranchNameException", "a", branch="a..b")
        at("InvalidFileModeException", "a", fileMode="DIRECTORY")
        for more, code in [
            ({"name": "n" * 257}, "NameLengthExceededException"),
            ({"email": "e" * 257}, "InvalidEmailException"),
            ({"email": "a\nb"}, "InvalidEmailException"),
            ({"commitMessage": "m" * 102_401}, "CommitMessageLengthExceededException"),
        ]:
            arguments = {"repositoryName": "demo", "branchName": "main", "parentCommitId": first, "filePath": "a", "fileContent": b"x"}
            refused(code, ANYTHING, api.put_file, **arguments, **more)
        second = put(api, "demo", "a", b"x", parent=first)
        at("ParentCommitIdOutdatedException", "b")
        refused("FileDoesNotExistException", "File none does not exist", api.get_file, repositoryName="demo", filePath="none")
        refused("FileDoesNotExistException", ANYTHING, api.get_file, repositoryName="demo", filePath="bin")
        for specifier, code in [("none", "CommitDoesNotExistException"), (ZEROS, "CommitDoesNotExistException"), ("-x", "InvalidCommitException"), ("a b", "InvalidCommitException")]:
            refused(code, ANYTHING, api.get_file, repositoryName="demo", filePath="a", commitSpecifier=specifier)

        # Several changes in one commit.
        changes = {
            "putFiles": [
                {"filePath": "docs/new", "fileContent": b"new"},
                {"filePath": "bin/moved", "sourceFile": {"filePath": "bin/run", "isMove": True}},
            ],
            "deleteFiles": [{"filePath": "a"}],
        }
        made = api.create_commit(repositoryName="demo", branchName="main", parentCommitId=second, authorName="Ann", **changes)
        equal([row["absolutePath"] for row in made["filesAdded"]], ["docs/new", "bin/moved"])
        equal(sorted(row["absolutePath"] for row in made["filesDeleted"]), ["a", "bin/run"])
        third = made["commitId"]
        equal(api.get_file(repositoryName="demo", filePath="bin/moved")["fileMode"], "EXECUTABLE")
        modes = [{"filePath": "bin/moved", "fileMode": "NORMAL"}]
        made = api.create_commit(repositoryName="demo", branchName="main", parentCommitId=third, setFileModes=modes)
        fourth = made["commitId"]
        equal(api.get_commit(repositoryName="demo", commitId=fourth)["commit"]["parents"], [third])

        def commit(code, **changes):
            refused(code, ANYTHING, unchecked().create_commit, repositoryName="demo", branchName="main", parentCommitId=fourth, **changes)

        commit("FileEntryRequiredException")
        commit("FileEntryRequiredException", putFiles=[])
        commit("MaximumFileEntriesExceededException", putFiles=[{"filePath": f"f{n}", "fileContent": b""} for n in range(101)])
        commit("SamePathRequestException", putFiles=[{"filePath": "x", "fileContent": b""}], deleteFiles=[{"filePath": "x"}])
        commit("PutFileEntryConflictException", putFiles=[{"filePath": p, "fileContent": b""} for p in ("x", "x/y")])
        commit("SourceFileOrContentRequiredException", putFiles=[{"filePath": "x"}])
        both = {"filePath": "x", "fileContent": b"", "sourceFile": {"filePath": "bin/moved"}}
        commit("FileContentAndSourceFileSpecifiedException", putFiles=[both])
        commit("FileDoesNotExistException", deleteFiles=[{"filePath": "none"}])
        commit("FileDoesNotExistException", putFiles=[{"filePath": "x", "sourceFile": {"filePath": "none"}}])
        commit("InvalidFileModeException", setFileModes=[{"filePath": "bin/moved", "fileMode": "ODD"}])
        commit("FileModeRequiredException", setFileModes=[{"filePath": "bin/moved"}])
        commit("PathRequiredException", deleteFiles=[{}])
        commit("NoChangeException", setFileModes=modes)
        commit("InvalidDeletionParameterException", deleteFiles=[{"filePath": "bin/moved"}], keepEmptyFolders=True)

        # The limits themselves.
        big = os.urandom(6 * 1024 * 1024)
        fifth = put(api, "demo", "big", big, parent=fourth)
        equal(file_of(api, "demo", "big"), big)
        wire = Wire("codecommit", "CodeCommit_20150413")
        body = {"repositoryName": "demo", "branchName": "main", "filePath": "big", "parentCommitId": fifth}
        body["fileContent"] = base64.b64encode(big + b"x").decode()
        status, _, answer = wire.post("PutFile", json.dumps(body))
        equal((status, json.loads(answer)["__type"]), (400, "FileContentSizeLimitExceededException"))
        four = [{"filePath": f"f{n}", "fileContent": base64.b64encode(big[n:5_300_000]).decode()} for n in range(4)]
        body = {"repositoryName": "demo", "branchName": "main", "parentCommitId": fifth, "putFiles": four}
        status, _, answer = wire.post("CreateCommit", json.dumps(body))
        equal((status, json.loads(answer)["__type"]), (400, "FolderContentSizeLimitExceededException"))
        # What git brings may be larger than the API shows.
        work = pathlib.Path(directory) / "work"
        with_helper("clone", "--quiet", url, str(work))
        (work / "large").write_bytes(big + b"x")
        git("add", "large", directory=work)
        git("commit", "--quiet", "-m", "Large", directory=work)
        git("tag", "v1", directory=work)
        with_helper("push", "--quiet", "origin", "main", "v1", directory=work)
        refused("FileTooLargeException", ANYTHING, api.get_file, repositoryName="demo", filePath="large")
        at("BranchNameIsTagNameException", "a", branch="v1")


def wrong_input():
    """Each member that is missing or malformed has its own exception; what the model does not have is refused by name."""
    with tempfile.TemporaryDirectory() as directory, Server(directory):
        api = client("codecommit")
        api.create_repository(repositoryName="demo")
        commit = put(api, "demo", "a", b"x")
        wire = Wire("codecommit", "CodeCommit_20150413")

        def sent(operation, body, code, status=400):
            got, _, answer = wire.post(operation, body if isinstance(body, str) else json.dumps(body))
            equal((got, json.loads(answer).get("__type")), (status, code), f"{operation} {body}")

        for name in ("", "a/b", "..", ".", "../../etc/passwd", "x.git", "a b", "ü", "n" * 101, "a\u0000"):
            for operation in ("CreateRepository", "GetRepository", "DeleteRepository", "ListBranches"):
                sent(operation, {"repositoryName": name}, "InvalidRepositoryNameException")
        refused("InvalidRepositoryNameException", BAD_NAME, api.create_repository, repositoryName="..")
        demo = {"repositoryName": "demo"}
        for operation, body, code in [
            ("CreateRepository", {}, "RepositoryNameRequiredException"),
            ("GetRepository", {}, "RepositoryNameRequiredException"),
            ("DeleteRepository", {}, "RepositoryNameRequiredException"),
            ("BatchGetRepositories", {}, "RepositoryNamesRequiredException"),
            ("UpdateRepositoryName", {"oldName": "demo"}, "RepositoryNameRequiredException"),
            ("GetBranch", {}, "RepositoryNameRequiredException"),
            ("GetBranch", demo, "BranchNameRequiredException"),
            ("GetBranch", {**demo, "branchName": "b" * 257}, "InvalidBranchNameException"),
            ("GetBranch", {**demo, "branchName": "a..b"}, "InvalidBranchNameException"),
            ("GetBranch", {"repositoryName": "none", "branchName": "main"}, "RepositoryDoesNotExistException"),
            ("CreateBranch", demo, "BranchNameRequiredException"),
            ("CreateBranch", {**demo, "branchName": "x"}, "CommitIdRequiredException"),
            ("CreateBranch", {**demo, "branchName": "-x", "commitId": commit}, "InvalidBranchNameException"),
            ("GetCommit", demo, "CommitIdRequiredException"),
            ("GetFile", demo, "PathRequiredException"),
            ("PutFile", {**demo, "branchName": "main", "filePath": "b"}, "FileContentRequiredException"),
            ("ListRepositories", {"sortBy": "size"}, "InvalidSortByException"),
            ("ListRepositories", {"order": "up"}, "InvalidOrderException"),
            ("ListTagsForResource", {}, "ResourceArnRequiredException"),
            ("TagResource", {"resourceArn": "x"}, "TagsMapRequiredException"),
            ("UntagResource", {"resourceArn": "x"}, "TagKeysListRequiredException"),
            ("GetRepository", {"repositoryName": 5}, "SerializationException"),
            ("GetRepository", "{", "SerializationException"),
            ("CreatePullRequest", {"title": "x", "targets": []}, "UnknownOperationException"),
        ]:
            sent(operation, body, code)


def aws_cli():
    """The user guide's steps, typed as they are there."""
    with tempfile.TemporaryDirectory() as directory, Server(directory) as server:

        def run(*arguments):
            return subprocess.run([AWS, "codecommit", *arguments, "--output", "json"], cwd=directory, capture_output=True, text=True, timeout=60)

        def aws(*arguments):
            done = run(*arguments)
            equal(done.returncode, 0, done.stderr)
            return json.loads(done.stdout) if done.stdout.strip() else None

        made = aws("create-repository", "--repository-name", "MyDemoRepo", "--repository-description", "My demonstration repository")
        url = made["repositoryMetadata"]["cloneUrlHttp"]
        equal(url, f"{server.url}/v1/repos/MyDemoRepo")
        equal([row["repositoryName"] for row in aws("list-repositories")["repositories"]], ["MyDemoRepo"])
        (pathlib.Path(directory) / "hello.txt").write_text("Hello")
        aws("put-file", "--repository-name", "MyDemoRepo", "--branch-name", "main", "--file-content", "fileb://hello.txt", "--file-path", "hello.txt")
        branch = aws("get-branch", "--repository-name", "MyDemoRepo", "--branch-name", "main")["branch"]
        aws("create-branch", "--repository-name", "MyDemoRepo", "--branch-name", "MyNewBranch", "--commit-id", branch["commitId"])
        equal(aws("list-branches", "--repository-name", "MyDemoRepo")["branches"], ["MyNewBranch", "main"])
        commit = aws("get-commit", "--repository-name", "MyDemoRepo", "--commit-id", branch["commitId"])["commit"]
        equal(commit["commitId"], branch["commitId"])
        equal(aws("get-repository", "--repository-name", "MyDemoRepo")["repositoryMetadata"]["defaultBranch"], "main")
        done = run("get-branch", "--repository-name", "MyDemoRepo", "--branch-name", "none")
        holds(done.returncode != 0 and "(BranchDoesNotExistException)" in done.stderr and "Branch none does not exist" in done.stderr, done.stderr)
        # The helper as `git config --global` keeps it.
        settings = pathlib.Path(directory) / "gitconfig"
        settings.write_text("[user]\n\tname = Ada\n\temail = ada@example.com\n")
        env = {"GIT_CONFIG_GLOBAL": str(settings), "AWS_SHARED_CREDENTIALS_FILE": os.environ["AWS_SHARED_CREDENTIALS_FILE"], "AWS_CONFIG_FILE": "/dev/null", "AWS_DEFAULT_REGION": REGION}
        git("config", "--global", "credential.helper", f"!{AWS} codecommit credential-helper --ignore-host-check $@", env=env)
        git("config", "--global", "credential.UseHttpPath", "true", env=env)
        git("clone", "--quiet", url, "my-demo-repo", directory=directory, env=env)
        work = pathlib.Path(directory) / "my-demo-repo"
        equal((work / "hello.txt").read_text(), "Hello")
        (work / "cat.txt").write_text("The domestic cat\n")
        git("add", "cat.txt", directory=work, env=env)
        git("commit", "--quiet", "-m", "Added cat.txt", directory=work, env=env)
        git("push", "--quiet", directory=work, env=env)
        head = git("rev-parse", "HEAD", directory=work)
        equal(aws("get-branch", "--repository-name", "MyDemoRepo", "--branch-name", "main")["branch"]["commitId"], head)
        deleted = aws("delete-repository", "--repository-name", "MyDemoRepo")
        equal(deleted["repositoryId"], made["repositoryMetadata"]["repositoryId"])


def git_clients():
    """clone, push, fetch, force, delete, a large push; the repository is what git left, also after a restart."""
    with tempfile.TemporaryDirectory() as directory, Server(directory) as server:
        api = client("codecommit")
        url = api.create_repository(repositoryName="demo")["repositoryMetadata"]["cloneUrlHttp"]
        work, other = pathlib.Path(directory) / "work", pathlib.Path(directory) / "other"
        empty = with_helper("clone", url, str(work), check=False)
        equal(empty.returncode, 0, empty.stderr)
        holds("empty repository" in empty.stderr, empty.stderr)
        git("checkout", "--quiet", "-B", "trunk", directory=work)

        def commit(name, content, message):
            (work / name).write_bytes(content)
            git("add", "--all", directory=work)
            git("commit", "--quiet", "-m", message, directory=work)
            return git("rev-parse", "HEAD", directory=work)

        first = commit("a", b"one", "First")
        with_helper("push", "--quiet", "-u", "origin", "trunk", directory=work)
        metadata = api.get_repository(repositoryName="demo")["repositoryMetadata"]
        equal(metadata["defaultBranch"], "trunk", "the first branch that is pushed")
        holds(metadata["lastModifiedDate"] > metadata["creationDate"], "a push changes a repository")
        with_helper("clone", "--quiet", url, str(other))
        equal(git("rev-parse", "HEAD", directory=other), first)

        # 20 MB that do not compress: larger than any buffer, sent in chunks.
        noise = os.urandom(20_000_000)
        second = commit("noise", noise, "Large")
        with_helper("push", "--quiet", directory=work)
        with_helper("pull", "--quiet", directory=other)
        equal((other / "noise").read_bytes() == noise, True, "every byte comes back")
        shallow = pathlib.Path(directory) / "shallow"
        with_helper("clone", "--quiet", "--depth", "1", url, str(shallow))
        equal(git("rev-list", "--count", "HEAD", directory=shallow), "1")
        for version in ("0", "1", "2"):
            lines = with_helper("-c", f"protocol.version={version}", "ls-remote", url).splitlines()
            equal(lines, [f"{second}\tHEAD", f"{second}\trefs/heads/trunk"], f"protocol {version}")

        # Somebody else was first; a force push wins; the default branch is not deleted by a push.
        git("reset", "--quiet", "--hard", first, directory=work)
        third = commit("b", b"three", "Another way")
        lost = with_helper("push", "origin", "trunk", directory=work, check=False)
        holds(lost.returncode != 0 and "rejected" in lost.stderr, lost.stderr)
        with_helper("push", "--quiet", "--force", "origin", "trunk:trunk", "trunk:side", directory=work)
        equal(api.get_branch(repositoryName="demo", branchName="trunk")["branch"]["commitId"], third)
        with_helper("push", "--quiet", "--delete", "origin", "side", directory=work)
        kept = with_helper("push", "--delete", "origin", "trunk", directory=work, check=False)
        holds(kept.returncode != 0 and "rejected" in kept.stderr, kept.stderr)
        equal(api.list_branches(repositoryName="demo")["branches"], ["trunk"])

        # A restart, ordered or not, keeps everything.
        api.create_repository(repositoryName="spare", tags={"a": "b"})
        for end in (server.terminate, server.kill):
            end()
            server.start()
            api = client("codecommit")
            got = api.get_repository(repositoryName="demo")["repositoryMetadata"]
            equal((got["repositoryId"], got["defaultBranch"]), (metadata["repositoryId"], "trunk"))
            equal(with_helper("ls-remote", url).splitlines()[0], f"{third}\tHEAD")
            equal([row["repositoryName"] for row in api.list_repositories()["repositories"]], ["demo", "spare"])
        fourth = commit("c", b"four", "After the restart")
        with_helper("push", "--quiet", directory=work)
        equal(api.get_branch(repositoryName="demo", branchName="trunk")["branch"]["commitId"], fourth)


def password(secret, path, host="127.0.0.1", region=REGION, age=0):
    """What AWS's helper derives, at any time."""
    when = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age)).strftime("%Y%m%dT%H%M%S")
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    scope = f"{when[:8]}/{region}/codecommit/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{when}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (when[:8], region, "codecommit", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return f"{when}Z{hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()}"


def access():
    """Who may clone and push, and with which password; what is no repository's path."""
    with tempfile.TemporaryDirectory() as directory, Server(directory) as server:
        api = client("codecommit")
        api.create_repository(repositoryName="demo")
        put(api, "demo", "a", b"secret")
        url = f"{server.url}/v1/repos/demo"
        arn = f"arn:aws:codecommit:{REGION}:{ACCOUNT}:demo"
        reader = user("reader", {"Action": "codecommit:GitPull", "Resource": arn})
        writer = user("writer", {"Action": ["codecommit:GitPull", "codecommit:GitPush"], "Resource": arn})
        elsewhere = user("elsewhere", {"Action": "codecommit:*", "Resource": arn + "-other"})
        nobody = user("nobody")
        work = pathlib.Path(directory) / "work"
        with_helper("clone", "--quiet", url, str(work), keys=reader)
        (work / "b").write_text("b")
        git("add", "b", directory=work)
        git("commit", "--quiet", "-m", "b", directory=work)

        def forbidden(*arguments, status="403", **more):
            done = with_helper(*arguments, check=False, **more)
            holds(done.returncode != 0 and f"error: {status}" in done.stderr, done.stderr)

        forbidden("push", "origin", "main", directory=work, keys=reader)
        with_helper("push", "--quiet", "origin", "main", directory=work, keys=writer)
        for keys in (elsewhere, nobody):
            forbidden("ls-remote", url, keys=keys)
            forbidden("push", "origin", "main", directory=work, keys=keys)
        refused("AccessDeniedException", re.compile(f"User: .*/nobody is not authorized to perform: codecommit:GetRepository on resource: {arn} .*"),
                client("codecommit", aws_access_key_id=nobody["AWS_ACCESS_KEY_ID"], aws_secret_access_key=nobody["AWS_SECRET_ACCESS_KEY"]).get_repository,
                repositoryName="demo")

        # A password made for another Region, of another key, of nobody.
        forbidden("ls-remote", url, region="eu-west-1")
        forbidden("ls-remote", url, keys={**writer, "AWS_SECRET_ACCESS_KEY": "x" * 40})
        forbidden("ls-remote", url, keys={**writer, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"})
        without = git("-c", "credential.helper=", "ls-remote", url, check=False)
        holds(without.returncode != 0, "nobody reads without credentials")
        # With a repository in that Region the password is good there, and the name is still not there.
        client("codecommit", region_name="eu-west-1").create_repository(repositoryName="other")
        done = with_helper("ls-remote", url, region="eu-west-1", check=False)
        holds(done.returncode != 0 and "not found" in done.stderr, done.stderr)
        with_helper("ls-remote", f"{server.url}/v1/repos/other", region="eu-west-1")

        # Temporary credentials, whose token goes along in the user name.
        iam = client("iam")
        statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
        iam.create_role(RoleName="puller", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
        iam.put_role_policy(RoleName="puller", PolicyName="p", PolicyDocument=allow("codecommit:GitPull"))
        iam.put_user_policy(UserName="nobody", PolicyName="p", PolicyDocument=allow("sts:AssumeRole"))
        sts = client("sts", aws_access_key_id=nobody["AWS_ACCESS_KEY_ID"], aws_secret_access_key=nobody["AWS_SECRET_ACCESS_KEY"])
        keys = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/puller", RoleSessionName="session")["Credentials"]
        session = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"], "AWS_SESSION_TOKEN": keys["SessionToken"]}
        with_helper("ls-remote", url, keys=session)
        forbidden("push", "origin", "main", directory=work, keys=session)
        forbidden("ls-remote", url, keys={**session, "AWS_SESSION_TOKEN": keys["SessionToken"][:-4] + "AAAA"})

        # By hand: old passwords, those of another path, and paths that lead elsewhere.
        key, secret = writer["AWS_ACCESS_KEY_ID"], writer["AWS_SECRET_ACCESS_KEY"]

        def status(path, word=None, method="GET", body=None, **headers):
            connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
            if word:
                headers["Authorization"] = "Basic " + base64.b64encode(f"{key}:{word}".encode()).decode()
            connection.request(method, path, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            told = answer.read()
            connection.close()
            return answer.status, answer.headers, told

        refs = "/info/refs?service=git-upload-pack"
        code, headers, _ = status(f"/v1/repos/demo{refs}")
        equal((code, headers["WWW-Authenticate"].split()[0]), (401, "Basic"))
        good = password(secret, "/v1/repos/demo")
        equal(status(f"/v1/repos/demo{refs}", good)[0], 200)
        for word, words in [
            (password(secret, "/v1/repos/demo", age=1200), b"expired"),
            (password(secret, "/v1/repos/demo", age=-1200), b"expired"),
            (password(secret, "/v1/repos/other"), b"not valid"),
            (password(secret, "/v1/repos/demo", host="localhost"), b"not valid"),
            ("nothing", b"not valid"),
            (secret, b"not valid"),
        ]:
            code, _, told = status(f"/v1/repos/demo{refs}", word)
            equal((code, words in told), (403, True), told.decode())
        for name in ("..", "%2e%2e", "..%2f..%2fetc", "../../../etc", "a%00b", ".", "demo.git", "demo/x", "%2Fetc%2Fpasswd", ""):
            path = f"/v1/repos/{name}"
            code, _, told = status(path + refs, password(secret, path))
            equal(code, 404, path)
            holds(b"root:" not in told and str(server.data).encode() not in told, told.decode())
        for path in ("/v1/repos/demo/HEAD", "/v1/repos/demo/objects/info/packs", "/v1/repos/demo/config", "/v1/repos/demo"):
            equal(status(path, good)[0], 404, path)
        equal(status("/v1/repos/demo/git-upload-pack", good, "POST", b"0000", Content_Type="text/plain")[0], 415)
        kind = "application/x-git-upload-pack-request"
        equal(status("/v1/repos/demo/git-upload-pack", good, "POST", b"x", Content_Type=kind, Content_Encoding="br")[0], 415)
        log = pathlib.Path(server.log.name).read_text(errors="replace")
        holds(good not in log and secret not in log, "no log has a password")


if __name__ == "__main__":
    main([repositories, branches, commits, wrong_input, aws_cli, git_clients, access])
