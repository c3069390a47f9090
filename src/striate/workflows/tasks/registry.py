"""The tasks that there are. Only here is one looked up."""

from __future__ import annotations

from striate.core.targets import Task
from striate.models.model import Model
from striate.workflows.tasks.classify import CLASSIFY, EvaluateReport
from striate.workflows.tasks.multilabel import MULTILABEL, MultilabelReport
from striate.workflows.tasks.record import TaskRecord
from striate.workflows.tasks.regression import REGRESSION, RegressionReport
from striate.workflows.tasks.restore import RESTORE, RestoreReport
from striate.workflows.tasks.segment import SEGMENT, SegmentReport

TASKS: dict[Task, TaskRecord] = {task.name: task for task in (CLASSIFY, SEGMENT, REGRESSION, MULTILABEL, RESTORE)}
SplitReport = EvaluateReport | SegmentReport | RegressionReport | MultilabelReport | RestoreReport  # one a task


def task_named(name: Task | None) -> TaskRecord:
    """The task of that name; one class per picture where a run or a request names none."""
    return TASKS[name or "classify"]


def task_of(model: Model) -> TaskRecord:
    """The task that a model was trained for."""
    return TASKS[model.task]


def task_reported(report: SplitReport) -> TaskRecord:
    """The task whose measures a report holds."""
    return next(task for task in TASKS.values() if isinstance(report, task.report))
