"""Who the model is, from the configuration and the environment."""

import msgspec
import pytest

from agent.model import MAX_ENVIRONMENT_CHARS, MAX_LABELS, ModelConfig, identity


def test_configuration_speaks_first() -> None:
    """The environment fills in only what the configuration leaves open."""
    environ = {"MODELTAIL_MODEL_NAME": "other", "MODELTAIL_MODEL_STAGE": "shadow", "MODELTAIL_ENVIRONMENT": "test"}
    config = ModelConfig(name="fraud-scorer", version="1.10")
    assert identity(config, "prod", {}, environ) == {
        "ml.model.name": b'"fraud-scorer"',
        "ml.model.version": b'"1.10"',
        "ml.model.stage": b'"shadow"',
        "service.name": b'"fraud-scorer"',
        "service.environment": b'"prod"',
    }


def test_everything_from_the_environment() -> None:
    """An empty configuration is enough where the environment says who it is."""
    environ = {
        "MODELTAIL_MODEL_NAME": "m",
        "MODELTAIL_MODEL_VERSION": "2",
        "MODELTAIL_MODEL_FRAMEWORK": "sklearn",
        "MODELTAIL_MODEL_URI": "s3://b/m",
        "MODELTAIL_MODEL_SHA256": "ab" * 32,
        "MODELTAIL_SERVICE_NAME": "s",
        "MODELTAIL_LABELS": "region=eu, job = 42,broken,=x",
    }
    assert identity(ModelConfig(), environ=environ) == {
        "ml.model.name": b'"m"',
        "ml.model.version": b'"2"',
        "ml.model.framework": b'"sklearn"',
        "ml.model.uri": b'"s3://b/m"',
        "ml.model.sha256": b'"' + b"ab" * 32 + b'"',
        "service.name": b'"s"',
        "labels.region": b'"eu"',
        "labels.job": b'"42"',
    }


def test_configured_label_wins() -> None:
    """A label of the configuration replaces the environment's of the same name; quotes are escaped."""
    found = identity(ModelConfig(), None, {"a.b": 'x"y'}, {"MODELTAIL_LABELS": "a.b=z"})
    assert found == {"labels.a.b": b'"x\\"y"'}


def test_environment_is_bounded() -> None:
    """What comes from outside is cut: in length, and labels in number."""
    environ = {"MODELTAIL_MODEL_NAME": "x" * 9999, "MODELTAIL_LABELS": ",".join(f"k{i}=v" for i in range(999))}
    found = identity(ModelConfig(), environ=environ)
    assert len(found["ml.model.name"]) == MAX_ENVIRONMENT_CHARS + 2
    assert sum(place.startswith("labels.") for place in found) == MAX_LABELS


def test_nothing_known() -> None:
    """No name is no field, not an empty one."""
    assert identity(ModelConfig(), environ={"MODELTAIL_MODEL_NAME": "  "}) == {}


@pytest.mark.parametrize("written", [{"nmae": "x"}, {"sha256": "xyz"}, {"name": ""}, {"version": 1.1}])
def test_wrong_configuration_is_refused(written: dict[str, object]) -> None:
    """Misspelt keys and wrong values do not pass silently."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(written, ModelConfig)
