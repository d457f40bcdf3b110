# syntax=docker/dockerfile:1
# Two stages: the first makes the environment and may have whatever that takes; the second only has Python and it.
ARG PYTHON=docker.io/library/python:3.13-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /build
COPY requirements/run.txt requirements/run.txt
RUN python3 -m venv /opt/modeltail && /opt/modeltail/bin/pip install --require-hashes --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY agent agent
# What builds the wheel, and what only the example needs, is among the pins and has no business in the image.
RUN /opt/modeltail/bin/pip install --no-deps --no-build-isolation . \
    && /opt/modeltail/bin/pip uninstall --yes hatchling editables packaging pathspec pluggy tomlkit trove-classifiers \
        python-json-logger pip \
    && /opt/modeltail/bin/python -m compileall -q /opt/modeltail/lib

FROM ${PYTHON}
COPY --from=build /opt/modeltail /opt/modeltail
# A number, so that Kubernetes can see that it is not root. The queue's folder belongs to it.
RUN mkdir --parents /var/lib/modeltail /etc/modeltail && chown 65532:65532 /var/lib/modeltail
ENV PATH=/opt/modeltail/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
VOLUME /var/lib/modeltail
EXPOSE 8686
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8686/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["modeltail"]
CMD ["run", "-c", "/etc/modeltail/agent.yaml"]
