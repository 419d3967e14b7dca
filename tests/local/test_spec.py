import pytest

from lameduck.local.spec import spoken


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
