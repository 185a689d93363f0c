//! One authenticated request to an embedded service, as the front door hands it over: the signature is verified, the
//! caller is known, nothing is decoded yet. Says nothing about any particular service.

use std::net::IpAddr;

use bytes::Bytes;
use towpath_model::ids::Scope;

use crate::identity::Principal;
use crate::identity::policy::Context;

/// What every service answers with; the front door writes it to the wire.
pub type Response = http::Response<Bytes>;

/// A request whose signature was verified.
#[derive(Debug, Clone)]
pub struct Call {
    pub principal: Principal,
    /// The account of the caller and the Region of the credential scope.
    pub scope: Scope,
    /// The operation's wire name, such as `AssumeRole`.
    pub operation: String,
    /// The JSON body, or the form of a Query request.
    pub body: Bytes,
    pub request_id: String,
    pub origin: Origin,
}

/// Where a request came from, for condition keys.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub source_ip: Option<IpAddr>,
    pub secure_transport: bool,
    pub user_agent: Option<String>,
    /// `x-amz-source-arn` and `x-amz-source-account`: the resource a service acts for. Looked at only when the caller
    /// is a service.
    pub source_arn: Option<String>,
    pub source_account: Option<String>,
}

impl Call {
    /// The condition keys that belong to the request itself.
    pub fn context(&self) -> Context {
        let origin = &self.origin;
        Context::new()
            .with("aws:RequestedRegion", self.scope.region.as_str())
            .with("aws:SecureTransport", if origin.secure_transport { "true" } else { "false" })
            .with_optional("aws:SourceIp", origin.source_ip.map(|address| address.to_canonical().to_string()))
            .with_optional("aws:UserAgent", origin.user_agent.clone())
    }
}
