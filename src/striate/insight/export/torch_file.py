"""Writing a model as a program of `torch.export`."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from striate.core.errors import UsageError
from striate.core.modes import evaluation_mode
from striate.insight.export.program import Program
from striate.insight.export.tracing import cause_of, culprit_in, description_in, example_of, facts_in, quiet, sizes_of
from striate.insight.export.wanted import Wanted
from striate.models.torch_program import EXTRA, OUTPUTS, digest_of_parts
from striate.networks.model_file import ENTRY

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.models.model import Model

AS_USUAL = Wanted()
OF_THE_CODE = ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node")  # notes on where a step was traced


def program_bytes(model: Model, wanted: Wanted = AS_USUAL) -> bytes:
    """The .pt2 file of a model, its weights and its preprocessing inside: `torch.export.load(file).module()` runs it.

    It takes what the ONNX file takes, and gives the outputs of `Program` as a tuple, in the order that the extra file `outputs` names.
    Description, classes and facts are extra files; no example of the input and no lines of the traced code stand in it.

    Raises:
        UsageError: torch.export cannot trace the network, or there is no other input.
    """
    program, example = Program(model, wanted.input).eval(), example_of(model, wanted)
    with quiet(), evaluation_mode(program), torch.no_grad():
        try:
            exported = _traced(program, example, {"images": sizes_of(example)})
        except Exception as error:
            culprit, why = culprit_in(model, _fails), cause_of(error)
            raise UsageError(
                f"{model.network.name}: {culprit}cannot be traced by torch.export: {why}", "Export it in another format."
            ) from error
        exported._example_inputs = None  # noqa: SLF001  # they would be pickled into the file
        facts = {**facts_in(model, wanted), OUTPUTS: json.dumps(program.outputs)}
        file = io.BytesIO()
        torch.export.save(exported, file, extra_files=dict(facts))
    with zipfile.ZipFile(file, "a") as archive:
        parts = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        top = archive.namelist()[0].partition("/")[0]
        size = sum(map(len, parts.values()))
        archive.writestr(f"{top}/{EXTRA}{ENTRY}", description_in(model, facts, digest_of_parts(parts), size))
    return file.getvalue()


def _traced(module: nn.Module, example: Tensor, sizes: Any = None) -> Any:
    exported = torch.export.export(module, (example,), dynamic_shapes=sizes)
    for node in exported.graph.nodes:
        for name in OF_THE_CODE:
            node.meta.pop(name, None)
    return exported


def _fails(part: nn.Module, given: Tensor) -> bool:
    try:
        _traced(part, given)
    except Exception:  # noqa: BLE001  # as in `program_bytes`
        return True
    return False
