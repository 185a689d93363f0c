//! Zip files that want to do harm: each is refused with a text that names the entry, and writes nothing outside.

mod raw;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use raw::{Lie, Raw};
use tempfile::TempDir;
use towpath_artifacts::{Limits, UnpackError, unpack};

/// Unpacks `zip` beside a canary and answers the refusal.
fn refusal(zip: &[u8], limits: &Limits) -> String {
    let dir = TempDir::new().unwrap();
    let error = unpack_into(dir.path(), zip, limits).expect_err("the archive must be refused");
    // Only the archive and the destination may be there.
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| name != "dest");
    assert_eq!(names, ["a.zip"], "something was written outside");
    error.to_string()
}

fn unpack_into(dir: &Path, zip: &[u8], limits: &Limits) -> Result<towpath_artifacts::Unpacked, UnpackError> {
    let path = dir.join("a.zip");
    fs::write(&path, zip).unwrap();
    unpack(&path, &dir.join("dest"), limits)
}

fn refused(lies: &[Lie<'_>]) -> String {
    let raw = lies.iter().fold(Raw::new(), Raw::with);
    refusal(&raw.bytes(), &Limits::DEFAULT)
}

#[test]
fn the_honest_raw_archive_is_accepted() {
    let dir = TempDir::new().unwrap();
    let zip = Raw::new()
        .with(&Lie::file("a/b.txt", b"hello"))
        .with(&Lie { mode: 0o100_755, ..Lie::file("run.sh", b"#!/bin/sh\n") })
        .with(&Lie::link("a/c.txt", "b.txt"))
        .with(&Lie { mode: 0o040_755, ..Lie::file("empty/", b"") })
        .with(&Lie { mode: 0, ..Lie::file("plain", b"from elsewhere") })
        .bytes();
    let done = unpack_into(dir.path(), &zip, &Limits::DEFAULT).unwrap();
    assert_eq!((done.files, done.bytes), (3, 29));
    let dest = dir.path().join("dest");
    assert_eq!(fs::read_to_string(dest.join("a/c.txt")).unwrap(), "hello");
    assert!(dest.join("empty").is_dir());
    assert_eq!(fs::metadata(dest.join("run.sh")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn names_that_leave_the_directory() {
    for (name, why) in [
        ("../evil", "its name leaves the directory with `..`"),
        ("a/../../evil", "its name leaves the directory with `..`"),
        ("/tmp/evil", "its name is absolute"),
        ("..\\evil", "its name contains a backslash; zip separates directories with `/`"),
        ("C:evil", "its name starts with a drive letter"),
        ("a\0b", "its name contains a control character"),
        ("./", "its name is empty"),
    ] {
        assert_eq!(refused(&[Lie::file(name, b"x")]), format!("the entry {name:?} is refused: {why}"));
    }
}

#[test]
fn links_that_leave_the_directory() {
    for target in ["../evil", "/etc/passwd", "a/../../evil", ""] {
        assert_eq!(
            refused(&[Lie::link("l", target)]),
            format!("the symbolic link \"l\" points to {target:?}, outside of the archive")
        );
    }
    // Every step stays inside by its text; together they climb out.
    assert_eq!(
        refused(&[Lie::link("p/q/r/d", "../../../t"), Lie::link("p/q/r/l", "d/../../evil"), Lie::file("t/x", b"x")]),
        "the symbolic link \"p/q/r/l\" points to \"d/../../evil\", outside of the archive"
    );
}

#[test]
fn writing_through_a_link() {
    assert_eq!(
        refused(&[Lie::link("d", "."), Lie::file("d/x", b"x")]),
        "the entry \"d/x\" lies beneath \"d\", which is not a directory"
    );
    assert_eq!(
        refused(&[Lie::file("d/x/y", b"x"), Lie::file("d", b"x")]),
        "the entry \"d/x/y\" lies beneath \"d\", which is not a directory"
    );
}

#[test]
fn writing_through_a_link_that_was_there_before() {
    let dir = TempDir::new().unwrap();
    fs::create_dir_all(dir.path().join("dest")).unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("outside"), dir.path().join("dest/d")).unwrap();
    let zip = Raw::new().with(&Lie::file("d/x", b"x")).bytes();
    let error = unpack_into(dir.path(), &zip, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.to_string(), "the entry \"d/x\" would be written through \"d\", which is a link or a file");
    assert_eq!(fs::read_dir(dir.path().join("outside")).unwrap().count(), 0);
}

#[test]
fn one_name_twice() {
    assert_eq!(refused(&[Lie::file("a", b"1"), Lie::file("a", b"2")]), "the entry \"a\" occurs twice");
    assert_eq!(refused(&[Lie::file("a", b"1"), Lie::file("./a", b"2")]), "the entry \"a\" occurs twice");
    assert_eq!(refused(&[Lie::file("a", b"1"), Lie::link("a", "b")]), "the entry \"a\" occurs twice");
    // `é` in code page 437 and in UTF-8.
    let old = Lie { name: &[0x82], flags: 0, ..Lie::file("", b"1") };
    assert_eq!(refused(&[old, Lie::file("é", b"2")]), "the entry \"é\" occurs twice");
}

#[test]
fn kinds_that_are_no_files() {
    for mode in [0o010_644, 0o020_644, 0o060_644, 0o140_644] {
        let text = refused(&[Lie { mode, ..Lie::file("dev", b"") }]);
        assert_eq!(
            text,
            "the entry \"dev\" is a device, a pipe or a socket; only files, directories and symbolic links are unpacked"
        );
    }
}

#[test]
fn set_user_id_is_dropped() {
    let dir = TempDir::new().unwrap();
    let zip = Raw::new().with(&Lie { mode: 0o104_777, ..Lie::file("su", b"x") }).bytes();
    unpack_into(dir.path(), &zip, &Limits::DEFAULT).unwrap();
    assert_eq!(fs::metadata(dir.path().join("dest/su")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn encrypted_and_unknown_methods() {
    assert_eq!(
        refused(&[Lie { flags: 0x0801, ..Lie::file("secret", b"0123456789abcdef") }]),
        "the entry \"secret\" is encrypted; pack it without a password"
    );
    assert_eq!(
        refused(&[Lie { method: 14, ..Lie::file("lzma", b"xxxxxxxxxxxxxxxx") }]),
        "the entry \"lzma\" uses a compression method other than stored and deflate; pack it with deflate"
    );
}

#[test]
fn what_is_no_zip() {
    for bytes in [&b""[..], b"hello", b"PK\x03\x04 but nothing more", &[0; 10_000]] {
        assert_eq!(refusal(bytes, &Limits::DEFAULT), "it is not a zip file");
    }
    let zip = Raw::new().with(&Lie::file("a", b"hello")).bytes();
    let text = refusal(&zip[5..], &Limits::DEFAULT);
    assert!(text.starts_with("it is a damaged zip file: ") || text.starts_with("the entry \"a\" is damaged"), "{text}");
}

#[test]
fn a_wrong_checksum() {
    let mut zip = Raw::new().with(&Lie::file("a", b"hello")).bytes();
    let at = zip.windows(5).position(|w| w == b"hello").unwrap();
    zip[at] = b'j';
    assert_eq!(refusal(&zip, &Limits::DEFAULT), "the entry \"a\" is damaged");
}

fn zeros(bytes: usize) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("zeros", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(&vec![0; bytes]).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn bombs() {
    let small = Limits { ratio_free_bytes: 1_000_000, ..Limits::DEFAULT };
    assert_eq!(
        refusal(&zeros(10_000_000), &small),
        "it unpacks to more than 200 times its size, as a zip bomb does; the entry \"zeros\" passes that"
    );
    let total = Limits { bytes_max: 9_999_999, ..Limits::DEFAULT };
    assert_eq!(
        refusal(&zeros(10_000_000), &total),
        "it unpacks to more than the 9999999 bytes allowed; the entry \"zeros\" passes them"
    );
}

#[test]
fn a_bomb_that_understates_itself() {
    let mut zip = zeros(10_000_000);
    let real = 10_000_000u32.to_le_bytes();
    while let Some(at) = zip.windows(4).position(|w| w == real) {
        zip[at..at + 4].copy_from_slice(&1000u32.to_le_bytes());
    }
    let dir = TempDir::new().unwrap();
    let error = unpack_into(dir.path(), &zip, &Limits::DEFAULT).unwrap_err();
    assert_eq!(error.to_string(), "the entry \"zeros\" holds more bytes than it declares");
    assert_eq!(fs::metadata(dir.path().join("dest/zeros")).unwrap().len(), 0, "refused before the first byte is kept");
}

#[test]
fn too_many_entries() {
    let limits = Limits { entries_max: 2, ..Limits::DEFAULT };
    let three = [Lie::file("a", b""), Lie::file("b", b""), Lie::file("c", b"")];
    let zip = three.iter().fold(Raw::new(), Raw::with).bytes();
    assert_eq!(refusal(&zip, &limits), "it has 3 entries, more than the 2 allowed");
    let promised = Raw::new().with(&Lie::file("a", b"")).promising(Some(60_000));
    assert_eq!(refusal(&promised, &limits), "it has 60000 entries, more than the 2 allowed");
}
