"""The clauses of docs/faults.md, and the tests that prove each: their node ids under tests/, all cases where none is
named in brackets."""

import pytest

COLLECTED = pytest.StashKey[frozenset[str]]()  # what was there before -m picked
PREFIX = "tests/"

WORKER = "test_runner_faults.py::test_each_fault_has_its_status_and_reason"
LIE = "faults/test_cheats.py::test_no_lie_of_its_kind_gets_figures_that_are_not_true"
BROKEN = "test_plugins.py::test_a_broken_plugin_is_named_and_the_others_work_on"
PLUGIN_RUNS = "test_runner_plugins.py::"
PROCESS = "test_measure_process.py::"
STORE = "test_store.py::"
SAFETENSORS = "test_weights_safetensors.py::"
EXECUTED = "test_weights_executed.py::"
BY_HAND = f"{EXECUTED}test_a_graph_is_read_as_it_computes_or_refused_for_the_true_reason"
INPUTS = "test_inputs.py::"
THREADS = "test_threads.py::"
CACHE = "test_kernel_cache.py::"
FINGERPRINT = "test_kernel_fingerprint.py::"
READING = "test_tables_reading.py::"
TABLES = "test_report_tables.py::"
HERE = "faults/"


def workers(*names: str) -> tuple[str, ...]:
    """Backends of tests/plugins/faulty.py, measured together with good ones."""
    return tuple(f"{WORKER}[{name}]" for name in names)


def broken(*names: str) -> tuple[str, ...]:
    return tuple(f"{BROKEN}[{name}]" for name in names)


def lies(*kinds: str) -> tuple[str, ...]:
    """Kinds of tests/plugins/dishonest.py."""
    return tuple(f"{LIE}[{kind}]" for kind in kinds)


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
    "a field of an offer that cannot be (its type, bounds, length, characters)": (
        "test_plugins.py::test_an_offer_that_cannot_be_is_refused_by_its_field",
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
    "an import that changes the environment, the clock, NumPy's errors, signals, tracing or affinity, or starts "
    "threads (put back, and named)": ("test_plugins.py::test_what_a_plugin_changes_is_put_back_and_named",),
    "standard output written to or closed at import": (
        "test_plugins.py::test_what_a_plugin_writes_or_closes_leaves_our_output_as_it_is",
    ),
    "another backend's plugin imported into a worker": (
        f"{PLUGIN_RUNS}test_a_worker_imports_its_own_plugin_alone",
        "test_plugins.py::test_only_the_plugins_that_are_needed_are_imported",
    ),
    "a task whose data or score leave, exit, hang, raise, interrupt, hold too much, print, or give NaN, an empty "
    "split, a wrong shape, objects or a link (the task is named)": (
        f"{PLUGIN_RUNS}test_a_task_that_fails_is_a_failed_row_that_names_it",
        f"{PLUGIN_RUNS}test_the_tasks_after_it_are_none_the_worse",
        f"{PLUGIN_RUNS}test_a_task_that_hangs_again_and_again_is_not_tried_for_ever",
    ),
    "a cell whose pair does (the cell is named)": (
        f"{PLUGIN_RUNS}test_a_cell_that_fails_is_a_failed_row_that_names_it",
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
        *workers("caches"),
        "test_runner_faults.py::test_results_that_are_kept_gain_nothing",
        "test_fresh_inputs.py::test_no_call_has_a_row_or_a_beginning_that_was_there_and_the_last_has_those_of_the_seed",
    ),
    "inputs or weights mutated": workers("mutates", "mutates-weights"),
    "a cell whose backward is not its forward's derivative (the cell is named, not the backend that is right)": (
        "test_cell_gradient.py::test_a_cell_whose_backward_is_wrong_is_named_and_no_backend",
        "test_cell_gradient.py::test_a_backward_that_is_wrong_is_called_so",
    ),
    "more threads used than allowed": (
        *workers("many-threads"),
        "test_traps.py::test_threads_that_share_one_core_are_all_counted",
        "test_measure.py::test_a_backend_whose_threads_are_too_many_is_refused",
    ),
    "GPU absent": (*workers("no-gpu"), f"{PROCESS}test_a_reported_failure_leaves_the_worker_alive"),
    "killed once while it loads (tried again), or not loaded for one seed (tried for the next)": (
        f"{PLUGIN_RUNS}test_a_load_that_fails_once_is_not_the_backends_for_ever",
    ),
    "a child that comes back from a fork": (f"{PROCESS}test_a_child_that_comes_back_from_a_fork_does_not_answer",),
    "a second answer to one request": (f"{PROCESS}test_a_second_answer_is_not_taken_for_that_of_the_next_request",),
    "a daemon that keeps the pipe and hides": (
        f"{PROCESS}test_a_daemon_that_keeps_the_pipe_and_hides_is_ended_and_hangs_nobody",
    ),
    "a file of arrays that is a pipe, a link, without end or a bomb": (
        "test_measure.py::test_a_file_that_a_worker_left_is_regular_bounded_and_whole_or_its_rows_fault",
    ),
    "a report or a figure that cannot be": (
        f"{PLUGIN_RUNS}test_a_report_that_cannot_be_costs_its_own_row",
        f"{PLUGIN_RUNS}test_a_figure_that_cannot_be_stored_ends_its_row_and_not_the_run",
    ),
    "a log of gigabytes": (f"{PROCESS}test_the_end_of_a_log_without_end_is_read_alone",),
    "a folder `rnnbench` where the user stands": (
        f"{PROCESS}test_a_folder_of_our_name_where_the_user_stands_is_not_imported",
    ),
    # Lies
    "results kept by content, by identity, by a sample of the input, by row or by the beginning of a sequence": (
        *lies("content", "identity", "sample", "row-by-row", "prefix"),
        f"{HERE}test_cheats.py::test_a_bold_lie_gets_no_figures_or_true_ones",
    ),
    "a part of the rows computed, or of the calls, and the rest kept": lies("rows", "skips"),
    "an array worked out when it is read, or filled later": lies("lazy", "filled"),
    "outputs that are wrong only when timed": lies("off-timed", "short-timed", "lengths"),
    "a runtime that only infers with rounded weights or in short numbers": lies("off", "weights", "short"),
    "predictions right for the first batch alone": lies("predictions"),
    "single steps from memory, or without their state": lies("position", "step-content", "state"),
    "a training step that returns before its work is done": lies("early", "aside"),
    "training on a part of the batch, on a part of the steps, or not at all after the checked ones": lies(
        "batch", "leaves-out", "stops", "last-loss", "watched"
    ),
    "work done by another process, on other cores, or in bursts of threads": lies(
        "child", "daemon", "affinity", "bursts"
    ),
    "a clock that runs slow": lies("clock", "every-clock"),
    "a cell whose `backward` is wrong (the cell is named, no backend blamed)": (
        f"{HERE}test_cheats.py::test_a_cell_whose_backward_is_wrong_is_named_and_no_backend_blamed",
        f"{HERE}test_cheats.py::test_a_backward_that_is_wrong_by_a_millionth_is_seen",
    ),
    "an honest backend accused, quiet or beside busy loops": (
        f"{HERE}test_cheats.py::test_no_honest_backend_is_accused",
    ),
    # Store and comparison
    "Ctrl-C at any moment, once and twice": (
        "test_runner.py::test_a_signal_ends_a_run_and_leaves_nothing",
        "test_cli_compare.py::test_an_interrupted_run_keeps_its_groups_and_resumes",
        f"{HERE}test_at_random.py::test_a_comparison_stopped_at_a_random_moment_loses_nothing",
    ),
    "SIGTERM": ("test_runner.py::test_a_signal_ends_a_run_and_leaves_nothing",),
    "SIGHUP, to all processes of a run too": (
        "test_runner.py::test_a_signal_ends_a_run_and_leaves_nothing",
        "test_runner.py::test_a_signal_to_all_processes_of_a_run_leaves_nothing_even_if_we_are_killed",
    ),
    "a run stopped with Ctrl-Z and continued (nobody times out)": (
        f"{PROCESS}test_what_we_were_stopped_for_is_nobodys_time",
    ),
    "more groups or larger sizes than anything can hold": (
        "test_runner.py::test_more_than_anything_can_hold_is_refused_at_once",
    ),
    "too little memory for a case (`oom`)": (
        "test_runner.py::test_too_little_memory_for_a_case_is_told_as_that_with_what_helps",
        "test_runner.py::test_asking_for_more_memory_than_is_allowed_is_refused_and_only_meanwhile",
    ),
    "few descriptors or processes": (
        "test_environments.py::test_few_descriptors_are_one_line",
        "test_environments.py::test_what_the_system_refuses_is_told_with_what_helps",
    ),
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
    "resume after a task, a cell, a plugin or a file has changed (refused, and named)": (
        f"{PLUGIN_RUNS}test_a_run_is_not_resumed_with_another_source",
        f"{PLUGIN_RUNS}test_a_run_is_not_resumed_with_other_contents_of_a_file",
        f"{PLUGIN_RUNS}test_a_run_of_before_that_has_no_digests_is_resumed",
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
        f"{READING}test_a_bad_file_gets_one_line",
        f"{READING}test_another_encoding_is_said_aloud",
        f"{READING}test_harmless_variants_are_read",
        f"{HERE}test_strangers.py::test_a_csv_of_a_million_columns_is_refused_at_once",
        f"{HERE}test_fuzz.py::test_any_table_is_read_or_refused_in_one_line",
    ),
    "a table (text, Parquet, Excel) whose cells, parts or bytes are damaged": (
        f"{HERE}test_fuzz.py::test_a_file_of_damaged_structure_is_read_or_told_in_one_line[csv-120]",
        f"{HERE}test_fuzz.py::test_a_file_of_damaged_structure_is_read_or_told_in_one_line[parquet-120]",
        f"{HERE}test_fuzz.py::test_a_file_of_damaged_structure_is_read_or_told_in_one_line[excel-40]",
        f"{READING}test_no_bytes_bring_it_down",
        f"{READING}test_a_table_that_is_larger_than_its_file_is_refused",
    ),
    "names with `../`, absolute paths, NUL, 300 characters": (
        f"{STORE}test_runs_are_found_by_id_prefix_or_latest",
        "test_own_table.py::test_any_source_gives_a_valid_id",
        f"{READING}test_what_is_no_file_is_told",
        *broken("invalid id", "long id"),
    ),
    "a symlink in results pointing outside": (f"{STORE}test_links_are_not_followed",),
    "a store, a noise, asv's results, weights or options whose structure is damaged behind a right seal": (
        f"{HERE}test_fuzz.py::test_a_file_of_damaged_structure_is_read_or_told_in_one_line",
        f"{HERE}test_fuzz.py::test_any_file_of_a_store_is_read_or_named_and_hides_no_other",
    ),
    "an ONNX file of another network than it looks like (states that are carried or computed, dropout in training, a "
    "bias on another axis or branch, lengths)": (
        "test_weights_field.py::test_what_is_not_the_network_it_looks_like_is_refused_by_name",
        BY_HAND,
    ),
    "a reader that misreads one (the layer is named)": (
        f"{EXECUTED}test_a_misreading_is_refused_where_file_and_model_part",
        f"{EXECUTED}test_a_misread_head_is_refused_as_such",
    ),
    "ONNX's own tests of its operators (what is published, or the reason)": (
        f"{EXECUTED}test_as_shipped_their_weights_are_inputs",
        f"{EXECUTED}test_with_stored_weights_they_compute_what_onnx_publishes",
    ),
    "weights said to lie in another file (elsewhere, linked, a pipe, short)": (
        f"{EXECUTED}test_a_file_beside_it_that_is_not_whole_and_regular_is_named",
        f"{EXECUTED}test_no_other_file_is_opened_and_sizes_are_checked",
    ),
    "work without end for who executes it": (
        f"{BY_HAND}[too many steps]",
        f"{BY_HAND}[a tensor as large as an input says]",
    ),
    "a state_dict whose head may be an embedding": (
        "test_weights_state_dict.py::test_what_may_be_an_embedding_is_asked_for",
        "test_weights_field.py::test_what_is_not_the_network_it_looks_like_is_refused_by_name[embedding-lstm.safetensors]",
    ),
    "escape codes in a file's own names": (f"{EXECUTED}test_a_file_s_names_do_not_reach_the_terminal_as_they_are",),
    "a value beyond its type or bounds (the column is named)": (
        f"{HERE}test_fuzz.py::test_what_is_beyond_its_type_or_bounds_is_named_and_hides_nothing_else",
        f"{HERE}test_fuzz.py::test_any_row_is_a_record_or_one_line",
    ),
    "a group that lies there twice (counts once)": (
        f"{HERE}test_fuzz.py::test_a_group_that_lies_there_twice_counts_once",
    ),
    "a repository whose configuration, hooks or attributes name programs (`history` and `gate` run none of them)": (
        "test_git.py::test_nothing_runs_that_a_repository_names",
        "test_git.py::test_the_commands_run_nothing_either",
    ),
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
    "an option of one value given twice": ("test_cli.py::test_every_option_of_one_value_is_refused_twice",),
    "a stdout that is full or closed": (
        "test_environments.py::test_a_full_stdout_is_one_line_and_no_success",
        "test_environments.py::test_closed_streams_are_no_fault_of_ours",
    ),
    "a file without end, or a pipe, given as a CSV file or a model": (
        "test_environments.py::test_a_csv_without_end_is_refused_at_once",
        "test_environments.py::test_a_pipe_is_no_model",
    ),
    "a plugin named by `-p` that is not there": ("test_cli.py::test_a_usage_error_is_one_line_and_two",),
    "a disk that is full, or a converter that fails half way, while trained weights are written (the file is the old "
    "one)": (
        "test_convert.py::test_on_a_full_disk_the_old_file_stays",
        "test_convert.py::test_a_writer_of_a_plugin_that_fails_half_way_leaves_the_old_file",
    ),
    "the temporary file of a writer that was killed": (
        "test_atomic.py::test_what_a_dead_writer_left_is_removed_by_the_next_write",
    ),
    # Numba and the environment
    "settings that would have other code measured (NUMBA_DISABLE_JIT and kin)": (
        "test_environments.py::test_other_code_than_ours_is_not_measured",
    ),
    "damaged cache files": (f"{CACHE}test_a_damaged_file_is_compiled_anew_and_mended",),
    "cache directory owned by somebody else or writable by all": (
        f"{CACHE}test_a_directory_others_may_write_is_not_used",
        f"{HERE}test_cache.py::test_a_cache_of_somebody_else_is_not_used",
    ),
    "a folder above it that others may write, or a link of theirs on the way": (
        f"{HERE}test_cache.py::test_a_folder_above_that_others_may_write_is_not_used",
        f"{HERE}test_cache.py::test_folders_above_that_harm_nobody_are_used",
        f"{HERE}test_cache.py::test_a_link_of_somebody_else_leads_nowhere",
        f"{HERE}test_cache.py::test_folders_are_made_for_their_owner_alone",
    ),
    "a cache file that is a link, a pipe, a folder, huge, of somebody else or writable by others": (
        f"{HERE}test_cache.py::test_only_a_regular_file_that_is_ours_alone_is_read",
        f"{HERE}test_cache.py::test_a_link_in_a_kernel_s_place_is_replaced_and_not_followed",
    ),
    "no writable cache": (f"{CACHE}test_no_writable_place_means_no_cache_and_one_notice",),
    "a warm cache that may only be read": (f"{HERE}test_cache.py::test_a_cache_that_cannot_be_written_is_read",),
    "a cache that grows without end": (
        f"{HERE}test_cache.py::test_what_was_used_last_stays_where_there_is_too_little_room",
    ),
    "what killed writers of the cache left": (
        f"{HERE}test_cache.py::test_what_killed_writers_left_is_removed_and_nothing_else",
    ),
    "an edited kernel with a warm cache": (
        f"{HERE}test_cache.py::test_an_edited_kernel_has_another_key",
        f"{HERE}test_cache.py::test_the_sources_of_a_key_are_those_that_run",
    ),
    "an edit of what a cell's pair uses with a warm cache (a helper, its module, a closure, an environment variable, a "
    "data file)": (
        f"{FINGERPRINT}test_what_the_pair_uses_is_in_the_key",
        f"{FINGERPRINT}test_helper_modules_are_followed",
        f"{FINGERPRINT}test_what_is_read_at_import_or_when_the_pair_is_made_is_followed",
        f"{FINGERPRINT}test_a_file_named_like_one_of_python_s_is_not_taken_for_it",
        f"{CACHE}test_a_kernel_in_the_cache_is_the_one_its_source_means",
    ),
    "something it uses that cannot be followed": (
        f"{FINGERPRINT}test_what_cannot_be_followed_is_named",
        f"{FINGERPRINT}test_a_kernel_that_cannot_be_followed_is_compiled_and_told",
        "test_cli_kernels.py::test_a_cell_whose_kernels_cannot_be_kept_is_told",
    ),
    "another setting of Numba's with a warm cache": (f"{FINGERPRINT}test_every_setting_of_numba_is_in_the_key",),
    "kernels that two processes compiled under one name": (
        f"{CACHE}test_two_processes_give_no_two_functions_one_name",
    ),
    "a warm cache that compiles again for another number of threads": (
        f"{FINGERPRINT}test_what_changes_no_machine_code_is_not",
        f"{CACHE}test_kernels_serve_any_number_of_threads",
        "test_cli_kernels.py::test_after_a_warmup_a_comparison_compiles_nothing",
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
