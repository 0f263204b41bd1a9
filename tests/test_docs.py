"""The documentation is true: links lead somewhere, commands exist, pictures parse, and the tutorial runs as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import hwsim
from hwsim.cosim.toolchain import SIMULATORS, require
from hwsim.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "changelog.d/*.md", "accelerators/**/*.md", "rtl_models/**/*.md")
    for path in ROOT.glob(pattern)
)
BLOCK = re.compile(r"^```(?P<language>\w*)(?: *(?P<title>[\w./-]+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#([^)\s]+))?\)")


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that a Markdown page's headings give, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target, anchor in LINK.findall(text):
        path = (page.parent / target).resolve()
        assert path.exists(), f"{page_id(page)} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page_id(page)} links to {target}#{anchor}"


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "docs" / "index.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        todo += [(page.parent / target).resolve() for target, _ in LINK.findall(page.read_text(encoding="utf-8"))]
    unreachable = [page_id(p) for p in PAGES if p not in seen and p.parts[-2] != "changelog.d"]
    assert unreachable == []


def test_the_two_commands_of_the_readme_are_targets() -> None:
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert named >= {"demo", "test"}
    assert named <= targets
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("picture", sorted(ROOT.glob("docs/**/*.svg")), ids=page_id)
def test_pictures_are_drawings_and_nothing_else(picture: Path) -> None:
    tags = {element.tag.rpartition("}")[2] for element in ET.parse(picture).iter()}
    assert "svg" in tags
    assert tags.isdisjoint({"script", "foreignObject", "image"})


def test_changelog_fragments_are_collected() -> None:
    fragments = [p for p in (ROOT / "changelog.d").iterdir() if p.name != "README.md"]
    misnamed = [
        p.name for p in fragments if not re.fullmatch(r"(\d+|\+[a-z0-9-]+)\.(added|changed|fixed|removed)\.md", p.name)
    ]
    assert misnamed == []
    draft = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "0.0.0"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for fragment in fragments:
        assert fragment.read_text(encoding="utf-8").split()[0] in draft


# --- pages that run ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file name beside the language if there is one, its text and its line."""

    language: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    source = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(source):
        yield Block(match["language"], match["title"] or "", match["text"], source.count("\n", 0, match.start()) + 2)


def run_block(block: Block, folder: Path) -> str:
    """Run a bash or Python block in `folder`; what it printed on stdout."""
    interpreter = {"bash": ["bash", "-eu", "-o", "pipefail"], "python": [sys.executable]}[block.language]
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(
        interpreter, input=block.text, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"line {block.line}:\n{block.text}\n{done.stdout}{done.stderr}"
    return done.stdout


def told(text: str) -> list[str]:
    """The lines of an output; empty ones are left out, and any run of spaces counts as one."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def run_page(page: Path, folder: Path) -> int:
    """Do what a page says: write each block with a file name, run each bash and Python block, and compare what it
    printed with the text block after it, in which a line "..." stands for any lines. The number of blocks run."""
    printed = ""
    ran = 0
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language in ("bash", "python"):
            printed = run_block(block, folder)
            ran += 1
        elif block.language == "text":
            assert_printed(block, printed)
    return ran


def assert_printed(block: Block, printed: str) -> None:
    """The lines of a text block occur in `printed`, in order and gapless but where the block says "..."."""
    actual = told(printed)
    at = 0
    for number, chunk in enumerate(re.split(r"^\.\.\.$", block.text, flags=re.MULTILINE)):
        wanted = told(chunk)
        starts = range(at, len(actual) - len(wanted) + 1) if number else range(1)
        found = [s for s in starts if actual[s : s + len(wanted)] == wanted]
        assert found, f"line {block.line} says\n{chunk}\nbut it printed\n{printed}"
        at = found[0] + len(wanted)


def test_the_comparison_can_fail() -> None:
    assert_printed(Block("text", "", "a\n...\nc\n", 1), "a\nb\nc\nd\n")
    with pytest.raises(AssertionError):
        assert_printed(Block("text", "", "a\nc\n", 1), "a\nb\nc\n")
    with pytest.raises(AssertionError):
        assert_printed(Block("text", "", "...\nz\n", 1), "a\nb\n")


def test_the_example_of_the_readme(tmp_path: Path) -> None:
    [example] = [block for block in blocks(ROOT / "README.md") if block.language == "text"]
    assert_printed(example, run_block(Block("bash", "", "hwsim run -a optimus -w transformer-base", 0), tmp_path))


def require_or_skip(simulator: str) -> None:
    try:
        require(simulator)
    except InputError as missing:
        pytest.skip(str(missing))


def test_tutorial(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    for simulator in SIMULATORS:
        require_or_skip(simulator)
    ran = run_page(ROOT / "docs" / "tutorial.md", tmp_path)
    print(f"tutorial: {ran} blocks ran")
    assert ran == 9


def test_every_key_of_a_result_is_explained() -> None:
    answer = hwsim.run("i7-6900k", "transformer-base", bind={"n": 4, "m": 2}).as_json()
    layer = answer["layers"][0]  # type: ignore[index]
    page = (ROOT / "docs" / "result.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    explained = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert explained == set(answer) | set(layer)
