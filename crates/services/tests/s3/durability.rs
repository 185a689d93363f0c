//! What survives: crashes between a file and its document, full disks, restarts; and what stays bounded.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use http::Method;
use towpath_services::s3::{NewBucket, PutOptions, Random};
use towpath_store::{Document, Documents, MemoryStore, Scan, SqliteStore, StoreError, Write};

use crate::support::*;
use crate::wire::{UNSIGNED_TRAILER, send, sign};

/// Documents that fail to be written while they are told to.
struct Failing {
    inner: MemoryStore,
    failing: AtomicBool,
}

#[async_trait]
impl Documents for Failing {
    async fn get(&self, collection: &str, partition: &str, key: &str) -> Result<Option<Document>, StoreError> {
        self.inner.get(collection, partition, key).await
    }

    async fn scan(&self, collection: &str, partition: &str, scan: Scan) -> Result<Vec<Document>, StoreError> {
        self.inner.scan(collection, partition, scan).await
    }

    async fn partitions(&self, collection: &str) -> Result<Vec<String>, StoreError> {
        self.inner.partitions(collection).await
    }

    async fn write(&self, writes: Vec<Write>) -> Result<u64, StoreError> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(StoreError::Closed);
        }
        self.inner.write(writes).await
    }
}

fn orphan(dir: &Path, id: u128) -> std::path::PathBuf {
    let name = format!("{id:032x}");
    let shard = dir.join("objects").join(&name[..2]);
    std::fs::create_dir_all(&shard).unwrap();
    let path = shard.join(name);
    std::fs::write(&path, "whole, synced, renamed, and then the power went").unwrap();
    path
}

#[tokio::test]
async fn what_a_crash_leaves_is_swept_and_nothing_else() {
    let server = Server::start().await;
    let client = server.bucket("crashed").await;
    put(&client, "crashed", "kept", "kept").await;
    let upload = client.create_multipart_upload().bucket("crashed").key("k").send().await.unwrap().upload_id.unwrap();
    let part = client.upload_part().bucket("crashed").key("k").upload_id(&upload).part_number(1);
    let part = part.body(b"part".to_vec().into()).send().await.unwrap();
    assert_eq!(server.files(), 2);

    // A file that was renamed before its document was written; a draft that was never finished; the part of an upload
    // that was completed before its parts could be forgotten.
    let lost = orphan(server.dir.path(), 0xdead);
    let draft = server.dir.path().join("objects/tmp").join("unfinished");
    std::fs::write(&draft, "half").unwrap();
    let stale = orphan(server.dir.path(), 0xbeef);
    let body = format!(
        r#"{{"modified_ms":0,"size":4,"etag":"00","sum":{{"algorithm":"Crc32","value":"AAAAAA==","full":true}},
            "segments":[{{"blob":"{:032x}","offset":0,"len":4}}]}}"#,
        0xbeef
    );
    let key = towpath_store::Key::new("s3.part", "0123456789abcdef0123456789abcdef", "00001");
    let write = Write::Put { key, body: body.into_bytes(), expect: towpath_store::Expect::Absent };
    server.documents.write(vec![write]).await.unwrap();

    let documents = Arc::clone(&server.documents);
    let again = open(server.dir.path(), documents, Arc::clone(&server.rules), clock(), random()).await;
    again.sweep_orphans().await.unwrap();
    assert!(!lost.exists() && !draft.exists() && !stale.exists());
    assert_eq!(server.documents.partitions("s3.part").await.unwrap(), vec![upload.clone()]);
    assert_eq!(again.sweep_orphans().await.unwrap(), 0);
    assert_eq!(server.files(), 2);

    assert_eq!(text(&client, "crashed", "kept").await, "kept");
    let part = aws_sdk_s3::types::CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
    let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder().parts(part).build();
    let complete = client.complete_multipart_upload().bucket("crashed").key("k").upload_id(&upload);
    complete.multipart_upload(parts).send().await.unwrap();
    assert_eq!(text(&client, "crashed", "k").await, "part");
}

/// What a node has not written a document for yet looks like what a crash has left.
#[tokio::test]
async fn nodes_that_share_a_directory_leave_each_other_their_files() {
    let server = Server::start().await;
    let client = server.bucket("shared").await;
    put(&client, "shared", "k", "first").await;
    let written = orphan(server.dir.path(), 0xdead);
    let draft = server.dir.path().join("objects/tmp").join("unfinished");
    std::fs::write(&draft, "half").unwrap();
    let join = |clock| {
        let (documents, rules) = (Arc::clone(&server.documents), Arc::clone(&server.rules));
        open_with(server.dir.path(), true, documents, rules, clock, random())
    };
    let node = join(clock()).await;
    assert_eq!(node.sweep_orphans().await.unwrap(), 0);
    assert!(written.exists() && draft.exists());

    // What is replaced stays for those who read it elsewhere.
    let file = server.dir.path().join("second");
    std::fs::write(&file, "second").unwrap();
    let before = server.files();
    node.put_from_file(ACCOUNT, "shared", "k", &file, PutOptions::default()).await.unwrap();
    assert_eq!(server.files(), before + 1);

    // Two hours on nobody is at work on any of them.
    let real = clock();
    let later: towpath_services::s3::Clock = Arc::new(move || real() + std::time::Duration::from_hours(2));
    let next = join(later).await;
    next.sweep_orphans().await.unwrap();
    assert!(!written.exists() && !draft.exists());
    assert_eq!(server.files(), 1);
    assert_eq!(text(&client, "shared", "k").await, "second");
}

#[tokio::test]
async fn sweeping_beside_writers_takes_nothing_of_theirs() {
    let server = Server::start().await;
    let client = server.versioned("busy").await;
    let service = server.service.clone();
    let done = Arc::new(AtomicBool::new(false));
    let sweeper = tokio::spawn({
        let done = Arc::clone(&done);
        async move {
            let mut rounds = 0;
            while !done.load(Ordering::SeqCst) {
                assert_eq!(service.sweep_orphans().await.unwrap(), 0);
                rounds += 1;
            }
            rounds
        }
    });
    for n in 0..40 {
        let key = format!("k{n}");
        let upload = client.create_multipart_upload().bucket("busy").key(&key).send().await.unwrap().upload_id.unwrap();
        let part = client.upload_part().bucket("busy").key(&key).upload_id(&upload).part_number(1);
        let part = part.body(key.clone().into_bytes().into()).send().await.unwrap();
        let part = aws_sdk_s3::types::CompletedPart::builder().part_number(1).e_tag(part.e_tag().unwrap()).build();
        let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder().parts(part).build();
        let complete = client.complete_multipart_upload().bucket("busy").key(&key).upload_id(&upload);
        complete.multipart_upload(parts).send().await.unwrap();
        put(&client, "busy", &key, &key).await;
        client
            .copy_object()
            .bucket("busy")
            .key(format!("{key}-copy"))
            .copy_source(format!("busy/{key}"))
            .send()
            .await
            .unwrap();
    }
    done.store(true, Ordering::SeqCst);
    assert!(sweeper.await.unwrap() > 0);
    for n in 0..40 {
        let key = format!("k{n}");
        assert_eq!(text(&client, "busy", &key).await, key);
        assert_eq!(text(&client, "busy", &format!("{key}-copy")).await, key);
    }
    assert_eq!(server.files(), 120);
}

#[tokio::test]
async fn a_write_whose_document_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let documents = Arc::new(Failing { inner: MemoryStore::new(), failing: AtomicBool::new(false) });
    let rules = Arc::new(Rules::default());
    let store: Arc<dyn Documents> = Arc::clone(&documents) as Arc<dyn Documents>;
    let service = open(dir.path(), store, rules, clock(), random()).await;
    service.ensure_bucket(ACCOUNT, "us-east-1", "failing", NewBucket::default()).await.unwrap();
    let file = dir.path().join("content");
    std::fs::write(&file, "content").unwrap();
    documents.failing.store(true, Ordering::SeqCst);
    let refused = service.put_from_file(ACCOUNT, "failing", "k", &file, PutOptions::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "ServiceUnavailable: The server is shutting down. Please try again.");
    documents.failing.store(false, Ordering::SeqCst);
    assert_eq!(service.sweep_orphans().await.unwrap(), 0, "the file went with the write");
    service.put_from_file(ACCOUNT, "failing", "k", &file, PutOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_named_and_loses_nothing() {
    const FIXED: u128 = 0x00c0_ffee;
    let full = Arc::new(AtomicBool::new(false));
    let random: Random = {
        let full = Arc::clone(&full);
        Arc::new(move || if full.load(Ordering::SeqCst) { FIXED } else { rand::random() })
    };
    let server = Server::with(clock(), random).await;
    let client = server.bucket("full").await;
    put(&client, "full", "k", "before").await;
    // The next file of bytes will be written to a device that is always full.
    let draft = server.dir.path().join("objects/tmp").join(format!("{FIXED:032x}"));
    std::os::unix::fs::symlink("/dev/full", &draft).unwrap();
    full.store(true, Ordering::SeqCst);
    let refused = client.put_object().bucket("full").key("k").body(b"after".to_vec().into()).send().await;
    let text_of = refusal(refused);
    assert!(text_of.starts_with("InternalError 507: No space left on the disk that holds /"), "{text_of}");
    assert!(text_of.contains("/objects: nothing was stored"), "{text_of}");
    full.store(false, Ordering::SeqCst);
    assert_eq!(text(&client, "full", "k").await, "before");
    assert_eq!((server.files(), server.drafts()), (1, 0));
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("content");
    std::fs::write(&file, "kept across restarts").unwrap();
    let rules = Arc::new(Rules::default());
    let options = PutOptions {
        content_type: Some("text/plain".to_owned()),
        metadata: vec![("execution".to_owned(), "1".to_owned())],
        ..PutOptions::default()
    };
    let first = {
        let store: Arc<dyn Documents> = Arc::new(SqliteStore::open(dir.path()).unwrap());
        let service = open(dir.path(), store, Arc::clone(&rules), clock(), random()).await;
        let new = NewBucket { versioned: true, acls: false };
        assert!(service.ensure_bucket(ACCOUNT, "eu-west-1", "lasting", new).await.unwrap());
        assert!(!service.ensure_bucket(ACCOUNT, "eu-west-1", "lasting", new).await.unwrap());
        assert_eq!(
            service.ensure_bucket(STRANGER, "eu-west-1", "lasting", new).await.unwrap_err().code,
            "BucketAlreadyExists"
        );
        let first = service.put_from_file(ACCOUNT, "lasting", "dir/k", &file, options.clone()).await.unwrap();
        std::fs::write(&file, "").unwrap();
        service.put_from_file(ACCOUNT, "lasting", "dir/k", &file, options).await.unwrap();
        service.sweep_orphans().await.unwrap();
        first
    };
    let store: Arc<dyn Documents> = Arc::new(SqliteStore::open(dir.path()).unwrap());
    let service = open(dir.path(), store, rules, clock(), random()).await;
    assert_eq!(service.sweep_orphans().await.unwrap(), 0);
    let bucket = service.bucket("lasting").await.unwrap().unwrap();
    assert_eq!((bucket.account.as_str(), bucket.region.as_str(), bucket.versioned), (ACCOUNT, "eu-west-1", true));
    assert_eq!(service.head(ACCOUNT, "lasting", "dir/k", None).await.unwrap().size, 0);
    let out = dir.path().join("out");
    let id = first.version_id.as_deref();
    let read = service.read_to_file(ACCOUNT, "lasting", "dir/k", id, &out).await.unwrap();
    assert_eq!(read, first);
    assert_eq!(read.metadata, [("execution".to_owned(), "1".to_owned())]);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "kept across restarts");
    let stranger = service.read_to_file(STRANGER, "lasting", "dir/k", None, &out).await.unwrap_err();
    assert_eq!(stranger.to_string(), "AccessDenied: Access Denied");
    let missing = service.read_to_file(ACCOUNT, "lasting", "none", None, &out).await.unwrap_err();
    assert_eq!(missing.code, "NoSuchKey");
    assert_eq!(service.head(ACCOUNT, "nowhere", "k", None).await.unwrap_err().code, "NoSuchBucket");
    assert_eq!(service.keys(ACCOUNT, "lasting", "dir/", 10).await.unwrap(), ["dir/k"]);
    assert!(service.keys(ACCOUNT, "lasting", "other/", 10).await.unwrap().is_empty());
    assert_eq!(service.keys(STRANGER, "lasting", "", 10).await.unwrap_err().code, "AccessDenied");
    service.delete(ACCOUNT, "lasting", "dir/k", None).await.unwrap();
    assert_eq!(service.head(ACCOUNT, "lasting", "dir/k", None).await.unwrap_err().code, "NoSuchKey");
}

/// The most memory this process ever had, in bytes. Every test runs in a process of its own.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

const BIG: usize = 300 * 1024 * 1024;
const ROOM: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_large_object_passes_through_little_memory() {
    let server = Server::start().await;
    let client = server.bucket("large").await;
    put(&client, "large", "warm", "up").await;
    let before = peak();
    let file = server.dir.path().join("large");
    std::fs::File::create(&file).unwrap().set_len(BIG as u64).unwrap();
    let body = ByteStream::from_path(&file).await.unwrap();
    client.put_object().bucket("large").key("k").body(body).send().await.unwrap();
    let mut got = client.get_object().bucket("large").key("k").send().await.unwrap();
    let mut seen = 0;
    while let Some(piece) = got.body.next().await {
        seen += piece.unwrap().len();
    }
    assert_eq!(seen, BIG);
    let grown = peak() - before;
    assert!(grown < ROOM, "{grown} bytes were held for a body of {BIG}");
}

#[tokio::test]
async fn one_chunk_of_any_size_passes_through_little_memory() {
    let server = Server::start().await;
    server.bucket("large").await;
    let before = peak();
    let length = BIG.to_string();
    let headers = [("x-amz-decoded-content-length", length.as_str()), ("x-amz-trailer", "x-amz-checksum-crc64nvme")];
    let request = sign(&Method::PUT, "localhost", "/large/k", UNSIGNED_TRAILER, &headers).request;
    let piece = Bytes::from(vec![0_u8; 1024 * 1024]);
    let first = Bytes::from(format!("{BIG:x}\r\n"));
    let wrong = Bytes::from_static(b"\r\n0\r\nx-amz-checksum-crc64nvme:AAAAAAAAAAA=\r\n\r\n");
    let pieces = std::iter::once(first).chain(std::iter::repeat_n(piece, BIG / (1024 * 1024))).chain([wrong]);
    let (status, answer) = send(&server.service, request, futures::stream::iter(pieces)).await;
    // Read to the end, and refused for the checksum that came after it.
    assert!(status == 400 && answer.contains("<Code>BadDigest</Code>"), "{answer}");
    assert_eq!((server.files(), server.drafts()), (0, 0));
    let grown = peak() - before;
    assert!(grown < ROOM, "{grown} bytes were held for a body of {BIG}");
}
