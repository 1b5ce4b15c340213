from glmcli.engines.local.ids import shared_prefix


def test_shared_prefix_counts_equal_ids_from_the_start():
    assert shared_prefix([1, 2, 3], [1, 2, 4, 5]) == 2
    assert shared_prefix([1, 2], [1, 2, 3]) == 2
    assert shared_prefix([], [1]) == 0
