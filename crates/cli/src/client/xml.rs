//! A Query answer's XML as JSON: elements are members, `member` and `entry` lists are arrays, text is a string. The
//! services that speak it answer in a regular form, so that no schema is needed to read them.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value as Json};

use crate::limits;

/// The content of the document's root element.
pub fn read(text: &str) -> Result<Json, String> {
    let mut reader = Reader::from_str(text);
    // The element being read and those around it; the first is what stands around the root.
    let mut open = vec![Element::default()];
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) => {
                if open.len() > limits::DEPTH_MAX {
                    return Err(format!("nested more than {} deep", limits::DEPTH_MAX));
                }
                open.push(Element { name: local(start.local_name().as_ref()), ..Element::default() });
            }
            Event::Empty(empty) => {
                let name = local(empty.local_name().as_ref());
                innermost(&mut open)?.add(name, Json::String(String::new()));
            }
            Event::Text(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                innermost(&mut open)?.text.push_str(&text);
            }
            Event::CData(text) => {
                let text = text.decode().map_err(|error| error.to_string())?;
                innermost(&mut open)?.text.push_str(&text);
            }
            Event::GeneralRef(reference) => {
                let name = reference.decode().map_err(|error| error.to_string())?;
                let resolved = match reference.resolve_char_ref().map_err(|error| error.to_string())? {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&name)
                        .ok_or_else(|| format!("unknown entity &{name};"))?
                        .to_owned(),
                };
                innermost(&mut open)?.text.push_str(&resolved);
            }
            Event::End(_) => {
                let element = open.pop().ok_or("an end without a beginning")?;
                let name = element.name.clone();
                innermost(&mut open)?.add(name, element.value());
            }
            Event::Eof => break,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
        }
    }
    let [around] = open.as_mut_slice() else { return Err("the document breaks off".to_owned()) };
    let mut members = std::mem::take(&mut around.members).into_iter();
    members.next().map(|(_, root)| root).ok_or_else(|| "there is no element".to_owned())
}

#[derive(Default)]
struct Element {
    name: String,
    text: String,
    members: Map<String, Json>,
    items: Vec<Json>,
}

impl Element {
    fn add(&mut self, name: String, value: Json) {
        if name == "member" || name == "entry" {
            self.items.push(value);
        } else {
            self.members.insert(name, value);
        }
    }

    fn value(self) -> Json {
        if !self.items.is_empty() {
            Json::Array(self.items)
        } else if self.members.is_empty() {
            Json::String(self.text)
        } else {
            Json::Object(self.members)
        }
    }
}

fn innermost(open: &mut [Element]) -> Result<&mut Element, String> {
    open.last_mut().ok_or_else(|| "more ends than beginnings".to_owned())
}

fn local(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn elements_become_members_and_lists() {
        let text = "<?xml version=\"1.0\"?><R xmlns=\"https://x/\"><Roles><member><Name>a &amp; b&#33;</Name></member>\
                    <member><Name>c</Name></member></Roles><IsTruncated>false</IsTruncated><Empty/></R>";
        assert_eq!(
            read(text).unwrap(),
            json!({"Roles": [{"Name": "a & b!"}, {"Name": "c"}], "IsTruncated": "false", "Empty": ""})
        );
    }

    #[test]
    fn broken_documents_are_refused() {
        assert!(read("<a><b></a>").is_err());
        assert!(read("<a>").is_err());
        assert!(read("").is_err());
        assert!(read(&"<a>".repeat(100_000)).is_err());
    }
}
