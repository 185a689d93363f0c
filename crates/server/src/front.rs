//! One port for everything. A signed request is an AWS request whatever its path; the rest are pages.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use towpath_model::time::Clock;
use towpath_orchestrator::Orchestrator;
use towpath_services::call::Call;
use towpath_services::codebuild::CodeBuild;
use towpath_services::codecommit::{CodeCommit, smart_http};
use towpath_services::connections::Connections;
use towpath_services::git::Door;
use towpath_services::identity::Identity;
use towpath_services::lambda::Lambda;
use towpath_services::logs::Logs;
use towpath_services::s3::S3Service;

use towpath_wire::signature::Verifier;

use crate::metrics::Metrics;
use crate::{api, aws, code, git_http, pages};

/// The embedded AWS services.
pub struct Services {
    pub identity: Arc<Identity>,
    pub s3: Arc<S3Service>,
    pub codebuild: Arc<CodeBuild>,
    pub lambda: Arc<Lambda>,
    pub connections: Arc<Connections>,
    pub git: Arc<Door>,
    pub codecommit: Arc<CodeCommit>,
    pub logs: Arc<Logs>,
}

/// What every request meets first.
pub struct Front {
    pub orchestrator: Arc<Orchestrator>,
    pub services: Services,
    pub clock: Arc<dyn Clock>,
    /// Where clients outside reach this server, without a slash at its end.
    pub public_url: Arc<str>,
    /// Draws request ids.
    pub request_ids: Box<dyn Fn() -> String + Send + Sync>,
    pub(crate) metrics: Metrics,
    pub(crate) verifier: Verifier,
}

/// How a request reached the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peer {
    pub ip: Option<IpAddr>,
    pub tls: bool,
}

impl Front {
    pub fn new(
        orchestrator: Arc<Orchestrator>,
        services: Services,
        clock: Arc<dyn Clock>,
        public_url: &str,
        request_ids: Box<dyn Fn() -> String + Send + Sync>,
    ) -> Self {
        Self {
            orchestrator,
            services,
            clock,
            public_url: Arc::from(public_url.trim_end_matches('/')),
            request_ids,
            metrics: Metrics::default(),
            verifier: Verifier::new(),
        }
    }

    /// A verified request to CodePipeline, ready to be answered.
    pub fn pipelines(&self, request: Call) -> api::Call {
        api::Call {
            orchestrator: Arc::clone(&self.orchestrator),
            identity: Arc::clone(&self.services.identity),
            request,
            public_url: Arc::clone(&self.public_url),
            of_job: false,
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        if aws::is_aws(&request) {
            return aws::handle(self, request, peer).await;
        }
        if let Some(zip) = code::handle(self, request.method(), request.uri()).await {
            return zip;
        }
        if git_http::is_git(request.uri().path()) && !pages::bucket_host(&request) {
            return git_http::handle(self, request, peer).await;
        }
        if request.uri().path().starts_with(smart_http::PREFIX) && !pages::bucket_host(&request) {
            let (parts, body) = request.into_parts();
            let origin = aws::origin(&parts, peer);
            return self.services.codecommit.handle_git(&parts, body, &origin).await.map(Body::new);
        }
        if let Some(page) = pages::handle(self, &request) {
            return page;
        }
        // Objects that everybody may read are read without a signature; S3 says no to the rest.
        let (mut parts, body) = request.into_parts();
        let origin = aws::origin(&parts, peer);
        parts.extensions.insert(origin);
        self.services.s3.handle(Request::from_parts(parts, body)).await.map(Body::new)
    }
}
