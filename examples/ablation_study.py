"""Which part of a network contributes what? Train it without the part, from several seeds, on one budget, and compare."""

from sklearn.datasets import load_digits

import striate

digits = load_digits()
data = (digits.images * 15).astype("uint8"), digits.target  # (1797, 8, 8) and (1797,)
report = striate.ablate("compact_cnn", data, "without norm", "swap activation=tanh", seeds=2, training={"steps": 40})
for row in report.variants:
    print(f"{row.name:24} val accuracy {row.accuracy:.3f}")
print(f"table, curves and LaTeX: {report.run}")
