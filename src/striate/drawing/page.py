"""A self-contained HTML page: its style and its pictures are inside, and it loads nothing from elsewhere.

It reads on a wide screen and on a telephone, in light and in dark, and on paper. Every function takes plain text and escapes it, but for
arguments called `content`, which are HTML that these functions made.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from striate.core.text import printable

STYLE = """
:root{--paper:#fff;--ink:#1c1c1c;--faint:#5a5a5a;--line:#d9d9d9;--band:#f3f4f6;--accent:#1f5fa8;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--paper:#16181b;--ink:#e6e6e6;--faint:#a8a8a8;--line:#3a3d42;--band:#222529;--accent:#7fb2ee}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:72rem;padding:1.5rem 1rem 4rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.6rem;line-height:1.2;margin:.2rem 0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line);overflow-wrap:anywhere}
h3{font-size:1rem;margin:1.4rem 0 .4rem;overflow-wrap:anywhere}
p{max-width:48rem;margin:.6rem 0;overflow-wrap:anywhere}.faint,figcaption{color:var(--faint);font-size:.9rem}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem;margin:1rem 0}a{color:var(--accent)}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(10.5rem,100%),1fr));gap:.6rem;margin:1rem 0}
dl div{background:var(--band);border-radius:.4rem;padding:.6rem .8rem}dt{color:var(--faint);font-size:.85rem}
dd{margin:0;font-size:1.15rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .7rem .25rem 0;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}
th{color:var(--faint);font-weight:600}.n{text-align:right}.pairs td{white-space:normal;overflow-wrap:anywhere;min-width:8rem}
figure{margin:1rem 0}img{display:block;max-width:100%;height:auto;background:#fff;border-radius:.4rem}
figcaption{margin-top:.3rem}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem 1rem;align-items:flex-start;margin:.8rem 0}
.tiles figure{margin:0;max-width:9rem}.tiles figcaption{overflow-wrap:anywhere;font-size:.8rem;line-height:1.3}
.tiles .set{display:flex;flex-wrap:wrap;gap:.4rem;background:var(--band);border-radius:.4rem;padding:.5rem}
pre{background:var(--band);padding:.7rem .9rem;border-radius:.4rem;overflow-x:auto;font-size:.88rem}
summary{cursor:pointer;color:var(--accent);margin:.6rem 0}
@media print{:root{--paper:#fff;--ink:#000;--faint:#444;--line:#bbb;--band:#f3f3f3;--accent:#000;color-scheme:light}
body{max-width:none;padding:0;font-size:10pt}nav,summary{display:none}.wide{overflow:visible}table{font-size:8pt}
th,td{white-space:normal}td{overflow-wrap:anywhere}th,td.n{overflow-wrap:normal}td.n{white-space:nowrap}
pre{white-space:pre-wrap;overflow-wrap:anywhere}figure,tr,dl,dl div{break-inside:avoid}h2,h3{break-after:avoid}
img{min-width:0!important;max-height:22cm;width:auto}}
"""
NOTHING_FROM_OUTSIDE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"  # the page's policy, which browsers hold


class Tile(NamedTuple):
    """A small picture with a caption."""

    picture: bytes  # JPEG
    caption: str


class Section(NamedTuple):
    """A part of a page."""

    heading: str
    content: str


def escape(text: str) -> str:
    """Text of one line as HTML shows it, letter by letter; of a control or a byte that is no text, its escape."""
    return html.escape(printable(text))


def document(title: str, about: str, sections: Sequence[Section], *, foot: str = "") -> bytes:
    """The page, with links to its sections where it has several."""
    links = " ".join(f'<a href="#s{i}">{escape(heading)}</a>' for i, (heading, _) in enumerate(sections))
    nav = f'<nav aria-label="Sections">{links}</nav>\n' if len(sections) > 2 else ""
    body = "\n".join(f'<section id="s{i}"><h2>{escape(name)}</h2>\n{content}</section>' for i, (name, content) in enumerate(sections))
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{NOTHING_FROM_OUTSIDE}">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style></head>\n<body><header><h1>{escape(title)}</h1>\n"
        f"{paragraph(about, faint=True) if about else ''}</header>\n{nav}<main>{body}</main>\n"
        f"{f'<footer>{paragraph(foot, faint=True)}</footer>' if foot else ''}</body></html>\n"
    )
    return text.encode()


def paragraph(text: str, *, faint: bool = False) -> str:
    """A paragraph; text between backticks is shown as code."""
    content = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return f'<p class="faint">{content}</p>' if faint else f"<p>{content}</p>"


def figure(picture: bytes, words: str, *, caption: str = "", kind: Literal["png", "svg+xml", "jpeg"] = "png", least_px: int = 0) -> str:
    """A picture in its own size, made smaller where the page is narrow, down to `least_px`; then it is scrolled."""
    data = f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
    image = f'<img alt="{escape(words)}" src="{data}"'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    if not least_px:
        return f"<figure>{image}>{below}</figure>"
    image += f' style="min-width:{min(least_px, _width(picture, kind))}px">'
    return f"<figure>{scrolled(image, words)}{below}</figure>"


def tiles(groups: Sequence[Sequence[Tile]]) -> str:
    """Small pictures side by side; those of one group in a box of their own."""
    return f'<div class="tiles">{"".join(_box(group) for group in groups)}</div>'


def _box(group: Sequence[Tile]) -> str:
    figures = "".join(figure(tile.picture, tile.caption, caption=tile.caption, kind="jpeg") for tile in group)
    return f'<div class="set">{figures}</div>' if len(group) > 1 else figures


def _width(picture: bytes, kind: str) -> int:
    """The width in pixels, from the header of a PNG file or the first element of an SVG file."""
    if kind == "png":
        return int.from_bytes(picture[16:20])
    found = re.search(rb'<svg[^>]* width="(\d+)', picture)
    return int(found[1]) if found else 0


def scrolled(content: str, words: str) -> str:
    """Content that may be wider than the page: it scrolls by itself, with the keyboard, too."""
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(words)}">{content}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: str, *, numbers_from: int = 1, wraps: bool = False) -> str:
    """A table; the columns from `numbers_from` on are set right, and cells of sentences `wraps`."""

    def line(cells: Sequence[str], tag: str) -> str:
        marks = ['class="n"' if i >= numbers_from else "" for i in range(len(cells))]
        inner = "".join(f"<{f'{tag} {mark}'.strip()}>{escape(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True))
        return f"<tr>{inner}</tr>"

    body = "".join(line(row, "td") for row in rows)
    kind = ' class="pairs"' if wraps else ""
    return scrolled(f"<table{kind}><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>", words)


def pairs(named: Sequence[tuple[str, str]]) -> str:
    """Names and values, one below the other."""
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in named)
    return f'<table class="pairs"><tbody>{rows}</tbody></table>'


def facts(named: Sequence[tuple[str, str]]) -> str:
    """The key figures at the top."""
    return "<dl>" + "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in named) + "</dl>"


def code(text: str) -> str:
    """Preformatted text, line by line."""
    lines = "\n".join(escape(line) for line in text.split("\n"))
    return f"<pre>{lines}</pre>"


def folded(summary: str, content: str) -> str:
    """Content that is shown on request; it is not printed."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
