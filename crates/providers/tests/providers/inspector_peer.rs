//! Amazon Inspector's ScanSbom: finds in each component what its name says, `critical-...` or `low-...`.

use serde_json::{Value, json};

use crate::world::{Peer, Request, Response, json_error};

/// ScanSbom's own limit.
const COMPONENTS_MAX: usize = 2000;

#[derive(Debug, Default)]
pub struct Inspector;

impl Peer for Inspector {
    fn operation(&self, request: &Request) -> String {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/scan/sbom"));
        "ScanSbom".to_owned()
    }

    fn answer(&mut self, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["outputFormat"], "CYCLONE_DX_1_5");
        let mut sbom = body["sbom"].clone();
        assert!(sbom["vulnerabilities"].is_null(), "a list is asked about, no answer");
        if sbom["bomFormat"] != "CycloneDX" {
            return json_error(400, "ValidationException", "The SBOM is not a CycloneDX document");
        }
        let components = sbom["components"].as_array().cloned().unwrap_or_default();
        if components.len() > COMPONENTS_MAX {
            return json_error(400, "ValidationException", "The SBOM has too many components");
        }
        let found = components.iter().filter_map(|component| {
            let severity = component["name"].as_str()?.split_once('-')?.0;
            let known = ["critical", "high", "medium", "low"].contains(&severity);
            known.then(|| json!({"id": "CVE-1", "ratings": [{"severity": severity}]}))
        });
        sbom["vulnerabilities"] = found.collect();
        Response::ok(json!({"sbom": sbom}).to_string())
    }

    fn effects(&self) -> usize {
        0
    }
}
