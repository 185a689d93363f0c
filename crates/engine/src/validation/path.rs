//! Where in a declaration something is, in a form that both a file position and AWS's own spelling can be made from.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathSegment {
    Key(String),
    /// From 0.
    Index(usize),
}

/// From the declaration inwards. `Display` spells it as AWS does: `pipeline.stages.1.member.name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(pub Vec<PathSegment>);

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

    pub fn segments(&self) -> &[PathSegment] {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pipeline")?;
        for segment in &self.0 {
            match segment {
                PathSegment::Key(key) => write!(f, ".{key}")?,
                PathSegment::Index(index) => write!(f, ".{}.member", index + 1)?,
            }
        }
        Ok(())
    }
}
