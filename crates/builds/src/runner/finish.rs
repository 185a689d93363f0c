//! What remains to do when the last command has ended: values from the shell, the end of the sandbox, then the files.
//! Must not run anything of the buildspec.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::build::{Build, End, Running};
use super::script::Scripts;
use crate::buildspec::Buildspec;
use crate::collect::{Expanded, artifacts, cache, needs_shell, reports, say};
use crate::files::write_json;
use crate::limits::{EXPANDED_BYTES_MAX, EXPORTED_VARIABLES_MAX};
use crate::sandbox::layout::Layout;
use crate::sandbox::{Ending, quote};
use crate::status::{Collected, Context, Outcome, PhaseStatus};

/// What the shell says once all phases are over.
#[derive(Default)]
struct Last {
    expanded: Expanded,
    copies: BTreeMap<String, PathBuf>,
}

impl Build<'_> {
    /// Everything after the last command: values, then the end of the sandbox, then files.
    pub(super) fn collect(
        &mut self,
        spec: &Buildspec,
        running: &mut Running,
        scripts: &Scripts,
        variables: &BTreeMap<String, String>,
        outcome: Outcome,
    ) -> Result<Outcome, End> {
        let last = self.last_words(spec, running, scripts, outcome == Outcome::Succeeded)?;
        // Nothing of the build may be alive while its files are looked at.
        running.session.dismiss();
        running.sandbox.end(Ending::Done);
        running.session.drain(&mut self.log);
        let layout = running.sandbox.layout();
        let source = artifacts::Source { layout, expanded: &last.expanded, copies: &last.copies };
        let found =
            artifacts::collect(spec.artifacts.as_ref(), &self.request.artifacts, &source, &mut say(&mut self.log));
        let setting = |name: &str| variables.get(name).map(String::as_str);
        let discover = (setting("CODEBUILD_CONFIG_AUTO_DISCOVER") != Some("false"))
            .then(|| setting("CODEBUILD_CONFIG_AUTO_DISCOVER_DIR").unwrap_or("."));
        let reports = reports::collect(&spec.reports, &source, discover, &mut say(&mut self.log));
        let cache_dir = self.request.local_cache.as_deref();
        cache::save(spec.cache.as_ref(), cache_dir, layout, &last.expanded, &mut say(&mut self.log));
        let (artifacts, outcome, failed) = match found {
            Ok(artifacts) => (artifacts, outcome, None),
            Err(error) => (Vec::new(), Outcome::Failed, Some(Context::new("CLIENT_ERROR", error.to_string()))),
        };
        write_json(&self.dir.collected(), &Collected { artifacts, reports })?;
        self.status.upload_artifacts = true;
        match failed {
            None => self.close(PhaseStatus::Succeeded, vec![Context::default()]),
            Some(context) => self.close(PhaseStatus::Failed, vec![context]),
        }
        Ok(outcome)
    }

    /// Exported variables, texts only the shell can expand, and directories only the sandbox can see.
    fn last_words(
        &mut self,
        spec: &Buildspec,
        running: &mut Running,
        scripts: &Scripts,
        succeeding: bool,
    ) -> Result<Last, End> {
        let exported: Vec<String> = spec
            .env
            .exported_variables
            .iter()
            .filter(|name| !name.starts_with("AWS_"))
            .take(EXPORTED_VARIABLES_MAX)
            .cloned()
            .collect();
        let texts: Vec<String> = texts(spec).into_iter().filter(|text| needs_shell(text)).map(str::to_owned).collect();
        let mut last = Last::default();
        if !exported.is_empty() || !texts.is_empty() {
            scripts.values(&exported, &texts, succeeding)?;
            let shell = spec.env.shell.as_deref().unwrap_or("/bin/sh");
            running.session.command(shell, "-", &mut self.log, &mut self.interrupts)?;
            for (index, name) in exported.iter().enumerate() {
                let value = scripts.value("variable", index, EXPANDED_BYTES_MAX);
                self.status.exported_variables.extend(value.map(|value| (name.clone(), value)));
            }
            for (index, text) in texts.into_iter().enumerate() {
                if let Some(value) = scripts.value("text", index, EXPANDED_BYTES_MAX) {
                    last.expanded.0.insert(text, value.trim_end_matches('\n').to_owned());
                }
            }
        }
        for (index, base) in unseen(spec, &last.expanded, running.sandbox.layout()).into_iter().enumerate() {
            let name = format!("copy.{index}");
            let inside = running.sandbox.layout().scratch.join(&name);
            let inside = quote(&inside.to_string_lossy());
            scripts
                .internal(&format!("[ ! -d {0} ] || {{ mkdir -p {inside} && cp -a {0}/. {inside}; }}", quote(&base)))?;
            if running.session.command("/bin/sh", "-", &mut self.log, &mut self.interrupts)? == 0
                && let Ok(copy) = self.dir.scratch().join(name).canonicalize()
            {
                last.copies.insert(base, copy);
            }
        }
        if let Some(farewell) = running.sandbox.farewell() {
            scripts.internal(&farewell)?;
            running.session.command("/bin/sh", "-", &mut self.log, &mut self.interrupts)?;
        }
        Ok(last)
    }
}

/// Every value of the buildspec, commands aside, in which variables are expanded.
fn texts(spec: &Buildspec) -> BTreeSet<&str> {
    let artifacts = spec
        .artifacts
        .iter()
        .flat_map(|artifacts| artifacts.primary.iter().chain(artifacts.secondary.iter().map(|(_, spec)| spec)));
    let mut texts = BTreeSet::new();
    for artifact in artifacts {
        texts.extend(artifact.files.iter().chain(&artifact.exclude_paths).map(String::as_str));
        texts.extend(
            [&artifact.name, &artifact.base_directory, &artifact.s3_prefix].into_iter().flatten().map(String::as_str),
        );
    }
    for report in &spec.reports {
        texts.insert(&report.group);
        texts.extend(report.files.iter().chain(&report.base_directory).map(String::as_str));
    }
    texts.extend(spec.cache.iter().flat_map(|cache| &cache.paths).map(String::as_str));
    texts
}

/// Absolute base directories, without wildcards, that the host does not share.
fn unseen(spec: &Buildspec, expanded: &Expanded, layout: &Layout) -> BTreeSet<String> {
    let artifacts = spec
        .artifacts
        .iter()
        .flat_map(|artifacts| artifacts.primary.iter().chain(artifacts.secondary.iter().map(|(_, spec)| spec)));
    artifacts
        .filter_map(|artifact| artifact.base_directory.as_deref())
        .chain(spec.reports.iter().filter_map(|report| report.base_directory.as_deref()))
        .map(|base| expanded.of(base))
        .filter(|base| base.starts_with('/') && base.len() > 1 && !base.contains(['*', '?', '[', '{']))
        .filter(|base| layout.to_host(Path::new(base)).is_none())
        .map(str::to_owned)
        .collect()
}
