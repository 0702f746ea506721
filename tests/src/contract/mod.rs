//! What every store must do, as one test per behaviour, run over any implementation.
//!
//! A new store gets the whole suite with [`contract_suite!`](crate::contract_suite) and a
//! function that opens an empty one.

#![allow(
    missing_docs,
    reason = "each case is named after what it shows, and is called by the macro only"
)]

pub mod append;
pub mod branches;
pub mod cascades;
pub mod claims;
pub mod editions;
pub mod everything;
pub mod follow;
pub mod identity;
pub mod lists;
pub mod operations;
pub mod read;
pub mod snapshots;
pub mod subject;

use std::any::Any;
use std::sync::Arc;

use angzarr_adapters::EventStore;

/// An empty store, and whatever must live as long as it is used: a folder, a server.
pub struct Opened {
    /// The store under test.
    pub store: Arc<dyn EventStore>,
    /// Dropped after the case.
    pub keep: Box<dyn Any + Send>,
}

/// Makes a module of tests out of `async fn() -> Opened`, one test per case of the contract.
///
/// ```ignore
/// angzarr_tests::contract_suite!(native, open_native);
/// ```
#[macro_export]
macro_rules! contract_suite {
    ($name:ident, $open:ident) => {
        mod $name {
            $crate::contract_suite!(@group $open, append {
                numbers_pages_without_gaps
                replaces_headers_and_keeps_payloads
                dates_pages_that_have_no_date
                refuses_a_stale_expectation
                refuses_events_where_none_were_expected
                one_of_many_racing_writers_wins
                racing_writers_without_expectation_leave_no_gap
                stores_several_aggregates_or_none
                conditions_bind_aggregates_that_are_not_written
                moves_the_checkpoint_with_the_events
                refused_appends_do_not_move_the_checkpoint
                positions_never_go_back
                carries_pages_of_any_bytes
            });
            $crate::contract_suite!(@group $open, identity {
                three_names_of_main_are_one_timeline
                aggregates_differ_by_domain_root_and_edition
                malformed_covers_are_refused_by_field
                limits_are_refused_by_name
                what_is_at_the_limit_is_stored
            });
            $crate::contract_suite!(@group $open, claims {
                a_known_claim_returns_the_first_range
                a_known_claim_comes_before_the_expectation
                a_claim_without_pages_is_remembered
                claims_differ_by_timeline_kind_and_key
                of_concurrent_duplicates_one_is_stored
                a_refused_append_leaves_no_claim
                a_known_claim_stores_nothing_of_its_request
            });
            $crate::contract_suite!(@group $open, read {
                an_unknown_aggregate_is_empty
                ranges_are_inclusive
                sets_hold_what_exists_in_order
                as_of_sequence_is_inclusive
                as_of_time_is_inclusive
                backwards_is_the_reverse
                a_correlation_id_narrows
                a_long_history_comes_whole
                every_selection_tells_the_aggregates_next_sequence
            });
            $crate::contract_suite!(@group $open, snapshots {
                a_snapshot_rides_with_its_pages
                a_snapshot_of_another_sequence_is_refused
                a_refused_append_leaves_no_snapshot
                the_newest_one_starts_a_read
                as_of_reads_start_only_from_a_snapshot_that_serves
                retention_keeps_what_it_must
                the_newest_one_cannot_be_deleted
                a_snapshot_needs_an_event
            });
            $crate::contract_suite!(@group $open, everything {
                the_whole_store_comes_in_commit_order
                a_position_resumes
                filters_hold_together
                types_match_by_last_part_or_in_full
                isolated_events_are_marked_and_left_out_on_demand
                covers_carry_correlation_and_ext
                a_filter_that_drops_everything_still_moves_on
            });
            $crate::contract_suite!(@group $open, follow {
                a_subscription_has_no_seam
                a_subscription_from_the_end_sees_only_what_is_new
                a_slow_subscriber_misses_nothing
                a_filtered_subscription_tells_its_progress
            });
            $crate::contract_suite!(@group $open, lists {
                domains_are_paged_in_order
                editions_are_paged_in_order
                aggregates_are_paged_in_order
                correlated_aggregates_come_in_first_event_order
                a_token_that_is_none_is_refused
            });
            $crate::contract_suite!(@group $open, editions {
                a_branch_inherits_below_its_divergence
                a_branch_without_divergence_leaves_main_at_its_first_event
                an_explicit_divergence_is_recorded_by_the_first_append
                another_divergence_later_is_refused
                a_divergence_beyond_main_is_refused
                a_fork_beyond_main_starts_where_main_ends
                a_read_may_name_its_own_divergence
                every_selection_composes
                main_never_sees_a_branch
                a_main_snapshot_serves_below_the_divergence
                snapshots_of_a_branch_are_its_own
            });
            $crate::contract_suite!(@group $open, branches {
                a_deleted_branch_is_gone_at_once
                one_domain_of_a_branch_can_be_deleted
                main_cannot_be_deleted
                a_diff_names_what_the_branch_has
            });
            $crate::contract_suite!(@group $open, cascades {
                pending_pages_are_stored_as_such
                pending_pages_are_visible_to_their_own_cascade_only
                a_commit_makes_every_participant_visible_at_once
                a_rollback_voids_every_participant_at_once
                framework_events_take_a_sequence_and_are_hidden
                a_revocation_voids_committed_and_confirmed_events
                a_later_revocation_reaches_back_into_any_selection
                settling_what_is_settled_stores_nothing
                participants_are_listed_until_they_are_settled
                stale_cascades_come_oldest_first
            });
            $crate::contract_suite!(@group $open, operations {
                checkpoints_move_forward_only
                stats_count_what_is_stored
                a_sealed_segment_is_still_read
            });
        }
    };
    (@group $open:ident, $group:ident { $($case:ident)* }) => {
        mod $group {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let opened = super::super::$open().await;
                let subject = $crate::contract::subject::Subject::new(opened.store);
                $crate::contract::$group::$case(subject).await;
                drop(opened.keep);
            })*
        }
    };
}
