"""Peer ids: our spelling against libp2p's own."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from node.errors import ConfigError
from node.peer_ids import member_to_peer_id, peer_id_to_member
from protocol.units import MemberId


@given(seed=st.binary(min_size=32, max_size=32))
def test_a_peer_id_is_what_libp2p_makes_of_the_same_key(seed: bytes) -> None:
    """L1: the member's key is the libp2p identity."""
    public_key = create_new_key_pair(seed).public_key
    assert member_to_peer_id(MemberId(public_key.to_bytes())) == ID.from_pubkey(public_key).to_base58()


@given(member=st.binary(min_size=32, max_size=32))
def test_a_peer_id_turns_back_into_its_member(member: bytes) -> None:
    assert peer_id_to_member(member_to_peer_id(MemberId(member))) == member


@pytest.mark.parametrize("text", ["", "1", "12D3KooW", "0OIl", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"])
def test_other_peer_ids_are_refused_with_advice(text: str) -> None:
    with pytest.raises(ConfigError, match="Ed25519"):
        peer_id_to_member(text)


def test_a_member_id_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        member_to_peer_id(MemberId(bytes(31)))


def test_peer_ids_do_not_need_libp2p() -> None:
    code = "import sys, node.peer_ids; sys.exit('libp2p' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
