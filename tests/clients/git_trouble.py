"""Git hosts in trouble or of ill will, hosts of one's own, and tokens that may do less than others: what an execution, a
status and a secret go through then. Each scenario starts its own server and its own git hosts.
"""

import base64
import pathlib
import tempfile

from git_hosts import GitHost, SshHost, git
from git_sources import FILES, TOKEN, connected, failure, from_connection, from_github, nowhere, prepared, ran, site, to_site, towpath
from harness import (
    ACCOUNT,
    Pipelines,
    Server,
    client,
    equal,
    holds,
    main,
    pipeline,
    stage,
    wait,
)


def begun(source, name):
    """A pipeline from this source to the site, just started."""
    declared = pipeline(
        name,
        f"arn:aws:iam::{ACCOUNT}:role/pipeline",
        stage("Source", source),
        stage("Release", to_site()),
        pipelineType="V2",
    )
    pipelines = Pipelines()
    pipelines.api.create_pipeline(pipeline=declared)
    return pipelines, pipelines.first(name)


def own_hosts():
    """A host of one's own: its endpoint is where repositories are, and its API is where statuses go."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        commit = hub.repositories.make("group/sub/ferry", FILES)
        hub.repositories.make("towline-co/ferry", FILES, message="enterprise")
        prepared()
        connections = client("codeconnections")
        for kind, name, repository in [
            ("GitLabSelfManaged", "lab", "group/sub/ferry"),
            ("GitHubEnterpriseServer", "enterprise", "towline-co/ferry"),
        ]:
            host = connections.create_host(Name=name, ProviderType=kind, ProviderEndpoint=hub.url)["HostArn"]
            arn = connections.create_connection(ConnectionName=name, HostArn=host)["ConnectionArn"]
            towpath(server, "set-token", arn, secret=TOKEN)
            _, actions = ran(from_connection(arn, repository), name)
            equal(actions["Take"]["output"]["outputVariables"]["ProviderType"], kind)

        def told(name):
            return [row[3] for row in hub.statuses if row[4] == f"towpath/{name}"]

        wait("the statuses on GitLab", lambda: told("lab")[-1:] == ["success"])
        wait("the statuses on GitHub Enterprise", lambda: told("enterprise")[-1:] == ["success"])
        holds(("GitLab", "group/sub/ferry", commit) in [row[:3] for row in hub.statuses], hub.statuses)
        nowhere(server, TOKEN)


def passing_trouble():
    """A host that is down, or says so, fails nothing: it is asked again."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        hub.repositories.make("towline-co/ferry", FILES)
        prepared()
        arn = connected(server, "hub", hub.url)
        hub.broken = [(503,), (429,), (502,)]
        pipelines, execution = begun(from_connection(arn, "towline-co/ferry"), "troubled")
        pipelines.ended("troubled", execution, "Succeeded")
        equal(hub.broken, [], "answers that were not asked for")
        for source, name in [
            (from_connection(arn, "towline-co/ferry"), "down"),
        ]:
            hub.end()
            pipelines, execution = begun(source, name)
            log = pathlib.Path(server.log.name)
            wait("a try in vain", lambda: "the peer could not be asked" in log.read_text().split(execution)[-1])
            equal(pipelines.status(name, execution), "InProgress")
            hub.start()
            pipelines.ended(name, execution, "Succeeded")
        equal(site("main/index.html"), "<p>one")
        nowhere(server, TOKEN)


def github_down():
    """The same for version 1 of the GitHub action."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub:
        with Server(directory, f'[source.Take]\ngithub-url = "{hub.url}"\n') as server:
            hub.repositories.make("towline-co/ferry", FILES)
            prepared()
            hub.broken = [(503,), (500,)]
            pipelines, execution = begun(from_github("towline-co", "ferry", TOKEN), "github")
            pipelines.ended("github", execution, "Succeeded")
            equal(hub.broken, [], "answers that were not asked for")
            nowhere(server, TOKEN)


def ssh_down():
    """The same over SSH: nobody listens."""
    with tempfile.TemporaryDirectory() as directory, SshHost(f"{directory}/ssh") as host, Server(directory) as server:
        wait("sshd", host.up)
        host.repositories.make("team/ferry", FILES)
        prepared()
        arn = client("codeconnections").create_connection(ConnectionName="ssh", ProviderType="GitLab")["ConnectionArn"]
        towpath(server, "set-ssh-key", arn, "--url", host.url, secret=host.key())
        host.end()
        pipelines, execution = begun(from_connection(arn, "team/ferry"), "down")
        wait("a try in vain", lambda: "the peer could not be asked" in pathlib.Path(server.log.name).read_text())
        equal(pipelines.status("down", execution), "InProgress")
        host.start()
        pipelines.ended("down", execution, "Succeeded")
        equal(site("main/index.html"), "<p>one")


def ill_will():
    """A host that sends git elsewhere, or repeats what it was told: the token goes nowhere but to the host itself, and no
    message has it."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, GitHost(
        f"{directory}/trap", [TOKEN]
    ) as trap, Server(directory) as server:
        hub.repositories.make("towline-co/ferry", FILES)
        trap.repositories.make("towline-co/ferry", {"index.html": "<p>trapped"})
        prepared()
        arn = connected(server, "hub", hub.url)
        elsewhere = f"{trap.url}/towline-co/ferry.git/info/refs?service=git-upload-pack"
        hub.broken = [(302, b"", [("Location", elsewhere)])] * 4
        details = failure(from_connection(arn, "towline-co/ferry"), "elsewhere")
        holds("refused the credential" in details["message"], details)
        holds(trap.requests, "git went there")
        equal(set(trap.passwords) - {None, ""}, set(), "passwords that the other host was told")
        hub.broken = []
        # What was said to the host comes back in its words.
        plain = [("Content-Type", "text/plain")]
        header = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()
        echo = f"You are {TOKEN}, as {header} says"
        hub.broken = [(400, echo.encode(), plain)] * 4
        details = failure(from_connection(arn, "towline-co/ferry"), "echo")
        holds("[GitHub]" in details["message"], details)
        holds("You are ****, as **** says" in details["message"], details)
        log = pathlib.Path(server.log.name).read_text()
        holds(TOKEN not in log and header not in log, "the log has the token")


def hostile_repository():
    """A repository made to write elsewhere and to run programs is refused or taken apart as plain files."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        hub.repositories.make("evil/ferry", FILES)
        bare = hub.repositories.root / "evil/ferry.git"
        canary = pathlib.Path(directory) / "canary"

        def write(kind, body):
            return git("--git-dir", str(bare), "hash-object", "-w", "--literally", "-t", kind, "--stdin", text=body)

        def tree(*entries):
            return write("tree", b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(id_) for mode, name, id_ in entries))

        def committed(entries, branch):
            commit = git("--git-dir", str(bare), "commit-tree", tree(*entries), "-m", "evil")
            git("--git-dir", str(bare), "update-ref", f"refs/heads/{branch}", commit)

        script = write("blob", f"#!/bin/sh\ntouch {canary}\n".encode())
        hooks = tree(("40000", "hooks", tree(("100755", "post-checkout", script))))
        committed([("40000", ".git", hooks)], "dotgit")
        committed([("40000", "..", tree(("100644", "escaped", script)))], "dotdot")
        link = write("blob", f"{directory}".encode())
        committed([("120000", "a", link)], "link")
        modules = f'[submodule "a"]\n\tpath = a\n\turl = ext::sh -c "touch {canary}"\n\tupdate = !touch {canary}\n'
        committed(
            [
                (mode, name, id_)
                for name, mode, id_ in sorted([
                    (".gitmodules", "100644", write("blob", modules.encode())),
                    ("a", "160000", hooks),
                    ("evil.sh", "100755", script),
                ])
            ],
            "modules",
        )
        prepared()
        arn = connected(server, "hub", hub.url)
        for branch in ("dotgit", "dotdot"):
            details = failure(from_connection(arn, "evil/ferry", branch=branch), branch)
            equal(details["code"], "ConfigurationError")
            holds("evil/ferry" in details["message"], details)
        ran(from_connection(arn, "evil/ferry", branch="link"), "link")
        equal(site("link/a"), directory)
        ran(from_connection(arn, "evil/ferry", branch="modules"), "modules")
        holds(str(canary) in site("modules/evil.sh"), "a script is a file")
        # Names that look like something else.
        for name, keys in [
            ("path", {"FullRepositoryId": "../ferry"}),
            ("option", {"FullRepositoryId": "--upload-pack=x/ferry"}),
            ("branch", {"BranchName": f"--upload-pack=touch {canary}"}),
        ]:
            source = from_connection(arn, "evil/ferry")
            source["configuration"].update(keys)
            details = failure(source, f"name-{name}")
            equal(details["code"], "ConfigurationError")
        holds(not canary.exists(), "something was run")
        holds(not any(server.data.rglob("escaped")) and not any(server.data.rglob("post-checkout")), "something escaped")


def tokens_that_only_read():
    """A token that may not write statuses: it is tried once each, and the execution knows nothing of it."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        hub.repositories.make("towline-co/ferry", FILES)
        hub.readers.add(TOKEN)
        prepared()
        arn = connected(server, "hub", hub.url, more=["--api-url", f"{hub.url}/api/v3"])
        ran(from_connection(arn, "towline-co/ferry"), "reader")

        def tries():
            return [path for _, path in hub.requests if "/statuses/" in path]

        wait("a try for each status", lambda: len(tries()) == 2)
        hub.readers.clear()
        ran(from_connection(arn, "towline-co/ferry"), "writer")
        wait("the other pipeline's statuses", lambda: [row[3] for row in hub.statuses][-1:] == ["success"])
        equal({row[4] for row in hub.statuses}, {"towpath/writer"})
        equal(len(tries()), 4, "tries")


def statuses_outlive_a_kill():
    """The very first commit's statuses are written after a kill, too."""
    with tempfile.TemporaryDirectory() as directory, GitHost(f"{directory}/git", [TOKEN]) as hub, Server(directory) as server:
        hub.repositories.make("towline-co/ferry", FILES)
        prepared()
        arn = connected(server, "hub", hub.url, more=["--api-url", f"{hub.url}/api/v3"])
        # Whoever writes a status waits, so that none is written before the end.
        hub.open.clear()
        ran(from_connection(arn, "towline-co/ferry"), "ferry")
        server.kill()
        hub.open.set()
        server.start()
        wait("the statuses", lambda: [row[3] for row in hub.statuses][-1:] == ["success"])
        states = [row[3] for row in hub.statuses]
        equal(states[0], "pending")


if __name__ == "__main__":
    main([
        own_hosts, passing_trouble, github_down, ssh_down, ill_will, hostile_repository, tokens_that_only_read,
        statuses_outlive_a_kill,
    ])
