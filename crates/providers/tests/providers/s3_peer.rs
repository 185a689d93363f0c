//! S3 as far as providers use it.

use std::collections::BTreeMap;

use crate::world::{Request, Response, decode};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    pub id: String,
    pub bytes: Vec<u8>,
    /// Size to tell, for objects too large for a test.
    pub pretends: Option<u64>,
    /// Content-Type, Cache-Control and everything that starts with `x-amz-`.
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub struct Bucket {
    pub versioned: bool,
    /// Where it is; empty: in the Region that is asked.
    pub region: String,
    pub objects: BTreeMap<String, Vec<Version>>,
}

#[derive(Debug, Default)]
pub struct Upload {
    pub bucket: String,
    pub key: String,
    pub headers: BTreeMap<String, String>,
    pub parts: BTreeMap<u32, Vec<u8>>,
    /// Ranges of parts that were copied.
    pub copied: Vec<String>,
}

#[derive(Debug, Default)]
pub struct S3 {
    pub buckets: BTreeMap<String, Bucket>,
    pub uploads: BTreeMap<String, Upload>,
    /// Every version that was ever written, so that ids differ.
    written: u32,
    /// The next so many GET answers end in the middle.
    pub cut_short: u32,
    /// GetBucketVersioning answers in a form that no SDK reads.
    pub mumbles: bool,
}

impl S3 {
    pub fn bucket(&mut self, name: &str, versioned: bool) -> &mut Bucket {
        let bucket = self.buckets.entry(name.to_owned()).or_default();
        bucket.versioned = versioned;
        bucket
    }

    pub fn put(&mut self, bucket: &str, key: &str, bytes: &[u8], headers: BTreeMap<String, String>) -> String {
        self.written += 1;
        let id = format!("version-{}", self.written);
        let version = Version { id: id.clone(), bytes: bytes.to_vec(), pretends: None, headers };
        self.buckets.get_mut(bucket).unwrap().objects.entry(key.to_owned()).or_default().push(version);
        id
    }

    /// The newest version of every object, by `bucket/key`: what a second start must not change.
    pub fn contents(&self) -> BTreeMap<String, (Vec<u8>, BTreeMap<String, String>)> {
        self.buckets
            .iter()
            .flat_map(|(bucket, b)| b.objects.iter().map(move |(key, versions)| (bucket, key, versions)))
            .filter_map(|(b, k, versions)| {
                let newest = versions.last()?;
                Some((format!("{b}/{k}"), (newest.bytes.clone(), newest.headers.clone())))
            })
            .collect()
    }

    pub fn newest(&self, bucket: &str, key: &str) -> Option<&Version> {
        self.buckets.get(bucket)?.objects.get(key)?.last()
    }

    fn find(&self, bucket: &str, key: &str, id: Option<&str>) -> Result<&Version, (u16, &'static str, &'static str)> {
        let bucket = self.buckets.get(bucket).ok_or((404, "NoSuchBucket", "The specified bucket does not exist"))?;
        let versions = bucket.objects.get(key).ok_or((404, "NoSuchKey", "The specified key does not exist."))?;
        match id {
            None => versions.last().ok_or((404, "NoSuchKey", "The specified key does not exist.")),
            Some(id) => versions.iter().find(|v| v.id == id).ok_or((
                404,
                "NoSuchVersion",
                "The specified version does not exist.",
            )),
        }
    }

    pub fn answer(&mut self, request: &Request) -> Response {
        let (bucket, key) = place(request);
        let version = request.query.get("versionId").map(String::as_str);
        let region = self.buckets.get(&bucket).map(|bucket| bucket.region.clone()).unwrap_or_default();
        if operation(request) != "GetBucketLocation" && !region.is_empty() && region != request.region {
            let text = "The bucket you are attempting to access must be addressed using the specified endpoint.";
            return error(request, 301, "PermanentRedirect", text);
        }
        match operation(request) {
            "GetBucketLocation" if !self.buckets.contains_key(&bucket) => {
                error(request, 404, "NoSuchBucket", "The specified bucket does not exist")
            }
            "GetBucketLocation" => {
                let region = if region.is_empty() { &request.region } else { &region };
                // The oldest Region has no name here.
                let name = if region == "us-east-1" { "" } else { region };
                Response::ok(format!("<LocationConstraint>{name}</LocationConstraint>"))
            }
            "GetBucketVersioning" => match self.buckets.get(&bucket) {
                None => error(request, 404, "NoSuchBucket", "The specified bucket does not exist"),
                Some(_) if self.mumbles => Response::ok("<Other/>"),
                Some(b) => {
                    let status = if b.versioned { "<Status>Enabled</Status>" } else { "" };
                    Response::ok(format!("<VersioningConfiguration>{status}</VersioningConfiguration>"))
                }
            },
            "GetObject" | "HeadObject" => {
                let found = match self.find(&bucket, &key, version) {
                    Ok(found) => found.clone(),
                    Err((status, code, text)) => return error(request, status, code, text),
                };
                let head = request.method == "HEAD";
                let from = request
                    .headers
                    .get("range")
                    .map_or(0, |r| r.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap());
                let mut body = if head { Vec::new() } else { found.bytes[from..].to_vec() };
                let promised =
                    if head { found.pretends.unwrap_or(found.bytes.len() as u64) } else { body.len() as u64 };
                if !head && self.cut_short > 0 {
                    self.cut_short -= 1;
                    body.truncate(body.len() / 2);
                }
                let mut response = Response { promised: Some(promised), ..Response::ok(body) }
                    .header("etag", format!("\"{}\"", etag(&found.bytes)))
                    .header("last-modified", "Thu, 01 Oct 2026 13:00:00 GMT");
                if self.buckets[&bucket].versioned {
                    response = response.header("x-amz-version-id", &found.id);
                }
                for (name, value) in &found.headers {
                    if name.starts_with("x-amz-meta-") || name == "content-type" {
                        response = response.header(name, value);
                    }
                }
                response
            }
            "PutObject" => {
                if !self.buckets.contains_key(&bucket) {
                    return error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
                }
                self.put(&bucket, &key, &request.body, carried(request));
                Response::ok("").header("etag", "\"x\"")
            }
            "CopyObject" => {
                let (from, from_key, id) = copy_source(request);
                let bytes = match self.find(&from, &from_key, id.as_deref()) {
                    Ok(found) => found.bytes.clone(),
                    Err((status, code, text)) => return error(request, status, code, text),
                };
                if !self.buckets.contains_key(&bucket) {
                    return error(request, 404, "NoSuchBucket", "The specified bucket does not exist");
                }
                self.put(&bucket, &key, &bytes, carried(request));
                Response::ok("<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>")
            }
            "CreateMultipartUpload" => {
                let id = format!("upload-{}", self.uploads.len() + 1);
                let upload = Upload { bucket, key, headers: carried(request), ..Upload::default() };
                self.uploads.insert(id.clone(), upload);
                Response::ok(format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
                ))
            }
            "UploadPart" => {
                let number: u32 = request.query["partNumber"].parse().unwrap();
                let upload = self.uploads.get_mut(&request.query["uploadId"]).unwrap();
                upload.parts.insert(number, request.body.clone());
                Response::ok("").header("etag", format!("\"part-{number}\""))
            }
            "UploadPartCopy" => {
                let number: u32 = request.query["partNumber"].parse().unwrap();
                let upload = self.uploads.get_mut(&request.query["uploadId"]).unwrap();
                upload.parts.insert(number, Vec::new());
                upload.copied.push(request.headers["x-amz-copy-source-range"].clone());
                Response::ok(format!("<CopyPartResult><ETag>\"part-{number}\"</ETag></CopyPartResult>"))
            }
            "CompleteMultipartUpload" => {
                let upload = self.uploads.remove(&request.query["uploadId"]).unwrap();
                let bytes: Vec<u8> = upload.parts.values().flatten().copied().collect();
                let id = self.put(&upload.bucket, &upload.key, &bytes, upload.headers);
                Response::ok("<CompleteMultipartUploadResult/>").header("x-amz-version-id", id)
            }
            "AbortMultipartUpload" => {
                self.uploads.remove(&request.query["uploadId"]);
                Response::status(204, "")
            }
            other => panic!("the fake S3 has no {other}"),
        }
    }
}

fn etag(bytes: &[u8]) -> String {
    format!("{:032x}", bytes.iter().fold(7_u128, |sum, b| sum.wrapping_mul(31).wrapping_add(u128::from(*b))))
}

/// Bucket and key, of either style.
fn place(request: &Request) -> (String, String) {
    let path = request.path.trim_start_matches('/');
    if let Some(bucket) = request.host.strip_suffix(".s3.fake.test") {
        return (bucket.to_owned(), path.to_owned());
    }
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    (bucket.to_owned(), key.to_owned())
}

fn copy_source(request: &Request) -> (String, String, Option<String>) {
    let text = &request.headers["x-amz-copy-source"];
    let (path, id) = match text.split_once("?versionId=") {
        Some((path, id)) => (path, Some(decode(id))),
        None => (text.as_str(), None),
    };
    let path = decode(path);
    let (bucket, key) = path.split_once('/').unwrap();
    (bucket.to_owned(), key.to_owned(), id)
}

/// What a written object keeps of its request.
fn carried(request: &Request) -> BTreeMap<String, String> {
    let wanted = |name: &str| {
        matches!(name, "content-type" | "cache-control" | "x-amz-acl")
            || name.starts_with("x-amz-meta-")
            || name.starts_with("x-amz-server-side-encryption")
    };
    request.headers.iter().filter(|(name, _)| wanted(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

pub fn operation(request: &Request) -> &'static str {
    let (_, key) = place(request);
    let has = |name: &str| request.query.contains_key(name);
    let copies = request.headers.contains_key("x-amz-copy-source");
    match (request.method.as_str(), key.is_empty()) {
        ("GET", true) if has("location") => "GetBucketLocation",
        ("GET", true) if has("versioning") => "GetBucketVersioning",
        ("GET", false) => "GetObject",
        ("HEAD", false) => "HeadObject",
        ("PUT", false) if has("uploadId") && copies => "UploadPartCopy",
        ("PUT", false) if has("uploadId") => "UploadPart",
        ("PUT", false) if copies => "CopyObject",
        ("PUT", false) => "PutObject",
        ("POST", false) if has("uploads") => "CreateMultipartUpload",
        ("POST", false) if has("uploadId") => "CompleteMultipartUpload",
        ("DELETE", false) if has("uploadId") => "AbortMultipartUpload",
        _ => "Unknown",
    }
}

pub fn error(request: &Request, status: u16, code: &str, text: &str) -> Response {
    // An answer to HEAD has no body.
    let body = match request.method.as_str() {
        "HEAD" => String::new(),
        _ => format!("<Error><Code>{code}</Code><Message>{text}</Message></Error>"),
    };
    Response::status(status, body).header("x-amz-request-id", "R-1")
}
