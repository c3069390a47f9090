"""Every attack and every explanation on every classifier of the catalogue and of other libraries, counted: `catalogue`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

from sheet import write_sheet

ROOT = Path(__file__).parent.parent
CHECKS = {
    "attacks": ("tests/insight/test_attack_catalogue.py", "FGSM and PGD equal to plain versions of them"),
    "explanations": ("tests/insight/test_explain_catalogue.py", "Grad-CAM and saliency equal to Captum's"),
}


def main() -> None:
    """Run both tests to their ends and count the networks that hold."""
    table = [["methods", "networks without error, and equal to the independent answer", "which is", "did not hold"]]
    for name, (tests, answer) in CHECKS.items():
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "results.xml"
            words = [sys.executable, "-m", "pytest", "-q", "-m", "", "-k", "works_on", f"--junitxml={results}", tests]
            subprocess.run(words, cwd=ROOT, check=False)
            cases = list(ElementTree.parse(results).iter("testcase"))  # noqa: S314  # pytest's own file
        failed = [case.attrib["name"].partition("[")[2].rstrip("]") for case in cases if len(case) and case[0].tag != "properties"]
        table.append([name, f"{len(cases) - len(failed)}/{len(cases)}", answer, ", ".join(failed) or "none"])
    write_sheet("catalogue", "Every method on every classifier", table, ["small pictures where a network takes them; fresh weights"])


if __name__ == "__main__":
    main()
