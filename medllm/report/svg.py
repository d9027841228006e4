"""Two forms of a picture: inline for the page (ink follows the theme) and a standalone file for the README."""

import re

INK = "#1f2328"
_XMLNS = 'xmlns="http://www.w3.org/2000/svg"'


def inline(text: str, *, label: str, prefix: str) -> str:
    """A matplotlib SVG without XML header, metadata, namespaces and unused ids; `prefix` keeps the used ids unique in a page."""
    body = text[text.index("<svg") :]
    viewbox = re.search(r'viewBox="([^"]+)"', body)
    assert viewbox is not None, "matplotlib always writes a viewBox"
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<svg[^>]*>", f'<svg viewBox="{viewbox[1]}" role="img" aria-label="{label}">', body, count=1)
    body = body.replace("xlink:href", "href").replace(INK, "currentColor")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", body)
    return re.sub(r"\n\s*", "\n", body).strip()


def standalone(inline_svg: str) -> str:
    """A file that any viewer shows the same way: namespace, white ground, dark ink."""
    head, _, rest = inline_svg.partition(">")
    box = re.search(r'viewBox="([\d.-]+) ([\d.-]+) ([\d.]+) ([\d.]+)"', head)
    assert box is not None, "every inline picture has a viewBox"
    size = f'width="{float(box[3]):g}" height="{float(box[4]):g}"'
    head = head.replace("<svg", f'<svg {_XMLNS} {size} style="color:{INK}"', 1)
    return f'{head}><rect width="100%" height="100%" rx="6" fill="#fff"/>{rest}\n'
