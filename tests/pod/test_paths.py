"""A normal path is what is left when empty segments and `.` are taken out, for every way to write a path."""

from hypothesis import given
from hypothesis import strategies as st

from webhook.pod.paths import PATH_MAX, normal_path


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment not in ("", ".")]


@given(st.text("/.a", max_size=40))
def test_no_way_to_write_a_path_changes_its_segments(path: str) -> None:
    assert normal_path(path) == "/" + "/".join(_segments(path))


@given(st.sampled_from(("/", "/.", "/./", "//.", "/.a/", "/../")), st.integers(1, PATH_MAX // 4))
def test_long_runs_of_the_same_segment_are_normalized_too(piece: str, times: int) -> None:
    assert normal_path(piece * times) == "/" + "/".join(_segments(piece * times))
