//! CloudWatch Logs through the official SDK: streams of one's own, pages in both directions, filters over many streams.

mod loopback;

use std::sync::Arc;

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::types::{InputLogEvent, OrderBy};
use loopback::{ACCOUNT, REGION, TestClock};
use tempfile::TempDir;
use towpath_model::ids::Scope;
use towpath_model::time::Clock as _;
use towpath_services::identity::{Identity, Principal};
use towpath_services::logs::Logs;
use towpath_store::{Documents, MemoryStore};

struct World {
    directory: TempDir,
    clock: Arc<TestClock>,
    logs: Arc<Logs>,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let documents: Arc<dyn Documents> = Arc::new(MemoryStore::new());
        let clock = Arc::new(TestClock::default());
        let ambient = loopback::ambient(&clock);
        let identity = Identity::open(Arc::clone(&documents), ambient.clone(), ACCOUNT, directory.path()).await;
        let identity = Arc::new(identity.expect("identity opens"));
        let logs = Arc::new(Logs::new(documents, ambient.clone(), Arc::clone(&identity), directory.path()));
        let served = Arc::clone(&logs);
        let handler: loopback::Handler = Arc::new(move |_, call| {
            let logs = Arc::clone(&served);
            Box::pin(async move { logs.handle(&call).await })
        });
        let credentials = loopback::credentials(identity.root_key(), None);
        let endpoint = loopback::serve(identity, ambient, handler).await;
        let config = aws_sdk_cloudwatchlogs::Config::builder()
            .behavior_version(aws_sdk_cloudwatchlogs::config::BehaviorVersion::latest())
            .region(aws_sdk_cloudwatchlogs::config::Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(endpoint)
            .http_client(loopback::http_client())
            .build();
        Self { directory, clock, logs, client: Client::from_conf(config) }
    }

    async fn stream(&self, group: &str, stream: &str) {
        // The group may be there from an earlier stream.
        let _ = self.client.create_log_group().log_group_name(group).send().await;
        self.client.create_log_stream().log_group_name(group).log_stream_name(stream).send().await.expect("a stream");
    }

    async fn put(&self, group: &str, stream: &str, events: &[(i64, &str)]) {
        let now = self.clock.now().millis();
        let event = |(offset, message): &(i64, &str)| {
            InputLogEvent::builder().timestamp(now - 100_000 + offset).message(*message).build().expect("an event")
        };
        let events = events.iter().map(event).collect();
        let request = self.client.put_log_events().log_group_name(group).log_stream_name(stream);
        let output = request.set_log_events(Some(events)).send().await.expect("put");
        assert!(output.rejected_log_events_info().is_none());
    }
}

fn refused<T: std::fmt::Debug, E, R>(result: Result<T, SdkError<E, R>>) -> (String, String)
where
    E: ProvideErrorMetadata + std::fmt::Debug,
    R: std::fmt::Debug,
{
    let error = result.expect_err("the call must be refused");
    (error.code().unwrap_or_default().to_owned(), error.message().unwrap_or_default().to_owned())
}

fn missing(what: &str) -> (String, String) {
    ("ResourceNotFoundException".to_owned(), format!("The specified log {what} does not exist."))
}

#[tokio::test]
async fn pages_go_both_ways_and_tokens_wait_at_the_end() {
    let world = World::new().await;
    world.stream("g", "s").await;
    let lines: Vec<String> = (0..10).map(|index| format!("line {index}")).collect();
    let events: Vec<(i64, &str)> = lines.iter().zip(0..).map(|(line, index)| (index, line.as_str())).collect();
    world.put("g", "s", &events[..7]).await;
    let get = || world.client.get_log_events().log_group_name("g").log_stream_name("s");
    let text = |page: &aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput| {
        page.events().iter().map(|event| event.message().unwrap_or_default()[5..].to_owned()).collect::<String>()
    };

    let page = get().start_from_head(true).limit(3).send().await.expect("a page");
    assert_eq!(text(&page), "012");
    let page = get().next_token(page.next_forward_token().expect("a token")).limit(3).send().await.expect("a page");
    assert_eq!(text(&page), "345");
    let back = get().next_token(page.next_backward_token().expect("a token")).send().await.expect("a page");
    assert_eq!(text(&back), "012");
    let start = get().next_token(back.next_backward_token().expect("a token")).send().await.expect("a page");
    assert_eq!((text(&start).as_str(), start.next_backward_token()), ("", back.next_backward_token()));

    // Without a token and not from the head: the newest, in order.
    let page = get().limit(4).send().await.expect("a page");
    assert_eq!(text(&page), "3456");
    let token = page.next_forward_token().expect("a token").to_owned();
    let end = get().next_token(&token).send().await.expect("a page");
    assert_eq!((text(&end).as_str(), end.next_forward_token()), ("", Some(token.as_str())));
    world.put("g", "s", &events[7..]).await;
    let page = get().next_token(&token).send().await.expect("a page");
    assert_eq!(text(&page), "789");
    let older = get().next_token(get().limit(4).send().await.expect("a page").next_backward_token().expect("a token"));
    assert_eq!(text(&older.limit(2).send().await.expect("a page")), "45");

    let base = world.clock.now().millis() - 100_000;
    let page = get().start_from_head(true).start_time(base + 2).end_time(base + 5).send().await.expect("a page");
    let text = text(&page);
    assert!("0123456789".contains(&text) && text.len() <= 3, "the clock moves on while the test runs: {text}");
    assert_eq!(refused(get().next_token("nonsense").send().await).0, "InvalidParameterException");
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    let world = World::new().await;
    let client = &world.client;
    let get = |group: &str, stream: &str| client.get_log_events().log_group_name(group).log_stream_name(stream).send();
    assert_eq!(refused(get("none", "s").await), missing("group"));
    world.stream("g", "s").await;
    assert_eq!(refused(get("g", "none").await), missing("stream"));
    let again = client.create_log_group().log_group_name("g").send().await;
    assert_eq!(refused(again).0, "ResourceAlreadyExistsException");
    let again = client.create_log_stream().log_group_name("g").log_stream_name("s").send().await;
    assert_eq!(refused(again).0, "ResourceAlreadyExistsException");
    assert_eq!(refused(client.filter_log_events().log_group_name("none").send().await), missing("group"));
    let both = client.filter_log_events().log_group_name("g").log_stream_names("s").log_stream_name_prefix("s");
    assert_eq!(refused(both.send().await).0, "InvalidParameterException");
    let json = client.filter_log_events().log_group_name("g").filter_pattern("{ $.level = \"x\" }").send().await;
    assert!(refused(json).1.starts_with("Invalid filter pattern"));
    let event = |time: i64| InputLogEvent::builder().timestamp(time).message("m").build().expect("an event");
    let now = world.clock.now().millis();
    let put = |events: Vec<InputLogEvent>| {
        client.put_log_events().log_group_name("g").log_stream_name("s").set_log_events(Some(events)).send()
    };
    assert_eq!(
        refused(put(vec![event(now), event(now - 1)]).await).1,
        "Log events in a single PutLogEvents request must be in chronological order."
    );
    let mixed = put(vec![event(now - 15 * 86_400_000), event(now), event(now + 3 * 3_600_000)]).await.expect("put");
    let rejected = mixed.rejected_log_events_info().expect("two are out of range");
    assert_eq!((rejected.too_old_log_event_end_index(), rejected.too_new_log_event_start_index()), (Some(1), Some(2)));
    assert_eq!(get("g", "s").await.expect("a page").events().len(), 1);
    let by_arn = client.get_log_events().log_group_identifier(format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:g"));
    assert_eq!(by_arn.log_stream_name("s").send().await.expect("a page").events().len(), 1);
}

#[tokio::test]
async fn filtering_merges_streams_by_time_across_pages() {
    let world = World::new().await;
    for stream in ["a/1", "a/2", "b/1"] {
        world.stream("g", stream).await;
    }
    world.put("g", "a/1", &[(0, "x0"), (3_000, "x3 ERROR"), (6_000, "x6")]).await;
    world.put("g", "a/2", &[(1_000, "y1"), (4_000, "y4 ERROR"), (7_000, "y7")]).await;
    world.put("g", "b/1", &[(2_000, "z2"), (5_000, "z5 ERROR ignored"), (8_000, "z8")]).await;
    let collect = async |prefix: Option<&str>, pattern: Option<&str>, limit: i32| {
        let (mut texts, mut token, mut pages) = (Vec::new(), None, 0);
        loop {
            let request = world.client.filter_log_events().log_group_name("g").limit(limit);
            let request = request.set_log_stream_name_prefix(prefix.map(str::to_owned));
            let request = request.set_filter_pattern(pattern.map(str::to_owned)).set_next_token(token);
            let page = request.send().await.expect("a page");
            pages += 1;
            texts.extend(page.events().iter().map(|event| event.message().unwrap_or_default()[..2].to_owned()));
            token = page.next_token;
            if token.is_none() {
                return (texts.join(" "), pages);
            }
        }
    };
    let all = "x0 y1 z2 x3 y4 z5 x6 y7 z8";
    assert_eq!(collect(None, None, 100).await, (all.to_owned(), 1));
    for limit in 1..=8 {
        let (found, pages) = collect(None, None, limit).await;
        assert_eq!(found, all, "limit {limit}");
        assert!(pages > 1);
    }
    assert_eq!(collect(Some("a/"), None, 2).await.0, "x0 y1 x3 y4 x6 y7");
    assert_eq!(collect(None, Some("ERROR -ignored"), 1).await.0, "x3 y4");
    let named =
        world.client.filter_log_events().log_group_name("g").log_stream_names("b/1").send().await.expect("a page");
    let ids: std::collections::BTreeSet<_> = named.events().iter().map(|event| event.event_id()).collect();
    assert_eq!((named.events().len(), ids.len()), (3, 3));
    assert_eq!(named.events()[0].log_stream_name(), Some("b/1"));
}

#[tokio::test]
async fn groups_and_streams_are_described_and_deleted() {
    let world = World::new().await;
    let client = &world.client;
    for group in ["/aws/codebuild/one", "/aws/codebuild/two", "other"] {
        world.stream(group, "s").await;
    }
    let names = |output: &aws_sdk_cloudwatchlogs::operation::describe_log_groups::DescribeLogGroupsOutput| {
        output
            .log_groups()
            .iter()
            .map(|group| group.log_group_name().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    let found = client.describe_log_groups().log_group_name_prefix("/aws/").limit(1).send().await.expect("described");
    assert_eq!(names(&found), ["/aws/codebuild/one"]);
    let rest = client.describe_log_groups().log_group_name_prefix("/aws/").set_next_token(found.next_token.clone());
    let rest = rest.send().await.expect("described");
    assert_eq!((names(&rest), rest.next_token()), (vec!["/aws/codebuild/two".to_owned()], None));
    let found = client.describe_log_groups().log_group_name_pattern("TWO").send().await.expect("described");
    assert_eq!(names(&found), ["/aws/codebuild/two"]);
    let group = &found.log_groups()[0];
    let arn = format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/codebuild/two");
    assert_eq!((group.arn(), group.log_group_arn()), (Some(format!("{arn}:*").as_str()), Some(arn.as_str())));

    for (index, stream) in ["t3", "t1", "t2"].iter().enumerate() {
        world.stream("other", stream).await;
        world.put("other", stream, &[(i64::try_from(index).expect("small") * 1000, "m")]).await;
    }
    let streams = |output: &aws_sdk_cloudwatchlogs::operation::describe_log_streams::DescribeLogStreamsOutput| {
        output
            .log_streams()
            .iter()
            .map(|stream| stream.log_stream_name().unwrap_or_default()[..].to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let describe = || client.describe_log_streams().log_group_name("other");
    assert_eq!(streams(&describe().send().await.expect("described")), "s t1 t2 t3");
    let newest = describe().order_by(OrderBy::LastEventTime).descending(true).limit(2).send().await.expect("described");
    assert_eq!(streams(&newest), "t2 t1");
    let rest = describe().order_by(OrderBy::LastEventTime).descending(true).set_next_token(newest.next_token.clone());
    assert_eq!(streams(&rest.send().await.expect("described")), "t3 s");
    let paged = describe().log_stream_name_prefix("t").limit(2).send().await.expect("described");
    assert_eq!(streams(&paged), "t1 t2");
    let rest = describe().log_stream_name_prefix("t").limit(2).set_next_token(paged.next_token.clone());
    assert_eq!(streams(&rest.send().await.expect("described")), "t3");

    let files = || walk(&world.directory.path().join("logs"));
    assert_eq!(files(), 3);
    client.delete_log_group().log_group_name("other").send().await.expect("deleted");
    assert_eq!(files(), 0, "its streams' files go with it");
    assert_eq!(refused(describe().send().await), missing("group"));
    assert_eq!(refused(client.delete_log_group().log_group_name("other").send().await), missing("group"));
}

fn walk(directory: &std::path::Path) -> usize {
    std::fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { 1 })
        .sum()
}

#[tokio::test]
async fn an_attached_file_is_a_stream_that_only_its_owner_writes() {
    let world = World::new().await;
    let scope = Scope::new(ACCOUNT, REGION);
    let now = world.clock.now().millis();
    std::fs::write(
        world.directory.path().join("x.jsonl"),
        format!("{{\"time\":{now},\"message\":\"hello\\n\"}}\n{{\"time\":"),
    )
    .expect("written");
    let root = Principal::root(ACCOUNT);
    for _ in 0..2 {
        world.logs.attach(&root, &scope, "/aws/codebuild/p", "u", "x.jsonl").await.expect("attached");
    }
    let get =
        world.client.get_log_events().log_group_name("/aws/codebuild/p").log_stream_name("u").start_from_head(true);
    let page = get.send().await.expect("a page");
    let events: Vec<_> = page.events().iter().map(|event| (event.timestamp(), event.message())).collect();
    assert_eq!(events, [(Some(now), Some("hello\n"))], "a line without its end is not there yet");
    let event = InputLogEvent::builder().timestamp(now).message("m").build().expect("an event");
    let put = world.client.put_log_events().log_group_name("/aws/codebuild/p").log_stream_name("u").log_events(event);
    assert_eq!(refused(put.send().await).1, "This stream is the log of a build; only the build writes to it.");
    world.client.delete_log_group().log_group_name("/aws/codebuild/p").send().await.expect("deleted");
    assert!(world.directory.path().join("x.jsonl").exists(), "the file is not the log service's");
}
