"""Requests for files that cannot be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.core.errors import UsageError
from striate.insight.export.forms import Form
from striate.insight.export.wanted import Precision
from striate.models.exported import ExportedModel
from striate.workflows.subjects.subject import Subject
from striate.workflows.tasks.registry import task_of

if TYPE_CHECKING:
    from striate.workflows.shipping.export import ExportRequest


def refuse_other_forms(request: ExportRequest, form: Form, precision: Precision) -> None:
    """Refuse a precision or an input that the format does not have."""
    for name, asked, known in (("precision", precision, tuple(form.limits)), ("input", request.input, form.inputs)):
        if asked not in known:
            raise UsageError(f"`{name}`: {request.format} has no {name} {asked}", f"It has {', '.join(known)}.")


def refuse_other_models(subject: Subject, form: Form, precision: Precision) -> None:
    """Refuse a model that has no such form."""
    model = subject.trained
    if isinstance(model, ExportedModel):
        raise UsageError(f"{subject.name}: is an exported file already", "Give the run that it comes from.")
    if model.task not in form.tasks:
        raise UsageError(f"{subject.name}: a model of the task {model.task} has no such form", f"The format takes {', '.join(form.tasks)}.")
    if precision in form.by_accuracy and not task_of(model).single_class:
        remedy = "Use float32 or float16."
        raise UsageError(f"{subject.name}: {precision} is judged by accuracy, and the model gives no single class", remedy)
