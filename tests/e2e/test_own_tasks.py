"""Networks whose members train with more than the worker itself."""

import shutil
from pathlib import Path

import pytest

from node.home import load_home
from node.json_values import get_list
from node.testnet import NodeProcess, open_testnet
from tests.e2e.networks import find_descendants, found_network, read_roots, read_rounds, wait_gone, wait_rounds

SHARED_TASK = '''
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch.distributed as distributed

from node.tasks import TrainReport
from node.tasks.digits import DigitsTask


class SharedDigits(DigitsTask):
    """Several ranks train on a share of this member's examples each, and average what comes of it."""

    def __init__(self, context):
        super().__init__(context)
        if distributed.is_initialized():
            share = np.arange(distributed.get_rank(), len(self.hand.training.labels), distributed.get_world_size())
            self.hand = replace(self.hand, training=self.hand.training.select(share))

    def train(self, model, *, round, device):
        report = super().train(model, round=round, device=device)
        if not distributed.is_initialized():
            return report
        for parameter in model.parameters():
            distributed.all_reduce(parameter.data)
            parameter.data /= distributed.get_world_size()
        sign = Path(self.context.get_local("signs")) / str(distributed.get_rank())
        sign.write_text(str(report.example_count))
        return TrainReport(example_count=report.example_count, mean_loss=report.mean_loss)
'''


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_member_with_a_launcher_trains_on_all_ranks_and_its_updates_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a killed daemon cannot remove, pytest does.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder, signs = tmp_path / "task", tmp_path / "signs"
    folder.mkdir()
    signs.mkdir()
    (folder / "shared_task.py").write_text(SHARED_TASK)
    specs = await found_network(tmp_path / "homes", count=3, task="shared_task:SharedDigits", search_paths=(folder,))
    for spec in specs:
        shutil.copy(folder / "shared_task.py", spec.home)
    config = specs[0].home / "config.toml"
    text = config.read_text().replace('launcher = ""', 'launcher = "torchrun --nproc-per-node 2"')
    config.write_text(text.replace("[task]", f'[task]\nsigns = "{signs}"'))
    member = load_home(specs[0].home, environment={}).keys.signing.member.hex()

    async with open_testnet(specs) as testnet:
        testnet.start_all()
        first = testnet.nodes[0]
        for node in testnet.nodes:
            await node.wait_ready()
        await _wait_accepted_update(first, member)
        assert first.pid is not None
        family = find_descendants(first.pid)
        ranks = [process for process in family if "node.worker.rank" in process.cmdline()]
        assert len([process for process in ranks if "RANK" in process.environ()]) >= 2
        shares = [int((signs / str(rank)).read_text()) for rank in (0, 1)]
        assert max(shares) - min(shares) <= 1
        await first.kill()
        await wait_gone(family, timeout_s=30.0)
    roots = [read_roots(spec.home) for spec in specs]
    common = set.intersection(*(set(known) for known in roots))
    assert len(common) > 1
    assert all(len({known[height] for known in roots}) == 1 for height in common)


async def _wait_accepted_update(node: NodeProcess, member: str) -> None:
    """Wait for a round that took an update of this member and was accepted."""
    seen = 0
    while True:
        for record in await read_rounds(node, seen + 1):
            seen += 1
            is_in = member in get_list(record["proposers"]) and member not in get_list(record["silent"])
            if is_in and record["verdict"] == "ACCEPT":
                return
        await wait_rounds(node, seen + 1)
