//! The zips of functions, at the URLs that GetFunction gives out. Whether a URL is good is Lambda's to say.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use towpath_services::lambda::CODE_PATH;

use crate::Front;

/// The zip, a refusal, or `None` when the path is none of ours.
pub async fn handle(front: &Front, method: &Method, uri: &Uri) -> Option<Response<Body>> {
    let path = uri.path();
    if method != Method::GET || !path.starts_with(CODE_PATH) {
        return None;
    }
    let query = uri.query().unwrap_or_default();
    // At most 50 MB, by Lambda's own limit.
    let zip = match front.services.lambda.download(path, query) {
        Some(file) => tokio::fs::read(file).await.ok(),
        None => None,
    };
    let good = zip.is_some();
    let body = zip.unwrap_or_else(|| b"This URL is not good, or not any more: GetFunction gives a new one.\n".to_vec());
    let mut response = Response::new(Body::from(body));
    if good {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    } else {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
    Some(response)
}
