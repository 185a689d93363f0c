//! `/v1/repos/NAME`: repositories for git itself. Who asks is settled by the door, what they may by the policies of
//! `codecommit:GitPull` and `codecommit:GitPush`.

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body::Body;
use towpath_git::password::CODECOMMIT;

use super::records::{REPOSITORIES, arn, check_name};
use super::{CodeCommit, scope_of};
use crate::call::Origin;
use crate::git::{Asked, Caller, GitService, Response, answer};
use crate::identity::policy::Context;
use crate::identity::{Principal, Refusal};

/// Where repositories are, below the server's address.
pub const PREFIX: &str = "/v1/repos/";
/// What the session of a pipeline's role is called.
const PIPELINE_SESSION: &str = "codepipeline@";

impl CodeCommit {
    /// Answers one request of a git client.
    pub async fn handle_git<B>(self: &std::sync::Arc<Self>, parts: &Parts, body: B, origin: &Origin) -> Response
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let Some(asked) = Asked::read(parts) else {
            return answer(
                StatusCode::NOT_FOUND,
                "Only git's smart HTTP protocol is served here. Use `git clone URL`.",
            );
        };
        let Some(name) = asked.repository.strip_prefix(PREFIX).filter(|name| check_name(name).is_ok()) else {
            return answer(StatusCode::NOT_FOUND, "This is not the name of a repository.");
        };
        let regions = match self.regions().await {
            Ok(regions) => regions,
            Err(response) => return response,
        };
        let Caller { principal, region } = match self.door.caller(parts, &asked.repository, CODECOMMIT, &regions).await
        {
            Ok(caller) => caller,
            Err(response) => return response,
        };
        let scope = scope_of(&principal.account, &region);
        if let Err(response) = self.may_git(&principal, asked.service, &arn(&scope, name), &region, origin).await {
            return response;
        }
        let found = match self.look(&scope, name).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                let text = format!("There is no repository {name} in account {} and Region {region}.", scope.account);
                return answer(StatusCode::NOT_FOUND, &text);
            }
            Err(_) => return answer(StatusCode::SERVICE_UNAVAILABLE, "Repositories cannot be looked up now."),
        };
        let (service, name, bare) = (std::sync::Arc::clone(self), name.to_owned(), found.bare.clone());
        let after = Box::pin(async move {
            if let Err(error) = bare.choose_head().await {
                tracing::warn!(%error, repository = name, "the default branch cannot be chosen");
            }
            service.touch(&scope, &name).await;
        });
        self.door.serve(&asked, found.bare.directory(), parts, body, after).await
    }

    /// Every Region that has repositories, and the server's own.
    async fn regions(&self) -> Result<Vec<String>, Response> {
        let partitions = self.documents.partitions(REPOSITORIES).await.map_err(|error| {
            tracing::error!(%error, "the Regions of repositories cannot be listed");
            answer(StatusCode::SERVICE_UNAVAILABLE, "Repositories cannot be looked up now.")
        })?;
        let mut regions = vec![self.region.clone()];
        for (_, region) in partitions.iter().filter_map(|partition| partition.split_once('/')) {
            if !regions.iter().any(|known| known == region) {
                regions.push(region.to_owned());
            }
        }
        Ok(regions)
    }

    async fn may_git(
        &self,
        principal: &Principal,
        service: GitService,
        resource: &str,
        region: &str,
        origin: &Origin,
    ) -> Result<(), Response> {
        let context = || {
            Context::new()
                .with("aws:RequestedRegion", region)
                .with("aws:SecureTransport", if origin.secure_transport { "true" } else { "false" })
                .with_optional("aws:SourceIp", origin.source_ip.map(|address| address.to_canonical().to_string()))
                .with_optional("aws:UserAgent", origin.user_agent.clone())
        };
        // A pipeline does not clone at AWS: it has CodeCommit upload an archive, and its role is allowed that.
        let of_pipeline = principal.role_session().is_some_and(|s| s.session_name.starts_with(PIPELINE_SESSION));
        let actions: &[&str] = match service {
            GitService::ReceivePack => &["codecommit:GitPush"],
            GitService::UploadPack if of_pipeline => &["codecommit:UploadArchive", "codecommit:GitPull"],
            GitService::UploadPack => &["codecommit:GitPull"],
        };
        let mut first = None;
        for action in actions {
            match self.identity.authorize(principal, action, resource, context()).await {
                Ok(()) => return Ok(()),
                Err(Refusal::Denied(denied)) => {
                    let explicit = denied.is_explicit();
                    first.get_or_insert_with(|| denied.to_string());
                    if explicit {
                        break;
                    }
                }
                Err(Refusal::Unavailable(error)) => {
                    tracing::error!(%error, "permissions cannot be looked up");
                    return Err(answer(StatusCode::SERVICE_UNAVAILABLE, "Permissions cannot be looked up now."));
                }
            }
        }
        Err(answer(StatusCode::FORBIDDEN, &first.unwrap_or_default()))
    }
}
