"""Imports run one way: `common` knows no stage, the stages don't know each other, there are no circles."""

from pathlib import Path

from structure import PACKAGES, arrows, both_ways, circles, modules

ROOT = Path(__file__).parents[1]


def test_circles_and_both_ways_are_found() -> None:
    graph = {"a.x.f": {"a.y.g"}, "a.y.g": {"a.z"}, "a.z": {"a.x.f"}, "a.x.h": set(), "a.y.k": {"a.x.h"}}
    assert circles(graph) == [["a.x.f", "a.y.g", "a.z"]]
    assert both_ways(graph) == ["a.x.f -> a.y.g and a.y.k -> a.x.h"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == [] == both_ways({"a.b": {"a.c"}, "a.c": set()})


def test_no_circle_and_no_arrow_back() -> None:
    graph = arrows(ROOT)
    assert len(graph) > 200
    assert circles(graph) == []
    assert both_ways(graph) == []


def test_common_knows_no_stage_and_the_stages_not_each_other() -> None:
    for name, targets in arrows(ROOT).items():
        others = {target.split(".")[0] for target in targets}
        assert others <= {name.split(".")[0], "common"}, name


def test_every_folder_says_what_comes_in_and_goes_out() -> None:
    for name, path in modules(ROOT).items():
        if path.name == "__init__.py" and name != "common":
            words = path.read_text()
            assert all(word in words.lower() for word in ("in:", "out:")), path
    assert {name for name in modules(ROOT) if "." not in name} == set(PACKAGES)
