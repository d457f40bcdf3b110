"""TLS: who is trusted, against a real TLS server."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.delivery.contract import Outcome
from agent.errors import Paused, SendError
from agent.outputs.elasticsearch.config import ElasticsearchConfig
from agent.outputs.elasticsearch.output import ElasticsearchOutput
from tests.fakes.batches import batch_of, document
from tests.fakes.certificates import Certificates, imposter, make_certificates
from tests.fakes.elasticsearch import FakeElasticsearch


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and its server certificate for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


def send(certificates: Certificates, **settings: Any) -> Outcome | SendError:
    """What becomes of a batch sent to a server that presents these certificates."""

    async def play() -> Outcome | SendError:
        async with FakeElasticsearch(tls=certificates.server_context()) as server:
            config = ElasticsearchConfig(id="es", hosts=[server.url], **settings)
            async with ElasticsearchOutput(config) as output:
                try:
                    return await output.send(batch_of([document(0)]))
                except SendError as error:
                    return error

    return asyncio.run(play())


def test_an_authority_file_is_trusted(certificates: Certificates) -> None:
    """A server whose certificate comes from the configured authority is spoken to."""
    assert send(certificates, ca_file=str(certificates.authority)) == Outcome()


@pytest.mark.parametrize(
    "form", [str.lower, str.upper, lambda text: ":".join(text[i : i + 2] for i in range(0, 64, 2))]
)
def test_an_authority_is_known_by_its_fingerprint(certificates: Certificates, form: Any) -> None:
    """The fingerprint that Elasticsearch prints is enough, in any usual spelling."""
    assert send(certificates, ca_fingerprint=form(certificates.fingerprint)) == Outcome()


def test_an_unknown_authority_pauses(certificates: Certificates) -> None:
    """A server nobody vouches for gets nothing."""
    outcome = send(certificates)
    assert isinstance(outcome, Paused)
    assert "certificate is not accepted" in str(outcome)


def test_another_fingerprint_pauses(certificates: Certificates) -> None:
    """A server without the configured certificate in its chain gets nothing."""
    outcome = send(certificates, ca_fingerprint="00" * 32)
    assert isinstance(outcome, Paused)
    assert "ca_fingerprint" in str(outcome)


def test_an_imposter_with_the_right_certificate_in_its_chain_pauses(certificates: Certificates, tmp_path: Path) -> None:
    """Appending the authority's public certificate to a chain of one's own does not make one trusted."""
    outcome = send(imposter(certificates, tmp_path / "imposter"), ca_fingerprint=certificates.fingerprint)
    assert isinstance(outcome, Paused)
    assert "certificate is not accepted" in str(outcome)


def test_a_certificate_for_another_host_pauses_unless_told(tmp_path: Path) -> None:
    """The host name is checked, and only ``verify: certificate`` leaves it out."""
    other = make_certificates(tmp_path / "other", host="127.9.9.9")
    assert isinstance(send(other, ca_file=str(other.authority)), Paused)
    assert send(other, ca_file=str(other.authority), verify="certificate") == Outcome()


def test_nothing_is_checked_when_told_so(certificates: Certificates) -> None:
    """``verify: none`` speaks to anyone."""
    assert send(certificates, verify="none") == Outcome()


def test_an_authority_file_that_is_none_pauses(certificates: Certificates) -> None:
    """A file that holds no certificate is named."""
    outcome = send(certificates, ca_file=str(certificates.key))
    assert isinstance(outcome, Paused)
    assert str(certificates.key) in str(outcome)
