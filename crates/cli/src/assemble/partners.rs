//! The clients of partners' job workers, as `[third-party.PROVIDER]` of towpath.toml registers them.

use towpath_orchestrator::{PartnerClient, PartnerClients};

use crate::config::Config;
use crate::errors::ExpectedError;

/// AWS's bound on a client token.
const TOKEN_CHARS_MAX: usize = 256;

pub fn partners(config: &Config) -> Result<PartnerClients, ExpectedError> {
    let registered = config.third_parties.iter().map(|(provider, client)| {
        if !is_uuid(&client.client_id) {
            return Err(wrong(format!(
                "[third-party.{provider}] client-id must be a UUID in small letters, such as \
                 1b4e28ba-2fa1-41d2-883f-0016d3cca427"
            )));
        }
        let length = client.client_token.expose().chars().count();
        if length == 0 || length > TOKEN_CHARS_MAX {
            return Err(wrong(format!(
                "[third-party.{provider}] client-token must have 1 to {TOKEN_CHARS_MAX} characters"
            )));
        }
        let registered = PartnerClient { id: client.client_id.clone(), token: client.client_token.clone() };
        Ok((provider.clone(), registered))
    });
    registered.collect()
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let small = |group: &str| group.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) && groups.iter().all(|group| small(group))
}

fn wrong(message: String) -> ExpectedError {
    ExpectedError::System { message, hint: Some("docs/workers.md describes third parties".to_owned()), usage: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Text;

    fn read(text: &str) -> Result<PartnerClients, ExpectedError> {
        let text = Text::new("towpath.toml", text);
        partners(&crate::config::Loaded::parse(text).expect("it can be read").config)
    }

    #[test]
    fn a_pair_is_registered_by_its_provider() {
        let good =
            "[third-party.Runscope]\nclient-id = \"1b4e28ba-2fa1-41d2-883f-0016d3cca427\"\nclient-token = \"t\"\n";
        let clients = read(good).expect("a good table");
        assert_eq!(clients["Runscope"].id, "1b4e28ba-2fa1-41d2-883f-0016d3cca427");
        assert_eq!(clients["Runscope"].token.expose(), "t");
        for (from, to, why) in [("1b4e28ba-", "1B4E28BA-", "UUID"), ("427\"", "42\"", "UUID"), ("\"t\"", "\"\"", "256")]
        {
            let error = read(&good.replace(from, to)).expect_err(to).to_string();
            assert!(error.contains(why) && error.contains("[third-party.Runscope]"), "{error}");
        }
    }
}
