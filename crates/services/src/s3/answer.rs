//! The last touch on every answer: request ids on all of them, and refusals in the shape AWS gives them (a message where
//! s3s has none, the resource, the ids, no body for HEAD). It decides nothing.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};

use super::body::{Body, boxed, full};

/// Bytes in a refusal as s3s writes it.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// What an answer may say about its request.
pub(super) struct About {
    pub method: Method,
    pub path: String,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub access_key: Option<String>,
    pub request_id: String,
    pub host_id: String,
}

pub(super) async fn finish(response: Response<s3s::Body>, about: &About) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let refused = parts.status.is_client_error() || parts.status.is_server_error();
    let body = if parts.status == StatusCode::NOT_MODIFIED {
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
        full(Bytes::new())
    } else if !refused {
        boxed(body)
    } else if about.method == Method::HEAD {
        // Clients tell a missing bucket from a missing object by what they asked for.
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        parts.headers.remove(CONTENT_LENGTH);
        full(Bytes::new())
    } else {
        let text = match Limited::new(body, ERROR_BYTES_MAX).collect().await {
            Ok(collected) => String::from_utf8_lossy(&collected.to_bytes()).into_owned(),
            Err(_) => String::new(),
        };
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        parts.headers.remove(TRANSFER_ENCODING);
        parts.headers.remove(CONTENT_LENGTH);
        full(refusal(&text, about))
    };
    for (name, value) in [("x-amz-request-id", &about.request_id), ("x-amz-id-2", &about.host_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            parts.headers.insert(name, value);
        }
    }
    parts.headers.insert("server", HeaderValue::from_static("Towpath"));
    Response::from_parts(parts, body)
}

/// The text between a tag and its end, still escaped.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn refusal(xml: &str, about: &About) -> String {
    let code = element(xml, "Code").unwrap_or("InternalError");
    let message = element(xml, "Message").filter(|text| !text.is_empty()).unwrap_or_else(|| text_for(code));
    let mut out =
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>");
    let mut extra = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            out.extend(["<", name, ">", escape(value).as_str(), "</", name, ">"]);
        }
    };
    match code {
        "NoSuchBucket"
        | "BucketAlreadyExists"
        | "BucketAlreadyOwnedByYou"
        | "BucketNotEmpty"
        | "NoSuchBucketPolicy"
        | "NoSuchTagSet"
        | "InvalidBucketName" => extra("BucketName", about.bucket.as_deref()),
        "NoSuchKey" | "NoSuchVersion" => extra("Key", about.key.as_deref()),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" => extra("AWSAccessKeyId", about.access_key.as_deref()),
        "MethodNotAllowed" => extra("Method", Some(about.method.as_str())),
        _ => extra("Resource", Some(&about.path)),
    }
    extra("RequestId", Some(&about.request_id));
    extra("HostId", Some(&about.host_id));
    out.push_str("</Error>");
    out
}

/// AWS's text for a code that s3s answers without one.
fn text_for(code: &str) -> &'static str {
    match code {
        "AccessDenied" => "Access Denied",
        "IncompleteBody" => "You did not provide the number of bytes specified by the Content-Length HTTP header",
        "InternalError" => "We encountered an internal error. Please try again.",
        "InvalidArgument" => "Invalid Argument",
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidRange" => "The requested range is not satisfiable",
        "InvalidURI" => "Couldn't parse the specified URI.",
        "KeyTooLongError" => "Your key is too long",
        "MalformedXML" => "The XML you provided was not well-formed or did not validate against our published schema",
        "MaxMessageLengthExceeded" => "Your request was too big.",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "NotImplemented" => "A header you provided implies functionality that is not implemented",
        "RequestTimeTooSkewed" => "The difference between the request time and the current time is too large.",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your key and signing \
             method."
        }
        _ => "The request could not be served.",
    }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no form for most control characters.
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            method: Method::GET,
            path: "/bucket/a<b".to_owned(),
            bucket: Some("bucket".to_owned()),
            key: Some("a<b".to_owned()),
            access_key: None,
            request_id: "R".to_owned(),
            host_id: "H".to_owned(),
        }
    }

    #[test]
    fn a_refusal_without_text_gets_one() {
        assert_eq!(
            refusal("<Error><Code>InvalidURI</Code></Error>", &about()),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidURI</Code><Message>Couldn't parse the \
             specified URI.</Message><Resource>/bucket/a&lt;b</Resource><RequestId>R</RequestId><HostId>H</HostId></Error>"
        );
    }

    #[test]
    fn a_refusal_keeps_its_text_and_names_the_key() {
        let xml = refusal("<Error><Code>NoSuchKey</Code><Message>The &lt;key&gt;</Message></Error>", &about());
        assert!(xml.contains("<Message>The &lt;key&gt;</Message><Key>a&lt;b</Key>"), "{xml}");
    }
}
