"""The word "draining" from whoever drains to the layers inside the servers, over a real abstract socket."""

from __future__ import annotations

import errno
import time

import pytest

from lameduck_pod.draining import EVERY, Publisher, Reader, name
from lameduck_pod.spans import SECOND


@pytest.fixture
def pod(request) -> str:
    return f"pod-of-{request.node.name}"[:60]


def soon() -> int:
    return time.monotonic_ns() + 60 * SECOND


def now_looks(reader: Reader, in_flight: int = 0) -> bool:
    reader.next_look = 0  # as if EVERY had passed
    return reader.look(in_flight)


def test_a_reader_is_lame_from_the_moment_the_publisher_is_there(pod) -> None:
    reader = Reader(pod)
    assert not reader.look()
    publisher = Publisher(pod, "", soon())
    assert now_looks(reader)
    publisher.close()


def test_a_reader_looks_no_more_often_than_it_must(pod) -> None:
    reader, before = Reader(pod), time.monotonic_ns()
    reader.look()
    assert before + EVERY <= reader.next_look <= time.monotonic_ns() + EVERY
    publisher = Publisher(pod, "", soon())
    reader.next_look = soon()
    assert not reader.look()
    publisher.close()


def test_a_reader_stays_lame_after_the_publisher_has_gone_until_the_grace_period_is_over(pod) -> None:
    publisher = Publisher(pod, "", soon())
    reader = Reader(pod)
    reader.look()
    publisher.poll()
    now_looks(reader)
    publisher.close()
    assert now_looks(reader)
    assert now_looks(reader)
    reader.until = time.monotonic_ns() - 1
    assert not now_looks(reader)


def test_a_drain_that_no_stop_signal_followed_is_taken_back(pod) -> None:
    publisher = Publisher(pod, "", soon())
    reader = Reader(pod)
    reader.look()
    publisher.poll()
    publisher.release()
    assert not now_looks(reader)


def test_requests_in_hand_of_all_readers_are_added_up_and_go_with_them(pod) -> None:
    publisher = Publisher(pod, "", soon())
    assert publisher.poll() is None
    one, two, silent = (Reader(pod) for _ in range(3))
    one.look(3)
    two.look(2)
    silent.look(0)
    publisher.poll()
    assert publisher.poll() == 5
    one.look(1)
    assert publisher.poll() == 3
    two.close()
    assert publisher.poll() == 1
    one.close()
    silent.close()
    assert publisher.poll() == 0
    publisher.close()


def test_only_one_publishes(pod) -> None:
    publisher = Publisher(pod, "", soon())
    with pytest.raises(OSError) as caught:
        Publisher(pod, "", soon())
    assert caught.value.errno == errno.EADDRINUSE
    publisher.close()
    Publisher(pod, "", soon()).close()


def test_a_token_keeps_those_apart_who_do_not_share_it(pod) -> None:
    publisher = Publisher(pod, "secret", soon())
    assert not Reader(pod).look()
    assert not Reader(pod, "other").look()
    assert Reader(pod, "secret").look()
    publisher.close()


def test_the_name_fits_whatever_the_pod_is_called() -> None:
    assert len(name("x" * 253, "y" * 200)) < 107


def test_nonsense_from_a_reader_or_a_publisher_is_no_harm(pod) -> None:
    publisher = Publisher(pod, "", soon())
    reader = Reader(pod)
    reader.look()
    assert reader.connection is not None
    reader.connection.send(b"\xff\xfe" * 3000 + b"\nin-flight -3\nin-flight many\nin-fl")
    publisher.poll()
    publisher.poll()
    reader.connection.send(b"ight 4\n")
    while publisher.poll() is None:
        pass
    assert publisher.poll() == 4
    next(iter(publisher.readers)).send(b"\xff\xfe\nsomething new\n")
    assert now_looks(reader)
    publisher.close()


def test_many_readers_at_once(pod) -> None:
    publisher = Publisher(pod, "", soon())
    readers = [Reader(pod) for _ in range(100)]
    assert all(reader.look(1) for reader in readers)
    publisher.poll()
    assert publisher.poll() == 100
    publisher.close()
    for reader in readers:
        reader.close()
