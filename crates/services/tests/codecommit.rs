//! CodeCommit without a network: pages and limits that need more repositories than a client would make, and what a second
//! process finds. Everything that clients see is in `tests/clients/codecommit.py`.

mod loopback;

use std::sync::Arc;

use bytes::Bytes;
use loopback::{ACCOUNT, REGION, TestClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use towpath_model::ids::Scope;
use towpath_services::call::{Call, Origin};
use towpath_services::codecommit::{CodeCommit, Parts};
use towpath_services::git::Door;
use towpath_services::identity::{Identity, Principal};
use towpath_store::{Documents, DocumentsExt as _, Expect, Key, MemoryStore};

const REPOSITORIES: &str = "codecommit.repository";

struct World {
    directory: TempDir,
    documents: Arc<dyn Documents>,
    codecommit: Arc<CodeCommit>,
}

/// One process over a data directory and its documents.
async fn process(directory: &TempDir, documents: &Arc<dyn Documents>) -> Arc<CodeCommit> {
    let ambient = loopback::ambient(&Arc::new(TestClock::default()));
    let identity = Identity::open(Arc::clone(documents), ambient.clone(), ACCOUNT, directory.path()).await;
    let identity = Arc::new(identity.expect("identity opens"));
    CodeCommit::new(Parts {
        documents: Arc::clone(documents),
        ambient: ambient.clone(),
        identity: Arc::clone(&identity),
        door: Arc::new(Door::new(identity, ambient)),
        data_dir: directory.path().to_owned(),
        public_url: "http://127.0.0.1:7400/".to_owned(),
        region: REGION.to_owned(),
    })
}

async fn ask(codecommit: &Arc<CodeCommit>, operation: &str, input: Value) -> Result<Value, String> {
    let call = Call {
        principal: Principal::root(ACCOUNT),
        scope: Scope::new(ACCOUNT, REGION),
        operation: operation.to_owned(),
        body: Bytes::from(input.to_string()),
        request_id: "r-1".to_owned(),
        origin: Origin::default(),
    };
    let response = codecommit.handle(&call).await;
    let body: Value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    if response.status().is_success() { Ok(body) } else { Err(body["__type"].as_str().expect("a code").to_owned()) }
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let documents: Arc<dyn Documents> = Arc::new(MemoryStore::new());
        let codecommit = process(&directory, &documents).await;
        Self { directory, documents, codecommit }
    }

    async fn ask(&self, operation: &str, input: Value) -> Result<Value, String> {
        ask(&self.codecommit, operation, input).await
    }

    /// So many repositories, of which the first is one.
    async fn fill(&self, count: usize) {
        self.ask("CreateRepository", json!({"repositoryName": "r-0000"})).await.expect("made");
        let partition = format!("{ACCOUNT}/{REGION}");
        let record = self.documents.get_json::<Value>(REPOSITORIES, &partition, "r-0000").await.expect("read");
        let mut record = record.expect("a record").value;
        for number in 1..count {
            record["id"] = json!(format!("id-{number}"));
            let key = Key::new(REPOSITORIES, partition.as_str(), format!("r-{number:04}"));
            self.documents.put_json(key, &record, Expect::Absent).await.expect("written");
        }
    }
}

#[tokio::test]
async fn repositories_are_listed_in_pages() {
    let world = World::new().await;
    world.fill(1_501).await;
    let names = |page: &Value| -> Vec<String> {
        let rows = page["repositories"].as_array().expect("rows");
        rows.iter().map(|row| row["repositoryName"].as_str().expect("a name").to_owned()).collect()
    };
    let first = world.ask("ListRepositories", json!({"order": "descending"})).await.expect("a page");
    assert_eq!((names(&first).len(), names(&first)[0].as_str()), (1_000, "r-1500"));
    let token = first["nextToken"].as_str().expect("there is more");
    let input = json!({"order": "descending", "nextToken": token});
    let last = world.ask("ListRepositories", input).await.expect("the rest");
    assert_eq!((names(&last).len(), names(&last)[500].as_str()), (501, "r-0000"));
    assert_eq!(last["nextToken"], Value::Null);
    for token in ["x", "-1", ""] {
        let refused = world.ask("ListRepositories", json!({"nextToken": token})).await;
        assert_eq!(refused, Err("InvalidContinuationTokenException".to_owned()), "{token}");
    }
}

#[tokio::test]
async fn an_account_has_so_many_repositories_in_a_region() {
    let world = World::new().await;
    world.fill(5_000).await;
    let refused = world.ask("CreateRepository", json!({"repositoryName": "one-more"})).await;
    assert_eq!(refused, Err("RepositoryLimitExceededException".to_owned()));
    world.ask("DeleteRepository", json!({"repositoryName": "r-4999"})).await.expect("deleted");
    world.ask("CreateRepository", json!({"repositoryName": "one-more"})).await.expect("there is room");
}

#[tokio::test]
async fn another_process_finds_everything_and_a_deleted_repository_leaves_nothing() {
    let world = World::new().await;
    let made = world.ask("CreateRepository", json!({"repositoryName": "demo"})).await.expect("made");
    let id = made["repositoryMetadata"]["repositoryId"].clone();
    let put = json!({"repositoryName": "demo", "branchName": "main", "filePath": "a", "fileContent": "aGk="});
    let commit = world.ask("PutFile", put).await.expect("put")["commitId"].clone();
    let next = process(&world.directory, &world.documents).await;
    let found = ask(&next, "GetRepository", json!({"repositoryName": "demo"})).await.expect("found");
    let metadata = &found["repositoryMetadata"];
    assert_eq!((&metadata["repositoryId"], &metadata["defaultBranch"]), (&id, &json!("main")));
    assert_eq!(metadata["cloneUrlHttp"], "http://127.0.0.1:7400/v1/repos/demo");
    let branch = ask(&next, "GetBranch", json!({"repositoryName": "demo", "branchName": "main"})).await.expect("found");
    assert_eq!(branch["branch"]["commitId"], commit);
    // A renamed repository keeps its directory: no name ever becomes a path.
    ask(&next, "UpdateRepositoryName", json!({"oldName": "demo", "newName": "..."})).await.expect("renamed");
    ask(&next, "GetCommit", json!({"repositoryName": "...", "commitId": commit})).await.expect("still there");
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(next.directory()).expect("a directory");
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect()
    };
    assert_eq!(files(), [format!("{}.git", id.as_str().expect("an id"))]);
    let deleted = ask(&next, "DeleteRepository", json!({"repositoryName": "..."})).await.expect("deleted");
    assert_eq!(deleted["repositoryId"], id);
    assert_eq!(files(), Vec::<String>::new());
}
