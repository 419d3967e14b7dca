from lameduck.kube.proxymetric import Programmed, in_words, parse

PAGE = """\
# TYPE kubeproxy_network_programming_duration_seconds histogram
kubeproxy_network_programming_duration_seconds_bucket{le="0.25"} 3
kubeproxy_network_programming_duration_seconds_bucket{le="+Inf"} 12
kubeproxy_network_programming_duration_seconds_sum 9.6
kubeproxy_network_programming_duration_seconds_count 12
kubeproxy_sync_proxy_rules_duration_seconds_count 40
"""


def test_the_metric_is_read_out_of_its_page() -> None:
    assert parse(PAGE) == Programmed(12, 9.6)
    assert parse("kubeproxy_sync_proxy_rules_duration_seconds_count 40\n") is None


def test_only_what_came_during_the_run_counts_also_after_a_restart() -> None:
    assert Programmed(12, 9.5).since(Programmed(10, 7.5)) == Programmed(2, 2.0)
    assert Programmed(2, 1.0).since(Programmed(10, 7.5)) == Programmed(2, 1.0)


def test_it_is_said_that_it_does_not_measure_the_removal() -> None:
    words = in_words(Programmed(2, 2.0))
    assert "2 changes, 1000 ms on average" in words
    assert "not the removal" in words
    assert not in_words(Programmed(0, 0))
