"""Docstrings say what they describe with a noun or a verb, not with a question."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"
QUESTION = re.compile(r'"""(What|Who|Whether|How|Where)\b.*')


def test_no_docstring_begins_with_a_question():
    files = {path: path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}
    assert len(files) > 300
    assert {str(path.relative_to(SOURCE)): found for path, text in files.items() if (found := QUESTION.search(text))} == {}
