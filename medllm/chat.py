"""Talk to a package in the terminal: `python -m medllm.chat`.

Imports neither torch nor transformers; the model is opened only when an answer needs it.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medllm.data.aihub.options import squeeze
from medllm.errors import UserError
from medllm.safety.messages import NOTICE, long_text, red_flag_text, unknown_text
from medllm.safety.normalise import readable
from medllm.safety.redflags import RedFlags

if TYPE_CHECKING:
    from medllm.data.prompts import Prompts
    from medllm.engines import Engine
    from medllm.graph.retrieve import Retriever

MAX_QUESTION = 500  # characters; the red flags are looked for in longer texts too
_FACTS = 3  # retrieved facts put before a question of a grounded package
_BROKEN = "\ufffd"
_END_WORD = "종료"


class Consultation:
    """One package, opened piece by piece: rules at once, graph and model with the first question that needs them."""

    def __init__(self, package: Path, *, max_new_tokens: int, threads: int) -> None:
        """Raises UserError when the folder or its red-flag rules are missing."""
        if not package.is_dir():
            raise UserError(f"{package}: 패키지 폴더가 없습니다; 'dvc repro package'로 먼저 만들어 주십시오")
        self.package, self.max_new_tokens, self.threads = package, max_new_tokens, threads
        self.red_flags = RedFlags.load(package / "redflags.csv")
        self._engine: Engine | None = None

    def answer(self, question: str) -> Iterator[str]:
        """The answer in pieces. Order: red flags, then what the package knows about, then the model."""
        flag = self.red_flags.check(question)
        if flag is not None:
            yield red_flag_text(flag)
            return
        question = readable(question).strip()
        grounded = self._grounded
        if len(question) > MAX_QUESTION:
            yield long_text(MAX_QUESTION)
        elif not self.knows(question):
            yield unknown_text()
        elif grounded:
            yield self._from_facts(question)
        else:
            yield from self._generated(question)

    def knows(self, question: str) -> bool:
        """Whether anything of the graph is named in the question."""
        return bool(self._retriever.linker.link(question))

    def read_manifest(self) -> dict[str, Any]:
        """manifest.json. Raises UserError when it is missing or no JSON object with a boolean `grounded` and a text `banner`, if any."""
        path = self.package / "manifest.json"
        if not path.is_file():
            raise UserError(f"{path}: 파일이 없습니다; 'dvc repro package'로 패키지를 다시 만들어 주십시오")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path}: JSON을 읽을 수 없습니다({error}); 패키지를 다시 만들어 주십시오") from error
        good = isinstance(content, dict) and isinstance(content.get("grounded", False), bool) and isinstance(content.get("banner", ""), str)
        if not good:
            raise UserError(f"{path}: 형식이 올바르지 않습니다; 패키지를 다시 만들어 주십시오")
        return dict(content)

    def close(self) -> None:
        """Free the model, if it was opened."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    @cached_property
    def _grounded(self) -> bool:
        return bool(self.read_manifest().get("grounded", False))

    @cached_property
    def _retriever(self) -> "Retriever":
        from medllm.graph.retrieve import Retriever
        from medllm.graph.store import Graph

        return Retriever(Graph.load(self.package))

    @cached_property
    def _prompts(self) -> "Prompts":
        from medllm.data.prompts import Prompts

        return Prompts.load(self.package / "model")

    def _open_engine(self) -> "Engine":
        if self._engine is None:
            from medllm.engines import open_engine

            self._engine = open_engine(self.package / "model", threads=self.threads)
        return self._engine

    def _from_facts(self, question: str) -> str:
        """The model's answer as long as it says nothing but the best retrieved fact, else that fact itself."""
        facts = [fact.text for fact in self._retriever.facts_for(question, limit=_FACTS)]
        if not facts:
            return unknown_text()
        prompt = self._prompts.question(question, facts=facts)
        ids = self._open_engine().stream(prompt, max_new_tokens=self.max_new_tokens)
        said = "".join(stable_pieces(ids, self._prompts))
        supported = said and squeeze(said) in squeeze(facts[0])
        return f"{said if supported else facts[0]}\n{NOTICE}"

    def _generated(self, question: str) -> Iterator[str]:
        prompt = self._prompts.question(question)
        ids = self._open_engine().stream(prompt, max_new_tokens=self.max_new_tokens)
        said = False
        for piece in stable_pieces(ids, self._prompts):
            said = True
            yield piece
        yield f"\n{NOTICE}" if said else unknown_text()


def stable_pieces(ids: Iterable[int], prompts: "Prompts") -> Iterator[str]:
    """Text of a token stream as it becomes final: all ids are decoded each time, and broken UTF-8 is left out until it is whole.

    Blanks at the start are dropped; blanks at the end come only with what follows them. An all-blank stream gives nothing.
    """
    seen: list[int] = []
    said = 0
    for token in ids:
        seen.append(token)
        text = prompts.decode(seen).replace(_BROKEN, "").strip()
        if len(text) > said:
            yield text[said:]
            said = len(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # a terminal may be in another code page
    options = _parser().parse_args(arguments)
    consultation: Consultation | None = None
    try:
        consultation = Consultation(options.package, max_new_tokens=options.max_new_tokens, threads=options.threads)
        if options.once is None:
            _interactive(consultation)
        else:
            _say(consultation.answer(options.once))
    except UserError as error:
        sys.stderr.write(f"상담을 진행할 수 없습니다: {error}\n")
        return 1
    except KeyboardInterrupt:
        _say(["\n상담을 마칩니다."])
    except BrokenPipeError:  # the reader has gone (| head): nothing more can be said, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        if consultation is not None:
            consultation.close()
    return 0


def _interactive(consultation: Consultation) -> None:
    banner = consultation.read_manifest().get("banner")  # a broken package is reported before the first question
    if banner:
        _say([banner])
    _say([f"안녕하십니까. 궁금한 점을 입력해 주십시오. 마치려면 빈 줄이나 '{_END_WORD}'를 입력하십시오.", f"\n{NOTICE}"])
    while True:
        try:
            question = input("질문> ").strip()
        except EOFError:
            _say([""])
            break
        if question in {"", _END_WORD}:
            break
        _say(consultation.answer(question))
    _say(["상담을 마칩니다. 건강하십시오."])


def _say(pieces: Iterable[str]) -> None:
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: 1 이상의 정수를 적어 주십시오")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m medllm.chat", description="의료 상담 패키지와 대화합니다(일반 건강정보이며 진단·처방이 아닙니다)."
    )
    parser.add_argument("--package", type=Path, default=Path("artifacts/package"), help="패키지 폴더 (기본값: %(default)s)")
    parser.add_argument("--once", metavar="질문", help="한 번만 묻고 끝냅니다")
    parser.add_argument("--max-new-tokens", type=_positive, default=160, help="답변의 최대 토큰 수 (기본값: %(default)s)")
    parser.add_argument("--threads", type=_positive, default=os.cpu_count() or 1, help="사용할 CPU 스레드 수 (기본값: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
