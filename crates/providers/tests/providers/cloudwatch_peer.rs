//! CloudWatch as far as providers use it: alarms whose state a test sets, in the query protocol.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use crate::world::{Request, Response, decode};

#[derive(Debug, Default)]
pub struct CloudWatch {
    /// State by name of a metric alarm.
    pub metric: BTreeMap<String, String>,
    /// State by name of a composite alarm.
    pub composite: BTreeMap<String, String>,
}

fn form(request: &Request) -> HashMap<String, String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    body.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

pub fn operation(request: &Request) -> String {
    form(request)["Action"].clone()
}

impl CloudWatch {
    pub fn answer(&self, request: &Request) -> Response {
        let form = form(request);
        assert_eq!(form["Action"], "DescribeAlarms", "the fake CloudWatch has nothing else");
        let types: Vec<&str> =
            form.iter().filter(|(name, _)| name.starts_with("AlarmTypes.")).map(|(_, kind)| kind.as_str()).collect();
        let names: Vec<&String> = (1..).map_while(|n| form.get(&format!("AlarmNames.member.{n}"))).collect();
        let mut body = String::from("<DescribeAlarmsResponse><DescribeAlarmsResult>");
        for (kind, list, alarms) in
            [("MetricAlarm", "MetricAlarms", &self.metric), ("CompositeAlarm", "CompositeAlarms", &self.composite)]
        {
            write!(body, "<{list}>").unwrap();
            for name in names.iter().filter(|_| types.contains(&kind)) {
                let Some(state) = alarms.get(*name) else { continue };
                write!(
                    body,
                    "<member><AlarmName>{name}</AlarmName><StateValue>{state}</StateValue>\
                     <StateReason>Threshold Crossed</StateReason></member>"
                )
                .unwrap();
            }
            write!(body, "</{list}>").unwrap();
        }
        body.push_str("</DescribeAlarmsResult></DescribeAlarmsResponse>");
        Response::ok(body)
    }
}
