//! What the official signer signs, we verify: header and query form, odd paths and queries, JSON services and S3.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::Request;
use proptest::prelude::*;
use towpath_wire::signature::{Payload, Verifier, parse, sha256_hex};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: u64 = 1_790_862_132;
const LIFE_SECONDS: u64 = 600;

#[derive(Clone, Debug)]
struct Case {
    service: &'static str,
    location: SignatureLocation,
    token: Option<&'static str>,
    target: String,
    body: &'static str,
    header: String,
}

/// Signs as an SDK would, then verifies what arrived.
fn round_trip(verifier: &Verifier, case: &Case) -> Result<(), TestCaseError> {
    let uri = format!("http://localhost:7400{}", case.target);
    let mut request = Request::post(&uri)
        .header("host", "localhost:7400")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-meta-note", &case.header)
        .body(case.body)
        .map_err(|error| TestCaseError::reject(error.to_string()))?;
    let identity: Identity =
        Credentials::new("AKIDEXAMPLE", SECRET, case.token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = case.location;
    if case.service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    }
    if case.location == SignatureLocation::QueryParams {
        settings.expires_in = Some(Duration::from_secs(LIFE_SECONDS));
    }
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name(case.service)
        .time(UNIX_EPOCH + Duration::from_secs(NOW))
        .settings(settings)
        .build()
        .expect("complete parameters")
        .into();
    let unsigned = case.service == "s3" && case.location == SignatureLocation::QueryParams;
    let body = if unsigned { SignableBody::UnsignedPayload } else { SignableBody::Bytes(case.body.as_bytes()) };
    let headers: Vec<(String, String)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let signable = SignableRequest::new("POST", uri, headers, body).expect("signable");
    let (instructions, _) = sign(signable, &params).expect("signed").into_parts();
    instructions.apply_to_request_http1x(&mut request);

    let (parts, body) = request.into_parts();
    let parsed = parse(&parts).expect("well formed").expect("signed");
    prop_assert_eq!(parsed.scope.service.as_ref(), case.service);
    prop_assert_eq!(parsed.scope.region.as_ref(), "eu-west-1");
    prop_assert_eq!(parsed.token.as_deref(), case.token);
    let hash = match parsed.payload(&parts).expect("a payload") {
        Payload::Body => sha256_hex(body.as_bytes()).to_string(),
        Payload::Literal(text) => text.into_owned(),
    };
    let now = i64::try_from(NOW).expect("a time") + 60;
    prop_assert_eq!(verifier.verify(&parsed, SECRET, &parts, &hash, now), Ok(()));
    prop_assert!(verifier.verify(&parsed, "another", &parts, &hash, now).is_err());

    let mut tampered = parts.clone();
    tampered.method = http::Method::DELETE;
    let parsed = parse(&tampered).expect("well formed").expect("signed");
    prop_assert!(verifier.verify(&parsed, SECRET, &tampered, &hash, now).is_err());
    Ok(())
}

fn cases(target: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for service in ["codepipeline", "iam", "s3"] {
        for location in [SignatureLocation::Headers, SignatureLocation::QueryParams] {
            for token in [None, Some("a+token/with=signs")] {
                cases.push(Case {
                    service,
                    location,
                    token,
                    target: target.to_owned(),
                    body: "{\"name\":\"release\"}",
                    header: "  two   words ".to_owned(),
                });
            }
        }
    }
    cases
}

#[test]
fn odd_paths_and_queries_verify() {
    let verifier = Verifier::new();
    for target in [
        "/",
        "/?",
        "/bucket/a%20b/c+d/%C3%A9?list-type=2&prefix=a%2Fb%20c&empty",
        "/functions/arn%3Aaws%3Alambda/invocations",
        "/bucket//double/./dot/../up/",
        "/bucket/$dollar(1)'quote'*!",
        "/bucket/key?a=2&a=1&A=3&b&=x&versions",
        "/x?k=%E1%88%B4&uploadId=abc~_-.&partNumber=1",
        "/a%2Fb%2fc",
        "/b?equals=a=b=c",
    ] {
        for case in cases(target) {
            round_trip(&verifier, &case).unwrap_or_else(|error| panic!("{case:?}: {error}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_signed_verifies(
        path in "(/([a-zA-Z0-9._~$()*!',;:@=-]|%20|%2F|%C3%A9|%25){0,12}){1,4}",
        query in "((a|b|prefix|k%20)(=([a-z0-9._~/-]|%3D|%26|%2B){0,6})?){0,1}(&(c|d|a)(=([A-Z0-9:@,]|%C3%A9){0,6})?){0,3}",
        header in "[ -~]{0,20}",
        which in 0_usize..12,
    ) {
        let separator = if query.is_empty() { "" } else { "?" };
        let mut case = cases(&format!("{path}{separator}{}", query.trim_start_matches('&'))).swap_remove(which);
        case.header = header;
        round_trip(&Verifier::new(), &case)?;
    }
}
