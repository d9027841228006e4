"""Keep a winner: python -m pipeline.promote <experiment or git revision> | --search pareto --trial 7 [--as NAME]

Writes what it changed to conf/experiment/<name>.yaml, names that as the default in conf/config.yaml, and composes params.yaml, which then
is that of the experiment. Of an experiment it also brings dvc.lock and the outputs, so that `dvc repro` has nothing to build that DVC's
cache holds; a trial of a search is brought by `dvc repro`, from the cache too.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml
from omegaconf import OmegaConf

from medllm.errors import UserError
from pipeline.clone_run import output_of
from pipeline.compose import PARAMS, compose
from pipeline.messages import one_line_errors
from pipeline.promote_diff import Values, composed, experiment_text, typed
from pipeline.search_record import point_of, read_results, results_file

CONFIG = Path("conf/config.yaml")
LOCK = Path("dvc.lock")


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.promote", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", nargs="?", help="name of a DVC experiment, or a git revision")
    parser.add_argument("--search", metavar="NAME", help="of a search")
    parser.add_argument("--trial", type=int, help="number of its trial")
    parser.add_argument("--as", dest="name", help="name in conf/experiment (that of the experiment, or <search>_<trial>)")
    given = parser.parse_args(words)
    if (given.experiment is None) == (given.search is None) or (given.search is None) != (given.trial is None):
        parser.error("give an experiment, or --search with --trial")
    return given


def revision_of(name: str) -> str:
    """The commit of a DVC experiment, of HEAD's where several have this name, or of a git revision."""
    head = output_of("git", "rev-parse", "HEAD")
    refs = [line.split() for line in output_of("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()]
    found = {"".join(ref.split("/")[2:4]): commit for ref, commit in refs if ref.count("/") == 4 and ref.split("/")[4] == name}
    if len(found) > 1 and head not in found:
        raise UserError(f"{name}: {len(found)} experiments of other commits have this name; give the revision of one (dvc exp show -A)")
    if found:
        return found.get(head) or next(iter(found.values()))
    try:
        return output_of("git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except UserError:
        raise UserError(f"{name}: neither a DVC experiment nor a git revision; dvc exp show -A lists the experiments") from None


def _of_trial(search: str, number: int) -> tuple[Values, str]:
    path = results_file(search)
    if path is None:
        raise UserError(f"--search {search}: no results in artifacts/searches; run python -m pipeline.search --name {search}")
    row = next((row for row in read_results(path)["trials"] if row["number"] == number), None)
    if row is None or row["error"]:
        raise UserError(f"{path}: {f'trial {number} failed' if row else f'there is no trial {number}'}; --show lists the best ones")
    return composed(point_of(row).overrides), f"trial {number} of search {search}, model {row['model']}"


def _check_free(name: str) -> Path:
    path = CONFIG.parent / "experiment" / f"{name}.yaml"
    if not re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII):
        raise UserError(f"{name}: not a name for a file of conf/experiment; choose one with --as")
    if path.exists():
        raise UserError(f"{path}: exists; choose another name with --as")
    if output_of("git", "status", "--porcelain", "--", "conf"):
        raise UserError("conf/ has changes that are not committed; commit them or take them back first (git status conf)")
    return path


def _config_text(name: str) -> str:
    """conf/config.yaml with this experiment as the default."""
    text, count = re.subn(r"(?m)^(\s*- experiment: )\S+", rf"\g<1>{name}", CONFIG.read_text(encoding="utf-8"))
    if count != 1:
        raise UserError(f"{CONFIG}: its defaults list names no experiment; add the line `- experiment: null` at its end")
    return text


@contextmanager
def _kept(paths: Sequence[Path]) -> Iterator[None]:
    """Files are put back as they were when the block fails."""
    before = {path: path.read_bytes() if path.is_file() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, content in before.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content)
        _dvc("checkout", "--quiet", "--allow-missing")  # the models that belong to them
        raise


def _dvc(*words: str) -> str:
    command = [sys.executable, "-m", "dvc", *words]
    # dvc.yaml says `python`
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if re.match(r"error: |ERROR: ", line)] or done.stderr.splitlines() or ["failed"]
        raise UserError(f"dvc {words[0]}: {re.sub('^(error|ERROR): ', '', told[0])}")
    return done.stdout


def _tracked_outputs(revision: str) -> list[Path]:
    """Outputs of the experiment's stages that are in git: metrics and the like."""
    lock = yaml.safe_load(output_of("git", "show", f"{revision}:{LOCK.as_posix()}"))
    outs = sorted({out["path"] for stage in lock["stages"].values() for out in stage.get("outs", [])})
    return [Path(line) for line in output_of("git", "ls-tree", "-r", "--name-only", revision, "--", *outs).splitlines()]


def _check_unsaved(revision: str, paths: Sequence[Path]) -> None:
    """UserError for a result that is neither committed nor that of the experiment: it would be lost."""
    if not paths:
        return
    names = [path.as_posix() for path in paths]
    unsaved = set(output_of("git", "diff", "--name-only", "HEAD", "--", *names).splitlines())
    other = set(output_of("git", "diff", "--name-only", revision, "--", *names).splitlines())
    if lost := sorted(unsaved & other):
        raise UserError(f"{lost[0]}: changed and not committed, and {len(lost) - 1} more; commit the results of the last run first")


def _bring(revision: str, paths: Sequence[Path]) -> None:
    """dvc.lock, metrics and outputs of the experiment. Not `dvc exp apply`: that takes its code too, and hides what is not committed."""
    output_of("git", "restore", f"--source={revision}", "--worktree", "--", *(path.as_posix() for path in paths))
    _dvc("checkout", "--quiet", "--allow-missing")


def promote(given: argparse.Namespace) -> list[str]:
    """All or nothing; stages that `dvc repro` has yet to run."""
    revision = "" if given.experiment is None else revision_of(given.experiment)
    name = given.name or given.experiment or f"{given.search}_{given.trial}"
    path = _check_free(name)
    if revision:
        params = OmegaConf.create(output_of("git", "show", f"{revision}:{PARAMS}"))
        wanted, origin = typed(params), given.experiment if given.experiment == revision else f"{given.experiment} ({revision[:7]})"
    else:
        wanted, origin = _of_trial(given.search, given.trial)
    if wanted == composed([]):
        raise UserError(f"{origin}: conf/ says the same already, nothing to keep")
    text, config = experiment_text(wanted, origin=origin), _config_text(name)
    brought = [LOCK, *_tracked_outputs(revision)] if revision else []
    _check_unsaved(revision, brought)
    with _kept([path, CONFIG, PARAMS, *brought]):
        path.write_text(text, encoding="utf-8")
        CONFIG.write_text(config, encoding="utf-8")
        PARAMS.write_text(OmegaConf.to_yaml(compose()), encoding="utf-8")  # dvc.yaml takes its models from it: before the checkout
        if revision:
            _bring(revision, brought)
        _dvc("repro", "--quiet", "--single-item", "config")
    left = sorted(json.loads(_dvc("status", "--json")))
    if left == ["track"]:  # for the stamp of conf/ alone
        _dvc("repro", "--quiet", "--single-item", "track")
        left = []
    return left


def main() -> None:
    """Keep one winner, from the repository root."""
    given = _arguments(None)
    with one_line_errors(UserError, OSError, interrupted="nothing was kept half-written, run the same command again"):
        left = promote(given)
    name = given.name or given.experiment or f"{given.search}_{given.trial}"
    print(f"conf/experiment/{name}.yaml: written, and the default now")  # noqa: T201
    print(f"dvc repro has yet to run: {', '.join(left)}" if left else "dvc repro has nothing to do")  # noqa: T201


if __name__ == "__main__":
    main()
