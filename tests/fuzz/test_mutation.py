"""What mutators promise: equal arguments give equal results, and what they know of a format is used."""

import random
from collections.abc import Callable
from io import BytesIO

import msgpack
import pytest

from protocol.audit import verify_export
from protocol.codec import decode
from protocol.errors import MalformedMessage
from protocol.gossip import Topic
from protocol.messages import OperationMessage
from protocol.operations import check_operation_signature, decode_operation
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.export_mutation import join_frames, make_export_mutator, split_frames
from tests.fuzz.json_mutation import make_json_mutator
from tests.fuzz.msgpack_mutation import make_msgpack_mutator, pack, parse
from tests.fuzz.recording import record
from tests.fuzz.shape import count_held, take_shape
from tests.fuzz.signing import make_signer
from tests.fuzz.target import Mutator
from tests.fuzz.targets.wire import CODECS, NAMES, make_seeds

SAMPLE = msgpack.packb([1, b"bytes of some length", [2, "text", None, True]])
COUNT = 300

MAKERS: dict[str, tuple[Callable[[], Mutator], bytes]] = {
    "bytes": (lambda: mutate_bytes, SAMPLE),
    "msgpack": (lambda: make_msgpack_mutator([SAMPLE]), SAMPLE),
    "json": (lambda: make_json_mutator([b'{"a":[1,"b"]}']), b'{"a":[1,"b"]}'),
    "export": (lambda: make_export_mutator([join_frames([SAMPLE, SAMPLE])]), join_frames([SAMPLE, SAMPLE])),
}


def change_often(mutate: Mutator, data: bytes) -> list[bytes]:
    return [mutate(data, random.Random(seed)) for seed in range(COUNT)]


@pytest.mark.parametrize("name", MAKERS)
def test_equal_chance_gives_equal_changes(name: str) -> None:
    make, data = MAKERS[name]
    changed = change_often(make(), data)
    assert changed == change_often(make(), data)
    assert len(set(changed)) > COUNT // 3


def test_msgpack_is_changed_in_its_own_terms() -> None:
    trees = [parse(changed) for changed in change_often(make_msgpack_mutator([SAMPLE]), SAMPLE)]
    assert sum(isinstance(tree, list) for tree in trees) > COUNT // 2
    assert pack(parse(SAMPLE)) == SAMPLE


def test_an_encoding_inside_of_bytes_is_changed_in_its_own_terms() -> None:
    outer = msgpack.packb([msgpack.packb([7, 8, b"inner bytes of some length"])])
    trees = [parse(changed) for changed in change_often(make_msgpack_mutator([outer]), outer)]
    first = [tree[0] for tree in trees if isinstance(tree, list) and tree]
    inner = [item for item in first if isinstance(item, bytes)]
    assert sum(isinstance(parse(item), list) for item in inner) > COUNT // 3


def test_frames_keep_their_lengths_true() -> None:
    make, data = MAKERS["export"]
    whole = [split_frames(changed) for changed in change_often(make(), data)]
    assert sum(frames is not None for frames in whole) > COUNT // 2


def test_what_one_member_signs_again_holds() -> None:
    recording = record()
    signer = make_signer(recording, recording.keys)
    envelope = decode(OperationMessage, recording.get_messages(Topic.OPERATIONS)[0], bytes_max=1 << 20)
    broken = bytearray(envelope.operation)
    broken[-1] ^= 1
    check_operation_signature(recording.chain_id, decode_operation(signer.sign_encoded_operation(bytes(broken))))


def test_the_first_inputs_are_good_ones() -> None:
    """A seed that is refused at once leads nowhere."""
    kinds = set()
    for seed in make_seeds():
        kinds.add(NAMES[seed[0]])
        CODECS[NAMES[seed[0]]][0](seed[1:])
    assert kinds == set(NAMES)
    with pytest.raises(MalformedMessage):
        CODECS["block"][0](b"")


def test_the_first_exports_are_good_ones() -> None:
    for block_count, certified_every in ((0, 1), (3, 1), (12, 4)):
        export = record().build_export(block_count=block_count, certified_every=certified_every)
        assert verify_export(BytesIO(export)).height == block_count


def test_a_change_of_what_an_engine_holds_is_seen() -> None:
    recording = record()
    snapshot = recording.snapshots[5]
    engine = recording.start_engine(snapshot.disk, snapshot.now_ms)
    before, count = take_shape(engine), count_held(engine)
    assert take_shape(engine) == before
    engine.consensus.counting.evidence.append(recording)  # type: ignore[arg-type]  # anything that it did not hold
    assert take_shape(engine) != before
    engine.consensus.tree.blocks[recording.chain_id] = recording.blocks[0].finalized.block
    assert count_held(engine) == count + 1
