"""How a rank meets the others: torch.distributed over a file and the loopback interface, and which GPU is its own."""

import os

import torch
import torch.distributed

from node.worker.messages import JoinRanks, RanksJoined, SetupError


def join_ranks(request: JoinRanks) -> RanksJoined:
    """Initialize torch.distributed; returns when all ranks have done so.

    Raises:
        SetupError: The launcher gives no ranks, or more than there are GPUs.
    """
    try:
        rank, rank_count, local_rank = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    except (KeyError, ValueError):
        raise SetupError(
            "it sets no RANK, WORLD_SIZE and LOCAL_RANK: use one of torch.distributed, such as torchrun"
        ) from None
    device, backend = request.device, "gloo"
    if device == "cuda":
        gpu_count = torch.cuda.device_count()
        if local_rank >= gpu_count:
            raise SetupError(f"it starts rank {rank}, and there are {gpu_count} GPUs: use --nproc-per-node {gpu_count}")
        device, backend = f"cuda:{local_rank}", "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(local_rank)
    # A file instead of a port: whoever else is on the machine cannot join.
    store = torch.distributed.FileStore(request.store, rank_count)  # type: ignore[attr-defined]  # it is documented
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=rank_count)
    return RanksJoined(rank=rank, rank_count=rank_count, device=device)
