"""Small synthetic histories for the tests of the checker, told step by step."""

from tests.chaos.evidence import Evidence
from tests.chaos.records import Birth, Change, Effect, Execution, Fault, Operation, Row

A, B = 11, 22
"""Process ids of two workers."""


def worker(pid):
    return f"wrk_host_{pid}_abc123"


class Story:
    """Tell what happens at which second; `evidence()` is what the checker is given."""

    def __init__(self):
        self.told = Evidence()
        self._now = {}
        self._seq = 0

    def evidence(self):
        living = {job: facts for job, facts in self._now.items() if facts["state"] is not None}
        self.told.rows = [Row(job, facts["state"]) for job, facts in living.items()]
        return self.told

    def create(self, job, at=0.0, *, state="pending", kind="chaos.noop", token=None, asked=True, **facts):
        """Create a job; with `asked` a client has asked for it and was told so."""
        token = token or f"t-{job}"
        payload = facts.pop("payload", {})
        key, scope = facts.pop("key", None), facts.pop("scope", "")
        parents = facts.pop("parents", ())
        self._now[job] = {
            "state": state,
            "fence": 0,
            "attempt": 0,
            "losses": 0,
            "max_attempts": 3,
            "run_at": at,
            **facts,
        }
        self._change(job, None, at, self._now[job])
        self.told.births.append(Birth(job, token, kind, at, at, scope, key, payload))
        self.told.links += [(parent, job) for parent in parents]
        if asked:
            self.ask("enqueue", at - 0.1, at + 0.1, result="ok", token=token, job=job, key=key)
        return self

    def ask(self, verb, asked, answered, channel="http", **facts):
        self.told.operations.append(Operation(verb, channel, asked, answered, **facts))
        return self

    def change(self, job, state, at, *, committed=None, writer="", nonce="", error="", worker="", **facts):
        """Change a job's row; facts that are not given stay."""
        before = dict(self._now[job])
        self._now[job] = {**before, "state": state, **facts}
        self._change(job, before, at, self._now[job], committed, writer, nonce, error, worker)
        return self

    def claim(self, job, at, pid=A, **facts):
        now = self._now[job]
        values = {"fence": now["fence"] + 1, "attempt": now["attempt"] + 1, **facts}
        return self.change(job, "processing", at, worker=worker(pid), **values)

    def start(self, job, at, pid=A, *, until=None, nonce=None, parents=()):
        """Let the handler run in a process, to its end if `until` says when that is."""
        nonce = nonce or f"n{len(self.told.executions)}"
        attempt = self._now[job]["attempt"]
        self.told.executions.append(Execution(nonce, job, attempt, pid, at, until, tuple(parents)))
        return self

    def succeed(self, job, at, pid=A, **facts):
        return self.change(job, "succeeded", at, writer=f"chaos-worker-{pid}", **facts)

    def fail(self, job, at, pid=A, **facts):
        return self.change(job, "failed", at, writer=f"chaos-worker-{pid}", **{"run_at": at, **facts})

    def lose(self, job, at, state="pending", **facts):
        now = self._now[job]
        return self.change(job, state, at, attempt=now["attempt"] - 1, losses=now["losses"] + 1, **facts)

    def release(self, job, at):
        return self.change(job, "pending", at, attempt=self._now[job]["attempt"] - 1)

    def delete(self, job, at):
        return self.change(job, None, at)

    def run(self, job, at, pid=A, **facts):
        """Claim, start, end and succeed, all within the second."""
        self.claim(job, at, pid).start(job, at + 0.1, pid, until=at + 0.2, **facts)
        return self.succeed(job, at + 0.3, pid, nonce=self.told.executions[-1].nonce)

    def fault(self, kind, began, ended, *pids):
        self.told.faults.append(Fault(kind, len(self.told.faults), began, ended, pids))
        return self

    def effect(self, job, kind):
        self.told.effects.append(Effect(job, kind))
        return self

    def _change(self, job, before, at, now, committed=None, writer="", nonce="", error="", worker=""):
        self._seq += 1
        old = before or now
        self.told.changes.append(
            Change(
                seq=self._seq,
                job=job,
                before=before and before["state"],
                after=now["state"],
                at=at,
                committed=at + 0.01 if committed is None else committed,
                fence_before=old["fence"],
                fence=now["fence"],
                attempt_before=old["attempt"],
                attempt=now["attempt"],
                losses_before=old["losses"],
                losses=now["losses"],
                max_attempts=now["max_attempts"],
                worker=worker,
                run_at_before=old["run_at"],
                run_at=now["run_at"],
                writer=writer,
                nonce=nonce,
                error=error,
            )
        )


def ordinary():
    """Tell of a campaign in which everything happens and all is well."""
    story = Story()
    story.create("plain", 1).run("plain", 2)
    # It fails, and succeeds at its second attempt.
    story.create("flaky", 1).claim("flaky", 2).start("flaky", 2.1, until=2.2, nonce="f1")
    story.fail("flaky", 2.3, nonce="f1", run_at=3).change("flaky", "pending", 3.1).run("flaky", 4, B)
    # Its worker is frozen past its lease; another one runs it, the first is refused.
    story.create("frozen", 1).claim("frozen", 2).start("frozen", 2.1, until=12, nonce="z1")
    story.fault("freeze", 3, 11, A).lose("frozen", 9).run("frozen", 10, B)
    # A clean stop gives it back.
    story.create("released", 1).claim("released", 2).start("released", 2.1, until=2.9)
    story.fault("stop_cleanly", 2.5, 4, A).release("released", 3).run("released", 5, B)
    # A parent and its child, and one that dies and takes its child with it.
    story.create("parent", 1).create("child", 1.5, state="scheduled", parents=["parent"])
    story.run("parent", 2).change("child", "pending", 2.3, run_at=2.3).run("child", 3, parents=["succeeded"])
    story.create("dying", 1).create("orphan", 1.5, state="scheduled", parents=["dying"])
    story.claim("dying", 2).start("dying", 2.1, until=2.2).change(
        "dying", "dead_letter", 2.3, writer=f"chaos-worker-{A}"
    )
    story.change("orphan", "cancelled", 2.3)
    # One that dies, and is retried with its children and theirs.
    story.create("risen", 1).create("heir", 1.5, state="scheduled", parents=["risen"])
    story.create("grandson", 1.6, state="scheduled", parents=["heir"])
    story.claim("risen", 2).start("risen", 2.1, until=2.2)
    story.change("risen", "dead_letter", 2.3, writer=f"chaos-worker-{A}")
    story.change("heir", "cancelled", 2.3).change("grandson", "cancelled", 2.3)
    story.ask("retry", 3, 3.2, job="risen", result="ok", answer=True, revive=True).change(
        "risen", "pending", 3.1
    )
    story.change("heir", "scheduled", 3.1).change("grandson", "scheduled", 3.1).run("risen", 4)
    story.change("heir", "pending", 4.3, run_at=4.3).run("heir", 5, parents=["succeeded"])
    story.change("grandson", "pending", 5.3, run_at=5.3).run("grandson", 6, parents=["succeeded"])
    # A later one, cancelled by hand, and deleted by retention afterwards.
    story.create("later", 1, state="scheduled", run_at=50).change("later", "cancelled", 6)
    story.ask("cancel", 5.9, 6.1, job="later", result="ok", answer=True).delete("later", 40)
    story.ask("cancel", 7, 7.1, job="plain", result="ok", answer=False)
    # Under a key twice, with another body refused, and anew after the deletion.
    story.create("keyed", 1, key="k", token="k").run("keyed", 2)
    story.ask(
        "enqueue", 3, 4, token="k", key="k", result="ok", job="keyed", statuses=((503, True), (201, False))
    )
    story.ask("enqueue", 3, 4, token="k-other", key="k", result="refused", error="idempotency_key_reuse")
    story.delete("keyed", 40).create("keyed again", 50, key="k", token="k").run("keyed again", 51)
    # An answer that was lost.
    story.create("unsure", 1, asked=False).run("unsure", 2).ask("enqueue", 0.9, 9, token="t-unsure")
    story.ask("enqueue", 2, 9, token="never arrived").ask(
        "enqueue", 2, 3, token="taken back", result="rolled_back"
    )
    # Effects.
    story.create("atomic", 1, kind="chaos.atomic").run("atomic", 2).effect("atomic", "atomic")
    story.create("write", 1, kind="chaos.write").run("write", 2).effect("write", "plain").effect(
        "write", "plain"
    )
    # A poison, three times.
    story.create("poison", 1, kind="chaos.poison")
    for turn in (2, 4, 6):
        state = "dead_letter" if turn == 6 else "pending"
        error = "worker_lost: it vanished" if turn == 6 else ""
        story.claim("poison", turn, 30 + turn).start("poison", turn + 0.1, 30 + turn)
        story.lose("poison", turn + 1, state, error=error)
    return story
