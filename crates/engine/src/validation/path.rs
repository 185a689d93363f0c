//! Where in a declaration something is, in a form that both a file position and AWS's own spelling can be made from.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathSegment {
    Key(String),
    /// From 0.
    Index(usize),
}

/// AWS's spelling of a path: `pipeline.stages.1.member.name`.
pub fn spell(path: &[PathSegment]) -> String {
    let mut text = String::from("pipeline");
    for segment in path {
        match segment {
            PathSegment::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            PathSegment::Index(index) => {
                text.push('.');
                text.push_str(&(index + 1).to_string());
                text.push_str(".member");
            }
        }
    }
    text
}

/// A path while the rules walk inwards.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path(pub Vec<PathSegment>);

impl Path {
    pub fn root() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut inner = self.clone();
        inner.0.push(PathSegment::Key(key.to_owned()));
        inner
    }

    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut inner = self.clone();
        inner.0.push(PathSegment::Index(index));
        inner
    }

    pub fn stage(index: usize) -> Self {
        Self::root().key("stages").index(index)
    }

    pub fn action(stage: usize, action: usize) -> Self {
        Self::stage(stage).key("actions").index(action)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spell(&self.0))
    }
}
