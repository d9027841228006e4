"""AI Hub 71859 (수학 교과 문제 풀이과정): problems with worked solutions, the distillation set."""

from medllm.data.aihub.item import AIHUB_LICENCE, MATHS, RawItem, RejectedError
from medllm.data.aihub.options import CIRCLED, merge_marked, split_mark, split_stem
from medllm.data.aihub.school import class_texts, required, source_name
from medllm.data.records import Record

ANSWER_LABEL = "정답: "


def read_problem(item: RawItem) -> Record:
    """`answer` is the worked solution, then the final answer on a line of its own; `must` holds the final answer alone.

    `answer_index` stays empty, so that the answer to learn is the working and not the option. A quarter of the set has its solution
    as an image only: left out as no_solution.
    """
    texts = class_texts(item)
    question, right = required(texts, "문항(텍스트)"), required(texts, "정답(텍스트)")
    if "해설(텍스트)" not in texts:
        raise RejectedError("no_solution", bad=False)
    index, answer = split_mark(right, CIRCLED)
    options: tuple[str, ...] = ()
    if (merged := merge_marked(right, texts.get("오답(텍스트)", ""))) is not None:
        options = merged[0]
    elif index is not None and (parts := split_stem(question, CIRCLED, count=len(CIRCLED))) is not None:
        question, options = parts
        answer = options[index]
    final = answer or right
    return Record(
        id=f"{MATHS}:{source_name(item)}", dataset=MATHS, role="distillation", kind="solution", source_split=item.split,
        question=question, answer=f"{texts['해설(텍스트)']}\n{ANSWER_LABEL}{final}", options=options, must=(final,), licence=AIHUB_LICENCE,
    )  # fmt: skip
