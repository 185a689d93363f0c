//! What each action mode does to a stack in each state: one table, and when an operation is over. Asks nobody.

use aws_sdk_cloudformation::types::{ChangeSetType, StackStatus};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    CreateUpdate,
    ReplaceOnFailure,
    DeleteOnly,
    ChangeSetReplace,
    ChangeSetExecute,
}

impl Mode {
    pub const ALL: [(&'static str, Self); 5] = [
        ("CHANGE_SET_EXECUTE", Self::ChangeSetExecute),
        ("CHANGE_SET_REPLACE", Self::ChangeSetReplace),
        ("CREATE_UPDATE", Self::CreateUpdate),
        ("DELETE_ONLY", Self::DeleteOnly),
        ("REPLACE_ON_FAILURE", Self::ReplaceOnFailure),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }

    pub const fn uses_change_set(self) -> bool {
        matches!(self, Self::ChangeSetReplace | Self::ChangeSetExecute)
    }

    /// Whether the action reads a template and everything that goes with it.
    pub const fn uses_template(self) -> bool {
        matches!(self, Self::CreateUpdate | Self::ReplaceOnFailure | Self::ChangeSetReplace)
    }

    /// Whether the stack's outputs are the action's; a change set that is only made has those of the stack as it is.
    pub const fn has_outputs(self) -> bool {
        !matches!(self, Self::DeleteOnly)
    }

    /// Whether it can be an update that the action has begun.
    pub const fn may_update(self) -> bool {
        matches!(self, Self::CreateUpdate | Self::ReplaceOnFailure | Self::ChangeSetExecute)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    Create,
    Update,
    Delete,
    /// Delete, then create.
    Replace,
    ChangeSet(ChangeSetType),
    Execute,
    /// Somebody else's operation goes on: look again when it is over.
    Wait,
    /// The deletion that goes on will do.
    AwaitDelete,
    /// There is nothing to do.
    Nothing,
    /// CloudFormation would refuse.
    Refuse,
}

/// Whether an operation goes on. A stack that has only change sets is not in one.
pub fn is_busy(status: &StackStatus) -> bool {
    *status != StackStatus::ReviewInProgress && status.as_str().ends_with("_IN_PROGRESS")
}

/// What to do; `status` is None where there is no stack.
pub fn deed(mode: Mode, status: Option<&StackStatus>) -> Deed {
    use StackStatus as S;
    let Some(status) = status.filter(|status| **status != S::DeleteComplete) else {
        return match mode {
            Mode::CreateUpdate | Mode::ReplaceOnFailure => Deed::Create,
            Mode::DeleteOnly => Deed::Nothing,
            Mode::ChangeSetReplace => Deed::ChangeSet(ChangeSetType::Create),
            // There is no change set either: CloudFormation says so.
            Mode::ChangeSetExecute => Deed::Execute,
        };
    };
    match (mode, status) {
        (Mode::DeleteOnly, S::DeleteInProgress) => Deed::AwaitDelete,
        (Mode::ChangeSetExecute, S::DeleteInProgress) | (Mode::CreateUpdate, S::ReviewInProgress) => Deed::Refuse,
        (_, status) if is_busy(status) => Deed::Wait,
        (Mode::DeleteOnly, _) => Deed::Delete,
        (Mode::ChangeSetReplace, S::ReviewInProgress) => Deed::ChangeSet(ChangeSetType::Create),
        (
            Mode::ReplaceOnFailure,
            S::ReviewInProgress
            | S::CreateFailed
            | S::RollbackComplete
            | S::RollbackFailed
            | S::DeleteFailed
            | S::UpdateRollbackFailed,
        ) => Deed::Replace,
        // The failed ones only where their operation kept what it had made; CloudFormation knows.
        (
            _,
            S::CreateComplete
            | S::UpdateComplete
            | S::UpdateRollbackComplete
            | S::ImportComplete
            | S::ImportRollbackComplete
            | S::CreateFailed
            | S::UpdateFailed
            | S::ReviewInProgress,
        ) => match mode {
            Mode::ChangeSetReplace => Deed::ChangeSet(ChangeSetType::Update),
            Mode::ChangeSetExecute => Deed::Execute,
            Mode::CreateUpdate | Mode::ReplaceOnFailure | Mode::DeleteOnly => Deed::Update,
        },
        _ => Deed::Refuse,
    }
}

/// What an action has begun and waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// An operation of somebody else's; afterwards the table is asked again.
    Settle,
    Create,
    Update,
    Execute,
    Delete,
    /// The deletion before a creation.
    Replace,
    ChangeSet,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Going,
    Good,
    Bad,
}

/// Whether the operation of a step is over, by the stack's state. A rollback is waited for: the action fails at its end.
pub fn ended(step: Step, status: &StackStatus) -> End {
    use StackStatus as S;
    let deletes = matches!(step, Step::Delete | Step::Replace);
    match status {
        S::DeleteComplete if deletes => End::Good,
        S::DeleteFailed if deletes => End::Bad,
        // The deletion is not seen yet.
        _ if deletes => End::Going,
        S::ReviewInProgress => End::Going,
        status if is_busy(status) => End::Going,
        S::CreateComplete | S::UpdateComplete | S::ImportComplete => End::Good,
        _ => End::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of AWS's documentation and observations: a row per state; C create, U update, D delete, R delete and
    /// create, c and u change sets, X execute, W wait, A await the deletion, 0 nothing, F refuse.
    const TABLE: &str = "
        -                                           C C 0 c X
        DELETE_COMPLETE                             C C 0 c X
        REVIEW_IN_PROGRESS                          F R D c X
        CREATE_COMPLETE                             U U D u X
        UPDATE_COMPLETE                             U U D u X
        UPDATE_ROLLBACK_COMPLETE                    U U D u X
        IMPORT_COMPLETE                             U U D u X
        IMPORT_ROLLBACK_COMPLETE                    U U D u X
        CREATE_FAILED                               U R D u X
        UPDATE_FAILED                               U U D u X
        ROLLBACK_COMPLETE                           F R D F F
        ROLLBACK_FAILED                             F R D F F
        DELETE_FAILED                               F R D F F
        UPDATE_ROLLBACK_FAILED                      F R D F F
        IMPORT_ROLLBACK_FAILED                      F F D F F
        CREATE_IN_PROGRESS                          W W W W W
        UPDATE_IN_PROGRESS                          W W W W W
        UPDATE_COMPLETE_CLEANUP_IN_PROGRESS         W W W W W
        ROLLBACK_IN_PROGRESS                        W W W W W
        UPDATE_ROLLBACK_IN_PROGRESS                 W W W W W
        UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS W W W W W
        IMPORT_IN_PROGRESS                          W W W W W
        IMPORT_ROLLBACK_IN_PROGRESS                 W W W W W
        DELETE_IN_PROGRESS                          W W A W F
    ";

    fn letter(deed: &Deed) -> &'static str {
        match deed {
            Deed::Create => "C",
            Deed::Update => "U",
            Deed::Delete => "D",
            Deed::Replace => "R",
            Deed::ChangeSet(ChangeSetType::Create) => "c",
            Deed::ChangeSet(_) => "u",
            Deed::Execute => "X",
            Deed::Wait => "W",
            Deed::AwaitDelete => "A",
            Deed::Nothing => "0",
            Deed::Refuse => "F",
        }
    }

    #[test]
    fn every_mode_in_every_state() {
        let modes = [
            Mode::CreateUpdate,
            Mode::ReplaceOnFailure,
            Mode::DeleteOnly,
            Mode::ChangeSetReplace,
            Mode::ChangeSetExecute,
        ];
        let rows: Vec<Vec<&str>> = TABLE
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<_>| !row.is_empty())
            .collect();
        // Every state of the model, and no stack at all.
        let told: Vec<&str> = rows.iter().map(|row| row[0]).filter(|name| *name != "-").collect();
        assert!(StackStatus::values().iter().all(|status| told.contains(status)), "{told:?}");
        for row in rows {
            let status = (row[0] != "-").then(|| StackStatus::from(row[0]));
            let deeds = modes.map(|mode| letter(&deed(mode, status.as_ref())));
            assert_eq!(deeds.as_slice(), &row[1..], "{}", row[0]);
        }
    }

    #[test]
    fn operations_are_over_when_the_rollback_is() {
        for (step, status, end) in [
            (Step::Create, "CREATE_IN_PROGRESS", End::Going),
            (Step::Create, "ROLLBACK_IN_PROGRESS", End::Going),
            (Step::Create, "CREATE_COMPLETE", End::Good),
            (Step::Create, "ROLLBACK_COMPLETE", End::Bad),
            (Step::Create, "CREATE_FAILED", End::Bad),
            (Step::Create, "DELETE_COMPLETE", End::Bad),
            (Step::Update, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", End::Going),
            (Step::Update, "UPDATE_COMPLETE", End::Good),
            (Step::Update, "UPDATE_ROLLBACK_COMPLETE", End::Bad),
            (Step::Update, "UPDATE_ROLLBACK_FAILED", End::Bad),
            (Step::Execute, "REVIEW_IN_PROGRESS", End::Going),
            (Step::Execute, "CREATE_COMPLETE", End::Good),
            (Step::Execute, "UPDATE_FAILED", End::Bad),
            (Step::Delete, "DELETE_IN_PROGRESS", End::Going),
            (Step::Delete, "CREATE_COMPLETE", End::Going),
            (Step::Delete, "DELETE_COMPLETE", End::Good),
            (Step::Replace, "DELETE_FAILED", End::Bad),
        ] {
            assert_eq!(ended(step, &StackStatus::from(status)), end, "{step:?} {status}");
        }
    }
}
