"""README and docs are true about the tree: files, make targets, modules and commands that they name exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import __version__

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/weights/*.md")])
PLACES = ("common", "stage1_segment", "stage2_classify", "tests", "configs", "docs")
LIBRARIES = ("pytest", "pip", "venv")
HISTORY = "CHANGELOG.md"
"""Names what was; its links are still checked."""


def python_files() -> set[str]:
    """Names of all Python files of the project, without their folders."""
    return {path.name for place in PLACES[:4] for path in (ROOT / place).rglob("*.py")}


def links(text: str) -> list[str]:
    """Relative targets of links and pictures, without their anchors."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target.split("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]


def code(text: str) -> list[str]:
    """Spans between backticks, lines of fenced blocks, and lines that are indented by four or more."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)]
    blocks = [line for line in rest.splitlines() if line.startswith("    ")]
    return [*spans, *blocks, *(line for block in fenced for line in block.splitlines())]


def paths(text: str) -> list[str]:
    """Words of code that look like files or folders of the repository; those with a placeholder are left out."""
    begin = tuple(f"{place}/" for place in PLACES)
    words = (word.split("::")[0].strip("'\"(),;:") for piece in code(text) for word in piece.split())
    return [word.rstrip(".") for word in words if word.startswith(begin) and not re.search(r"[<>*{}\[]|\.\.\.", word)]


def targets(text: str) -> list[str]:
    """Targets of `make` in code: `make classify submit RUN=x` has two."""
    found = []
    for piece in code(text):
        piece = re.sub(r"\s#.*", "", piece)
        for words in re.findall(r"(?:^|[\s;&])(?:\./)?make(?:\.sh)?((?: +[^\s;&#|]+)*)", piece):
            found += [word for word in words.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
    return found


def run_by_python(text: str) -> list[str]:
    """Names after `python -m` in code."""
    return [name.rstrip(".") for piece in code(text) for name in re.findall(r"python -m ([\w.]+)", piece)]


def dotted(text: str) -> list[str]:
    """Dotted names of the project's own packages in code."""
    own = "|".join(PLACES[:3])
    names = [name for piece in code(text) for name in re.findall(rf"(?<![\w./-])(?:{own})\.[\w.]+", piece)]
    return [name.rstrip(".") for name in names]


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Stage and command of every `python -m STAGE COMMAND`, also of `python -m STAGE a|b`."""
    for piece in code(text):
        for stage, words in re.findall(r"python -m (stage\w+|common\.dataset) ([a-z|-]+)", piece):
            yield from ((stage, word) for word in words.split("|") if word and not word.startswith("-"))


def source_of(name: str) -> tuple[Path, list[str]] | None:
    """The file that a dotted name leads to, and what of the name is left within it; nothing is imported."""
    parts = name.split(".")
    for depth in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:depth])
        for source in (place.with_suffix(".py"), place / "__init__.py"):
            if source.exists():
                return source, parts[depth:]
    return None


def is_known(name: str) -> bool:
    """Whether a dotted name is a module's, or that of something defined in one."""
    found = source_of(name)
    if found is None:
        return False
    source, rest = found
    return not rest or re.search(rf"^\s*(?:def |class )?{rest[0]}\b", source.read_text(), re.MULTILINE) is not None


def can_be_run(name: str) -> bool:
    """Whether `python -m NAME` finds something to run."""
    found = source_of(name)
    if found is None or found[1]:
        return False
    source = found[0]
    if source.name == "__init__.py":
        return (source.parent / "__main__.py").exists()
    return "__main__" in source.read_text()


def test_what_is_looked_for_is_found() -> None:
    text = "See [a](docs/a.md#b) and `tests/x.py::test_y`, `make classify submit RUN=x`; [b](https://c.d).\n"
    text += "```\npython -m stage1_segment train --config configs/x.yaml\n```\n\n    make -n help   # a make\n"
    text += "We make nothing here; `python -m stage2_classify score|report`, `common.outputs.store`.\n"
    assert links(text) == ["docs/a.md"]
    assert paths(text) == ["tests/x.py", "configs/x.yaml"]
    assert targets(text) == ["classify", "submit", "help"]
    assert run_by_python(text) == ["stage2_classify", "stage1_segment"]
    assert dotted(text) == ["common.outputs.store"]
    named = [("stage2_classify", "score"), ("stage2_classify", "report"), ("stage1_segment", "train")]
    assert list(commands(text)) == named


def test_modules_are_told_from_what_is_none() -> None:
    assert all(map(is_known, ("common.reading", "common.outputs.store", "common.outputs.store.atomic")))
    assert not any(map(is_known, ("common.nothing", "common.outputs.store.nothing", "stage3", "common.labels.no")))
    assert can_be_run("common.reading") and can_be_run("tests.mutations")
    assert not can_be_run("common.outputs") and not can_be_run("common.labels") and not can_be_run("common.nothing")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    assert [link for link in links(text) if not (page.parent / link).exists()] == []
    if page.name == HISTORY:
        return
    assert [path for path in paths(text) if not (ROOT / path).exists()] == []
    assert [name for name in re.findall(r"`([\w.]+\.py)`", text) if name not in python_files()] == []
    makefile = (ROOT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    assert [target for target in targets(text) if target not in known] == []
    assert [name for name in run_by_python(text) if name not in LIBRARIES and not can_be_run(name)] == []
    assert [name for name in dotted(text) if not is_known(name)] == []
    for stage, command in commands(text):
        source = (ROOT / stage.replace(".", "/") / "__main__.py").read_text()
        assert f'"{command}"' in source, f"{stage} {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_code_ends(page: Path) -> None:
    """With nothing behind its end: else all of the page that follows is taken for code."""
    ends = re.findall(r"^ *```.*$", page.read_text(), re.MULTILINE)[1::2]
    assert [end for end in ends if end.strip() != "```"] == [] and page.read_text().count("\n```") % 2 == 0


def test_the_site_links_to_what_it_holds() -> None:
    """A link out of docs/ leads nowhere on the site; the first page leads to all others."""
    pages = {page.name: set(links(page.read_text())) for page in ROOT.glob("docs/*.md")}
    assert {name: found for name, found in pages.items() if any("../" in link for link in found)} == {}
    assert set(pages) - pages["index.md"] == {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tests_that_a_page_names_exist(page: Path) -> None:
    files = list((ROOT / "tests").rglob("test_*.py"))
    known = [path.name for path in files]
    known += [name for path in files for name in re.findall(r"def (test_\w+)", path.read_text())]
    named = re.findall(r"`(test_\w+(?:\.py|\.\.\.)?)`", page.read_text())
    assert [name for name in named if not any(test.startswith(name.removesuffix("...")) for test in known)] == []


def test_every_target_is_phony_and_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", makefile, re.MULTILINE)
    assert phony and set(shlex.split(phony[1].replace("\\\n", " "))) == known
    assert known == set(re.findall(r"^([a-z][a-z-]*):.*## \S", makefile, re.MULTILINE))


def test_every_page_is_in_the_navigation() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    named = re.findall(r": (\S+\.md)$", nav, re.MULTILINE)
    assert sorted(named) == sorted(page.name for page in ROOT.glob("docs/*.md"))


def test_there_is_one_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version = (.*)", (ROOT / "pyproject.toml").read_text(), re.MULTILINE) == [
        '{ attr = "common.__version__" }'
    ]
