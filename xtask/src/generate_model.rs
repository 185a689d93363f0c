//! Reads one service model and keeps the part that the allowed operations reach. Writes no Rust.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::generate::{Change, Operations, Patch, ServiceEntry};

pub struct Model {
    pub metadata: Metadata,
    pub operations: Vec<Operation>,
    /// Shapes reachable from an input or an output of an allowed operation, patched.
    pub shapes: BTreeMap<String, Shape>,
    /// Shapes that an input reaches: these are validated.
    pub from_inputs: BTreeSet<String>,
    /// Shapes that an output reaches.
    pub from_outputs: BTreeSet<String>,
    /// Modeled errors of the allowed operations: code, HTTP status.
    pub errors: BTreeMap<String, u16>,
}

pub struct Metadata {
    pub api_version: String,
    pub protocol: Protocol,
}

pub enum Protocol {
    Json { target_prefix: String, version_1_0: bool },
    Query { namespace: String },
    RestJson,
}

pub struct Operation {
    pub name: String,
    /// Method, path template and status of success: what the REST protocol goes by.
    pub method: String,
    pub path: String,
    pub status: u16,
    pub input: Option<String>,
    pub output: Option<String>,
    pub errors: Vec<String>,
}

pub struct Shape {
    pub sensitive: bool,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub kind: Kind,
}

pub enum Kind {
    Structure(Vec<Member>),
    List { member: String, tag: String, flattened: bool },
    Map { key: String, value: String, flattened: bool },
    String { pattern: Option<String>, values: Vec<String> },
    Integer,
    Long,
    Double,
    Boolean,
    Timestamp,
    Blob,
}

pub struct Member {
    pub name: String,
    /// The name on the Query protocol, where it may differ.
    pub wire_name: String,
    pub shape: String,
    pub required: bool,
    /// Where a member of a REST request is, if not in its body.
    pub place: Option<Place>,
}

#[derive(Clone, Copy)]
pub enum Place {
    Path,
    Query,
    Header,
    /// It is the whole body.
    Payload,
}

impl Model {
    pub fn read(entry: &ServiceEntry, patches: &[Patch], text: &str) -> Result<Self, String> {
        let context = |message: String| format!("models/{}.json: {message}", entry.name);
        let root: Value = serde_json::from_str(text).map_err(|error| context(error.to_string()))?;
        let all = object(&root["operations"]).map_err(context)?;
        let raw_shapes = object(&root["shapes"]).map_err(context)?;
        let names: Vec<&str> = match entry.operations {
            Operations::All => all.keys().map(String::as_str).collect(),
            Operations::Only(names) => names.to_vec(),
        };

        let mut operations = Vec::new();
        let mut errors = BTreeMap::new();
        let (mut from_inputs, mut from_outputs) = (BTreeSet::new(), BTreeSet::new());
        for name in names {
            let raw = all.get(name).ok_or_else(|| context(format!("has no operation {name}")))?;
            let side = |key: &str| raw.get(key).and_then(|side| side["shape"].as_str()).map(str::to_owned);
            let (input, output) = (side("input"), side("output"));
            if let Some(shape) = &input {
                reach(raw_shapes, shape, &mut from_inputs).map_err(context)?;
            }
            if let Some(shape) = &output {
                reach(raw_shapes, shape, &mut from_outputs).map_err(context)?;
            }
            let mut codes = Vec::new();
            for shape in raw["errors"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let error = &raw_shapes.get(shape).ok_or_else(|| context(format!("has no shape {shape}")))?["error"];
                let code = error["code"].as_str().unwrap_or(shape).to_owned();
                let status = error["httpStatusCode"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(400);
                errors.insert(code.clone(), status);
                codes.push(code);
            }
            let http = &raw["http"];
            operations.push(Operation {
                name: name.to_owned(),
                method: http["method"].as_str().unwrap_or("POST").to_owned(),
                path: http["requestUri"].as_str().unwrap_or("/").to_owned(),
                status: http["responseCode"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(200),
                input,
                output,
                errors: codes,
            });
        }
        operations.sort_by(|a, b| a.name.cmp(&b.name));

        let mut shapes = BTreeMap::new();
        for name in from_inputs.union(&from_outputs) {
            let shape = read_shape(&raw_shapes[name]).map_err(|message| context(format!("shape {name}: {message}")))?;
            shapes.insert(name.clone(), shape);
        }
        for patch in patches.iter().filter(|patch| patch.service == entry.name) {
            let shape = shapes
                .get_mut(patch.shape)
                .ok_or_else(|| context(format!("the patch of {} names a shape that nothing reaches", patch.shape)))?;
            match patch.change {
                Change::Min(min) => shape.min = Some(min),
                Change::Max(max) => shape.max = Some(max),
                Change::Sensitive => shape.sensitive = true,
            }
        }
        let metadata = read_metadata(&root["metadata"]).map_err(context)?;
        Ok(Self { metadata, operations, shapes, from_inputs, from_outputs, errors })
    }

    pub fn shape(&self, name: &str) -> Result<&Shape, String> {
        self.shapes.get(name).ok_or_else(|| format!("no shape {name}"))
    }
}

fn read_metadata(raw: &Value) -> Result<Metadata, String> {
    let text = |key: &str| raw[key].as_str().map(str::to_owned).ok_or_else(|| format!("metadata has no {key}"));
    let protocol = match text("protocol")?.as_str() {
        "json" => {
            // A model that says nothing of a version means the usual one.
            let version_1_0 = text("jsonVersion").is_ok_and(|version| version == "1.0");
            Protocol::Json { target_prefix: text("targetPrefix")?, version_1_0 }
        }
        "query" => Protocol::Query { namespace: text("xmlNamespace")? },
        "rest-json" => Protocol::RestJson,
        other => return Err(format!("protocol {other} is not generated yet")),
    };
    Ok(Metadata { api_version: text("apiVersion")?, protocol })
}

fn read_shape(raw: &Value) -> Result<Shape, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| "a name is not a string".to_owned());
    let flattened = raw["flattened"].as_bool().unwrap_or(false);
    let kind = match raw["type"].as_str().unwrap_or_default() {
        "structure" => Kind::Structure(read_members(raw)?),
        "list" => Kind::List {
            member: text(&raw["member"]["shape"])?,
            tag: raw["member"]["locationName"].as_str().unwrap_or("member").to_owned(),
            flattened,
        },
        "map" => Kind::Map { key: text(&raw["key"]["shape"])?, value: text(&raw["value"]["shape"])?, flattened },
        "string" => Kind::String {
            pattern: raw["pattern"].as_str().map(str::to_owned),
            values: raw["enum"].as_array().into_iter().flatten().map(text).collect::<Result<_, _>>()?,
        },
        "integer" => Kind::Integer,
        "long" => Kind::Long,
        "double" | "float" => Kind::Double,
        "boolean" => Kind::Boolean,
        "timestamp" => Kind::Timestamp,
        "blob" => Kind::Blob,
        other => return Err(format!("type {other:?} is not generated yet")),
    };
    let sensitive = raw["sensitive"].as_bool().unwrap_or(false);
    Ok(Shape { sensitive, min: bound(&raw["min"]), max: bound(&raw["max"]), kind })
}

fn read_members(raw: &Value) -> Result<Vec<Member>, String> {
    let required: BTreeSet<&str> = raw["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let payload = raw["payload"].as_str();
    let mut members = Vec::new();
    for (name, member) in object(&raw["members"])? {
        let place = match member["location"].as_str() {
            Some("uri") => Some(Place::Path),
            Some("querystring") => Some(Place::Query),
            Some("header") => Some(Place::Header),
            _ => (payload == Some(name.as_str())).then_some(Place::Payload),
        };
        members.push(Member {
            name: name.clone(),
            wire_name: member["locationName"].as_str().unwrap_or(name).to_owned(),
            shape: member["shape"].as_str().ok_or_else(|| format!("member {name} has no shape"))?.to_owned(),
            required: required.contains(name.as_str()),
            place,
        });
    }
    Ok(members)
}

fn bound(raw: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "bounds of a model are small whole numbers, some written 1.0")]
    raw.as_i64().or_else(|| raw.as_f64().map(|float| float as i64))
}

fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| "an object is missing".to_owned())
}

fn reach(shapes: &Map<String, Value>, name: &str, seen: &mut BTreeSet<String>) -> Result<(), String> {
    if !seen.insert(name.to_owned()) {
        return Ok(());
    }
    let raw = shapes.get(name).ok_or_else(|| format!("has no shape {name}"))?;
    let members = raw["members"].as_object().into_iter().flat_map(Map::values);
    for target in members.chain(["member", "key", "value"].iter().filter_map(|key| raw.get(*key))) {
        let target = target["shape"].as_str().ok_or_else(|| format!("shape {name} refers to nothing"))?;
        reach(shapes, target, seen)?;
    }
    Ok(())
}
