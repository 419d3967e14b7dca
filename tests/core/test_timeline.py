from lameduck.core.timeline import Event, Milestone, Observation, fold


def test_the_first_mark_of_a_milestone_counts_since_the_api_rewrites_deletion_at_the_end() -> None:
    seen = [
        Observation(10, Milestone.DELETION_REQUESTED, "a", source="watch"),
        Observation(90, Milestone.DELETION_REQUESTED, "a", source="watch"),
    ]
    assert fold(seen)["a"].at(Milestone.DELETION_REQUESTED) == 10


def test_facts_of_a_pod_are_merged_in_the_order_they_came() -> None:
    seen = [
        Observation(1, Event.POD_FACT, "a", detail={"ip": "10.0.0.1", "pid": 7}),
        Observation(2, Event.POD_FACT, "a", detail={"pid": 8}),
    ]
    assert fold(seen)["a"].facts == {"ip": "10.0.0.1", "pid": 8}


def test_an_exit_code_is_what_the_exit_mark_says() -> None:
    pod = fold([Observation(5, Milestone.EXITED, "a", detail={"code": 137})])["a"]
    assert (pod.exit_code, pod.terminated) == (137, False)
