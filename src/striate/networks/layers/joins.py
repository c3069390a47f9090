"""The two ways to join layers: one after the other, and side by side on the same input."""

from __future__ import annotations

import dataclasses
import keyword
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers.base import Cost, Layer, Reach, Row, Shape, View, elements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

Merge = Literal["sum", "concat", "multiply", "first", "resize", "unpool", "mixture"]
MERGES: tuple[Merge, ...] = ("sum", "concat", "multiply", "first", "resize", "unpool", "mixture")
Named = tuple[tuple[str, Layer], ...]
TAKEN = frozenset(  # names that a torch module uses itself, and `self`
    """
    T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval extra_repr
    float forward get_buffer get_extra_state get_parameter get_submodule half ipu load_state_dict modules mtia named_buffers
    named_children named_modules named_parameters parameters register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook register_state_dict_pre_hook
    requires_grad_ self set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
    """.split()  # noqa: SIM905  # a list of this length would take a line a name
)


def name_children(layers: tuple[Layer, ...], named: dict[str, Layer]) -> Named:
    """Give each of `layers` its role as a name, numbered where several share it; then the `named` ones."""
    roles = [getattr(layer, "role", "part") for layer in layers]
    seen: dict[str, int] = {}
    children: list[tuple[str, Layer]] = []
    for layer, role in zip(layers, roles, strict=True):
        seen[role] = seen.get(role, 0) + 1
        children.append((f"{role}{seen[role]}" if roles.count(role) > 1 else role, layer))
    children.extend(named.items())
    return checked(tuple(children))


def checked(children: Named) -> Named:
    """`children`, if all are layers with distinct names that can stand in a path."""
    names = set()
    for name, layer in children:
        if not isinstance(layer, Layer):
            raise UsageError(f"{name!r} must be a layer, got {type(layer).__name__}")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise UsageError(f"a part's name must be an identifier, got {name!r}")
        if name in TAKEN or name.startswith("_"):
            raise UsageError(f"a part cannot be called {name!r}, which a torch module uses itself", "Give it another name.")
        if name in names:
            raise UsageError(f"two parts are called {name!r}", "Give each part its own name: Chain(first=..., second=...).")
        names.add(name)
    return children


class Container(Layer):
    """The base of a chain and a parallel: named children."""

    children: Named

    def __getitem__(self, path: str) -> Layer:
        """The part at a dotted `path`."""
        name, _, rest = path.partition(".")
        for child_name, child in self.children:
            if child_name == name:
                return child[rest] if rest and isinstance(child, Container) else child
        raise KeyError(path)

    def with_children(self, children: Named) -> Container:
        """A copy with other children."""
        raise NotImplementedError

    def to_data(self) -> dict[str, Any]:
        return {"type": type(self).__name__, "children": [[name, child.to_data()] for name, child in self.children]}

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={child!r}" for name, child in self.children)
        return f"{type(self).__name__}({parts})"

    def __str__(self) -> str:
        return f"{type(self).__name__} of {len(self.children)}"


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Chain(Container):
    """One after the other: `Chain(Conv(32, 3), Activation("relu"))` or, with names, `Chain(stem=..., stage1=...)`."""

    role: ClassVar[str] = "unit"
    children: Named

    def __init__(self, *layers: Layer, **named: Layer) -> None:
        object.__setattr__(self, "children", name_children(layers, named))

    def with_children(self, children: Named) -> Chain:
        return Chain(**dict(checked(children)))

    def output_shape(self, shape: Shape) -> Shape:
        for name, child in self.children:
            try:
                shape = child.output_shape(shape)
            except ShapeError as error:
                raise error.within(name) from None
        return shape

    def cost(self, shape: Shape) -> Cost:
        return _sum_of_leaves(self, shape)

    def rows(self, shape: Shape, view: View, path: str = "") -> Iterator[Row]:
        for name, child in self.children:
            row = None
            for row in child.rows(shape, view, f"{path}.{name}" if path else name):
                yield row
            if row is not None:  # None: an empty chain
                shape, view = row.output_shape, row.view

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.joins import ChainModule

        module = ChainModule()
        for name, child in self.children:
            try:
                module.add_module(name, child.build(shape))
                shape = child.output_shape(shape)
            except ShapeError as error:
                raise error.within(name) from None
        return module


@dataclasses.dataclass(frozen=True, init=False, repr=False)
class Parallel(Container):
    """Side by side on the same input, then merged: `Parallel(body=..., shortcut=Identity(), merge="sum")`.

    "sum" and "multiply" go element by element, an extent of 1 standing for any (a gate (C, 1, 1) times a map (C, H, W));
    "concat" joins the channels in the order of the branches, the only place of a map (C, 1, 1) standing for any; "first" takes the first
    branch, the others giving only their size, and "resize" enlarges it to that size by bilinear interpolation (DeepLab's scores).
    "unpool" puts each value of the second branch where its window of 2 x 2 places in the first, a map twice as large, has its first
    maximum, and zeros elsewhere (SegNet's way up).
    "mixture" takes the branches for logits over the first axis and gives log((p_1 + ... + p_n) / n) of their softmax p_i, which is again
    logits: their softmax is the mean of the branches' probabilities (an ensemble).
    With `crop`, each map larger than the smallest is cut to its size, from place `crop` of each axis on (FCN's skips).
    The child that `trunk` names runs first, and the branches read what comes out of it (the normalization that a pre-activation body
    shares with its shortcut); its place among the children decides only where its weights stand, as other libraries order them.
    """

    role: ClassVar[str] = "split"
    children: Named
    merge: Merge
    crop: int | None
    trunk: str | None

    def __init__(self, *layers: Layer, merge: Merge, crop: int | None = None, trunk: str | None = None, **named: Layer) -> None:
        object.__setattr__(self, "crop", crop)
        object.__setattr__(self, "trunk", trunk)
        if merge not in MERGES:
            raise UsageError(f"merge must be one of {', '.join(MERGES)}, got {merge!r}")
        object.__setattr__(self, "children", name_children(layers, named))
        object.__setattr__(self, "merge", merge)
        if not self.children:
            raise UsageError("a parallel needs at least one branch")
        if trunk is not None and (trunk not in dict(self.children) or len(self.children) == 1):
            names = ", ".join(name for name, _ in self.children)
            raise UsageError(f"trunk must name a child that has branches beside it, got {trunk!r} of {names}")

    @property
    def kind(self) -> str:
        return self.merge

    @property
    def branches(self) -> Named:
        """The children that are merged: all but the trunk."""
        return tuple((name, child) for name, child in self.children if name != self.trunk)

    def with_children(self, children: Named) -> Parallel:
        trunk = self.trunk if self.trunk in dict(children) else None
        return Parallel(**dict(checked(children)), merge=self.merge, crop=self.crop, trunk=trunk)

    def to_data(self) -> dict[str, Any]:
        chosen = {"crop": self.crop, "trunk": self.trunk}
        return {**super().to_data(), "merge": self.merge, **{name: value for name, value in chosen.items() if value is not None}}

    def into_branches(self, shape: Shape) -> Shape:
        """The input shape of the branches for an input of `shape`."""
        if self.trunk is None:
            return shape
        try:
            return dict(self.children)[self.trunk].output_shape(shape)
        except ShapeError as error:
            raise error.within(self.trunk) from None

    def output_shape(self, shape: Shape) -> Shape:
        shape, shapes = self.into_branches(shape), []
        for name, child in self.branches:
            try:
                shapes.append(child.output_shape(shape))
            except ShapeError as error:
                raise error.within(name) from None
        return self.merged(shapes)

    def merged(self, shapes: list[Shape]) -> Shape:
        """The shape of the merged branches."""
        if self.crop is not None:
            shapes = self._cropped(shapes, self.crop)
        if self.merge == "first":
            return shapes[0]
        if self.merge == "mixture":
            if len(set(shapes)) > 1:
                raise ShapeError(f"mixture needs branches of the same classes, got {self._listed(shapes)}")
            return shapes[0]
        if self.merge == "concat":
            size = max((s[1:] for s in shapes), key=elements)
            if any(s[1:] not in (size, (1,) * len(size)) for s in shapes):
                raise ShapeError(f"concat needs branches of one size, got {self._listed(shapes)}")
            return (sum(s[0] for s in shapes), *size)
        if self.merge in ("resize", "unpool"):
            return self._enlarged(shapes)
        ranks = {len(s) for s in shapes}
        merged = tuple(max(extents) for extents in zip(*shapes, strict=False))
        if len(ranks) > 1 or any(n not in (1, m) for s in shapes for n, m in zip(s, merged, strict=True)):
            raise ShapeError(f"{self.merge} needs branches of one shape, got {self._listed(shapes)}")
        return merged

    def _enlarged(self, shapes: list[Shape]) -> Shape:
        if len(shapes) != 2 or any(len(s) != 3 for s in shapes):
            raise ShapeError(f"{self.merge} needs two branches (C, H, W), got {self._listed(shapes)}")
        if self.merge == "resize":
            return (shapes[0][0], *shapes[1][1:])
        channels, height, width = shapes[0]
        if shapes[1] != (channels, (height + 1) // 2, (width + 1) // 2):
            raise ShapeError(f"unpool needs a second branch of half the size of the first, rounded up, got {self._listed(shapes)}")
        return shapes[0]

    def _merged_view(self, views: list[View], shapes: list[Shape]) -> View:
        """The view of the merged branches; of a map that is enlarged, as by the nearest or by bilinear interpolation."""
        if self.merge == "first":
            return views[0]
        if self.merge in ("resize", "unpool"):
            small = 0 if self.merge == "resize" else 1
            scales = [m / n for n, m in zip(shapes[small][1:], shapes[1 - small][1:], strict=True)]
            kernel = (2.0 if self.merge == "resize" else 1.0,) * len(scales)
            reach = Reach(kernel, tuple(1 / scale for scale in scales), tuple((1 / scale - 1) / 2 for scale in scales))
            views = [view.through(reach) if i == small else view for i, view in enumerate(views)]
        return views[0] if self.merge == "resize" else _union(views, gated=self.merge == "multiply")

    def _cropped(self, shapes: list[Shape], crop: int) -> list[Shape]:
        smallest = tuple(map(min, *(s[1:] for s in shapes)))
        for shape in shapes:
            if any(m < n < m + crop for n, m in zip(shape[1:], smallest, strict=True)):
                raise ShapeError(f"cannot crop {smallest} at offset {crop} from {shape[1:]}: {self._listed(shapes)}")
        return [(s[0], *smallest) for s in shapes]

    def _listed(self, shapes: list[Shape]) -> str:
        return ", ".join(f"{name} {shape}" for (name, _), shape in zip(self.branches, shapes, strict=True))

    def cost(self, shape: Shape) -> Cost:
        return _sum_of_leaves(self, shape)

    def rows(self, shape: Shape, view: View, path: str = "") -> Iterator[Row]:
        shapes, views = [], []
        if self.trunk is not None:
            for line in dict(self.children)[self.trunk].rows(shape, view, f"{path}.{self.trunk}" if path else self.trunk):
                yield line
                shape, view = line.output_shape, line.view
        for name, child in self.branches:
            row = None
            for row in child.rows(shape, view, f"{path}.{name}" if path else name):
                yield row
            shapes.append(row.output_shape if row else shape)
            views.append(row.view if row else view)
        try:
            merged = self.merged(shapes)
        except ShapeError as error:
            raise error.within(path) if path else error from None
        if self.crop is not None:
            views = [
                _cut(view, whole, part, self.crop)
                for view, whole, part in zip(views, shapes, self._cropped(shapes, self.crop), strict=True)
            ]
        yield Row(path, self, shape, merged, Cost(activations=elements(merged)), self._merged_view(views, shapes))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.joins import ParallelModule

        module, inner = ParallelModule(self.merge, self.crop, self.trunk), self.into_branches(shape)
        for name, child in self.children:
            try:
                module.add_module(name, child.build(shape if name == self.trunk else inner))
            except ShapeError as error:
                raise error.within(name) from None
        return module


def _cut(view: View, whole: Shape, part: Shape, start: int) -> View:
    """The view of a map `whole`, after cutting `part` out of it from place `start` on, along the axes on which they differ."""
    starts = (start if n > m else 0 for n, m in zip(whole[1:], part[1:], strict=True))
    return view._replace(centre=tuple(c + s * j for c, s, j in zip(view.centre, starts, view.stride, strict=True)))


def _union(views: list[View], *, gated: bool) -> View:
    """The joint view of branches; where they are `gated`, one that sees everything counts only if all do."""
    whole = (all if gated else any)(view.whole for view in views)
    windowed = [view for view in views if not view.whole] or views
    lows = [tuple(c - (r - 1) / 2 for c, r in zip(view.centre, view.size, strict=True)) for view in windowed]
    highs = [tuple(c + (r - 1) / 2 for c, r in zip(view.centre, view.size, strict=True)) for view in windowed]
    low, high = tuple(map(min, *lows, lows[0])), tuple(map(max, *highs, highs[0]))
    size = tuple(b - a + 1 for a, b in zip(low, high, strict=True))
    return View(size, windowed[0].stride, tuple((a + b) / 2 for a, b in zip(low, high, strict=True)), whole)


def _sum_of_leaves(container: Container, shape: Shape) -> Cost:
    """The cost of a whole container; its reach is that of a single layer with the same view."""
    params = macs = activations = connections = 0
    rank = len(shape) - 1
    view = View.of_input(rank)
    for row in container.rows(shape, view):
        params, macs = params + row.cost.params, macs + row.cost.macs
        activations, connections = activations + row.cost.activations, connections + row.cost.connections
        view = row.view
    return Cost(params, macs, activations, connections, Reach(view.size, view.stride, view.centre, view.whole))
