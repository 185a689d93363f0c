//! A commit as git stores it: who, when, why, and of what.

use crate::command::{self, GitError, git_in};
use std::path::Path;

const DOING: &str = "cat-file";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    pub id: String,
    pub tree: String,
    pub parents: Vec<String>,
    pub author: Person,
    pub committer: Person,
    pub message: String,
}

/// Somebody who did something at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Person {
    pub name: String,
    pub email: String,
    /// Epoch seconds.
    pub seconds: i64,
    /// As in `+0100`.
    pub offset: String,
}

impl Person {
    /// `NAME <EMAIL> SECONDS OFFSET`.
    fn read(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('<')?;
        let (email, when) = rest.rsplit_once('>')?;
        let (seconds, offset) = when.trim().split_once(' ')?;
        Some(Self {
            name: name.trim().to_owned(),
            email: email.to_owned(),
            seconds: seconds.parse().ok()?,
            offset: offset.to_owned(),
        })
    }
}

impl Commit {
    /// Reads the body of a commit object. Text that is not UTF-8 is made readable, not refused.
    fn read(id: &str, body: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(body);
        let (head, message) = text.split_once("\n\n").unwrap_or((&text, ""));
        let headers = || head.lines().filter_map(|line| line.split_once(' '));
        let one = |wanted: &str| headers().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        Some(Self {
            id: id.to_owned(),
            tree: one("tree")?.to_owned(),
            parents: headers().filter(|(name, _)| *name == "parent").map(|(_, value)| value.to_owned()).collect(),
            author: Person::read(one("author")?).unwrap_or_default(),
            committer: Person::read(one("committer")?).unwrap_or_default(),
            message: message.to_owned(),
        })
    }
}

/// The commit of this id in a repository; None if there is none.
pub async fn find(repository: &Path, id: &str) -> Result<Option<Commit>, GitError> {
    if !command::is_object_id(id) {
        return Ok(None);
    }
    let mut batch = git_in(repository);
    batch.args(["cat-file", "--batch"]);
    let out = command::tell(batch, DOING, format!("{id}\n").as_bytes()).await?;
    let unreadable = || GitError::Unreadable { doing: DOING };
    let end = out.iter().position(|b| *b == b'\n').ok_or_else(unreadable)?;
    let head = String::from_utf8_lossy(&out[..end]);
    let mut words = head.split(' ').skip(1);
    if words.next() != Some("commit") {
        return Ok(None);
    }
    let size: usize = words.next().and_then(|size| size.parse().ok()).ok_or_else(unreadable)?;
    let body = out.get(end + 1..end + 1 + size).ok_or_else(unreadable)?;
    Commit::read(&id.to_ascii_lowercase(), body).map(Some).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_with_all_its_headers() {
        let body = b"tree 1111\nparent 2222\nparent 3333\nauthor Jo <Q> Doe <jo@example.org> 1484167798 -0800\n\
            committer A \xff <> 5 +0000\ngpgsig -----BEGIN\n author Fake <x> 1 +0000\n -----END\n\nSubject\n\nBody\n";
        let commit = Commit::read("abcd", body).expect("a commit");
        assert_eq!(
            (commit.tree.as_str(), commit.parents.as_slice()),
            ("1111", &["2222".to_owned(), "3333".to_owned()][..])
        );
        assert_eq!(
            commit.author,
            Person {
                name: "Jo".into(),
                email: "Q> Doe <jo@example.org".into(),
                seconds: 1_484_167_798,
                offset: "-0800".into()
            }
        );
        assert_eq!((commit.committer.seconds, commit.committer.email.as_str()), (5, ""));
        assert_eq!(commit.message, "Subject\n\nBody\n");
    }
}
