"""Job types by name, as both sides know them, and jobs in every state."""

from datetime import timedelta

from django_flare import JobState
from tests.support import Driver

PLAIN = "tests.testapp.jobs.plain"
TYPED = "tests.testapp.jobs.process_order"
CONFIGURED = "tests.testapp.jobs.configured"
ONCE = "tests.testapp.jobs.once"

UNKNOWN = "0197b0de-0000-7000-8000-000000000001"


class Stage:
    """Bring jobs that were made by some verbs into any state, as a worker would."""

    def __init__(self, verbs):
        self.verbs = verbs
        self.driver = Driver()
        self._made = 0

    def job(self, state=JobState.PENDING, **options):
        """Return the id of a new job in this state."""
        self._made += 1
        options.setdefault("queue", f"stage-{self._made}")
        when = timedelta(hours=1) if state is JobState.SCHEDULED else timedelta(0)
        job_id = self.verbs.schedule(PLAIN, {"n": self._made}, when=when, **options)
        self.bring(job_id, state)
        return job_id

    def every(self):
        """Return a job in each state, by state."""
        return {state: self.job(state) for state in JobState}

    def bring(self, job_id, state):
        """Bring a pending job into this state."""
        ends = {
            JobState.PROCESSING: self.driver.start,
            JobState.SUCCEEDED: lambda each: self.driver.succeed(each, result='{"done": [1, null]}'),
            JobState.FAILED: self.driver.fail,
            JobState.DEAD_LETTER: self.driver.discard,
            JobState.CANCELLED: self.verbs.cancel,
        }
        if state in ends:
            ends[state](job_id)
