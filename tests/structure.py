"""The structure as the imports have it: python -m tests.structure [ROOT].

Rooms are folders and loose files of a folder; an arrow goes from a room to one that it imports from. Printed are their
numbers, circles of files, and pairs of rooms within one folder that import from each other.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("common", "stage1_segment", "stage2_classify")


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file, of all packages."""
    files = [path for package in PACKAGES for path in (root / package).rglob("*.py")]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def arrows(root: Path) -> dict[str, set[str]]:
    """Module -> the project's modules that it imports, anywhere in the file but for type checkers alone."""
    known = modules(root)
    return {name: set(_imports(ast.parse(path.read_text()), known)) - {name} for name, path in known.items()}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan 1972), each sorted."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def both_ways(graph: dict[str, set[str]]) -> list[str]:
    """Pairs of rooms within one folder, or of packages, that import from each other."""
    between: dict[tuple[str, str, str], str] = {}
    for source, targets in graph.items():
        for target in targets:
            a, b = source.split("."), target.split(".")
            depth = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            if depth < min(len(a), len(b)):
                between[".".join(a[:depth]), a[depth], b[depth]] = f"{source} -> {target}"
    pairs = [key for key in between if key[1] < key[2] and (key[0], key[2], key[1]) in between]
    return [f"{between[p]} and {between[p[0], p[2], p[1]]}" for p in sorted(pairs)]


def rooms(graph: dict[str, set[str]], root: Path) -> dict[str, set[str]]:
    """The graph of folders and loose files: a file of a package's top, or the folder that holds a file."""
    known = modules(root)

    def room(name: str) -> str:
        path = known[name].relative_to(root)
        return path.as_posix() if len(path.parts) == 2 else path.parent.as_posix()

    joined: dict[str, set[str]] = {}
    for source, targets in graph.items():
        joined.setdefault(room(source), set()).update(room(target) for target in targets)
    return {name: targets - {name} for name, targets in joined.items()}


def _imports(tree: ast.Module, known: dict[str, Path]) -> Iterator[str]:
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    unseen = {id(inner) for node in checked for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield from (name for name in (full if full in known else node.module,) if name in known)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1]
    imports = arrows(place)
    plan = rooms(imports, place)
    print(f"{len(imports)} files in {len(plan)} rooms, {sum(map(len, plan.values()))} arrows between rooms")
    for title, lines in (("circles of files", circles(imports)), ("both ways", both_ways(imports))):
        print(f"{title}: {len(lines)}", *lines, sep="\n  ")
