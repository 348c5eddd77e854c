# A node as a container. One stage builds it; the other runs it, and has neither compiler nor sources.

ARG BASE=python:3.11-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libgmp-dev \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/pnyx
ENV PATH=/opt/pnyx/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# torch without CUDA, where the index can be reached: with CUDA the image is several times as large.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-deps --extra-index-url "${TORCH_INDEX}" -c constraints.txt torch
# The dependencies come before the sources, so that a change of the sources does not install them again.
RUN python3 -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
    > requirements.txt \
    && pip install -c constraints.txt -r requirements.txt
# What a task of your own imports besides: --build-arg TASK_PACKAGES="pandas pyarrow".
ARG TASK_PACKAGES=
RUN if [ -n "${TASK_PACKAGES}" ]; then pip install -c constraints.txt ${TASK_PACKAGES}; fi
COPY README.md LICENSE cli.py ./
COPY protocol protocol
COPY node node
RUN pip install --no-deps .
# What only serves to compile against a package, to test it, or to install more.
RUN cd /opt/pnyx/lib/python3*/site-packages \
    && rm -rf torch/include torch/share torch/test pip pip-*.dist-info setuptools setuptools-*.dist-info \
    && find torch/bin -type f -not -name torch_shm_manager -delete \
    && find . -name '*.a' -delete \
    && find . -type d \( -name tests -o -name test \) -not -path './torch/*' -prune -exec rm -rf {} +

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgmp10 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pnyx \
    && install -d -o pnyx -g pnyx /var/lib/pnyx /net/alpha /net/beta /net/gamma /net/delta /net/epsilon
COPY --from=build /opt/pnyx /opt/pnyx
COPY docker/found-network.sh /usr/local/bin/found-network
ENV PATH=/opt/pnyx/bin:$PATH PNYX_HOME=/var/lib/pnyx HOME=/tmp PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=2
USER pnyx
# The one folder that outlives the container, and besides /tmp the one that can be written: `-o our-network.ledger` lands here.
WORKDIR /var/lib/pnyx
VOLUME /var/lib/pnyx
EXPOSE 4001
STOPSIGNAL SIGTERM
ENTRYPOINT ["pnyx"]
CMD ["run", "--log-format", "json"]
