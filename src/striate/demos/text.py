"""A small language: an Elman network reads sentences, and finds out what follows what and which words are alike.

Source: Elman, 1990, "Finding structure in time", section "Discovering lexical classes from word order".
Departs from the source: fewer words and kinds of sentences; Adam teaches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise, product

import numpy as np

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import DEMO_DPI
from striate.drawing.style import COLOURS, TEN, below, drawing, plain, png_bytes
from striate.estimators.sequences.sequence_model import SequenceModel

KINDS = {
    "human": ("man", "woman", "boy", "girl"),
    "animal": ("cat", "dog", "mouse", "lion"),
    "food": ("bread", "apple", "cookie"),
    "thing": ("plate", "glass", "vase"),
    "eating": ("eats", "smells"),
    "breaking": ("breaks", "drops"),
    "chasing": ("sees", "chases"),
    "resting": ("sleeps", "waits"),
}
FRAMES = (  # of a sentence, each as likely as the others
    ("human", "eating", "food"),
    ("human", "breaking", "thing"),
    ("human", "chasing", "animal"),
    ("human", "resting"),
    ("animal", "eating", "food"),
    ("animal", "chasing", "animal"),
    ("animal", "resting"),
)
END = "."
BEFORE = f" man sleeps {END}"  # so that a new sentence begins
STARTS = ("woman", "woman breaks", "dog", "lion chases cat")
Sentence = tuple[str, ...]


def show(setting: Setting) -> Shown:
    """Teach sentences of the grammar; compare what the network expects with what the grammar says."""
    shares = grammar()
    count, epochs = (1000, 14) if setting.short else (3000, 10)
    learned, others = (drawn(shares, count, setting.seed + place) for place in (0, 1))
    model = SequenceModel(
        "elman", unit="word", hidden_size=32, truncate=12, batch_size=32, max_iter=epochs, learning_rate=0.01, random_state=setting.seed
    )
    model.fit(text_of(learned))
    measures = yardsticks(shares, learned)
    network = float(model.losses(text_of(others)).mean())
    bits = (*measures.items(), ("the network, on sentences not seen", network), ("the grammar itself: none can do better", entropy(shares)))
    return Shown(
        tables=(
            Table(title=f"Doubt about the next word, after {count:,} sentences", heading=("who foretells it", "bits a word"), rows=bits),
            Table(
                title="The three likeliest words after a start, and how likely they are",
                heading=("start", "word", "network", "grammar"),
                rows=tuple(expected(model, shares)),
            ),
            Table(
                title="200 words that the network makes up: lower temperatures take likely words more often",
                heading=("temperature", "right sentences", "for example"),
                rows=tuple(made_up(model, shares, setting.seed)),
            ),
        ),
        notes=(
            "With 1 bit of doubt there are two words to choose from, with 2 bits four, and so on.",
            "No one told the network what a noun, a verb or an animal is: in the tree, words that are used alike stand together.",
        ),
        pictures={"text.png": lambda: draw(model, others, {**measures, "grammar": entropy(shares)})},
    )


def grammar() -> dict[Sentence, float]:
    """Each sentence, with its end, and its probability."""
    shares: dict[Sentence, float] = defaultdict(float)
    for frame in FRAMES:
        sentences = list(product(*(KINDS[kind] for kind in frame)))
        for sentence in sentences:
            shares[*sentence, END] += 1 / len(FRAMES) / len(sentences)
    return dict(shares)


def drawn(shares: dict[Sentence, float], count: int, seed: int) -> list[Sentence]:
    """Sentences by their probability."""
    sentences = list(shares)
    return [sentences[place] for place in np.random.default_rng(seed).choice(len(sentences), count, p=list(shares.values()))]


def text_of(sentences: list[Sentence]) -> str:
    """One text, a blank before each word: so each word is one token wherever it stands."""
    return "".join(f" {word}" for sentence in sentences for word in sentence)


def entropy(shares: dict[Sentence, float]) -> float:
    """Bits a word of the grammar: those of a sentence over the words of one, as each tells where it ends."""
    probabilities = np.array(list(shares.values()))
    words = sum(len(sentence) * share for sentence, share in shares.items())
    return float(-(probabilities * np.log2(probabilities)).sum() / words)


def yardsticks(shares: dict[Sentence, float], learned: list[Sentence]) -> dict[str, float]:
    """Bits a word of who knows less of the language than a network may learn."""
    words = [word for sentence in learned for word in sentence]
    single, pairs, before = Counter(words), Counter(pairwise(words)), Counter(words[:-1])
    alone = -sum(n / len(words) * np.log2(n / len(words)) for n in single.values())
    paired = -sum(n / (len(words) - 1) * np.log2(n / before[first]) for (first, _), n in pairs.items())
    known = {word for sentence in shares for word in sentence}
    return {"each word as likely": float(np.log2(len(known))), "how frequent words are": float(alone), "the word before": float(paired)}


def expected(model: SequenceModel, shares: dict[Sentence, float]) -> list[tuple[str, str, float, float]]:
    """What the network, and the grammar, expect after each start of a sentence."""
    rows = []
    for start in STARTS:
        words = tuple(start.split())
        left = {sentence: share for sentence, share in shares.items() if sentence[: len(words)] == words}
        for word, share in model.next_tokens(f"{BEFORE} {start}", top=3):
            right = sum(p for sentence, p in left.items() if sentence[len(words)] == str(word).strip()) / sum(left.values())
            rows.append((start, str(word).strip(), share, right))
    return rows


def made_up(model: SequenceModel, shares: dict[Sentence, float], seed: int) -> list[tuple[str, float, str]]:
    """How many of the sentences that the network makes up are the grammar's, by temperature."""
    rows = []
    for temperature in (0.5, 1.0, 2.0):
        words = str(model.sample(200, BEFORE, temperature=temperature, random_state=seed)).split()
        ends = [place for place, word in enumerate(words) if word == END]
        sentences = [tuple(words[first + 1 : last + 1]) for first, last in pairwise([-1, *ends])]
        right = float(np.mean([sentence in shares for sentence in sentences])) if sentences else 0.0
        rows.append((f"{temperature:g}", right, " ".join(word for sentence in sentences[:3] for word in sentence)[:60]))
    return rows


def held(model: SequenceModel, sentences: list[Sentence]) -> dict[str, np.ndarray]:
    """What the cells hold after each word, its mean over the sentences."""
    words = [word for sentence in sentences for word in sentence]
    (states,) = model.states(text_of(sentences))
    places = defaultdict(list)
    for place, word in enumerate(words):
        places[word].append(place)
    return {word: states[own].mean(0) for word, own in sorted(places.items())}


def draw(model: SequenceModel, sentences: list[Sentence], measures: dict[str, float]) -> bytes:
    """The words as a tree of what the cells hold after them, and the loss as it falls, as a PNG."""
    from scipy.cluster.hierarchy import dendrogram, linkage

    kind_of = {word: kind for kind, words in KINDS.items() for word in words}
    meant = held(model, sentences)
    tokens = [word for word in meant if word in kind_of]
    tree = linkage(np.array([meant[word] for word in tokens]), "average")
    with drawing():
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch

        figure = Figure(figsize=(11.5, 5), dpi=DEMO_DPI, layout="constrained")
        words, curve = figure.subplots(1, 2, width_ratios=(1.25, 1))
        dendrogram(tree, labels=tokens, orientation="left", ax=words, color_threshold=0, above_threshold_color="#777777")
        plain(words, title="how alike the cells' states after each word are, on average", x="distance at which words or groups join")
        colours = dict(zip(KINDS, TEN, strict=False))
        for label in words.get_yticklabels():
            label.set(color=colours[kind_of[label.get_text()]], fontsize=9)
        words.grid(visible=False)
        below(figure, [Patch(color=colour) for colour in colours.values()], list(colours))
        plain(curve, title="doubt about the next word as it learns", x="epoch", y="bits a word")
        curve.plot(range(1, len(model.loss_curve_) + 1), model.loss_curve_, "o-", markersize=3, color=COLOURS[0])
        for name, bits in measures.items():
            curve.axhline(bits, color="#999999", linewidth=1, linestyle="--")
            side = "top" if name == "grammar" else "bottom"  # where the curve is not
            aside = {"xytext": (0, -4 if side == "top" else 1), "textcoords": "offset points", "ha": "right", "va": side}
            curve.annotate(name, (1, bits), xycoords=("axes fraction", "data"), fontsize=8, color="#555555", **aside)
        curve.set_ylim(bottom=0)
        curve.xaxis.get_major_locator().set_params(integer=True)
        return png_bytes(figure)
