//! ECR as far as providers use it: images by repository, and one registry's password.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{Peer, Request, Response, json_error, json_operation};

/// `AWS:` and the password, as GetAuthorizationToken tells it.
pub const PASSWORD: &str = "hush-of-the-registry";
const TOKEN: &str = "QVdTOmh1c2gtb2YtdGhlLXJlZ2lzdHJ5";

#[derive(Debug, Default)]
pub struct Ecr {
    /// Repository, tag, and what DescribeImages tells of the image.
    pub repositories: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Ecr {
    /// One image with one tag.
    pub fn with(repository: &str, tag: &str, digest: &str) -> Self {
        let image = json!({"registryId": "111122223333", "repositoryName": repository, "imageDigest": digest,
            "imageTags": [tag, "v1"], "imageSizeInBytes": 44_728_918, "imagePushedAt": 1_548_101_040.5});
        let images = BTreeMap::from([(tag.to_owned(), image)]);
        Self { repositories: BTreeMap::from([(repository.to_owned(), images)]) }
    }

    fn repository(&self, body: &Value) -> Response {
        let name = body["repositoryNames"][0].as_str().unwrap();
        if !self.repositories.contains_key(name) {
            let text =
                format!("The repository with name '{name}' does not exist in the registry with id '111122223333'");
            return json_error(400, "RepositoryNotFoundException", &text);
        }
        let uri = format!("111122223333.dkr.ecr.eu-west-1.amazonaws.com/{name}");
        Response::ok(json!({"repositories": [{"repositoryName": name, "repositoryUri": uri}]}).to_string())
    }

    fn describe(&self, body: &Value) -> Response {
        let name = body["repositoryName"].as_str().unwrap();
        let Some(images) = self.repositories.get(name) else {
            let text =
                format!("The repository with name '{name}' does not exist in the registry with id '111122223333'");
            return json_error(400, "RepositoryNotFoundException", &text);
        };
        let id = &body["imageIds"][0];
        let is_wanted = |(tag, image): &(&String, &Value)| match id["imageDigest"].as_str() {
            Some(digest) => image["imageDigest"] == digest,
            None => id["imageTag"] == tag.as_str(),
        };
        let Some((_, image)) = images.iter().find(is_wanted) else {
            let text = format!("The image with imageId {id} does not exist within the repository with name '{name}'");
            return json_error(400, "ImageNotFoundException", &text);
        };
        Response::ok(json!({"imageDetails": [image]}).to_string())
    }
}

impl Peer for Ecr {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        match json_operation(request).as_str() {
            "DescribeRepositories" => self.repository(&serde_json::from_slice(&request.body).unwrap()),
            "DescribeImages" => self.describe(&serde_json::from_slice(&request.body).unwrap()),
            "GetAuthorizationToken" => {
                let endpoint = "https://111122223333.dkr.ecr.eu-west-1.amazonaws.com";
                let data = json!({"authorizationToken": TOKEN, "proxyEndpoint": endpoint, "expiresAt": 1_790_900_000});
                Response::ok(json!({"authorizationData": [data]}).to_string())
            }
            other => panic!("the fake ECR has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        0
    }
}

/// The public registry: one repository, `ferry`, in us-east-1 alone.
pub struct EcrPublic;

impl Peer for EcrPublic {
    fn operation(&self, request: &Request) -> String {
        json_operation(request)
    }

    fn answer(&mut self, request: &Request) -> Response {
        assert_eq!(request.region, "us-east-1", "the public registry is nowhere else");
        match json_operation(request).as_str() {
            "DescribeRepositories" => {
                let repository = json!({"repositoryName": "ferry", "repositoryUri": "public.ecr.aws/a1b2c3d4/ferry"});
                Response::ok(json!({"repositories": [repository]}).to_string())
            }
            "GetAuthorizationToken" => {
                let data = json!({"authorizationToken": TOKEN, "expiresAt": 1_790_900_000});
                Response::ok(json!({"authorizationData": data}).to_string())
            }
            other => panic!("the fake public ECR has no {other}"),
        }
    }

    fn effects(&self) -> usize {
        0
    }
}
