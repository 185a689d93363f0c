//! Working trees as sources: which directory stands for which source action, what that directory is (a commit, a commit
//! with changes, or just its contents), and what it tells of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use towpath_model::declaration::{ActionDeclaration, PipelineDeclaration};

use super::git::{self, Head};
use crate::commands::validate::{Checked, actions, is_s3_source};
use crate::config::{Config, Source};
use crate::errors::ExpectedError;
use crate::host::Tree;
use crate::limits;

/// Hexadecimal digits of what tells changed contents apart, and of contents without a commit.
const CHANGED_DIGITS: usize = 12;
const CONTENT_DIGITS: usize = 40;

/// A source action that a directory can stand in for.
pub fn is_source(action: &ActionDeclaration) -> bool {
    action.action_type_id.category.as_str() == "Source" && action.action_type_id.owner.as_str() != "Custom"
}

/// The actions, other than S3 sources, that have a directory or an address.
pub fn standing_in(
    declaration: &PipelineDeclaration,
    sources: &BTreeMap<String, PathBuf>,
    config: &Config,
) -> BTreeSet<String> {
    let has = |name: &str| sources.contains_key(name) || config.sources.get(name).is_some_and(Source::is_somewhere);
    let wanted = actions(declaration).filter(|a| is_source(a) && !is_s3_source(a));
    wanted.map(|a| a.name.to_string()).filter(|name| has(name)).collect()
}

/// Source actions that neither a directory nor a service gives anything to.
pub fn check(
    declaration: &PipelineDeclaration,
    sources: &BTreeMap<String, PathBuf>,
    config: &Config,
) -> Result<(), ExpectedError> {
    let stands_in = standing_in(declaration, sources, config);
    let needy = actions(declaration).filter(|a| is_source(a) && !is_s3_source(a)).find(|action| {
        let provider = action.action_type_id.provider.as_str();
        let elsewhere = config.realms.iter().any(|(name, realm)| {
            realm.providers.iter().any(|p| p == provider) || (name == "aws" && realm.providers.is_empty())
        });
        let needs = match provider {
            // Neither is here, so somebody else must have it.
            "ECR" => !elsewhere,
            "CodeStarSourceConnection" => !elsewhere && config.connections.is_empty(),
            // GitHub itself is called; CodeCommit is in this Towpath, with whatever was pushed there.
            _ => false,
        };
        needs && !stands_in.contains(action.name.as_str())
    });
    match needy {
        Some(action) => Err(ExpectedError::SourceNeeded {
            action: action.name.to_string(),
            provider: action.action_type_id.provider.clone(),
        }),
        None => Ok(()),
    }
}

/// The directory of a source action; an address is cloned into the data directory first.
pub async fn directory(
    checked: &Checked,
    data: &Path,
    action: &str,
    given: Option<&PathBuf>,
) -> Result<PathBuf, ExpectedError> {
    let configured = checked.config.config.sources.get(action);
    let path = match (given, configured.and_then(|s| s.path.as_deref())) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => checked.config.directory.join(path),
        (None, None) => match configured.and_then(|s| s.url.as_deref()) {
            Some(url) => {
                let branch = configured.and_then(|s| s.branch.as_deref());
                return cloned(data, action, url, branch).await;
            }
            None => checked.location.directory.clone(),
        },
    };
    if path.exists() { Ok(path) } else { Err(ExpectedError::SourceMissing { action: action.to_owned(), path }) }
}

async fn cloned(data: &Path, action: &str, url: &str, branch: Option<&str>) -> Result<PathBuf, ExpectedError> {
    let failed = |reason: String| ExpectedError::SourceClone { action: action.to_owned(), url: url.to_owned(), reason };
    let parent = data.join("sources");
    let target = parent.join(action);
    // The newest commit is wanted, whatever was left here.
    match std::fs::remove_dir_all(&target) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error.to_string())),
        Ok(()) | Err(_) => {}
    }
    std::fs::create_dir_all(&parent).map_err(|error| failed(error.to_string()))?;
    git::clone(url, branch, &target).await.map_err(|error| failed(error.to_string()))?;
    Ok(target)
}

/// What a directory is, and the variables that its action type promises.
pub fn describe(action: &ActionDeclaration, account: &str, head: Option<&Head>, tree: &Path, digest: &str) -> Tree {
    let revision = match head {
        Some(head) if head.changed => format!("{}-dirty-{}", head.commit, &digest[..CHANGED_DIGITS]),
        Some(head) => head.commit.clone(),
        None => digest[..CONTENT_DIGITS].to_owned(),
    };
    let summary = match head {
        Some(head) if head.changed => format!("changed since: {}", head.message),
        Some(head) => head.message.clone(),
        None => format!("the files of {}", tree.display()),
    };
    let summary = summary.chars().take(limits::SUMMARY_CHARS_MAX).collect();
    let variables = variables(action, account, head, &revision, tree, digest);
    Tree { revision, summary, created: head.map(|head| head.committed.saturating_mul(1000)), variables }
}

fn variables(
    action: &ActionDeclaration,
    account: &str,
    head: Option<&Head>,
    revision: &str,
    tree: &Path,
    digest: &str,
) -> BTreeMap<String, String> {
    let config = |key: &str| action.config(key).unwrap_or_default().to_owned();
    let of = |read: fn(&Head) -> &str| head.map(read).unwrap_or_default().to_owned();
    let branch = |key: &str| head.and_then(|head| head.branch.clone()).unwrap_or_else(|| config(key));
    let mut all = vec![
        ("CommitId", revision.to_owned()),
        ("CommitMessage", of(|head| &head.message)),
        ("AuthorDate", of(|head| &head.author_date)),
    ];
    match action.action_type_id.provider.as_str() {
        "CodeCommit" => all.extend([
            ("BranchName", branch("BranchName")),
            ("CommitterDate", of(|head| &head.committer_date)),
            ("RepositoryName", config("RepositoryName")),
        ]),
        "CodeStarSourceConnection" => all.extend([
            ("AuthorDisplayName", of(|head| &head.author)),
            ("AuthorEmail", of(|head| &head.author_email)),
            ("BranchName", branch("BranchName")),
            ("ConnectionArn", config("ConnectionArn")),
            ("FullRepositoryName", config("FullRepositoryId")),
        ]),
        "GitHub" => all.extend([
            ("BranchName", branch("Branch")),
            ("CommitUrl", format!("https://github.com/{}/{}/commit/{revision}", config("Owner"), config("Repo"))),
        ]),
        // The tree holds the imageDetail.json that AWS would have written.
        "ECR" => all = image(action, account, tree, digest),
        _ => {}
    }
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What an ECR source tells of an image, as far as the tree's `imageDetail.json` or the action itself knows it.
fn image(action: &ActionDeclaration, account: &str, tree: &Path, digest: &str) -> Vec<(&'static str, String)> {
    let text = std::fs::read(tree.join("imageDetail.json")).unwrap_or_default();
    let detail: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let told = |value: &serde_json::Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let repository = action.config("RepositoryName").unwrap_or_default().to_owned();
    let tag = action.config("ImageTag").filter(|tag| !tag.is_empty()).unwrap_or("latest").to_owned();
    let repository = told(&detail["RepositoryName"]).unwrap_or(repository);
    let digest = told(&detail["ImageDigest"]).unwrap_or_else(|| format!("sha256:{digest}"));
    let uri = told(&detail["ImageURI"]).unwrap_or_else(|| format!("{repository}@{digest}"));
    vec![
        ("ImageTag", told(&detail["ImageTags"][0]).unwrap_or(tag)),
        ("RegistryId", told(&detail["RegistryId"]).unwrap_or_else(|| account.to_owned())),
        ("ImageDigest", digest),
        ("ImageURI", uri),
        ("RepositoryName", repository),
    ]
}

/// SHA-256 of a file, in hexadecimal digits.
pub fn digest(file: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = std::fs::File::open(file)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    Ok(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIGEST: &str = "37d06ac6b54d0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293";

    fn action(owner: &str, provider: &str, configuration: &serde_json::Value) -> ActionDeclaration {
        serde_json::from_value(json!({
            "name": "Fetch", "outputArtifacts": [{"name": "src"}], "configuration": configuration,
            "actionTypeId": {"category": "Source", "owner": owner, "provider": provider, "version": "1"},
        }))
        .unwrap()
    }

    fn head(changed: bool) -> Head {
        Head {
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            branch: Some("topic".to_owned()),
            author: "Ann".to_owned(),
            author_email: "ann@example.com".to_owned(),
            author_date: "2026-10-01T13:00:00Z".to_owned(),
            committer_date: "2026-10-01T14:00:00Z".to_owned(),
            committed: 1_790_863_200,
            message: "One".to_owned(),
            changed,
        }
    }

    #[test]
    fn a_revision_says_what_the_tree_is() {
        let action = action("AWS", "CodeCommit", &json!({"RepositoryName": "app", "BranchName": "main"}));
        let of = |head: Option<&Head>| describe(&action, "123456789012", head, Path::new("tree"), DIGEST);
        let clean = of(Some(&head(false)));
        assert_eq!(
            (clean.revision.as_str(), clean.summary.as_str()),
            ("0123456789abcdef0123456789abcdef01234567", "One")
        );
        assert_eq!(clean.created, Some(1_790_863_200_000));
        let changed = of(Some(&head(true)));
        assert_eq!(changed.revision, "0123456789abcdef0123456789abcdef01234567-dirty-37d06ac6b54d");
        assert_eq!(changed.summary, "changed since: One");
        let plain = of(None);
        assert_eq!(plain.revision.len(), 40);
        assert_eq!(plain.summary, "the files of tree");
        let names: Vec<&str> = clean.variables.keys().map(String::as_str).collect();
        assert_eq!(names, ["AuthorDate", "BranchName", "CommitId", "CommitMessage", "CommitterDate", "RepositoryName"]);
        assert_eq!((clean.variables["BranchName"].as_str(), plain.variables["BranchName"].as_str()), ("topic", "main"));
        assert_eq!(changed.variables["CommitId"], changed.revision);
    }

    #[test]
    fn every_type_has_its_own_variables() {
        let of = |action: &ActionDeclaration, tree: &Path| {
            describe(action, "123456789012", Some(&head(false)), tree, DIGEST).variables
        };
        let connection = json!({"ConnectionArn": "arn:c", "FullRepositoryId": "ann/app", "BranchName": "main"});
        let variables = of(&action("AWS", "CodeStarSourceConnection", &connection), Path::new("."));
        assert_eq!(
            (variables["FullRepositoryName"].as_str(), variables["ConnectionArn"].as_str()),
            ("ann/app", "arn:c")
        );
        let github = action("ThirdParty", "GitHub", &json!({"Owner": "ann", "Repo": "app", "Branch": "main"}));
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(of(&github, Path::new("."))["CommitUrl"], format!("https://github.com/ann/app/commit/{commit}"));
        let tree = tempfile::tempdir().unwrap();
        let ecr = action("AWS", "ECR", &json!({"RepositoryName": "web"}));
        let bare = of(&ecr, tree.path());
        assert_eq!((bare["ImageTag"].as_str(), bare["RegistryId"].as_str()), ("latest", "123456789012"));
        assert!(bare["ImageURI"].starts_with("web@sha256:"), "{bare:?}");
        let detail = json!({"ImageURI": "r/web@sha256:ab", "ImageDigest": "sha256:ab", "ImageTags": ["v7"]});
        std::fs::write(tree.path().join("imageDetail.json"), detail.to_string()).unwrap();
        let told = of(&ecr, tree.path());
        assert_eq!((told["ImageTag"].as_str(), told["ImageURI"].as_str()), ("v7", "r/web@sha256:ab"));
    }

    #[test]
    fn what_nobody_gives_is_asked_for() {
        let pipeline = |action: &ActionDeclaration| -> PipelineDeclaration {
            serde_json::from_value(json!({
                "name": "p", "roleArn": "arn:aws:iam::123456789012:role/p",
                "stages": [{"name": "Source", "actions": [action]}],
            }))
            .unwrap()
        };
        let ecr = pipeline(&action("AWS", "ECR", &json!({"RepositoryName": "web"})));
        let none = BTreeMap::new();
        let error = check(&ecr, &none, &Config::default()).unwrap_err();
        assert!(error.hint().unwrap().contains("--source Fetch=DIR"), "{:?}", error.hint());
        let given = BTreeMap::from([("Fetch".to_owned(), PathBuf::from("."))]);
        check(&ecr, &given, &Config::default()).unwrap();
        assert_eq!(standing_in(&ecr, &given, &Config::default()).len(), 1);
        let aws = Config { realms: [("aws".to_owned(), crate::config::Realm::default())].into(), ..Config::default() };
        check(&ecr, &none, &aws).unwrap();
        let connected = pipeline(&action("AWS", "CodeStarSourceConnection", &json!({"ConnectionArn": "arn"})));
        let error = check(&connected, &none, &Config::default()).unwrap_err();
        assert!(error.hint().unwrap().contains("[connections.NAME]"), "{:?}", error.hint());
        let text = crate::document::Text::new("towpath.toml", "[connections.hub]\ntoken = \"hunter2\"\n");
        check(&connected, &none, &crate::config::Loaded::parse(text).unwrap().config).unwrap();
        let url = crate::config::Source { url: Some("https://git.example.com/app".to_owned()), ..Default::default() };
        let cloned = Config { sources: [("Fetch".to_owned(), url)].into(), ..Config::default() };
        check(&ecr, &none, &cloned).unwrap();
        let s3 = pipeline(&action("AWS", "S3", &json!({"S3Bucket": "b", "S3ObjectKey": "k"})));
        check(&s3, &none, &Config::default()).unwrap();
        assert!(standing_in(&s3, &given, &Config::default()).is_empty());
    }
}
