# A node as a container: built in one stage, run in another that has neither compiler nor sources.

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libgmp-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/pnyx
WORKDIR /src
# The dependencies come before the sources, so that a change of the sources does not install them again.
COPY pyproject.toml constraints.txt README.md ./
COPY docker/requirements.py docker/
# The build of torch without CUDA, where the index has one: an image with CUDA is ten times as large.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
