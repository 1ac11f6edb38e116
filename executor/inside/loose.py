"""Steps of a program that updates its parameters by hand: a backward pass ends in one when the next forward begins.

Only where no optimizer was ever made. The parameters are those of the outermost modules that were called.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .trace import Trace


class ByHand:
    """Stands in for an optimizer in the trace."""

    def __init__(self, torch: Any, trace: Trace) -> None:
        self.trace, self.state = trace, {}  # type: Trace, dict[Any, Any]
        self._made, self._due = False, False
        made, backward = torch.optim.Optimizer.__init__, torch.Tensor.backward

        def made_and_noted(optimizer: Any, *arguments: Any, **options: Any) -> None:
            self._made = True
            made(optimizer, *arguments, **options)

        def backward_and_note(tensor: Any, *arguments: Any, **options: Any) -> None:
            backward(tensor, *arguments, **options)
            self._after_backward()

        backward_and_note.__name__, backward_and_note.__doc__ = "backward", backward.__doc__
        torch.optim.Optimizer.__init__, torch.Tensor.backward = made_and_noted, backward_and_note

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """In the shape of an optimizer's."""
        known = {id(one): one for root in self.trace.roots for one in root.parameters()}
        return [{"params": list(known.values())}]

    def close(self) -> None:
        """The next forward begins, or the program ends: what was due is done."""
        if self._due:
            self._due = False
            self.trace.after(self)

    def _after_backward(self) -> None:
        if self._made or not self.trace.roots or self._due:
            return
        self._due = True
        self.trace.before(self)
