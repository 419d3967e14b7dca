"""How many evictions a PodDisruptionBudget allows: the disruption controller's arithmetic."""

import pytest

from lameduck.core.budget import Budget


@pytest.mark.parametrize(
    ("least", "most", "healthy", "expected", "allowed"),
    [
        (2, None, 3, 3, 1),
        (3, None, 3, 3, 0),
        (2, None, 2, 3, 0),
        ("50%", None, 3, 3, 1),  # 1.5 rounds up to 2
        (None, 1, 3, 3, 1),
        (None, 1, 2, 3, 0),
        (None, "34%", 3, 3, 2),  # 1.02 rounds up to 2
        (None, 0, 3, 3, 0),
        (0, None, 3, 3, 3),
        (None, "100%", 2, 3, 2),
        (5, None, 3, 3, 0),
    ],
)
def test_what_is_needed_healthy_is_kept(
    least: int | str | None, most: int | str | None, healthy: int, expected: int, allowed: int
) -> None:
    assert Budget("b", least, most).allows(healthy, expected) == allowed


def test_anything_but_a_number_or_a_percentage_is_refused() -> None:
    with pytest.raises(ValueError, match="not 'half'"):
        Budget("b", "half").allows(1, 1)
