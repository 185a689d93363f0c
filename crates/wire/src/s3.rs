//! S3's error document, for the failures that are found before a request reaches the S3 service itself (signatures, scopes,
//! limits). The S3 operations are not spoken here.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::error::WireError;
use crate::xml;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");

/// `<Error><Code/><Message/>EXTRA<RequestId/><HostId/></Error>`; the answer to a HEAD has no body.
pub fn respond_error(error: &WireError, method: &Method, request_id: &str, host_id: &str) -> Response<Bytes> {
    let mut body = String::new();
    if method != Method::HEAD {
        body.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        xml::element(&mut body, "Code", &error.code);
        xml::element(&mut body, "Message", &error.message);
        for (name, value) in &error.extra {
            xml::element(&mut body, name, value);
        }
        xml::element(&mut body, "RequestId", request_id);
        xml::element(&mut body, "HostId", host_id);
        body.push_str("</Error>");
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    for (name, value) in [(REQUEST_ID, request_id), (HOST_ID, host_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::respond_error;
    use crate::error::{Dialect, WireError};

    #[test]
    fn the_document_has_no_namespace_and_head_has_no_document() {
        let error = WireError::unknown_access_key(Dialect::S3, "AKID<");
        let response = respond_error(&error, &Method::GET, "R", "H");
        assert_eq!(response.status(), 403);
        let body = std::str::from_utf8(response.body()).expect("text");
        assert_eq!(
            body,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidAccessKeyId</Code><Message>The AWS Access Key \
             Id you provided does not exist in our records.</Message><AWSAccessKeyId>AKID&lt;</AWSAccessKeyId>\
             <RequestId>R</RequestId><HostId>H</HostId></Error>"
        );
        assert!(respond_error(&error, &Method::HEAD, "R", "H").body().is_empty());
    }
}
