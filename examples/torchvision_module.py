"""A torchvision module that was trained elsewhere: predict with it and attack it.

Here it is trained for a moment in plain torch; yours may come with weights of its own.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torchvision.models import shufflenet_v2_x0_5

import striate

digits = load_digits()
images = np.kron(digits.images[:300] * 15, np.ones((4, 4)))[..., None].repeat(3, axis=3).astype("uint8")  # (300, 32, 32, 3)
labels = torch.from_numpy(digits.target[:300])

torch.manual_seed(0)
module = shufflenet_v2_x0_5(num_classes=10)
x = torch.from_numpy(images).permute(0, 3, 1, 2) / 255  # (300, 3, 32, 32)
optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
for epoch in range(8):
    for batch in torch.randperm(300).split(50):
        loss = nn.functional.cross_entropy(module((x[batch] - 0.5) / 0.25), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}  loss {loss.item():.2f}")

# The numbers that the module's pictures were normalized with become part of the model.
model = striate.Model.of(module, input_size=32, classes=digits.target_names.astype(str), mean=0.5, std=0.25)
answers = model.predict(images[:5])
print("answers", *(answer.class_name for answer in answers))

attacked = striate.attack(model, (images, digits.target[:300]), attacks=("fgsm",), num_images=60, output="runs/attacked")
for result in attacked.results:
    sizes = zip(result.sizes, result.accuracies, strict=True)
    print(result.attack, *(f"{size:.3g}: {accuracy:.2f}" for size, accuracy in sizes))
