"""Plain data from files that others may have edited."""

from pathlib import Path

import pytest

from striate.core.bounded import parsed_json, parsed_yaml, read_json_lines
from striate.core.errors import RefusedFileError


def test_a_last_line_that_a_kill_cut_inside_a_letter_is_left_out(tmp_path: Path) -> None:
    whole = '{"class": "Käfer"}\n'.encode()
    for cut in range(1, len(whole)):
        (tmp_path / "events.jsonl").write_bytes(whole + whole[:cut])

        assert read_json_lines(tmp_path / "events.jsonl") == [{"class": "Käfer"}] * (1 + (cut == len(whole)))


@pytest.mark.parametrize("parsed", [parsed_json, parsed_yaml])
def test_a_number_of_6000_digits_is_told_in_words(parsed: object) -> None:
    with pytest.raises(RefusedFileError, match=r"^x: invalid (JSON|YAML): a whole number of more than 4,300 digits$"):
        parsed("9" * 6000, "x")  # type: ignore[operator]
