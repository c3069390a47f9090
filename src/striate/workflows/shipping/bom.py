"""The bill of materials of an exported model: CycloneDX 1.6, as JSON, of the file, its data, its starting weights and what runs it.

Source: ECMA-424 (CycloneDX 1.6), its machine learning bill of materials; https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import importlib.metadata
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from striate.core.text import json_text
from striate.workflows.shipping.card import Card
from striate.workflows.tasks.classify import EvaluateReport

SPDX = ("Apache-2.0",)  # licences that are written by their identifiers; others by name
MAKERS = ("striate", "torch")
LEARNED = {"classify": "classification", "multilabel": "multi-label classification", "segment": "segmentation"}
MODEL, DATA, START = "model", "training-data", "starting-weights"


def bom_text(card: Card, name: str, hashes: Mapping[str, str], needs: Sequence[str]) -> bytes:
    """The bill of materials of an exported file. The same card and file give the same bytes.

    Args:
        card: What is known of the model.
        name: Of the exported file.
        hashes: The SHA-256 of each of its files, by name.
        needs: The packages that run the file, by their names on PyPI; the versions are those of this machine.
    """
    digest = hashes[name]
    parts = [
        *_sources(card),
        *(_file(each, found) for each, found in hashes.items() if each != name),
        *({"bom-ref": f"package-{each}"} | _package(each) for each in needs),
    ]
    data = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, digest).urn,
        "version": 1,
        "metadata": {
            "tools": {"components": [_package(each) for each in MAKERS]},
            "component": {
                "type": "machine-learning-model",
                "bom-ref": MODEL,
                "name": name,
                "description": f"{card.network}, {card.params:,} parameters, trained as {Path(card.model).name}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "modelCard": _model_card(card),
                "properties": [{"name": f"striate:{field}", "value": value} for field, value in _own(card)],
            },
        },
        "components": parts,
        "dependencies": [{"ref": MODEL, "dependsOn": [each["bom-ref"] for each in parts]}],
    }
    return json_text(data, indent=2).encode()


def _own(card: Card) -> Iterator[tuple[str, str]]:
    """Facts that CycloneDX has no field for."""
    yield "outputs", ", ".join(card.outputs)
    yield "multiply_adds", str(card.macs)
    if card.num_train is not None:
        yield "num_train", str(card.num_train)
    if card.weights_sha256 is not None:
        yield "weights_sha256", card.weights_sha256


def _model_card(card: Card) -> dict[str, Any]:
    """The facts of our card that CycloneDX has fields for."""
    metrics = []
    for found in filter(None, (card.val, card.test)):
        if isinstance(found, EvaluateReport) and found.accuracy is not None:
            interval = found.accuracy_interval
            bounds = {"lowerBound": f"{interval[0]:.6g}", "upperBound": f"{interval[1]:.6g}"} if interval is not None else None
            metric = {"type": "accuracy", "value": f"{found.accuracy:.6g}", "slice": found.split}
            metrics.append(metric | ({"confidenceInterval": bounds} if bounds else {}))
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": LEARNED.get(card.task, card.task),
            "modelArchitecture": card.network,
            "datasets": [{"ref": DATA}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": list(card.limits)},
    }


def _sources(card: Card) -> Iterator[dict[str, Any]]:
    """The data that the model was trained on, and the weights that it started from."""
    name = Path(card.data).name if card.data else "not recorded"
    yield {"type": "data", "bom-ref": DATA, "name": name, "data": [{"type": "dataset", "name": name}], **_licence(card.data_licence)}
    if card.pretrained:
        start = {"type": "machine-learning-model", "bom-ref": START, "name": Path(card.pretrained).name}
        yield start | _licence(card.pretrained_licence)


def _licence(licence: str | None) -> dict[str, Any]:
    if licence is None:
        return {}
    return {"licenses": [{"license": {"id" if licence in SPDX else "name": licence}}]}


def _file(name: str, digest: str) -> dict[str, Any]:
    """A file that belongs to the exported one, such as its weights."""
    return {"type": "file", "bom-ref": f"file-{name}", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]}


def _package(name: str) -> dict[str, str]:
    version = importlib.metadata.version(name)
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{quote(version)}"}
