"""What the package holds itself to in security, each with the tests that hold it; none may get lost."""

# ruff: noqa: E501

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

CHECKLIST = {
    # Who is let in
    "closed by default: nobody gets anything without a key": "api/test_access.py::test_nobody_gets_anything",
    "every scope on every method of every path": "api/test_access.py::test_every_scope_on_every_method_of_every_path",
    "no address is left out of that": "api/test_access.py::test_every_address_is_among_them",
    "every failure to authenticate looks alike": "api/test_access.py::TestKeys::test_all_that_fail_look_alike",
    "a key comes in a header, never in the address": "api/test_access.py::TestKeys::test_a_key_in_the_address_is_none",
    "revocation holds at the next request": (
        "api/test_access.py::TestKeys::test_a_revoked_key_fails_on_the_next_request"
    ),
    "expiry holds at the moment": "store/test_api_keys.py::TestVerification::test_ends_at_the_moment_of_expiry",
    "a key is kept as a digest alone": (
        "store/test_api_keys.py::TestAKey::test_has_the_form_and_is_kept_as_a_digest_alone"
    ),
    "an unknown id costs the same work": (
        "store/test_api_keys.py::TestVerification::test_does_the_same_work_for_an_unknown_id"
    ),
    "rotation with an overlap": "store/test_api_keys.py::TestRotation::test_may_overlap",
    "a key's secret is in no log, error or row": (
        "api/test_access.py::TestKeys::test_the_secret_is_in_no_log_error_or_row"
    ),
    "a key is shown once": "management/test_flare_apikey.py::test_the_list_shows_everything_but_secrets",
    "the last use is written at most once a minute": (
        "store/test_api_keys.py::TestTheLastUse::test_is_written_at_most_once_a_minute"
    ),
    "sessions need the site's CSRF token": (
        "api/test_access.py::TestSignedIn::test_writing_takes_the_token_of_the_site"
    ),
    "every permission, with and without the token, on every method of every path": (
        "api/test_access.py::TestSignedIn::test_every_permission_on_every_method_of_every_path"
    ),
    "refusals for want of the token are counted": (
        "api/test_access.py::TestSignedIn::test_without_a_token_requests_are_counted"
    ),
    "sessions need the permission of each action": (
        "api/test_access.py::TestSignedIn::test_each_action_takes_its_permission"
    ),
    "a bad key is not saved by a session": (
        "api/test_access.py::TestSignedIn::test_a_bad_key_is_not_saved_by_a_session"
    ),
    # What may be asked
    "job types come from the registry, nothing is imported": (
        "definitions/test_registry.py::test_a_strange_name_is_unknown_and_nothing_is_imported"
    ),
    "the same over HTTP": "api/test_bad_input.py::test_a_type_that_is_not_registered",
    "no field that is the package's own can be set": "api/test_bad_input.py::test_every_unknown_field_is_named",
    "tracebacks are for admins": "api/test_access.py::TestKeys::test_tracebacks_are_for_admins",
    "JSON alone is taken": "api/test_bad_input.py::TestHeaders::test_other_bodies",
    "nothing is decompressed": "api/test_bad_input.py::TestHeaders::test_compressed_bodies",
    "bodies are bounded, also where the project's limit is higher": (
        "api/test_bad_input.py::TestSize::test_a_limit_of_the_project_changes_nothing"
    ),
    "a large body is not read": "api/test_costs.py::test_a_large_body_is_not_read",
    "deep nesting is counted, not parsed": "api/test_costs.py::test_deep_nesting_is_counted_and_not_parsed",
    "many filters are not parsed": "api/test_costs.py::test_many_filters_are_not_parsed",
    "searches end": "api/test_database_load.py::TestSearches::test_one_that_takes_too_long",
    "errors are JSON and the same under DEBUG": "api/test_bad_input.py::test_errors_are_the_same_under_debug",
    "what nobody expected tells nothing": "api/test_hosts.py::test_what_nobody_expected",
    "random requests find no error of the server": "api/test_fuzzing.py::test_each_operation",
    # How much
    "rates are counted by key": "api/test_limits.py::TestCounting::test_keys_are_counted_apart",
    "forged headers change no rate": "api/test_limits.py::TestCounting::test_forged_headers_change_nothing",
    "who pauses is counted on, whatever cache counts": (
        "api/test_limits.py::TestWhatDjangoStores::test_who_pauses_is_counted_on"
    ),
    "the settings of the project do not say who nobody is": (
        "api/test_hosts.py::test_two_projects_with_other_defaults_see_the_same"
    ),
    "failed authentication is limited too": (
        "api/test_limits.py::TestCounting::test_failed_authentication_is_counted_by_address"
    ),
    "processes count together": "api/test_processes.py::test_processes_together_get_no_more",
    "idempotency keys of two API keys never collide": "api/test_replay.py::TestReplay::test_another_api_key",
    # What is told
    "every address is in the document": "api/test_document.py::test_every_address_is_in_it",
    "payloads are not logged": "api/test_hosts.py::test_payloads_are_not_logged",
    "what is redacted is in no answer": "api/test_hosts.py::test_what_is_redacted_is_in_no_answer",
    "control characters are escaped in logs": "worker/test_logs.py::test_what_would_steer_a_terminal_is_escaped",
    "one line per event": "worker/test_logs.py::TestText::test_a_record_is_one_line",
    # The admin
    "every address of the admin by every role, read and posted": "admin/test_every_address.py::test_each_address",
    "no address of the admin is left out of that": "admin/test_every_address.py::test_no_address_is_left_out",
    "each action of the admin takes its own permission, on one, some or all": "admin/test_permissions.py::TestMatrix",
    "who has lost the permission meanwhile changes nothing": (
        "admin/test_actions.py::TestOnAllThatMatch::test_a_user_who_may_no_longer_changes_nothing"
    ),
    "a GET changes nothing": "admin/test_actions.py::TestOnOneJob::test_a_get_changes_nothing",
    "actions take the site's CSRF token": (
        "admin/test_actions.py::TestOnASelection::test_without_a_token_nothing_happens"
    ),
    "actions ask first": "admin/test_actions.py::TestOnASelection::test_all_but_retry_ask_first",
    "all that match are acted on in batches, by a job": (
        "admin/test_actions.py::TestOnAllThatMatch::test_a_job_does_it_in_the_name_of_the_user"
    ),
    "that holds up no worker and loses nothing": (
        "system/test_bulk.py::test_all_are_cancelled_beside_workers_that_run_them"
    ),
    "more than are counted, in a browser": "browser/test_jobs.py::test_all_that_match_are_cancelled_by_a_job",
    "nobody adds, changes or deletes a row": (
        "admin/test_permissions.py::test_nobody_adds_changes_or_deletes_a_row"
    ),
    "restricted rows are out of reach of ids from a form": (
        "admin/test_actions.py::TestOnASelection::test_jobs_that_a_project_hides_are_out_of_reach"
    ),
    "and of an action on all": (
        "admin/test_actions.py::TestOnAllThatMatch::test_jobs_that_a_project_hides_stay_out_of_reach"
    ),
    "and of the dashboard": (
        "admin/test_dashboard.py::TestPermissions::test_restricted_jobs_are_neither_shown_nor_retried"
    ),
    "and of the drawing": "admin/test_job_page.py::TestRelations::test_what_a_project_hides_is_not_drawn",
    "no text of a job becomes an element": "admin/test_escaping.py::test_no_element_comes_of_a_text",
    "no column of text is left out of that": "admin/test_escaping.py::test_no_column_of_text_is_left_out",
    "nor a text of a queue, worker, key or figure": (
        "admin/test_escaping_beside_jobs.py::test_no_element_comes_of_a_text"
    ),
    "an element would be seen": "admin/test_escaping.py::test_an_element_would_be_seen",
    "raw documents are plain text in a sandbox": (
        "admin/test_job_page.py::TestDocuments::test_a_large_one_is_cut_and_whole_as_text"
    ),
    "what the console of a browser complains of fails its tests": (
        "browser/test_access.py::test_a_violation_of_the_policy_would_be_seen"
    ),
    "what is redacted is masked on every page": (
        "admin/test_job_page.py::TestDocuments::test_what_is_to_be_hidden_is_masked_everywhere"
    ),
    "counting stops": "admin/test_list.py::TestBounds::test_counting_stops",
    "no list reads the whole table": "admin/test_plans.py::test_the_list",
    "no page asks the database more for more rows": "admin/test_statements.py::test_of_a_page_that_is_read",
    "letters of a search stand for themselves": "admin/test_list.py::TestSearch::test_letters_stand_for_themselves",
    "a query string reads no other column": (
        "admin/test_list.py::TestFilters::test_no_column_is_read_by_a_strangers_query_string"
    ),
    "what was done is in the history, with who and what": (
        "admin/test_actions.py::TestOnASelection::test_those_that_may_be_are_changed_and_the_others_left"
    ),
    "also what was done before a failure": (
        "admin/test_actions.py::TestOnASelection"
        "::test_what_was_done_before_the_database_failed_is_in_the_history"
    ),
    "a new API key is shown once": "admin/test_api_keys.py::test_a_new_key_is_shown_once_and_works",
    "and kept nowhere": "admin/test_api_keys.py::test_its_text_is_kept_nowhere",
    "who may not view sees nothing": "admin/test_permissions.py::test_who_may_not_view_sees_nothing",
    # Rights in the database
    "an account that enqueues has these rights alone": (
        "system/test_roles.py::TestEnqueuing::test_it_has_these_rights_alone"
    ),
    "by them it enqueues by every verb": "system/test_roles.py::TestEnqueuing::test_it_enqueues_by_every_verb",
    "and changes no job": "system/test_roles.py::TestEnqueuing::test_it_changes_no_job",
    "an account of workers has these rights alone": (
        "system/test_roles.py::TestWorking::test_it_has_these_rights_alone"
    ),
    "by them workers do all that they do": (
        "system/test_roles.py::TestWorking::test_a_worker_does_all_that_it_does"
    ),
    "also in the long run": "system/test_roles.py::TestWorking::test_it_keeps_house",
    "the guide shows the rights that are tested": (
        "docs/test_deployment.py::test_the_rights_of_the_guide_are_those_that_are_tested"
    ),
    # The worker and the deployment
    "probes listen on the loopback alone": "worker/test_health.py::test_it_listens_on_the_loopback_alone",
    "a recorded error is bounded and printable": "lifecycle/test_failures.py",
    "the example passes check --deploy": (
        "example/test_settings.py::TestSystemChecks::test_in_production_there_is_nothing_to_complain_about"
    ),
    "bandit's rules hold for all that is shipped": (
        "repository/test_security_rules.py::test_every_exception_has_its_reason"
    ),
    "a known vulnerability of a dependency is a failure": (
        "repository/test_audit.py::test_a_known_vulnerability_is_a_failure"
    ),
    "names of schemas are quoted": (
        "system/test_schema.py::test_everything_goes_on_in_a_schema_whose_name_is_quoted"
    ),
    "no tracked file holds a credential": "repository/test_secrets.py::test_no_file_holds_a_credential",
    "failpoints are inert without the setting": "system/test_death.py::TestKilledAtAFailpoint::test_the_variable_alone_breaks_nothing",
}


@pytest.mark.parametrize("requirement", CHECKLIST)
def test_each_requirement_has_its_test(requirement):
    file, *names = CHECKLIST[requirement].split("::")
    body = ast.parse((TESTS / file).read_text()).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        assert found, f"{file} has no {name}"
        body = found[0].body
