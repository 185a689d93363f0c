//! The root user's access key and the credentials file a person finds it in. Written once, never rotated.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use towpath_model::secret::Secret;
use towpath_store::{Documents, DocumentsExt as _, Expect, Key};

use super::{AccessKey, IdentityError};
use crate::ambient::Ambient;

const FILE: &str = "credentials";
/// More than any credentials file of ours; what is larger is not read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
pub(super) const KEY_ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
pub(super) const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[derive(Serialize, Deserialize)]
struct RootRecord {
    access_key: String,
    secret: Secret,
}

/// The root user's key: from the documents; else from a credentials file that is already there; else a new one. The file
/// is written if it is missing.
pub(super) async fn ensure_root(
    data_dir: &Path,
    documents: &dyn Documents,
    ambient: &Ambient,
) -> Result<AccessKey, IdentityError> {
    let path = data_dir.join(FILE);
    let in_file = read_file(&path)?;
    let store = |attempted| move |source| IdentityError::Store { attempted, source };

    let key = Key::new("identity", "server", "root");
    let known = documents
        .get_json::<RootRecord>(&key.collection, &key.partition, &key.key)
        .await
        .map_err(store("read the root user's access key"))?;
    let root = match (known, &in_file) {
        (Some(record), _) => AccessKey { id: record.value.access_key, secret: record.value.secret },
        (None, found) => {
            let fresh = found.clone().unwrap_or_else(|| generate(ambient));
            let record = RootRecord { access_key: fresh.id.clone(), secret: fresh.secret.clone() };
            match documents.put_json(key, &record, Expect::Absent).await {
                Ok(_) => fresh,
                // Another node was first; its key is the account's.
                Err(error) if error.is_conflict() => {
                    let record = documents
                        .get_json::<RootRecord>("identity", "server", "root")
                        .await
                        .map_err(store("read the root user's access key"))?;
                    record
                        .map_or(fresh, |record| AccessKey { id: record.value.access_key, secret: record.value.secret })
                }
                Err(source) => return Err(store("keep the root user's access key")(source)),
            }
        }
    };
    match in_file {
        Some(found) if found.id == root.id => {}
        Some(found) => return Err(IdentityError::ForeignCredentials { path, found: found.id, expected: root.id }),
        None => write_file(&path, &path.with_extension(ambient.uuid()), &root)?,
    }
    Ok(root)
}

fn generate(ambient: &Ambient) -> AccessKey {
    AccessKey {
        id: format!("AKIA{}", ambient.text(KEY_ID_ALPHABET, 16)),
        secret: Secret::new(ambient.text(SECRET_ALPHABET, 40)),
    }
}

/// The `default` profile of an AWS shared-credentials file; `None` when there is no file.
fn read_file(path: &Path) -> Result<Option<AccessKey>, IdentityError> {
    let error = |source| IdentityError::File { attempted: "read the credentials file", path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
            return Err(IdentityError::UnreadableCredentials { path: path.to_owned() });
        }
        Ok(_) => {}
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    }
    let text = fs::read_to_string(path).map_err(error)?;
    let (mut in_default, mut id, mut secret) = (false, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(profile) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            in_default = profile.trim() == "default";
        } else if in_default && let Some((name, value)) = line.split_once('=') {
            match name.trim() {
                "aws_access_key_id" => id = Some(value.trim().to_owned()),
                "aws_secret_access_key" => secret = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    match (id, secret) {
        (Some(id), Some(secret)) if !id.is_empty() && !secret.is_empty() => {
            Ok(Some(AccessKey { id, secret: Secret::new(secret) }))
        }
        _ => Err(IdentityError::UnreadableCredentials { path: path.to_owned() }),
    }
}

/// Writes beside, syncs and renames, so that a half-written file is never found; readable by its owner only from the
/// first byte on. The name beside is nobody else's: nodes that start together may write the same file.
fn write_file(path: &Path, temporary: &Path, key: &AccessKey) -> Result<(), IdentityError> {
    let error = |source| IdentityError::File { attempted: "write the credentials file", path: path.to_owned(), source };
    let text = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", key.id, key.secret.expose());
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(temporary).map_err(error)?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(error)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(error)?;
    fs::rename(temporary, path).map_err(error)?;
    let directory = path.parent().map(fs::File::open).transpose().map_err(error)?;
    directory.map_or(Ok(()), |directory| directory.sync_all()).map_err(error)
}
