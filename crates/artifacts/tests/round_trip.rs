//! Packing and unpacking give back what was there, the same bytes every time; and no bytes whatever make it panic.

mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use raw::{Lie, Raw};
use tempfile::TempDir;
use towpath_artifacts::{Archive, EntryKind, Item, Limits, list, pack, pack_directory, unpack};

fn put(root: &Path, name: &str, data: &[u8], mode: u32) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, data).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_tree_comes_back() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    put(&root, "src/main.py", b"print('hi')\n", 0o600);
    put(&root, "run.sh", b"#!/bin/sh\n", 0o700);
    put(&root, "img/logo.png", &[7; 5000], 0o644);
    put(&root, "empty", b"", 0o644);
    put(&root, ".git/HEAD", b"ref", 0o644);
    symlink("main.py", root.join("src/alias.py")).unwrap();
    symlink("/etc/hostname", root.join("host")).unwrap();
    symlink("../../up", root.join("src/up")).unwrap();

    let (a, b) = (dir.path().join("a.zip"), dir.path().join("b.zip"));
    let packed = pack_directory(&root, |name, _| name != ".git", &a).unwrap();
    assert_eq!((packed.entries, packed.bytes), (5, 12 + 10 + 5000));
    assert_eq!(packed.skipped, ["host", "src/up"]);

    fs::set_permissions(root.join("src/main.py"), fs::Permissions::from_mode(0o664)).unwrap();
    pack_directory(&root, |name, _| name != ".git", &b).unwrap();
    assert_eq!(fs::read(&a).unwrap(), fs::read(&b).unwrap(), "the same tree makes the same bytes");

    let entries = list(&a, &Limits::DEFAULT).unwrap();
    let names: Vec<_> = entries.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["empty", "img/logo.png", "run.sh", "src/alias.py", "src/main.py"]);
    assert_eq!(entries[2].kind, EntryKind::File { executable: true });

    let dest = dir.path().join("dest");
    let done = unpack(&a, &dest, &Limits::DEFAULT).unwrap();
    assert_eq!((done.files, done.bytes), (4, 5022));
    assert_eq!(fs::read_to_string(dest.join("src/alias.py")).unwrap(), "print('hi')\n");
    assert_eq!(fs::read_link(dest.join("src/alias.py")).unwrap(), Path::new("main.py"));
    assert_eq!(fs::metadata(dest.join("run.sh")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(fs::metadata(dest.join("src/main.py")).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn an_explicit_list_may_rename_but_not_leave() {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("root");
    put(&root, "a/x", b"1", 0o644);
    put(&root, "b/x", b"2", 0o644);
    put(dir.path(), "secret/key", b"3", 0o644);
    symlink("../secret", root.join("s")).unwrap();
    let zip = dir.path().join("a.zip");
    let item = |name: &str, path: &str| Item { name: name.to_owned(), path: root.join(path) };

    pack(&root, vec![item("y", "b/x"), item("x", "a/x")], &zip).unwrap();
    assert_eq!(list(&zip, &Limits::DEFAULT).unwrap().len(), 2);

    for (items, text) in [
        (vec![item("x", "a/x"), item("./x", "b/x")], "cannot pack \"x\": two files would have that name"),
        (vec![item("k", "s/key")], "cannot pack \"k\": it lies outside of the directory, behind a symbolic link"),
        (vec![item("../k", "a/x")], "cannot pack \"../k\": its name leaves the directory with `..`"),
        (vec![item("gone", "a/gone")], "cannot read \"gone\""),
    ] {
        assert_eq!(pack(&root, items, &zip).unwrap_err().to_string(), text);
        assert!(!zip.exists(), "a failed archive is not left behind");
    }
}

#[test]
fn links_resolve_inside_the_archive() {
    let dir = TempDir::new().unwrap();
    let zip = dir.path().join("a.zip");
    let bytes = Raw::new()
        .with(&Lie::file("d/real", b"x"))
        .with(&Lie::link("one", "two"))
        .with(&Lie::link("two", "d/real"))
        .with(&Lie::link("d/back", "../one"))
        .with(&Lie::link("loop", "loop"))
        .with(&Lie::link("nowhere", "gone"))
        .bytes();
    fs::write(&zip, bytes).unwrap();
    let archive = Archive::open(&zip, &Limits::DEFAULT).unwrap();
    let resolved: BTreeMap<_, _> =
        archive.entries().iter().map(|e| (e.name.as_str(), archive.resolve(e).map(|e| e.name.as_str()))).collect();
    assert_eq!(resolved["one"], Some("d/real"));
    assert_eq!(resolved["d/back"], Some("d/real"));
    assert_eq!(resolved["loop"], None);
    assert_eq!(resolved["nowhere"], None);
}

fn trees() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let name = proptest::collection::vec("[a-zé ._-]{1,8}", 1..4)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("a name of dots is no name", |n| n.split('/').all(|p| p != "." && p != ".."));
    proptest::collection::btree_map(name, proptest::collection::vec(any::<u8>(), 0..300), 0..12).prop_map(|mut tree| {
        // A file cannot be a directory too.
        let names: Vec<String> = tree.keys().cloned().collect();
        tree.retain(|name, _| !names.iter().any(|other| other.starts_with(&format!("{name}/"))));
        tree
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back(tree in trees()) {
        let dir = TempDir::new().unwrap();
        let (root, zip, dest) = (dir.path().join("root"), dir.path().join("a.zip"), dir.path().join("dest"));
        fs::create_dir(&root).unwrap();
        for (name, data) in &tree {
            put(&root, name, data, 0o644);
        }
        pack_directory(&root, |_, _| true, &zip).unwrap();
        unpack(&zip, &dest, &Limits::DEFAULT).unwrap();
        for (name, data) in &tree {
            prop_assert_eq!(&fs::read(dest.join(name)).unwrap(), data);
        }
        prop_assert_eq!(list(&zip, &Limits::DEFAULT).unwrap().len(), tree.len());
    }

    #[test]
    fn damage_is_an_error_and_stays_inside(
        names in proptest::collection::vec("[./a\\\\:-]{0,6}", 1..5),
        links in proptest::collection::vec(any::<bool>(), 5),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let dir = TempDir::new().unwrap();
        let raw = names.iter().zip(&links).fold(Raw::new(), |raw, (name, link)| {
            raw.with(&if *link { Lie::link(name, "../a") } else { Lie::file(name, b"data") })
        });
        let mut bytes = raw.bytes();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let base = dir.path().join("base");
        fs::create_dir(&base).unwrap();
        let zip = dir.path().join("a.zip");
        fs::write(&zip, bytes).unwrap();
        let _ = unpack(&zip, &base.join("dest"), &Limits::DEFAULT);
        let mut around: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        around.sort();
        prop_assert_eq!(around, ["a.zip", "base"]);
        prop_assert!(fs::read_dir(&base).unwrap().all(|e| e.unwrap().file_name() == "dest"));
    }
}
