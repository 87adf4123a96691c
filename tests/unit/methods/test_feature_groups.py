from contrail.methods.feature_groups import Group, watched, watcher

ONE, OTHER = Group(("depot",), ("late_7d",)), Group((), ("all_1d", "all_7d"))


def test_groups_are_noted_once_in_order_and_only_some_are_left_out():
    with watched([OTHER]) as found:
        assert [found.leaves_out(group) for group in (ONE, OTHER, ONE)] == [False, True, False]
    assert found.groups == [ONE, OTHER]
    assert [group.name for group in found.groups] == ["depot", "the whole day"]


def test_nobody_watches_outside_and_the_outer_watches_again():
    assert watcher() is None
    with watched() as outer:
        with watched() as inner:
            assert watcher() is inner
        assert watcher() is outer
    assert watcher() is None
