"""What scripts call on a ``torch.nn.Module``, for models and the parts that their weights name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, ClassVar

from internvl_native import arguments
from internvl_native.checkpoint.tensor import CheckpointTensor
from internvl_native.engine import Engine
from internvl_native.parameters import ModuleTree, Parameter
from internvl_native.placement import Placement

_NO_GRADIENTS = "internvl_native runs models, it does not train them"
_NO_HOOKS = "the engine has no Python modules to hook; model.taps gives activations by name"
_NO_OTHER_METHOD = (
    "the engine would not call another one; it calls extract_feature of a model and generate of "
    "its language_model, and model.taps gives activations by name"
)
_FIXED_WEIGHTS = "weights are those of the checkpoint's files: change these, then from_pretrained"
_FIXED_LAYERS = (
    "the engine holds all layers; from_pretrained(path, config=config) with a smaller "
    "num_hidden_layers leaves out the last ones"
)
_NO_ADAPTERS = "adapters are trained with peft, and merged by load_adapter"

ABSENT = {
    "register_forward_hook": _NO_HOOKS,
    "register_forward_pre_hook": _NO_HOOKS,
    "register_full_backward_hook": _NO_GRADIENTS,
    "register_full_backward_pre_hook": _NO_GRADIENTS,
    "register_parameter": _FIXED_WEIGHTS,
    "register_buffer": _FIXED_WEIGHTS,
    "register_module": _FIXED_WEIGHTS,
    "add_module": _FIXED_WEIGHTS,
    "append": _FIXED_LAYERS,
    "extend": _FIXED_LAYERS,
    "insert": _FIXED_LAYERS,
    "pop": _FIXED_LAYERS,
    "load_state_dict": _FIXED_WEIGHTS,
    "apply": _FIXED_WEIGHTS,
    "init_weights": _FIXED_WEIGHTS,
    "resize_token_embeddings": _FIXED_WEIGHTS,
    "resize_pos_embeddings": "tiles of any size are taken as they come",
    "set_input_embeddings": _FIXED_WEIGHTS,
    "set_output_embeddings": _FIXED_WEIGHTS,
    "gradient_checkpointing_enable": _NO_GRADIENTS,
    "enable_input_require_grads": _NO_GRADIENTS,
    "add_adapter": _NO_ADAPTERS,
    "load_adapter": "the model itself has load_adapter",
    "merge_and_unload": "load_adapter has merged the adapter: leave it out",
    "wrap_backbone_lora": _NO_ADAPTERS,
    "wrap_llm_lora": _NO_ADAPTERS,
    "compile": "the engine is native code already: leave out compile and torch.compile",
    "double": "arithmetic is in float32, bfloat16 or float16",
    "push_to_hub": "upload a folder that save_pretrained wrote, with huggingface_hub",
    "share_memory": "threads share a model; a process loads its own, from the same mapped files",
    "_parameters": "the parts of a model cannot be placed one by one: from_pretrained(path, "
    "device_map=...) or model.to(device) places all of it",
    "_replicate_for_data_parallel": "one model uses all cores and may serve any number of threads: "
    "leave out torch.nn.DataParallel",
}
"""What a module of torch or transformers has and one of ours cannot have -> why, and what to do."""


class Module(Placement):
    """A part of a model: the parameters below one name, as ``torch.nn.Module`` shows them.

    Parameters and children have the names, the shapes and the order of the reference. Children
    without parameters (activations, dropout) are left out, and so are buffers. Parameters and
    children are attributes, too: ``model.vision_model.encoder.layers[0].ls1``.
    """

    _parts: ClassVar[dict[str, type[Module]]] = {}
    """The classes of the children that run by themselves, by name."""
    _uncalled: ClassVar[tuple[str, ...]] = ()
    """Methods that a caller's own cannot replace: the reference would call it, the engine not."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls)
        if "_uncalled" not in own:  # a class of a program's own
            for name in set(cls._uncalled) & set(own):
                raise TypeError(f"{cls.__name__}.{name}: {_NO_OTHER_METHOD}")

    def __init__(self, engine: Engine, tree: ModuleTree) -> None:
        self._engine = engine
        self._tree = tree

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Raises TypeError: parts that run by themselves have a ``forward`` of their own."""
        raise TypeError(
            "this part runs inside the engine only; model.taps gives its activations. Callable are "
            "vision_model, its embeddings and its encoder, mlp1, language_model, its model and the "
            "norm of that, and the token embeddings and the head"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """``forward``, a caller's own if a subclass or an assignment has put one in its place."""
        return self.forward(*args, **kwargs)

    def __repr__(self) -> str:
        """Names of parts, names and shapes of parameters."""
        entries = (
            name if isinstance(value, dict) else f"{name}: {tuple(value.shape)}"
            for name, value in self._tree.items()
        )
        return f"{type(self).__name__}({', '.join(entries)})"

    # ---- parameters

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter) in the order of the reference; counting elements reads nothing."""
        dtype = self._engine.dtype
        for name, tensor in self._named_tensors(prefix, recurse):
            yield name, Parameter(tensor, dtype)

    def _named_tensors(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, CheckpointTensor]]:
        modules = self.named_modules(prefix=prefix) if recurse else iter([(prefix, self)])
        for path, module in modules:
            for name, value in module._tree.items():
                if not isinstance(value, dict):
                    yield _joined(path, name), value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of ``named_parameters``."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name. AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        parameter = getattr(self.get_submodule(path), name)
        if not isinstance(parameter, Parameter):
            raise AttributeError(f"{target!r} is not a parameter")
        return parameter

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> OrderedDict[str, Parameter]:
        """The parameters by name. Saving or copying it writes their values."""
        state = OrderedDict() if destination is None else destination
        state.update(self.named_parameters(prefix=prefix.rstrip(".")))
        return state

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Nothing: what the reference precomputes, the engine has in its code."""
        return iter(())

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """Nothing, as ``named_buffers``."""
        return iter(())

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Elements of all parameters; without those of the token embeddings on request, and none
        with ``only_trainable``."""
        return sum(
            parameter.numel()
            for name, parameter in self.named_parameters()
            if not only_trainable and not (exclude_embeddings and _is_token_embedding(name))
        )

    def tie_weights(self) -> None:
        """Nothing to do: weights are tied when they are loaded."""

    def get_memory_footprint(self, return_buffers: bool = True) -> int:
        """Bytes of all parameters in the model's dtype."""
        return sum(parameter.nbytes for parameter in self.parameters())

    # ---- modules

    def named_modules(
        self, memo: Any = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(name, module): this one, then its children and theirs, depth first."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(prefix=_joined(prefix, name))

    def modules(self) -> Iterator[Module]:
        """The modules of ``named_modules``."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the parts one level below."""
        names = (name for name, value in self._tree.items() if isinstance(value, dict))
        return ((name, getattr(self, name)) for name in names)

    def children(self) -> Iterator[Module]:
        """The modules of ``named_children``."""
        return (module for _, module in self.named_children())

    @property
    def _modules(self) -> OrderedDict[str, Module]:
        """The children by name: accelerate's ``unwrap_model`` looks here."""
        return OrderedDict(self.named_children())

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name, itself for "". AttributeError if there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"{target!r}: {name!r} is not a module")
        return module  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        tree = self.__dict__.get("_tree", {})  # missing while copy and pickle rebuild an object
        if name in tree:
            value = tree[name]
            if not isinstance(value, dict):
                return Parameter(value, self._engine.dtype)
            return self._parts.get(name, _kind(value))(self._engine, value)
        reason = f": {ABSENT[name]}" if name in ABSENT else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{reason}")

    def __setattr__(self, name: str, value: Any) -> None:
        tree = self.__dict__.get("_tree", {})
        if name in tree:
            raise AttributeError(f"{name}: {_FIXED_WEIGHTS}")
        if name in self._uncalled or (name == "forward" and tree is not self._engine.tree):
            raise AttributeError(f"{name}: {_NO_OTHER_METHOD}")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._tree:
            raise AttributeError(
                f"{name}: the engine holds all parts; InternVisionModel.from_pretrained loads the "
                "vision part alone"
            )
        super().__delattr__(name)


class Linear(Module):
    """A part whose weight is a matrix, as ``torch.nn.Linear`` shows it."""

    @property
    def in_features(self) -> int:
        """Width of the rows that it takes."""
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        """Width of the rows that it makes."""
        return int(self.weight.shape[0])


class NumberedModules(Module):
    """Parts with numbers as names: ``torch.nn.ModuleList`` and ``torch.nn.Sequential``."""

    def __len__(self) -> int:
        """The highest number and one: numbers of parts without parameters count."""
        return 1 + int(next(reversed(self._tree)))

    def __getitem__(self, index: Any) -> Any:
        """The part of a number, from the end if negative; a list of parts for a slice. IndexError
        if there is none, TypeError for what is no number."""
        if isinstance(index, slice):
            return list(self)[index]
        index = arguments.integer("index", index)
        name = str(index + len(self) if index < 0 else index)
        if name not in self._tree:
            raise IndexError(f"expected one of {', '.join(self._tree)}, got {index}")
        return getattr(self, name)

    def __iter__(self) -> Iterator[Module]:
        return self.children()


def _kind(tree: ModuleTree) -> type[Module]:
    """The class of a part that is known by nothing but its parameters and children."""
    weight = tree.get("weight")
    if weight is not None and not isinstance(weight, dict) and len(weight.shape) == 2:
        return Linear
    return NumberedModules if next(iter(tree)).isdigit() else Module


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _is_token_embedding(name: str) -> bool:
    return name.endswith(("tok_embeddings.weight", "embed_tokens.weight"))
