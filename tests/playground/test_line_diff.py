"""Line differences: applying the changes gives the new text, with any work allowed."""

from hypothesis import given
from hypothesis import strategies as st

from webhook.playground.line_diff import Change, LineDiffer

LINES = st.lists(st.sampled_from(["a", "b", "- c", ""]), max_size=12)


def applied(old, new, changes):
    """The old lines with the changes applied from bottom to top."""
    result = list(old)
    for change in reversed(changes):
        result[change.old_start : change.old_end] = new[change.new_start : change.new_end]
    return result


@given(LINES, LINES, st.sampled_from([0, 20, 1000]))
def test_the_changes_turn_the_old_lines_into_the_new_ones(old, new, comparisons):
    assert applied(old, new, LineDiffer(comparisons).changes(old, new)) == new


@given(LINES)
def test_equal_texts_have_no_changes(lines):
    assert LineDiffer(0).changes(lines, list(lines)) == []


def test_unchanged_lines_around_a_change_are_no_part_of_it():
    old, new = ["a", "b", "c", "d"], ["a", "b", "x", "y", "c", "d"]
    assert LineDiffer().changes(old, new) == LineDiffer(0).changes(old, new) == [Change(2, 2, 2, 4)]


def test_work_that_is_used_up_leaves_one_block():
    old, new = ["a", "b", "c"], ["x", "b", "y"]
    differ = LineDiffer(9)
    assert len(differ.changes(old, new)) == 2
    assert differ.changes(old, new) == [Change(0, 3, 0, 3)]
