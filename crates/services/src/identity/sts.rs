//! STS on the wire. The rules of assuming a role are in `assume`; what users may ask for themselves is here.

use towpath_wire::query::{self, Form};
use towpath_wire::sts::{
    AssumeRoleRequest, AssumeRoleResponse, AssumedRoleUser, Credentials, FederatedUser, GetAccessKeyInfoRequest,
    GetAccessKeyInfoResponse, GetCallerIdentityResponse, GetFederationTokenRequest, GetFederationTokenResponse,
    GetSessionTokenRequest, GetSessionTokenResponse, Operation, PolicyDescriptorType, SERVICE,
};
use towpath_wire::types::{Sensitive, Timestamp};
use towpath_wire::{Dialect, WireError};

use super::assume::{inherited_tags, invalid};
use super::policy::Context;
use super::principal::{Federated, UserSession};
use super::session::Issued;
use super::{AssumeRequest, Identity, Principal, PrincipalKind, Refusal, UserCaller, holder, keys};
use crate::call::{Call, Response};

const USER_SESSION_SECONDS: i32 = 43_200;
/// Root's own temporary credentials do not live longer.
const ROOT_SESSION_SECONDS_MAX: i32 = 3_600;

impl Identity {
    /// Answers one STS request.
    pub async fn handle_sts(&self, call: &Call) -> Response {
        match self.sts(call).await {
            Ok(response) => response,
            Err(error) => query::respond_error(Some(&SERVICE), &error, &call.request_id),
        }
    }

    async fn sts(&self, call: &Call) -> Result<Response, WireError> {
        let form = Form::parse(None, &call.body)?;
        match Operation::from_name(&call.operation) {
            Some(Operation::AssumeRole) => self.assume_role(call, form.decode()?).await,
            Some(Operation::GetAccessKeyInfo) => self.get_access_key_info(call, form.decode()?).await,
            Some(Operation::GetFederationToken) => self.get_federation_token(call, form.decode()?).await,
            Some(Operation::GetSessionToken) => self.get_session_token(call, &form.decode()?),
            Some(Operation::GetCallerIdentity) => {
                // No permission is needed, and none can be taken away.
                let output = GetCallerIdentityResponse {
                    account: Some(call.principal.account.clone()),
                    arn: Some(call.principal.arn.clone()),
                    user_id: Some(call.principal.user_id.clone()),
                };
                respond(&output, call)
            }
            None => Err(WireError::invalid_action(&call.operation, form.version())),
        }
    }

    async fn assume_role(&self, call: &Call, input: AssumeRoleRequest) -> Result<Response, WireError> {
        no_device(input.serial_number.as_deref())?;
        let tags = input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
        let request = AssumeRequest {
            role_arn: input.role_arn,
            session_name: input.role_session_name,
            seconds: input.duration_seconds,
            policy: input.policy,
            policy_arns: arns(input.policy_arns),
            external_id: input.external_id,
            source_identity: input.source_identity,
            tags,
            transitive_tags: input.transitive_tag_keys.unwrap_or_default(),
        };
        let mut context = call.context();
        if let PrincipalKind::Service(_) = call.principal.kind {
            // The resource a service acts for is the service's own word, as it is between AWS's services.
            let origin = &call.origin;
            context = context
                .with_optional("aws:SourceArn", origin.source_arn.clone())
                .with_optional("aws:SourceAccount", origin.source_account.clone());
        }
        let session = self.assume(&call.principal, request, context).await?;
        let source_identity = session.principal.role_session().and_then(|session| session.source_identity.clone());
        let output = AssumeRoleResponse {
            assumed_role_user: Some(AssumedRoleUser {
                arn: session.principal.arn.clone(),
                assumed_role_id: session.principal.user_id.clone(),
            }),
            credentials: Some(Credentials {
                access_key_id: session.access_key,
                expiration: Timestamp::from_millis(session.expires.millis()),
                secret_access_key: Sensitive::new(session.secret.expose()),
                session_token: Sensitive::new(session.token.expose()),
            }),
            packed_policy_size: session.packed_percent,
            source_identity,
        };
        respond(&output, call)
    }

    /// A user's own credentials for a while. Needs no permission.
    fn get_session_token(&self, call: &Call, input: &GetSessionTokenRequest) -> Result<Response, WireError> {
        no_device(input.serial_number.as_deref())?;
        let asked = input.duration_seconds;
        let (holder, seconds) = match &call.principal.kind {
            PrincipalKind::Root => (None, asked.unwrap_or(ROOT_SESSION_SECONDS_MAX).min(ROOT_SESSION_SECONDS_MAX)),
            PrincipalKind::User(caller) if caller.session.is_none() => {
                (Some(caller), asked.unwrap_or(USER_SESSION_SECONDS))
            }
            _ => return Err(with_session_credentials("GetSessionToken")),
        };
        let session = self.user_session(seconds, None);
        let arn = call.principal.arn.as_str();
        let (name, id) = holder.map_or(("", ""), |caller| (&caller.name, &caller.id));
        let issued = self.seal.issue_to_user(&call.principal.account, (arn, name, id), &session, &self.ambient);
        respond(&GetSessionTokenResponse { credentials: Some(credentials(&issued, &session)) }, call)
    }

    /// Credentials for somebody whom a user vouches for: what the user and the session policies both allow.
    async fn get_federation_token(&self, call: &Call, input: GetFederationTokenRequest) -> Result<Response, WireError> {
        let caller = match &call.principal.kind {
            PrincipalKind::User(caller) if caller.session.is_none() => caller,
            PrincipalKind::Root => {
                let text = "GetFederationToken is not available to the root user here. Call it as an IAM user.";
                return Err(WireError::access_denied(Dialect::Query, text));
            }
            _ => return Err(with_session_credentials("GetFederationToken")),
        };
        let account = call.principal.account.as_str();
        let arn = format!("arn:aws:sts::{account}:federated-user/{}", input.name);
        let passed: Vec<_> = input.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
        let tags = inherited_tags(None, &passed)?;
        self.may_federate(call, &arn, &tags).await?;
        let policy_arns = arns(input.policy_arns);
        let packed = self.session_limits(account, input.policy.as_deref(), &policy_arns, &tags).await?;
        let seconds = input.duration_seconds.unwrap_or(USER_SESSION_SECONDS);
        let federated = Federated { name: input.name, policy: input.policy, policy_arns, tags };
        let federated_user_id = format!("{account}:{}", federated.name);
        let session = self.user_session(seconds, Some(federated));
        let UserCaller { name, id, .. } = caller.as_ref();
        let issued = self.seal.issue_to_user(account, (&call.principal.arn, name, id), &session, &self.ambient);
        let output = GetFederationTokenResponse {
            credentials: Some(credentials(&issued, &session)),
            federated_user: Some(FederatedUser { arn, federated_user_id }),
            packed_policy_size: packed,
        };
        respond(&output, call)
    }

    async fn may_federate(&self, call: &Call, arn: &str, tags: &[(String, String)]) -> Result<(), WireError> {
        let mut context = call.context();
        for (key, value) in tags {
            context.set(&format!("aws:RequestTag/{key}"), value.as_str());
        }
        if !tags.is_empty() {
            context = context.with_many("aws:TagKeys", tags.iter().map(|(key, _)| key.clone()).collect());
            self.may_sts(&call.principal, "sts:TagSession", arn, context.clone()).await?;
        }
        self.may_sts(&call.principal, "sts:GetFederationToken", arn, context).await
    }

    async fn may_sts(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
        context: Context,
    ) -> Result<(), WireError> {
        self.authorize(principal, action, resource, context).await.map_err(|refusal| match refusal {
            Refusal::Denied(denied) => WireError::access_denied(Dialect::Query, denied.to_string()),
            Refusal::Unavailable(error) => super::iam::store_error(error),
        })
    }

    /// The account of an access key. AWS reads it out of the key; here the key is looked up.
    async fn get_access_key_info(&self, call: &Call, input: GetAccessKeyInfoRequest) -> Result<Response, WireError> {
        self.may_sts(&call.principal, "sts:GetAccessKeyInfo", "*", call.context()).await?;
        let id = input.access_key_id;
        let key = keys::find(self.documents.as_ref(), &id).await.map_err(super::iam::store_error)?;
        let account = match key {
            Some(key) => Some(key.value.account),
            None => super::same(&id, &self.root.id).then(|| self.account.clone()),
        };
        let account = account.ok_or_else(|| invalid(format!("The access key {id} is not known here.")))?;
        debug_assert!(holder::is_account(&account));
        respond(&GetAccessKeyInfoResponse { account: Some(account) }, call)
    }

    fn user_session(&self, seconds: i32, federated: Option<Federated>) -> UserSession {
        let issued = self.ambient.now();
        UserSession { issued, expires: issued.plus_millis(i64::from(seconds) * 1_000), federated }
    }
}

fn credentials(issued: &Issued, session: &UserSession) -> Credentials {
    Credentials {
        access_key_id: issued.key.id.clone(),
        expiration: Timestamp::from_millis(session.expires.millis()),
        secret_access_key: Sensitive::new(issued.key.secret.expose()),
        session_token: Sensitive::new(issued.token.expose()),
    }
}

fn arns(passed: Option<Vec<PolicyDescriptorType>>) -> Vec<String> {
    passed.unwrap_or_default().into_iter().filter_map(|policy| policy.arn).collect()
}

/// Nobody here has a second factor that a code could be of.
fn no_device(serial_number: Option<&str>) -> Result<(), WireError> {
    if serial_number.is_none() {
        return Ok(());
    }
    let text = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is \
                valid and associated with this user.";
    Err(WireError::access_denied(Dialect::Query, text))
}

fn with_session_credentials(operation: &str) -> WireError {
    WireError::access_denied(Dialect::Query, format!("Cannot call {operation} with session credentials"))
}

fn respond<T: towpath_wire::schema::Output>(output: &T, call: &Call) -> Result<Response, WireError> {
    query::respond(output, &call.request_id).map_err(|error| {
        tracing::error!(%error, operation = call.operation, "an STS answer cannot be written");
        WireError::internal(Dialect::Query)
    })
}
