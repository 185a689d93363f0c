//! The contract of [`Documents`].

use std::ops::Bound::{self, Excluded, Included, Unbounded};

use serde_json::json;

use crate::documents::{Document, Documents, DocumentsExt, Expect, Key, Scan, Write};
use crate::limits::{BODY_BYTES_MAX, COMMAND_WRITES_MAX, KEY_BYTES_MAX, PAGE_MAX};
use crate::{Row, StoreError};

fn key(key: &str) -> Key {
    Key::new("things", "here", key)
}

fn put(name: &str, body: &str, expect: Expect) -> Write {
    Write::Put { key: key(name), body: body.as_bytes().to_vec(), expect }
}

async fn keys(store: &dyn Documents, scan: Scan) -> Vec<String> {
    store.scan("things", "here", scan).await.unwrap().into_iter().map(|document| document.key).collect()
}

async fn fill(store: &dyn Documents, names: &[&str]) {
    store.write(names.iter().map(|name| put(name, "{}", Expect::Absent)).collect()).await.unwrap();
}

fn assert_conflict(result: Result<u64, StoreError>, name: &str) {
    match result {
        Err(StoreError::Conflict { row: Row::Document, key }) => assert_eq!(key, name),
        other => panic!("expected a conflict on {name}, got {other:?}"),
    }
}

pub async fn absent_documents_are_none(store: &dyn Documents) {
    assert_eq!(store.get("things", "here", "a").await.unwrap(), None);
    assert_eq!(keys(store, Scan::all()).await, [""; 0]);
    assert_eq!(store.partitions("things").await.unwrap(), [""; 0]);
}

pub async fn a_put_is_read_back_with_its_version(store: &dyn Documents) {
    let version = store.put_json(key("a"), &json!({"n": 1}), Expect::Absent).await.unwrap();
    let found = store.get("things", "here", "a").await.unwrap().unwrap();
    assert_eq!(found, Document { key: "a".to_owned(), version, body: br#"{"n":1}"#.to_vec() });
    let typed = store.get_json::<serde_json::Value>("things", "here", "a").await.unwrap().unwrap();
    assert_eq!((typed.value, typed.version), (json!({"n": 1}), version));
    let scanned = store.scan_json::<serde_json::Value>("things", "here", Scan::all()).await.unwrap();
    assert_eq!(scanned.len(), 1);
    assert_eq!(scanned[0].0, "a");
    assert_eq!(scanned[0].1.version, version);
}

pub async fn versions_grow_and_never_come_back(store: &dyn Documents) {
    let first = store.write(vec![put("a", "1", Expect::Absent)]).await.unwrap();
    let second = store.write(vec![put("a", "2", Expect::Version(first))]).await.unwrap();
    assert!(second > first);
    store.delete(key("a"), Expect::Version(second)).await.unwrap();
    let third = store.write(vec![put("a", "3", Expect::Absent)]).await.unwrap();
    assert!(third > second);
    assert_conflict(store.write(vec![put("a", "4", Expect::Version(first))]).await, "a");
}

pub async fn expectations_are_kept(store: &dyn Documents) {
    assert_conflict(store.write(vec![put("a", "1", Expect::Version(1))]).await, "a");
    let version = store.write(vec![put("a", "1", Expect::Any)]).await.unwrap();
    assert_conflict(store.write(vec![put("a", "2", Expect::Absent)]).await, "a");
    assert_conflict(store.write(vec![put("a", "2", Expect::Version(version + 1))]).await, "a");
    assert_conflict(store.write(vec![Write::delete(key("a"), Expect::Version(version + 1))]).await, "a");
    assert_conflict(store.write(vec![Write::delete(key("a"), Expect::Absent)]).await, "a");
    assert_conflict(store.write(vec![Write::delete(key("b"), Expect::Version(version))]).await, "b");
    assert_eq!(store.get("things", "here", "a").await.unwrap().unwrap().body, b"1");
    store.write(vec![Write::delete(key("b"), Expect::Any)]).await.unwrap();
    store.write(vec![Write::delete(key("a"), Expect::Version(version))]).await.unwrap();
    assert_eq!(store.get("things", "here", "a").await.unwrap(), None);
}

pub async fn a_write_is_all_or_nothing(store: &dyn Documents) {
    fill(store, &["b", "d"]).await;
    let result = store
        .write(vec![
            put("a", "new", Expect::Absent),
            put("b", "new", Expect::Any),
            Write::delete(key("d"), Expect::Any),
            put("c", "new", Expect::Version(7)),
        ])
        .await;
    assert_conflict(result, "c");
    assert_eq!(keys(store, Scan::all()).await, ["b", "d"]);
    assert_eq!(store.get("things", "here", "b").await.unwrap().unwrap().body, b"{}");
}

pub async fn expectations_look_at_the_state_before_the_command(store: &dyn Documents) {
    let version = store
        .write(vec![put("a", "1", Expect::Absent), put("a", "2", Expect::Absent), put("b", "1", Expect::Any)])
        .await
        .unwrap();
    let found = store.get("things", "here", "a").await.unwrap().unwrap();
    assert_eq!((found.body.as_slice(), found.version), (b"2".as_slice(), version));
    store
        .write(vec![Write::delete(key("a"), Expect::Version(version)), put("b", "2", Expect::Version(version))])
        .await
        .unwrap();
    assert_eq!(keys(store, Scan::all()).await, ["b"]);
}

pub async fn scans_are_bytewise_within_a_partition(store: &dyn Documents) {
    // Not by locale, not by case, not by UTF-16: U+FF5E sorts before U+1F600 as bytes.
    fill(store, &["b", "a", "Z", "a/b", "a-b", "aa", "", "é", "\u{FF5E}", "\u{1F600}", "a\u{0}b"]).await;
    let expected = ["", "Z", "a", "a\u{0}b", "a-b", "a/b", "aa", "b", "é", "\u{FF5E}", "\u{1F600}"];
    assert_eq!(keys(store, Scan::all()).await, expected);
    let mut reversed = expected;
    reversed.reverse();
    assert_eq!(keys(store, Scan::all().reversed()).await, reversed);
}

pub async fn scans_honour_bounds_limit_and_direction(store: &dyn Documents) {
    fill(store, &["a", "b", "c", "d", "e"]).await;
    let scan = |from: Bound<&str>, to: Bound<&str>, limit, reverse| Scan {
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        limit,
        reverse,
    };
    assert_eq!(keys(store, scan(Included("b"), Included("d"), 10, false)).await, ["b", "c", "d"]);
    assert_eq!(keys(store, scan(Excluded("b"), Excluded("d"), 10, false)).await, ["c"]);
    assert_eq!(keys(store, scan(Unbounded, Excluded("c"), 10, false)).await, ["a", "b"]);
    assert_eq!(keys(store, scan(Excluded("c"), Unbounded, 10, false)).await, ["d", "e"]);
    assert_eq!(keys(store, scan(Included("b"), Included("e"), 2, true)).await, ["e", "d"]);
    assert_eq!(keys(store, scan(Unbounded, Unbounded, 0, false)).await, [""; 0]);
    assert_eq!(keys(store, scan(Included("d"), Included("b"), 10, false)).await, [""; 0]);
    assert_eq!(keys(store, scan(Excluded("c"), Excluded("c"), 10, false)).await, [""; 0]);
    assert_eq!(keys(store, scan(Included("c"), Included("c"), 10, false)).await, ["c"]);
}

pub async fn prefixes_take_exactly_their_keys(store: &dyn Documents) {
    fill(store, &["a", "a/", "a/1", "a/2", "a0", "b", "a/\u{10FFFF}x"]).await;
    assert_eq!(keys(store, Scan::prefix("a/")).await, ["a/", "a/1", "a/2", "a/\u{10FFFF}x"]);
    assert_eq!(keys(store, Scan::prefix("a/").reversed().limit(1)).await, ["a/\u{10FFFF}x"]);
    assert_eq!(keys(store, Scan::prefix("a/\u{10FFFF}")).await, ["a/\u{10FFFF}x"]);
    assert_eq!(keys(store, Scan::prefix("")).await.len(), 7);
    assert_eq!(keys(store, Scan::prefix("c")).await, [""; 0]);
}

pub async fn paging_neither_repeats_nor_misses_while_rows_are_added(store: &dyn Documents) {
    fill(store, &["10", "20", "30", "40", "50"]).await;
    let first = keys(store, Scan::all().limit(2)).await;
    assert_eq!(first, ["10", "20"]);
    fill(store, &["15", "35"]).await;
    assert_eq!(keys(store, Scan::all().after("20").limit(2)).await, ["30", "35"]);
    store.delete(key("35"), Expect::Any).await.unwrap();
    assert_eq!(keys(store, Scan::all().after("35").limit(9)).await, ["40", "50"]);
    assert_eq!(keys(store, Scan::all().reversed().after("20").limit(9)).await, ["15", "10"]);
}

pub async fn partitions_are_those_with_documents(store: &dyn Documents) {
    for (collection, partition, name) in [("x", "b", "1"), ("x", "a", "1"), ("x", "a", "2"), ("y", "c", "1")] {
        store.put_json(Key::new(collection, partition, name), &1, Expect::Absent).await.unwrap();
    }
    assert_eq!(store.partitions("x").await.unwrap(), ["a", "b"]);
    assert_eq!(store.partitions("y").await.unwrap(), ["c"]);
    store.delete(Key::new("x", "a", "1"), Expect::Any).await.unwrap();
    assert_eq!(store.partitions("x").await.unwrap(), ["a", "b"]);
    store.delete(Key::new("x", "a", "2"), Expect::Any).await.unwrap();
    assert_eq!(store.partitions("x").await.unwrap(), ["b"]);
}

pub async fn collections_and_partitions_do_not_mix(store: &dyn Documents) {
    for (collection, partition) in [("x", "yz"), ("xy", "z"), ("x", "y")] {
        let body = format!("{collection}|{partition}");
        store.put_json(Key::new(collection, partition, "k"), &body, Expect::Absent).await.unwrap();
    }
    let found = store.get_json::<String>("xy", "z", "k").await.unwrap().unwrap();
    assert_eq!(found.value, "xy|z");
    assert_eq!(store.scan("x", "y", Scan::all()).await.unwrap().len(), 1);
}

pub async fn limits_are_refused_not_cut(store: &dyn Documents) {
    let too_large = |result: Result<u64, StoreError>| match result {
        Err(StoreError::TooLarge { found, limit, .. }) => assert_eq!(found, limit + 1),
        other => panic!("{other:?}"),
    };
    let put_key = |name: String| Write::Put { key: key(&name), body: Vec::new(), expect: Expect::Any };
    too_large(store.write(vec![put_key("k".repeat(KEY_BYTES_MAX + 1))]).await);
    too_large(store.write(vec![put_key("k".to_owned()); COMMAND_WRITES_MAX + 1]).await);
    let body = vec![0; BODY_BYTES_MAX + 1];
    too_large(store.write(vec![Write::Put { key: key("k"), body, expect: Expect::Any }]).await);
    let scanned = store.scan("things", "here", Scan::all().limit(PAGE_MAX + 1)).await;
    too_large(scanned.map(|_| 0));
    assert_eq!(keys(store, Scan::all()).await, [""; 0]);
}

pub async fn a_body_that_is_not_json_is_named(store: &dyn Documents) {
    store.write(vec![put("a", "not json", Expect::Any)]).await.unwrap();
    match store.get_json::<serde_json::Value>("things", "here", "a").await {
        Err(StoreError::Corrupt { what, .. }) => assert_eq!(what, "the stored document `a`"),
        other => panic!("{other:?}"),
    }
}

pub async fn racing_writers_have_one_winner(store: &dyn Documents) {
    let version = store.write(vec![put("a", "0", Expect::Absent)]).await.unwrap();
    let race = |body: &'static str| store.write(vec![put("a", body, Expect::Version(version))]);
    let results: [_; 4] = tokio::join!(race("1"), race("2"), race("3"), race("4")).into();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(results.iter().filter(|result| matches!(result, Err(error) if error.is_conflict())).count(), 3);
}
