//! A registry of Amazon ECR as a Docker client needs it: its host and a password for twelve hours. Private registries are
//! of an account and a Region; the public one is asked in us-east-1 alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use towpath_model::action::ActionInvocation;

use crate::ecr_source;
use crate::problem::Problem;
use crate::provider::Call;

const PUBLIC: &str = "AmazonECRPublic";
const PUBLIC_HOST: &str = "public.ecr.aws";
/// Where the public registry's API is.
const PUBLIC_REGION: &str = "us-east-1";

/// Where images are pulled from and pushed to, and as whom.
pub struct Registry {
    pub host: String,
    pub user: String,
    pub password: String,
}

/// Whether a text may stand in an image's name without quotes.
pub fn is_of_an_image(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'))
}

/// User and password of an authorization token.
fn opened(token: Option<String>) -> Option<(String, String)> {
    let text = String::from_utf8(BASE64.decode(token?).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn broken(service: &'static str) -> Problem {
    Problem::broken(service, "GetAuthorizationToken answered without a token for a registry")
}

/// The private registry of the action's account and Region.
pub async fn private(cx: &Call<'_>, action: &ActionInvocation) -> Result<Registry, Problem> {
    let client = cx.realm.ecr(action).await?;
    let answer = client.get_authorization_token().send().await;
    let answer = answer.map_err(|error| cx.realm.note(action, Problem::of(ecr_source::SERVICE, &error)))?;
    let broken = || broken(ecr_source::SERVICE);
    let data = answer.authorization_data.into_iter().flatten().next().ok_or_else(broken)?;
    let (user, password) = opened(data.authorization_token).ok_or_else(broken)?;
    let endpoint = data.proxy_endpoint.ok_or_else(broken)?;
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host).trim_end_matches('/').to_owned();
    Ok(Registry { host, user, password })
}

/// The public registry.
pub async fn public(cx: &Call<'_>, action: &ActionInvocation) -> Result<Registry, Problem> {
    let action = &in_public_region(action);
    let client = cx.realm.ecr_public(action).await?;
    let answer = client.get_authorization_token().send().await;
    let answer = answer.map_err(|error| cx.realm.note(action, Problem::of(PUBLIC, &error)))?;
    let token = answer.authorization_data.and_then(|data| data.authorization_token);
    let (user, password) = opened(token).ok_or_else(|| broken(PUBLIC))?;
    Ok(Registry { host: PUBLIC_HOST.to_owned(), user, password })
}

/// The URI of a private repository.
pub async fn private_repository(cx: &Call<'_>, action: &ActionInvocation, name: &str) -> Result<String, Problem> {
    let answer = cx.realm.ecr(action).await?.describe_repositories().repository_names(name).send().await;
    let answer = answer.map_err(|error| cx.realm.note(action, Problem::of(ecr_source::SERVICE, &error)))?;
    let found = answer.repositories.into_iter().flatten().next().and_then(|repository| repository.repository_uri);
    found.ok_or_else(|| Problem::broken(ecr_source::SERVICE, "DescribeRepositories answered without a repository"))
}

/// The URI of a public repository.
pub async fn public_repository(cx: &Call<'_>, action: &ActionInvocation, name: &str) -> Result<String, Problem> {
    let action = &in_public_region(action);
    let answer = cx.realm.ecr_public(action).await?.describe_repositories().repository_names(name).send().await;
    let answer = answer.map_err(|error| cx.realm.note(action, Problem::of(PUBLIC, &error)))?;
    let found = answer.repositories.into_iter().flatten().next().and_then(|repository| repository.repository_uri);
    found.ok_or_else(|| Problem::broken(PUBLIC, "DescribeRepositories answered without a repository"))
}

fn in_public_region(action: &ActionInvocation) -> ActionInvocation {
    ActionInvocation { region: PUBLIC_REGION.to_owned(), ..action.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_a_user_and_a_password() {
        let told = opened(Some(BASE64.encode("AWS:hush:hush")));
        assert_eq!(told, Some(("AWS".to_owned(), "hush:hush".to_owned())));
        for token in [None, Some("%".to_owned()), Some(BASE64.encode("AWS"))] {
            assert_eq!(opened(token), None);
        }
    }

    #[test]
    fn names_that_need_no_quotes() {
        assert!(is_of_an_image("towline/web-1.2_a"));
        for text in ["a b", "a;b", "a$b", "a'b", "a:b"] {
            assert!(!is_of_an_image(text), "{text}");
        }
    }
}
