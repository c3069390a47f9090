"""Networks in scikit-learn: a pipeline, cross-validation, and a search over their settings."""

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import striate
from striate.estimators import LinearSVM, RestrictedBoltzmann

digits = load_digits()
X, y = digits.data[:600], digits.target[:600]  # (600, 64), from 0 to 16

# Features that a Boltzmann machine finds without labels, and a linear classifier on them.
pipeline = make_pipeline(MinMaxScaler(clip=True), RestrictedBoltzmann(n_components=64, max_iter=10, random_state=0), LinearSVM())
print(f"features of a Boltzmann machine: {cross_val_score(pipeline, X, y, cv=3).mean():.2f}")

# A convolutional network on the pictures, searched like any other estimator.
images = (digits.images[:600] * 15).astype("uint8")  # (600, 8, 8)
search = GridSearchCV(striate.ImageClassifier("compact_cnn", epochs=2, random_state=0), {"learning_rate": [0.01, 0.03]}, cv=2)
search.fit(images, y)
print(f"convolutional network: {search.best_score_:.2f} with {search.best_params_}")
