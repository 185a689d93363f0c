//! Which instances an EC2 deploy action is for: those with a tag, running, whose Systems Manager agent answers. EC2 is
//! asked by hand (`raw.rs`); Systems Manager with its SDK.

use std::collections::HashMap;

use aws_sdk_ssm::types::{InstanceInformation, InstanceInformationStringFilter, PingStatus, PlatformType};
use serde::Deserialize;
use towpath_model::action::{ActionInvocation, Outcome, Progress};

use crate::deploys::{misconfigured, unable};
use crate::ec2::SSM;
use crate::limits::{EC2_PAGES_MAX, EC2_TARGETS_MAX, SSM_INSTANCES_AT_ONCE};
use crate::problem::Problem;
use crate::provider::Call;
use crate::raw::RawCall;

const EC2_VERSION: &str = "2016-11-15";

/// An instance with the tag, and why it cannot be deployed to, if it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: String,
    pub unfit: Option<String>,
}

/// What selects instances.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    pub key: &'a str,
    pub value: Option<&'a str>,
    /// Managed nodes rather than EC2's instances.
    pub managed: bool,
}

impl Selection<'_> {
    /// A filter of the tag: its name and its value.
    fn filter(&self) -> (String, String) {
        match self.value {
            Some(value) => (format!("tag:{}", self.key), value.to_owned()),
            None => ("tag-key".to_owned(), self.key.to_owned()),
        }
    }

    fn shown(&self) -> String {
        match self.value {
            Some(value) => format!("the tag {}={value}", self.key),
            None => format!("the tag {}", self.key),
        }
    }
}

/// The instances, ordered by their ids.
pub async fn select(
    cx: &Call<'_>,
    action: &ActionInvocation,
    selection: &Selection<'_>,
) -> Result<Vec<Candidate>, Outcome> {
    let mut found: Vec<Candidate> = if selection.managed {
        let filter = selection.filter();
        let nodes = information(cx, action, filter.0, vec![filter.1]).await.map_err(|problem| untold(&problem))?;
        nodes.iter().map(|node| candidate(node.instance_id().unwrap_or_default(), Some(node))).collect()
    } else {
        let ids = running(cx, action, selection).await?;
        let mut known = HashMap::new();
        for some in ids.chunks(SSM_INSTANCES_AT_ONCE) {
            let nodes = information(cx, action, "InstanceIds".to_owned(), some.to_vec())
                .await
                .map_err(|problem| untold(&problem))?;
            known.extend(nodes.into_iter().map(|node| (node.instance_id().unwrap_or_default().to_owned(), node)));
        }
        ids.iter().map(|id| candidate(id, known.get(id))).collect()
    };
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    let (what, region) = (if selection.managed { "managed nodes" } else { "running instances" }, &action.region);
    match found.len() {
        0 => Err(misconfigured(format!(
            "There are no {what} with {} in {region}. Check InstanceTagKey, InstanceTagValue and InstanceType.",
            selection.shown()
        ))),
        many if many > EC2_TARGETS_MAX => Err(misconfigured(format!(
            "There are {many} {what} with {} in {region}; an action deploys to {EC2_TARGETS_MAX} at the most.",
            selection.shown()
        ))),
        _ => Ok(found),
    }
}

fn untold(problem: &Problem) -> Outcome {
    unable("describeInstanceInformation", problem, Progress::default())
}

fn candidate(id: &str, node: Option<&InstanceInformation>) -> Candidate {
    let unfit = match node {
        None => Some("Systems Manager does not know the instance: its agent does not run, or has no role.".to_owned()),
        Some(node) if node.ping_status() != Some(&PingStatus::Online) => {
            let status = node.ping_status().map_or("unknown", PingStatus::as_str);
            Some(format!("The Systems Manager agent of the instance is {status}, not Online."))
        }
        Some(node) if node.platform_type().is_some_and(|platform| *platform != PlatformType::Linux) => {
            let platform = node.platform_type().map_or("unknown", PlatformType::as_str);
            Some(format!("The platform of the instance is {platform}; only Linux is deployed to."))
        }
        Some(_) => None,
    };
    Candidate { id: id.to_owned(), unfit }
}

async fn information(
    cx: &Call<'_>,
    action: &ActionInvocation,
    key: String,
    values: Vec<String>,
) -> Result<Vec<InstanceInformation>, Problem> {
    let filter = InstanceInformationStringFilter::builder().key(key).set_values(Some(values)).build();
    let filter = filter.map_err(|error| Problem::refused(error.to_string()))?;
    let (mut found, mut token) = (Vec::new(), None);
    for _ in 0..EC2_PAGES_MAX {
        let request = cx.realm.ssm(action).await?.describe_instance_information().filters(filter.clone());
        let request = request.max_results(50).set_next_token(token.take());
        let page = request.send().await.map_err(|error| cx.realm.note(action, Problem::of(SSM, &error)))?;
        found.extend(page.instance_information_list.unwrap_or_default());
        match page.next_token.filter(|next| !next.is_empty()) {
            Some(next) if found.len() <= EC2_TARGETS_MAX => token = Some(next),
            _ => break,
        }
    }
    Ok(found)
}

/// DescribeInstances' answer, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "reservationSet", default)]
    reservations: Items<Reservation>,
    #[serde(rename = "nextToken", default)]
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Items<T> {
    #[serde(rename = "item", default = "Vec::new")]
    all: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { all: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
struct Reservation {
    #[serde(rename = "instancesSet", default)]
    instances: Items<Instance>,
}

#[derive(Debug, Deserialize)]
struct Instance {
    #[serde(rename = "instanceId")]
    id: String,
}

fn parsed(xml: &[u8]) -> Result<(Vec<String>, Option<String>), Problem> {
    let answer: Answer = quick_xml::de::from_reader(xml).map_err(|error| {
        Problem::broken("AmazonEC2", format!("DescribeInstances answered in another form: {error}"))
    })?;
    let instances = answer.reservations.all.into_iter().flat_map(|reservation| reservation.instances.all);
    Ok((instances.map(|instance| instance.id).collect(), answer.next.filter(|next| !next.is_empty())))
}

async fn running(cx: &Call<'_>, action: &ActionInvocation, selection: &Selection<'_>) -> Result<Vec<String>, Outcome> {
    let (name, value) = selection.filter();
    let filters = [("1", name.as_str(), value.as_str()), ("2", "instance-state-name", "running")];
    let filters = filters.iter().flat_map(|(number, name, value)| {
        [
            (format!("Filter.{number}.Name"), (*name).to_owned()),
            (format!("Filter.{number}.Value.1"), (*value).to_owned()),
        ]
    });
    let filters: Vec<(String, String)> = filters.chain([("MaxResults".to_owned(), "1000".to_owned())]).collect();
    let (mut ids, mut token): (Vec<String>, Option<String>) = (Vec::new(), None);
    for _ in 0..EC2_PAGES_MAX {
        let next = token.take().map(|token| ("NextToken".to_owned(), token));
        let parameters: Vec<(String, String)> = filters.iter().cloned().chain(next).collect();
        let asked = async {
            let xml = RawCall::ec2("DescribeInstances", EC2_VERSION, &parameters).send(cx, action).await?;
            parsed(&xml)
        };
        let (found, next) =
            asked.await.map_err(|problem| unable("describeInstances", &problem, Progress::default()))?;
        ids.extend(found);
        match next {
            Some(next) if ids.len() <= EC2_TARGETS_MAX => token = Some(next),
            _ => break,
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_all_reservations() {
        let xml = br#"<?xml version="1.0" encoding="UTF-8"?>
            <DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>
            <reservationSet>
              <item><reservationId>r-1</reservationId><groupSet/><instancesSet>
                <item><instanceId>i-1</instanceId><tagSet><item><key>role</key><value>web</value></item></tagSet></item>
                <item><instanceId>i-2</instanceId></item></instancesSet></item>
              <item><reservationId>r-2</reservationId><instancesSet><item><instanceId>i-3</instanceId></item></instancesSet></item>
            </reservationSet><nextToken>more</nextToken></DescribeInstancesResponse>"#;
        let ids = ["i-1", "i-2", "i-3"].map(ToOwned::to_owned).to_vec();
        assert_eq!(parsed(xml).unwrap(), (ids, Some("more".to_owned())));
        let none = b"<DescribeInstancesResponse><reservationSet/><nextToken/></DescribeInstancesResponse>";
        assert_eq!(parsed(none).unwrap(), (Vec::new(), None));
        assert!(parsed(b"<html>").is_err());
    }

    #[test]
    fn an_instance_whose_agent_does_not_answer_is_unfit() {
        let node = |ping: PingStatus, platform: PlatformType| {
            let node = InstanceInformation::builder().ping_status(ping).platform_type(platform);
            candidate("i-1", Some(&node.build())).unfit
        };
        assert_eq!(node(PingStatus::Online, PlatformType::Linux), None);
        assert!(
            node(PingStatus::ConnectionLost, PlatformType::Linux).unwrap().contains("is ConnectionLost, not Online")
        );
        assert!(
            node(PingStatus::Online, PlatformType::Windows).unwrap().contains("platform of the instance is Windows")
        );
        assert!(candidate("i-1", None).unfit.unwrap().contains("does not know the instance"));
    }
}
