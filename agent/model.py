"""Who the model is: what the configuration says of it, and the environment where the configuration is silent.

============================ ============================= ===================================
setting                      environment                   field
============================ ============================= ===================================
``name``                     ``MODELTAIL_MODEL_NAME``      ``ml.model.name``, ``service.name``
``version``                  ``MODELTAIL_MODEL_VERSION``   ``ml.model.version``
``stage``                    ``MODELTAIL_MODEL_STAGE``     ``ml.model.stage``
``framework``                ``MODELTAIL_MODEL_FRAMEWORK`` ``ml.model.framework``
``uri``                      ``MODELTAIL_MODEL_URI``       ``ml.model.uri``
``sha256``                   ``MODELTAIL_MODEL_SHA256``    ``ml.model.sha256``
``service``                  ``MODELTAIL_SERVICE_NAME``    ``service.name``
``environment`` (at the top) ``MODELTAIL_ENVIRONMENT``     ``service.environment``
``labels`` (at the top)      ``MODELTAIL_LABELS``          ``labels.<name>``
============================ ============================= ===================================
"""

import os
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=512)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
MAX_LABELS: Final = 100
MAX_ENVIRONMENT_CHARS: Final = 512


class ModelConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The model the records come from. What is not set here is taken from the environment, if it is there."""

    name: Annotated[Name | None, Meta(description="Name of the model.")] = None
    version: Annotated[Name | None, Meta(description="Version of the model, as text: `1.10` stays `1.10`.")] = None
    stage: Annotated[Name | None, Meta(description="Stage of its life (`Staging`, `Production`, `shadow`).")] = None
    framework: Annotated[Name | None, Meta(description="What it was built with (`sklearn`, `pytorch`, `xgboost`).")] = (
        None
    )
    uri: Annotated[Name | None, Meta(description="Where it comes from (`models:/fraud-scorer/3`, `s3://…`).")] = None
    sha256: Annotated[Sha256 | None, Meta(description="SHA-256 of the model file, in small hexadecimal digits.")] = None
    service: Annotated[
        Name | None, Meta(description="Name of the service that serves it; the model's own if not set.")
    ] = None


def identity(
    model: ModelConfig,
    environment: str | None = None,
    labels: Mapping[str, str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, bytes]:
    """The places every record of the model has, and their JSON text.

    ``environment`` is the deployment's (production, staging); ``labels`` are the operator's, and win over those of
    ``MODELTAIL_LABELS`` (``region=eu,job=42``). Values from ``environ`` are cut at ``MAX_ENVIRONMENT_CHARS``; an
    empty one counts as unset.
    """

    def said(configured: str | None, variable: str) -> str | None:
        return configured or environ.get(variable, "").strip()[:MAX_ENVIRONMENT_CHARS] or None

    name = said(model.name, "MODELTAIL_MODEL_NAME")
    version = said(model.version, "MODELTAIL_MODEL_VERSION")
    texts = {
        "ml.model.name": name,
        "ml.model.version": version,
        "ml.model.stage": said(model.stage, "MODELTAIL_MODEL_STAGE"),
        "ml.model.framework": said(model.framework, "MODELTAIL_MODEL_FRAMEWORK"),
        "ml.model.uri": said(model.uri, "MODELTAIL_MODEL_URI"),
        "ml.model.sha256": said(model.sha256, "MODELTAIL_MODEL_SHA256"),
        "service.name": said(model.service, "MODELTAIL_SERVICE_NAME") or name,
        "service.environment": said(environment, "MODELTAIL_ENVIRONMENT"),
    }
    for label, text in {**_labels(environ.get("MODELTAIL_LABELS", "")), **(labels or {})}.items():
        texts[f"labels.{label}"] = text
    return {place: msgspec.json.encode(text) for place, text in texts.items() if text is not None}


def _labels(written: str) -> dict[str, str]:
    """Labels as an environment variable holds them; a part that is no ``name=value`` is left out."""
    labels = {}
    for part in written.split(",")[:MAX_LABELS]:
        name, equals, value = part.partition("=")
        if equals and name.strip():
            labels[name.strip()] = value.strip()[:MAX_ENVIRONMENT_CHARS]
    return labels
