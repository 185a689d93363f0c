//! CodeCommit's API as far as providers use it, over one repository of the git host. Which files there are, git itself
//! says (`git_host.rs`).

use serde_json::{Value, json};

use crate::git_host::{REFUSED, REPOSITORY, commit};
use crate::world::{Peer, Request, Response, json_error, json_operation};

#[derive(Debug, Default)]
pub struct CodeCommit;

impl CodeCommit {
    fn branch(body: &Value) -> Response {
        let name = body["branchName"].as_str().unwrap();
        if name != "main" {
            return json_error(400, "BranchDoesNotExistException", &format!("Branch {name} does not exist"));
        }
        Response::ok(json!({"branch": {"branchName": name, "commitId": commit()}}).to_string())
    }

    fn commit(body: &Value) -> Response {
        let id = body["commitId"].as_str().unwrap();
        // The one that git does not have is known here.
        if id != commit() && !id.bytes().all(|b| b == b'9') {
            return json_error(400, "CommitIdDoesNotExistException", &format!("Commit {id} does not exist"));
        }
        let person = |date: &str| json!({"name": "Ada", "email": "ada@example.com", "date": date});
        let told = json!({"commitId": id, "treeId": "t", "parents": [], "message": "Sail\n\nFar\n", "additionalData": "",
            "author": person("1484167798 -0800"), "committer": person("1484167858 +0000")});
        Response::ok(json!({"commit": told}).to_string())
    }
}

impl Peer for CodeCommit {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let name = body["repositoryName"].as_str().unwrap();
        if name.contains('/') {
            return json_error(400, "InvalidRepositoryNameException", "The repository name is not valid.");
        }
        if ![REPOSITORY, REFUSED].contains(&name) {
            return json_error(400, "RepositoryDoesNotExistException", &format!("{name} does not exist"));
        }
        match json_operation(request).as_str() {
            "GetBranch" => Self::branch(&body),
            "GetCommit" => Self::commit(&body),
            "GetRepository" => {
                let url = format!("{}/v1/repos/{name}", crate::git_host::url());
                Response::ok(json!({"repositoryMetadata": {"repositoryName": name, "cloneUrlHttp": url}}).to_string())
            }
            other => panic!("the fake CodeCommit has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        0
    }
}
