//! What IAM has on AWS and nobody has here: passwords, second factors, certificates, keys for git, instance profiles.
//! Clients ask for them before they delete a user or a role; the answer is that there are none.

use towpath_wire::iam::{
    DeleteLoginProfileRequest, GetLoginProfileRequest, ListInstanceProfilesForRoleRequest,
    ListInstanceProfilesForRoleResponse, ListInstanceProfilesResponse, ListMFADevicesRequest, ListMFADevicesResponse,
    ListSSHPublicKeysRequest, ListSSHPublicKeysResponse, ListServiceSpecificCredentialsRequest,
    ListServiceSpecificCredentialsResponse, ListSigningCertificatesRequest, ListSigningCertificatesResponse,
    ListVirtualMFADevicesResponse, RemoveRoleFromInstanceProfileRequest,
};

use super::super::Identity;
use super::super::policy::Context;
use super::{Answer, Failure, refused, respond};
use crate::call::Call;

impl Identity {
    /// The user of an operation, who must be there; root and sessions may ask about nobody in particular.
    async fn asked_user(&self, call: &Call, name: Option<String>) -> Result<(), Failure> {
        match Self::or_caller(call, name) {
            Ok(name) => self.named_user(call, &name).await.map(|_| ()),
            Err(_) => self.may(call, "*", Context::new()).await,
        }
    }

    pub(super) async fn get_login_profile(&self, call: &Call, input: GetLoginProfileRequest) -> Answer {
        let name = Self::or_caller(call, input.user_name)?;
        self.named_user(call, &name).await?;
        Err(refused("NoSuchEntity", format!("Login Profile for User {name} cannot be found.")).into())
    }

    pub(super) async fn delete_login_profile(&self, call: &Call, input: DeleteLoginProfileRequest) -> Answer {
        let name = Self::or_caller(call, input.user_name)?;
        self.named_user(call, &name).await?;
        Err(refused("NoSuchEntity", format!("Login Profile for User {name} cannot be found.")).into())
    }

    pub(super) async fn list_mfa_devices(&self, call: &Call, input: ListMFADevicesRequest) -> Answer {
        self.asked_user(call, input.user_name).await?;
        respond(&ListMFADevicesResponse { is_truncated: Some(false), ..Default::default() }, call)
    }

    pub(super) async fn list_virtual_mfa_devices(&self, call: &Call) -> Answer {
        self.may(call, "*", Context::new()).await?;
        respond(&ListVirtualMFADevicesResponse { is_truncated: Some(false), ..Default::default() }, call)
    }

    pub(super) async fn list_ssh_public_keys(&self, call: &Call, input: ListSSHPublicKeysRequest) -> Answer {
        self.asked_user(call, input.user_name).await?;
        let ssh_public_keys = Some(Vec::new());
        respond(&ListSSHPublicKeysResponse { is_truncated: Some(false), marker: None, ssh_public_keys }, call)
    }

    pub(super) async fn list_service_specific_credentials(
        &self,
        call: &Call,
        input: ListServiceSpecificCredentialsRequest,
    ) -> Answer {
        self.asked_user(call, input.user_name).await?;
        let output = ListServiceSpecificCredentialsResponse {
            is_truncated: Some(false),
            service_specific_credentials: Some(Vec::new()),
            ..Default::default()
        };
        respond(&output, call)
    }

    pub(super) async fn list_signing_certificates(&self, call: &Call, input: ListSigningCertificatesRequest) -> Answer {
        self.asked_user(call, input.user_name).await?;
        respond(&ListSigningCertificatesResponse { is_truncated: Some(false), ..Default::default() }, call)
    }

    pub(super) async fn list_instance_profiles(&self, call: &Call) -> Answer {
        self.may(call, "*", Context::new()).await?;
        respond(&ListInstanceProfilesResponse { is_truncated: Some(false), ..Default::default() }, call)
    }

    pub(super) async fn list_instance_profiles_for_role(
        &self,
        call: &Call,
        input: ListInstanceProfilesForRoleRequest,
    ) -> Answer {
        self.named_role(call, &input.role_name).await?;
        respond(&ListInstanceProfilesForRoleResponse { is_truncated: Some(false), ..Default::default() }, call)
    }

    pub(super) async fn remove_role_from_instance_profile(
        &self,
        call: &Call,
        input: RemoveRoleFromInstanceProfileRequest,
    ) -> Answer {
        let name = input.instance_profile_name;
        self.may(call, &format!("arn:aws:iam::{}:instance-profile/{name}", self.account), Context::new()).await?;
        Err(refused("NoSuchEntity", format!("Instance Profile {name} cannot be found.")).into())
    }
}
