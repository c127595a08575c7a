"""The parts of a campaign that need none of its processes."""

import json
import os
import random

import pytest

from tests.chaos import client_log, nemesis, scenarios, workload
from tests.chaos.campaign import timetable
from tests.chaos.client_log import ClientLog
from tests.chaos.evidence import pid_of
from tests.chaos.figures import figures
from tests.chaos.histories import A, B, ordinary
from tests.chaos.invariants import BESIDE
from tests.chaos.ledger import nonce_in
from tests.chaos.report import VERDICTS, Report


class TestClientLog:
    def test_it_holds_what_was_asked_and_answered(self, tmp_path):
        log = ClientLog(tmp_path, "caller")
        with log.asking("enqueue", "http", token="a", key="k") as answer:
            answer.update(result="ok", job="j", statuses=[(503, True), (201, False)])
        (found,) = client_log.read(tmp_path)
        assert (found.verb, found.token, found.key, found.job, found.result) == (
            "enqueue",
            "a",
            "k",
            "j",
            "ok",
        )
        assert found.statuses == ((503, True), (201, False))
        assert found.asked <= found.answered

    def test_what_was_raised_leaves_it_unknown(self, tmp_path):
        log = ClientLog(tmp_path, "caller")
        with pytest.raises(ValueError), log.asking("enqueue", "http", token="a"):  # noqa: PT011
            raise ValueError("cut")
        (found,) = client_log.read(tmp_path)
        assert (found.result, found.error) == ("unknown", "ValueError: cut")

    def test_an_intent_without_an_answer_is_unknown(self, tmp_path):
        log = ClientLog(tmp_path, "caller")
        asking = log.asking("enqueue", "http", token="a")
        asking.__enter__()
        (found,) = client_log.read(tmp_path)
        assert (found.result, found.answered) == ("unknown", float("inf"))

    def test_two_logs_are_kept_apart(self, tmp_path):
        """Also those of one process, or of two that had its id one after the other."""
        for token in ("a", "b"):
            with ClientLog(tmp_path, "caller").asking("enqueue", "http", token=token):
                pass
        assert {operation.token for operation in client_log.read(tmp_path)} == {"a", "b"}
        assert {file.name.rpartition("-")[0] for file in tmp_path.iterdir()} == {f"caller-{os.getpid()}"}


class TestSeeds:
    def test_a_seed_gives_the_same_timetable(self):
        one, same, other = (timetable(scenarios.campaign(seed, 1000, 20, 60)) for seed in (1, 1, 2))
        assert one == same != other

    def test_a_seed_gives_the_same_work(self):
        def drawn(seed):
            draw = random.Random(seed)
            return [workload.draw_items(draw, workload.SHARES) for _ in range(200)]

        assert drawn("a") == drawn("a") != drawn("b")

    def test_every_kind_of_work_can_be_drawn(self):
        for kind in workload.SHARES:
            items = workload.draw_items(random.Random(kind), {kind: 1})
            assert all(parent < place for place, item in enumerate(items) for parent in item.parents)

    def test_every_fault_has_its_place_in_the_timetable(self):
        told = timetable(scenarios.campaign(1, 1000, 20, 60))
        kinds = [kind for moments in told.values() for _, kind in moments]
        assert set(kinds) == set(nemesis.FULL)
        assert kinds.count("kill_group") == 20
        assert all(callable(getattr(nemesis.Nemesis, kind)) for kind in kinds)


class TestReport:
    def report(self, violations, drained=True, **bounds):
        evidence = ordinary().evidence()
        return Report(7, {"jobs": 1}, violations, figures(evidence), bounds, {"crash": 1}, 9.0, drained)

    def test_it_passes_when_nothing_is_violated(self):
        assert self.report({"I1": [], "I15": None}).verdict == "passed"

    def test_one_violation_is_a_failure(self):
        report = self.report({"I1": ["lost: a"], "I2": []})
        assert VERDICTS[report.verdict] == 1
        assert "- lost: a" in report.as_markdown()

    @pytest.mark.parametrize("name", BESIDE)
    def test_what_is_found_besides_has_its_sentence(self, name):
        report = self.report({name: ["something"]})
        assert BESIDE[name] in report.as_markdown()
        assert VERDICTS[report.verdict] == 1

    def test_a_figure_beyond_its_bound_is_a_failure(self):
        report = self.report({"I1": []}, executions=1)
        assert VERDICTS[report.verdict] == 1
        assert "1 **exceeded**" in report.as_markdown()
        assert self.report({"I1": []}, executions=10**6).verdict == "passed"

    def test_a_full_campaign_has_the_bound_of_duplicates(self):
        small, full = scenarios.campaign(1, 10_000, 20, 60), scenarios.campaign(1, 100_000, 200, 60)
        assert full.bounds == {**small.bounds, "explained duplicates, %": 0.5}
        assert set(full.bounds) <= set(figures(ordinary().evidence()))

    def test_without_a_drain_nothing_is_known(self):
        left = {"I1": ["not ended: a is pending"], "I11": ["a is still pending"]}
        assert VERDICTS[self.report({"I1": []}, drained=False).verdict] == 2
        assert VERDICTS[self.report(left, drained=False).verdict] == 2
        assert VERDICTS[self.report(left, drained=True).verdict] == 1
        assert VERDICTS[self.report({**left, "I3": ["b"]}, drained=False).verdict] == 1

    def test_the_json_reads_back_with_its_seed(self):
        found = json.loads(self.report({"I1": []}).as_json())
        assert (found["seed"], found["verdict"]) == (7, "passed")

    def test_a_long_list_is_cut(self):
        shown = self.report({"I1": [f"lost: {number}" for number in range(30)]}).as_markdown()
        assert shown.count("- lost:") == 10
        assert "… and 20 more" in shown


class TestFigures:
    def test_recovery_is_counted_from_the_kill(self):
        story = ordinary().fault("kill_group", 201, 203, A)
        story.create("killed", 199).claim("killed", 200).start("killed", 200.1).lose("killed", 206)
        story.run("killed", 207, B)
        found = figures(story.evidence())
        assert (found["recoveries after SIGKILL"], found["recovery p99, undisturbed, s"]) == (1, 5.0)

    def test_recovery_beside_another_fault_is_told_apart(self):
        story = ordinary().fault("kill_group", 201, 203, A).fault("crash", 204, 206)
        story.create("killed", 199).claim("killed", 200).start("killed", 200.1).lose("killed", 209)
        story.run("killed", 210, B)
        found = figures(story.evidence())
        assert found["recovery p99, undisturbed, s"] is None
        assert found["recovery p99, with another fault meanwhile, s"] == 8.0

    def test_a_duplicate_is_an_execution_after_a_loss_or_a_release(self):
        found = figures(ordinary().evidence())
        # The frozen one and the released one; those of the poison are no accident.
        assert found["explained duplicates, %"] == pytest.approx(100 * 2 / found["executions"], abs=0.001)


@pytest.mark.parametrize(
    ("outcome", "error", "nonce"),
    [
        ('{"nonce": "1a.2b", "value": null}', "", "1a.2b"),
        ('{"nonce":"1a.2b","value":["cut of', "", "1a.2b"),
        (None, "RuntimeError: chaos[1a.2b] never", "1a.2b"),
        ("null", "OperationalError: gone", ""),
        (None, None, ""),
    ],
)
def test_an_outcome_names_its_execution(outcome, error, nonce):
    assert nonce_in(outcome, error) == nonce


@pytest.mark.parametrize(("worker", "pid"), [("wrk_my_host_4711_ab12", 4711), ("", 0), ("odd", 0)])
def test_the_process_of_a_worker(worker, pid):
    assert pid_of(worker) == pid
