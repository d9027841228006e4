"""The three-block schema that the school sets 71859 (수학) and 71857 (국어) share."""

from medllm.data.aihub.item import RawItem, RejectedError, field, list_field, text_field


def class_texts(item: RawItem) -> dict[str, str]:
    """Text of every class (문항, 정답, 해설 ...), boxes joined by line breaks; image classes and empty boxes add nothing."""
    texts: dict[str, list[str]] = {}
    for block in list_field(item.row, "learning_data_info"):
        name = "".join(text_field(block, "class_name").split())
        boxes = (text_field(box, "text_description", empty=True) for box in list_field(block, "class_info_list"))
        texts.setdefault(name, []).extend(box for box in boxes if box)
    return {name: "\n".join(boxes) for name, boxes in texts.items() if boxes}


def source_name(item: RawItem) -> str:
    """`source_data_name`, which is also the file name: the id of the problem."""
    return text_field(field(item.row, "source_data_info"), "source_data_name")


def required(texts: dict[str, str], name: str) -> str:
    """The text of a class that every usable item has."""
    if name not in texts:
        raise RejectedError(f"missing:{name}")
    return texts[name]
