import signal

import pytest

from lameduck.core.podspec import ContainerSpec
from lameduck.core.probes import ProbeSpec
from lameduck.local.spec import LocalSpec, signal_number, spoken


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python -m shop.web --port 1", "shop.web"),
        ("/usr/bin/python3.12 -u app.py", "app"),
        ("bash -e start.sh python x.py", "start"),
        ("sh -c x", "sh"),
        ("gunicorn app:app", "gunicorn"),
        ("env A=1 node server.js", "server"),
        ("java -Xmx1g -jar shop-1.0.jar", "shop-1.0.jar"),
        ("./shop", "shop"),
        ("python", "python"),
    ],
)
def test_a_run_is_called_by_what_people_call_its_command(command: str, name: str) -> None:
    assert spoken(command.split()) == name


@pytest.mark.parametrize("said", ["QUIT", "SIGQUIT", "sigquit", "3"])
def test_a_stop_signal_is_said_as_images_say_it(said: str) -> None:
    assert signal_number(said) == signal.SIGQUIT


def test_a_real_time_signal_is_said_as_systemd_images_say_it() -> None:
    assert signal_number("SIGRTMIN+3") == signal.SIGRTMIN + 3


@pytest.mark.parametrize("said", ["RTMIN+x", "softly", "0", "99", ""])
def test_what_is_no_signal_is_none(said: str) -> None:
    with pytest.raises(ValueError, match="a signal such as SIGQUIT"):
        signal_number(said)


def test_a_stop_signal_stands_over_the_serving_container_only() -> None:
    probed = ProbeSpec()
    both = (ContainerSpec("web", readiness=probed), ContainerSpec("beside", readiness=probed, stop_signal=2))
    spec = LocalSpec(containers=both, serving="web", stop_signal=signal.SIGQUIT)
    assert [one.stop_signal for one in spec.pod().containers] == [signal.SIGQUIT, 2]
    assert LocalSpec(stop_signal=signal.SIGQUIT).pod().containers[0].stop_signal == signal.SIGQUIT
    assert LocalSpec(command=("true",)).pod().containers[0].stop_signal == signal.SIGTERM
