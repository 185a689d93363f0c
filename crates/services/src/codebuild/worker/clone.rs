//! An input that is a clone reference: the build clones by itself, with the permissions of its own role, everything there
//! is, and checks the commit out. The reference says where; the address and the credentials are found here, so that a
//! forged one leads nowhere but to this server's own repositories and connections.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use towpath_git::limits::CLONE_REF_BYTES_MAX;
use towpath_git::password::AccessKey;
use towpath_git::{Bounds, CloneRef, FetchError, GitError, Origin, Reason, Remote};
use towpath_model::ids::Scope;

use super::prepare::{Failure, Trouble};
use super::{StepError, Worker};
use crate::connections::{Named, is_repository};
use crate::identity::SessionCredentials;

/// Below the server's address, and the Region that the password for it is signed for.
#[derive(Debug, PartialEq)]
struct Place {
    path: String,
    region: String,
}

/// Characters of a repository's full id that stay in a URL as they are.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

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
        let url = format!("{near}{}", place.path);
        let key =
            AccessKey { id: &session.access_key, secret: &session.secret, session_token: Some(session.token.expose()) };
        let access = key.access(&url, &place.region, self.service.ambient.now());
        let shown = format!("{public}{}", place.path);
        let remote = Remote::new(url, access).map_err(|error| failed(&error.to_string()))?;
        match remote.clone_at(destination, &shown, commit, &Bounds::default()).await {
            Ok(_) => Ok(shown),
            Err(FetchError::Git(GitError::Files(error))) => Err(Trouble::Step(StepError::Files(error))),
            Err(error) => {
                tracing::info!(%error, build = self.id, "a build cannot clone its source");
                Err(match error.reason() {
                    Reason::Forbidden | Reason::Unauthorized => failed("authorization failed"),
                    Reason::NoRepository => failed("repository not found"),
                    Reason::NoRevision => failed("reference not found"),
                    Reason::Unreachable | Reason::HostKey | Reason::TooLarge | Reason::Other => {
                        failed(&error.to_string())
                    }
                })
            }
        }
    }
}

/// Where the reference's repository is served; None if its names are none.
fn place(origin: &Origin) -> Option<Place> {
    match origin {
        Origin::CodeCommit { repository_arn } => {
            let parts: Vec<&str> = repository_arn.splitn(6, ':').collect();
            let ["arn", _, "codecommit", region, _, name] = parts[..] else { return None };
            let plain = !matches!(name, "" | "." | "..")
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
            plain.then(|| Place { path: format!("/v1/repos/{name}"), region: region.to_owned() })
        }
        Origin::CodeConnections { connection_arn, full_repository_id } => {
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let Named { scope: Scope { account, region }, id, .. } = Named::connection(connection_arn)?;
            if !(plain(&account) && plain(&region) && plain(&id) && is_repository(full_repository_id)) {
                return None;
            }
            let full = utf8_percent_encode(full_repository_id, PATH);
            Some(Place { path: format!("/git-http/{account}/{region}/{id}/{full}.git"), region })
        }
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
            place(&origin).map(|place| (place.path, place.region))
        };
        let arn = "arn:aws:codestar-connections:us-east-1:123456789012:connection/0f0e";
        assert_eq!(
            connection(arn, "group/sub/repo"),
            Some(("/git-http/123456789012/us-east-1/0f0e/group/sub/repo.git".into(), "us-east-1".into()))
        );
        let spaced = connection(arn, "org/a project/repo").map(|(path, _)| path);
        assert_eq!(spaced.as_deref(), Some("/git-http/123456789012/us-east-1/0f0e/org/a%20project/repo.git"));
        for bad in ["../x", "o/../../v1/repos/x", "o//r", "o/r?x", "o/-r", "o/.git"] {
            assert_eq!(connection(arn, bad), None, "{bad}");
        }
        assert_eq!(connection("arn:aws:codeconnections:us-east-1:123456789012:connection/../x", "o/r"), None);
    }
}
