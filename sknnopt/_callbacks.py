"""skorch's callbacks: which can work here, and their per-batch hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skorch.callbacks import Callback, LRScheduler, ParamMapper
from torch import Tensor

from sknnopt._feed import Batch

#: Callbacks of skorch that cannot work on networks whose tensors are views of one
#: matrix, which is updated whole.
_REFUSED: dict[type, str] = {
    LRScheduler: "needs a torch optimizer. Use the 'lr_schedule' parameter",
    ParamMapper: "changes single tensors' need of a gradient. All of a network is "
    "trained here",
}


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Refuse what is no callback, and callbacks that cannot work here.

    Parameters
    ----------
    callbacks : sequence
        Callbacks, or pairs of a name and a callback.

    Raises
    ------
    ValueError
        If one is refused.
    """
    for given in callbacks:
        is_pair = isinstance(given, tuple) and len(given) == 2
        callback = given[1] if is_pair else given
        kind = callback if isinstance(callback, type) else type(callback)
        if not issubclass(kind, Callback):
            raise ValueError(
                "The 'callbacks' parameter must be a list of skorch callbacks. "
                f"Got {given!r} in it."
            )
        for refused, reason in _REFUSED.items():
            if issubclass(kind, refused):
                raise ValueError(
                    f"The 'callbacks' parameter holds a skorch {kind.__name__}, "
                    f"which {reason}."
                )


class CallbackHooks:
    """The per-batch hooks that the net's callbacks override, and only these.

    Parameters
    ----------
    net : MemberNet
        Whose callbacks are called.
    """

    def __init__(self, net: Any) -> None:
        self.net = net
        self._begin = _overriding(net, "on_batch_begin")
        self._gradient = _overriding(net, "on_grad_computed")
        self._end = _overriding(net, "on_batch_end")
        self._segments = net.kind.layout.trained
        self.any = bool(self._begin or self._gradient or self._end)

    def begin(self, batch: Batch) -> None:
        """Call ``on_batch_begin``."""
        self.net.history.new_batch()
        for callback in self._begin:
            callback.on_batch_begin(self.net, batch=_pair(batch), training=True)

    def gradient(self, gradient: Tensor, batch: Batch) -> None:
        """Call ``on_grad_computed``, and take over what it changed."""
        if not self._gradient:
            return
        module = self.net.module_
        parts = list(zip(self._segments, module.parameters(), strict=True))
        for segment, parameter in parts:
            parameter.grad = segment.view(gradient).contiguous()
        X, y = _pair(batch)
        for callback in self._gradient:
            named = list(module.named_parameters())
            callback.on_grad_computed(
                self.net, named, X=X, y=y, batch=(X, y), training=True
            )
        for segment, parameter in parts:
            # A callback may have taken the gradient away instead of changing it.
            changed = 0.0 if parameter.grad is None else parameter.grad
            segment.view(gradient)[...] = changed

    def end(self, batch: Batch, raw: Tensor, loss: Tensor) -> None:
        """Record the batch and call ``on_batch_end``."""
        n_rows = int((batch.scale[0] > 0).sum())
        self.net.history.record_batch("train_loss", float(loss.mean()))
        self.net.history.record_batch("train_batch_size", n_rows)
        for callback in self._end:
            callback.on_batch_end(
                self.net,
                batch=_pair(batch),
                training=True,
                y_pred=_alone(raw),
                loss=loss,
            )


def _pair(batch: Batch) -> tuple[Tensor, Tensor]:
    return _alone(batch.X), _alone(batch.target)


def _alone(tensor: Tensor) -> Tensor:
    """Drop the member axis where there is one member, as skorch has none."""
    return tensor[0] if len(tensor) == 1 else tensor


def _overriding(net: Any, hook: str) -> list[Callback]:
    default = getattr(Callback, hook)
    return [
        callback
        for _, callback in net.callbacks_
        if getattr(type(callback), hook, default) is not default
    ]
