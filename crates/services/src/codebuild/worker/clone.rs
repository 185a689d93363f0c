//! An input that is a clone reference: the build clones by itself, with the permissions of its own role, everything there
//! is, and checks the commit out. The reference says where; the address and the credentials are found here, so that a
//! forged one leads nowhere but to this server's own repositories and connections.

use std::path::Path;

use towpath_git::limits::CLONE_REF_BYTES_MAX;
use towpath_git::password::{Signing, user};
use towpath_git::{Access, Bounds, CloneRef, FetchError, GitError, Origin, Reason, Remote};

use super::prepare::{Failure, Trouble};
use super::{StepError, Worker};
use crate::identity::SessionCredentials;

/// Below the server's address, and how the password for it is signed.
struct Place {
    path: String,
    service: String,
    region: String,
}

/// The reference that a downloaded input is, if it is one and not a zip.
pub(super) fn reference(file: &Path) -> std::io::Result<Option<CloneRef>> {
    if std::fs::metadata(file)?.len() > CLONE_REF_BYTES_MAX {
        return Ok(None);
    }
    Ok(CloneRef::read(&std::fs::read(file)?))
}

impl Worker {
    /// Clones into an empty directory. Answers the URL, as outside clients know it.
    pub(super) async fn clone_source(
        &self,
        reference: &CloneRef,
        identifier: Option<&str>,
        destination: &Path,
        session: &SessionCredentials,
    ) -> Result<String, Trouble> {
        let commit = &reference.commit_id;
        let source = identifier.map_or_else(|| "primary source".to_owned(), |name| format!("source {name}"));
        let failed = |what: &str| -> Trouble {
            Failure::source(&format!("{what} for {source} and source version {commit}")).into()
        };
        let place = place(&reference.origin).ok_or_else(|| failed("repository not found"))?;
        let Some(public) = self.service.endpoint() else {
            return Err(failed("no address of this server to clone from is known"));
        };
        let public = public.trim_end_matches('/');
        let near = self.service.settings.git_url.as_deref().map_or(public, |url| url.trim_end_matches('/'));
        let signing = Signing {
            secret: &session.secret,
            region: &place.region,
            service: &place.service,
            host: host(near),
            path: &place.path,
        };
        let access = Access::Basic {
            user: user(&session.access_key, Some(session.token.expose())),
            password: signing.password(self.service.ambient.now()),
        };
        let shown = format!("{public}{}", place.path);
        let remote =
            Remote::new(format!("{near}{}", place.path), access).map_err(|error| failed(&error.to_string()))?;
        match remote.clone_at(destination, &shown, commit, &Bounds::default()).await {
            Ok(_) => Ok(shown),
            Err(FetchError::Git(GitError::Files(error))) => Err(Trouble::Step(StepError::Files(error))),
            Err(error) => {
                tracing::info!(%error, build = self.id, "a build cannot clone its source");
                Err(match error.reason() {
                    Reason::Forbidden | Reason::Unauthorized => failed("authorization failed"),
                    Reason::NoRepository => failed("repository not found"),
                    Reason::NoRevision => failed("reference not found"),
                    Reason::Unreachable | Reason::TooLarge | Reason::Other => failed(&error.to_string()),
                })
            }
        }
    }
}

/// Where the reference's repository is served; None if its names are none.
fn place(origin: &Origin) -> Option<Place> {
    let (arn, full) = match origin {
        Origin::CodeCommit { repository_arn } => (repository_arn, None),
        Origin::CodeConnections { connection_arn, full_repository_id } => (connection_arn, Some(full_repository_id)),
    };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, service, region, account, resource] = parts.as_slice() else { return None };
    let path = match full {
        None if *service == "codecommit" => format!("/v1/repos/{resource}"),
        Some(full) if matches!(*service, "codeconnections" | "codestar-connections") => {
            let id = resource.strip_prefix("connection/")?;
            format!("/git-http/{account}/{region}/{id}/{full}.git")
        }
        _ => return None,
    };
    let plain = path.split('/').skip(1).all(|part| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'~'))
    });
    plain.then(|| Place { path, service: (*service).to_owned(), region: (*region).to_owned() })
}

/// Without its port, which is not signed.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codecommit(arn: &str) -> Option<String> {
        place(&Origin::CodeCommit { repository_arn: arn.to_owned() }).map(|place| place.path)
    }

    #[test]
    fn references_lead_to_this_server_only() {
        let arn = "arn:aws:codecommit:eu-west-1:123456789012:demo";
        assert_eq!(codecommit(arn).as_deref(), Some("/v1/repos/demo"));
        for bad in [
            "",
            "http://169.254.169.254/",
            "arn:aws:s3:eu-west-1:123456789012:demo",
            "arn:aws:codecommit:eu-west-1:123456789012:../../etc",
            "arn:aws:codecommit:eu-west-1:123456789012:a@b",
            "arn:aws:codecommit:eu-west-1:123456789012:",
        ] {
            assert_eq!(codecommit(bad), None, "{bad}");
        }
        let connection = |arn: &str, full: &str| {
            let origin = Origin::CodeConnections { connection_arn: arn.into(), full_repository_id: full.into() };
            place(&origin).map(|place| (place.path, place.service))
        };
        let arn = "arn:aws:codestar-connections:us-east-1:123456789012:connection/0f0e";
        assert_eq!(
            connection(arn, "group/sub/repo"),
            Some(("/git-http/123456789012/us-east-1/0f0e/group/sub/repo.git".into(), "codestar-connections".into()))
        );
        assert_eq!(connection(arn, "../x"), None);
        assert_eq!(
            (host("http://127.0.0.1:7400"), host("https://towpath.example.org/x")),
            ("127.0.0.1", "towpath.example.org")
        );
    }
}
