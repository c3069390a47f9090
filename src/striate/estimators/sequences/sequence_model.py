"""A recurrent network that reads text and predicts the next character, byte or word.

Sources: Elman, 1990, "Finding structure in time", for prediction as a task; Mikolov et al., 2010, "Recurrent neural network based language
model"; Graves, 2013, arXiv:1308.0850v5, for sampling and bits a character.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import DataError, NumericError, RefusedFileError, UnknownNameError, UsageError
from striate.core.files import read_plain
from striate.core.seeds import torch_seed
from striate.core.settings import check_counts, check_limit, check_numbers, check_rate
from striate.estimators.numbers import need_units
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of, seed_of
from striate.estimators.sequences.reader import set_forget_bias
from striate.estimators.sequences.recurrent import ON_ONE_THREAD
from striate.models.threads import on_one_thread
from striate.networks.layers import GRU, LSTM, Elman, Linear
from striate.networks.layers.recurrent import Recurrent
from striate.networks.modules.recurrent import RecurrentModule

Text = str | bytes | PathLike[str]
CELLS: dict[str, type[Recurrent]] = {"elman": Elman, "lstm": LSTM, "gru": GRU}
UNITS = ("character", "byte", "word")
WORDS = re.compile(r" ?\w+| ?[^\w\s]+|\s")  # a word or signs with the blank before them; joined they are the text again
UNKNOWN = 0  # the token of all that is not in the vocabulary
MIN_EPOCHS, MIN_UPDATES = 20, 600  # by default: a short text has few updates an epoch
WINDOWS = 4  # of `truncate` tokens, that each row of a batch has at least
READ_AT_ONCE = 512  # steps of a text that is measured
MOST_BYTES = 2**30  # of a text
LONGEST_NAME = 200  # characters of a text that may be the name of a file


class TokenPredictor(nn.Module):
    """Tokens in, logits of the next token out; one more token than the vocabulary has stands before the first."""

    def __init__(self, layer: Recurrent, num_tokens: int, embedding_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens + 1, embedding_size)
        built = layer.build((1, embedding_size))
        if not isinstance(built, RecurrentModule):
            raise UsageError(f"{layer.kind} is not a recurrent layer")
        self.cells = built.cells
        self.readout = Linear(num_tokens).build((layer.hidden_size,))

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits (N, T, V) of what follows each of tokens (N, T), and the state behind them."""
        states, last = self.cells(self.embedding(tokens), state)
        return self.readout(states), last

    def started(self) -> Any:
        """The state behind the token that stands before the first."""
        with torch.inference_mode():
            return self(torch.tensor([[self.embedding.num_embeddings - 1]]))[1]


@dataclass(eq=False, repr=False)
class SequenceModel(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    r"""The probability of each next character, byte or word of a text, by all that came before it.

    It is taught by truncated back-propagation through time: `batch_size` places of the text are read side by side, `truncate` steps at a
    time; states are carried on from window to window, and gradients end at its start.

    Args:
        cell: "elman", "lstm" or "gru".
        unit: "character", "byte" or "word" (with the blank before it; signs and line ends for themselves).
        hidden_size: Cells of each level.
        num_layers: Levels.
        max_tokens: Tokens of the vocabulary, the most frequent; all others are one, "unknown". None: all.
        truncate: Steps through which the gradient goes back.
        max_iter: Passes over the text; None: 20, or as many as 600 updates take.
        batch_size: Places that are read side by side; fewer where the text is short.
        learning_rate: The first rate, of Adam; it falls along a cosine to 0.
        max_grad_norm: Longest gradient; a longer one is shortened to it. None: no limit.
        device: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of the first weights; and of `sample`, where none is given there.

    Attributes:
        vocabulary_: The tokens, most frequent first, behind "" for unknown ones.
        loss_curve_: Mean loss of each epoch, in bits a token.
        n_tokens_: Of the text that was fitted.
        weights_: All weights by name.

    Example:
        >>> model = SequenceModel("elman", hidden_size=16, max_iter=60, truncate=8, random_state=0).fit("abcabc" * 40)
        >>> model.sample(7, "ab", temperature=0)
        'cabcabc'
    """

    cell: str = "lstm"
    _: KW_ONLY
    unit: str = "character"
    hidden_size: int = 128
    num_layers: int = 1
    max_tokens: int | None = None
    truncate: int = 50
    max_iter: int | None = None
    batch_size: int = 32
    learning_rate: float = 0.01
    max_grad_norm: float | None = 1.0
    device: str = "auto"
    random_state: Any = None

    def fit(self, X: Text | Sequence[Text], y: Any = None) -> Self:
        """Learn a text, or several in turn. A str or bytes is the text itself; a Path is a file of it, in UTF-8.

        Raises:
            UsageError: a setting is out of its range, or a str is the name of a file.
            DataError: a file cannot be read, is not UTF-8, or there are fewer than two tokens.
            NumericError: the loss left the finite numbers.
        """
        self._check()
        texts = [tokens_of(text, self.unit) for text in texts_of(X, self.unit)]
        counts = Counter(token for text in texts for token in text)
        self.n_tokens_ = counts.total()
        if self.n_tokens_ < 2:
            raise DataError(f"the text has {self.n_tokens_} {self.unit}s; learning which one follows needs at least 2")
        common = sorted(counts, key=lambda token: (-counts[token], token))[: self.max_tokens]
        self.vocabulary_ = ["", *common]
        device = choose_device(self.device)
        with torch_seed(seed_of(self.random_state), device):
            model = self._built()
            if self.cell == "lstm":
                set_forget_bias(model.cells, 1.0)
            model.to(device)
            epochs = self._epochs(model, np.concatenate([self._numbers(text) for text in texts]))
            small = device.type == "cpu" and self.hidden_size <= ON_ONE_THREAD
            self.loss_curve_ = list(on_one_thread(epochs) if small else epochs)
        self.weights_ = {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}
        return self

    def losses(self, X: Text | Sequence[Text]) -> np.ndarray:
        """-log2 of the probability of each token of X, in bits (n,), each by those before it in its own text."""
        model = self._fitted()
        found = []
        for text in texts_of(X, self.unit):
            numbers = torch.from_numpy(self._numbers(tokens_of(text, self.unit)))
            before = torch.cat([torch.tensor([len(self.vocabulary_)]), numbers])[:-1]
            state = None
            with torch.inference_mode():
                for place in range(0, len(numbers), READ_AT_ONCE):
                    logits, state = model(before[None, place : place + READ_AT_ONCE], state)
                    found.append(F.cross_entropy(logits[0], numbers[place : place + READ_AT_ONCE], reduction="none"))
        if not found:
            raise DataError("the text is empty: there is nothing to measure")
        bits: np.ndarray = torch.cat(found).numpy() / np.log(2)
        return bits

    def states(self, X: Text | Sequence[Text]) -> list[np.ndarray]:
        """The states of the last level after each token: (n, hidden_size) for each text."""
        model = self._fitted()
        found = []
        for text in texts_of(X, self.unit):
            numbers = torch.from_numpy(self._numbers(tokens_of(text, self.unit)))
            read, state = [], model.started()
            with torch.inference_mode():
                for place in range(0, len(numbers), READ_AT_ONCE):
                    states, state = model.cells(model.embedding(numbers[None, place : place + READ_AT_ONCE]), state)
                    read.append(states[0].numpy())
            found.append(np.concatenate([np.zeros((0, self.hidden_size)), *read]))
        return found

    def perplexity(self, X: Text | Sequence[Text]) -> float:
        """Perplexity, 2 to the mean loss per token in bits: the model chooses between so many equally likely tokens."""
        return float(2 ** self.losses(X).mean())

    def bits_per_character(self, X: Text | Sequence[Text]) -> float:
        """The mean loss in bits over the characters, or bytes, of the text, whatever the unit."""
        return float(self.losses(X).sum() / sum(len(text) for text in texts_of(X, self.unit)))

    def score(self, X: Text | Sequence[Text], y: Any = None) -> float:
        """-(bits per character): larger is better."""
        return -self.bits_per_character(X)

    def sample(self, n: int, prompt: str | bytes = "", *, temperature: float = 1.0, random_state: Any = None) -> str | bytes:
        """n tokens that follow `prompt`, drawn one after the other; as text, or bytes where these are the unit.

        Args:
            n: Tokens.
            prompt: Text that is read first, and not returned.
            temperature: Divides the logits: below 1 likely tokens become likelier; 0 takes the likeliest each time.
            random_state: Seed of the draws; None takes that of the model.

        Raises:
            UsageError: n or temperature is negative.
        """
        check_counts(least=0, n=n)
        check_numbers(temperature=temperature)
        if not temperature >= 0:
            raise UsageError(f"temperature must be at least 0, got {temperature}")
        model = self._fitted()
        generator = random_state_of(self.random_state if random_state is None else random_state)
        drawn: list[int] = []
        state, unread = None, self._prompted(prompt)
        with torch.inference_mode():
            for _ in range(n):
                logits, state = model(unread, state)
                drawn.append(draw(logits[0, -1].numpy(), temperature, generator))
                unread = torch.tensor([drawn[-1:]])
        return self._written(drawn)

    def next_tokens(self, prompt: str | bytes = "", *, top: int = 5) -> list[tuple[str | bytes, float]]:
        """The `top` tokens that are likeliest to follow `prompt`, with their probabilities, the likeliest first.

        Raises:
            UsageError: top is below 1.

        Example:
            >>> model = SequenceModel("elman", hidden_size=16, max_iter=60, truncate=8, random_state=0).fit("abcabc" * 40)
            >>> [(token, round(share, 1)) for token, share in model.next_tokens("ab", top=1)]
            [('c', 1.0)]
        """
        check_counts(top=top)
        model = self._fitted()
        with torch.inference_mode():
            shares = model(self._prompted(prompt))[0][0, -1, UNKNOWN + 1 :].softmax(0).numpy()
        best = np.argsort(-shares, kind="stable")[:top]
        return [(self._written([number + UNKNOWN + 1]), float(shares[number])) for number in best.tolist()]

    def _prompted(self, prompt: str | bytes) -> Tensor:
        """The start, and the tokens of a prompt: (1, T)."""
        numbers = [len(self.vocabulary_)]
        if prompt:
            numbers += self._numbers(tokens_of(text_of(prompt, self.unit), self.unit)).tolist()
        return torch.tensor([numbers])

    def _written(self, numbers: Sequence[int]) -> str | bytes:
        """Tokens as text, or as bytes where these are the unit."""
        text = "".join(self.vocabulary_[number] for number in numbers)
        return text.encode("latin-1") if self.unit == "byte" else text

    def _check(self) -> None:
        if self.cell not in CELLS:
            raise UnknownNameError("cell", str(self.cell), CELLS, f"Known: {', '.join(CELLS)}.")
        if self.unit not in UNITS:
            raise UnknownNameError("unit", str(self.unit), UNITS, f"Known: {', '.join(UNITS)}.")
        check_counts(hidden_size=self.hidden_size, num_layers=self.num_layers, truncate=self.truncate)
        check_counts(max_iter=1 if self.max_iter is None else self.max_iter, batch_size=self.batch_size)
        if self.max_tokens is not None:
            check_counts(max_tokens=self.max_tokens)
        check_rate(self.learning_rate)
        check_limit(self.max_grad_norm)

    def _built(self) -> TokenPredictor:
        layer = CELLS[self.cell](self.hidden_size, self.num_layers, return_sequence=True)
        need_units(self, layer.cost((1, min(len(self.vocabulary_), self.hidden_size))).params)
        return TokenPredictor(layer, len(self.vocabulary_), min(len(self.vocabulary_), self.hidden_size))

    def _fitted(self) -> TokenPredictor:
        """The model with its weights, on the CPU in float64."""
        check_is_fitted(self)
        model = self._built().double()
        model.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in self.weights_.items()})
        return model

    def _numbers(self, tokens: Sequence[str]) -> np.ndarray:
        """(n,) int64, the places in the vocabulary."""
        places = {token: place for place, token in enumerate(self.vocabulary_)}
        return np.fromiter((places.get(token, UNKNOWN) for token in tokens), np.int64, len(tokens))

    def _epochs(self, model: TokenPredictor, numbers: np.ndarray) -> Iterator[float]:
        """Train, and return the mean loss of each epoch in bits."""
        device = next(model.parameters()).device
        wanted, before = columns(
            numbers, min(self.batch_size, max(1, len(numbers) // (WINDOWS * self.truncate))), start=len(self.vocabulary_)
        )
        wanted, before = wanted.to(device), before.to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=self.learning_rate, fused=device.type != "mps")
        windows = -(-wanted.shape[1] // self.truncate)
        epochs = max(MIN_EPOCHS, -(-MIN_UPDATES // windows)) if self.max_iter is None else self.max_iter
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * windows)
        for epoch in range(1, epochs + 1):
            state, total = None, 0.0
            for place in range(0, wanted.shape[1], self.truncate):
                logits, state = model(before[:, place : place + self.truncate], detached(state))
                targets = wanted[:, place : place + self.truncate]
                loss = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-1)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                if self.max_grad_norm is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), self.max_grad_norm)
                optimizer.step()
                schedule.step()
                total += loss.item() * int((targets >= 0).sum())
                if not np.isfinite(total):
                    raise NumericError(f"the loss is not finite in epoch {epoch}", f"Lower learning_rate, which is {self.learning_rate:g}.")
            yield total / len(numbers) / math.log(2)


def texts_of(X: Text | Sequence[Text], unit: str) -> list[str]:
    """The texts of X as str, one character a byte where the unit is that.

    Raises:
        DataError: a file cannot be read, or is not UTF-8.
        UsageError: an item is neither text nor a path, or it is the name of a file.
    """
    if not isinstance(X, Iterable | PathLike):
        raise UsageError(f"a text must be a str, bytes, or a Path to a file, got {type(X).__name__}")
    items = [X] if isinstance(X, str | bytes | PathLike) else list(X)
    for item in items:
        if isinstance(item, str) and is_file(item):
            raise UsageError(f"the text {item!r} is the name of a file", f"To read the file, give Path({item!r}).")
    return [text_of(item, unit) for item in items]


def is_file(text: str) -> bool:
    """Return whether a text, a short line, is the name of a file: the user probably means the file."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and Path(text).is_file()


def text_of(item: Text, unit: str) -> str:
    """One text; see `texts_of` for errors."""
    if isinstance(item, str) and unit != "byte":
        return item
    if isinstance(item, str):
        data: bytes = item.encode(errors="surrogatepass")
    elif isinstance(item, bytes):
        data = item
    elif isinstance(item, PathLike):
        try:
            data = read_plain(Path(item), limit=MOST_BYTES)
        except RefusedFileError as error:
            raise DataError(error.message, "Give a text file.") from None
    else:
        raise UsageError(f"a text must be a str, bytes, or a Path to a file, got {type(item).__name__}")
    try:
        return data.decode("latin-1" if unit == "byte" else "utf-8")
    except UnicodeDecodeError as error:
        name = item if isinstance(item, PathLike) else "the text"
        raise DataError(f"{name}: not UTF-8: byte {data[error.start]:#04x} at {error.start}", 'Read it with unit="byte".') from None


def tokens_of(text: str, unit: str) -> Sequence[str]:
    """The text in its units; joined they are the text."""
    return WORDS.findall(text) if unit == "word" else text


def columns(numbers: np.ndarray, count: int, *, start: int) -> tuple[Tensor, Tensor]:
    """The tokens in `count` rows of equal length, filled up with -1 at the end, and before each the token that came before it."""
    length = -(-len(numbers) // count)
    wanted = np.full(count * length, -1)
    wanted[: len(numbers)] = numbers
    before = np.concatenate([[start], np.maximum(wanted[:-1], 0)])
    return torch.from_numpy(wanted.reshape(count, length)), torch.from_numpy(before.reshape(count, length))


def detached(state: Any) -> Any:
    """The state without its history."""
    if isinstance(state, tuple):
        return tuple(part.detach() for part in state)
    return None if state is None else state.detach()


def draw(logits: np.ndarray, temperature: float, generator: np.random.RandomState) -> int:
    """A token by its probability, softmax(logits / temperature); never the unknown one."""
    logits = logits[UNKNOWN + 1 :]
    if temperature == 0:
        return int(logits.argmax()) + UNKNOWN + 1
    with np.errstate(over="ignore"):  # of a tiny temperature: -inf, which is right
        shares = np.exp((logits - logits.max()) / temperature)
    return int(generator.choice(len(shares), p=shares / shares.sum())) + UNKNOWN + 1
