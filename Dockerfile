# Base image of both stages. Tags can change. For reproducible builds, pin the current digest of the tag
# (`skopeo inspect --format '{{.Digest}}' docker://docker.io/library/python:3.13-slim-trixie`):
#   make image PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie@sha256:…
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
ARG VENV=/opt/storage-webhook
WORKDIR /src

# Wheels only, each verified by its hash. Nothing is compiled, so the build works on every platform that has the wheels.
# requirements-otel.lock adds the packages for traces.
ARG REQUIREMENTS=requirements.lock
COPY ${REQUIREMENTS} ./
RUN python3 -m venv --without-pip ${VENV} \
 && python3 -m pip --python ${VENV}/bin/python install --no-compile --require-hashes --only-binary :all: -r ${REQUIREMENTS}

COPY pyproject.toml README.md LICENSE ./
COPY webhook webhook
# Removes the build tools; `pip check` fails if another package needs one of them.
# Removes the Kubernetes client's asyncio version, which is not used and as large as all other packages together.
# Unchecked byte code loads faster. A fixed hash seed makes it reproducible.
RUN python3 -m pip --python ${VENV}/bin/python install --no-compile --no-deps --no-build-isolation . \
 && python3 -m pip --python ${VENV}/bin/python uninstall --yes \
      editables hatchling packaging pathspec pluggy tomlkit trove-classifiers \
 && python3 -m pip --python ${VENV}/bin/python check \
 && rm -r ${VENV}/lib/python3*/site-packages/kubernetes/aio && ! grep -rq 'kubernetes[. ].*aio' webhook \
 && PYTHONHASHSEED=0 ${VENV}/bin/python -m compileall -qf --invalidation-mode unchecked-hash ${VENV}/lib

FROM ${PYTHON_IMAGE}
COPY --from=build /opt/storage-webhook /opt/storage-webhook
ENV PATH=/opt/storage-webhook/bin:${PATH} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="storage-initializer-webhook" \
      org.opencontainers.image.description="Delivers ML models to Kubernetes pods." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
EXPOSE 8443 9090
ENTRYPOINT ["/opt/storage-webhook/bin/storage-webhook"]
CMD ["--help"]
