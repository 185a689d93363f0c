//! What every backend must do, as public test functions. Each takes a fresh, empty store; [`tests!`] makes one test of
//! each of them for a backend, so a new backend is held to everything by one line.

pub mod documents;

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
