"""README, CONTRIBUTING and .ci/run say what the tree does, and nothing tracked names a registry or a machine."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from medllm.errors import UserError
from medllm.report import readme_block, recipes_block
from medllm.report.markdown import BEGIN, END, RECIPES_BEGIN, RECIPES_END
from pipeline.readme import fill

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PINNED = re.search(r'"(torch==[\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMPARE = "artifacts/metrics/compare.json"
# in halves, so that this file does not name them itself
FORBIDDEN = re.compile(
    "|".join(
        [
            "py" + r"pi\.org",
            "pythonho" + "sted",
            r"download\.py" + r"torch\.org",
            "anacon" + r"da\.org",
            r"(?<![\w.])/(?:ro" + "ot|ho" + "me|wo" + "rk|op" + r"t)/",
        ]
    )
)


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "core.quotePath=false", *arguments], cwd=ROOT, capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout


def _block(readme: str) -> str:
    return readme.partition(BEGIN)[2].partition(END)[0].strip()


def test_markers_stand_once_and_in_order() -> None:
    assert README.count(BEGIN) == README.count(END) == 1
    assert README.index(BEGIN) < README.index(END)


def test_block_is_that_of_the_committed_run() -> None:
    # from the index, both: the working tree may hold the timings of a later run
    assert _git("ls-files", COMPARE), f"{COMPARE} is not in git; run dvc repro and commit it with README.md"
    expected = readme_block(json.loads(_git("show", f":{COMPARE}")))
    assert _block(_git("show", ":README.md")) == expected.strip(), "run python -m pipeline.readme, and commit README.md with compare.json"


def test_recipes_are_those_of_the_newest_results() -> None:
    block = README.partition(RECIPES_BEGIN)[2].partition(RECIPES_END)[0].strip()
    assert block == recipes_block(ROOT / "artifacts" / "results").strip(), "run python -m pipeline.readme"


def test_fill_puts_the_recipes_between_their_own_markers(tmp_path: Path) -> None:
    record = {"recipe": "default", "model": "student", "seeds": [13], "failed": [], "path": ["base", "teacher"], "metrics": {}}
    content = {"summary": [record], "reference": "default", "device": "CPU", "rows": [], "items": {}}
    (tmp_path / "2026-01-02-recipes.json").write_text(json.dumps(content), encoding="utf-8")
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\nbetween\n{RECIPES_BEGIN}\nold\n{RECIPES_END}\nafter\n", encoding="utf-8")
    fill(readme, ROOT / COMPARE, tmp_path)
    report, _, rest = readme.read_text(encoding="utf-8").partition(f"{END}\nbetween\n{RECIPES_BEGIN}\n")
    assert "champion" in report
    assert rest.startswith("| 레시피 ")
    assert "| default | teacher |" in rest
    assert "old" not in rest
    assert rest.endswith(f"\n{RECIPES_END}\nafter\n")


def test_ci_runs_the_test_line_as_it_stands() -> None:
    assert PINNED is not None
    printed = subprocess.run(
        [str(ROOT / ".ci" / "run"), "--test-line"], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout
    test_line = f'python3.11 -m venv .venv && . .venv/bin/activate && pip install {PINNED[1]} -e ".[test]" && pytest'
    assert printed == f"{test_line}\n"
    assert (
        README.count(f"<!-- test-line -->\n```bash\n{test_line}\n```\n")
        == README.count("<!-- test-line -->")
        == README.count(test_line)
        == 1
    )


def test_run_line_differs_only_in_extra_and_command() -> None:
    assert PINNED is not None
    line = f"python3.11 -m venv .venv && . .venv/bin/activate && pip install {PINNED[1]} -e . && dvc repro"
    assert README.count(f"<!-- run-line -->\n```bash\n{line}\n```\n") == 1


def test_fill_writes_nothing_without_a_run(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"compare\.json: no such file; run dvc repro first"):
        fill(readme, tmp_path / "compare.json", tmp_path)
    assert readme.read_text(encoding="utf-8") == f"{BEGIN}\n{END}\n"


def test_command_fails_in_one_line(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pipeline.readme"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("error: artifacts/metrics/compare.json: no such file")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_files_named_in_documents_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/<])(?:conf|data/knowledge|medllm|pipeline|tests)/[\w/]+\.(?:py|yaml|csv)\b", text))
    modules = {f"{name.replace('.', '/')}.py" for name in re.findall(r"python -m ((?:pipeline|medllm)\.\w+)", text)}
    assert modules
    assert not [name for name in sorted(named | modules) if not (ROOT / name).is_file()]


@pytest.mark.parametrize("override", sorted(set(re.findall(r"-S '?([\w.]+=[\w./,-]+)", README))))
def test_overrides_of_the_readme_compose(override: str) -> None:
    from pipeline.compose import compose

    key, _, values = override.partition("=")
    group = {"model.source": ["model=local"], "model.weights": ["model=polyglot_ko_1_3b"]}.get(key, [])
    for value in values.split(","):
        compose([*group, f"{key}={value}"])


def test_no_registry_host_and_no_machine_path_in_tracked_text() -> None:
    found = []
    for name in _git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
        path = ROOT / name
        if not name or not path.is_file() or b"\0" in (content := path.read_bytes()):
            continue
        lines = content.decode("utf-8").splitlines()
        found += [f"{name}:{number}: {match[0]}" for number, line in enumerate(lines, 1) if (match := FORBIDDEN.search(line))]
    assert not found
