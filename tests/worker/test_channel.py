"""The pipe between a child and its supervisor."""

import json
import math
import os
from dataclasses import replace
from select import PIPE_BUF

import pytest

from django_flare.worker.board import open_board
from django_flare.worker.channel import VARIABLE, Leash, Receiver, Report, Sender, take_leash
from django_flare.worker.vitals import Vitals

VITALS = Vitals(worker_id="wrk_1", slots=10, running=3, overdue=0.5, failing=0.0, beat_age=1.25)


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    receiver = Receiver(reading)
    far_end = os.fdopen(writing, "wb", buffering=0)
    yield receiver, Sender(writing), far_end
    receiver.close()
    far_end.close()


def test_a_report_arrives_as_it_was_sent(pipe):
    receiver, sender, _ = pipe
    reports = [
        Report(vitals=VITALS),
        Report(vitals=VITALS, retiring="ünïcode", within=3.5, is_ready=True, has_resigned=True),
        Report(vitals=VITALS, fatal="No tables"),
    ]
    for report in reports:
        sender.send(report)
    assert receiver.receive() == reports
    assert reports[0].within == math.inf
    assert receiver.receive() == []


def test_what_a_later_release_says_besides_is_passed_over(pipe):
    """F57: it may be installed while its supervisor runs."""
    receiver, sender, far_end = pipe
    sender.send(Report(vitals=VITALS))
    said = json.loads(os.read(receiver.fileno(), 4096))
    said["news"], said["vitals"]["news"] = 1, 2
    far_end.write(json.dumps(said).encode() + b"\n")
    assert receiver.receive() == [Report(vitals=VITALS)]
    assert not receiver.is_closed


def test_a_half_line_waits_for_its_rest(pipe):
    receiver, sender, far_end = pipe
    sender.send(Report(vitals=VITALS))
    line = os.read(receiver.fileno(), 4096)
    far_end.write(line[:10])
    assert receiver.receive() == []
    far_end.write(line[10:] + line[:5])
    assert receiver.receive() == [Report(vitals=VITALS)]


def test_the_end_of_the_child_is_seen_after_its_last_words(pipe):
    receiver, sender, far_end = pipe
    sender.send(Report(vitals=VITALS))
    far_end.close()
    assert receiver.receive() == [Report(vitals=VITALS)]
    assert receiver.is_closed


def test_a_supervisor_that_stands_still_holds_up_nobody(pipe):
    """What does not fit is dropped whole; the next report says it again."""
    receiver, sender, _ = pipe
    for _ in range(2000):
        sender.send(Report(vitals=VITALS))
    received = receiver.receive()
    assert 100 < len(received) < 2000
    sender.send(Report(vitals=VITALS, retiring="now"))
    assert [report.retiring for report in receiver.receive()] == ["now"]


def test_a_line_with_the_longest_texts_is_written_in_one_piece(pipe):
    """A job type's name may have 450 characters, and PIPE_BUF is 4096 bytes."""
    receiver, sender, _ = pipe
    counts = {f"count_{number}_of_some_length": 2**62 for number in range(8)}
    vitals = replace(VITALS, worker_id="w" * 60, counts=counts)
    sender.send(
        Report(vitals=vitals, announced_id="w" * 60, retiring="\U0001f600" * 450, fatal="\U0001f600" * 450)
    )
    line = os.read(receiver.fileno(), 1 << 16)
    assert len(line) <= PIPE_BUF
    found = json.loads(line)
    assert found["retiring"] == found["fatal"] == "\U0001f600" * len(found["fatal"])
    assert len(found["fatal"]) > 80


@pytest.mark.parametrize("junk", [b"hello\n", b"{}\n", b"[1]\n", b'{"vitals": 1}\n', b"\xff\n"])
def test_who_spoils_the_pipe_is_heard_no_more(pipe, junk):
    """A handler that writes to whatever is open."""
    receiver, sender, far_end = pipe
    far_end.write(junk)
    sender.send(Report(vitals=VITALS))
    assert receiver.receive() == []
    assert receiver.is_closed


def test_a_supervisor_that_is_gone_is_no_error():
    reading, writing = os.pipe()
    sender = Sender(writing)
    os.close(reading)
    sender.send(Report(vitals=VITALS))
    os.close(writing)


def test_only_the_child_itself_is_on_the_leash(monkeypatch):
    """What its handlers start inherits neither the variable nor what it names."""
    reading, writing = os.pipe()
    board = open_board()
    leash = Leash(orders=reading, reports=writing, board=board, supervisor=7)
    os.set_inheritable(reading, True)
    os.set_inheritable(board, True)
    monkeypatch.setenv(VARIABLE, leash.environment()[VARIABLE])
    assert take_leash() == leash
    assert VARIABLE not in os.environ
    assert take_leash() is None
    assert not os.get_inheritable(reading)
    assert not os.get_inheritable(board)
    os.close(board)
    os.close(reading)
    os.close(writing)
