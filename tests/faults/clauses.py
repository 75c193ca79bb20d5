"""The clauses of docs/faults.md, and the tests that prove each: their node ids under tests/, all cases where none is
named in brackets."""

import pytest

COLLECTED = pytest.StashKey[frozenset[str]]()  # what was there before -m picked
PREFIX = "tests/"

WORKER = "test_runner_faults.py::test_each_fault_has_its_status_and_reason"
BROKEN = "test_plugins.py::test_a_broken_plugin_is_named_and_the_others_work_on"
PROCESS = "test_measure_process.py::"
STORE = "test_store.py::"
CSV = "test_tasks_csv.py::"
SAFETENSORS = "test_weights_safetensors.py::"
INPUTS = "test_inputs.py::"
THREADS = "test_threads.py::"
CACHE = "test_kernel_cache.py::"
TABLES = "test_report_tables.py::"
HERE = "faults/"


def workers(*names: str) -> tuple[str, ...]:
    """Backends of tests/plugins/faulty.py, measured together with good ones."""
    return tuple(f"{WORKER}[{name}]" for name in names)


def broken(*names: str) -> tuple[str, ...]:
    return tuple(f"{BROKEN}[{name}]" for name in names)


# What holds of every row that fails: the others are as good as alone, the store loads, the run resumes, nothing stays.
CONTAINED = (
    "test_runner_faults.py::test_those_without_fault_are_as_good_as_alone",
    "test_runner_faults.py::test_what_failed_is_not_timed",
    "test_runner_faults.py::test_the_store_loads_the_run_resumes_and_the_exit_code_says_that_some_failed",
    "test_runner_faults.py::test_nothing_is_left_of_all_this",
)

CLAUSES: dict[str, tuple[str, ...]] = {
    # Plugins
    "import error": (
        *broken("import error"),
        "test_plugins.py::test_a_broken_installed_plugin_is_reported_and_can_be_refused",
    ),
    "`sys.exit` at import": broken("exit at import", "hook exits half way"),
    "`os._exit`, segfault or endless loop when the factory is imported": (
        f"{HERE}test_factories.py::test_a_factory_whose_import_ends_or_hangs_the_process_costs_its_own_row_alone",
        *workers("dying-factory", "no-factory"),
    ),
    "unknown hook name (did you mean)": broken("unknown hook", "hook near nothing"),
    "wrong hook arguments": broken("wrong arguments"),
    "a hook that raises (other plugins' results kept)": broken("hook raises", "hook exits half way"),
    "a wrong type or an invalid id": (
        *broken("wrong type", "a cell among backends", "invalid id", "upper case", "long id", "no id"),
        "test_plugins.py::test_a_bad_offer_does_not_take_the_good_ones_along",
    ),
    "two plugins with one id (both named, neither silently wins)": (
        "test_plugins.py::test_two_plugins_with_one_id_are_both_named_and_neither_wins",
        "test_plugins.py::test_nobody_takes_a_built_in_id_silently",
    ),
    "API version too new or too old": broken("API too new", "API too old", "API no number"),
    "10 MB printed at import (`--json` output stays valid)": (
        "test_plugins.py::test_ten_megabytes_printed_at_import_stay_off_our_output",
        f"{HERE}test_output.py::test_json_is_valid_whatever_a_plugin_prints",
        "test_runner_faults.py::test_those_without_fault_are_as_good_as_alone[loud]",
    ),
    # Workers
    "exception": (*workers("raises"), *CONTAINED),
    "segfault": (f"{PROCESS}test_a_signal_is_named[SIGSEGV-os.kill(os.getpid(), 11)]",),
    "abort": (f"{PROCESS}test_a_signal_is_named[SIGABRT-os.abort()]",),
    "killed from outside": (f"{PROCESS}test_killed_from_outside",),
    "memory past the limit (resident size watched over the process tree, not `RLIMIT_AS`)": (
        *workers("greedy"),
        f"{PROCESS}test_memory_past_the_limit",
        f"{PROCESS}test_memory_of_children_counts",
    ),
    "sleeping hang": (*workers("hangs"), f"{PROCESS}test_a_hang_ends_at_the_limit"),
    "busy hang that holds the GIL": (f"{PROCESS}test_a_hang_ends_at_the_limit",),
    "hang that ignores SIGTERM": (
        f"{PROCESS}test_a_hang_ends_at_the_limit",
        "test_runner_faults.py::test_a_backend_that_hangs_again_and_again_is_not_tried_for_ever",
    ),
    "exit 0 without a reply": (*workers("leaves"), f"{PROCESS}test_exit_without_a_reply"),
    "a grandchild left running": (*workers("abandons"), f"{PROCESS}test_a_child_left_behind_is_ended_too"),
    "a reply that is not JSON, not of the shape that was asked for, or 1 GB long": (
        f"{PROCESS}test_what_is_not_a_reply",
        f"{PROCESS}test_a_reply_of_another_shape_names_what_was_asked",
        f"{PROCESS}test_a_reply_without_end",
    ),
    "NaN loss": workers("nan-loss"),
    "infinite loss": workers("inf-loss-later"),
    "wrong shape or dtype": workers("wrong-shape", "wrong-dtype", "not-an-array", "nan", "text-loss"),
    "outputs off by 1e-2 (not ranked)": (
        *workers("wrong", "wrong-state", "wrong-step", "half-gradients", "lazy"),
        "test_report_sentences.py::test_a_mismatch_is_not_ranked_by_speed",
    ),
    "right when checked and wrong when timed": workers("late", "late-state"),
    "a result cached by input identity": (
        *workers("caches", "remembers"),
        "test_traps.py::test_a_result_that_was_kept_shows_in_the_time_of_fresh_inputs",
    ),
    "inputs or weights mutated": workers("mutates", "mutates-weights"),
    "more threads used than allowed": (
        *workers("many-threads"),
        "test_traps.py::test_threads_that_share_one_core_are_all_counted",
        "test_measure.py::test_a_backend_whose_threads_are_too_many_is_refused",
    ),
    "GPU absent": (*workers("no-gpu"), f"{PROCESS}test_a_reported_failure_leaves_the_worker_alive"),
    # Store and comparison
    "Ctrl-C at any moment, once and twice": (
        "test_runner.py::test_a_signal_ends_a_run_and_leaves_nothing",
        "test_cli_compare.py::test_an_interrupted_run_keeps_its_groups_and_resumes",
        f"{HERE}test_at_random.py::test_a_comparison_stopped_at_a_random_moment_loses_nothing",
    ),
    "SIGTERM": ("test_runner.py::test_a_signal_ends_a_run_and_leaves_nothing",),
    "SIGKILL of the parent at any moment": (
        "test_runner.py::test_a_parent_that_is_killed_outright_leaves_nothing_either",
        f"{STORE}test_a_file_has_no_name_until_it_is_whole",
        f"{HERE}test_at_random.py::test_a_comparison_stopped_at_a_random_moment_loses_nothing",
    ),
    "the Nth write, fsync or rename fails, for every N": (
        f"{STORE}test_whichever_write_fails_the_store_loads_and_nothing_half_written_is_left",
        f"{HERE}test_at_random.py::test_a_sweep_whose_nth_write_fails_is_one_error_and_resumes",
    ),
    "disk full": (f"{STORE}test_a_full_disk_is_told_in_one_line",),
    "results folder read-only (one error before any work)": (
        f"{STORE}test_a_folder_that_cannot_be_written_is_one_error_before_any_work",
        f"{HERE}test_comparison.py::test_a_read_only_results_folder_is_one_error_and_no_worker_is_started",
    ),
    "two runs at once into one folder": (
        f"{STORE}test_two_runs_made_at_once_do_not_meet",
        f"{HERE}test_at_random.py::test_two_runs_at_once_into_one_folder_do_not_meet",
        f"{HERE}test_store_machine.py::test_whatever_happens_nothing_acknowledged_is_lost_or_doubled",
    ),
    "torn last line": (
        f"{STORE}test_a_torn_file_is_named_and_the_others_are_read",
        f"{HERE}test_store_machine.py::test_whatever_happens_nothing_acknowledged_is_lost_or_doubled",
    ),
    "a flipped bit": (f"{STORE}test_a_flipped_bit_is_noticed_wherever_it_is",),
    "records of a newer schema": (
        f"{STORE}test_records_of_a_newer_schema_are_named_as_such",
        f"{STORE}test_a_foreign_file_is_skipped_and_named",
    ),
    "clock set back": (f"{STORE}test_the_latest_run_is_the_one_made_last_even_if_the_clock_was_set_back",),
    "resume after a backend's version changed": (
        "test_runner.py::test_resuming_with_another_version_of_a_backend_is_told",
    ),
    # Files from strangers
    "a pickle named .safetensors or .npz": (
        f"{SAFETENSORS}test_a_damaged_container_is_refused_in_one_line[a pickle]",
        f"{HERE}test_strangers.py::test_an_archive_of_arrays_is_of_no_type_that_is_opened",
    ),
    "an object array": (
        "test_measure.py::test_arrays_travel_without_pickles",
        f"{HERE}test_strangers.py::test_an_archive_of_arrays_is_of_no_type_that_is_opened",
        "test_architecture.py::test_no_pickle_is_read",
    ),
    "a compression bomb": (f"{HERE}test_strangers.py::test_an_archive_of_arrays_is_of_no_type_that_is_opened",),
    "a safetensors header that is huge, overlapping or has holes": (
        f"{SAFETENSORS}test_a_damaged_container_is_refused_in_one_line",
        f"{HERE}test_fuzz.py::test_any_bytes_of_a_safetensors_file_are_weights_or_one_line",
    ),
    "NaN or wrong shapes in weights (the tensor is named)": (
        f"{SAFETENSORS}test_what_does_not_fit_is_named[NaN]",
        f"{SAFETENSORS}test_what_does_not_fit_is_named[a shape]",
    ),
    "bad TOML, unknown key (did you mean), wrong type": (
        f"{HERE}test_strangers.py::test_no_configuration_file_is_read",
        "test_cli_compare.py::test_a_bad_request_is_one_line_before_any_work",
    ),
    "a CSV with missing values, text in a number column, one row, a million columns, another encoding, a BOM": (
        f"{CSV}test_a_bad_file_gets_one_line",
        f"{CSV}test_a_file_in_a_wide_encoding_is_told",
        f"{CSV}test_a_file_in_latin_1_is_told_with_its_row",
        f"{CSV}test_harmless_variants_are_read",
        f"{HERE}test_strangers.py::test_a_csv_of_a_million_columns_is_refused_at_once",
        f"{HERE}test_fuzz.py::test_any_table_is_read_or_refused_in_one_line",
    ),
    "names with `../`, absolute paths, NUL, 300 characters": (
        f"{STORE}test_runs_are_found_by_id_prefix_or_latest",
        f"{CSV}test_any_file_name_gives_a_valid_id",
        f"{CSV}test_a_path_that_no_system_takes_is_told",
        *broken("invalid id", "long id"),
    ),
    "a symlink in results pointing outside": (f"{STORE}test_links_are_not_followed",),
    # Output
    "`<script>` or markup in any name, in HTML, Markdown, CSV (`=`, `+`, `-`, `@` first) and the terminal "
    "(escape codes)": (
        f"{HERE}test_output.py::test_there_is_no_html_for_markup_to_get_into",
        f"{TABLES}test_markdown_lets_no_markup_through",
        f"{TABLES}test_csv_cells_cannot_be_formulas_and_numbers_stay_numbers",
        f"{TABLES}test_terminal_lets_no_escape_code_or_markup_through",
        "test_cli.py::test_names_from_plugins_cannot_drive_the_terminal",
        "test_report_text.py::test_printable_leaves_nothing_that_a_terminal_acts_on",
    ),
    # Numba and the environment
    "damaged cache files": (f"{CACHE}test_a_damaged_file_is_compiled_anew_and_mended",),
    "cache directory owned by somebody else or writable by all": (
        f"{CACHE}test_a_directory_others_may_write_is_not_used",
        f"{HERE}test_cache.py::test_a_cache_of_somebody_else_is_not_used",
    ),
    "no writable cache": (f"{CACHE}test_no_writable_place_means_no_cache_and_one_notice",),
    "an edited kernel with a warm cache": (
        f"{CACHE}test_an_edited_cell_has_another_key",
        f"{HERE}test_cache.py::test_an_edited_kernel_has_another_key",
    ),
    "float16, mixed dtypes, strided, big-endian, zero-length and T=0 inputs (a defined result or one clear line)": (
        f"{INPUTS}test_every_real_dtype_gives_the_same_result",
        f"{INPUTS}test_every_layout_gives_the_same_result",
        f"{INPUTS}test_states_of_any_dtype_and_layout",
        f"{INPUTS}test_an_x_that_cannot_be",
        f"{INPUTS}test_lengths_that_cannot_be",
    ),
    # The library in a program
    "many threads in one session": (
        f"{THREADS}test_threads_in_one_session_get_what_they_would_get_alone",
        f"{THREADS}test_training_from_many_threads_is_training_one_step_after_the_other",
        f"{THREADS}test_a_runtime_that_only_infers_is_called_by_one_at_a_time",
    ),
    "sessions of their own in many threads": (f"{THREADS}test_sessions_of_their_own_run_side_by_side",),
    "a call within a call": (f"{THREADS}test_a_call_within_a_call_is_refused_and_the_session_works_on",),
    "lengths, classes or a shape that another thread changes between the check and the use": (
        f"{THREADS}test_lengths_and_classes_that_change_meanwhile_reach_no_memory_but_their_own",
        f"{THREADS}test_the_lengths_and_classes_that_are_checked_are_those_that_are_used",
        f"{THREADS}test_a_shape_that_changes_meanwhile_is_not_the_one_that_is_used",
    ),
    "a child of fork, and one made during a call": (
        f"{THREADS}test_a_session_works_on_in_a_child_of_fork_and_in_its_parent",
        f"{THREADS}test_a_session_works_in_the_processes_of_multiprocessing",
        f"{THREADS}test_a_fork_while_another_thread_calls_leaves_that_session_refused_and_others_free",
        f"{THREADS}test_the_interpreter_ends_whatever_the_threads_do",
    ),
    "an interrupt at any line of a training step, or a step refused (weights, moments and the count of steps are those "
    "before or after)": (
        f"{THREADS}test_an_interrupt_at_any_line_leaves_a_whole_step_or_none",
        f"{THREADS}test_a_refused_training_step_has_not_been",
    ),
    "a wrong type of a model, an optimiser, a number of threads, an array or a mask (one line, the same for every "
    "backend)": (
        f"{INPUTS}test_what_is_of_a_wrong_type_is_refused_by_every_backend_alike",
        f"{INPUTS}test_a_session_of_what_cannot_be",
        "test_model.py::test_an_unknown_name_is_one_line",
        "test_training.py::test_settings_that_cannot_train_are_refused",
    ),
    "NaN within a row and y past its length": (f"{INPUTS}test_past_a_row_s_length_y_is_zero_whatever_the_row_holds",),
    "the caller's mode of arithmetic after any call": (
        "test_subnormals.py::test_numpy_computes_as_before_after_every_call",
    ),
}


def proves(test: str, node: str) -> bool:
    """Whether a collected node is the test of a clause, or one of its cases."""
    return node == PREFIX + test or node.startswith(f"{PREFIX}{test}[")
