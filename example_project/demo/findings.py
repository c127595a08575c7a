"""What the demo finds in the end: the jobs' states, the mails, the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from django_flare import JobState
from example_project.demo.board import Board, WatchedJob
from example_project.demo.site import Site, short

_EXCERPT_LINES = 4
# What Django's file backend writes after each message.
_RULE = b"\n" + b"-" * 79 + b"\n"


def show(board: Board, site: Site) -> None:
    """Print a line for each job, then what was mailed and written."""
    print("\nJobs")
    for row in board.rows:
        for job in row.jobs:
            error = f" ({job.reading.error})" if job.reading and job.reading.error else ""
            print(f"  {job.job_id}  {job.job_type:<26} {_state(job):<12} {row.title}{error}")
    mails = list(_mails(site.mail))
    print(f"\nMail: {len(mails)} messages in {short(site.mail)}")
    for path, mail in mails:
        print(f"  {path.name}  {mail['Subject']}, to {mail['To']}")
    if mails:
        print("  The first one:")
        _print_excerpt(mails[0][1].get_content())
    for path in _reports(site):
        text = path.read_text(encoding="utf-8")
        print(f"\nReport: {len(text.splitlines()) - 1} orders in {short(path)}")
        _print_excerpt(text)


def problems(board: Board, site: Site) -> list[str]:
    """Return what is not as it should be; nothing if all is."""
    found = [
        f"{job.job_type} {job.job_id} is {_state(job)} instead of {job.expected}"
        for job in board.jobs
        if _state(job) != job.expected
    ]
    # To each customer exactly one mail, and none to those who have not paid.
    expected = Counter(
        row.email for row in board.rows if row.email and row.jobs[-1].expected is JobState.SUCCEEDED
    )
    mailed = Counter(str(mail["To"]) for _, mail in _mails(site.mail))
    if mailed != expected:
        found.append(
            f"the mails went to {sorted(mailed.elements())} instead of {sorted(expected.elements())}"
        )
    reports = len(_reports(site))
    if reports != 1:
        found.append(f"{reports} reports were written instead of 1")
    return found


def _state(job: WatchedJob) -> str:
    return str(job.reading.state) if job.reading else "unknown"


def _mails(folder: Path) -> Iterator[tuple[Path, EmailMessage]]:
    for path in sorted(folder.glob("*.log")):
        for raw in path.read_bytes().split(_RULE):
            if raw:
                yield path, message_from_bytes(raw, policy=policy.default)


def _reports(site: Site) -> list[Path]:
    return sorted(site.reports.glob("*.csv"))


def _print_excerpt(text: str) -> None:
    lines = text.strip().splitlines()
    for line in lines[:_EXCERPT_LINES]:
        print(f"    | {line}".rstrip())
    if len(lines) > _EXCERPT_LINES:
        print("    | …")
