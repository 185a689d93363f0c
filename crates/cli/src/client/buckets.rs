//! S3's buckets: requests of their own, signed like the others.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, StatusCode};

use super::{Client, Signing};
use crate::host::{ApiError, Target};

#[async_trait]
impl Target for Client {
    async fn bucket(
        &self,
        method: Method,
        bucket: &str,
        subresource: &str,
        body: String,
    ) -> Result<(StatusCode, String), ApiError> {
        let query = if subresource.is_empty() { String::new() } else { format!("?{subresource}") };
        let url = format!("{}/{bucket}{query}", self.settings().endpoint("s3"));
        let request = Request::builder().method(method).uri(url).body(Bytes::from(body));
        let request = request.map_err(|error| ApiError::new("InvalidURI", error.to_string()))?;
        let reply = self.send(request, &Signing::of("s3", &self.settings().region)).await?;
        Ok((reply.status(), String::from_utf8_lossy(reply.body()).into_owned()))
    }
}
