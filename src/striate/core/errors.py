"""Every error a user can meet: what was wanted, what came, the remedy, and the exit code of the command line."""

import contextlib
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping

OUT_OF_MEMORY = (  # as torch, systems, ONNX Runtime and oneDNN say it, whose kernels need memory of their own
    "out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "failed to allocate memory",
    "could not create a primitive", "could not execute a primitive",
)  # fmt: skip


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The names most like `name`, three at most; those that hold it where none is like it."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    return tuple(near or [each for each in names if len(name) > 1 and name.lower() in each][:3])


class StriateError(Exception):
    """Base of all errors that Striate raises on purpose.

    Args:
        message: The expected and the given value; names the file and the field.
        remedy: The action to take, one sentence; may be empty if the message contains it.
    """

    exit_code = 70
    kind = "internal"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageError(StriateError, ValueError):
    """An argument, flag or field is wrong."""

    exit_code = 2
    kind = "usage"


class UnknownNameError(UsageError):
    """A name is not in its list; the message carries the nearest names."""

    kind = "unknown_name"

    def __init__(self, what: str, name: str, known: Iterable[str], list_them: str = "") -> None:
        near = nearest(name, known)
        remedy = f"Did you mean {' or '.join(near)}?" if near else ""
        if list_them:
            remedy = f"{remedy} {list_them}".strip()
        super().__init__(f"unknown {what} {name!r}", remedy)
        self.nearest = near


class ShapeError(UsageError):
    """A shape does not fit a layer. Containers add the layer's path on the way out, with `within`."""

    kind = "shape"

    def __init__(self, message: str, remedy: str = "", *, path: str = "") -> None:
        super().__init__(message, remedy)
        self.problem = message
        self.path = path
        self._name_the_layer()

    def _name_the_layer(self) -> None:
        self.message = f"{self.path}: {self.problem}" if self.path else self.problem
        self.args = (self.message,)

    def within(self, name: str) -> "ShapeError":
        """This error, seen from the parent in which the failing part is called `name`."""
        self.path = f"{name}.{self.path}" if self.path else name
        self._name_the_layer()
        return self


class DataError(StriateError, ValueError):
    """Pictures, labels or a data set are unusable."""

    exit_code = 3
    kind = "data"


class DataWarning(UserWarning):
    """Pictures or labels that an estimator is fitted to are probably not as intended."""


class EnvironmentFault(StriateError, OSError):
    """The machine lacks something: space, a permission, a device, an optional package."""

    exit_code = 4
    kind = "environment"


class NumericError(StriateError, ArithmeticError):
    """A value that must be finite is not."""

    exit_code = 5
    kind = "numeric"


class InterruptedRun(StriateError):
    """The run was stopped from outside and can be continued."""

    exit_code = 6
    kind = "interrupted"


class RefusedFileError(StriateError, ValueError):
    """A file is not what it claims, is damaged, or could carry code."""

    exit_code = 7
    kind = "refused_file"


def error_of(told: Mapping[str, str]) -> StriateError:
    """The error that another process told by its kind, message and remedy; of a kind with fields of its own the kind above it."""
    kinds = {kind.kind: kind for kind in (StriateError, DataError, EnvironmentFault, NumericError, InterruptedRun, RefusedFileError)}
    return kinds.get(told["kind"], UsageError)(told["message"], told["remedy"])


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` reports that memory ran out, on any device."""
    if isinstance(error, StriateError):
        return False
    can_say = isinstance(error, RuntimeError | OSError) or type(error).__module__.startswith("onnxruntime.")  # whose errors have no base
    said = can_say and any(words in str(error).lower() for words in OUT_OF_MEMORY)
    return said or isinstance(error, MemoryError)


@contextlib.contextmanager
def memory_in_words(remedy: str) -> Iterator[None]:
    """Context in which running out of memory is raised as an EnvironmentFault with a remedy.

    Raises:
        EnvironmentFault: memory ran out.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        asked = re.search(r"allocate (\d+) bytes|Tried to allocate ([\d.]+ [KMG]iB)", str(error))
        amount = f": {asked[2] or f'{int(asked[1]) / 2**20:,.1f} MiB'} more were needed" if asked else ""
        raise EnvironmentFault(f"out of memory{amount}", remedy) from None
