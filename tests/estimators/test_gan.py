"""Adversarial networks: the theory's numbers, distributions that are learned, the published layers, and the diagnosis of a collapse."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from striate.core.errors import DataError, NumericError, ShapeError, UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.data.sources import open_data
from striate.estimators import GAN, ConditionalDCGAN, load_estimator
from striate.estimators.generative.adversarial import CollapseReport, Game, Mode, discriminator_loss, generator_loss, spread_of
from striate.estimators.generative.cdcgan_players import begun, describe_discriminator, describe_generator

GREY = ImageSpec(height=32, width=32, channels=1, mean=(0.5,), std=(0.5,))
CENTRES = 2 * np.c_[np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)]


def ring(n, seed=0):
    """Eight narrow Gaussians on a circle."""
    generator = np.random.default_rng(seed)
    return CENTRES[generator.integers(8, size=n)] + 0.05 * generator.normal(size=(n, 2))


# ---- the game


def test_where_the_discriminator_knows_nothing_the_losses_are_2_ln_2_and_ln_2():
    assert discriminator_loss(torch.zeros(5), torch.zeros(7)).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(torch.zeros(7)).item() == pytest.approx(math.log(2))


def test_the_losses_are_those_of_the_paper():
    """-log D(x) - log(1 - D(G(z))), and -log D(G(z)), with D a sigmoid."""
    real, generated = torch.tensor([0.3, -1.2]).double(), torch.tensor([2.0, 0.1, -0.7]).double()
    D = torch.sigmoid
    expected = -D(real).log().mean() - (1 - D(generated)).log().mean()
    torch.testing.assert_close(discriminator_loss(real, generated), expected)
    torch.testing.assert_close(generator_loss(generated), -D(generated).log().mean())


@pytest.mark.row("003-33")
def test_against_a_fixed_generator_the_best_discriminator_is_p_over_p_plus_q():
    """Goodfellow et al., 2014, proposition 1, with p = N(0, 1) and q = N(1, 1.5^2)."""
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.02)
    for _ in range(250):
        loss = discriminator_loss(discriminator(torch.randn(1000, 1)), discriminator(1 + 1.5 * torch.randn(1000, 1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = np.linspace(-2, 3, 51)
    p, q = norm(0, 1).pdf(x), norm(1, 1.5).pdf(x)
    found = discriminator(torch.tensor(x[:, None]).float()).sigmoid().detach().numpy()
    assert np.abs(found - p / (p + q)).mean() < 0.03


def test_a_turn_updates_each_player_by_its_own_loss():
    """By hand: linear players, one row; Adam's first step is the learning rate against the gradient's sign."""
    generator, discriminator = nn.Linear(1, 1), nn.Sequential(nn.Linear(1, 1), nn.Flatten(0))
    with torch.no_grad():
        for parameter, value in zip([*generator.parameters(), *discriminator.parameters()], (1.0, 0.5, 2.0, 0.0), strict=True):
            parameter.fill_(value)
    game = Game(generator, discriminator, learning_rate=0.01, betas=(0.5, 0.999), averaging=0.9)

    turn = game.play(torch.tensor([[3.0]]), torch.tensor([[0.5]]))  # G(z) = 1, D's logits 6 on real and 2 on generated

    assert turn.discriminator_loss.item() == pytest.approx(math.log1p(math.exp(-6)) + math.log1p(math.exp(2)))
    assert turn.generator_loss.item() == pytest.approx(math.log1p(math.exp(-1.99 + 0.01)), abs=1e-6)  # of D as it is by then
    assert (turn.real_right.item(), turn.generated_right.item()) == (1.0, 0.0)
    weight, bias = (parameter.item() for parameter in discriminator.parameters())
    assert (weight, bias) == pytest.approx((1.99, -0.01))  # the generated row is called real: down
    assert [parameter.item() for parameter in generator.parameters()] == pytest.approx([1.01, 0.51])  # towards real: up
    mean = [parameter.item() for parameter in game.average.parameters()]
    assert mean == pytest.approx([1 + 0.01 * 10 / 11, 0.5 + 0.01 * 10 / 11])  # early on, it keeps 1 / 11
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


# ---- rows


@parametrize_with_checks([GAN(hidden_layer_sizes=(4,), max_iter=2, batch_size=8)])
def test_scikit_learn_accepts_the_gan(estimator, check):
    check(estimator)


@pytest.mark.row("003-33")
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.release) for seed in range(1, 5))])
def test_a_normal_distribution_is_learned(seed):
    """N(4, 1.25) to within 0.3 in its mean and its deviation, and the discriminator ends near a guess."""
    X = np.random.default_rng(10 + seed).normal(4, 1.25, (2000, 1))
    gan = GAN(hidden_layer_sizes=(32, 32), latent="uniform" if seed % 2 else "normal", max_iter=600, random_state=seed).fit(X)
    rows = gan.sample(4000)
    assert abs(rows.mean() - 4) < 0.3
    assert abs(rows.std() - 1.25) < 0.3
    last = gan.history_[-1]
    assert last["discriminator_loss"] == pytest.approx(2 * math.log(2), abs=0.1)
    assert last["generator_loss"] == pytest.approx(math.log(2), abs=0.1)
    assert (last["real_right"] + last["generated_right"]) / 2 == pytest.approx(0.5, abs=0.1)
    assert np.median(gan.discriminate(X)) == pytest.approx(0.5, abs=0.1)


@pytest.mark.release
@pytest.mark.row("003-33")
@pytest.mark.parametrize("seed", range(3))
def test_eight_modes_on_a_ring_are_covered(seed):
    gan = GAN(random_state=seed).fit(ring(4000, seed))
    distances = np.sqrt(((gan.sample(2000)[:, None] - CENTRES) ** 2).sum(2))  # (samples, modes)
    good = distances.min(1) < 4 * 0.05
    assert good.mean() >= 0.8
    counts = np.bincount(distances.argmin(1)[good], minlength=8)
    assert (counts >= 20).sum() >= 7
    assert gan.diagnose(ring(2000, 99)).good_share >= 0.8


def test_a_gan_repeats_itself_and_survives_its_file(tmp_path):
    settings = {"hidden_layer_sizes": (8,), "max_iter": 5, "batch_size": 16, "latent_size": 3}
    gan, again, other = (GAN(random_state=seed, **settings).fit(ring(50)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(gan.sample(4), again.sample(4))
    assert not np.allclose(gan.sample(4), other.sample(4))
    assert not np.allclose(gan.sample(4), gan.sample(4, random_state=5))
    gan.save(tmp_path / "gan.safetensors")
    loaded = load_estimator(tmp_path / "gan.safetensors")
    np.testing.assert_array_equal(loaded.sample(4), gan.sample(4))
    np.testing.assert_array_equal(loaded.discriminate(ring(9)), gan.discriminate(ring(9)))
    line = gan.interpolate(steps=5)
    np.testing.assert_allclose(line[[0, -1]], gan.generate(gan.noise(2)))
    assert [row["turn"] for row in gan.history_] == [1, 2, 3, 4, 5]


def test_a_collapse_is_named():
    """A generator that gives one point misses seven modes of eight, and shrinks the eighth."""
    gan = GAN(hidden_layer_sizes=(8,), max_iter=1, random_state=0).fit(ring(400))
    weights = gan.generator_["weights"]
    weights["linear2.weight"][:] = 0
    weights["linear2.bias"][:] = (CENTRES[0] - gan.mean_) / gan.scale_

    report = gan.diagnose(ring(400), num_samples=100)

    assert [mode.generated_share for mode in report.modes].count(0.0) == 7
    assert max(mode.generated_share for mode in report.modes) == 1 == report.good_share
    assert report.covered_share == 0
    assert report.findings[0].startswith("7 of 8 modes are missed: (")
    assert "samples vary less than half as much as the data: a collapse. Lower learning_rate" in report.findings[1]
    assert "covered 0%" in str(report) and report.findings[0] in str(report)
    assert all(mode.name in str(report).split("covered")[0] for mode in report.modes)  # in full


def test_a_generator_that_gives_the_data_itself_is_found_healthy(monkeypatch):
    gan = GAN(hidden_layer_sizes=(8,), max_iter=1, random_state=0).fit(ring(400))
    monkeypatch.setattr(GAN, "sample", lambda *_, **__: ring(500, seed=1))
    monkeypatch.setattr(GAN, "discriminate", lambda _, X: np.where(np.arange(len(X)) % 2, 0.4, 0.6))
    report = gan.diagnose(ring(400))
    assert report.covered_share == 1 and report.good_share > 0.98 and report.findings == ()
    assert (report.real_right, report.generated_right) == (0.5, 0.5)
    assert str(report).endswith("no problem found")

    monkeypatch.setattr(GAN, "sample", lambda *_, **__: ring(500, seed=1) * np.where(np.arange(500) % 4, 1, 0.7)[:, None])
    assert gan.diagnose(ring(400)).good_share == pytest.approx(0.75, abs=0.02)  # a quarter lies 0.6 from the modes


def test_a_discriminator_that_has_won_is_named():
    mode = Mode(name="3", real_share=1.0, generated_share=1.0, spread=0.9, agreement=0.2)
    report = CollapseReport(modes=(mode,), real_right=1.0, generated_right=0.99, agreement=0.2)
    assert "samples of 3 are mostly classified as another label" in report.findings[0]
    assert "right about 100% of real and 99% of generated samples: it has won" in report.findings[1]
    assert not mode.covered
    assert "0.90      20.0%" in str(report)


def test_spread_is_the_ratio_of_deviations():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    assert spread_of(0.4 * rows + 7, rows) == pytest.approx(0.4)
    assert spread_of(rows[:1], rows) == 0
    assert spread_of(rows, np.ones((5, 3))) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent": "cauchy"}, "latent must be normal or uniform, got 'cauchy'"),
        ({"latent_size": 0}, "latent_size must be at least 1, got 0"),
        ({"hidden_layer_sizes": (4, 0)}, r"hidden_layer_sizes\[1\] must be at least 1, got 0"),
        ({"blur": -0.1}, "blur must not be negative, got -0.1"),
        ({"averaging": 1}, "averaging must be from 0 to below 1, got 1"),
        ({"learning_rate": -1}, "learning_rate must be positive, got -1"),
        ({"betas": (0.5, 1.0)}, r"betas must be two numbers from 0 to below 1, got \(0\.5, 1\.0\)"),
        ({"betas": 0.5}, r"betas must be two numbers from 0 to below 1, got 0\.5"),
        ({"max_iter": 1.5}, r"max_iter must be a whole number, got 1\.5"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(UsageError, match=words):
        GAN(**settings).fit(ring(9))


def test_bad_input_of_rows_is_named():
    with pytest.raises(NotFittedError):
        GAN().sample(2)
    gan = GAN(hidden_layer_sizes=(4,), max_iter=1).fit(ring(9))
    with pytest.raises(UsageError, match="n must be at least 1, got 0"):
        gan.sample(0)
    with pytest.raises(UsageError, match="num_modes must be at most the 9 different rows of X, got 10"):
        gan.diagnose(ring(9), num_modes=10)
    with pytest.raises(UsageError, match="num_modes must be at most the 1 different rows of X, got 2"):
        gan.diagnose(np.ones((9, 2)), num_modes=2)
    for wrong in (np.zeros((3, 5)), np.zeros(8)):
        with pytest.raises(ShapeError, match=r"noise must be \(N, 8\), got"):
            gan.generate(wrong)
    with pytest.raises(UsageError, match="steps must be at least 1, got 0"):
        gan.interpolate(steps=0)
    with pytest.raises(NumericError, match="a loss is not finite in turn 3\nLower learning_rate, which is 1e"):
        GAN(hidden_layer_sizes=(4,), max_iter=150, learning_rate=1e30).fit(ring(9))


# ---- pictures


@pytest.mark.row("003-34")
def test_the_published_layers():
    """The sizes of each convolution and their parameters, of the implementation for MNIST that is in common use."""
    generator, discriminator = describe_generator(10), describe_discriminator(10)
    assert (generator.params, generator.macs) == (3_076_737, 68_083_712)
    assert (discriminator.params, discriminator.macs) == (2_643_329, 70_000_640)

    def convolutions(player):
        return [(row.output_shape, row.cost.params) for part in player for row in part.rows if row.layer.role == "conv"]

    assert convolutions(generator) == [
        ((256, 4, 4), 409_856),
        ((256, 4, 4), 41_216),
        ((256, 8, 8), 2_097_408),
        ((128, 16, 16), 524_416),
        ((1, 32, 32), 2_049),
    ]
    assert convolutions(discriminator) == [
        ((64, 16, 16), 1_088),
        ((64, 16, 16), 10_304),
        ((256, 8, 8), 524_544),
        ((512, 4, 4), 2_097_664),
        ((1, 1, 1), 8_193),
    ]


def test_the_players_join_what_they_are_told():
    torch.manual_seed(0)
    generator = begun(describe_generator(3, channels=2, latent_size=7, width=2), 1)
    discriminator = begun(describe_discriminator(3, channels=2, width=2), 32)
    labels = torch.eye(3)[[0, 1, 2, 2]]
    pictures = generator(torch.randn(4, 7, 1, 1), labels)
    assert pictures.shape == (4, 2, 32, 32) and pictures.abs().max() <= 1
    logits = discriminator(pictures, labels)
    assert logits.shape == (4,)
    joined = torch.cat([discriminator.content(pictures), discriminator.label(labels[:, :, None, None].repeat(1, 1, 32, 32))], 1)
    torch.testing.assert_close(logits, discriminator.trunk(joined).flatten())
    weights = torch.cat([part.weight.flatten() for part in generator.modules() if isinstance(part, nn.ConvTranspose2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)


def blobs(n, seed=0):
    """8 x 6 pictures in three brightnesses, "dark", "grey" and "light"."""
    generator = np.random.default_rng(seed)
    places = generator.integers(3, size=n)
    pictures = np.array([30, 120, 220])[places][:, None, None] + generator.integers(-25, 25, (n, 8, 6))
    return pictures.astype(np.uint8), np.array(["dark", "grey", "light"])[places]


@pytest.fixture(scope="module")
def fitted():
    X, y = blobs(96)
    quick = {"width": 4, "latent_size": 5, "batch_size": 8, "max_iter": 12, "learning_rate": 4e-3, "betas": (0.5, 0.99)}
    return ConditionalDCGAN(averaging=0.9, random_state=0, **quick).fit(X, y)


@pytest.mark.row("003-34")
def test_samples_are_of_the_label_that_was_asked_for(fitted):
    brightness = [fitted.sample(20, label).mean() for label in ("dark", "grey", "light")]
    assert brightness[0] < brightness[1] - 20 < brightness[2] - 40
    assert fitted.sample(2, "dark").shape == (2, 32, 32) and fitted.sample(2, "dark").dtype == np.uint8
    in_turn = fitted.sample(4)  # dark, grey, light, dark
    np.testing.assert_array_equal(in_turn, fitted.sample(4, ["dark", "grey", "light", "dark"]))
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 13))


@pytest.mark.release
@pytest.mark.timeout(900)
@pytest.mark.needs("MNIST/raw")
@pytest.mark.row("003-34")
def test_digits_of_a_quarter_of_the_width_are_recognised_after_800_turns(data_dir):
    """The judge, of nearest neighbours, learned from other pictures than the network; `benchmarks/generative.py` asks for 95 %."""
    train, test = (open_data("mnist").read(split, spec=GREY) for split in ("train", "test"))

    class Judge:
        neighbours = KNeighborsClassifier(3).fit(train.images[20_000:40_000].reshape(20_000, -1), train.labels[20_000:40_000])

        def predict(self, X):
            return self.neighbours.predict(X.reshape(len(X), -1))

    settings = {"width": 16, "batch_size": 64, "averaging": 0.98, "max_iter": 4, "learning_rate": 1e-3}
    gan = ConditionalDCGAN(random_state=0, **settings).fit(train.images[:12_800], train.labels[:12_800])
    report = gan.diagnose(test.images[:2000], test.labels[:2000], classifier=Judge(), num_samples=50)
    assert report.agreement > 0.75
    assert min(mode.spread for mode in report.modes) >= 0.5


def test_interpolation_ends_at_both_labels_and_at_both_noises(fitted):
    line = fitted.interpolate_labels("dark", "light", steps=5)
    assert line.shape == (5, 32, 32)
    np.testing.assert_array_equal(line[[0, -1]], fitted.generate(fitted.noise(1).repeat(2, 0), [[1, 0, 0], [0, 0, 1]]))
    arc = fitted.interpolate_noise("grey", steps=5)
    np.testing.assert_array_equal(arc[[0, -1]], fitted.sample(2, "grey"))


def test_pictures_are_diagnosed(fitted):
    class Judge:
        def predict(self, X):
            return np.array(["dark", "grey", "light"])[np.digitize(X.mean((1, 2)), [75, 170])]

    X, y = blobs(60, seed=1)
    report = fitted.diagnose(X, y, classifier=Judge(), num_samples=20)
    assert [mode.name for mode in report.modes] == ["dark", "grey", "light"]
    assert report.agreement == pytest.approx(np.mean([mode.agreement for mode in report.modes]))
    samples = fitted.sample(60, np.repeat(["dark", "grey", "light"], 20))
    assert report.modes[0].agreement == (Judge().predict(samples[:20]) == "dark").mean()
    assert report.generated_right == (fitted.discriminate(samples, np.repeat(["dark", "grey", "light"], 20)) < 0.5).mean()
    assert fitted.diagnose(X, y, num_samples=5).agreement is None


def test_a_conditional_gan_survives_its_file(fitted, tmp_path):
    fitted.save(tmp_path / "gan.safetensors")
    again = load_estimator(tmp_path / "gan.safetensors")
    np.testing.assert_array_equal(again.sample(3, "light"), fitted.sample(3, "light"))


def test_the_rate_falls_to_a_tenth_in_epoch_11_of_20_and_to_a_hundredth_in_epoch_16(monkeypatch):
    rates = []
    monkeypatch.setattr(Game, "set_rate", lambda _, rate: rates.append(rate))
    ConditionalDCGAN(width=1, latent_size=2, batch_size=2).fit(*blobs(2, seed=3))
    np.testing.assert_allclose(rates, [2e-4] * 10 + [2e-5] * 5 + [2e-6] * 5)


def test_colours_and_progress(capfd):
    X = np.random.default_rng(0).random((6, 10, 12, 3))
    gan = ConditionalDCGAN(width=1, latent_size=2, batch_size=4, max_iter=1, verbose=True).fit(X, [0, 1, 2, 0, 1, 2])
    assert gan.sample(5, 2).shape == (5, 32, 32, 3)
    assert "epoch 1 of 1: discriminator loss " in capfd.readouterr().err
    with pytest.raises(ShapeError, match="X has pictures of 1 channels, the network was fitted to 3"):
        gan.discriminate(X[..., 0], [0, 1, 2, 0, 1, 2])


def test_bad_input_of_pictures_is_named(fitted):
    X, y = blobs(20)
    with pytest.raises(UnknownNameError, match=r"unknown label 'drak'\nDid you mean dark\? The labels are dark, grey, light\."):
        fitted.sample(2, "drak")
    with pytest.raises(ShapeError, match=r"label must be one label, or one for each of 3 pictures, got shape \(2,\)"):
        fitted.sample(3, ["dark", "grey"])
    with pytest.raises(ShapeError, match=r"noise and shares must be \(N, 5\) and \(N, 3\), got \(2, 4\) and \(2, 3\)"):
        fitted.generate(np.ones((2, 4)), np.ones((2, 3)))
    with pytest.raises(DataError, match="X has 20 pictures, fewer than a batch of 128\nLower batch_size"):
        ConditionalDCGAN().fit(X, y)
    with pytest.raises(DataError, match="y has 3 labels for 20 pictures"):
        ConditionalDCGAN().fit(X, y[:3])
    with pytest.raises(DataError, match=r"X must be pictures \(n, h, w\) or \(n, h, w, c\), got shape \(20, 48\)"):
        ConditionalDCGAN().fit(X.reshape(20, -1), y)
    with pytest.raises(UsageError, match="batch_size must be at least 2, for the statistics of a batch, got 1"):
        ConditionalDCGAN(batch_size=1).fit(X, y)
    with pytest.raises(UsageError, match="averaging must be from 0 to below 1, got -1"):
        ConditionalDCGAN(averaging=-1).fit(X, y)
    with pytest.raises(NotFittedError):
        ConditionalDCGAN().sample(1)
