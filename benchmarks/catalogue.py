"""Every method on every classifier of pictures in the catalogue, and some on those of other libraries, counted: `catalogue [NAME...]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from sheet import write_sheet

ROOT = Path(__file__).parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", "-m", ""]
VERBS = "tests/workflows/test_verbs_catalogue.py"
CHECKS = {  # what is checked: file, tests in it, independent answer
    "attacks": ("tests/insight/test_attack_catalogue.py", "works_on", "FGSM and PGD equal to plain versions of them"),
    "heat maps": ("tests/insight/test_explain_catalogue.py", "works_on", "Grad-CAM and saliency equal to Captum's"),
    "explain": (VERBS, "explain_works_on", "none: all methods and views drawn, with their scores"),
    "profile": (VERBS, "profile_works_on", "FLOPs equal to torch's counter, parameters to the module's"),
    "lesions": (VERBS, "lesions_work_on", "dropped branches equal to branches whose weights are 0"),
    "pages": ("tests/insight/test_export_page.py", "engine_works_on", "logits in JavaScript equal to the module's"),
    "edits": (VERBS, "edits_work_on", "shapes and parameters equal to the module's"),
}


def main() -> None:
    """Run the tests to their ends and count the networks that hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", metavar="NAME", help=f"of {', '.join(CHECKS)}; all by default")
    chosen = parser.parse_args().what or list(CHECKS)
    for name in chosen:
        tests, words, answer = CHECKS[name]
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "results.xml"
            subprocess.run([*PYTEST, "-k", words, f"--junitxml={results}", tests], cwd=ROOT, check=False)
            cases = list(ElementTree.parse(results).iter("testcase"))  # noqa: S314  # pytest's own file
        failed = [case.attrib["name"].partition("[")[2].rstrip("]") for case in cases if len(case) and case[0].tag != "properties"]
        table = [
            ["networks without error, and equal to the independent answer", "which is", "did not hold"],
            [f"{len(cases) - len(failed)}/{len(cases)}", answer, ", ".join(failed) or "none"],
        ]
        title = f"Every classifier of pictures in the catalogue: {name}"
        write_sheet(f"catalogue_{name.replace(' ', '_')}", title, table, ["small pictures where a network takes them; fresh weights"])


if __name__ == "__main__":
    main()
