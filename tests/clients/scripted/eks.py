"""EKS: DescribeCluster, and whose the token is that a deployer makes for the cluster's own API.

The token is a presigned GetCallerIdentity; `identity` does with it what the cluster's authenticator does: it looks whether the
signature is right, whether it was made for this cluster, and who made it.
"""

import base64
import types
import urllib.parse

from scripted import wire
from scripted_aws import KEY, SECRET, AwsError, Script, now

# A certificate of no authority: the endpoint of a scenario is not reached by it.
CERTIFICATE = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ0E=\n-----END CERTIFICATE-----\n").decode()


class Eks(Script):
    service = "eks"

    def __init__(self):
        self.clusters = {}

    # For scenarios

    def cluster(self, name, status="ACTIVE", endpoint="https://127.0.0.1:1", certificate=CERTIFICATE, public=True):
        self.clusters[name] = {"status": status, "endpoint": endpoint, "certificate": certificate, "public": public}

    def identity(self, token, cluster):
        """The caller that a token stands for, or an AssertionError that says what is wrong with it."""
        assert token.startswith("k8s-aws-v1."), f"no token of EKS: {token[:20]}"
        encoded = token.removeprefix("k8s-aws-v1.")
        assert "=" not in encoded, "the token is padded"
        url = urllib.parse.urlsplit(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode())
        given = dict(urllib.parse.parse_qsl(url.query))
        assert (given.get("Action"), given.get("Version")) == ("GetCallerIdentity", "2011-06-15"), f"another request: {given}"
        assert given["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id", f"signed are {given['X-Amz-SignedHeaders']}"
        assert int(given["X-Amz-Expires"]) <= 900, "good for too long"
        key, date, region, service, _ = given["X-Amz-Credential"].split("/")
        session = self.aws.sts.sessions.get(key)
        assert session or key == KEY, f"a stranger's key: {key}"
        assert session is None or given.get("X-Amz-Security-Token") == session["token"], "the session's token is missing"
        unsigned = "&".join(part for part in url.query.split("&") if not part.startswith("X-Amz-Signature="))
        request = types.SimpleNamespace(command="GET", path=f"{url.path or '/'}?{unsigned}", headers={
            "host": url.netloc, "x-k8s-aws-id": cluster, "x-amz-date": given["X-Amz-Date"]})
        scope = {"date": date, "region": region, "service": service, "headers": given["X-Amz-SignedHeaders"]}
        wanted = wire.signature(request, b"", scope, session["secret"] if session else SECRET)
        assert given["X-Amz-Signature"] == wanted, f"the signature is not right, or not for the cluster {cluster}"
        return session["caller"] if session else f"arn:aws:iam::123456789012:user/{KEY}"

    # The service

    def describe_cluster(self, call):
        name = call.input["name"]
        if name not in self.clusters:
            raise AwsError("ResourceNotFoundException", f"No cluster found for name: {name}.")
        one = self.clusters[name]
        told = {"name": name, "arn": call.arn(f"cluster/{name}"), "createdAt": now(), "version": "1.33", "status": one["status"],
                "resourcesVpcConfig": {"endpointPublicAccess": one["public"], "endpointPrivateAccess": not one["public"],
                                       "subnetIds": [], "securityGroupIds": []}}
        if one["status"] in ("ACTIVE", "UPDATING", "DELETING"):
            told.update(endpoint=one["endpoint"], certificateAuthority={"data": one["certificate"]})
        return {"cluster": told}
