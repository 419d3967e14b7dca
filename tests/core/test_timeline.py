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


def test_a_pod_is_routed_while_any_table_holds_it() -> None:
    def table(at: int, node: str, *pods: str) -> Observation:
        return Observation(at, Event.ROUTES_CHANGED, node, detail={"pods": pods})

    born = Observation(0, Milestone.CREATED, "a")
    seen = [born, table(1, "n", "a", "b"), table(2, "m", "a")]
    assert fold(seen)["a"].facts == {"routed": True}
    assert fold([*seen, table(3, "n", "b")])["a"].facts == {"routed": True}
    assert fold([*seen, table(3, "n", "b"), table(9, "m")])["a"].facts == {"routed": False, "unrouted_at": 9}
