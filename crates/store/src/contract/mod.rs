//! What every backend must do, as public test functions. Each takes a fresh, empty store; [`tests!`] makes one test of
//! each of them for a backend, so a new backend is held to everything by one line.

pub mod commits;
pub mod documents;
pub mod fixtures;
pub mod nodes;
pub mod reads;
pub mod retention;
pub mod rules;

/// Makes a `#[tokio::test]` of every contract function. `$with` is an async function that makes an empty store, hands
/// it to the given test, and cleans up.
macro_rules! tests {
    ($with:ident) => {
        crate::contract::tests!(@ $with, documents:
            absent_documents_are_none,
            a_put_is_read_back_with_its_version,
            versions_grow_and_never_come_back,
            expectations_are_kept,
            a_write_is_all_or_nothing,
            expectations_look_at_the_state_before_the_command,
            scans_are_bytewise_within_a_partition,
            scans_honour_bounds_limit_and_direction,
            prefixes_take_exactly_their_keys,
            paging_neither_repeats_nor_misses_while_rows_are_added,
            partitions_are_those_with_documents,
            collections_and_partitions_do_not_mix,
            limits_are_refused_not_cut,
            a_body_that_is_not_json_is_named,
            racing_writers_have_one_winner,
        );
        crate::contract::tests!(@ $with, commits:
            a_commit_is_read_back_whole,
            absent_rows_are_none,
            a_conflict_on_any_row_leaves_nothing_behind,
            a_swapped_row_has_the_new_version_only,
            a_deleted_pipeline_frees_its_name_and_keeps_its_past,
            racing_commits_have_one_winner,
            racing_requests_with_one_token_start_one_execution,
            an_empty_commit_is_no_error,
            too_many_rows_are_refused,
        );
        crate::contract::tests!(@ $with, reads:
            gates_are_listed_by_name_within_a_scope,
            definitions_are_kept_by_version,
            executions_are_paged_newest_first_while_more_start,
            executions_are_filtered_by_status,
            executions_are_filtered_by_a_stage_that_succeeded,
            actions_are_paged_newest_start_first_while_more_start,
            only_the_latest_attempts_can_be_asked_for,
            an_action_whose_start_moves_is_listed_once,
            history_is_followed_in_order,
            due_tasks_come_in_order_of_time,
            leased_tasks_wait_until_the_lease_is_over,
            pages_past_the_limit_are_refused,
        );
        crate::contract::tests!(@ $with, rules:
            rules_and_actions_are_listed_apart,
            rules_are_paged_newest_start_first_while_more_start,
            only_the_latest_executions_of_rules_can_be_asked_for,
            a_rule_whose_start_moves_is_listed_once,
        );
        crate::contract::tests!(@ $with, retention:
            what_ended_long_ago_goes_with_all_its_records,
            what_a_gate_names_stays_until_it_no_longer_does,
            what_runs_or_ended_lately_stays,
            the_oldest_go_first_and_the_limit_is_kept,
            much_that_stays_does_not_hide_what_goes,
            a_retried_execution_is_judged_by_its_new_end,
            a_deleted_pipeline_goes_with_its_last_execution,
            numbers_go_on_after_everything_was_deleted,
        );
        crate::contract::tests!(@ $with, nodes:
            tasks_without_an_owner_are_claimed_once,
            tasks_of_a_node_are_claimed_when_its_lease_is_over,
            tasks_of_a_released_node_are_claimed_at_once,
            tasks_of_an_unknown_node_are_claimed,
            a_node_alone_keeps_its_tasks,
            claims_are_limited_and_never_overlap,
            a_task_taken_over_is_not_moved_by_its_old_owner,
            commits_are_heard,
        );
    };
    (@ $with:ident, $module:ident: $($name:ident),* $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $name() {
                    super::$with(async |store| crate::contract::$module::$name(store).await).await;
                }
            )*
        }
    };
}
pub(crate) use tests;
