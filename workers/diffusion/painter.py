"""What the engine asks of a family of image models."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Generic, Protocol, TypeVar

import torch
from PIL.Image import Image

from workers.messages import ImageWork


class Making(Protocol):
    """A picture in the making. `num_done` of `num_steps` are done; pictures of equal `key` share a step."""

    @property
    def num_steps(self) -> int: ...

    @property
    def key(self) -> Hashable: ...

    @property
    def num_done(self) -> int: ...

    @property
    def is_denoised(self) -> bool: ...

    @property
    def place(self) -> int: ...


P = TypeVar("P", bound=Making)


class Painter(ABC, Generic[P]):
    """Takes pictures from noise to the end, one step of a whole batch at a time.

    `max_pictures` bounds a batch, where the family has a bound of its own. Sides are multiples of
    `size_multiple` pixels; `size` is the model's own width and height.
    """

    max_pictures: int | None = None
    size: tuple[int, int]
    size_multiple: int

    @abstractmethod
    def num_tokens(self, prompt: str) -> int:
        """How many tokens of the prompt the model reads."""

    @abstractmethod
    def begin(self, work: ImageWork) -> list[P]:
        """One picture per seed. Raises JobError for what the model refuses."""

    @abstractmethod
    def advance(self, pictures: Sequence[P]) -> None:
        """One step for each; they have the same key.

        A picture whose `place` is unchanged after an exception may be tried again. Raises JobError for
        what the model refuses.
        """

    @abstractmethod
    def latents(self, picture: P) -> torch.Tensor | None:
        """The latents [1, C, h, w] after the picture's last step; None where they have no such form."""

    @abstractmethod
    def decode(self, latents: torch.Tensor) -> Image:
        """The model's own decoder on latents [1, C, h, w]."""

    @abstractmethod
    def finish(self, picture: P) -> Image:
        """The finished picture."""

    def drop(self, picture: P) -> None:
        """Let go of a picture that is not to be finished."""
