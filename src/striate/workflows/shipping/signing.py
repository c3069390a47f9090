"""The signature beside an exported file: a Sigstore bundle, made and verified with a key pair, without a network.

Source: the OpenSSF model signing specification, https://github.com/ossf/model-signing-spec, its method with elliptic curve keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.core.files import write_atomically

ENDING = ".sig"  # after the whole name of the file
MAX_BYTES = 2**20  # of a signature
MAKE = "Make a pair: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out key.pub."


def signature_of(file: Path) -> Path:
    """The place of a file's signature."""
    return file.with_name(file.name + ENDING)


def signer(key: Path) -> Any:
    """The signer of a private key, in a PEM file without a password.

    Raises:
        EnvironmentFault: model-signing is not installed.
        UsageError: the file is no such key.
    """
    found = _model_signing().signing.Config()
    try:
        return found.use_elliptic_key_signer(private_key=key)
    except OSError as error:
        raise UsageError(f"`sign` {key}: cannot be read: {error.strerror}", MAKE) from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"`sign` {key}: is no private key of an elliptic curve without a password: {_words(error)}", MAKE) from None


def sign(file: Path, signing: Any) -> Path:
    """The signature of a file, written beside it; it does not depend on the name of the file.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    place = signature_of(file)
    try:
        signing.sign(file, place)
    except OSError as error:
        raise EnvironmentFault(f"{place}: cannot be written: {error.strerror}", "Free some space, or choose another folder.") from None
    return place


def signature_bytes(folder: Path, signing: Any, data: bytes) -> bytes:
    """The signature of `data`, a file of a bundle; made in `folder`.

    Raises:
        EnvironmentFault: it cannot be written there.
    """
    file = folder / "signed"
    write_atomically(file, data)
    return sign(file, signing).read_bytes()


def check_signature(file: Path, key: Path) -> None:
    """Refuse a file that the owner of a public key did not sign as it is.

    Raises:
        EnvironmentFault: model-signing is not installed.
        UsageError: `key` is no public key.
        RefusedFileError: there is no signature, it is of another key, or the file was changed.
    """
    place, found = signature_of(file), _model_signing().verifying.Config()
    try:
        verifying = found.use_elliptic_key_verifier(public_key=key)
    except OSError as error:
        raise UsageError(f"`key` {key}: cannot be read: {error.strerror}", "Give the public key of who signed the file.") from None
    except (ValueError, TypeError) as error:
        raise UsageError(f"`key` {key}: is no public key: {_words(error)}", "Give the public key of who signed the file.") from None
    if not place.is_file():
        raise RefusedFileError(f"{file}: is not signed: there is no {place.name} beside it", "Ask who made it for the signature.")
    if place.stat().st_size > MAX_BYTES:
        raise RefusedFileError(f"{place}: is no signature: larger than {MAX_BYTES:,} bytes", "Copy it again from its source.")
    try:
        verifying.verify(file, place)
    except Exception as error:  # noqa: BLE001  # of several libraries; whatever it is, the file is not verified
        reason = "the signature is of another key" if "key mismatch" in str(error).lower() else _reason(error)
        raise RefusedFileError(f"{file}: {reason}", "Do not use it; copy it and its signature again from their source.") from None


def _reason(error: Exception) -> str:
    if "Hash mismatch" in str(error):
        return "was changed since it was signed"
    return f"the signature beside it is not valid: {type(error).__name__}"


def _words(error: Exception) -> str:
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__


def _model_signing() -> Any:
    try:
        import model_signing
        import model_signing.signing
        import model_signing.verifying
    except ImportError:
        raise EnvironmentFault(
            "signatures need model-signing, which is not installed", "Install it: pip install striate[signing]."
        ) from None
    return model_signing
