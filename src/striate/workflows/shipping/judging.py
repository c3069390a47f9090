"""The judgement of an exported file: whether its answers, or its accuracy, are good enough for it to be written."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from striate.core.errors import NumericError
from striate.data.records import ImageSet
from striate.insight.export.gate import Gate
from striate.insight.measure.paired import PairedTest, paired_test
from striate.models.exported import ExportedModel
from striate.models.model import Model


@dataclass(frozen=True, kw_only=True)
class AccuracyKept:
    """The accuracy of the model and of the exported file on the val split."""

    before: float
    after: float
    num_images: int
    test: PairedTest

    @property
    def words(self) -> str:
        """The two accuracies, and whether the difference may be chance."""
        both = f"{self.before:.4f} before and {self.after:.4f} after"
        return f"accuracy on {self.num_images:,} pictures of val {both}, McNemar's exact p = {self.test.p_value:.2g}"

    def refuse(self, output: Path, max_loss: float, precision: str) -> None:
        """Refuse a file that lost too much.

        Raises:
            NumericError: it did; offers what loses less.
        """
        if self.before - self.after > max_loss:
            finer = "`precision='int8_weights'` keeps float32 in between and is as small" if precision == "int8" else "Use float16"
            raise NumericError(
                f"{output}: not written, because {precision} costs more than `max_loss` {max_loss:g}: {self.words}",
                f"{finer}; or allow a larger `max_loss`.",
            )


def accuracy_kept(model: Model, artefact: Path, images: ImageSet, precision: str) -> AccuracyKept:
    """The accuracy of the model and of the file that was made of it, on the same labelled pictures."""
    right = [each.outputs(images.images).argmax(1) == images.labels for each in (model, ExportedModel(artefact))]
    before, after = (float(each.mean()) for each in right)
    return AccuracyKept(before=before, after=after, num_images=len(images), test=paired_test("float32", precision, *right))


def refuse_other_answers(found: Gate, output: Path, name: str, precision: str, *, written: bool = False) -> None:
    """Refuse a file that did not pass the gate; one that is `written` already, or that is not written now.

    Raises:
        NumericError: it did not; names the worst pictures.
    """
    if found.passed:
        return
    asked = f", and it made {found.requests} requests" if found.requests else ""
    finer = "" if precision == "float32" else "Use `precision='float32'`. "
    file = f"{output}:" if written else f"{output}: not written, because"
    raise NumericError(
        f"{file} its answers are not those of {name}: {found.agreement:.2%} of {found.num_images:,} "
        f"pictures agree, and probabilities differ by up to {found.max_difference:.2g}{asked}; worst: {'; '.join(found.worst)}",
        "Export it again on this machine, or use the run." if written else f"{finer}Allow a larger `max_difference`, or keep the run.",
    )
