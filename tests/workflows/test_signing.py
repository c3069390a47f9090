"""Exported files are signed with a key pair, and refused where the signature does not fit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.workflows.shipping.signing import MAX_BYTES, check_signature, sign, signature_of, signer


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two key pairs."""
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        key = ec.generate_private_key(ec.SECP256R1())
        private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{name}.pem").write_bytes(key.private_bytes(*private))
        public = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(key.public_key().public_bytes(*public))
    return folder


def test_only_the_signed_bytes_with_the_key_of_who_signed_pass(keys: Path, tmp_path: Path):
    made, file = tmp_path / "candidate.onnx", tmp_path / "model.onnx"
    made.write_bytes(b"weights" * 100)
    signature = sign(made, signer(keys / "mine.pem"))
    made.rename(file)
    signature.rename(signature_of(file))
    check_signature(file, keys / "mine.pub")
    with pytest.raises(RefusedFileError, match=r"model\.onnx: the signature is of another key"):
        check_signature(file, keys / "other.pub")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(RefusedFileError, match=r"model\.onnx: was changed since it was signed"):
        check_signature(file, keys / "mine.pub")
    for wrong in (b"{}", b"no bundle", b"x" * (MAX_BYTES + 1)):
        signature_of(file).write_bytes(wrong)
        with pytest.raises(RefusedFileError, match=r"is not valid|is no signature"):
            check_signature(file, keys / "mine.pub")
    signature_of(file).unlink()
    with pytest.raises(RefusedFileError, match=r"is not signed: there is no model\.onnx\.sig beside it"):
        check_signature(file, keys / "mine.pub")


def test_what_is_no_key_is_refused_before_the_work(keys: Path, tmp_path: Path):
    for wrong, words in ((keys / "mine.pub", "is no private key"), (tmp_path / "none", "cannot be read: No such file")):
        with pytest.raises(UsageError, match=words):
            signer(wrong)
    with pytest.raises(UsageError, match="is no public key"):
        check_signature(tmp_path / "a.onnx", keys / "mine.pem")


def test_without_its_package_signing_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "model_signing", None)
    for step in (signer, lambda key: check_signature(tmp_path / "a.onnx", key)):
        with pytest.raises(EnvironmentFault, match=r"model-signing, which is not installed\sInstall it: pip install striate\[signing\]"):
            step(tmp_path / "key.pem")
