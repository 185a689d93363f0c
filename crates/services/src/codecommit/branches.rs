//! Branches and commits, as git has them.

use towpath_git::bare::is_branch_name;
use towpath_git::command::is_object_id;
use towpath_git::{Commit, Person};
use towpath_wire::WireError;
use towpath_wire::codecommit::{
    BranchInfo, Commit as WireCommit, CreateBranchInput, DeleteBranchInput, DeleteBranchOutput, GetBranchInput,
    GetBranchOutput, GetCommitInput, GetCommitOutput, ListBranchesInput, ListBranchesOutput, UserInfo,
};

use super::CodeCommit;
use super::errors::{bad_branch, git, no_branch, of};
use super::limits::PAGE;
use super::repositories::position;
use crate::call::Call;

impl CodeCommit {
    pub(super) async fn get_branch(&self, call: &Call, input: GetBranchInput) -> Result<GetBranchOutput, WireError> {
        let required = |value: Option<String>, code: &'static str, what: &str| {
            value.ok_or_else(|| of(code, format!("A {what} name is required.")))
        };
        let name = required(input.repository_name, "RepositoryNameRequiredException", "repository")?;
        self.may(call, &name).await?;
        let branch = required(input.branch_name, "BranchNameRequiredException", "branch")?;
        check_branch(&branch)?;
        let found = self.find(&call.scope, &name).await?;
        let commit = found.bare.branch(&branch).await.map_err(git)?.ok_or_else(|| no_branch(&branch))?;
        Ok(GetBranchOutput { branch: Some(BranchInfo { branch_name: Some(branch), commit_id: Some(commit) }) })
    }

    pub(super) async fn list_branches(
        &self,
        call: &Call,
        input: ListBranchesInput,
    ) -> Result<ListBranchesOutput, WireError> {
        self.may(call, &input.repository_name).await?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        let from = position(input.next_token.as_deref())?;
        let branches = found.bare.branches().await.map_err(git)?;
        let next = (branches.len() > from + PAGE).then(|| (from + PAGE).to_string());
        let names = branches.into_iter().map(|(name, _)| name).skip(from).take(PAGE).collect();
        Ok(ListBranchesOutput { branches: Some(names), next_token: next })
    }

    pub(super) async fn create_branch(&self, call: &Call, input: CreateBranchInput) -> Result<(), WireError> {
        self.may(call, &input.repository_name).await?;
        check_branch(&input.branch_name)?;
        check_commit_id(&input.commit_id)?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        if found.bare.commit(&input.commit_id).await.map_err(git)?.is_none() {
            let text = format!("Commit {} does not exist", input.commit_id);
            return Err(of("CommitDoesNotExistException", text));
        }
        if !found.bare.create_branch(&input.branch_name, &input.commit_id).await.map_err(git)? {
            let text = format!("Branch {} already exists", input.branch_name);
            return Err(of("BranchNameExistsException", text));
        }
        self.touch(&call.scope, &found.name).await;
        Ok(())
    }

    pub(super) async fn delete_branch(
        &self,
        call: &Call,
        input: DeleteBranchInput,
    ) -> Result<DeleteBranchOutput, WireError> {
        self.may(call, &input.repository_name).await?;
        let branch = input.branch_name;
        check_branch(&branch)?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        let (head, _) = found.bare.head().await.map_err(git)?;
        let Some(commit) = found.bare.branch(&branch).await.map_err(git)? else {
            return Ok(DeleteBranchOutput::default());
        };
        if head == branch {
            let text = format!("Branch {branch} is the default branch of the repository, which cannot be deleted.");
            return Err(of("DefaultBranchCannotBeDeletedException", text));
        }
        if !found.bare.delete_branch(&branch, &commit).await.map_err(git)? {
            return Err(no_branch(&branch));
        }
        self.touch(&call.scope, &found.name).await;
        let deleted = BranchInfo { branch_name: Some(branch), commit_id: Some(commit) };
        Ok(DeleteBranchOutput { deleted_branch: Some(deleted) })
    }

    pub(super) async fn get_commit(&self, call: &Call, input: GetCommitInput) -> Result<GetCommitOutput, WireError> {
        self.may(call, &input.repository_name).await?;
        check_commit_id(&input.commit_id)?;
        let found = self.find(&call.scope, &input.repository_name).await?;
        let commit = found.bare.commit(&input.commit_id).await.map_err(git)?;
        let commit = commit
            .ok_or_else(|| of("CommitIdDoesNotExistException", format!("Commit {} does not exist", input.commit_id)))?;
        Ok(GetCommitOutput { commit: wire_commit(commit) })
    }
}

pub(super) fn check_branch(name: &str) -> Result<(), WireError> {
    if is_branch_name(name) { Ok(()) } else { Err(bad_branch(name)) }
}

pub(super) fn check_commit_id(id: &str) -> Result<(), WireError> {
    if is_object_id(id) {
        return Ok(());
    }
    Err(of("InvalidCommitIdException", format!("{id} is not the full ID of a commit.")))
}

fn wire_commit(commit: Commit) -> WireCommit {
    let user = |person: Person| UserInfo {
        name: Some(person.name),
        email: Some(person.email),
        date: Some(format!("{} {}", person.seconds, person.offset)),
    };
    WireCommit {
        commit_id: Some(commit.id),
        tree_id: Some(commit.tree),
        parents: Some(commit.parents),
        message: Some(commit.message),
        author: Some(user(commit.author)),
        committer: Some(user(commit.committer)),
        additional_data: Some(String::new()),
    }
}
