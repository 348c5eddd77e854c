"""Where to compute: what ``device`` in config.toml asks for, held against this machine."""

import torch

from node.worker.messages import SetupError


def open_device(name: str) -> torch.device:
    """Return a device that works.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        SetupError: This machine, or this torch, has no such device.
    """
    device = torch.device(name)
    if device.type == "cuda":
        _check_cuda(name, device.index)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise SetupError('device = "mps": this machine or its torch has no Metal: set device = "cpu"')
    try:
        torch.zeros(1, device=device)
    except RuntimeError as error:
        raise SetupError(f'device = "{name}" does not work: {error}') from error
    return device


def _check_cuda(name: str, index: int | None) -> None:
    if not torch.backends.cuda.is_built():
        raise SetupError(
            f'device = "{name}": torch {torch.__version__} is built without CUDA: set device = "cpu", or install one'
            " that is (https://pytorch.org/get-started/locally)"
        )
    if not torch.cuda.is_available():
        raise SetupError(
            f'device = "{name}": torch finds no GPU: see whether nvidia-smi does and its driver is new enough, or set'
            ' device = "cpu"'
        )
    count = torch.cuda.device_count()
    if index is not None and index >= count:
        raise SetupError(f'device = "{name}": torch finds {count} of them, counted from 0')
