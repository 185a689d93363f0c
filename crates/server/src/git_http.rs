//! `/git-http/ACCOUNT/REGION/CONNECTION_ID/OWNER/REPOSITORY.git`: git through a connection, read-only, at the path that AWS
//! has for it. Who asks is known by the password that AWS's credential helper derives; what it may read, the connections
//! say.

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use towpath_model::ids::Scope;
use towpath_services::call::Call;
use towpath_services::git::{Asked, GitService, answer};

use crate::Front;
use crate::aws::origin;
use crate::front::Peer;

const PATH: &str = "/git-http/";
/// The signing name in passwords, as `aws codecommit credential-helper` has it.
const SIGNED_AS: &str = "codecommit";

/// A repository's place, taken apart.
struct Place {
    scope: Scope,
    connection: String,
    repository: String,
}

pub fn is_git(path: &str) -> bool {
    path.starts_with(PATH)
}

fn place(path: &str) -> Option<Place> {
    let mut parts = path.strip_prefix(PATH)?.splitn(4, '/');
    let (account, region, connection) = (parts.next()?, parts.next()?, parts.next()?);
    let repository = percent_encoding::percent_decode_str(parts.next()?).decode_utf8().ok()?;
    let repository = repository.strip_suffix(".git").unwrap_or(&repository).to_owned();
    Some(Place { scope: Scope::new(account, region), connection: connection.to_owned(), repository })
}

pub async fn handle(front: &Front, request: Request<Body>, peer: Peer) -> Response<Body> {
    let refused = |status: StatusCode, text: &str| answer(status, text).map(Body::new);
    let (parts, body) = request.into_parts();
    let Some(asked) = Asked::read(&parts) else {
        return refused(StatusCode::NOT_FOUND, "This is not a URL of git's smart HTTP protocol.");
    };
    let Some(place) = place(&asked.repository) else {
        let text = "A repository is at /git-http/ACCOUNT/REGION/CONNECTION_ID/OWNER/REPOSITORY.git.";
        return refused(StatusCode::NOT_FOUND, text);
    };
    let services = &front.services;
    let regions = [place.scope.region.clone()];
    let caller = match services.git.caller(&parts, &asked.repository, SIGNED_AS, &regions).await {
        Ok(caller) => caller,
        Err(response) => return response.map(Body::new),
    };
    if asked.service == GitService::ReceivePack {
        return refused(StatusCode::FORBIDDEN, "Repositories behind a connection are read-only here.");
    }
    let call = Call {
        principal: caller.principal,
        scope: place.scope,
        operation: "GitPull".to_owned(),
        body: Bytes::new(),
        request_id: (front.request_ids)(),
        origin: origin(&parts, peer),
    };
    let found = services
        .connections
        .repository(&call.principal, call.context(), &call.scope, &place.connection, &place.repository)
        .await;
    let ready = match found {
        Ok(repository) if asked.advertisement => services.connections.refresh(&repository).await.map(|()| repository),
        Ok(repository) => services.connections.go_on(&repository).await.map(|()| repository),
        Err(refusal) => Err(refusal),
    };
    match ready {
        Ok(repository) => {
            let served = services.git.serve(&asked, &repository.path, &parts, body, Box::pin(async {})).await;
            served.map(Body::new)
        }
        Err(refusal) => {
            tracing::info!(%refusal, "git through a connection is refused");
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refused(status, &refusal.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_connection_and_repository() {
        let found = place("/git-http/123456789012/us-east-1/c-1/group/sub/re%20po.git").expect("a place");
        assert_eq!(found.scope, Scope::new("123456789012", "us-east-1"));
        assert_eq!((found.connection.as_str(), found.repository.as_str()), ("c-1", "group/sub/re po"));
        for wrong in ["/git-http/1/us-east-1/c-1", "/v1/repos/x", "/git-http/"] {
            assert!(place(wrong).is_none(), "{wrong}");
        }
    }
}
