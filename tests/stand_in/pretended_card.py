"""A simulated CUDA card. Its tensors lie in the CPU's memory, and say that they are on cuda:1.

It raises the errors of a real card: for operations on tensors of both devices, and for a kernel that gets a
CPU tensor or is started while another card is current. It records faults that a real card makes silently
(card_work.py): a stream reads a result of another stream without waiting for it, memory is freed while
another stream uses it, pinned memory is read before the copy has ended. Triton's kernels are interpreted, so
TRITON_INTERPRET must be 1 before Triton is imported.

It supports only the torch calls that this project makes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from card_work import CardWork, Memory, Step, Stream
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only
from triton.runtime.interpreter import GridExecutor

from sam_core import crop_streams
from sam_core.model import device_encoder

CARD = torch.device("cuda", 1)  # not the current device
# Operations whose result the host needs before it continues
WAITS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2"}


class CardTensor(torch.Tensor):
    """A tensor of the card that wraps a CPU tensor. Views share the memory of their base."""

    inner: torch.Tensor
    memory: Memory
    card: "PretendedCard"

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CARD)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: torch.Tensor, memory: Memory, card: "PretendedCard") -> "CardTensor":
        with torch.inference_mode(inner.is_inference()):
            made: CardTensor = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
                cls,
                inner.size(),
                strides=inner.stride(),
                storage_offset=inner.storage_offset(),
                dtype=inner.dtype,
                layout=inner.layout,
                device=inner.device,
            )
        made.inner, made.memory, made.card = inner, memory, card
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copy = self.detach().clone()
        return torch.nn.Parameter(copy, requires_grad=False) if hasattr(self, "_is_param") else copy

    def data_ptr(self) -> int:
        """The address of the CPU memory."""
        return self.inner.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """An operation on at least one tensor of the card."""
        kwargs = kwargs or {}
        first = next(each for each in tree_leaves((args, kwargs)) if isinstance(each, CardTensor))
        with first.card.work.lock:
            return first.card.operation(func, args, kwargs)


class PretendedCard:
    """The card: `work` has its work and faults; `is_full` decides which allocations run out of memory."""

    def __init__(self) -> None:
        self.work = CardWork()
        self.allocations = 0
        self.is_full: Callable[[int], bool] = lambda allocation: False

    def taken(self, inner: torch.Tensor, step: Step) -> CardTensor:
        """The tensor in newly allocated memory of the card."""
        self.allocations += 1
        if self.is_full(self.allocations):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return CardTensor(inner, Memory(self.work, step), self)

    def uploaded(self, tensor: torch.Tensor, name: str) -> CardTensor:
        """A copy on the card; the host waits for all work before a copy from memory that is not pinned."""
        if not is_pinned(tensor):
            self._waits(f"{name} of memory that is not pinned")
        return self.taken(tensor.clone(), self.work.step(name))

    def _waits(self, why: str) -> None:
        """The host waits for the thread's stream."""
        self.work.host_waits(self.work.stream.clock, why)

    def operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of torch's operation, with the errors and faults of a card."""
        step = self.work.step(func.name())
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        on_card = [each for each in tensors if isinstance(each, CardTensor)]
        if func is torch.ops.aten.copy_.default and len(on_card) == 1:
            return self._copied(step, *args)
        if any(each.ndim for each in tensors if not isinstance(each, CardTensor)):
            raise RuntimeError(f"{step.name} was given tensors on different devices, {CARD} and cpu")
        written = _written(func, args, kwargs)
        if not _is_view(func):
            for each in on_card:
                (self.work.writes if id(each) in written else self.work.reads)(step, each.memory)
        if func.overloadpacket.__name__ in WAITS:
            self._waits(step.name)
        inner_args, inner_kwargs = tree_map_only(CardTensor, lambda each: each.inner, (args, kwargs))
        if "device" in inner_kwargs:
            inner_kwargs["device"] = torch.device("cpu")
        outs = func(*inner_args, **inner_kwargs)

        def of_the_card(out: torch.Tensor) -> torch.Tensor:
            storage = out.untyped_storage()._cdata
            for each in on_card:
                if out is each.inner:
                    return each
                if storage == each.inner.untyped_storage()._cdata:
                    return CardTensor(out, each.memory, self)
            return self.taken(out, step)

        return tree_map_only(torch.Tensor, of_the_card, outs)

    def _copied(self, step: Step, to: Any, source: Any, is_async: bool = False) -> torch.Tensor:
        if isinstance(to, CardTensor):
            if source.ndim and not (is_async and is_pinned(source)):
                self._waits("a copy of memory that is not pinned")
            self.work.writes(step, to.memory)
            to.inner.copy_(source)
            return to
        self.work.reads(step, source.memory)
        if is_async and is_pinned(to):
            self.work.copies_later(step, to, source.inner.to(to.dtype, copy=True))
        else:
            self._waits("a copy to the CPU")
            to.copy_(source.inner)
        return to

    def downloaded(self, tensor: CardTensor) -> torch.Tensor:
        """A copy on the CPU, for which the host waits."""
        self.work.reads(self.work.step("a copy to the CPU"), tensor.memory)
        self._waits("a copy to the CPU")
        return tensor.inner.clone()

    def launched(self, launch: Callable[..., Any], executor: Any, args: Any, kwargs: Any) -> None:
        """Interprets a kernel; memory that differs afterwards counts as written."""
        step = self.work.step(executor.fn.__name__)
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        if not all(isinstance(each, CardTensor) for each in tensors):
            raise RuntimeError(f"the kernel {step.name} was given a tensor of the CPU")
        if self.work.device != CARD:
            raise RuntimeError(f"the kernel {step.name} was started on {self.work.device}")
        before = [bytes_of(each.inner).clone() for each in tensors]
        inner_args, inner_kwargs = tree_map_only(CardTensor, lambda each: each.inner, (args, kwargs))
        launch(executor, *inner_args, **inner_kwargs)
        for each, old in zip(tensors, before, strict=True):
            is_written = not torch.equal(bytes_of(each.inner), old)
            (self.work.writes if is_written else self.work.reads)(step, each.memory)

    def moved(self, module: torch.nn.Module) -> None:
        """Moves the module's weights to the card."""
        for part in module.modules():
            for name, weight in part.named_parameters(recurse=False):
                on_card = self.uploaded(weight.detach(), "a weight")
                part.register_parameter(name, torch.nn.Parameter(on_card, requires_grad=False))
            for name, buffer in part.named_buffers(recurse=False):
                part._buffers[name] = self.uploaded(buffer, "a buffer")


class _OnCard(TorchFunctionMode):
    """Handles torch calls that name the card or pinned memory, or that copy from the card to the CPU."""

    def __init__(self, card: PretendedCard) -> None:
        super().__init__()
        self._card = card

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, card = dict(kwargs or {}), self._card
        if func is torch.Tensor.pin_memory:
            return pinned(args[0].clone())
        if kwargs.pop("pin_memory", False):
            return pinned(func(*args, **kwargs))
        with card.work.lock:
            if func is torch.Tensor.cpu or (func is torch.Tensor.to and names_cpu(args[1:], kwargs)):
                return card.downloaded(args[0]) if isinstance(args[0], CardTensor) else func(*args, **kwargs)
            if (
                func is torch.Tensor.to
                and not isinstance(args[0], CardTensor)
                and names_card(args[1:], kwargs)
            ):
                return card.uploaded(args[0], "to")
            if names_card(args, kwargs):
                kwargs.pop("device", None)
                if func is torch.Tensor.to:
                    args = tuple(each for each in args if each != CARD)
                    return func(*args, **kwargs) if len(args) > 1 or "dtype" in kwargs else args[0]
                made = func(*args, **kwargs)
                return (
                    made if isinstance(made, CardTensor) else card.taken(made, card.work.step(func.__name__))
                )
        return func(*args, **kwargs)


@contextmanager
def pretended_card(capability: tuple[int, int] = (9, 0)) -> Iterator[PretendedCard]:
    """Makes torch use the card, in this thread and in threads that enter one of its streams."""
    card, patch, launch = PretendedCard(), pytest.MonkeyPatch(), GridExecutor.__call__

    @contextmanager
    def entered(stream: Stream) -> Iterator[None]:
        before, card.work.stream = card.work.stream, stream
        with _OnCard(card), card.work.made_current(CARD):
            yield
        card.work.stream = before

    def launched(executor: Any, *args: Any, **kwargs: Any) -> None:
        with card.work.lock:
            card.launched(launch, executor, args, kwargs)

    patch.setattr(device_encoder, "_resizes", {})
    patch.setattr(GridExecutor, "__call__", launched)
    patch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    patch.setattr(torch.cuda, "current_stream", lambda device=None: card.work.stream)
    patch.setattr(torch.cuda, "Stream", card.work.new_stream)
    patch.setattr(torch.cuda, "stream", entered)
    patch.setattr(torch.cuda, "device", card.work.made_current)
    patch.setattr(torch.cuda, "empty_cache", lambda: None)
    patch.setattr(torch.cuda, "synchronize", lambda device=None: card.work.synchronize())
    kept_of_a_device = (crop_streams._free_streams, device_encoder.may_have_kernels)
    for kept in kept_of_a_device:
        kept.cache_clear()
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)  # .double() of a module
    try:
        with _OnCard(card):
            yield card
    finally:
        torch.__future__.set_swap_module_params_on_conversion(swaps)
        for kept in kept_of_a_device:
            kept.cache_clear()
        patch.undo()


def pinned(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, marked as pinned."""
    tensor.is_pinned_here = True  # type: ignore[attr-defined]
    return tensor


def is_pinned(tensor: torch.Tensor) -> bool:
    """Whether the tensor is marked as pinned."""
    return hasattr(tensor, "is_pinned_here")


def names_card(args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call names the card as its device."""
    return any(isinstance(each, torch.device) and each == CARD for each in (*args, kwargs.get("device")))


def names_cpu(args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call names the CPU as its device."""
    named = (*args, kwargs.get("device"))
    return any(
        each in ("cpu", torch.device("cpu")) for each in named if isinstance(each, (str, torch.device))
    )


def bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """All bytes of the tensor's storage."""
    return torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())


def _schema_values(func: Any, args: Any, kwargs: Any) -> Iterator[tuple[Any, Any]]:
    for position, argument in enumerate(func._schema.arguments):
        if argument.name in kwargs:
            yield argument, kwargs[argument.name]
        elif position < len(args):
            yield argument, args[position]


def _written(func: Any, args: Any, kwargs: Any) -> set[int]:
    """The ids of the tensors that the operation writes."""
    return {
        id(each)
        for argument, value in _schema_values(func, args, kwargs)
        if argument.alias_info is not None and argument.alias_info.is_write
        for each in tree_leaves(value)
    }


def _is_view(func: Any) -> bool:
    aliases = [argument.alias_info for argument in func._schema.arguments if argument.alias_info is not None]
    return bool(aliases) and not any(alias.is_write for alias in aliases)
