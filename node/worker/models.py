"""Between a torch module and the chain's schema: which of its tensors are shared, and how weights get in and out."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from node.tasks.interface import TaskError
from node.worker.artifacts import WrittenArtifact, write_model
from protocol.aggregation.fixed_point import NotFiniteError
from protocol.errors import InvalidMessage
from protocol.learning.artifact_format import ModelSchema, TensorDtype, TensorSpec, check_schema


def describe_model(model: torch.nn.Module) -> ModelSchema:
    """Return the schema of a module's shared tensors, in the order of its state.

    Shared are float32 parameters and buffers; trainable are all of them but parameters that need no gradient. Integer
    buffers, such as a counter of batches, stay each member's own.

    Raises:
        TaskError: A tensor has another float type, or a name or shape that artifacts cannot hold.
    """
    frozen = {name for name, parameter in model.named_parameters(remove_duplicate=False) if not parameter.requires_grad}
    specs: list[TensorSpec] = []
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if tensor.dtype != torch.float32:
            raise TaskError(f"tensor {name} is {tensor.dtype}: build the model in float32 and cast inside train")
        shape = tuple(int(dimension) for dimension in tensor.shape)
        specs.append(TensorSpec(name=name, shape=shape, dtype=TensorDtype.F32, is_trainable=name not in frozen))
    schema = ModelSchema(tensors=tuple(specs))
    try:
        check_schema(schema)
    except InvalidMessage as error:
        raise TaskError(f"the task's model: {error}") from error
    return schema


def check_same_schema(expected: ModelSchema, built: ModelSchema) -> None:
    """Check that the task builds the chain's model.

    Raises:
        TaskError: It does not; the message names the first difference.
    """
    for ours, theirs in zip(built.tensors, expected.tensors, strict=False):
        if ours != theirs:
            raise TaskError(f"the task builds {_format(ours)} where the genesis document has {_format(theirs)}")
    if len(built.tensors) != len(expected.tensors):
        raise TaskError(
            f"the task builds {len(built.tensors)} tensors, the genesis document has {len(expected.tensors)}: "
            "is it the same version of the task?"
        )


class ModelTensors:
    """The shared tensors of a module, read and written in place, flat."""

    def __init__(self, model: torch.nn.Module, schema: ModelSchema) -> None:
        """Look up the tensors; the module must keep them and not replace them."""
        self._model = model
        self._names = [spec.name for spec in schema.tensors]

    def put_slice(self, name: str, start: int, weights: NDArray[np.float32]) -> None:
        """Overwrite part of a tensor, float32 [parameters]."""
        tensor = self._model.state_dict()[name]
        with torch.no_grad():
            if tensor.is_contiguous():
                tensor.view(-1)[start : start + weights.shape[0]] = torch.from_numpy(weights).to(tensor.device)
            else:
                flat = tensor.reshape(-1)
                flat[start : start + weights.shape[0]] = torch.from_numpy(weights).to(tensor.device)
                tensor.copy_(flat.view(tensor.shape))

    def get_tensor(self, name: str) -> NDArray[np.float32]:
        """Return a tensor as float32 [parameters] on the CPU; a view where that is possible."""
        tensor = self._model.state_dict()[name]
        if tensor.dtype != torch.float32:
            raise TaskError(f"after training, tensor {name} is {tensor.dtype}: train must leave the model in float32")
        array: NDArray[np.float32] = tensor.detach().cpu().reshape(-1).numpy()
        return array


def _format(spec: TensorSpec) -> str:
    kind = "trainable" if spec.is_trainable else "frozen"
    return f"{kind} tensor {spec.name} {list(spec.shape)}"


def write_initial_model(schema: ModelSchema, path: Path, tensors: ModelTensors) -> WrittenArtifact:
    """Write the model that a task builds as an artifact.

    Raises:
        TaskError: It holds NaN or infinity.
    """
    try:
        return write_model(schema, path, tensors.get_tensor)
    except NotFiniteError as error:
        raise TaskError(f"{error}, as build_model makes it: every member would begin with it") from error
