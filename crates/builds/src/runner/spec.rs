//! Getting the buildspec: inline, or a file of the source. Its errors are contexts of DOWNLOAD_SOURCE. Must not follow
//! a link out of the source.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use crate::buildspec::{Buildspec, parse};
use crate::limits::BUILDSPEC_BYTES_MAX;
use crate::request::{BuildRequest, BuildspecSource};
use crate::status::Context;

const CODE: &str = "YAML_FILE_ERROR";

/// The buildspec's text, or the context of the failed phase. `shown_source` is CODEBUILD_SRC_DIR.
pub(crate) fn text(request: &BuildRequest, shown_source: &Path) -> Result<String, Context> {
    let (path, missing) = match &request.buildspec {
        BuildspecSource::Inline(text) => return Ok(text.clone()),
        BuildspecSource::Default => ("buildspec.yml", "YAML file does not exist".to_owned()),
        BuildspecSource::Path(path) => {
            (path.as_str(), format!("stat {}: no such file or directory", shown_source.join(path).display()))
        }
    };
    let missing = || Context::new(CODE, missing.clone());
    if !Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(missing());
    }
    let root = request.primary_source.canonicalize().map_err(|_| missing())?;
    let real = root.join(path).canonicalize().map_err(|_| missing())?;
    if !real.starts_with(&root) || !real.is_file() {
        return Err(missing());
    }
    let mut bytes = Vec::new();
    let read = File::open(&real).and_then(|file| file.take(BUILDSPEC_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(Context::new(CODE, format!("cannot read {}: {error}", shown_source.join(path).display())));
    }
    String::from_utf8(bytes).map_err(|_| Context::new(CODE, "yaml: invalid leading UTF-8 octet"))
}

/// Where the log says it was found.
pub(crate) fn location(request: &BuildRequest, shown_source: &Path) -> String {
    match &request.buildspec {
        BuildspecSource::Inline(_) => "/codebuild/readonly/buildspec.yml".to_owned(),
        BuildspecSource::Path(path) => shown_source.join(path).display().to_string(),
        BuildspecSource::Default => shown_source.join("buildspec.yml").display().to_string(),
    }
}

pub(crate) fn read(text: &str) -> Result<Buildspec, Context> {
    parse(text).map(|parsed| parsed.buildspec).map_err(|error| Context::new(CODE, error.to_string()))
}
