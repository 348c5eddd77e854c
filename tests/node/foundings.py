"""Cards and genesis documents of founders, made the way that operators make them."""

from node.cards import Card
from node.genesis_file import Training, build_genesis
from protocol.genesis import Genesis, TaskSpec
from protocol.parameters import Parameters
from tests.helpers import CREATED_MS, SCHEMA
from tests.values import make_digest


def make_cards_genesis(*cards: Card, parameters: Parameters | None = None) -> Genesis:
    """Return the genesis document of these cards' members."""
    training = Training(
        task=TaskSpec(name="digits", params=(("alpha", "0.5"), ("batch", "32"))),
        schema=SCHEMA,
        model_digest=make_digest("model"),
    )
    return build_genesis(
        cards,
        name="test network",
        parameters=parameters or Parameters(),
        training=training,
        seed=make_digest("seed"),
        created_ms=CREATED_MS,
    )
