//! UPLOAD_ARTIFACTS: what the runner found goes to S3 under the service role, reports are kept, and the build is over.
//! Repeated after a crash it writes the same objects under the same keys again.

use std::path::Path;

use md5::Md5;
use sha2::{Digest as _, Sha256};
use towpath_artifacts::{Item, pack};
use towpath_builds::BuildsError;
use towpath_builds::status::{Collected, CollectedArtifact};
use towpath_wire::codebuild::{BuildArtifacts, PhaseContext};

use super::super::phases::{begin, complete, context, end, succeed};
use super::super::plan::{self, Target};
use super::super::projects::role_arn;
use super::super::records::{BuildRecord, Stage};
use super::files::Files;
use super::prepare::{REVISION_METADATA, adopt};
use super::{Loaded, Next, StepError, Worker};
use crate::identity::Principal;

const HASH_BUFFER: usize = 256 * 1024;

/// What became of one artifact, or the message of a CLIENT_ERROR.
type Uploaded = Result<BuildArtifacts, String>;

impl Worker {
    pub(super) async fn upload(&mut self, mut loaded: Loaded) -> Result<Next, StepError> {
        let files = self.files();
        let handle = match adopt(&files) {
            Err(BuildsError::NoRequest { .. }) => {
                return self.fault(&mut loaded, "The build's files are gone from the data directory.").await;
            }
            adopted => adopted?,
        };
        let status = handle.status()?;
        let collected = handle.collected()?;
        let found =
            status.phases.last().filter(|phase| phase.phase_type == towpath_builds::status::PhaseType::UploadArtifacts);
        let missing = found.and_then(|phase| phase.contexts.first()).filter(|context| !context.status_code.is_empty());
        let missing = missing.map(|found| context(&found.status_code, &found.message));

        let role = role_arn(&self.scope, loaded.record.build.service_role.as_deref().unwrap_or_default());
        let problem = match self.assume(&loaded.record, &role).await {
            Err(error) if error.status >= 500 => return Err(error.into()),
            Err(error) => Some(context("CLIENT_ERROR", &format!("Failed to upload artifacts: {}", error.message))),
            Ok(session) => {
                loaded.record.build.report_arns =
                    self.keep_reports(&loaded.record, &collected, &session.principal).await?;
                match missing {
                    Some(missing) => Some(missing),
                    None => self.upload_all(&mut loaded.record, &collected, &session.principal, &files).await?,
                }
            }
        };
        self.close(loaded, problem, status.outcome == Some(towpath_builds::Outcome::Succeeded), &files).await
    }

    /// Ends the phase and the build.
    async fn close(
        &mut self,
        mut loaded: Loaded,
        problem: Option<PhaseContext>,
        succeeded: bool,
        files: &Files,
    ) -> Result<Next, StepError> {
        let now = self.service.ambient.now();
        let state = if problem.is_some() { "FAILED" } else { "SUCCEEDED" };
        let (code, message) = match &problem {
            Some(problem) => {
                (problem.status_code.clone().unwrap_or_default(), problem.message.clone().unwrap_or_default())
            }
            None => Default::default(),
        };
        files.say(now, &format!("Phase complete: UPLOAD_ARTIFACTS State: {state}"))?;
        files.say(now, &format!("Phase context status code: {code} Message: {message}"))?;
        let build = &mut loaded.record.build;
        let open = build.phases.as_ref().and_then(|phases| phases.last()).is_some_and(|phase| phase.end_time.is_none());
        if open {
            end(build, state, Some(vec![context(&code, &message)]), now);
        }
        begin(build, "FINALIZING", now);
        succeed(build, now);
        complete(build, if succeeded && problem.is_none() { "SUCCEEDED" } else { "FAILED" }, now);
        loaded.record.stage = Stage::Cleaning;
        self.save(&mut loaded).await?;
        Ok(Next::Again)
    }

    /// Uploads every artifact that was found; the first that fails ends the phase.
    async fn upload_all(
        &self,
        record: &mut BuildRecord,
        collected: &Collected,
        role: &Principal,
        files: &Files,
    ) -> Result<Option<PhaseContext>, StepError> {
        let secondary = plan::secondary_targets(&record.effective);
        let targets: Vec<Target> = plan::primary_target(&record.effective).into_iter().chain(secondary).collect();
        for (index, artifact) in collected.artifacts.iter().enumerate() {
            let Some(target) = targets.iter().find(|target| target.identifier == artifact.identifier) else { continue };
            let uploaded = if target.zip {
                self.upload_zip(record, artifact, target, role, &files.package(index)).await?
            } else {
                self.upload_folder(record, artifact, target, role).await?
            };
            let shown = match uploaded {
                Ok(shown) => shown,
                Err(why) => return Ok(Some(context("CLIENT_ERROR", &format!("Failed to upload artifacts: {why}")))),
            };
            let build = &mut record.build;
            match &target.identifier {
                None => build.artifacts = Some(shown),
                Some(identifier) => {
                    for known in build.secondary_artifacts.iter_mut().flatten() {
                        if known.artifact_identifier.as_ref() == Some(identifier) {
                            *known = shown.clone();
                        }
                    }
                }
            }
        }
        Ok(None)
    }

    async fn upload_zip(
        &self,
        record: &BuildRecord,
        artifact: &CollectedArtifact,
        target: &Target,
        role: &Principal,
        package: &Path,
    ) -> Result<Uploaded, StepError> {
        let items: Vec<Item> =
            artifact.files.iter().map(|file| Item { name: file.path.clone(), path: file.source.clone() }).collect();
        let out = package.to_owned();
        let packed = tokio::task::spawn_blocking(move || {
            // The runner has checked that every file lies in a directory of the build; links are stored as links only
            // where the buildspec asked for them.
            if let Err(error) = pack(Path::new("/"), items, &out) {
                return Ok(Err(super::prepare::chain(&error)));
            }
            hashes(&out).map(Ok)
        })
        .await??;
        let (md5, sha256) = match packed {
            Ok(hashes) => hashes,
            Err(why) => return Ok(Err(why)),
        };
        let key = target.key(record.uuid(), artifact.name.as_deref(), artifact.s3_prefix.as_deref());
        let mut metadata = metadata(record);
        metadata.push(("codebuild-content-md5".to_owned(), md5.clone()));
        metadata.push(("codebuild-content-sha256".to_owned(), sha256.clone()));
        let written = self.service.objects.write(role, &target.bucket, &key, package, metadata).await;
        if let Err(error) = written {
            return if error.code == "InternalError" { Err(unavailable(&error)) } else { Ok(Err(error.to_string())) };
        }
        tokio::fs::remove_file(package).await?;
        Ok(Ok(BuildArtifacts {
            artifact_identifier: target.identifier.clone(),
            encryption_disabled: Some(false),
            location: Some(target.arn(&key)),
            md5sum: Some(md5),
            sha256sum: Some(sha256),
            ..BuildArtifacts::default()
        }))
    }

    async fn upload_folder(
        &self,
        record: &BuildRecord,
        artifact: &CollectedArtifact,
        target: &Target,
        role: &Principal,
    ) -> Result<Uploaded, StepError> {
        let folder = target.key(record.uuid(), artifact.name.as_deref(), artifact.s3_prefix.as_deref());
        for file in &artifact.files {
            let key = if folder.is_empty() { file.path.clone() } else { format!("{folder}/{}", file.path) };
            let written = self.service.objects.write(role, &target.bucket, &key, &file.source, metadata(record)).await;
            if let Err(error) = written {
                return if error.code == "InternalError" {
                    Err(unavailable(&error))
                } else {
                    Ok(Err(error.to_string()))
                };
            }
        }
        Ok(Ok(BuildArtifacts {
            artifact_identifier: target.identifier.clone(),
            encryption_disabled: Some(false),
            location: Some(target.arn(&folder)),
            md5sum: Some(String::new()),
            sha256sum: Some(String::new()),
            ..BuildArtifacts::default()
        }))
    }
}

fn unavailable(error: &super::super::objects::ObjectError) -> StepError {
    StepError::Files(std::io::Error::other(error.to_string()))
}

fn metadata(record: &BuildRecord) -> Vec<(String, String)> {
    let arn = record.build.arn.clone().unwrap_or_default();
    let mut metadata = vec![("codebuild-buildarn".to_owned(), arn)];
    metadata.extend(record.revision.iter().map(|revision| (REVISION_METADATA.to_owned(), revision.clone())));
    metadata
}

/// MD5 and SHA-256 of a file, in hex.
fn hashes(path: &Path) -> std::io::Result<(String, String)> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path)?;
    let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
    let mut buffer = vec![0; HASH_BUFFER];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hex::encode(md5.finalize()), hex::encode(sha256.finalize())));
        }
        md5.update(&buffer[..read]);
        sha256.update(&buffer[..read]);
    }
}
