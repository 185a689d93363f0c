//! Projects: CreateProject, UpdateProject, DeleteProject, BatchGetProjects, ListProjects, InvalidateProjectCache.

use towpath_model::ids::Scope;
use towpath_store::{DocumentsExt as _, Expect, Scan, Versioned};
use towpath_wire::WireError;
use towpath_wire::codebuild::{
    BatchGetProjectsInput, BatchGetProjectsOutput, CreateProjectInput, CreateProjectOutput, DeleteProjectInput,
    DeleteProjectOutput, EnvironmentVariable, InvalidateProjectCacheInput, InvalidateProjectCacheOutput,
    ListProjectsInput, ListProjectsOutput, Project, ProjectArtifacts, ProjectBadge, ProjectBuildBatchConfig,
    ProjectCache, ProjectEnvironment, UpdateProjectInput, UpdateProjectOutput, VpcConfig, artifacts_type, cache_type,
    environment_variable_type, image_pull_credentials_type, project_sort_by_type, sort_order_type,
};

use super::errors::{exists, invalid, not_found, store};
use super::names::{PROJECTS, partition, project_arn, project_key, strip_arn};
use super::page::{self, PAGE_ITEMS};
use super::phases::wire_time;
use super::records::{FORMAT, ProjectRecord};
use super::{CodeBuild, check};
use crate::call::Call;
use crate::identity::policy::Context;
use crate::identity::{CODEBUILD_PRINCIPAL, CODEPIPELINE_PRINCIPAL};

const TIMEOUT_MINUTES: i32 = 60;
const QUEUED_TIMEOUT_MINUTES: i32 = 480;
const NAME_CHARS_MAX: usize = 150;
const PROJECTS_MAX: usize = 5_000;
const SCAN_PAGE: usize = 500;
const ATTEMPTS_MAX: usize = 16;

impl CodeBuild {
    pub(super) async fn create_project(
        &self,
        call: &Call,
        input: CreateProjectInput,
    ) -> Result<CreateProjectOutput, WireError> {
        let (scope, name) = (&call.scope, input.name.clone());
        let tags = tag_context(input.tags.as_deref());
        self.may(call, "CreateProject", &project_arn(scope, &name), tags).await?;
        if name.len() < 2 || name.len() > NAME_CHARS_MAX {
            return Err(invalid(format!(
                "Invalid project name: {name}. It must have 2 to {NAME_CHARS_MAX} characters"
            )));
        }
        let now = wire_time(self.ambient.now());
        let mut project = Project {
            arn: Some(project_arn(scope, &name)),
            artifacts: Some(input.artifacts),
            auto_retry_limit: input.auto_retry_limit,
            badge: Some(ProjectBadge {
                badge_enabled: Some(input.badge_enabled.unwrap_or(false)),
                badge_request_url: None,
            }),
            build_batch_config: input.build_batch_config,
            cache: input.cache,
            concurrent_build_limit: input.concurrent_build_limit.filter(|limit| *limit > 0),
            created: Some(now),
            description: input.description,
            encryption_key: input.encryption_key,
            environment: Some(input.environment),
            file_system_locations: input.file_system_locations.filter(|list| !list.is_empty()),
            last_modified: Some(now),
            logs_config: input.logs_config,
            name: Some(name.clone()),
            project_visibility: Some("PRIVATE".to_owned()),
            queued_timeout_in_minutes: input.queued_timeout_in_minutes,
            secondary_artifacts: input.secondary_artifacts,
            secondary_source_versions: input.secondary_source_versions,
            secondary_sources: input.secondary_sources,
            service_role: Some(input.service_role),
            source: Some(input.source),
            source_version: input.source_version,
            tags: input.tags,
            timeout_in_minutes: input.timeout_in_minutes,
            vpc_config: input.vpc_config,
            ..Project::default()
        };
        complete(&mut project, scope);
        check::project(&project)?;
        self.check_role(call, &project, &project_arn(scope, &name)).await?;
        let of_codepipeline = super::is_codepipeline(&call.principal);
        let record = ProjectRecord { format: FORMAT, project, builds: 0, of_codepipeline };
        match self.documents.put_json(project_key(scope, &name), &record, Expect::Absent).await {
            Ok(_) => Ok(CreateProjectOutput { project: Some(record.project) }),
            Err(error) if error.is_conflict() => {
                Err(exists(format!("Project already exists: {}", project_arn(scope, &name))))
            }
            Err(error) => Err(store(error)),
        }
    }

    pub(super) async fn update_project(
        &self,
        call: &Call,
        input: UpdateProjectInput,
    ) -> Result<UpdateProjectOutput, WireError> {
        let scope = &call.scope;
        let name = project_name(scope, &input.name)?.to_owned();
        let arn = project_arn(scope, &name);
        self.may(call, "UpdateProject", &arn, tag_context(input.tags.as_deref())).await?;
        for _ in 0..ATTEMPTS_MAX {
            let Versioned { value: mut record, version } = self.project(scope, &name).await?;
            super::belongs(call, &name, record.of_codepipeline)?;
            let role_before = record.project.service_role.clone();
            apply(&mut record.project, input.clone());
            record.project.last_modified = Some(wire_time(self.ambient.now()));
            complete(&mut record.project, scope);
            check::project(&record.project)?;
            if record.project.service_role != role_before {
                self.check_role(call, &record.project, &arn).await?;
            }
            match self.documents.put_json(project_key(scope, &name), &record, Expect::Version(version)).await {
                Ok(_) => return Ok(UpdateProjectOutput { project: Some(record.project) }),
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(store(error)),
            }
        }
        Err(invalid(format!("Project {name} is being changed by others. Try again.")))
    }

    /// Builds stay. Deleting what is not there is no error.
    pub(super) async fn delete_project(
        &self,
        call: &Call,
        input: DeleteProjectInput,
    ) -> Result<DeleteProjectOutput, WireError> {
        let scope = &call.scope;
        let name = project_name(scope, &input.name)?;
        self.may(call, "DeleteProject", &project_arn(scope, name), Context::new()).await?;
        self.documents.delete(project_key(scope, name), Expect::Any).await.map_err(store)?;
        self.drop_cache(scope, name).await;
        Ok(DeleteProjectOutput {})
    }

    pub(super) async fn batch_get_projects(
        &self,
        call: &Call,
        input: BatchGetProjectsInput,
    ) -> Result<BatchGetProjectsOutput, WireError> {
        let (mut projects, mut missing): (Vec<Project>, Vec<String>) = (Vec::new(), Vec::new());
        for asked in input.names {
            let Some(name) = strip_arn(&call.scope, &asked, "project/") else {
                missing.push(asked);
                continue;
            };
            self.may(call, "BatchGetProjects", &project_arn(&call.scope, name), Context::new()).await?;
            match self.find_project(&call.scope, name).await? {
                Some(found) if projects.iter().any(|known| known.name == found.value.project.name) => {}
                Some(found) => projects.push(found.value.project),
                None => missing.push(asked),
            }
        }
        Ok(BatchGetProjectsOutput { projects: Some(projects), projects_not_found: Some(missing) })
    }

    pub(super) async fn list_projects(
        &self,
        call: &Call,
        input: ListProjectsInput,
    ) -> Result<ListProjectsOutput, WireError> {
        self.may(call, "ListProjects", "*", Context::new()).await?;
        let mut projects = Vec::new();
        let mut after: Option<String> = None;
        while projects.len() < PROJECTS_MAX {
            let scan =
                after.as_ref().map_or_else(Scan::all, |after| Scan::all().after(after.as_str())).limit(SCAN_PAGE);
            let found = self.documents.scan_json::<ProjectRecord>(PROJECTS, &partition(&call.scope), scan).await;
            let found = found.map_err(store)?;
            let last = found.len() < SCAN_PAGE;
            after = found.last().map(|(name, _)| name.clone());
            projects.extend(found.into_iter().map(|(name, record)| {
                let project = record.value.project;
                let time = match input.sort_by.as_deref() {
                    Some(project_sort_by_type::CREATED_TIME) => project.created,
                    Some(project_sort_by_type::LAST_MODIFIED_TIME) => project.last_modified,
                    _ => None,
                };
                (time, name)
            }));
            if last {
                break;
            }
        }
        projects.sort();
        if input.sort_order.as_deref() == Some(sort_order_type::DESCENDING) {
            projects.reverse();
        }
        let (projects, next_token) =
            page::of(projects, |(_, name)| name.clone(), input.next_token.as_deref(), PAGE_ITEMS)?;
        Ok(ListProjectsOutput { next_token, projects: Some(projects.into_iter().map(|(_, name)| name).collect()) })
    }

    pub(super) async fn invalidate_project_cache(
        &self,
        call: &Call,
        input: InvalidateProjectCacheInput,
    ) -> Result<InvalidateProjectCacheOutput, WireError> {
        let name = project_name(&call.scope, &input.project_name)?;
        self.may(call, "InvalidateProjectCache", &project_arn(&call.scope, name), Context::new()).await?;
        self.project(&call.scope, name).await?;
        self.drop_cache(&call.scope, name).await;
        Ok(InvalidateProjectCacheOutput {})
    }

    pub(super) async fn find_project(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Option<Versioned<ProjectRecord>>, WireError> {
        self.documents.get_json(PROJECTS, &partition(scope), name).await.map_err(store)
    }

    /// A project that must be there.
    pub(super) async fn project(&self, scope: &Scope, name: &str) -> Result<Versioned<ProjectRecord>, WireError> {
        let found = self.find_project(scope, name).await?;
        found.ok_or_else(|| not_found(format!("Project cannot be found: {}", project_arn(scope, name))))
    }

    /// The caller may pass the service role, and CodeBuild may assume it.
    pub(super) async fn check_role(&self, call: &Call, project: &Project, project_arn: &str) -> Result<(), WireError> {
        let role = role_arn(&call.scope, project.service_role.as_deref().unwrap_or_default());
        let account = role.split(':').nth(4).unwrap_or_default();
        if account != call.scope.account {
            return Err(invalid("Invalid service role: Service role account ID does not match caller's account"));
        }
        // CodePipeline was handed the role with the pipeline, and assumes it itself.
        let (who, service) = if super::is_codepipeline(&call.principal) {
            ("CodePipeline", CODEPIPELINE_PRINCIPAL)
        } else {
            let passed =
                self.identity.authorize_pass_role(&call.principal, &role, CODEBUILD_PRINCIPAL, call.context()).await;
            passed.map_err(super::refused)?;
            ("CodeBuild", CODEBUILD_PRINCIPAL)
        };
        let context = acting_for(&call.scope, project_arn);
        self.identity.test_assume(service, &role, context).await.map_err(|error| {
            if error.status >= 500 {
                return error;
            }
            invalid(format!("{who} is not authorized to perform: sts:AssumeRole on {role}"))
        })
    }

    async fn drop_cache(&self, scope: &Scope, project: &str) {
        let directory = self.cache_dir(scope, project);
        // A build that is using it keeps its links; what cannot be removed now is replaced by the next build.
        if let Err(error) = tokio::fs::remove_dir_all(&directory).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %directory.display(), "a build cache could not be removed");
        }
    }
}

/// The condition keys that CodeBuild offers when it assumes a role for a project or a build.
pub(super) fn acting_for(scope: &Scope, resource_arn: &str) -> Context {
    Context::new().with("aws:SourceArn", resource_arn).with("aws:SourceAccount", scope.account.as_str())
}

/// A service role may be given by its bare name.
pub(super) fn role_arn(scope: &Scope, role: &str) -> String {
    if role.starts_with("arn:") {
        return role.to_owned();
    }
    format!("arn:aws:iam::{}:role/{}", scope.account, role.trim_start_matches('/'))
}

fn project_name<'a>(scope: &Scope, text: &'a str) -> Result<&'a str, WireError> {
    strip_arn(scope, text, "project/").ok_or_else(|| invalid(format!("Invalid project ARN: {text}")))
}

fn tag_context(tags: Option<&[towpath_wire::codebuild::Tag]>) -> Context {
    let mut context = Context::new();
    let tags = tags.unwrap_or_default();
    for tag in tags {
        if let (Some(key), Some(value)) = (&tag.key, &tag.value) {
            context.set(&format!("aws:RequestTag/{key}"), value.as_str());
        }
    }
    if tags.is_empty() {
        return context;
    }
    context.with_many("aws:TagKeys", tags.iter().filter_map(|tag| tag.key.clone()).collect())
}

/// Absent members stay; a structure that is given replaces the whole; an empty one clears where AWS has it so.
fn apply(project: &mut Project, input: UpdateProjectInput) {
    fn replace<T>(member: &mut Option<T>, given: Option<T>) {
        if given.is_some() {
            *member = given;
        }
    }
    replace(&mut project.artifacts, input.artifacts);
    replace(&mut project.auto_retry_limit, input.auto_retry_limit);
    if let Some(enabled) = input.badge_enabled {
        project.badge = Some(ProjectBadge { badge_enabled: Some(enabled), badge_request_url: None });
    }
    if let Some(config) = input.build_batch_config {
        project.build_batch_config = (config != ProjectBuildBatchConfig::default()).then_some(config);
    }
    replace(&mut project.cache, input.cache);
    if let Some(limit) = input.concurrent_build_limit {
        project.concurrent_build_limit = (limit > 0).then_some(limit);
    }
    replace(&mut project.description, input.description);
    replace(&mut project.encryption_key, input.encryption_key);
    replace(&mut project.environment, input.environment);
    if let Some(locations) = input.file_system_locations {
        project.file_system_locations = (!locations.is_empty()).then_some(locations);
    }
    replace(&mut project.logs_config, input.logs_config);
    replace(&mut project.queued_timeout_in_minutes, input.queued_timeout_in_minutes);
    replace(&mut project.secondary_artifacts, input.secondary_artifacts);
    replace(&mut project.secondary_source_versions, input.secondary_source_versions);
    replace(&mut project.secondary_sources, input.secondary_sources);
    replace(&mut project.service_role, input.service_role);
    replace(&mut project.source, input.source);
    replace(&mut project.source_version, input.source_version);
    replace(&mut project.tags, input.tags);
    replace(&mut project.timeout_in_minutes, input.timeout_in_minutes);
    if let Some(vpc) = input.vpc_config {
        project.vpc_config = (vpc != VpcConfig::default()).then_some(vpc);
    }
}

/// Fills in what CodeBuild answers for members that were not given.
pub(super) fn complete(project: &mut Project, scope: &Scope) {
    let name = project.name.clone().unwrap_or_default();
    project.timeout_in_minutes.get_or_insert(TIMEOUT_MINUTES);
    project.queued_timeout_in_minutes.get_or_insert(QUEUED_TIMEOUT_MINUTES);
    project.encryption_key.get_or_insert_with(|| default_key(scope));
    project.secondary_sources.get_or_insert_default();
    project.secondary_artifacts.get_or_insert_default();
    project.secondary_source_versions.get_or_insert_default();
    project.tags.get_or_insert_default();
    let cache = || ProjectCache { r#type: cache_type::NO_CACHE.to_owned(), ..ProjectCache::default() };
    project.cache.get_or_insert_with(cache);
    if let Some(source) = &mut project.source {
        source.insecure_ssl.get_or_insert(false);
    }
    if let Some(environment) = &mut project.environment {
        complete_environment(environment);
    }
    for artifacts in project.artifacts.iter_mut().chain(project.secondary_artifacts.iter_mut().flatten()) {
        complete_artifacts(artifacts, &name);
    }
}

pub(super) fn default_key(scope: &Scope) -> String {
    format!("arn:aws:kms:{}:{}:alias/aws/s3", scope.region, scope.account)
}

pub(super) fn complete_environment(environment: &mut ProjectEnvironment) {
    environment.privileged_mode.get_or_insert(false);
    let pull = || image_pull_credentials_type::CODEBUILD.to_owned();
    environment.image_pull_credentials_type.get_or_insert_with(pull);
    for variable in environment.environment_variables.get_or_insert_default() {
        complete_variable(variable);
    }
}

pub(super) fn complete_variable(variable: &mut EnvironmentVariable) {
    variable.r#type.get_or_insert_with(|| environment_variable_type::PLAINTEXT.to_owned());
}

pub(super) fn complete_artifacts(artifacts: &mut ProjectArtifacts, project: &str) {
    let empty = |text: &Option<String>| text.as_deref().is_none_or(str::is_empty);
    match artifacts.r#type.as_str() {
        artifacts_type::CODEPIPELINE => {
            artifacts.name = Some(project.to_owned());
            artifacts.packaging = Some("NONE".to_owned());
            artifacts.encryption_disabled.get_or_insert(false);
            artifacts.namespace_type = None;
            artifacts.location = None;
        }
        artifacts_type::S3 => {
            if empty(&artifacts.name) {
                artifacts.name = Some(project.to_owned());
            }
            artifacts.packaging.get_or_insert_with(|| "NONE".to_owned());
            artifacts.namespace_type.get_or_insert_with(|| "NONE".to_owned());
            artifacts.encryption_disabled.get_or_insert(false);
        }
        _ => {}
    }
}
